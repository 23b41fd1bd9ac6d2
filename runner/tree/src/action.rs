//! What leaves can be: the built-in actions with their arguments, and the actions of others.
//!
//! Built-ins are data here, so that a tree can be checked where no action is linked.

use crate::duration;
use crate::fields::kind_of;
use crate::finding::{listed, quoted};
use crate::http::Http;
use crate::template::{self, Template};
use crate::together::{Await, Barrier, SharedCall};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most arguments of an action.
pub const MAX_ARGS: usize = 64;
/// Longest name of an action, in bytes.
pub const MAX_NAME: usize = 256;

/// A built-in action, as its users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The key it is written with.
    pub name: &'static str,
    /// Fewest arguments.
    pub min_args: usize,
    /// Most arguments.
    pub max_args: usize,
    /// Whether it does something to the target, and so counts in thresholds and totals.
    pub measured: bool,
}

/// All built-in actions.
pub const BUILT_INS: [Signature; 7] = [
    Signature { name: "done", min_args: 0, max_args: 0, measured: false },
    Signature { name: "error", min_args: 1, max_args: 1, measured: false },
    Signature { name: "http", min_args: 1, max_args: 1, measured: true },
    Signature { name: "log", min_args: 1, max_args: 1, measured: false },
    Signature { name: "set", min_args: 1, max_args: 1, measured: false },
    Signature { name: "succeed_rate", min_args: 1, max_args: 1, measured: false },
    Signature { name: "wait", min_args: 0, max_args: 2, measured: false },
];

/// The built-in of a name.
pub fn built_in(name: &str) -> Option<&'static Signature> {
    BUILT_INS.iter().find(|s| s.name == name)
}

/// What a leaf does.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Succeeds after a time.
    Wait(Wait),
    /// Succeeds with this probability, else fails; above 0 and below 1.
    SucceedRate(f64),
    /// Ends the bot, its work done.
    Done,
    /// Ends the bot with a reason.
    Error(Template),
    /// Writes a line to the log and succeeds.
    Log(Template),
    /// The condition of an `if`: succeeds when the value is true, fails when it is false.
    If(Template),
    /// Counts whether the value is true; the tree sees a success either way.
    Check(Template),
    /// Puts values into the bot's context and succeeds.
    Set(Vec<(String, Template)>),
    /// Sends a request.
    Http(Box<Http>),
    /// Changes what all bots share.
    Shared(Box<SharedCall>),
    /// Gives a signal.
    Signal(Template),
    /// Waits for a signal.
    Await(Box<Await>),
    /// Waits for other bots.
    Barrier(Box<Barrier>),
    /// An action that is not built in.
    Own {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Vec<Template>,
    },
}

/// How long to wait.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// Always the same time.
    Fixed(Duration),
    /// A whole number of seconds, drawn evenly, both ends included.
    Seconds(u64, u64),
    /// A whole number of milliseconds, drawn evenly, both ends included.
    Millis(u64, u64),
    /// A duration that each bot works out.
    Rendered(Template),
}

/// How a finding says that an action is unknown.
const DOES_NOT_EXIST: &str = "does not exist; built in are";

/// Whether the message of a finding says that an action is unknown.
pub fn is_unknown(message: &str) -> bool {
    message.contains(DOES_NOT_EXIST)
}

/// Why an action cannot be called like that.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Neither built in nor supplied.
    #[error("the action {0} {DOES_NOT_EXIST} {known}", known = listed(BUILT_INS.iter().map(|s| s.name)))]
    Unknown(String),
    /// The wrong number of arguments.
    #[error("{0} takes {1}, not {2}")]
    Arity(String, String, usize),
    /// A name that no action can have.
    #[error("{0} is not a name of an action; write 1 to {MAX_NAME} bytes without control characters")]
    Name(String),
    /// Too many arguments.
    #[error("at most {MAX_ARGS} arguments are allowed, not {0}")]
    TooManyArgs(usize),
    /// A waiting time that is none.
    #[error("{0}")]
    Duration(#[from] duration::Error),
    /// A range of bare numbers that are not whole.
    #[error(
        "a range of seconds needs whole numbers, found {0}; with units it is drawn in milliseconds: [500ms, 1500ms]"
    )]
    Range(String),
    /// Half a range with a unit.
    #[error("both ends of a range need a unit, or neither; write [500ms, 2s] or [1, 2]")]
    MixedRange,
    /// A rate outside of its bounds.
    #[error("succeed_rate needs a number above 0 and below 1, found {0}")]
    Rate(String),
    /// Not a mapping of names to values.
    #[error("set needs a mapping of names to values, found {0}")]
    Set(String),
    /// A name that a context value may not have.
    #[error("{0} cannot be set; use a name of letters, digits and _ that is not one of {reserved}", reserved = listed(RESERVED_NAMES))]
    Reserved(String),
    /// `http` as a call with arguments.
    #[error("http is written with its own key: http: {{get: URL}}")]
    HttpByArgs,
    /// A broken template.
    #[error("{0}")]
    Template(#[from] template::Error),
}

impl Call {
    /// All templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        use crate::http::Body;
        use crate::together::Change;
        match self {
            Self::Wait(Wait::Rendered(one))
            | Self::Error(one)
            | Self::Log(one)
            | Self::If(one)
            | Self::Check(one)
            | Self::Signal(one) => vec![one],
            Self::Wait(_) | Self::SucceedRate(_) | Self::Done => Vec::new(),
            Self::Set(values) => values.iter().map(|(_, value)| value).collect(),
            Self::Own { args, .. } => args.iter().collect(),
            Self::Await(one) => vec![&one.signal],
            Self::Barrier(one) => vec![&one.name],
            Self::Shared(call) => {
                let operand = match &call.change {
                    Change::Put(one) | Change::Add(one) | Change::Update(one) | Change::Push(one) => {
                        Some(one)
                    }
                    Change::Pop | Change::Delete => None,
                };
                std::iter::once(&call.key).chain(operand).collect()
            }
            Self::Http(http) => {
                let body = match &http.body {
                    Body::Empty => None,
                    Body::Json(one) | Body::Text(one) => Some(one),
                };
                let headers = http.headers.iter().map(|(_, value)| value);
                let expected = http.expect.json.iter().map(|(_, value)| value);
                std::iter::once(&http.url).chain(headers).chain(expected).chain(body).collect()
            }
        }
    }
}

/// Names that templates give a meaning of their own.
pub const RESERVED_NAMES: [&str; 7] = ["bot", "run", "target", "env", "custom", "data", "shared"];

/// Whether a bot may keep a value under this name: a plain word that no template takes otherwise.
pub fn check_context_name(name: &str) -> Result<(), Error> {
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if word && name.len() <= MAX_NAME && !RESERVED_NAMES.contains(&name) {
        Ok(())
    } else {
        Err(Error::Reserved(quoted(name)))
    }
}

/// Which actions exist besides the built-in ones.
#[derive(Debug, Clone, Default)]
pub struct Actions {
    own: BTreeMap<String, Vec<usize>>,
    unknown_allowed: bool,
    opaque: bool,
}

impl Actions {
    /// Only what is built in.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Adds an action with its number of arguments; it may have several.
    #[must_use]
    pub fn with(mut self, name: &str, arity: usize) -> Self {
        self.own.entry(name.to_owned()).or_default().push(arity);
        self
    }

    /// Actions that are not known are taken on trust.
    #[must_use]
    pub fn allow_unknown(mut self) -> Self {
        self.unknown_allowed = true;
        self
    }

    /// Every `action:` leaf is just a name with arguments, even that of a built-in: for walking a
    /// tree without doing anything.
    #[must_use]
    pub fn opaque(mut self) -> Self {
        self.unknown_allowed = true;
        self.opaque = true;
        self
    }

    /// What `name` with these arguments calls, templates being rendered or taken as they stand.
    pub fn call(&self, name: &str, args: &[Value], templates: Templates) -> Result<Call, Error> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::Name(quoted(name)));
        }
        if args.len() > MAX_ARGS {
            return Err(Error::TooManyArgs(args.len()));
        }
        match built_in(name) {
            Some(signature) if !self.opaque => built_in_call(signature, args, templates),
            _ => {
                self.check_own(name, args.len())?;
                let args = args.iter().map(|a| templates.compile(a)).collect::<Result<_, _>>()?;
                Ok(Call::Own { name: name.to_owned(), args })
            }
        }
    }

    fn check_own(&self, name: &str, given: usize) -> Result<(), Error> {
        match self.own.get(name) {
            Some(arities) if arities.contains(&given) => Ok(()),
            Some(arities) => {
                let takes = arities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                Err(Error::Arity(quoted(name), format!("{takes} arguments"), given))
            }
            None if self.unknown_allowed => Ok(()),
            None => Err(Error::Unknown(quoted(name))),
        }
    }
}

/// Whether braces in arguments are templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Templates {
    /// They are rendered for each bot.
    Rendered,
    /// They are plain text: editor projects resolve theirs when they are loaded.
    Plain,
}

impl Templates {
    fn compile(self, value: &Value) -> Result<Template, template::Error> {
        match self {
            Self::Rendered => Template::value(value),
            Self::Plain => Ok(Template::Literal(value.clone())),
        }
    }
}

fn built_in_call(signature: &Signature, args: &[Value], templates: Templates) -> Result<Call, Error> {
    let Signature { name, min_args, max_args, .. } = *signature;
    if args.len() < min_args || args.len() > max_args {
        let takes = match (min_args, max_args) {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "one argument".to_owned(),
            (min, max) => format!("{min} to {max} arguments"),
        };
        return Err(Error::Arity(name.to_owned(), takes, args.len()));
    }
    Ok(match (name, args) {
        ("wait", args) => Call::Wait(wait(args, templates)?),
        ("succeed_rate", [rate]) => Call::SucceedRate(succeed_rate(rate)?),
        ("error", [reason]) => Call::Error(templates.compile(reason)?),
        ("log", [message]) => Call::Log(templates.compile(message)?),
        ("set", [values]) => Call::Set(set(values, templates)?),
        ("http", _) => return Err(Error::HttpByArgs),
        _ => Call::Done,
    })
}

fn wait(args: &[Value], templates: Templates) -> Result<Wait, Error> {
    /// What the original waits when it is not told how long.
    const DEFAULT: Duration = Duration::from_secs(5);
    Ok(match args {
        [] => Wait::Fixed(DEFAULT),
        [one] => match templates.compile(one)? {
            Template::Literal(value) => Wait::Fixed(duration::from_value(&value)?),
            rendered => Wait::Rendered(rendered),
        },
        [from, to, ..] => {
            let (from_time, to_time) = (duration::from_value(from)?, duration::from_value(to)?);
            let (low, high) = (from_time.min(to_time), from_time.max(to_time));
            match (from.is_number(), to.is_number()) {
                (true, true) => {
                    let fraction = [from, to].into_iter().find(|v| !v.is_u64());
                    if let Some(value) = fraction {
                        return Err(Error::Range(value.to_string()));
                    }
                    Wait::Seconds(low.as_secs(), high.as_secs())
                }
                (false, false) => Wait::Millis(millis(low), millis(high)),
                _ => return Err(Error::MixedRange),
            }
        }
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn succeed_rate(rate: &Value) -> Result<f64, Error> {
    rate.as_f64().filter(|r| *r > 0.0 && *r < 1.0).ok_or_else(|| Error::Rate(kind_of(rate)))
}

fn set(values: &Value, templates: Templates) -> Result<Vec<(String, Template)>, Error> {
    let values = values.as_object().ok_or_else(|| Error::Set(kind_of(values)))?;
    values
        .iter()
        .map(|(name, value)| {
            check_context_name(name)?;
            Ok((name.clone(), templates.compile(value)?))
        })
        .collect()
}

/// The name of a row: `Shop.buy(42, "a")`, or just the name without arguments.
pub fn row_name(name: &str, args: &[Value]) -> String {
    if args.is_empty() {
        return name.to_owned();
    }
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    format!("{name}({})", args.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, args: &Value) -> Result<Call, Error> {
        Actions::built_in().call(name, args.as_array().unwrap(), Templates::Rendered)
    }

    #[test]
    fn waits_are_what_the_original_makes_of_them() {
        let seconds = Duration::from_secs;
        for (args, expected) in [
            (json!([]), Wait::Fixed(seconds(5))),
            (json!([0]), Wait::Fixed(seconds(0))),
            (json!([1.5]), Wait::Fixed(Duration::from_millis(1500))),
            (json!(["250ms"]), Wait::Fixed(Duration::from_millis(250))),
            (json!([1, 10]), Wait::Seconds(1, 10)),
            (json!([10, 1]), Wait::Seconds(1, 10)),
            (json!([0, 5]), Wait::Seconds(0, 5)),
            (json!(["500ms", "2s"]), Wait::Millis(500, 2000)),
        ] {
            assert_eq!(call("wait", &args), Ok(Call::Wait(expected)), "{args}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for (name, args, part) in [
            ("wait", json!([1, 2, 3]), "wait takes 0 to 2 arguments, not 3"),
            ("wait", json!([-1]), "negative"),
            ("wait", json!(["a"]), "not a duration"),
            ("wait", json!([1.5, 2]), "whole numbers, found 1.5"),
            ("wait", json!([1, "2s"]), "both ends"),
            ("succeed_rate", json!([1.0]), "above 0 and below 1"),
            ("succeed_rate", json!([0]), "above 0 and below 1"),
            ("succeed_rate", json!(["x"]), "above 0 and below 1"),
            ("error", json!([1, 2]), "error takes one argument, not 2"),
            ("log", json!([]), "log takes one argument, not 0"),
            ("done", json!([1]), "done takes no arguments, not 1"),
            ("set", json!([{"target": 1}]), "cannot be set"),
            ("set", json!([1]), "mapping"),
            ("http", json!([1]), "own key"),
            (
                "Shop.buy",
                json!([]),
                "does not exist; built in are done, error, http, log, set, succeed_rate, wait",
            ),
            ("a\nb", json!([]), "not a name"),
        ] {
            let error = call(name, &args).unwrap_err().to_string();
            assert!(error.contains(part), "{name}{args}: {error}");
        }
    }

    #[test]
    fn own_actions_are_checked_as_far_as_they_are_known() {
        let known = Actions::built_in().with("A.one", 1).with("A.one", 2);
        assert!(known.call("A.one", &[json!(1)], Templates::Plain).is_ok());
        let error = known.call("A.one", &[], Templates::Plain).unwrap_err().to_string();
        assert_eq!(error, "\"A.one\" takes 1 or 2 arguments, not 0");
        assert!(known.call("A.two", &[], Templates::Plain).is_err());
        assert!(Actions::built_in().allow_unknown().call("A.two", &[], Templates::Plain).is_ok());
        assert!(Actions::built_in().allow_unknown().call("error", &[], Templates::Plain).is_err());
        assert!(Actions::built_in().opaque().call("error", &[], Templates::Plain).is_ok());
    }

    #[test]
    fn rows_are_named_like_calls() {
        assert_eq!(row_name("a", &[]), "a");
        assert_eq!(
            row_name("Shop.buy", &[json!(42), json!("a"), json!([1, {"b": null}])]),
            r#"Shop.buy(42, "a", [1,{"b":null}])"#
        );
    }
}

//! Values of `env` that are not in the spec: found where the run is, and kept out of what it tells.

use crate::types::{BotRunSpec, EnvVar};
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use botarmy_tree::{Finding, Path};
use std::borrow::Cow;

/// Values with fewer characters are not hidden: they stand in any text.
const SHORTEST_HIDDEN: usize = 4;
/// The same in base64: so many characters are four that are known, and no word.
const SHORTEST_ENCODED: usize = 6;
/// What stands in the place of a value.
const HIDDEN: &str = "***";
/// What stands at the end of a text that was cut off.
const CUT: char = '…';

/// A variable whose value is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'s> {
    /// The scenario that has it, by its number; none if it is the run's.
    pub scenario: Option<usize>,
    /// The variable.
    pub variable: &'s EnvVar,
}

impl Wanted<'_> {
    /// The name of the environment variable that carries the value into a pod. No variable of a user is called so:
    /// names of a run and of its scenarios could not be told apart by themselves.
    pub fn carrier(&self) -> String {
        let name = &self.variable.name;
        match self.scenario {
            None => format!("BOTARMY_ENV_{name}"),
            // No name begins with a digit.
            Some(number) => format!("BOTARMY_ENV_{number}_{name}"),
        }
    }
}

/// The variables of a spec whose values are elsewhere.
pub fn wanted(spec: &BotRunSpec) -> impl Iterator<Item = Wanted<'_>> {
    let own = spec.env.iter().map(|variable| Wanted { scenario: None, variable });
    let scenarios = spec.scenarios.iter().enumerate();
    let of_scenarios = scenarios.flat_map(|(number, scenario)| {
        scenario.env.iter().map(move |variable| Wanted { scenario: Some(number), variable })
    });
    own.chain(of_scenarios).filter(|wanted| wanted.variable.value_from.is_some())
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "the value is that of the environment variable {0}, which is not set where the bots run; set it, or look whether what valueFrom names is there"
    )]
    Unset(String),
}

/// Puts values that are elsewhere into a spec that lies at `path`, and tells them. `find` knows the value of a
/// variable.
pub fn resolve(
    spec: &mut BotRunSpec,
    path: &Path,
    find: impl Fn(Wanted<'_>) -> Option<String>,
) -> Result<Secrets, Vec<Finding>> {
    let (mut secrets, mut findings) = (Secrets::default(), Vec::new());
    let mut fill = |scenario: Option<usize>, place: &Path, variables: &mut Vec<EnvVar>| {
        for (i, variable) in variables.iter_mut().enumerate() {
            let Some(source) = &variable.value_from else { continue };
            match find(Wanted { scenario, variable }) {
                Some(value) => {
                    secrets.add(&value);
                    variable.value = value;
                }
                None if source.is_optional() => variable.value.clear(),
                None => {
                    let at = place.field("env").index(i).field("valueFrom");
                    findings.push(Finding::new(&at, &Error::Unset(variable.name.clone())));
                }
            }
            variable.value_from = None;
        }
    };
    fill(None, path, &mut spec.env);
    for (number, scenario) in spec.scenarios.iter_mut().enumerate() {
        fill(Some(number), &path.field("scenarios").index(number), &mut scenario.env);
    }
    if findings.is_empty() { Ok(secrets) } else { Err(findings) }
}

/// Texts that are shown nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// None.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// These values, and what stands behind the last blank of each: the scheme of a credential is no secret.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut secrets = Self::none();
        for value in values {
            secrets.add(value);
            value.trim().rsplit(' ').next().into_iter().for_each(|credential| secrets.add(credential));
        }
        secrets
    }

    fn add(&mut self, value: &str) {
        let is_long = |form: &str| form.chars().count() >= SHORTEST_HIDDEN;
        // As it is written in JSON and in an address, it may look otherwise.
        let json = serde_json::Value::from(value).to_string();
        let whole = [value.to_owned(), value.trim().to_owned(), json.trim_matches('"').to_owned()];
        let addresses = [in_address(value, ""), in_address(value, "/")];
        // Of a key that has several, each line tells something.
        let lines = value.lines().map(|line| line.trim().to_owned());
        let plain = whole.into_iter().chain(addresses).chain(lines).filter(|form| is_long(form));
        let encoded = [value, value.trim()].into_iter().filter(|value| is_long(value)).flat_map(in_base64);
        for form in plain.chain(encoded) {
            if !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // One that holds another goes first, or a part of it would be left.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Adds those of others.
    pub fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|value| self.add(value));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with asterisks in the place of secrets, those that were cut off included.
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        // What was cut off first: its beginning may be another one's whole.
        if !self.0.is_empty() && text.contains(CUT) {
            text = Cow::Owned(text.split_inclusive(CUT).map(|part| self.hide_cut(part)).collect());
        }
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), HIDDEN));
            }
        }
        text
    }

    /// The same for the beginning of a secret, where it was cut off.
    fn hide_cut<'t>(&self, part: &'t str) -> Cow<'t, str> {
        let Some(text) = part.strip_suffix(CUT) else { return Cow::Borrowed(part) };
        match self.0.iter().filter_map(|secret| shared(text, secret)).max() {
            Some(bytes) => Cow::Owned(format!("{}{HIDDEN}{CUT}", &text[..text.len() - bytes])),
            None => Cow::Borrowed(part),
        }
    }
}

/// With how many bytes of a secret's beginning the text ends, if these are too many to be shown.
fn shared(text: &str, secret: &str) -> Option<usize> {
    let ends =
        secret.char_indices().map(|(at, _)| at).skip(SHORTEST_HIDDEN).take_while(|at| *at <= text.len());
    ends.filter(|at| text.ends_with(&secret[..*at])).last()
}

/// As it stands in base64, alone or behind something else, such as a user's name (RFC 4648, RFC 7617): the characters that
/// it alone decides, for each place that it may begin at.
fn in_base64(value: &str) -> impl Iterator<Item = String> {
    let engines: [GeneralPurpose; 2] = [STANDARD_NO_PAD, URL_SAFE_NO_PAD];
    let places = engines.into_iter().flat_map(|engine| (0..3).map(move |place| (engine.clone(), place)));
    let forms = places.map(move |(engine, place)| {
        let mut bytes = vec![0; place];
        bytes.extend(value.as_bytes());
        let whole = bytes.len() * 8 / 6;
        engine.encode(&bytes)[(place * 8).div_ceil(6)..whole].to_owned()
    });
    forms.filter(|form| form.len() >= SHORTEST_ENCODED)
}

/// As it stands in an address: all but what RFC 3986 calls unreserved, and these characters, as percent and two digits.
fn in_address(value: &str, kept: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> BotRunSpec {
        let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let optional = json!({"configMapKeyRef": {"name": "s", "key": "k", "optional": true}});
        serde_json::from_value(json!({
            "trees": {"T": "done"}, "env": [{"name": "A", "value": "plain"}, {"name": "B", "valueFrom": secret}],
            "scenarios": [{"name": "s"}, {"name": "t", "env": [{"name": "B", "valueFrom": secret}, {"name": "C", "valueFrom": optional}]}],
        }))
        .unwrap()
    }

    #[test]
    fn values_from_elsewhere_are_put_in_place() {
        let mut found = spec();
        let carriers: Vec<String> = wanted(&found).map(|wanted| wanted.carrier()).collect();
        assert_eq!(carriers, ["BOTARMY_ENV_B", "BOTARMY_ENV_1_B", "BOTARMY_ENV_1_C"]);
        let value = |wanted: Wanted<'_>| match wanted.scenario {
            _ if wanted.variable.name == "C" => None,
            None => Some("of the run".to_owned()),
            Some(_) => Some("of the scenario".to_owned()),
        };
        let secrets = resolve(&mut found, &Path::top(), value).unwrap();
        let values: Vec<&str> = found.env.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(values, ["plain", "of the run"]);
        let values: Vec<&str> = found.scenarios[1].env.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(values, ["of the scenario", ""]);
        assert_eq!(secrets.hide("plain, of the scenario or of%20the%20run"), "plain, *** or ***");
        assert_eq!(wanted(&found).count(), 0);
    }

    #[test]
    fn a_value_that_is_not_there_is_told_with_its_place() {
        let mut found = spec();
        let findings = resolve(&mut found, &Path::top().field("spec"), |_| None).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("spec.env[1].valueFrom: ") && told[0].contains("variable B"), "{told:?}");
        assert!(told[1].starts_with("spec.scenarios[1].env[0].valueFrom: "), "{told:?}");
    }

    #[test]
    fn secrets_are_hidden_in_all_their_forms() {
        let mut secrets = Secrets::default();
        for value in ["pass", "password", "a\"b/c\n", "abc", ""] {
            secrets.add(value);
        }
        for (text, hidden) in [
            ("the password is password", "the *** is ***"),
            ("passing", "***ing"),
            (r#"{"key": "a\"b/c\n"}"#, r#"{"key": "***"}"#),
            ("/x?key=a%22b%2Fc%0A&y", "/x?key=***&y"),
            ("/x?key=a%22b/c%0A&y", "/x?key=***&y"),
            ("the pass…, then p…", "the ***…, then p…"),
            ("it was passwo…", "it was ***…"),
            ("passworn…", "***worn…"),
            ("a\"b/c", "***"),
            ("abc is too short to be hidden", "abc is too short to be hidden"),
        ] {
            assert_eq!(secrets.hide(text), hidden);
        }
        let of = |value: &str| Secrets::of([value]);
        for (user, encoded) in [("", ""), ("a:", "YTp"), ("me:", "bWU6"), ("you:", "eW91O")] {
            let sent = STANDARD_NO_PAD.encode(format!("{user}s3cr3t-t0ken-of-mine"));
            let hidden = of("s3cr3t-t0ken-of-mine").hide(&sent).into_owned();
            assert!(hidden.starts_with(encoded) && hidden.contains(HIDDEN), "{sent}: {hidden}");
            assert!(hidden.len() <= encoded.len() + HIDDEN.len() + 3, "{sent}: {hidden}");
        }
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n";
        assert_eq!(of(key).hide("a line: MIIEvQIBADANBg."), "a line: ***.");
        let token = "t".repeat(70) + "0123456789" + &"u".repeat(120);
        assert_eq!(of(&token).hide(&format!("is \"{}…, not this", &token[..79])), "is \"***…, not this");
        assert!(matches!(secrets.hide("nothing"), Cow::Borrowed(_)));
        assert!(Secrets::default().is_empty() && !secrets.is_empty());
    }
}

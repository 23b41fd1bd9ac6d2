//! The actions that steer a bot and do nothing to the target: they share that they need nothing
//! but the bot itself.

use crate::{Action, Answer, Bot, Outcome, Step};
use botarmy_report::{FailureClass, Observed};
use botarmy_tree::action;
use botarmy_tree::draw::Draw;
use botarmy_tree::template::{self, RenderError};
use botarmy_tree::{Template, duration};
use std::time::Duration;

/// Succeeds after a time.
#[derive(Debug)]
pub struct Wait(action::Wait);

impl Wait {
    /// A wait of the plan.
    pub fn new(wait: &action::Wait) -> Self {
        Self(wait.clone())
    }
}

impl Action for Wait {
    fn run<'a>(&'a self, bot: Bot<'a>, draw: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let time = match &self.0 {
            action::Wait::Fixed(time) => *time,
            action::Wait::Seconds(low, high) => Duration::from_secs(draw().between(*low, *high)),
            action::Wait::Millis(low, high) => Duration::from_millis(draw().between(*low, *high)),
            action::Wait::Rendered(template) => {
                match template.render(bot.scope).map(|v| duration::from_value(&v)) {
                    Ok(Ok(time)) => time,
                    Ok(Err(error)) => return Outcome::Error(error.to_string()).into(),
                    Err(error) => return error.into(),
                }
            }
        };
        if time.is_zero() {
            return Outcome::Succeed.into();
        }
        Step::Pending(Box::pin(async move {
            tokio::time::sleep(time).await;
            Outcome::Succeed.into()
        }))
    }
}

/// Succeeds with a probability.
#[derive(Debug)]
pub struct SucceedRate(f64);

impl SucceedRate {
    /// With this probability, between 0 and 1.
    pub fn new(rate: f64) -> Self {
        Self(rate)
    }
}

impl Action for SucceedRate {
    fn run<'a>(&'a self, _: Bot<'a>, draw: &mut dyn FnMut() -> Draw) -> Step<'a> {
        if draw().unit() < self.0 { Outcome::Succeed.into() } else { Outcome::Fail.into() }
    }
}

/// Ends the bot, its work done.
#[derive(Debug)]
pub struct Done;

impl Action for Done {
    fn run<'a>(&'a self, _: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Outcome::Done.into()
    }
}

/// Ends the bot with a reason.
#[derive(Debug)]
pub struct Error(Template);

impl Error {
    /// With this reason.
    pub fn new(reason: &Template) -> Self {
        Self(reason.clone())
    }
}

impl Action for Error {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let mut reason = String::new();
        match self.0.render_text(bot.scope, &mut reason) {
            Ok(()) => Outcome::Error(reason).into(),
            Err(error) => error.into(),
        }
    }
}

/// Writes a line to the log.
#[derive(Debug)]
pub struct Log(Template);

impl Log {
    /// This line.
    pub fn new(message: &Template) -> Self {
        Self(message.clone())
    }
}

impl Action for Log {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let mut message = String::new();
        match self.0.render_text(bot.scope, &mut message) {
            Ok(()) => {
                tracing::info!(bot_id = bot.scope.bot, "{message}");
                Outcome::Succeed.into()
            }
            Err(error) => error.into(),
        }
    }
}

/// The condition of an `if`.
#[derive(Debug)]
pub struct If(Template);

impl If {
    /// This condition.
    pub fn new(condition: &Template) -> Self {
        Self(condition.clone())
    }
}

impl Action for If {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        match self.0.render(bot.scope) {
            Ok(value) if template::is_true(&value) => Outcome::Succeed.into(),
            Ok(_) => Outcome::Fail.into(),
            Err(error) => error.into(),
        }
    }
}

/// Looks whether a condition holds.
#[derive(Debug)]
pub struct Check(Template);

impl Check {
    /// This condition.
    pub fn new(condition: &Template) -> Self {
        Self(condition.clone())
    }
}

impl Action for Check {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        match self.0.render(bot.scope) {
            Ok(value) if template::is_true(&value) => Outcome::Succeed.into(),
            Ok(_) => Outcome::Unmet.into(),
            // It steers nothing, whatever it finds: what is not there does not hold, and why is told.
            Err(error) => {
                let observed = Observed::failed(FailureClass::Expectation, error.to_string());
                Step::Ready(Box::new(Answer { observed, ..Outcome::Unmet.into() }))
            }
        }
    }
}

/// Puts values into the context.
#[derive(Debug)]
pub struct Set(Vec<(String, Template)>);

impl Set {
    /// These values, by name.
    pub fn new(values: &[(String, Template)]) -> Self {
        Self(values.to_vec())
    }
}

impl Action for Set {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let updates = self.0.iter().map(|(name, value)| Ok((name.clone(), value.render(bot.scope)?)));
        match updates.collect::<Result<_, RenderError>>() {
            Ok(updates) => Step::Ready(Box::new(Answer { updates, ..Outcome::Succeed.into() })),
            Err(error) => Step::from(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connections, Hosts, Network};
    use botarmy_tree::{Context, RunScope, Scope};
    use serde_json::json;

    async fn answer(action: &dyn Action, visit: u32) -> Answer {
        let context: Context = [("delay".to_owned(), json!("20ms"))].into();
        let run = RunScope::default();
        let connections = Connections::default();
        let bot = Bot { scope: Scope::new(&run, 1, &context), connections: &connections };
        match action.run(bot, &mut || Draw::new(1, 1, 1, visit)) {
            Step::Plain(outcome) => outcome.into(),
            Step::Ready(answer) => *answer,
            Step::Pending(later) => later.await,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_take_their_time() {
        for (wait, range) in [
            (action::Wait::Fixed(Duration::from_millis(1500)), 1500..=1500),
            (action::Wait::Seconds(1, 3), 1000..=3000),
            (action::Wait::Millis(10, 30), 10..=30),
            (action::Wait::Rendered(Template::text("{{ delay }}").unwrap()), 20..=20),
            (action::Wait::Fixed(Duration::ZERO), 0..=0),
        ] {
            let before = tokio::time::Instant::now();
            assert_eq!(answer(&Wait::new(&wait), 0).await.outcome, Outcome::Succeed);
            // A timer of the runtime fires on the millisecond after its time.
            let millis = before.elapsed().as_millis();
            assert!(range.contains(&millis) || range.contains(&(millis - 1)), "{wait:?}: {millis}");
        }
        let undefined = action::Wait::Rendered(Template::text("{{ nope }}").unwrap());
        assert!(matches!(answer(&Wait::new(&undefined), 0).await.outcome, Outcome::Error(_)));
    }

    #[tokio::test]
    async fn the_rate_of_success_is_kept() {
        let mut succeeded = 0;
        for visit in 0..10_000 {
            succeeded += u32::from(answer(&SucceedRate::new(0.3), visit).await.outcome == Outcome::Succeed);
        }
        assert!((2_850..3_150).contains(&succeeded), "{succeeded}");
    }

    #[tokio::test]
    async fn ends_and_updates_are_answers() {
        assert_eq!(answer(&Done, 0).await.outcome, Outcome::Done);
        let reason = Template::text("no {{ delay }}").unwrap();
        assert_eq!(answer(&Error::new(&reason), 0).await.outcome, Outcome::Error("no 20ms".into()));
        let set = Set::new(&[("a".into(), Template::value(&json!({"b": "{{ delay }}"})).unwrap())]);
        assert_eq!(answer(&set, 0).await.updates, [("a".to_owned(), json!({"b": "20ms"}))]);
        assert_eq!(answer(&Log::new(&reason), 0).await.outcome, Outcome::Succeed);
        let _ = Network::new(&Hosts::default()).unwrap();
    }
}

//! What the bots of a squad tell the bot log, if one is kept.

use crate::bot_log::{Farewell, Level, Lines, Record};
use botarmy_actions::{Action, Bot, Outcome, Step};
use botarmy_report::Outcome as Recorded;
use botarmy_spec::{Scenario, Secrets};
use botarmy_tree::Template;
use botarmy_tree::action::Call;
use botarmy_tree::draw::Draw;
use botarmy_tree::plan::LeafRecord;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Writes the lines of one squad; nothing where no log is kept.
#[derive(Debug, Clone)]
pub(super) struct Journal(Option<Kept>);

#[derive(Debug, Clone)]
struct Kept {
    /// All squads of a worker write to the same.
    lines: Rc<RefCell<Lines>>,
    scenario: Option<Rc<str>>,
}

impl Journal {
    pub(super) fn new(lines: Option<&Rc<RefCell<Lines>>>, scenario: &Scenario) -> Self {
        Self(
            lines
                .map(|lines| Kept { lines: lines.clone(), scenario: scenario.name.as_deref().map(Rc::from) }),
        )
    }

    /// Whether there is a log.
    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn born(&self, bot: u64) {
        if let Some(kept) = &self.0 {
            kept.lines.borrow_mut().born(bot, kept.scenario.as_deref());
        }
    }

    pub(super) fn gone(&self, bot: u64, uptime: Duration, how: &Farewell) {
        if let Some(kept) = &self.0 {
            kept.lines.borrow_mut().gone(bot, kept.scenario.as_deref(), uptime, how);
        }
    }

    /// Tells how a leaf came out; `done` if the bot's work ended with its success.
    #[inline]
    pub(super) fn ran(&self, bot: u64, leaf: &LeafRecord, outcome: Recorded, done: bool, micros: u64) {
        let Some(kept) = &self.0 else { return };
        let level = match outcome {
            Recorded::Fail => Level::Warn,
            Recorded::Error | Recorded::Crash => Level::Error,
            Recorded::Succeed | Recorded::Cancelled => Level::Info,
        };
        kept.write(&Record {
            level,
            bot_id: Some(bot),
            action: Some(leaf.short_name()),
            outcome: Some(if done { "done" } else { outcome.name() }),
            duration: Some(micros / 1000),
            ..Record::default()
        });
    }

    /// The action of a leaf that says something to the log, if there is one.
    pub(super) fn action(&self, leaf: &LeafRecord, secrets: &Secrets) -> Option<Box<dyn Action>> {
        match (&self.0, &leaf.call) {
            (Some(kept), Call::Log(text)) => {
                Some(Box::new(Log { text: text.clone(), kept: kept.clone(), secrets: secrets.clone() }))
            }
            _ => None,
        }
    }
}

impl Kept {
    fn write(&self, record: &Record<'_>) {
        let scenario = self.scenario.as_deref();
        self.lines.borrow_mut().write(&Record { scenario, ..*record });
    }
}

/// The built-in `log` where a log is kept: its line goes there, too.
struct Log {
    text: Template,
    kept: Kept,
    secrets: Secrets,
}

impl Action for Log {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let mut message = String::new();
        match self.text.render_text(bot.scope, &mut message) {
            Ok(()) => {
                let message = self.secrets.hide(&message);
                tracing::info!(bot_id = bot.scope.bot, "{message}");
                let bot_id = Some(bot.scope.bot);
                self.kept.write(&Record { message: &message, bot_id, ..Record::default() });
                Outcome::Succeed.into()
            }
            Err(error) => error.into(),
        }
    }
}

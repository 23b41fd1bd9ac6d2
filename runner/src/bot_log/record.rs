//! What a line of the log says.

use std::time::Duration;

/// How much a line matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// What goes on.
    #[default]
    Info,
    /// What did not come out as it should, or is worth a look.
    Warn,
    /// What is wrong.
    Error,
}

impl Level {
    /// The word in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A line of the log: a message and the keys that are there, which stand in the order of the fields.
/// The time and the `bot_run_id` are added when it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// How much it matters.
    pub level: Level,
    /// What it says; empty for an action.
    pub message: &'a str,
    /// Which bot it is about.
    pub bot_id: Option<u64>,
    /// The action that was done, without its arguments.
    pub action: Option<&'a str>,
    /// How the action came out, as one word.
    pub outcome: Option<&'a str>,
    /// Why the bot died.
    pub error: Option<&'a str>,
    /// How long it took, in whole milliseconds.
    pub duration: Option<u64>,
    /// How long the bot has lived or the run has gone on; written in words.
    pub uptime: Option<Duration>,
    /// How many bots are alive.
    pub bot_count: Option<u32>,
    /// The population that the bot belongs to, in a run of several.
    pub scenario: Option<&'a str>,
    /// How many lines were dropped since this was last told.
    pub dropped: Option<u64>,
}

/// A value of a key.
#[derive(Debug, Clone)]
pub(super) enum Field<'a> {
    Number(u64),
    /// A text of which so many bytes are kept.
    Text(&'a str, usize),
    Words(String),
}

/// A key, and its value if it is there.
pub(super) type Pair<'a> = (&'static str, Option<Field<'a>>);

/// Most that is kept of a name, in bytes.
pub(super) const MAX_NAME: usize = 256;
/// Most that is kept of a reason, in bytes.
const MAX_REASON: usize = 2048;
/// Most that is kept of a message, in bytes.
pub(super) const MAX_MESSAGE: usize = 4096;
/// No line is longer, in bytes.
pub(super) const MAX_LINE: usize = 8192;

impl<'a> Record<'a> {
    /// The keys before and after `bot_run_id`, those that are absent too, in their order.
    pub(super) fn fields(&self) -> ([Pair<'a>; 1], [Pair<'a>; 8]) {
        let number = |n: Option<u64>| n.map(Field::Number);
        let text = |text: Option<&'a str>, most| text.map(|t| Field::Text(t, most));
        (
            [("bot_id", number(self.bot_id))],
            [
                ("action", text(self.action, MAX_NAME)),
                ("outcome", text(self.outcome, MAX_NAME)),
                ("error", text(self.error, MAX_REASON)),
                ("duration", number(self.duration)),
                ("uptime", self.uptime.map(|t| Field::Words(super::uptime::in_words(t)))),
                ("bot_count", number(self.bot_count.map(u64::from))),
                ("scenario", text(self.scenario, MAX_NAME)),
                ("dropped", number(self.dropped)),
            ],
        )
    }
}

//! What is known of one execution beside its outcome and its time.

use serde::{Deserialize, Serialize};

/// Why an execution failed, as far as it can be told apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// The name of the target could not be resolved.
    Dns,
    /// No connection came about, or it broke.
    Connect,
    /// TLS could not be agreed on.
    Tls,
    /// The answer, or what a bot has waited for, was not there in time.
    Timeout,
    /// What came was not the protocol.
    Protocol,
    /// The answer had a status that is not expected.
    Status,
    /// The answer was not what is expected in another way.
    Expectation,
    /// An action of the user's own failed, or any action panicked.
    Action,
    /// The generator ran out of something: its figures are then not about the target.
    Local,
    /// The tree is wrong for the bot, which ended for this reason.
    Error,
}

impl FailureClass {
    /// All classes, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Protocol,
        Self::Status,
        Self::Expectation,
        Self::Action,
        Self::Local,
        Self::Error,
    ];

    /// The word used in JSON and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Expectation => "expectation",
            Self::Action => "action",
            Self::Local => "local",
            Self::Error => "error",
        }
    }
}

/// A failure told apart, with the words that a person needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: FailureClass,
    /// What happened, in a line.
    pub message: String,
}

/// A step on the way to an answer that is timed on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The name was resolved; not counted when its address was known already.
    Dns,
    /// The connection was opened.
    Connect,
    /// TLS was agreed on.
    Tls,
    /// From handing over the request until the head of its answer was there.
    FirstByte,
}

impl Part {
    /// All parts, in the order in which they happen.
    pub const ALL: [Self; 4] = [Self::Dns, Self::Connect, Self::Tls, Self::FirstByte];

    /// Place in [`Part::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What one execution tells about itself. Most tell nothing; telling it costs no allocation unless
/// the execution failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Why it failed.
    pub failure: Option<Box<Failure>>,
    /// The status code of the answer.
    pub status: Option<u16>,
    /// Bytes received, everything below the application included.
    pub bytes_in: u64,
    /// Bytes sent, everything below the application included.
    pub bytes_out: u64,
    /// Microseconds by [`Part::index`], of those that happened.
    pub parts: [Option<u32>; 4],
}

impl Observed {
    /// Only a failure.
    pub fn failed(class: FailureClass, message: impl Into<String>) -> Self {
        let failure = Failure { class, message: message.into() };
        Self { failure: Some(Box::new(failure)), ..Self::default() }
    }

    /// Keeps how long a part took.
    pub fn took(&mut self, part: Part, time: std::time::Duration) {
        self.parts[part.index()] = Some(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_agree() {
        for class in FailureClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
        assert!(FailureClass::ALL.is_sorted());
        for (place, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part.index(), place);
        }
    }

    #[test]
    fn a_part_longer_than_an_hour_is_an_hour() {
        let mut observed = Observed::default();
        observed.took(Part::Tls, std::time::Duration::from_secs(5_000));
        assert_eq!(observed.parts, [None, None, Some(u32::MAX), None]);
    }
}

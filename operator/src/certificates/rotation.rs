//! When the authority is exchanged, and how far that is. Pure.
//!
//! Each step is written into the Secret before it has an effect, and what the Secret says is all that the next step
//! depends on: whoever leads goes on where another one has left off.
//!
//! 1. A next authority is made. Runners are told to trust both; the old one signs.
//! 2. When all trust both, the next one signs, and runners trust both all the same.
//! 3. When no operator signs with the old one any more, runners are told to trust the new one alone.

use super::authority::Validity;
use jiff::Timestamp;
use std::time::Duration;

/// How long both authorities are told before the next one signs, at least: runs that were taken over a moment ago are
/// known by then.
pub const SETTLE: Duration = Duration::from_secs(15);
/// How long runners are waited for at least that do not say that they trust the next one. Those that live are heard each
/// second, and the file of one that only reads its file is up to date by then.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// How long the old one is trusted after the next one has begun to sign: each operator has seen that by then.
pub const FAREWELL: Duration = Duration::from_secs(60);

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is one authority.
    Steady,
    /// The next one is told to runners.
    Distributing,
    /// The next one signs; the old one is still trusted.
    Retiring,
}

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How far it is.
    pub stage: Stage,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When the authority holds that signs.
    pub validity: Validity,
    /// Somebody has asked for a rotation.
    pub asked: bool,
    /// All runners have said that they trust the next one.
    pub trusted: bool,
    /// When a runner that is cut off has stopped by itself, whichever it is.
    pub lease: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing now.
    Wait,
    /// It is not known since when the stage goes on: it begins now.
    Date,
    /// Make the next authority, and tell runners to trust it.
    Begin,
    /// Sign with the next one.
    Switch,
    /// Trust the old one no longer.
    Drop,
}

/// The next step, where an authority is to hold for so long.
pub fn next(seen: &Seen, now: Timestamp, valid_for: Duration) -> Step {
    let due = seen.asked || now >= seen.validity.renewal(valid_for);
    if seen.stage == Stage::Steady {
        return if due { Step::Begin } else { Step::Wait };
    }
    let Some(since) = seen.since else { return Step::Date };
    // By somebody else's clock, which may be ahead: whichever way it differs, the wait has an end.
    let goes_on = now.duration_since(since).unsigned_abs();
    match seen.stage {
        Stage::Distributing if seen.trusted && goes_on >= SETTLE => Step::Switch,
        Stage::Distributing if goes_on >= PATIENCE.max(seen.lease) => Step::Switch,
        Stage::Retiring if goes_on >= FAREWELL => Step::Drop,
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_step_has_its_time() {
        const NOW: i64 = 1_900_000_000;
        let young = (NOW - DAY, NOW + 364 * DAY);
        let old = (NOW - 244 * DAY, NOW + 121 * DAY);
        let not_yet = (NOW - 243 * DAY, NOW + 122 * DAY);
        // Made when authorities held for ever: as old as can be.
        let endless = (157_766_400, 67_090_118_400);
        let expired = (NOW - 400 * DAY, NOW - 35 * DAY);
        let (no, yes) = (false, true);
        for (stage, since, validity, asked, trusted, step) in [
            (Stage::Steady, None, young, no, yes, Step::Wait),
            (Stage::Steady, None, not_yet, no, no, Step::Wait),
            (Stage::Steady, None, old, no, no, Step::Begin),
            (Stage::Steady, None, expired, no, no, Step::Begin),
            (Stage::Steady, None, endless, no, no, Step::Begin),
            (Stage::Steady, Some(NOW - 1), young, yes, no, Step::Begin),
            (Stage::Distributing, None, young, no, yes, Step::Date),
            (Stage::Distributing, Some(NOW), young, no, yes, Step::Wait),
            (Stage::Distributing, Some(NOW - 14), young, no, yes, Step::Wait),
            (Stage::Distributing, Some(NOW - 15), young, no, yes, Step::Switch),
            (Stage::Distributing, Some(NOW - 15), young, no, no, Step::Wait),
            (Stage::Distributing, Some(NOW - 299), young, yes, no, Step::Wait),
            (Stage::Distributing, Some(NOW - 300), young, no, no, Step::Switch),
            // A clock that is ahead makes it longer, but not endless.
            (Stage::Distributing, Some(NOW + 10), young, no, yes, Step::Wait),
            (Stage::Distributing, Some(NOW + 10 * DAY), young, no, no, Step::Switch),
            (Stage::Retiring, None, old, yes, no, Step::Date),
            (Stage::Retiring, Some(NOW - 59), young, no, yes, Step::Wait),
            (Stage::Retiring, Some(NOW - 59), young, yes, yes, Step::Wait),
            (Stage::Retiring, Some(NOW - 60), young, no, no, Step::Drop),
            (Stage::Retiring, Some(NOW - 60), young, yes, no, Step::Drop),
            (Stage::Retiring, Some(NOW + 10 * DAY), young, no, no, Step::Drop),
        ] {
            let validity = Validity { from: at(validity.0), until: at(validity.1) };
            let lease = Duration::from_secs(150);
            let seen = Seen { stage, since: since.map(at), validity, asked, trusted, lease };
            assert_eq!(next(&seen, at(NOW), YEAR), step, "{seen:?}");
        }
    }

    #[test]
    fn who_is_cut_off_is_waited_for_as_long_as_it_goes_on_alone() {
        let validity = Validity { from: at(0), until: at(365 * DAY) };
        let since = Some(at(1_000));
        let lease = Duration::from_secs(3_630);
        let seen = Seen { stage: Stage::Distributing, since, validity, asked: false, trusted: false, lease };
        assert_eq!(next(&seen, at(1_000 + 3_629), YEAR), Step::Wait);
        assert_eq!(next(&seen, at(1_000 + 3_630), YEAR), Step::Switch);
    }

    #[test]
    fn a_shorter_time_holds_for_an_authority_that_there_is_already() {
        let validity = Validity { from: at(0), until: at(365 * DAY) };
        let seen = Seen {
            stage: Stage::Steady,
            since: None,
            validity,
            asked: false,
            trusted: false,
            lease: PATIENCE,
        };
        let month = Duration::from_secs(30 * 24 * 3600);
        assert_eq!(next(&seen, at(20 * DAY - 1), month), Step::Wait);
        assert_eq!(next(&seen, at(20 * DAY), month), Step::Begin);
    }
}

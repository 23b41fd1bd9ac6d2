//! Which second of a run measures belong to.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// The seconds since the start of a run, measures of which are taken again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds {
    start: Instant,
    /// When measures were last taken.
    taken: Instant,
}

impl Seconds {
    pub(crate) fn since(start: Instant) -> Self {
        Self { start, taken: start }
    }

    /// How long until the second that goes on is over: measures taken then are those of this second.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.start);
        SECOND.saturating_sub(Duration::from_nanos(since.subsec_nanos().into()))
    }

    /// The second of what is taken now: that in which the middle of the time since the last take lies.
    pub(crate) fn take(&mut self, now: Instant) -> u64 {
        let taken = self.taken;
        self.taken = now.max(taken);
        let middle = taken + now.saturating_duration_since(taken) / 2;
        middle.saturating_duration_since(self.start).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_belong_to_the_second_in_which_most_of_them_were_made() {
        let start = Instant::now() + Duration::from_secs(100);
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut seconds = Seconds::since(start);
        for (millis, second, rest) in
            [(1_002, 0, 998), (2_001, 1, 999), (2_400, 2, 600), (3_000, 2, 1_000), (6_100, 4, 900)]
        {
            assert_eq!(seconds.take(at(millis)), second, "{millis}");
            assert_eq!(seconds.rest(at(millis)), Duration::from_millis(rest), "{millis}");
        }
        let early = Instant::now();
        assert_eq!((seconds.rest(early), Seconds::since(start).take(early)), (SECOND, 0));
    }
}

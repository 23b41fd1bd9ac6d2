//! What the log tells of a load as a whole.

use super::{Level, Lines, Record, Sink};
use std::time::{Duration, Instant};

/// How often the number of bots is told.
const EVERY: Duration = Duration::from_secs(5);

/// Tells how a load begins, how many bots are alive every five seconds, and how it ends.
#[derive(Debug)]
pub struct Chronicle {
    lines: Lines,
    started: Instant,
    /// When the number of bots is told next, since the start.
    next: Duration,
    over: bool,
}

impl Chronicle {
    /// Tells that a load begins, whose times count from `started`, with so many bots at its height; 0 if
    /// they come by a rate.
    pub fn begin(sink: &Sink, bots: u32, started: Instant) -> Self {
        let mut lines = sink.lines();
        let message = match bots {
            0 => "Starting up bots as they arrive...".to_owned(),
            n => format!("Starting up {n} bots..."),
        };
        lines.write(&Record { level: Level::Warn, message: &message, ..Record::default() });
        lines.flush();
        Self { lines, started, next: EVERY, over: false }
    }

    /// Writes what is due; to be told about once a second where the run stands.
    pub fn tell(&mut self, alive: u32, finished: bool) {
        self.tell_at(self.started.elapsed(), alive, finished);
    }

    fn tell_at(&mut self, since_start: Duration, alive: u32, finished: bool) {
        let uptime = Some(since_start);
        if self.over {
            return;
        }
        if finished {
            self.over = true;
            let message = "All bots have finished";
            self.lines.write(&Record { level: Level::Warn, message, uptime, ..Record::default() });
        } else if since_start >= self.next {
            while self.next <= since_start {
                self.next += EVERY;
            }
            self.lines.write(&Record { uptime, bot_count: Some(alive), ..Record::default() });
        }
        self.lines.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Log;
    use super::*;

    #[test]
    fn a_run_begins_is_told_every_five_seconds_and_ends_once() {
        let log = Log::open();
        let mut chronicle = Chronicle::begin(log.sink(), 40, Instant::now());
        for (millis, alive, finished) in [
            (1_000, 40, false),
            (5_003, 40, false),
            (5_999, 41, false),
            (16_000, 3, false),
            (19_999, 2, false),
            (20_000, 1, false),
            (21_500, 0, true),
            (26_000, 0, true),
        ] {
            chronicle.tell_at(Duration::from_millis(millis), alive, finished);
        }
        drop(chronicle);
        drop(Chronicle::begin(log.sink(), 0, Instant::now()));
        let lines = log.close();
        let rests: Vec<_> = lines.iter().map(|l| l.split_once("bot_run_id=r ").unwrap().1).collect();
        assert_eq!(
            rests,
            [
                "[warn] Starting up 40 bots...",
                "uptime=\"5 seconds, 3.0 milliseconds\" bot_count=40 [info] ",
                "uptime=\"16 seconds\" bot_count=3 [info] ",
                "uptime=\"20 seconds\" bot_count=1 [info] ",
                "uptime=\"21 seconds, 500.0 milliseconds\" [warn] All bots have finished",
                "[warn] Starting up bots as they arrive...",
            ]
        );
    }
}

//! The line that moves while an army runs.

use botarmy_report::Totals;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where nothing can be overwritten: a log is not to be flooded.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Between two lines where one takes the other's place: more than that nobody can read.
const TERMINAL_EVERY: Duration = Duration::from_millis(500);

/// Shows how a run goes on, on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    terminal: bool,
    shown: Option<Instant>,
    before: (Instant, u64),
}

impl Progress {
    pub(super) fn new(started: Instant) -> Self {
        Self::on(std::io::stderr().is_terminal(), started)
    }

    fn on(terminal: bool, started: Instant) -> Self {
        Self { started, terminal, shown: None, before: (started, 0) }
    }

    /// Shows where the run stands, if it is time for it.
    pub(super) fn show(&mut self, totals: &Totals, alive: u32) {
        let Some(line) = self.line(Instant::now(), totals, alive) else { return };
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to end the run.
        let _ = if self.terminal { write!(out, "\r\u{1b}[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Says something on a line of its own.
    pub(super) fn say(&self, what: &str) {
        self.finish();
        let _ = writeln!(std::io::stderr().lock(), "{what}");
    }

    /// Leaves the line, so that what follows begins on a new one.
    pub(super) fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            let _ = writeln!(std::io::stderr().lock());
        }
    }

    /// What there is to say now; none when the last line is too young.
    fn line(&mut self, now: Instant, totals: &Totals, alive: u32) -> Option<String> {
        let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
        if self.shown.is_some_and(|shown| now - shown < every) {
            return None;
        }
        self.shown = Some(now);
        let (before, count_before) = self.before;
        let rate = (totals.requests - count_before) as f64 / (now - before).as_secs_f64().max(0.001);
        self.before = (now, totals.requests);
        let series = totals.total();
        let p95 = series
            .latency()
            .quantile(0.95)
            .map_or("-".to_owned(), |us| format!("{:.1}ms", us as f64 / 1000.0));
        let errors = series.fail_rate().map_or("-".to_owned(), |rate| format!("{:.2}%", rate * 100.0));
        let seconds = (now - self.started).as_secs();
        Some(format!("{seconds:>5}s  {alive} bots  {rate:.0} requests/s  p95 {p95}  errors {errors}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of so many looks with a pause between two of them; 10 requests each.
    fn lines(terminal: bool, looks: u32, pause: Duration) -> Vec<String> {
        let started = Instant::now();
        let mut progress = Progress::on(terminal, started);
        let look = |n: u32| {
            let totals = Totals { requests: u64::from(n) * 10, ..Totals::default() };
            progress.line(started + pause * n, &totals, 3)
        };
        (1..=looks).filter_map(look).collect()
    }

    #[test]
    fn a_log_gets_a_line_in_ten_seconds() {
        let lines = lines(false, 60, Duration::from_secs(1));
        let times: Vec<&str> = lines.iter().filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(times, ["1s", "11s", "21s", "31s", "41s", "51s"]);
        assert!(lines.iter().all(|l| l.ends_with("s  3 bots  10 requests/s  p95 -  errors -")), "{lines:#?}");
    }

    #[test]
    fn a_run_that_is_ending_is_looked_at_often_and_shown_seldom() {
        let pause = Duration::from_millis(10);
        assert_eq!(lines(false, 3000, pause).len(), 3);
        assert_eq!(lines(true, 3000, pause).len(), 60);
    }
}

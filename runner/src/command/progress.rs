//! The line that moves while an army runs.

use botarmy_report::Totals;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where nothing can be overwritten.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

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
        Self { started, terminal: std::io::stderr().is_terminal(), shown: None, before: (started, 0) }
    }

    /// Shows where the run stands, if it is time for it.
    pub(super) fn show(&mut self, totals: &Totals, alive: u32) {
        let now = Instant::now();
        if !self.terminal && self.shown.is_some_and(|shown| now - shown < PLAIN_EVERY) {
            return;
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
        let line = format!("{seconds:>5}s  {alive} bots  {rate:.0} requests/s  p95 {p95}  errors {errors}");
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to end the run.
        let _ = if self.terminal { write!(out, "\r\u{1b}[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Leaves the line, so that what follows begins on a new one.
    pub(super) fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            eprintln!();
        }
    }
}

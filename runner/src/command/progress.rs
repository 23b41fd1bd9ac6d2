//! What a person sees while an army runs: some lines that are drawn in their place on a terminal, else a
//! line now and then.

mod recent;
mod view;

use super::output::complain;
use super::screen;
use botarmy_report::Totals;
use botarmy_spec::Run;
use recent::{Counts, Recent};
use std::sync::Arc;
use std::time::{Duration, Instant};
use view::{Phase, View};

/// Between two lines where nothing can be overwritten: a log is not to be flooded.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Between two views where one takes the other's place: more than that nobody can read. Percentiles are
/// made no more often either.
const TERMINAL_EVERY: Duration = Duration::from_millis(500);

/// Shows how a run goes on, on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    run: Arc<Run>,
    started: Instant,
    terminal: bool,
    colours: bool,
    ending: bool,
    shown: Option<Instant>,
    recent: Recent,
    /// Iterations of the warm-up: they are in no result, but there are fewer to come.
    warm: u64,
}

impl Progress {
    /// Call it in a runtime, which watches the size of the terminal.
    pub(super) fn new(run: Arc<Run>, started: Instant) -> Self {
        let terminal = screen::can_redraw();
        if terminal {
            screen::follow_resizes();
            screen::make_way_for_panics();
        }
        let mut progress = Self::on(terminal, run, started);
        progress.colours = screen::has_colours();
        progress
    }

    fn on(terminal: bool, run: Arc<Run>, started: Instant) -> Self {
        let (shown, recent) = (None, Recent::since(started));
        Self { run, started, terminal, colours: false, ending: false, shown, recent, warm: 0 }
    }

    /// Takes note of iterations of the warm-up.
    pub(super) fn warmed_up(&mut self, iterations: u64) {
        self.warm = self.warm.saturating_add(iterations);
    }

    /// Shows where the run stands, if it is time for it.
    pub(super) fn show(&mut self, totals: &Totals, alive: u32) {
        let Some(view) = self.due(Instant::now(), totals, alive) else { return };
        if self.terminal {
            let colours = self.colours;
            screen::show(move |size| view.lines(size, colours));
        } else {
            complain(&view.line());
        }
    }

    /// Says why nothing new begins from now on.
    pub(super) fn end(&mut self, why: &str) {
        self.ending = true;
        complain(&why);
        if self.terminal {
            // The view is to say so at once.
            self.shown = None;
        }
    }

    /// Takes away what is drawn, so that nothing of it is left among what follows.
    pub(super) fn finish(&mut self) {
        self.shown = None;
        screen::clear();
    }

    /// Whether what was shown last is old enough; then it takes note of the time.
    fn is_due(&mut self, now: Instant) -> bool {
        let every = if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY };
        let is_due = self.shown.is_none_or(|shown| now - shown >= every);
        if is_due {
            self.shown = Some(now);
        }
        is_due
    }

    /// What there is to show now; none when what was shown last is too young.
    fn due(&mut self, now: Instant, totals: &Totals, alive: u32) -> Option<View> {
        self.is_due(now).then(|| self.view(now, totals, alive))
    }

    fn view(&mut self, now: Instant, totals: &Totals, alive: u32) -> View {
        let whole = Counts::of(totals);
        let elapsed = now.saturating_duration_since(self.started);
        let duration = self.run.duration();
        let latency = totals.total().latency();
        let phase = if self.ending || duration.is_some_and(|all| elapsed >= all) {
            Phase::Ending
        } else if elapsed < self.run.warmup {
            Phase::WarmUp(self.run.warmup.saturating_sub(elapsed))
        } else {
            Phase::Running
        };
        let iterations = self.run.scenarios.iter().map(|s| s.load.iterations).collect::<Option<Vec<u64>>>();
        let made = totals.iterations.saturating_add(self.warm);
        View {
            run: self.run.name.clone(),
            phase,
            elapsed,
            duration,
            iterations: iterations.map(|all| (made, all.into_iter().fold(0, u64::saturating_add))),
            alive,
            recent: self.recent.take(now, whole),
            whole,
            dropped: totals.dropped,
            cut_off: totals.cut_off(),
            p50: latency.quantile(0.50),
            p95: latency.quantile(0.95),
            thresholds: self.run.thresholds.iter().map(|t| t.judge(totals)).collect(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::{Actions, Path};
    use serde_json::{Value, json};

    fn run(value: &Value) -> Arc<Run> {
        let spec = serde_json::from_value(value.clone()).expect("a spec");
        Arc::new(Run::check(&spec, "demo", &Path::top(), &Actions::built_in()).expect("a run"))
    }

    /// The lines of so many looks with a pause between two of them; 10 requests each.
    fn lines(terminal: bool, looks: u32, pause: Duration) -> Vec<String> {
        let started = Instant::now();
        let mut progress = Progress::on(terminal, run(&json!({"trees": {"T": "done"}})), started);
        let look = |n: u32| {
            let totals = Totals { requests: u64::from(n) * 10, ..Totals::default() };
            progress.due(started + pause * n, &totals, 3).map(|view| view.line())
        };
        (1..=looks).filter_map(look).collect()
    }

    #[test]
    fn a_log_gets_a_line_in_ten_seconds() {
        let lines = lines(false, 60, Duration::from_secs(1));
        let times: Vec<&str> = lines.iter().filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(times, ["1s", "11s", "21s", "31s", "41s", "51s"]);
        let figures = "s  3 bots  10 requests/s  p50 -  p95 -  errors -";
        assert!(lines.iter().all(|line| line.ends_with(figures)), "{lines:#?}");
    }

    #[test]
    fn a_run_that_is_ending_is_looked_at_often_and_shown_seldom() {
        let pause = Duration::from_millis(10);
        assert_eq!(lines(false, 3000, pause).len(), 3);
        assert_eq!(lines(true, 3000, pause).len(), 60);
    }

    #[test]
    fn a_view_tells_what_the_run_knows_of_its_end() {
        let started = Instant::now();
        let view = |value: &Value, seconds: u64, iterations: u64| {
            let mut progress = Progress::on(true, run(value), started);
            progress.warmed_up(2);
            let totals = Totals { iterations, dropped: 5, ..Totals::default() };
            progress.view(started + Duration::from_secs(seconds), &totals, 3)
        };
        let bounded = json!({"trees": {"T": "done"}, "duration": "1m", "iterations": 9, "warmup": "5s",
            "thresholds": [{"expect": "count > 1"}]});
        let shown = view(&bounded, 3, 4);
        assert_eq!((shown.duration, shown.iterations), (Some(Duration::from_secs(60)), Some((6, 9))));
        assert_eq!((shown.phase, shown.alive), (Phase::WarmUp(Duration::from_secs(2)), 3));
        assert_eq!((&*shown.thresholds[0].value, shown.thresholds[0].passed), ("0", false));
        assert_eq!((view(&bounded, 5, 4).phase, shown.dropped), (Phase::Running, 5));
        assert_eq!(view(&bounded, 60, 4).phase, Phase::Ending);
        let open = view(&json!({"trees": {"T": "done"}}), 60, 4);
        assert_eq!((open.duration, open.iterations, open.phase), (None, None, Phase::Running));
        let partly = json!({"trees": {"T": "done"}, "scenarios": [
            {"name": "a", "tree": "T", "iterations": 5}, {"name": "b", "tree": "T"}]});
        assert_eq!(view(&partly, 1, 4).iterations, None, "one of them goes on for ever");
    }
}

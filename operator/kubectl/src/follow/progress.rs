//! How a run goes on, for people: a line that is drawn in its place on a terminal, elsewhere one now and then.

use botarmy_console::output::complain;
use botarmy_console::screen;
use botarmy_crds::{BotRun, BotRunStatus, Phase};
use botarmy_report::terminal::{escape, shorten};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two lines where nothing can be overwritten. The operator tells new figures as often.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Conditions whose reasons are told when they are new. Some are told only where they hold.
const TOLD: [(&str, bool); 3] = [("Running", false), ("SpecChanged", true), ("GeneratorSaturated", true)];
/// Reasons that say no more than the phase does.
const USUAL: [&str; 2] = ["Scheduled", "BotsAtWork"];

/// Shows how a run goes on, on stderr.
pub(super) struct Progress {
    begun: Instant,
    terminal: bool,
    shown: Option<Instant>,
    told: Option<BotRunStatus>,
}

impl Progress {
    /// Call it in a runtime, which watches the size of the terminal.
    pub(super) fn new(begun: Instant) -> Self {
        let terminal = screen::can_redraw();
        if terminal {
            screen::follow_resizes();
            screen::make_way_for_panics();
        }
        Self { begun, terminal, shown: None, told: None }
    }

    /// Shows where the run stands: what is new of it at once, figures when it is time for them.
    pub(super) fn show(&mut self, run: &BotRun, now: Instant) {
        let fresh = BotRunStatus::default();
        let status = run.status.as_ref().unwrap_or(&fresh);
        let moved = self.told.as_ref().is_none_or(|told| told.phase != status.phase);
        news(self.told.as_ref(), status).iter().for_each(complain);
        if self.told.as_ref() != Some(status) {
            self.told = Some(status.clone());
        }
        let line = line(status, now.saturating_duration_since(self.begun));
        if self.terminal {
            // The last column stays free: some terminals go to the next line when it is written.
            screen::show(move |size| vec![shorten(&line, size.columns.saturating_sub(1).max(1))]);
        } else if moved || self.shown.is_none_or(|shown| now.saturating_duration_since(shown) >= PLAIN_EVERY)
        {
            self.shown = Some(now);
            complain(&line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        screen::clear();
    }
}

/// Where a run stands, in one line. The time is that of the figures; before there are any, that of the waiting.
fn line(status: &BotRunStatus, waited: Duration) -> String {
    let running = status.phase == Phase::Running;
    let seconds = match &status.result {
        Some(result) if running => result.duration_ms / 1000,
        _ => waited.as_secs(),
    };
    let reason = status.condition("Running").map(|c| &*c.reason).filter(|reason| !USUAL.contains(reason));
    let reason = reason.map(|reason| format!(" ({})", escape(reason))).unwrap_or_default();
    let mut parts = vec![format!("{seconds:>5}s"), format!("{:?}{reason}", status.phase)];
    if running {
        parts.push(format!("{} bots", known(status.bots.as_ref())));
    }
    if let Some(runners) = &status.runners {
        parts.push(format!("{}/{} runners", runners.ready, runners.desired));
        if runners.lost > 0 {
            parts.push(format!("{} lost", runners.lost));
        }
    }
    if running {
        parts.push(format!("{} actions/s", known(status.actions_per_second.as_ref())));
        parts.push(format!("p95 {}", known(status.p95.as_ref())));
        parts.push(format!("errors {}", known(status.errors.as_ref())));
    }
    parts.join("  ")
}

fn known(value: Option<&impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// The reasons that are new since what was told before. The end is told by the result.
fn news(before: Option<&BotRunStatus>, now: &BotRunStatus) -> Vec<String> {
    if now.phase == Phase::Finished {
        return Vec::new();
    }
    let told = TOLD.iter().filter_map(|(kind, where_it_holds)| {
        let condition = now.condition(kind).filter(|c| !where_it_holds || c.status == "True")?;
        let known = before.and_then(|before| before.condition(kind));
        let is_new = known.is_none_or(|k| (&k.status, &k.reason) != (&condition.status, &condition.reason));
        is_new.then(|| format!("{}: {}", escape(&condition.reason), escape(&condition.message)))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(value: &Value) -> BotRunStatus {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn told(kind: &str, holds: &str, reason: &str) -> Value {
        json!({"type": kind, "status": holds, "reason": reason, "message": "because\nof it", "lastTransitionTime": "2030-01-01T00:00:00Z"})
    }

    #[test]
    fn a_line_has_what_is_known() {
        let runners = json!({"desired": 2, "ready": 1, "finished": 0});
        let total = json!({"count": 0, "succeed": 0, "fail": 0, "error": 0, "crash": 0, "cancelled": 0});
        let result = json!({
            "outcome": "Passed", "bots": {"started": 2, "alive": 0}, "requests": 5, "iterations": 5, "durationMs": 72_400,
            "actions": [], "total": total, "thresholds": [], "gaps": [],
        });
        for (shown, line_of_it) in [
            (json!({}), "    3s  Pending"),
            (
                json!({"phase": "Scheduled", "runners": runners, "conditions": [told("Running", "False", "Scheduled")]}),
                "    3s  Scheduled  1/2 runners",
            ),
            (
                json!({"phase": "Scheduled", "runners": runners, "conditions": [told("Running", "False", "ImagePull")]}),
                "    3s  Scheduled (ImagePull)  1/2 runners",
            ),
            (
                json!({"phase": "Running", "conditions": [told("Running", "True", "BotsAtWork")]}),
                "    3s  Running  - bots  - actions/s  p95 -  errors -",
            ),
            (
                json!({
                    "phase": "Running", "bots": 500, "actionsPerSecond": 998, "p95": "45.6ms", "errors": "0.12%", "result": result,
                    "runners": {"desired": 2, "ready": 2, "finished": 0, "lost": 1, "replaced": 1},
                }),
                "   72s  Running  500 bots  2/2 runners  1 lost  998 actions/s  p95 45.6ms  errors 0.12%",
            ),
        ] {
            assert_eq!(line(&status(&shown), Duration::from_millis(3_900)), line_of_it, "{shown}");
        }
    }

    #[test]
    fn a_reason_is_told_when_it_is_new() {
        let of = |conditions: Value| status(&json!({"phase": "Scheduled", "conditions": conditions}));
        let waits = of(json!([told("Running", "False", "ImagePull")]));
        let works = of(json!([told("Running", "True", "BotsAtWork"), told("Accepted", "True", "Valid")]));
        let strained = of(json!([
            told("Running", "True", "BotsAtWork"),
            told("GeneratorSaturated", "True", "CannotKeepUp")
        ]));
        let eased = of(json!([
            told("Running", "True", "BotsAtWork"),
            told("GeneratorSaturated", "False", "KeepsUp")
        ]));
        let over =
            status(&json!({"phase": "Finished", "conditions": [told("Running", "False", "Finished")]}));
        let said = |reason: &str| vec![format!("{reason}: because\\nof it")];
        for (before, now, wanted) in [
            (None, &waits, said("ImagePull")),
            (Some(&waits), &waits, vec![]),
            (Some(&waits), &works, said("BotsAtWork")),
            (Some(&works), &strained, said("CannotKeepUp")),
            (Some(&strained), &eased, vec![]),
            (Some(&eased), &strained, said("CannotKeepUp")),
            (Some(&strained), &over, vec![]),
            (None, &over, vec![]),
        ] {
            assert_eq!(news(before, now), wanted, "{now:?}");
        }
    }
}

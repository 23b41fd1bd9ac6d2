//! What is told of the runs at work. Their names for what bots measure are those of the runners themselves.

use super::shown::Shown;
use crate::armies::{Armies, Figures};
use botarmy_report::{
    Counters, Exposition, Label, Metric, Number, OTHER, exported_measured, expose_run, expose_sum,
};

/// Most actions of a run with figures of their own; the rest is one.
const MAX_ACTIONS: usize = 50;

const RUNS: Metric = Metric::gauge("botarmy_runs", "Runs that this operator coordinates.");
const SUMMED: Metric =
    Metric::gauge("botarmy_runs_summed", "Those of them that have no figures of their own.");
const TARGET: Metric = Metric::gauge("botarmy_bots_target", "Bots that shall be alive.");
const DESIRED: Metric = Metric::gauge("botarmy_runners_desired", "Runners that the run has.");
const READY: Metric = Metric::gauge("botarmy_runners_ready", "Runners that have checked in and got ready.");
const FINISHED: Metric = Metric::gauge("botarmy_runners_finished", "Runners whose measures are all safe.");
const LOST: Metric =
    Metric::gauge("botarmy_runners_lost", "Runners that were lost while their bots were at work.");
const REPLACED: Metric =
    Metric::gauge("botarmy_runners_replaced", "Lost runners whose place another one has taken.");
const GAPS: Metric =
    Metric::gauge("botarmy_gaps", "Stretches of time of which nothing is known, as runners were lost.");
const SILENCE: Metric = Metric::gauge(
    "botarmy_runner_silence_seconds",
    "Since the runner at work was heard that was heard of least lately.",
);
const CHECKPOINT_AGE: Metric =
    Metric::gauge("botarmy_checkpoint_age_seconds", "Age of what survives the operator.");

/// Adds what there is to tell of all runs. The armies are looked at one by one and copied, so that no runner waits
/// for this.
pub(super) fn expose(to: &mut Exposition, armies: &Armies, shown: &mut Shown, now_ms: u64) {
    shown.choose(armies.lock().keys().cloned().collect());
    let mut alive = 0_u32;
    for (uid, counters) in shown.others() {
        let now = armies.lock().get(uid).map(|army| (army.counters(), army.alive(now_ms)));
        if let Some((now, bots)) = now {
            (*counters, alive) = (now, alive.saturating_add(bots));
        }
    }
    let summed = shown.others().len();
    to.add_count(&RUNS, &[], (shown.own().len() + summed) as u64);
    to.add_count(&SUMMED, &[], summed as u64);
    for uid in shown.own() {
        let figures = armies.lock().get(uid).map(|army| army.figures(now_ms));
        if let Some(figures) = figures {
            expose_figures(to, &figures);
        }
    }
    // It stays when they are gone: what they have come to has happened.
    let sum = shown.sum();
    if summed > 0 || sum != Counters::default() {
        expose_sum(to, &labels(OTHER, OTHER), &sum, alive);
    }
}

fn labels(namespace: &str, run: &str) -> [Label; 2] {
    [("namespace", namespace.to_owned()), ("run", run.to_owned())]
}

fn expose_figures(to: &mut Exposition, figures: &Figures) {
    let labels = labels(&figures.namespace, &figures.name);
    let runners = figures.runners;
    for (metric, count) in [
        (&TARGET, figures.target),
        (&DESIRED, Some(runners.desired)),
        (&READY, Some(runners.ready)),
        (&FINISHED, Some(runners.finished)),
        (&LOST, Some(runners.lost)),
        (&REPLACED, Some(runners.replaced)),
    ] {
        if let Some(count) = count {
            to.add_count(metric, &labels, count.into());
        }
    }
    to.add_count(&GAPS, &labels, figures.gaps as u64);
    for (metric, ms) in [(&SILENCE, figures.silence_ms), (&CHECKPOINT_AGE, figures.unkept_ms)] {
        if let Some(ms) = ms {
            to.add(metric, labels.to_vec(), Number::Millis(ms));
        }
    }
    let rows = exported_measured(&figures.totals, MAX_ACTIONS);
    expose_run(to, &labels, &figures.totals, figures.alive, &rows);
}

//! The course of a run here and now: setup, the load with its measures, teardown.

use super::Error;
use crate::bot_log::Sink;
use crate::command::output::complain;
use crate::command::progress::Progress;
use crate::engine::{Army, Performed, Start, perform};
use crate::metrics::Metrics;
use crate::otlp::Pusher;
use crate::seconds::Seconds;
use botarmy_actions::Together;
use botarmy_console::interrupts::Interrupts;
use botarmy_report::{Presence, RunOutcome, RunResult, Timeline, Totals};
use botarmy_spec::{Part, Run};
use botarmy_tree::Context;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a run that is ending is looked at.
const ENDING_INTERVAL: Duration = Duration::from_millis(10);

/// Who is told of a run while it goes on.
pub(super) struct Watchers {
    pub(super) metrics: Option<Metrics>,
    pub(super) pusher: Option<Pusher>,
    pub(super) log: Option<Sink>,
}

/// What came of a run.
pub(super) struct Conducted {
    pub(super) result: RunResult,
    /// The last push may still go on.
    pub(super) pusher: Option<Pusher>,
}

/// Runs an army to its end; none if a second interrupt cut it short.
pub(super) async fn conduct(run: Arc<Run>, watchers: Watchers) -> Result<Option<Conducted>, Error> {
    let interrupts = Interrupts::listen()?;
    tokio::select! {
        biased;
        conducted = course(run, watchers, &interrupts) => conducted.map(Some),
        () = interrupts.reached(2) => Ok(None),
    }
}

async fn course(run: Arc<Run>, watchers: Watchers, interrupts: &Interrupts) -> Result<Conducted, Error> {
    let together = Together::here();
    let log = watchers.log.clone();
    if run.setup.is_some() {
        complain(&"setup is being performed; then the bots begin");
    }
    let interrupted = async {
        interrupts.reached(1).await;
        complain(&"setup ends, and teardown follows; a second interrupt ends the run at once, without it");
    };
    let setup = perform(&run, Part::Setup, Context::new(), &together, log.clone(), interrupted).await?;
    let setup = setup.unwrap_or_else(Performed::nothing);
    let start = Start {
        log: log.clone(),
        context: setup.context.clone(),
        together: together.clone(),
        ..Start::here(run.clone())
    };
    let mut measured = Measured::new(run.clone(), start.at, watchers);
    measured.add(&setup.totals);
    let mut failures: Vec<String> = setup.failure.into_iter().collect();
    if failures.is_empty()
        && let Err(error) = measured.load(start, interrupts).await
    {
        // Where nothing was done before and nothing is to be done after, nothing was started.
        if run.setup.is_none() && run.teardown.is_none() {
            return Err(error);
        }
        failures.push(format!("no bot could begin: {error}"));
    }
    let duration_ms = u64::try_from(measured.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let teardown = tear_down(&run, setup.context, &together, log).await;
    measured.add(&teardown.totals);
    failures.extend(teardown.failure);
    measured.tell(true);
    let judged = run.judge(&measured.totals, measured.alive, duration_ms);
    let mut result = judged.over_time(&measured.timeline).after(&measured.warmup, run.warmup);
    if measured.aborted {
        result.outcome = RunOutcome::Aborted;
    }
    if !failures.is_empty() {
        result = result.errored(&failures.join("; "));
    }
    Ok(Conducted { result, pusher: measured.watchers.pusher })
}

/// Performs teardown, whatever came before: what setup has made is to be taken away. That it cannot even begin is
/// a failure of it like others, which leaves what was measured as it is.
async fn tear_down(run: &Run, context: Context, together: &Together, log: Option<Sink>) -> Performed {
    if run.teardown.is_some() {
        complain(&"teardown is being performed");
    }
    match perform(run, Part::Teardown, context, together, log, std::future::pending()).await {
        Ok(performed) => performed.unwrap_or_else(Performed::nothing),
        Err(error) => {
            Performed { failure: Some(format!("teardown could not begin: {error}")), ..Performed::nothing() }
        }
    }
}

struct Measured {
    run: Arc<Run>,
    started: Instant,
    /// A threshold has ended the run.
    aborted: bool,
    totals: Totals,
    warmup: Totals,
    timeline: Timeline,
    presence: Presence,
    alive: u32,
    seconds: Seconds,
    progress: Progress,
    watchers: Watchers,
}

impl Measured {
    fn new(run: Arc<Run>, started: Instant, watchers: Watchers) -> Self {
        Self {
            progress: Progress::new(run.clone(), started),
            run,
            started,
            aborted: false,
            totals: Totals::default(),
            warmup: Totals::default(),
            timeline: Timeline::default(),
            presence: Presence::default(),
            alive: 0,
            seconds: Seconds::since(started),
            watchers,
        }
    }

    fn add(&mut self, totals: &Totals) {
        if let Err(error) = self.totals.merge(totals) {
            tracing::error!("measures cannot be added: {error}");
        }
    }

    /// The load, to its end; an error if it could not begin.
    async fn load(&mut self, start: Start, interrupts: &Interrupts) -> Result<(), Error> {
        let army = Army::start(start).await?;
        let interrupted = self.until(interrupts.reached(1), &army, None).await.is_some();
        if interrupted {
            self.progress.end("the run ends; a second interrupt ends it at once, without a result");
            army.stop();
            self.until(std::future::pending::<()>(), &army, Some(ENDING_INTERVAL)).await;
        }
        self.progress.finish();
        if let Err(error) = tokio::task::spawn_blocking(move || army.join()).await {
            // All that was measured is handed over.
            tracing::error!("the workers of the load did not end in order: {error}");
        }
        Ok(())
    }

    /// Takes measures, at the end of each second unless an interval says otherwise, until nothing more
    /// will come (none) or something else happens (that).
    async fn until<T>(
        &mut self,
        happens: impl Future<Output = T>,
        army: &Army,
        interval: Option<Duration>,
    ) -> Option<T> {
        let mut happens = std::pin::pin!(happens);
        loop {
            tokio::select! {
                happened = &mut happens => return Some(happened),
                () = tokio::time::sleep(interval.unwrap_or(self.seconds.rest(Instant::now()))) => {}
                () = army.worker_finished() => {}
            }
            // Outside of the select: a drain that is dropped half way would lose what was drained.
            let snapshot = army.drain().await;
            self.add(&snapshot.totals);
            if let Err(error) = self.warmup.merge(&snapshot.warmup) {
                tracing::error!("measures of the warm-up cannot be added: {error}");
            }
            let second = self.seconds.take(Instant::now());
            self.timeline.add(second, &snapshot.totals);
            self.presence.tell(&mut self.timeline, second, snapshot.alive);
            self.alive = snapshot.alive;
            self.progress.warmed_up(snapshot.warmup.iterations);
            self.tell(false);
            if snapshot.finished {
                return None;
            }
            if !self.aborted
                && let Some(expect) =
                    self.run.aborting(&self.totals, self.started.elapsed(), &BTreeSet::new())
            {
                self.progress.end(&format!("the run ends: {expect} does not hold"));
                self.aborted = true;
                army.stop();
            }
            self.progress.show(&self.totals, self.alive);
        }
    }

    /// Tells those who watch how far the run is.
    fn tell(&mut self, finished: bool) {
        if let Some(metrics) = &mut self.watchers.metrics {
            metrics.show(&self.totals, self.alive, finished);
        }
        match &mut self.watchers.pusher {
            Some(pusher) if finished => pusher.last(&self.totals, self.alive),
            Some(pusher) => pusher.show(&self.totals, self.alive).iter().for_each(complain),
            None => {}
        }
    }
}

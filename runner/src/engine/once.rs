//! What one bot does once: setup and teardown.

use super::army::{Army, Ending, Error, Start};
use crate::bot_log::Sink;
use botarmy_actions::Together;
use botarmy_report::{Outcome, Totals};
use botarmy_spec::{Part, Run};
use botarmy_tree::Context;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether it has come to its end, besides when the bot tells.
const LOOK: Duration = Duration::from_millis(100);

/// Most bytes of the values that setup leaves, as JSON: they are kept with the checkpoints.
const MAX_LEFT: usize = 256 << 10;
/// Of values that are too large together, those are kept for teardown that have at most so many bytes.
const MAX_SMALL: usize = 1 << 10;

/// What came of a part.
#[derive(Debug)]
pub struct Performed {
    /// The values that its bot has left.
    pub context: Context,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// What was measured: its requests and its rows, which are no load.
    pub totals: Totals,
}

impl Performed {
    /// What comes of a part that a run does not have.
    pub fn nothing() -> Self {
        Self { context: Context::new(), failure: None, totals: Totals::default() }
    }
}

/// Walks the tree of a part once, beginning with these values; none if the run has no such part. It ends
/// early, and counts as failed, when `stop` comes.
pub async fn perform(
    run: &Run,
    part: Part,
    context: Context,
    together: &Together,
    log: Option<Sink>,
    stop: impl Future<Output = ()>,
) -> Result<Option<Performed>, Error> {
    let (Some(only), Some(once)) = (run.only(part), run.once(part)) else { return Ok(None) };
    let timeout = once.timeout;
    let start = Start {
        threads: 1,
        context,
        together: together.clone(),
        walks_once: true,
        log,
        ..Start::here(Arc::new(only))
    };
    let army = Army::start(start).await?;
    let (mut stop, mut stopped) = (std::pin::pin!(stop), false);
    let mut totals = Totals::default();
    loop {
        tokio::select! {
            () = &mut stop, if !stopped => {
                stopped = true;
                army.stop();
            }
            () = army.worker_finished() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let snapshot = army.drain().await;
        if let Err(error) = totals.merge(&snapshot.totals) {
            tracing::error!("measures cannot be added: {error}");
        }
        if snapshot.finished {
            break;
        }
    }
    let (context, failure) = judge(part, timeout, army.ending(), stopped);
    if let Err(error) = tokio::task::spawn_blocking(move || army.join()).await {
        // All that was measured is handed over.
        tracing::error!("the worker of {} did not end in order: {error}", part.name());
    }
    // Its bot and its pass are none of the load's.
    (totals.bots_started, totals.iterations) = (0, 0);
    Ok(Some(Performed { context, failure, totals }))
}

fn judge(part: Part, timeout: Duration, ending: Option<Ending>, stopped: bool) -> (Context, Option<String>) {
    let what = match part {
        Part::Setup => "setup",
        Part::Teardown => "teardown",
    };
    let Some(Ending { outcome, failure, context }) = ending else {
        return (Context::new(), Some(format!("{what} did not come to its end")));
    };
    let mut context = context;
    if part == Part::Setup && size_of(&context) > MAX_LEFT {
        let much = format!(
            "{what} leaves values of {} bytes, more than {MAX_LEFT}; set fewer or smaller ones",
            size_of(&context)
        );
        // What is small, such as the names of what was made, still serves for taking it away.
        let mut left = MAX_LEFT;
        context.retain(|_, value| {
            let size = value.to_string().len();
            let kept = size <= MAX_SMALL.min(left);
            left -= if kept { size } else { 0 };
            kept
        });
        return (context, Some(much));
    }
    let cause = failure.map(|failure| format!(": {failure}")).unwrap_or_default();
    let failure = match outcome {
        Outcome::Succeed => None,
        Outcome::Cancelled if stopped => Some(format!("{what} was interrupted")),
        Outcome::Cancelled => Some(format!(
            "{what} took longer than its timeout of {timeout:?}{cause}; do less in it, or give it more time"
        )),
        _ => Some(format!("{what} failed{cause}")),
    };
    (context, failure)
}

/// How many bytes the values have as JSON, about.
fn size_of(context: &Context) -> usize {
    context.iter().map(|(name, value)| name.len() + value.to_string().len()).sum()
}

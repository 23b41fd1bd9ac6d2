//! Following a walk by hand: which leaf comes after which outcomes.

use crate::plan::{LeafId, Plan, TimerId};
use crate::walk::{Effect, Input, Stale, Verdict, Walk};

/// Most outcomes of one trace.
pub const MAX_OUTCOMES: usize = 1_000_000;

/// Why outcomes cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A letter that is no outcome.
    #[error("{0:?} at place {1} is not an outcome; write S for succeed and F for fail")]
    Letter(char, usize),
    /// Too many of them.
    #[error("at most {MAX_OUTCOMES} outcomes can be followed; write fewer")]
    TooMany,
    /// The walk refused an outcome.
    #[error("{0}")]
    Stale(#[from] Stale),
}

/// Reads outcomes written as `SSFS`.
pub fn outcomes(text: &str) -> Result<Vec<Verdict>, Error> {
    if text.len() > MAX_OUTCOMES {
        return Err(Error::TooMany);
    }
    let verdict = |(i, c)| match c {
        'S' | 's' => Ok(Verdict::Succeed),
        'F' | 'f' => Ok(Verdict::Fail),
        other => Err(Error::Letter(other, i + 1)),
    };
    text.chars().enumerate().map(verdict).collect()
}

/// The leaves that run at the start and after each outcome: one, or several below a `parallel`, in the
/// order in which they were entered; the outcome is that of the first. A tree that is over begins again,
/// as it does for a bot. There is no clock here: the delay of a `retry` is over at once, the time of a
/// `timeout` never is.
pub fn trace(plan: &Plan, bot: u64, outcomes: &[Verdict]) -> Result<Vec<Vec<LeafId>>, Error> {
    let mut follower = Follower { walk: Walk::new(plan, bot), running: Vec::new(), armed: Vec::new() };
    follower.step(plan, Input::Start)?;
    let mut lines = vec![follower.running.clone()];
    for verdict in outcomes {
        if let Some(first) = follower.running.first().copied() {
            follower.running.remove(0);
            follower.step(plan, Input::Leaf(first, *verdict))?;
        }
        lines.push(follower.running.clone());
    }
    Ok(lines)
}

struct Follower {
    walk: Walk,
    running: Vec<LeafId>,
    armed: Vec<TimerId>,
}

impl Follower {
    /// Goes on until a leaf runs.
    fn step(&mut self, plan: &Plan, mut input: Input) -> Result<(), Stale> {
        loop {
            let Self { walk, running, armed } = self;
            plan.step(walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => running.push(leaf),
                Effect::Cancel(leaf) | Effect::CutOff(leaf) => running.retain(|l| *l != leaf),
                Effect::Arm(timer) => armed.push(timer),
                Effect::Disarm(timer) => armed.retain(|t| *t != timer),
                Effect::Bind(_) | Effect::Ended(_) => {}
            })?;
            if !running.is_empty() {
                return Ok(());
            }
            // When nothing runs, either the tree is over or the timer armed last is that of a retry.
            input = armed.pop().map_or(Input::Start, Input::Timer);
        }
    }
}

//! Following a walk by hand: which leaf comes after which outcomes.

use crate::plan::{LeafId, Plan};
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

/// The leaves a bot stands on at the start and after each outcome. A tree that is over begins
/// again, as it does for a bot.
pub fn trace(plan: &Plan, bot: u64, outcomes: &[Verdict]) -> Result<Vec<LeafId>, Error> {
    let mut walk = Walk::new(plan, bot);
    let mut leaf = step(plan, &mut walk, Input::Start)?;
    let mut leaves = vec![leaf];
    for verdict in outcomes {
        leaf = step(plan, &mut walk, Input::Leaf(leaf, *verdict))?;
        leaves.push(leaf);
    }
    Ok(leaves)
}

fn step(plan: &Plan, walk: &mut Walk, input: Input) -> Result<LeafId, Stale> {
    let mut entered = None;
    plan.step(walk, input, &mut |effect| match effect {
        Effect::Enter(leaf) => entered = Some(leaf),
        Effect::Ended(_) => {}
    })?;
    match entered {
        Some(leaf) => Ok(leaf),
        None => step(plan, walk, Input::Start),
    }
}

//! What a bot knows: its values, and the arguments of the subtrees that it is in.

use botarmy_spec::Scenario;
use botarmy_tree::template::{Context, RenderError};
use botarmy_tree::{FrameId, LeafId, Plan, Scope};
use serde_json::Value;
use std::rc::Rc;

/// Values are shared with the leaves that run, each of which sees them as they were at its entry;
/// what changes then is a copy.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) context: Rc<Context>,
    /// The arguments of each call of a subtree, since its last entry.
    frames: Box<[Rc<Context>]>,
}

impl Memory {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { context: Rc::default(), frames: plan.frames().iter().map(|_| Rc::default()).collect() }
    }

    /// Renders the arguments of a subtree that is being entered.
    pub(super) fn bind(&mut self, scenario: &Scenario, frame: FrameId, bot: u64) -> Result<(), RenderError> {
        let record = &scenario.plan.frames()[frame.index()];
        let arguments = record.outer.map(|outer| &*self.frames[outer.index()]);
        let scope = Scope { run: &scenario.scope, bot, context: &self.context, arguments };
        let rendered = record.with.iter().map(|(name, value)| Ok((name.clone(), value.render(scope)?)));
        self.frames[frame.index()] = Rc::new(rendered.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// The arguments that a leaf sees.
    pub(super) fn arguments(&self, plan: &Plan, leaf: LeafId) -> Option<&Rc<Context>> {
        plan.leaf(leaf).frame.map(|frame| &self.frames[frame.index()])
    }

    /// What the templates of a leaf see.
    pub(super) fn scope<'a>(&'a self, scenario: &'a Scenario, leaf: LeafId, bot: u64) -> Scope<'a> {
        let arguments = self.arguments(&scenario.plan, leaf).map(|a| &**a);
        Scope { run: &scenario.scope, bot, context: &self.context, arguments }
    }

    pub(super) fn update(&mut self, updates: Vec<(String, Value)>) {
        if !updates.is_empty() {
            Rc::make_mut(&mut self.context).extend(updates);
        }
    }
}

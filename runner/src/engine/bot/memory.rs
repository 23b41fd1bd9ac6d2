//! What a bot knows: its values, and the arguments of the subtrees that it is in.

use crate::engine::squad::Squad;
use botarmy_spec::Scenario;
use botarmy_tree::template::{Context, Shared};
use botarmy_tree::{FrameId, LeafId, Plan, Scope};
use serde_json::Value;
use std::rc::Rc;

/// Largest value that a bot keeps, in bytes.
const MAX_VALUE: usize = 256 << 10;
/// Most that all of a bot's values take together, in bytes.
const MAX_CONTEXT: usize = 1 << 20;
/// Deepest nesting of a value.
const MAX_NESTING: usize = 100;

/// Why a value is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooLarge {
    /// One alone.
    #[error(
        "the value of {0} is larger than {MAX_VALUE} bytes or nested deeper than {MAX_NESTING} levels; keep less of it"
    )]
    Value(String),
    /// All together.
    #[error("the values of the bot take more than {MAX_CONTEXT} bytes; keep fewer or smaller ones")]
    Context,
}

/// Values are shared with the leaves that run, each of which sees them as they were at its entry;
/// what changes then is a copy.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) context: Rc<Context>,
    /// How much room they take, about.
    size: usize,
    /// The arguments of each call of a subtree, since its last entry.
    frames: Box<[Rc<Context>]>,
    /// The bot's row of the data.
    pub(super) row: Option<Rc<Value>>,
}

impl Memory {
    /// That of a bot that begins with these values.
    pub(super) fn new(plan: &Plan, context: &Rc<Context>, row: Option<Value>) -> Self {
        let sizes = context.values().filter_map(|value| size_of(value, 0));
        Self {
            context: context.clone(),
            size: sizes.sum(),
            row: row.map(Rc::new),
            frames: plan.frames().iter().map(|_| Rc::default()).collect(),
        }
    }

    /// Renders the arguments of a subtree that is being entered.
    pub(super) fn bind(&mut self, squad: &Squad, frame: FrameId, bot: u64) -> Result<(), String> {
        let scenario = squad.scenario();
        let record = &scenario.plan.frames()[frame.index()];
        let arguments = record.outer.map(|outer| &*self.frames[outer.index()]);
        let scope = self.seen(scenario, bot, arguments, squad.shared_values());
        let rendered = record.with.iter().map(|(name, value)| {
            let value = value.render(scope).map_err(|e| e.to_string())?;
            match size_of(&value, 0).filter(|size| *size <= MAX_VALUE) {
                Some(_) => Ok((name.clone(), value)),
                None => Err(TooLarge::Value(name.clone()).to_string()),
            }
        });
        self.frames[frame.index()] = Rc::new(rendered.collect::<Result<_, String>>()?);
        Ok(())
    }

    /// The arguments that a leaf sees.
    pub(super) fn arguments(&self, plan: &Plan, leaf: LeafId) -> Option<&Rc<Context>> {
        plan.leaf(leaf).frame.map(|frame| &self.frames[frame.index()])
    }

    /// What the templates of a leaf see.
    pub(super) fn scope<'a>(
        &'a self,
        scenario: &'a Scenario,
        leaf: LeafId,
        bot: u64,
        shared: &'a Shared,
    ) -> Scope<'a> {
        let arguments = self.arguments(&scenario.plan, leaf).map(|a| &**a);
        self.seen(scenario, bot, arguments, shared)
    }

    fn seen<'a>(
        &'a self,
        scenario: &'a Scenario,
        bot: u64,
        arguments: Option<&'a Context>,
        shared: &'a Shared,
    ) -> Scope<'a> {
        let data = self.row.as_deref();
        Scope { run: &scenario.scope, bot, context: &self.context, arguments, data, shared: Some(shared) }
    }

    /// Takes values over, or none of them when they are too large to be kept.
    pub(super) fn update(&mut self, updates: Vec<(String, Value)>) -> Result<(), TooLarge> {
        if updates.is_empty() {
            return Ok(());
        }
        let context = Rc::make_mut(&mut self.context);
        let mut size = self.size;
        for (name, value) in &updates {
            let new = size_of(value, 0)
                .filter(|new| *new <= MAX_VALUE)
                .ok_or_else(|| TooLarge::Value(name.clone()))?;
            let old = context.get(name).and_then(|old| size_of(old, 0)).unwrap_or_default();
            size = (size + new).saturating_sub(old);
        }
        if size > MAX_CONTEXT {
            return Err(TooLarge::Context);
        }
        self.size = size;
        context.extend(updates);
        Ok(())
    }
}

/// How much room a value takes, about; none if it is nested too deep.
fn size_of(value: &Value, depth: usize) -> Option<usize> {
    if depth > MAX_NESTING {
        return None;
    }
    let parts = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of(item, depth + 1)).sum::<Option<usize>>()?,
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Some(name.len() + size_of(value, depth + 1)?);
            fields.iter().map(field).sum::<Option<usize>>()?
        }
    };
    Some(parts + std::mem::size_of::<Value>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_bot_keeps_is_bounded() {
        let mut memory = Memory::new(&Plan::default(), &Rc::default(), None);
        let update = |name: &str, value: Value| vec![(name.to_owned(), value)];
        let text = |bytes: usize| Value::from("x".repeat(bytes));
        assert_eq!(memory.update(update("a", text(MAX_VALUE))), Err(TooLarge::Value("a".into())));
        for n in 0..100 {
            assert_eq!(
                memory.update(update("a", text(MAX_VALUE / 2 + n))),
                Ok(()),
                "one takes the place of the other"
            );
        }
        let many = (0..100).find_map(|n| memory.update(update(&format!("b{n}"), text(MAX_VALUE / 2))).err());
        assert_eq!(many, Some(TooLarge::Context));
        let deep = (0..=MAX_NESTING).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(memory.update(update("c", deep)), Err(TooLarge::Value("c".into())));
        assert!(!memory.context.contains_key("c"));
    }
}

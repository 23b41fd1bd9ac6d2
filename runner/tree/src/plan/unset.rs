//! Names of the run that a tree uses and that nobody has set.

use super::{NodeId, Op, Plan};
use crate::action::Call;
use crate::finding::Path;
use crate::template::Template;
use std::collections::BTreeSet;

/// Names whose values are known before the start: nothing that a bot does adds to them.
const KNOWN: [&str; 2] = ["env", "custom"];

/// A name that has no value for any bot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unset {
    /// The leaf that uses it; none where it is an argument of a subtree.
    pub leaf: Option<Path>,
    /// The subtree that is given it.
    pub subtree: Option<String>,
    /// As it is written: `env.REGION`.
    pub name: String,
}

impl Plan {
    /// The names of `env` and `custom` without which bots die, of a plan that the run is [put into](Plan::fold): what is
    /// left of them there has no value. Only those are told that stand alone between braces, where no condition decides
    /// whether a bot comes there: a tree may ask first whether they are there.
    pub fn unset(&self) -> Vec<Unset> {
        let mut search = Search { plan: self, found: Vec::new(), told: BTreeSet::new() };
        if !self.nodes.is_empty() {
            search.node(0);
        }
        search.found
    }
}

struct Search<'p> {
    plan: &'p Plan,
    /// In the order of the nodes.
    found: Vec<Unset>,
    /// A subtree is written out at each place that calls it, and told of once.
    told: BTreeSet<Unset>,
}

impl Search<'_> {
    /// Looks at a node and what is below it, and tells whether it has a condition. A plan is not nested deeply.
    fn node(&mut self, id: NodeId) -> bool {
        let plan = self.plan;
        let record = plan.nodes[id as usize];
        let children = &plan.children[record.first as usize..][..record.len as usize];
        match record.op {
            Op::Leaf(leaf) => self.leaf(leaf),
            Op::If => {
                if let Some(condition) = children.first() {
                    self.node(*condition);
                }
                return true;
            }
            Op::Call(frame) => {
                let frame = &plan.frames[frame.index()];
                self.note(frame.with.iter().map(|(_, template)| template), None, Some(&frame.subtree));
            }
            Op::RandomWeighted { weights, .. } => return self.drawn(children, weights),
            _ => {}
        }
        let in_turn = matches!(record.op, Op::Sequence | Op::Select | Op::Parallel { .. });
        let mut conditional = false;
        for child in children {
            conditional |= self.node(*child);
            // Only those bots may come to what follows for which it holds.
            if conditional && in_turn {
                break;
            }
        }
        conditional
    }

    /// Children that are drawn; those without a weight never are.
    fn drawn(&mut self, children: &[NodeId], weights: u32) -> bool {
        let sums = &self.plan.weights[weights as usize..];
        let (mut conditional, mut before) = (false, 0);
        for (child, sum) in children.iter().zip(sums) {
            if *sum > before {
                conditional |= self.node(*child);
            }
            before = *sum;
        }
        conditional
    }

    fn leaf(&mut self, index: u32) {
        let leaf = &self.plan.leaves[index as usize];
        // A check of what is not there does not hold, and nobody dies of it; what follows is reached all the same.
        if !matches!(leaf.call, Call::Check(_)) {
            self.note(leaf.call.templates().into_iter(), Some(&leaf.path), None);
        }
    }

    fn note<'t>(
        &mut self,
        templates: impl Iterator<Item = &'t Template>,
        leaf: Option<&Path>,
        subtree: Option<&String>,
    ) {
        for name in templates.flat_map(|template| KNOWN.map(|known| template.paths_of(known))).flatten() {
            let (leaf, subtree) = (leaf.cloned(), subtree.cloned());
            let unset = Unset { leaf, subtree, name: name.to_owned() };
            if self.told.insert(unset.clone()) {
                self.found.push(unset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::RunScope;
    use crate::{Actions, notation};
    use serde_json::{Value, json};

    /// What is unset in a tree; beside it there are `Sub`, which uses an argument, and `Uses`, which uses `env.NO`.
    fn unset(tree: &Value) -> Vec<String> {
        let trees = json!({"T": tree, "Sub": {"log": "{{ x }}"}, "Uses": {"log": "{{ env.NO }}"}});
        let trees = notation::read(&trees, &Path::top(), &Actions::built_in()).expect("trees");
        let run = RunScope {
            env: [("YES".to_owned(), "a".to_owned())].into(),
            custom: json!({"deep": {"er": [1]}, "n": 0}).as_object().expect("a mapping").clone(),
            ..RunScope::default()
        };
        let plan = Plan::compile_entry(&trees, "T").expect("a plan").fold(&run);
        let place =
            |unset: Unset| unset.leaf.map(|path| path.to_string()).or(unset.subtree).unwrap_or_default();
        plan.unset().into_iter().map(|unset| format!("{} in {}", unset.name.clone(), place(unset))).collect()
    }

    #[test]
    fn what_nobody_has_set_is_told_once_for_each_place() {
        for (tree, told) in [
            (json!({"log": "{{ env.NO }}, {{ env['NO'] }}"}), &["env.NO in T", "env['NO'] in T"][..]),
            (json!({"http": {"get": "{{ target }}/{{ custom.no }}/{{ custom.n }}"}}), &["custom.no in T"]),
            (json!({"log": "{{ custom.deep.er[1] }}{{ custom.deep.er[0] }}"}), &["custom.deep.er[1] in T"]),
            (json!({"set": {"a": [1, {"b": "{{ env.NO }}"}], "c": "{{ env.YES }}"}}), &["env.NO in T"]),
            (json!({"if": {"when": "env.NO", "then": "done"}}), &["env.NO in T"]),
            (json!({"subtree": {"name": "Sub", "with": {"x": "{{ env.NO }}"}}}), &["env.NO in Sub"]),
            (json!({"sequence": [{"subtree": "Uses"}, {"subtree": "Uses"}]}), &["env.NO in Uses"]),
            (
                json!({"select": [{"parallel": {"children": [{"log": "{{ env.NO }}"}]}}, {"log": "{{ env.NO }}"}]}),
                &["env.NO in T.select[0].parallel.children[0]", "env.NO in T.select[1]"],
            ),
            (
                json!({"sequence": [{"check": "env.NO is defined"}, {"log": "{{ env.NO }}"}]}),
                &["env.NO in T.sequence[1]"],
            ),
            (
                json!({"random": [{"check": "bot.id > 1"}, {"retry": {"attempts": 2, "child": {"log": "{{ env.NO }}"}}}]}),
                &["env.NO in T.random[1].retry.child"],
            ),
        ] {
            assert_eq!(unset(&tree), told, "{tree}");
        }
    }

    #[test]
    fn what_may_be_meant_is_let_pass() {
        for tree in [
            json!({"log": "{{ env.NO | default('x') }} {{ env.NO is defined }} {{ env.YES }} {{ custom.n }} {{ env }}"}),
            json!({"log": "{{ custom.no.deeper | default(0) }} {{ no }} {{ shared.no }}"}),
            json!({"check": "env.NO"}),
            json!({"if": {"when": "env.NO is defined", "then": {"log": "{{ env.NO }}"}, "else": {"log": "{{ env.NO }}"}}}),
            json!({"sequence": [{"if": {"when": "env.NO is undefined", "then": "done"}}, {"log": "{{ env.NO }}"}]}),
            json!({"sequence": [{"negate": {"if": {"when": "env.NO is undefined", "then": {"wait": 1}}}}, {"subtree": "Uses"}]}),
            json!({"random_weighted": [{"weight": 0, "child": {"log": "{{ env.NO }}"}}, {"weight": 1, "child": "done"}]}),
        ] {
            assert_eq!(unset(&tree), [""; 0], "{tree}");
        }
    }
}

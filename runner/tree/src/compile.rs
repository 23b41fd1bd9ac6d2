//! Turns a definition into a plan: subtrees written out, nodes numbered, counters assigned.

use crate::action::{self, Call, Wait};
use crate::ast::{Kind, Leaf, Node};
use crate::fields::Findings;
use crate::finding::{Finding, Path, listed, quoted};
use crate::notation::Trees;
use crate::plan::{LeafRecord, NONE, NodeId, NodeRecord, Op, Plan};
use std::collections::BTreeSet;

/// Most nodes of a plan, subtrees written out at each place that calls them.
pub const MAX_NODES: usize = 100_000;
/// Deepest nesting of a plan.
pub const MAX_DEPTH: usize = 200;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no tree named {0}; the document has {1}")]
    NoSuchTree(String, String),
    #[error("the document has several trees; name the one to run with tree, one of {0}")]
    WhichTree(String),
    #[error("the trees call one another in a circle ({0}); a tree cannot contain itself")]
    Circle(String),
    #[error("more than {MAX_NODES} nodes with subtrees written out; make the trees smaller")]
    TooManyNodes,
    #[error("nested deeper than {MAX_DEPTH} levels with subtrees written out; make the trees flatter")]
    TooDeep,
}

pub(crate) fn no_such_tree<'t>(name: &str, names: impl Iterator<Item = &'t String>) -> Error {
    Error::NoSuchTree(quoted(name), listed(names.map(|k| quoted(k))))
}

/// The tree to run, of those with these names: the one named, else the only one, else the one
/// called "root" whatever its case.
pub fn entry<'t>(
    names: impl Iterator<Item = &'t String> + Clone,
    named: Option<&str>,
) -> Result<&'t str, Finding> {
    let mut first = names.clone();
    let found = match (named, first.next(), first.next()) {
        (Some(named), ..) => names.clone().find(|n| *n == named).ok_or_else(|| no_such_tree(named, names)),
        (None, Some(only), None) => Ok(only),
        _ => {
            let root = names.clone().find(|n| n.eq_ignore_ascii_case("root"));
            root.ok_or_else(|| Error::WhichTree(listed(names.map(|k| quoted(k)))))
        }
    };
    found.map(String::as_str).map_err(|e| Finding::new(&Path::top(), &e))
}

/// Looks at all trees together: every subtree exists and none contains itself.
pub fn check(trees: &Trees) -> Vec<Finding> {
    let mut findings = Findings::default();
    let mut finished = BTreeSet::new();
    for (name, node) in trees {
        if !finished.contains(name.as_str()) {
            let mut open = vec![name.as_str()];
            check_calls(node, trees, &mut open, &mut finished, &mut findings);
            finished.insert(name.as_str());
        }
    }
    findings.into_vec()
}

/// Follows the subtrees of a tree. The depth is bounded by the nesting of each document times the
/// number of trees on the way, and each tree is looked at once.
fn check_calls<'t>(
    node: &'t Node,
    trees: &'t Trees,
    open: &mut Vec<&'t str>,
    finished: &mut BTreeSet<&'t str>,
    findings: &mut Findings,
) {
    if let Kind::Subtree(name) = &node.kind {
        let place = node.path.field("subtree");
        let Some((name, tree)) = trees.get_key_value(name) else {
            findings.note(&place, &no_such_tree(name, trees.keys()));
            return;
        };
        if let Some(start) = open.iter().position(|o| o == name) {
            let circle = open[start..]
                .iter()
                .chain([&name.as_str()])
                .map(|n| quoted(n))
                .collect::<Vec<_>>()
                .join(" → ");
            findings.note(&place, &Error::Circle(circle));
        } else if open.len() > MAX_DEPTH {
            findings.note(&place, &Error::TooDeep);
        } else if !finished.contains(name.as_str()) {
            open.push(name);
            check_calls(tree, trees, open, finished, findings);
            open.pop();
            finished.insert(name);
        }
    }
    for child in children_of(&node.kind) {
        check_calls(child, trees, open, finished, findings);
    }
}

fn children_of(kind: &Kind) -> Vec<&Node> {
    match kind {
        Kind::Sequence(c) | Kind::Select(c) | Kind::Random(c) => c.iter().collect(),
        Kind::RandomWeighted(c) => c.iter().map(|(_, n)| n).collect(),
        Kind::RepeatN(_, c)
        | Kind::RepeatUntilSucceed(c)
        | Kind::RepeatUntilFail(c)
        | Kind::Negate(c)
        | Kind::AlwaysSucceed(c)
        | Kind::AlwaysFail(c) => vec![c],
        Kind::Subtree(_) | Kind::Leaf(_) => vec![],
    }
}

pub(crate) fn compile(root: &Node, trees: &Trees) -> Result<Plan, Vec<Finding>> {
    let broken = check(trees);
    if !broken.is_empty() {
        return Err(broken);
    }
    let plan = Plan { nodes: vec![], children: vec![], weights: vec![], leaves: vec![], slots: 0, seed: 0 };
    let mut compiler = Compiler { plan, trees };
    match compiler.node(root, root.label.as_deref(), NONE, 0, 0) {
        Ok(_) => Ok(compiler.plan),
        Err(finding) => Err(vec![finding]),
    }
}

struct Compiler<'t> {
    plan: Plan,
    trees: &'t Trees,
}

impl Compiler<'_> {
    fn slot(&mut self) -> u32 {
        self.plan.slots += 1;
        self.plan.slots - 1
    }

    /// Numbers nodes in the order in which they are written, so that a number (and with it a draw)
    /// does not depend on how the compiler works.
    fn node(
        &mut self,
        node: &Node,
        label: Option<&str>,
        parent: NodeId,
        place: u32,
        depth: usize,
    ) -> Result<NodeId, Finding> {
        if depth >= MAX_DEPTH {
            return Err(Finding::new(&node.path, &Error::TooDeep));
        }
        if let Kind::Subtree(name) = &node.kind {
            let tree = self.trees.get(name);
            let tree =
                tree.ok_or_else(|| Finding::new(&node.path, &no_such_tree(name, self.trees.keys())))?;
            return self.node(tree, label.or(tree.label.as_deref()), parent, place, depth + 1);
        }
        let id = u32::try_from(self.plan.nodes.len()).ok().filter(|id| (*id as usize) < MAX_NODES);
        let id = id.ok_or_else(|| Finding::new(&node.path, &Error::TooManyNodes))?;
        let op = self.op(node, label, id);
        self.plan.nodes.push(NodeRecord { op, parent, place, first: 0, len: 0 });
        let mut children = Vec::new();
        for (place, child) in (0..).zip(children_of(&node.kind)) {
            children.push(self.node(child, child.label.as_deref(), id, place, depth + 1)?);
        }
        let first = u32::try_from(self.plan.children.len()).unwrap_or(NONE);
        let len = u32::try_from(children.len()).unwrap_or(NONE);
        self.plan.children.extend(children);
        let record = &mut self.plan.nodes[id as usize];
        (record.first, record.len) = (first, len);
        Ok(id)
    }

    fn op(&mut self, node: &Node, label: Option<&str>, id: NodeId) -> Op {
        match &node.kind {
            Kind::Sequence(_) => Op::Sequence,
            Kind::Select(_) => Op::Select,
            Kind::Random(_) => Op::Random { slot: self.slot() },
            Kind::RandomWeighted(children) => {
                let weights = u32::try_from(self.plan.weights.len()).unwrap_or(NONE);
                let sums = children.iter().scan(0, |sum, (weight, _)| {
                    *sum += u64::from(*weight);
                    Some(*sum)
                });
                self.plan.weights.extend(sums);
                Op::RandomWeighted { slot: self.slot(), weights }
            }
            Kind::RepeatN(times, _) => Op::RepeatN { times: *times, slot: self.slot() },
            Kind::RepeatUntilSucceed(_) => Op::RepeatUntilSucceed,
            Kind::RepeatUntilFail(_) => Op::RepeatUntilFail,
            Kind::Negate(_) => Op::Negate,
            Kind::AlwaysSucceed(_) => Op::AlwaysSucceed,
            // A subtree was followed before it could come here.
            Kind::AlwaysFail(_) | Kind::Subtree(_) => Op::AlwaysFail,
            Kind::Leaf(leaf) => self.leaf(leaf, &node.path, label, id),
        }
    }

    fn leaf(&mut self, leaf: &Leaf, path: &Path, label: Option<&str>, node: NodeId) -> Op {
        let draws =
            matches!(leaf.call, Call::SucceedRate(_) | Call::Wait(Wait::Seconds(..) | Wait::Millis(..)));
        let slot = if draws { self.slot() } else { NONE };
        let index = u32::try_from(self.plan.leaves.len()).unwrap_or(NONE);
        self.plan.leaves.push(LeafRecord {
            name: label.unwrap_or(&leaf.name).to_owned(),
            base: label.unwrap_or(&leaf.base).to_owned(),
            measured: is_measured(&leaf.call),
            call: leaf.call.clone(),
            path: path.clone(),
            node,
            slot,
        });
        Op::Leaf(index)
    }
}

fn is_measured(call: &Call) -> bool {
    let name = match call {
        Call::Own { .. } => return true,
        Call::Http(_) => "http",
        Call::Wait(_) => "wait",
        Call::SucceedRate(_) => "succeed_rate",
        Call::Done => "done",
        Call::Error(_) => "error",
        Call::Log(_) => "log",
        Call::Set(_) => "set",
    };
    action::built_in(name).is_some_and(|s| s.measured)
}

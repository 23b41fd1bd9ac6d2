//! Turns a definition into a plan: subtrees written out, nodes numbered, counters assigned.

use crate::action::{self, Call, Wait};
use crate::ast::{Kind, Leaf, Node};
use crate::fields::Findings;
use crate::finding::{Finding, Path, listed, quoted};
use crate::notation::Trees;
use crate::plan::{
    Branch, FrameId, FrameRecord, LeafRecord, NONE, NodeId, NodeRecord, Op, Plan, TimerRecord,
};
use crate::template::Template;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Most nodes of a plan, subtrees written out at each place that calls them.
pub const MAX_NODES: usize = 100_000;
/// Longest group of a leaf, in bytes: what is longer is cut.
pub const MAX_GROUP: usize = 512;
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
    #[error("{0} is a row of every result; call this one otherwise")]
    TakenRow(String),
    #[error("{0} is also the row of an action on the target, which this is not; give it a label of its own")]
    MixedRow(String),
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
    if let Kind::Subtree { name, .. } = &node.kind {
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
        Kind::Sequence(c) | Kind::Select(c) | Kind::Random(c) | Kind::Parallel { children: c, .. } => {
            c.iter().collect()
        }
        Kind::RandomWeighted(c) => c.iter().map(|(_, n)| n).collect(),
        Kind::RepeatN(_, c)
        | Kind::RepeatUntilSucceed(c)
        | Kind::RepeatUntilFail(c)
        | Kind::Negate(c)
        | Kind::AlwaysSucceed(c)
        | Kind::AlwaysFail(c)
        | Kind::Retry { child: c, .. }
        | Kind::Timeout { child: c, .. } => vec![c],
        Kind::If { then, otherwise, .. } => [then].into_iter().chain(otherwise).map(|n| &**n).collect(),
        Kind::Subtree { .. } | Kind::Leaf(_) => vec![],
    }
}

pub(crate) fn compile(root: &Node, trees: &Trees) -> Result<Plan, Vec<Finding>> {
    let broken = check(trees);
    if !broken.is_empty() {
        return Err(broken);
    }
    let mut compiler = Compiler { plan: Plan::default(), trees, groups: vec!["".into()] };
    let branch = compiler.branch(0);
    let at = Place { parent: NONE, child: 0, depth: 0, branch, frame: None, group: 0 };
    match compiler.node(root, root.label.as_deref(), at) {
        Ok(_) => {
            let mixed = mixed_rows(&compiler.plan);
            own_rows_for_labels(&mut compiler.plan.leaves);
            if mixed.is_empty() { Ok(compiler.plan) } else { Err(mixed) }
        }
        Err(finding) => Err(vec![finding]),
    }
}

/// Rows that every result may have: whole passes, and how late bots began.
pub const ROWS_OF_EVERY_RESULT: [&str; 2] = ["(iteration)", "(lateness)"];

/// A row is about the target or about the bot: a wait under the name of a request would count as one.
fn mixed_rows(plan: &Plan) -> Vec<Finding> {
    let measured: BTreeSet<&str> =
        plan.leaves.iter().filter(|l| l.measured).map(|l| l.name.as_str()).collect();
    let mut findings = Findings::default();
    for leaf in plan.leaves.iter().filter(|l| ROWS_OF_EVERY_RESULT.contains(&l.name.as_str())) {
        findings.note(&leaf.path, &Error::TakenRow(quoted(&leaf.name)));
    }
    for leaf in plan.leaves.iter().filter(|l| !l.measured && measured.contains(l.name.as_str())) {
        findings.note(&leaf.path, &Error::MixedRow(quoted(&leaf.name)));
    }
    findings.into_vec()
}

/// Where leaves of several actions have one label, their row is none of these actions'.
fn own_rows_for_labels(leaves: &mut [LeafRecord]) {
    let mut actions: BTreeMap<(&str, &str), Option<&str>> = BTreeMap::new();
    for leaf in &*leaves {
        let action = actions.entry((&*leaf.group, &*leaf.name)).or_insert(Some(&*leaf.base));
        *action = action.filter(|action| *action == leaf.base);
    }
    let is_own = |leaf: &LeafRecord| actions.get(&(&*leaf.group, &*leaf.name)).is_some_and(Option::is_none);
    let own: Vec<bool> = leaves.iter().map(is_own).collect();
    for (leaf, _) in leaves.iter_mut().zip(own).filter(|(_, own)| *own) {
        leaf.base.clone_from(&leaf.name);
    }
}

struct Compiler<'t> {
    plan: Plan,
    trees: &'t Trees,
    /// The first is that of leaves without labels around them.
    groups: Vec<Arc<str>>,
}

/// Where a node comes to stand.
#[derive(Clone, Copy)]
struct Place {
    parent: NodeId,
    child: u32,
    depth: usize,
    branch: u32,
    frame: Option<FrameId>,
    /// Its place among the groups.
    group: usize,
}

/// Everything that is numbered is no more than the nodes are.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

impl Compiler<'_> {
    fn slot(&mut self) -> u32 {
        self.plan.slots += 1;
        self.plan.slots - 1
    }

    /// The group that a label makes inside of another.
    fn group(&mut self, outer: usize, label: &str) -> usize {
        let outer = &*self.groups[outer];
        let joined = if outer.is_empty() { label.to_owned() } else { format!("{outer} / {label}") };
        self.groups.push(joined[..joined.floor_char_boundary(MAX_GROUP)].into());
        self.groups.len() - 1
    }

    fn branch(&mut self, root: NodeId) -> u32 {
        let slot = self.slot();
        self.plan.branches.push(Branch { root, slot });
        slot
    }

    fn timer(&mut self, node: NodeId, duration: Duration) -> u32 {
        self.plan.timers.push(TimerRecord { duration, node });
        number(self.plan.timers.len() - 1)
    }

    /// Numbers nodes in the order in which they are written, so that a number (and with it a draw)
    /// does not depend on how the compiler works.
    fn node(&mut self, node: &Node, label: Option<&str>, at: Place) -> Result<NodeId, Finding> {
        if at.depth >= MAX_DEPTH {
            return Err(Finding::new(&node.path, &Error::TooDeep));
        }
        match &node.kind {
            Kind::Subtree { name, with } => self.subtree(node, label, at, name, with),
            Kind::Leaf(leaf) => {
                let op = |c: &mut Self, id| c.leaf(leaf, &node.path, label, id, at);
                self.record(&node.path, at, op)
            }
            kind => {
                let group = label.map_or(at.group, |label| self.group(at.group, label));
                let at = Place { group, ..at };
                let id = self.record(&node.path, at, |c, id| c.op(kind, id))?;
                self.children(node, id, at)?;
                Ok(id)
            }
        }
    }

    /// Writes a node down; what is below it follows.
    fn record(
        &mut self,
        path: &Path,
        at: Place,
        op: impl FnOnce(&mut Self, NodeId) -> Op,
    ) -> Result<NodeId, Finding> {
        if self.plan.nodes.len() >= MAX_NODES {
            return Err(Finding::new(path, &Error::TooManyNodes));
        }
        let id = number(self.plan.nodes.len());
        let op = op(self, id);
        let Place { parent, child: place, branch, .. } = at;
        self.plan.nodes.push(NodeRecord { op, parent, place, first: 0, len: 0, end: id + 1, branch });
        Ok(id)
    }

    fn below(&mut self, id: NodeId, children: Vec<NodeId>) {
        let (first, len) = (number(self.plan.children.len()), number(children.len()));
        self.plan.children.extend(children);
        let end = number(self.plan.nodes.len());
        let record = &mut self.plan.nodes[id as usize];
        (record.first, record.len, record.end) = (first, len, end);
    }

    fn children(&mut self, node: &Node, id: NodeId, at: Place) -> Result<(), Finding> {
        let mut children = Vec::new();
        let at = Place { parent: id, depth: at.depth + 1, ..at };
        if let Kind::If { when, .. } = &node.kind {
            let at = Place { child: 0, ..at };
            let op = |c: &mut Self, id| c.leaf(when, &node.path, None, id, at);
            children.push(self.record(&node.path.field("if").field("when"), at, op)?);
        }
        for child in children_of(&node.kind) {
            let mut at = Place { child: number(children.len()), ..at };
            if matches!(node.kind, Kind::Parallel { .. }) {
                at.branch = self.branch(number(self.plan.nodes.len()));
            }
            children.push(self.node(child, child.label.as_deref(), at)?);
        }
        self.below(id, children);
        Ok(())
    }

    /// A subtree is written out where it is called; only one with arguments is a node of its own.
    fn subtree(
        &mut self,
        node: &Node,
        label: Option<&str>,
        at: Place,
        name: &str,
        with: &[(String, Template)],
    ) -> Result<NodeId, Finding> {
        let tree = self.trees.get(name);
        let tree = tree.ok_or_else(|| Finding::new(&node.path, &no_such_tree(name, self.trees.keys())))?;
        let label = label.or(tree.label.as_deref());
        if with.is_empty() {
            return self.node(tree, label, Place { depth: at.depth + 1, frame: None, ..at });
        }
        let frame = FrameId(number(self.plan.frames.len()));
        self.plan.frames.push(FrameRecord { subtree: name.into(), with: with.to_vec(), outer: at.frame });
        let id = self.record(&node.path, at, |_, _| Op::Call(frame))?;
        let inner = Place { parent: id, child: 0, depth: at.depth + 1, frame: Some(frame), ..at };
        let child = self.node(tree, label, inner)?;
        self.below(id, vec![child]);
        Ok(id)
    }

    fn op(&mut self, kind: &Kind, id: NodeId) -> Op {
        match kind {
            Kind::Sequence(_) => Op::Sequence,
            Kind::Select(_) => Op::Select,
            Kind::Random(_) => Op::Random { slot: self.slot() },
            Kind::RandomWeighted(children) => {
                let weights = number(self.plan.weights.len());
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
            Kind::Parallel { succeed_on, fail_on, children } => {
                let count = number(children.len());
                let slot = self.slot();
                // The second of the two counters.
                self.slot();
                Op::Parallel { succeed_on: succeed_on.of(count), fail_on: fail_on.of(count), slot }
            }
            Kind::Retry { attempts, delay, .. } => {
                let timer = if delay.is_zero() { NONE } else { self.timer(id, *delay) };
                Op::Retry { attempts: *attempts, slot: self.slot(), timer }
            }
            Kind::Timeout { after, .. } => Op::Timeout { timer: self.timer(id, *after), slot: self.slot() },
            Kind::If { .. } => Op::If,
            // A subtree and a leaf have come to their place before.
            Kind::AlwaysFail(_) | Kind::Subtree { .. } | Kind::Leaf(_) => Op::AlwaysFail,
        }
    }

    fn leaf(&mut self, leaf: &Leaf, path: &Path, label: Option<&str>, node: NodeId, at: Place) -> Op {
        let draws =
            matches!(leaf.call, Call::SucceedRate(_) | Call::Wait(Wait::Seconds(..) | Wait::Millis(..)));
        let slot = if draws { self.slot() } else { NONE };
        let index = number(self.plan.leaves.len());
        self.plan.leaves.push(LeafRecord {
            name: label.unwrap_or(&leaf.name).to_owned(),
            base: leaf.base.clone(),
            is_labelled: label.is_some(),
            measured: is_measured(&leaf.call),
            call: leaf.call.clone(),
            group: self.groups[at.group].clone(),
            path: path.clone(),
            node,
            frame: at.frame,
            slot,
        });
        Op::Leaf(index)
    }
}

fn is_measured(call: &Call) -> bool {
    let name = match call {
        Call::Own { .. } => return true,
        Call::If(_) | Call::Check(_) => return false,
        Call::Shared(_) | Call::Signal(_) | Call::Await(_) | Call::Barrier(_) => return false,
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

//! Random trees that call one another, and what they are once they are written out.

use crate::model::{SECOND, Time};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A tree with its subtrees written out. Leaves, timers and nodes that draw have the numbers that the compiler
/// gives them: in the order in which they are written.
#[derive(Debug)]
pub(crate) enum Node {
    Leaf(usize),
    Sequence(Vec<Node>),
    Select(Vec<Node>),
    /// Its number among all nodes, and children with their weights.
    Random(u32, Vec<(u64, Node)>),
    RepeatN(u64, Box<Node>),
    /// Until its child comes out like this.
    RepeatUntil(bool, Box<Node>),
    Negate(Box<Node>),
    Always(bool, Box<Node>),
    Retry {
        attempts: u64,
        /// The timer with its time, if it waits at all.
        delay: Option<(usize, Time)>,
        child: Box<Node>,
    },
    /// The timer with its time.
    Timeout(usize, Time, Box<Node>),
    If {
        when: usize,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    Parallel {
        succeed_on: usize,
        fail_on: usize,
        children: Vec<Node>,
    },
    /// A subtree with the arguments that it is given: nothing else is seen in it.
    Subtree(Vec<(String, String)>, Box<Node>),
}

// --- how they are made -------------------------------------------------------------------

/// The names that arguments have. The bot itself keeps a value of the second name.
pub(crate) const NAMES: [&str; 2] = ["a", "b"];

/// What stands for a name in an argument, so that one that is not there can be told.
pub(crate) fn hole(name: &str) -> String {
    format!("{{{{ {name} | default('-') }}}}")
}

/// What an argument says: when it was rendered, and what its caller sees.
fn argument() -> impl Strategy<Value = String> {
    let part =
        prop_oneof![Just("c".to_owned()), Just(hole("now")), Just(hole(NAMES[0])), Just(hole(NAMES[1])),];
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.join("/"))
}

fn call(callees: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let with = prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), argument(), 0..3);
    (prop::sample::select(callees), with).prop_map(|(name, with)| {
        let called = if with.is_empty() { json!(name) } else { json!({"name": name, "with": with}) };
        json!({"subtree": called})
    })
}

/// A tree that may call these.
fn tree(callees: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let action = Just(json!({"action": "name"}));
    let leaf = match callees {
        [] => action.boxed(),
        callees => prop_oneof![3 => action, 1 => call(callees)].boxed(),
    };
    leaf.prop_recursive(6, 30, 4, |inner| {
        prop_oneof![
            3 => composite(inner.clone()),
            4 => parallel(inner.clone()),
            4 => timed(inner.clone()),
            3 => decorator(inner),
        ]
    })
}

fn composite(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(inner.clone(), 1..4);
    let plain = (prop::sample::select(vec!["sequence", "select", "random"]), list)
        .prop_map(|(kind, children)| json!({kind: children}));
    let weighted = prop::collection::vec((0..4_u64, inner), 1..4).prop_map(|mut children| {
        // Not all may be 0.
        let none = children.iter().all(|(weight, _)| *weight == 0);
        children[0].0 += u64::from(none);
        let children = children.into_iter().map(|(weight, child)| json!({"weight": weight, "child": child}));
        json!({"random_weighted": children.collect::<Value>()})
    });
    prop_oneof![3 => plain, 1 => weighted]
}

fn parallel(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let quorum = || prop::sample::select(vec![json!("all"), json!("any"), json!(1), json!(2)]);
    (quorum(), quorum(), prop::collection::vec(inner, 2..5)).prop_map(
        |(s, f, children)| json!({"parallel": {"succeed_on": s, "fail_on": f, "children": children}}),
    )
}

fn timed(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let retry = (1..4_u32, 0..3_u32, inner.clone())
        .prop_map(|(n, delay, child)| json!({"retry": {"attempts": n, "delay": delay, "child": child}}));
    let timeout =
        (1..6_u32, inner).prop_map(|(after, child)| json!({"timeout": {"after": after, "child": child}}));
    prop_oneof![retry, timeout]
}

fn decorator(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let kinds = ["repeat_until_succeed", "repeat_until_fail", "negate", "always_succeed", "always_fail"];
    let simple =
        (prop::sample::select(kinds.to_vec()), inner.clone()).prop_map(|(kind, child)| json!({kind: child}));
    let repeat =
        (2..4_u32, inner.clone()).prop_map(|(n, child)| json!({"repeat_n": {"times": n, "child": child}}));
    let condition = (inner.clone(), prop::option::of(inner)).prop_map(|(then, otherwise)| {
        let mut node = json!({"when": "name", "then": then});
        if let Some(otherwise) = otherwise {
            node["else"] = otherwise;
        }
        json!({"if": node})
    });
    prop_oneof![3 => simple, 1 => repeat, 1 => condition]
}

/// Trees of which each may call those behind it, the first being the root.
pub(crate) fn trees() -> impl Strategy<Value = Value> {
    (tree(&["A", "B", "C"]), tree(&["B", "C"]), tree(&["C"]), tree(&[]))
        .prop_map(|(root, a, b, c)| json!({"T": root, "A": a, "B": b, "C": c}))
}

/// Makes each time a little longer than it is, each by another bit, so that no two of them are over at once.
pub(crate) fn spread(tree: &mut Value, next: &mut u64) {
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_u64().filter(|_| key == "after" || key == "delay") {
                    Some(seconds) => {
                        *next += 1;
                        let more = if seconds == 0 { 0 } else { *next * 7_919 % 100_003 };
                        *value = json!(format!("{}us", seconds * 1_000_000 + more));
                    }
                    None => spread(value, next),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| spread(item, next)),
        _ => {}
    }
}

// --- written out -------------------------------------------------------------------------

/// How many there are of what is numbered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) nodes: u32,
    pub(crate) leaves: usize,
    pub(crate) timers: usize,
    pub(crate) frames: usize,
}

impl Numbers {
    fn leaf(&mut self) -> usize {
        self.leaves += 1;
        self.leaves - 1
    }

    fn timer(&mut self) -> usize {
        self.timers += 1;
        self.timers - 1
    }
}

/// The root of these trees, written out.
pub(crate) fn written_out(trees: &Value) -> (Node, Numbers) {
    let mut numbers = Numbers::default();
    (node(trees, &trees["T"], &mut numbers), numbers)
}

fn node(trees: &Value, tree: &Value, numbers: &mut Numbers) -> Node {
    let (kind, inner) = tree.as_object().expect("a node").iter().next().expect("a kind");
    if kind == "subtree" {
        return subtree(trees, inner, numbers);
    }
    let number = numbers.nodes;
    numbers.nodes += 1;
    let below = |child: &Value, numbers: &mut Numbers| Box::new(node(trees, child, numbers));
    let count = |value: &Value| value.as_u64().expect("a number");
    match kind.as_str() {
        "action" => Node::Leaf(numbers.leaf()),
        "sequence" => Node::Sequence(list(trees, inner, numbers)),
        "select" => Node::Select(list(trees, inner, numbers)),
        "random" => Node::Random(number, list(trees, inner, numbers).into_iter().map(|n| (1, n)).collect()),
        "random_weighted" => {
            let children = inner.as_array().expect("children").iter();
            let child = |c: &Value| (count(&c["weight"]), *below(&c["child"], numbers));
            Node::Random(number, children.map(child).collect())
        }
        "repeat_n" => Node::RepeatN(count(&inner["times"]), below(&inner["child"], numbers)),
        "repeat_until_succeed" => Node::RepeatUntil(true, below(inner, numbers)),
        "repeat_until_fail" => Node::RepeatUntil(false, below(inner, numbers)),
        "negate" => Node::Negate(below(inner, numbers)),
        "always_succeed" => Node::Always(true, below(inner, numbers)),
        "always_fail" => Node::Always(false, below(inner, numbers)),
        "retry" => {
            let delay = time(&inner["delay"]);
            let delay = (delay > 0).then(|| (numbers.timer(), delay));
            let attempts = count(&inner["attempts"]);
            Node::Retry { attempts, delay, child: below(&inner["child"], numbers) }
        }
        "timeout" => {
            let timer = numbers.timer();
            Node::Timeout(timer, time(&inner["after"]), below(&inner["child"], numbers))
        }
        "if" => {
            numbers.nodes += 1;
            let when = numbers.leaf();
            let then = below(&inner["then"], numbers);
            Node::If { when, then, otherwise: inner.get("else").map(|child| below(child, numbers)) }
        }
        "parallel" => {
            let children = list(trees, &inner["children"], numbers);
            let of = |quorum: &Value| match quorum.as_str() {
                Some("all") => children.len(),
                Some(_) => 1,
                None => usize::try_from(count(quorum)).expect("few"),
            };
            Node::Parallel { succeed_on: of(&inner["succeed_on"]), fail_on: of(&inner["fail_on"]), children }
        }
        other => panic!("no such node: {other}"),
    }
}

fn list(trees: &Value, children: &Value, numbers: &mut Numbers) -> Vec<Node> {
    children.as_array().expect("children").iter().map(|child| node(trees, child, numbers)).collect()
}

/// Only one that is given arguments is a node of its own.
fn subtree(trees: &Value, called: &Value, numbers: &mut Numbers) -> Node {
    let name = called.as_str().or(called["name"].as_str()).expect("a name");
    let with: Vec<(String, String)> =
        called.get("with").and_then(Value::as_object).map_or_else(Vec::new, |with| {
            with.iter()
                .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
                .collect()
        });
    if !with.is_empty() {
        numbers.nodes += 1;
        numbers.frames += 1;
    }
    Node::Subtree(with, Box::new(node(trees, &trees[name], numbers)))
}

/// A time in seconds, or one that was [`spread`].
fn time(value: &Value) -> Time {
    match value {
        Value::String(text) => text.trim_end_matches("us").parse::<Time>().expect("microseconds") * 1_000,
        seconds => seconds.as_u64().expect("seconds") * SECOND,
    }
}

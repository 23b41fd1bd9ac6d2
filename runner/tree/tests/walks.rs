//! Random trees against the recursive model, the draws of random nodes, and the walker's memory.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_tree::walk::Verdict;
use botarmy_tree::{Actions, Effect, Input, Path, Plan, Walk, notation, trace};
use proptest::prelude::*;
use serde_json::{Value, json};

// --- the recursive model -----------------------------------------------------------------

/// Runs a tree recursively: yields the names of leaves and takes their outcomes, until these are
/// used up.
struct Model<'o> {
    trees: &'o Value,
    outcomes: std::slice::Iter<'o, bool>,
    visited: Vec<String>,
}

/// The outcomes are used up.
struct Over;

impl Model<'_> {
    fn run(&mut self, tree: &Value) -> Result<bool, Over> {
        let (kind, inner) = tree.as_object().expect("a node").iter().next().expect("a kind");
        let children = || inner.as_array().expect("children").iter();
        match kind.as_str() {
            "action" => {
                self.visited.push(inner.as_str().expect("a name").to_owned());
                self.outcomes.next().copied().ok_or(Over)
            }
            "subtree" => {
                let name = inner.as_str().or(inner["name"].as_str()).expect("a name");
                let trees = self.trees;
                self.run(&trees[name])
            }
            "sequence" => {
                for child in children() {
                    if !self.run(child)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            "select" => {
                for child in children() {
                    if self.run(child)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            "repeat_n" => {
                for _ in 0..inner["times"].as_u64().expect("times") {
                    self.run(&inner["child"])?;
                }
                Ok(true)
            }
            "repeat_until_fail" => {
                while self.run(inner)? {}
                Ok(true)
            }
            "repeat_until_succeed" => {
                while !self.run(inner)? {}
                Ok(true)
            }
            "negate" => Ok(!self.run(inner)?),
            "always_succeed" => self.run(inner).map(|_| true),
            "always_fail" => self.run(inner).map(|_| false),
            other => panic!("no such node: {other}"),
        }
    }
}

/// A tree that may call these.
fn tree(callees: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let action = "[a-e]".prop_map(|name| json!({"action": name}));
    let leaf = match callees {
        [] => action.boxed(),
        callees => prop_oneof![3 => action, 1 => call(callees)].boxed(),
    };
    leaf.prop_recursive(6, 60, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (prop_oneof![Just("sequence"), Just("select")], list)
                .prop_map(|(kind, children)| json!({kind: children})),
            (2..4_u32, inner.clone())
                .prop_map(|(n, child)| json!({"repeat_n": {"times": n, "child": child}})),
            (
                prop_oneof![
                    Just("repeat_until_fail"),
                    Just("repeat_until_succeed"),
                    Just("negate"),
                    Just("always_succeed"),
                    Just("always_fail")
                ],
                inner
            )
                .prop_map(|(kind, child)| json!({kind: child})),
        ]
    })
}

fn call(callees: &'static [&'static str]) -> impl Strategy<Value = Value> {
    (prop::sample::select(callees), any::<bool>()).prop_map(|(name, with)| {
        let with_arguments = json!({"name": name, "with": {"x": 1}});
        json!({"subtree": if with { with_arguments } else { json!(name) }})
    })
}

/// Trees of which each may call those behind it, the first being the root.
fn trees() -> impl Strategy<Value = Value> {
    (tree(&["A", "B"]), tree(&["B"]), tree(&[])).prop_map(|(root, a, b)| json!({"T": root, "A": a, "B": b}))
}

fn plan(tree: &Value) -> Plan {
    plan_of(&json!({"T": tree}))
}

fn plan_of(trees: &Value) -> Plan {
    let trees = notation::read(trees, &Path::top(), &Actions::built_in().opaque()).expect("trees");
    Plan::compile_entry(&trees, "T").expect("a plan")
}

fn names(plan: &Plan, bot: u64, outcomes: &[bool]) -> Vec<String> {
    let verdicts: Vec<Verdict> =
        outcomes.iter().map(|s| if *s { Verdict::Succeed } else { Verdict::Fail }).collect();
    let leaves = trace::trace(plan, bot, &verdicts).expect("a walk");
    leaves.into_iter().flatten().map(|l| plan.leaf(l).name.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_is_that_of_the_recursive_model(
        trees in trees(),
        outcomes in prop::collection::vec(any::<bool>(), 0..60),
    ) {
        let mut model = Model { trees: &trees, outcomes: outcomes.iter(), visited: Vec::new() };
        while model.run(&trees["T"]).is_ok() {}
        prop_assert_eq!(names(&plan_of(&trees), 1, &outcomes), model.visited);
    }
}

// --- draws -------------------------------------------------------------------------------

fn first_leaves(tree: &Value, bots: u64, outcomes: &[bool]) -> Vec<Vec<String>> {
    let plan = plan(tree).with_seed(42);
    (0..bots).map(|bot| names(&plan, bot, outcomes)).collect()
}

#[test]
fn weights_are_kept() {
    let leaf = |name: &str, weight: u32| json!({"weight": weight, "child": {"action": name}});
    let tree = json!({"random_weighted": [leaf("a", 3), leaf("never", 0), leaf("b", 2), leaf("c", 1)]});
    let drawn = first_leaves(&tree, 60_000, &[]);
    let count =
        |name: &str| f64::from(u32::try_from(drawn.iter().filter(|d| d[0] == name).count()).expect("few"));
    let expected = [("a", 30_000.0), ("b", 20_000.0), ("c", 10_000.0)];
    let chi_square: f64 = expected.iter().map(|(name, e)| (count(name) - e).powi(2) / e).sum();
    // 2 degrees of freedom, exceeded by chance once in a thousand; the seed is fixed.
    assert!(chi_square < 13.8, "{chi_square}");
    assert!(count("never") == 0.0);
}

#[test]
fn each_visit_draws_anew() {
    let leaves = json!([{"action": "a"}, {"action": "b"}, {"action": "c"}]);
    let tree = json!({"repeat_n": {"times": 3, "child": {"random": leaves}}});
    let pairs: std::collections::BTreeSet<Vec<String>> =
        first_leaves(&tree, 500, &[true]).into_iter().collect();
    assert_eq!(pairs.len(), 9, "{pairs:?}");
    assert_eq!(
        first_leaves(&tree, 500, &[true, false, true]),
        first_leaves(&tree, 500, &[true, false, true])
    );
}

// --- memory ------------------------------------------------------------------------------

#[test]
fn a_step_does_not_allocate() {
    let random = json!({"random_weighted": [{"weight": 1, "child": {"action": "a"}}, {"weight": 2, "child": {"random": [{"action": "b"}, {"action": "c"}]}}]});
    let tree = json!({"sequence": [{"repeat_n": {"times": 3, "child": random}}, {"select": [{"negate": {"action": "d"}}, {"action": "e"}]}]});
    let plan = plan(&tree);
    let mut walk = Walk::new(&plan, 7);
    let mut ended = 0;
    let used = allocation_counter::measure(|| {
        let mut input = Input::Start;
        for i in 0..10_000 {
            let mut effect = None;
            plan.step(&mut walk, input, &mut |e| effect = Some(e)).expect("the leaf it stands on");
            input = match effect {
                Some(Effect::Enter(leaf)) => {
                    Input::Leaf(leaf, if i % 3 == 0 { Verdict::Fail } else { Verdict::Succeed })
                }
                _ => {
                    ended += 1;
                    Input::Start
                }
            };
        }
    });
    assert_eq!(used.count_total, 0);
    assert!(allocation_counter::measure(|| drop(tree.to_string())).count_total > 0, "the counter counts");
    assert!(ended > 100);
}

#[test]
fn an_outcome_of_another_leaf_is_refused() {
    let plan = plan(&json!({"sequence": [{"action": "a"}, {"action": "b"}]}));
    let mut walk = Walk::new(&plan, 1);
    let mut entered = Vec::new();
    let mut emit = |e| {
        if let Effect::Enter(leaf) = e {
            entered.push(leaf);
        }
    };
    plan.step(&mut walk, Input::Start, &mut emit).expect("a start");
    plan.step(&mut walk, Input::Leaf(entered_first(&plan), Verdict::Succeed), &mut emit).expect("its leaf");
    let before = walk.clone();
    assert!(plan.step(&mut walk, Input::Leaf(entered_first(&plan), Verdict::Succeed), &mut |_| {}).is_err());
    assert_eq!(walk, before);
}

fn entered_first(plan: &Plan) -> botarmy_tree::LeafId {
    trace::trace(plan, 1, &[]).expect("a leaf")[0][0]
}

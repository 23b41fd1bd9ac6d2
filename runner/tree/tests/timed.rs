//! Trees with `parallel`, `retry`, `timeout` and `if`, against a recursive model that knows the time of
//! everything: both tell when each leaf is entered, answered and cancelled.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_tree::walk::Verdict;
use botarmy_tree::{Actions, Effect, Input, LeafId, Path, Plan, Walk, notation};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// Nanoseconds of the test's own clock. Leaves take so long that no two things happen at once.
type Time = u64;
const SECOND: Time = 1_000_000_000;
const HORIZON: Time = 40 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Entered,
    Answered(bool),
    Cancelled,
}

type Log = BTreeSet<(Time, String, What)>;

/// What a leaf does that is entered at a time: how long it takes and what comes of it.
fn fate(name: &str, entered: Time) -> (Time, bool) {
    let mut hasher = DefaultHasher::new();
    (name, entered).hash(&mut hasher);
    let drawn = hasher.finish();
    (drawn % (3 * SECOND) + 1, (drawn >> 40).is_multiple_of(2))
}

// --- the recursive model -----------------------------------------------------------------

/// Runs a node from `from`; what has not ended at `until` is cancelled then, and has no end.
fn model(tree: &Value, from: Time, until: Time, log: &mut Log) -> Option<(Time, bool)> {
    let (kind, inner) = tree.as_object().expect("a node").iter().next().expect("a kind");
    let children = |value: &Value| value.as_array().expect("children").clone();
    match kind.as_str() {
        "action" => leaf(inner.as_str().expect("a name"), from, until, log),
        "sequence" | "select" => {
            let goes_on = kind == "sequence";
            let mut now = from;
            for child in children(inner) {
                let (end, verdict) = model(&child, now, until, log)?;
                now = end;
                if verdict != goes_on {
                    return Some((now, verdict));
                }
            }
            Some((now, goes_on))
        }
        "negate" => model(inner, from, until, log).map(|(end, verdict)| (end, !verdict)),
        "repeat_n" => {
            let mut now = from;
            for _ in 0..inner["times"].as_u64().expect("times") {
                now = model(&inner["child"], now, until, log)?.0;
            }
            Some((now, true))
        }
        "retry" => {
            let attempts = inner["attempts"].as_u64().expect("attempts");
            let delay = time(&inner["delay"]);
            let mut now = from;
            for attempt in 1..=attempts {
                let (end, verdict) = model(&inner["child"], now, until, log)?;
                if verdict || attempt == attempts {
                    return Some((end, verdict));
                }
                now = end + delay;
                if now > until {
                    return None;
                }
            }
            None
        }
        "timeout" => {
            let over = from + time(&inner["after"]);
            let ended = model(&inner["child"], from, until.min(over), log);
            ended.or((over <= until).then_some((over, false)))
        }
        "if" => {
            let (end, verdict) = leaf(&condition(inner), from, until, log)?;
            match (verdict, inner.get("else")) {
                (true, _) => model(&inner["then"], end, until, log),
                (false, Some(otherwise)) => model(otherwise, end, until, log),
                (false, None) => Some((end, true)),
            }
        }
        "parallel" => {
            let end = parallel(inner, from, until);
            let until = end.map_or(until, |(end, _)| end);
            for child in children(&inner["children"]) {
                model(&child, from, until, log);
            }
            end
        }
        other => panic!("no such node: {other}"),
    }
}

fn time(value: &Value) -> Time {
    let text = value.as_str().expect("a time");
    text.trim_end_matches("us").parse::<Time>().expect("microseconds") * 1_000
}

fn condition(node: &Value) -> String {
    format!("if({})", node["when"])
}

fn leaf(name: &str, from: Time, until: Time, log: &mut Log) -> Option<(Time, bool)> {
    let (takes, verdict) = fate(name, from);
    log.insert((from, name.to_owned(), What::Entered));
    if from + takes > until {
        log.insert((until, name.to_owned(), What::Cancelled));
        return None;
    }
    log.insert((from + takes, name.to_owned(), What::Answered(verdict)));
    Some((from + takes, verdict))
}

/// When a `parallel` has its verdict: its children end in the order of their times.
fn parallel(inner: &Value, from: Time, until: Time) -> Option<(Time, bool)> {
    let children = inner["children"].as_array().expect("children");
    let number = |name: &str| match &inner[name] {
        Value::String(all) if all == "all" => children.len(),
        Value::String(_) => 1,
        count => usize::try_from(count.as_u64().expect("a count")).expect("few"),
    };
    let ends = children.iter().filter_map(|c| model(c, from, until, &mut Log::new()));
    let mut ends: Vec<(Time, bool)> = ends.collect();
    ends.sort_unstable();
    let (mut succeeded, mut failed) = (0, 0);
    for (end, verdict) in ends {
        *(if verdict { &mut succeeded } else { &mut failed }) += 1;
        let lost = failed >= number("fail_on") || children.len() - failed < number("succeed_on");
        if verdict && succeeded >= number("succeed_on") || !verdict && lost {
            return Some((end, verdict));
        }
    }
    None
}

// --- the walk, with a clock --------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Leaf(LeafId, bool),
    Timer(botarmy_tree::TimerId),
}

#[derive(Default)]
struct Clock {
    now: Time,
    due: BTreeMap<(Time, u64), Due>,
    entered: u64,
    log: Log,
    ended: Option<bool>,
}

impl Clock {
    fn take(&mut self, plan: &Plan, effect: Effect) {
        self.entered += 1;
        match effect {
            Effect::Enter(leaf) => {
                let name = plan.leaf(leaf).name.clone();
                let (takes, verdict) = fate(&name, self.now);
                self.due.insert((self.now + takes, self.entered), Due::Leaf(leaf, verdict));
                self.log.insert((self.now, name, What::Entered));
            }
            Effect::Arm(timer) => {
                let takes = Time::try_from(plan.timers()[timer.index()].duration.as_nanos()).expect("short");
                self.due.insert((self.now + takes, self.entered), Due::Timer(timer));
            }
            Effect::Cancel(leaf) => {
                self.due.retain(|_, due| !matches!(due, Due::Leaf(l, _) if *l == leaf));
                self.log.insert((self.now, plan.leaf(leaf).name.clone(), What::Cancelled));
            }
            Effect::Disarm(timer) => {
                let before = self.due.len();
                self.due.retain(|_, due| *due != Due::Timer(timer));
                assert_eq!(self.due.len() + 1, before, "only what is armed is disarmed");
            }
            Effect::Ended(verdict) => self.ended = Some(verdict == Verdict::Succeed),
            Effect::Bind(_) => panic!("no arguments here"),
        }
    }
}

fn walked(tree: &Value) -> (Option<(Time, bool)>, Log) {
    let plan = plan(tree);
    let mut walk = Walk::new(&plan, 1);
    let mut clock = Clock::default();
    plan.step(&mut walk, Input::Start, &mut |e| clock.take(&plan, e)).expect("a start");
    while let Some(((time, _), due)) = clock.due.pop_first().filter(|((time, _), _)| *time <= HORIZON) {
        clock.now = time;
        let input = match due {
            Due::Timer(timer) => Input::Timer(timer),
            Due::Leaf(leaf, verdict) => {
                clock.log.insert((time, plan.leaf(leaf).name.clone(), What::Answered(verdict)));
                Input::Leaf(leaf, if verdict { Verdict::Succeed } else { Verdict::Fail })
            }
        };
        plan.step(&mut walk, input, &mut |e| clock.take(&plan, e)).expect("what runs");
        if let Some(verdict) = clock.ended {
            assert!(clock.due.is_empty(), "nothing runs after the end");
            return (Some((time, verdict)), clock.log);
        }
    }
    // What still runs at the horizon is cancelled, as the model does.
    clock.now = HORIZON;
    let mut cancelled = Vec::new();
    plan.step(&mut walk, Input::Start, &mut |e| {
        if let Effect::Cancel(leaf) = e {
            cancelled.push(plan.leaf(leaf).name.clone());
        }
    })
    .expect("a start");
    clock.log.extend(cancelled.into_iter().map(|name| (HORIZON, name, What::Cancelled)));
    (None, clock.log)
}

fn plan(tree: &Value) -> Plan {
    let actions = Actions::built_in().opaque();
    let trees = notation::read(&json!({"T": tree}), &Path::top(), &actions).expect("a tree");
    Plan::compile_entry(&trees, "T").expect("a plan")
}

// --- trees -------------------------------------------------------------------------------

fn tree() -> impl Strategy<Value = Value> {
    let leaf = Just(json!({"action": "name"}));
    leaf.prop_recursive(6, 40, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        let quorum = || prop_oneof![Just(json!("all")), Just(json!("any")), Just(json!(1)), Just(json!(2))];
        prop_oneof![
            2 => (prop_oneof![Just("sequence"), Just("select")], list())
                .prop_map(|(kind, children)| json!({kind: children})),
            4 => (quorum(), quorum(), prop::collection::vec(inner.clone(), 2..5)).prop_map(|(s, f, children)| {
                json!({"parallel": {"succeed_on": s, "fail_on": f, "children": children}})
            }),
            2 => (1..4_u32, 0..3_u32, inner.clone())
                .prop_map(|(n, delay, child)| json!({"retry": {"attempts": n, "delay": delay, "child": child}})),
            2 => (1..6_u32, inner.clone())
                .prop_map(|(after, child)| json!({"timeout": {"after": after, "child": child}})),
            1 => (inner.clone(), prop::option::of(inner.clone())).prop_map(|(then, otherwise)| {
                let mut node = json!({"when": "name", "then": then});
                if let Some(otherwise) = otherwise {
                    node["else"] = otherwise;
                }
                json!({"if": node})
            }),
            1 => (2..4_u32, inner.clone())
                .prop_map(|(n, child)| json!({"repeat_n": {"times": n, "child": child}})),
            1 => inner.clone().prop_map(|child| json!({"negate": child})),
        ]
    })
}

/// Gives each leaf a name of its own, so that what happens to it is its own, and each time a length of
/// its own, so that no two of them are over at once.
fn name(tree: &mut Value, next: &mut u32) {
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                if (key == "action" || key == "when") && value.is_string() {
                    *value = json!(format!("x{next}"));
                    *next += 1;
                } else if let Some(seconds) = value.as_u64().filter(|_| key == "after" || key == "delay") {
                    let more = if seconds == 0 { 0 } else { fate("a time", u64::from(*next)).0 % 100_003 };
                    *value = json!(format!("{}us", seconds * 1_000_000 + more));
                    *next += 1;
                } else {
                    name(value, next);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| name(item, next)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn every_leaf_has_its_time(tree in tree()) {
        let mut tree = tree;
        name(&mut tree, &mut 0);
        let mut log = Log::new();
        let end = model(&tree, 0, HORIZON, &mut log);
        let (walked_end, walked_log) = walked(&tree);
        prop_assert_eq!(&walked_log, &log, "{}", tree);
        prop_assert_eq!(walked_end, end, "{}", tree);
    }
}

#[test]
fn a_step_of_parallel_branches_does_not_allocate() {
    let branch = json!({"timeout": {"after": 5, "child": {"retry": {"attempts": 3, "delay": 1, "child": {"action": "a"}}}}});
    let plan = plan(
        &json!({"parallel": {"succeed_on": 2, "fail_on": "all", "children": [branch, branch, {"action": "b"}]}}),
    );
    let mut walk = Walk::new(&plan, 1);
    let mut running: Vec<LeafId> = Vec::with_capacity(16);
    let mut armed: Vec<botarmy_tree::TimerId> = Vec::with_capacity(16);
    let mut ended = 0;
    let used = allocation_counter::measure(|| {
        for i in 0..10_000_u32 {
            let input = match (running.pop(), armed.pop()) {
                (Some(leaf), timer) => {
                    armed.extend(timer);
                    Input::Leaf(leaf, if i % 3 == 0 { Verdict::Succeed } else { Verdict::Fail })
                }
                (None, Some(timer)) => Input::Timer(timer),
                (None, None) => Input::Start,
            };
            plan.step(&mut walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => running.push(leaf),
                Effect::Cancel(leaf) => running.retain(|l| *l != leaf),
                Effect::Arm(timer) => armed.push(timer),
                Effect::Disarm(timer) => armed.retain(|t| *t != timer),
                Effect::Bind(_) => {}
                Effect::Ended(_) => ended += 1,
            })
            .expect("what runs");
        }
    });
    assert_eq!(used.count_total, 0);
    assert!(ended > 100, "{ended}");
}

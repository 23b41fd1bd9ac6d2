//! Runners that say anything: an army hears what random changes make of real check-ins, one after the other. It counts
//! what was sent, once each, whatever comes; it keeps no more than its bounds; and it never breaks.

// The same changes as those of the fuzz target's own test.
#[path = "../../../../runner/protocol/fuzz/changes.rs"]
mod changes;

use super::*;
use botarmy_report::Outcome;
use changes::{Draw, change};
use serde_json::Value;

/// Armies, and how often each of them is told something.
const ARMIES: usize = 300;
const TOLD: usize = 30;
/// Most that a checkpoint of one of these armies may come to, as JSON: none has heard more than a few kilobytes at once.
const MOST_KEPT: usize = 4 << 20;

/// The check-ins that fuzzing begins with.
fn corpus() -> Vec<Value> {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner/protocol/fuzz/corpus/check_in");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// What is counted of samples, requests, iterations and bots.
type Counted = [u128; 4];

fn counted<'t>(totals: impl Iterator<Item = &'t Totals>) -> Counted {
    let samples = |totals: &Totals| -> u128 {
        let of_row = |outcome| totals.rows.values().map(move |row| u128::from(row.whole().count(outcome)));
        Outcome::ALL.into_iter().flat_map(of_row).sum()
    };
    totals.fold([0; 4], |sum, t| {
        let own = [samples(t), t.requests.into(), t.iterations.into(), t.bots_started.into()];
        std::array::from_fn(|n| sum[n] + own[n])
    })
}

/// All that an army has counted, the warm-up included.
fn sum(army: &Army) -> Counted {
    counted([&army.state.totals, &army.state.warmup].into_iter())
}

fn applied(army: &Army, pod: &str) -> u64 {
    army.state.pods.get(pod).map_or(0, |pod| pod.applied)
}

/// A check-in that was changed, of one of a few pods: who that is the token says, and not the runner.
fn said(corpus: &[Value], draw: &mut Draw) -> Option<CheckIn> {
    let mut said = corpus[draw.below(corpus.len())].clone();
    for _ in 0..draw.below(4) {
        change(&mut said, draw);
    }
    let mut said: CheckIn = serde_json::from_value(said).ok()?;
    let index = [0, 0, 1, 1, 2][draw.below(5)];
    (said.index, said.pod_uid) = (index, format!("pod-{index}-{}", draw.below(2)));
    // Most of what runners send comes in its order.
    if draw.below(4) > 0 {
        (1..).zip(&mut said.deltas).for_each(|(n, delta)| delta.sequence = n);
    }
    Some(said)
}

/// The army hears it; what it has counted is what was new to it.
fn hear(army: &mut Army, said: &CheckIn, now_ms: u64) {
    let (before, had) = (sum(army), applied(army, &said.pod_uid));
    let answered = army.check_in(said, now_ms);
    let has = applied(army, &said.pod_uid);
    let new = said.deltas.iter().filter(|delta| (had + 1..=has).contains(&delta.sequence));
    let mut once = BTreeMap::new();
    for delta in new {
        once.entry(delta.sequence).or_insert(delta);
    }
    assert_eq!(once.len() as u64, has - had, "each number was sent");
    let sent = counted(once.values().flat_map(|delta| &delta.slices).map(|slice| &slice.totals));
    assert_eq!(sum(army), std::array::from_fn(|n| before[n] + sent[n]), "{answered:?} to {said:?}");
    if let Ok(orders) = answered {
        assert_eq!(orders.applied, has);
        assert!(orders.durable <= orders.applied);
    }
}

#[test]
fn whatever_runners_say_is_counted_once_and_kept_within_bounds() {
    let corpus = corpus();
    let (mut heard, mut counts) = (0, 0);
    for seed in 0..ARMIES {
        let draw = &mut Draw(seed as u64);
        let fields = if seed.is_multiple_of(2) { "setup" } else { "teardown" };
        let mut army = army_with(&serde_json::json!({fields: {"tree": "T"}, "warmup": 1}));
        let mut now = 1_000_000;
        for _ in 0..TOLD {
            now += [1, 300, 1_000, 15_000, 200_000][draw.below(5)];
            let Some(said) = said(&corpus, draw) else { continue };
            heard += 1;
            hear(&mut army, &said, now);
            if draw.below(3) == 0 {
                write(&mut army);
            }
            if draw.below(12) == 0 {
                let checkpoint = write(&mut army);
                let kept = serde_json::to_vec(&checkpoint).unwrap();
                assert!(kept.len() < MOST_KEPT, "{} bytes", kept.len());
                let read: Checkpoint = serde_json::from_slice(&kept).unwrap();
                assert_eq!(counted([&read.totals, &read.warmup].into_iter()), sum(&army));
                army = Army::restore("ns", "r", army.run.clone(), read, 2, now);
            }
            let _ = (army.result(now).bounded(), army.final_result(now), army.fault(), army.silent(now));
        }
        counts += sum(&army)[1];
    }
    assert!(heard > ARMIES * TOLD / 4, "{heard} were check-ins");
    assert!(counts > ARMIES as u128, "{counts} requests were counted");
}

/// No run lasts that long, and a checkpoint that nobody can read would be the end of one.
#[test]
fn a_second_that_is_made_up_does_not_spoil_the_checkpoint() {
    let mut army = super::army(1);
    for (sequence, second) in [(1, 3), (2, u64::MAX), (3, 4), (4, u64::MAX / 2)] {
        let totals = Totals { requests: 10, ..Totals::default() };
        let slices = vec![Slice { second, totals, warmup: false, apart: false }];
        let deltas = vec![Delta { sequence, slices, alive: 1 }];
        army.check_in(&super::said_by("pod-0", 0, Stage::Running, deltas), 1_000).unwrap();
    }
    let kept = serde_json::to_vec(&write(&mut army)).unwrap();
    let read: Checkpoint = serde_json::from_slice(&kept).expect("what was written can be read");
    assert_eq!((read.totals.requests, read.timeline == army.state.timeline), (40, true));
}

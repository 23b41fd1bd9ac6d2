//! What is kept of armies: written by who leads and knows most, whole or not at all, and never too large.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, run, said, scheduled, seconds, told};
use botarmy_operator::armies::{Armies, Army, Checkpoint};
use botarmy_operator::checkpoint::{self, Keeper};
use botarmy_operator::clock::now_ms;
use botarmy_operator::election::{Leadership, Standing};
use botarmy_protocol::Stage;
use botarmy_report::{
    Details, FailureClass, MAX_SAMPLE_BYTES, MAX_SAMPLES, OTHER, Observed, Outcome, Recorder, RowInfo,
    Samples, Totals,
};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{Sender, channel};

const UID: &str = "u";
const HEAD: &str = "a-checkpoint";
/// So many rows, as [`measures`] makes them, do not fit into one object.
const LARGE: usize = 130;
/// So many do not fit at all.
const TOO_LARGE: usize = 500;

/// One operator's armies, which it keeps.
struct Keeping {
    armies: Arc<Armies>,
    keeper: Keeper,
    standing: Sender<Standing>,
}

impl Keeping {
    fn new(fake: &Fake, client: &'static str, army: Army) -> Self {
        let (standing, told) = channel(Standing::Leads(1));
        let armies = Arc::new(Armies::default());
        armies.lock().insert(UID.to_owned(), army);
        let keeper = Keeper::new(fake.client(client), armies.clone(), Leadership::from(told), Arc::default());
        Self { armies, keeper, standing }
    }

    fn checkpoint(&self) -> Checkpoint {
        self.armies.lock()[UID].checkpoint()
    }

    /// What is durable of what the one runner says.
    fn durable(&self, stage: Stage, deltas: &[u64]) -> u64 {
        let mut armies = self.armies.lock();
        let army = armies.get_mut(UID).expect("an army");
        army.check_in(&said(UID, 0, stage, deltas), 10_000).expect("orders").durable
    }
}

fn plan() -> (BotRunSpec, Run) {
    let spec: BotRunSpec =
        serde_json::from_value(json!({"trees": {"T": "done"}, "bots": 4})).expect("a spec");
    let run = Run::check(&spec, "a", &Path::top(), &Actions::built_in()).expect("a run");
    (spec, run)
}

/// An army at work that has measured this, led in this epoch.
fn army(epoch: u64, totals: Totals) -> Army {
    let (spec, run) = plan();
    let fresh = Army::new(NAMESPACE, "a", &spec, run.clone(), 1, 1).checkpoint();
    let checkpoint = Checkpoint { totals, start_at_ms: Some(1_000), epoch: epoch - 1, ..fresh };
    Army::restore(NAMESPACE, "a", run, checkpoint, epoch, 1)
}

/// The object that the controller makes for the checkpoint.
fn add_head(fake: &Fake) {
    add_head_of(fake, "a", UID);
}

fn add_head_of(fake: &Fake, run: &str, uid: &str) {
    let owner = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "name": run, "uid": uid});
    let metadata =
        json!({"name": format!("{run}-checkpoint"), "namespace": NAMESPACE, "ownerReferences": [owner]});
    fake.add("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
}

async fn read(fake: &Fake) -> Option<Checkpoint> {
    read_of(fake, UID).await
}

async fn read_of(fake: &Fake, uid: &str) -> Option<Checkpoint> {
    let of = checkpoint::Of { namespace: NAMESPACE, run: "a", uid };
    checkpoint::read(fake.client("reader"), of).await.expect("a checkpoint that can be read")
}

/// Measures of so many rows, each with ten kilobytes of failures that no packing makes smaller.
fn measures(seed: u64, rows: usize) -> Totals {
    let info = |n| RowInfo { name: format!("row {n:04}"), measured: true, ..RowInfo::default() };
    let rows: Vec<RowInfo> = (0..rows).map(info).collect();
    let (count, mut state) = (rows.len(), seed);
    let mut letter = || {
        // A linear congruential generator, whose upper bits are good enough for noise.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        char::from(letters[usize::try_from(state >> 58).expect("six bits")])
    };
    let mut recorder = Recorder::new(rows.into(), 1_000_000);
    for row in 0..count {
        for class in FailureClass::ALL {
            for _ in 0..MAX_SAMPLES {
                let text: String = (0..MAX_SAMPLE_BYTES).map(|_| letter()).collect();
                recorder.record_observed(row, Outcome::Fail, 5, &Observed::failed(class, text));
            }
        }
    }
    recorder.drain()
}

fn parts(fake: &Fake) -> Vec<String> {
    let maps = fake.all("configmaps");
    let names = maps.iter().filter_map(|map| map["metadata"]["name"].as_str());
    names.filter(|name| *name != HEAD).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_checkpoint_is_kept_in_parts_and_read_as_it_was() {
    let fake = Fake::new();
    add_head(&fake);
    let keeping = Keeping::new(&fake, "a", army(1, measures(1, LARGE)));
    keeping.keeper.last().await;
    assert_eq!(read(&fake).await, Some(keeping.checkpoint()));
    let first = parts(&fake);
    assert!((1..=3).contains(&first.len()), "{first:?}");
    for map in fake.all("configmaps") {
        let bytes = map["binaryData"]["checkpoint.json.gz"].as_str().map_or(0, str::len) / 4 * 3;
        assert!((1..=(900 << 10) + 3).contains(&bytes), "{bytes} bytes");
        assert_eq!(map["metadata"]["ownerReferences"][0]["uid"], UID, "it goes with the run");
    }
    // The parts of the last checkpoint are left as they are until the next one is whole.
    keeping.armies.lock().insert(UID.to_owned(), army(1, measures(2, LARGE)));
    keeping.keeper.last().await;
    assert_eq!(read(&fake).await, Some(keeping.checkpoint()));
    assert_eq!(parts(&fake).len(), 2 * first.len());
    let versions =
        |name: &str| fake.get("configmaps", name).map(|map| map["metadata"]["resourceVersion"].clone());
    let before: Vec<Option<Value>> = first.iter().map(|name| versions(name)).collect();
    // The third time they are used again.
    keeping.keeper.last().await;
    assert_eq!(read(&fake).await, Some(keeping.checkpoint()));
    assert_eq!(parts(&fake).len(), 2 * first.len());
    assert!(first.iter().zip(before).all(|(name, before)| versions(name) != before));
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_parts_and_the_head_leaves_the_last_checkpoint() {
    for effect in [Effect::Hang, Effect::Code(500)] {
        let fake = Fake::new();
        add_head(&fake);
        let before = Keeping::new(&fake, "a", army(1, measures(1, LARGE)));
        before.keeper.last().await;
        let whole = before.checkpoint();
        before.armies.lock().insert(UID.to_owned(), army(1, measures(2, LARGE)));
        fake.inject(Fault::new("patch", "configmaps", effect).about(HEAD));
        let written = parts(&fake).len();
        before.keeper.last().await;
        assert!(parts(&fake).len() > written, "{effect:?}: its parts are there");
        assert_eq!(read(&fake).await, Some(whole), "{effect:?}");
        // Whoever comes next uses what lies about.
        fake.mend();
        let after = Keeping::new(&fake, "b", army(2, measures(3, LARGE)));
        after.keeper.last().await;
        assert_eq!(read(&fake).await, Some(after.checkpoint()), "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_led_before_writes_nothing_over_what_its_successor_has_written() {
    for rows in [0, LARGE] {
        let fake = Fake::new();
        add_head(&fake);
        let before = Keeping::new(&fake, "before", army(1, measures(1, rows)));
        before.keeper.last().await;
        let (_, run) = plan();
        let taken = read(&fake).await.expect("a checkpoint");
        let after = Keeping::new(&fake, "after", Army::restore(NAMESPACE, "a", run, taken, 2, 1));
        after.keeper.last().await;
        let (written, objects) = (after.checkpoint(), fake.all("configmaps"));

        assert_eq!(before.durable(Stage::Running, &[1]), 0);
        // At first it goes by the version that it knows; then it looks, and sees who has written.
        before.keeper.last().await;
        before.keeper.last().await;
        assert_eq!(before.durable(Stage::Running, &[]), 0, "nothing of its own is safe");
        assert_eq!((read(&fake).await, fake.all("configmaps")), (Some(written), objects), "{rows} rows");
        let stale = fake.calls().to("patch", "configmaps").about(HEAD).0;
        let stale: Vec<Option<u16>> =
            stale.iter().filter(|seen| seen.call.client == "before").map(|seen| seen.code).collect();
        let expected = if rows == 0 { vec![Some(200), Some(409)] } else { vec![Some(200)] };
        assert_eq!(stale, expected, "{rows} rows");
        assert_eq!(after.durable(Stage::Running, &[1]), 0);
        after.keeper.last().await;
        assert_eq!(after.durable(Stage::Running, &[]), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_for_sure_writes_nothing() {
    let fake = Fake::new();
    add_head(&fake);
    let keeping = Keeping::new(&fake, "a", army(1, Totals::default()));
    for standing in [Standing::InDoubt(1), Standing::Follows] {
        keeping.standing.send_replace(standing);
        keeping.keeper.last().await;
        assert_eq!(fake.calls().count(), 0, "{standing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_write_finds_out_what_a_write_before_it_has_left() {
    let fake = Fake::new();
    add_head(&fake);
    let keeping = Keeping::new(&fake, "a", army(1, Totals::default()));
    keeping.keeper.last().await;
    // As one does whose answer nobody has waited for.
    fake.change("configmaps", HEAD, &json!({"metadata": {"labels": {"written": "once-more"}}}));
    keeping.durable(Stage::Running, &[1]);
    keeping.keeper.last().await;
    assert_eq!(keeping.durable(Stage::Running, &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn objects_of_others_are_not_written_into() {
    let fake = Fake::new();
    add_head(&fake);
    let metadata = json!({"name": format!("{HEAD}-2"), "namespace": NAMESPACE});
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}});
    fake.add("configmaps", foreign);
    let keeping = Keeping::new(&fake, "a", army(1, measures(1, LARGE)));
    keeping.keeper.last().await;
    let map = fake.get("configmaps", &format!("{HEAD}-2")).expect("it is there");
    assert_eq!((&map["data"]["k"], map["binaryData"].is_null()), (&json!("v"), true));
    let armies = keeping.armies.lock();
    let told = armies[UID].unsafe_because(now_ms() + 60_000).unwrap_or_default();
    assert!(told.contains(&format!("the ConfigMap {HEAD}-2 belongs to something else")), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_of_a_run_that_is_deleted_does_not_come_back() {
    let fake = Fake::new();
    let keeping = Keeping::new(&fake, "a", army(1, measures(1, LARGE)));
    keeping.keeper.last().await;
    add_head(&fake);
    keeping.keeper.last().await;
    for map in fake.all("configmaps") {
        fake.remove("configmaps", map["metadata"]["name"].as_str().expect("a name"));
    }
    keeping.keeper.last().await;
    keeping.keeper.last().await;
    assert!(fake.all("configmaps").is_empty(), "{:?}", parts(&fake));
}

#[tokio::test(start_paused = true)]
async fn measures_that_are_too_many_are_summed_and_none_is_lost() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let totals = measures(1, TOO_LARGE);
    let counted = (totals.total().measured_count(), totals.total_details());
    let (run, rows) = (operator.armies.lock()[&uid].run.clone(), totals.rows.len());
    let fresh = operator.armies.lock()[&uid].checkpoint();
    let checkpoint = Checkpoint { totals, start_at_ms: Some(now_ms() - 3_000), ..fresh };
    operator.armies.lock().insert(uid.clone(), Army::restore(NAMESPACE, "a", run, checkpoint, 1, 1));
    eventually("rows are summed", || {
        (condition(&fake, "a", "MeasuresSummed") == told("True", "TooManyRows")).then_some(())
    })
    .await;
    seconds(2).await;
    let kept = read_of(&fake, &uid).await.expect("a checkpoint").totals;
    assert!(kept.rows.len() < rows && kept.rows.contains_key(OTHER), "{}", kept.rows.len());
    assert_eq!(kept.total().measured_count(), counted.0);
    let failures = |details: &Details| -> u64 {
        FailureClass::ALL.iter().filter_map(|class| details.failures().get(class)).map(Samples::total).sum()
    };
    assert_eq!(failures(&kept.total_details()), failures(&counted.1));
}

/// An army of another run, whose object is there.
fn add_army(fake: &Fake, keeping: &Keeping, run: &str) {
    add_head_of(fake, run, run);
    let other = army(1, Totals::default());
    let (plan, checkpoint) = (other.run.clone(), other.checkpoint());
    let other = Army::restore(NAMESPACE, run, plan, checkpoint, 1, 1);
    keeping.armies.lock().insert(run.to_owned(), other);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_slow_keeps_no_other_waiting() {
    let fake = Fake::new();
    let keeping = Keeping::new(&fake, "a", army(1, Totals::default()));
    add_head(&fake);
    add_army(&fake, &keeping, "b");
    // As where a webhook of the namespace does not answer, and is waited for.
    fake.inject(Fault::new("patch", "configmaps", Effect::Slow(Duration::from_secs(18))).about(HEAD));
    tokio::select! {
        () = keeping.keeper.keep() => unreachable!("it goes on for ever"),
        () = seconds(100) => {}
    }
    let written = fake.calls().to("patch", "configmaps").about("b-checkpoint");
    let each = Duration::from_secs(9)..Duration::from_secs(12);
    let distances = written.distances();
    assert!(distances.len() > 5 && distances.iter().all(|time| each.contains(time)), "{distances:?}");
    let slow = fake.calls().to("patch", "configmaps").about(HEAD);
    assert!(slow.distances().iter().all(|time| *time >= Duration::from_secs(18)), "one at a time of a run");
    assert!(slow.count() >= 3, "{}", slow.count());
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_while_it_is_being_written_is_written_at_once_after_it() {
    let fake = Fake::new();
    add_head(&fake);
    let keeping = Keeping::new(&fake, "a", army(1, Totals::default()));
    fake.inject(Fault::new("patch", "configmaps", Effect::Slow(Duration::from_millis(1_500))).times(1));
    let deltas_come = async {
        let patches = || fake.calls().to("patch", "configmaps").count();
        eventually("a write is on its way", || (patches() == 1).then_some(())).await;
        assert_eq!(keeping.durable(Stage::Finished, &[1]), 0);
        keeping.keeper.wake();
        eventually("it is written again", || (patches() == 2).then_some(())).await;
    };
    tokio::select! {
        () = keeping.keeper.keep() => unreachable!("it goes on for ever"),
        () = deltas_come => {}
    }
    let apart = fake.calls().to("patch", "configmaps").distances()[0];
    assert!(apart < Duration::from_millis(1_700), "{apart:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_copied_only_when_its_turn_has_come() {
    const MANY: usize = 100;
    let fake = Fake::new();
    add_head(&fake);
    let keeping = Keeping::new(&fake, "a", army(1, Totals::default()));
    (0..MANY).for_each(|n| add_army(&fake, &keeping, &format!("r{n}")));
    fake.inject(Fault::new("patch", "configmaps", Effect::Slow(Duration::from_secs(5))));
    let hear = |uid: &str, deltas: &[u64]| {
        let mut armies = keeping.armies.lock();
        let army = armies.get_mut(uid).expect("an army");
        army.check_in(&said(uid, 0, Stage::Running, deltas), 10_000).expect("orders").durable
    };
    let uids: Vec<String> = (0..MANY).map(|n| format!("r{n}")).collect();
    tokio::join!(keeping.keeper.last(), async {
        seconds(1).await;
        for uid in &uids {
            hear(uid, &[1]);
        }
    });
    let safe = uids.iter().filter(|uid| hear(uid, &[]) == 1).count();
    assert!(safe >= MANY / 2, "{safe} of {MANY} were written with what came while they waited");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_whose_places_somebody_has_claimed_is_not_cut() {
    let fake = Fake::new();
    add_head(&fake);
    for (claimed, is_kept) in [("2,3,4,5,6,7,8", false), ("2,3,4", true)] {
        let claim = json!({"metadata": {"annotations": {"botarmy.dev/parts": claimed}}});
        fake.change("configmaps", HEAD, &claim);
        let keeping = Keeping::new(&fake, "a", army(1, measures(1, LARGE)));
        assert_eq!(keeping.durable(Stage::Running, &[1]), 0);
        keeping.keeper.last().await;
        assert_eq!(keeping.durable(Stage::Running, &[]), u64::from(is_kept), "{claimed}");
        let armies = keeping.armies.lock();
        let told = armies[UID].unsafe_because(now_ms() + 60_000).unwrap_or_default();
        assert_eq!(told.contains("botarmy.dev/parts"), !is_kept, "{told}");
    }
    assert!(read(&fake).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn rows_are_left_alone_where_they_are_not_what_is_too_large() {
    const PODS: u32 = 20;
    let fake = Fake::new();
    add_head(&fake);
    let (_, run) = plan();
    let mut checkpoint = army(1, measures(1, 3)).checkpoint();
    let mut pods = json!({});
    for index in 0..PODS {
        let answers = json!({"1": {"made": "x".repeat(1 << 20)}});
        pods[format!("pod-{index}")] = json!({
            "index": index, "stage": "running", "applied": 0, "durable": 0, "alive": 1, "round_trip_ms": 1,
            "changes": {"applied": 1, "answers": answers},
        });
    }
    checkpoint.pods = serde_json::from_value(pods).expect("pods");
    let keeping = Keeping::new(&fake, "a", Army::restore(NAMESPACE, "a", run, checkpoint, 1, 1));
    let before = keeping.checkpoint().totals;
    keeping.keeper.last().await;
    assert_eq!(keeping.checkpoint().totals, before);
    let armies = keeping.armies.lock();
    assert_eq!(armies[UID].summed_rows(), 0);
    let told = armies[UID].unsafe_because(now_ms() + 60_000).unwrap_or_default();
    assert!(told.contains("share less data"), "{told}");
}

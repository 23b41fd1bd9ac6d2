use super::*;
use crate::armies::Army;
use crate::metrics::{CheckedIn, Kept, Reconciled, Reconciling, Waiting};
use botarmy_protocol::{CheckIn, RunRef, Stage, Together, VERSION};
use botarmy_report::{
    Delta, FailureClass, MAX_NATIVE_BUCKETS, Observed, Outcome, Recorder, RowInfo, RunOutcome, Slice, Totals,
    Value,
};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use std::collections::BTreeSet;

/// An army of one runner.
fn army(name: &str) -> Army {
    let spec = serde_json::json!({"trees": {"T": "done"}, "bots": 10});
    let spec: BotRunSpec = serde_json::from_value(spec).unwrap();
    let run = Run::check(&spec, name, &Path::top(), &Actions::built_in()).unwrap();
    Army::new("shop", name, &spec, run, 1, 1)
}

/// What its runner says, once it has measured this.
fn measured(name: &str, totals: Totals) -> CheckIn {
    let slice = Slice { second: 0, totals, warmup: false, apart: false };
    CheckIn {
        protocol: VERSION,
        run: RunRef { namespace: "shop".into(), name: name.into(), uid: name.into() },
        index: 0,
        pod_uid: "pod".into(),
        stage: Stage::Running,
        alive: 7,
        round_trip_ms: None,
        deltas: vec![Delta { sequence: 1, slices: vec![slice], alive: 7 }],
        left: false,
        refusal: None,
        sources: None,
        performed: None,
        together: Together::default(),
        trusts: None,
        began_late_ms: None,
        standing: botarmy_protocol::Standing::default(),
    }
}

/// Measures of so many actions, and of one that waits.
fn totals(actions: usize) -> Totals {
    let row = |n: usize| RowInfo {
        name: format!("GET /{n:03}"),
        base: "GET".into(),
        measured: n > 0,
        ..RowInfo::default()
    };
    let mut recorder = Recorder::new((0..=actions).map(row).collect(), 3_600_000_000);
    for row in 0..=actions {
        let failed = Observed { status: Some(500), ..Observed::failed(FailureClass::Status, "500") };
        recorder.record_observed(row, Outcome::Fail, 20_000, &failed);
        recorder.record(row, Outcome::Succeed, 3_000);
        recorder.count_request();
    }
    recorder.drain()
}

fn armies(names: impl IntoIterator<Item = String>, totals: &Totals) -> Armies {
    let armies = Armies::default();
    for name in names {
        let mut army = army(&name);
        army.check_in(&measured(&name, totals.clone()), 1_000).unwrap();
        army.kept_ms = Some(500);
        armies.lock().insert(name, army);
    }
    armies
}

fn text(metrics: &Metrics, armies: &Armies, shown: &mut Shown) -> String {
    String::from_utf8(tell(Form::Text, metrics, armies, shown, 3_500)).unwrap()
}

#[track_caller]
fn assert_told(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line}\n{text}");
    }
}

#[test]
fn what_the_operator_does_is_counted_from_zero_on() {
    let metrics = Arc::new(Metrics::default());
    metrics.reconciled(Reconciling::Run, Duration::from_millis(3), Reconciled::Api);
    metrics.reconciled(Reconciling::Schedule, Duration::from_millis(7), Reconciled::Ok);
    metrics.queue_failed(Reconciling::Schedule);
    metrics.back_off(Reconciling::Schedule, 2);
    metrics.waiting([Waiting::Pods, Waiting::Target].into_iter());
    metrics.waiting([Waiting::Target, Waiting::Target].into_iter());
    metrics.checked_in(Duration::from_micros(100), Some(300), CheckedIn::Accepted);
    metrics.checked_in(Duration::from_micros(100), Some(9_999_999), CheckedIn::TooLarge);
    metrics.kept(Duration::from_millis(20), 5_000, Kept::Ok);
    metrics.kept(Duration::from_secs(10), 5_000, Kept::Timeout);
    metrics.ended(RunOutcome::Errored);
    metrics.lead(true, 4);
    metrics.looks_every(Duration::from_millis(2_500));
    let armies = Armies::default();
    for at in [1_000, 2_000, 60_000] {
        armies.beat(at);
    }
    let open = metrics.connected();
    drop(metrics.connected());
    let told = text(&metrics, &armies, &mut Shown::default());
    assert_told(
        &told,
        &[
            "botarmy_operator_reconciles_total{kind=\"BotRun\",result=\"ok\"} 0",
            "botarmy_operator_reconciles_total{kind=\"BotRun\",result=\"api\"} 1",
            "botarmy_operator_reconciles_total{kind=\"BotRunSchedule\",result=\"ok\"} 1",
            "botarmy_operator_reconcile_duration_seconds_sum{kind=\"BotRun\"} 0.003000",
            "botarmy_operator_reconcile_duration_seconds_sum{kind=\"BotRunSchedule\"} 0.007000",
            "botarmy_operator_queue_errors_total{kind=\"BotRun\"} 0",
            "botarmy_operator_queue_errors_total{kind=\"BotRunSchedule\"} 1",
            "botarmy_operator_runs_backing_off 0",
            "botarmy_operator_schedules_backing_off 2",
            "botarmy_operator_runs_waiting{reason=\"target\"} 2",
            "botarmy_operator_runs_waiting{reason=\"pods\"} 0",
            "botarmy_operator_check_ins_total{result=\"accepted\"} 1",
            "botarmy_operator_check_ins_total{result=\"too_large\"} 1",
            "botarmy_operator_check_in_duration_seconds_count 2",
            "botarmy_operator_check_in_bytes_count 1",
            "botarmy_operator_check_in_bytes_bucket{le=\"1024\"} 1",
            "botarmy_operator_checkpoint_writes_total{result=\"timeout\"} 1",
            "botarmy_operator_checkpoint_bytes_sum 5000",
            "botarmy_operator_checkpoint_duration_seconds_sum 10.020000",
            "botarmy_operator_runs_finished_total{outcome=\"Errored\"} 1",
            "botarmy_operator_runs_finished_total{outcome=\"Passed\"} 0",
            "botarmy_operator_leader 1",
            "botarmy_operator_epoch 4",
            "botarmy_operator_connections 1",
            "botarmy_operator_look_interval_seconds 2.500",
            "botarmy_operator_pauses_total 1",
            "botarmy_runs 0",
        ],
    );
    drop(open);
    assert!(!told.contains("run=\""), "no run, no figures of runs");
}

#[test]
fn figures_of_runs_are_those_of_the_runners_and_of_the_whole() {
    let armies = armies(["checkout".to_owned()], &totals(2));
    let told = text(&Metrics::default(), &armies, &mut Shown::default());
    assert_told(
        &told,
        &[
            "botarmy_runs 1",
            "botarmy_bots_alive{namespace=\"shop\",run=\"checkout\"} 7",
            "botarmy_bots_target{namespace=\"shop\",run=\"checkout\"} 10",
            "botarmy_runners_desired{namespace=\"shop\",run=\"checkout\"} 1",
            "botarmy_runner_silence_seconds{namespace=\"shop\",run=\"checkout\"} 2.500",
            "botarmy_checkpoint_age_seconds{namespace=\"shop\",run=\"checkout\"} 3.000",
            "botarmy_requests_total{namespace=\"shop\",run=\"checkout\"} 3",
            "botarmy_actions_total{namespace=\"shop\",run=\"checkout\",action=\"GET /001\",outcome=\"fail\"} 1",
            "botarmy_action_failures_total{namespace=\"shop\",run=\"checkout\",action=\"GET /002\",class=\"status\"} 1",
            "botarmy_action_responses_total{namespace=\"shop\",run=\"checkout\",action=\"GET /002\",status=\"500\"} 1",
            "botarmy_action_duration_seconds_count{namespace=\"shop\",run=\"checkout\",action=\"GET /001\"} 2",
            "botarmy_action_duration_seconds_sum{namespace=\"shop\",run=\"checkout\",action=\"GET /001\"} 0.023000",
        ],
    );
    assert!(!told.contains("GET /000"), "what is not measured is not told");
}

#[test]
fn neither_many_runs_nor_many_actions_have_names_of_their_own() {
    let names = (0..30).map(|n| format!("run-{n:02}"));
    let armies = armies(names, &totals(80));
    let mut shown = Shown::default();
    let told = text(&Metrics::default(), &armies, &mut shown);
    assert_told(
        &told,
        &[
            "botarmy_runs 30",
            "botarmy_runs_summed 10",
            "botarmy_bots_alive{namespace=\"(other)\",run=\"(other)\"} 70",
            "botarmy_requests_total{namespace=\"(other)\",run=\"(other)\"} 810",
            "botarmy_actions_total{namespace=\"(other)\",run=\"(other)\",action=\"(other)\",outcome=\"succeed\"} 800",
            "botarmy_actions_total{namespace=\"shop\",run=\"run-00\",action=\"(other)\",outcome=\"succeed\"} 30",
        ],
    );
    assert!(told.lines().count() < 20 * 51 * 26 + 400, "{}", told.lines().count());
    // When they are gone, what they have come to remains.
    armies.lock().clear();
    let told = text(&Metrics::default(), &armies, &mut shown);
    assert_told(
        &told,
        &["botarmy_runs 0", "botarmy_requests_total{namespace=\"(other)\",run=\"(other)\"} 810"],
    );
    assert!(!told.contains("run-"));
}

#[test]
fn both_forms_tell_the_same_and_messages_hold_native_buckets() {
    let (metrics, armies) = (Metrics::default(), armies(["a".to_owned()], &totals(1)));
    let mut exposition = Exposition::with_native();
    operator::expose(&mut exposition, &metrics, 0);
    runs::expose(&mut exposition, &armies, &mut Shown::default(), 3_500);
    assert_eq!(exposition.text(), text(&metrics, &armies, &mut Shown::default()));
    let message = tell(Form::Protobuf, &metrics, &armies, &mut Shown::default(), 3_500);
    assert_eq!(message, protobuf::delimited(&exposition));
    let histograms = exposition.families().iter().flat_map(|family| &family.samples);
    let native = histograms.filter_map(|(_, value)| match value {
        Value::Distribution(distribution) => Some(distribution.native.as_ref().unwrap()),
        Value::Number(_) => None,
    });
    assert!(native.clone().all(|native| native.buckets.len() <= MAX_NATIVE_BUCKETS));
    assert!(native.clone().any(|native| native.buckets.len() == 2), "3 ms and 20 ms");
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("botarmy_")).map(str::to_owned).collect()
}

/// The documents, alerts and panels speak of what there is, and all that there is is documented.
#[test]
fn names_are_the_same_in_the_chart_and_in_the_documentation() {
    let file = |path: &str| {
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let armies = armies((0..30).map(|n| n.to_string()), &totals(2));
    let metrics = Metrics::default();
    metrics.certificates(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    let told = text(&metrics, &armies, &mut Shown::default());
    let types: Vec<&str> = told.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let families = names(&types.join("\n"));
    assert!(families.len() > 40, "{families:?}");
    let documented = names(&file("docs/operations.md"));
    let missing: Vec<_> = families.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/operations.md does not tell of {missing:?}");
    for path in
        ["docs/operations.md", "charts/botarmy/files/rules.yaml", "charts/botarmy/files/dashboard.json"]
    {
        let used = names(&file(path));
        assert!(used.len() > 10, "{path}: {used:?}");
        for name in used {
            let parts = ["", "_bucket", "_sum", "_count"];
            let known =
                parts.iter().filter_map(|part| name.strip_suffix(part)).any(|name| families.contains(name));
            assert!(known, "{path} speaks of {name}, which there is not");
        }
    }
}

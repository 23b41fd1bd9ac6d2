//! The parts of an operator that work on runs, against the fake, and runs to work on. Runners are played by the tests.

use crate::fake::{Fake, NAMESPACE};
use botarmy_operator::Settings;
use botarmy_operator::armies::Armies;
use botarmy_operator::certificates::{Authority, InForce};
use botarmy_operator::checkpoint::Keeper;
use botarmy_operator::clock::now_ms;
use botarmy_operator::controller::{self, Context, Limits};
use botarmy_operator::election::{Leadership, Standing};
use botarmy_operator::readiness::Readiness;
use botarmy_protocol::{CheckIn, Orders, Stage, VERSION};
use botarmy_report::{Delta, Slice, Totals};
use clap::Parser;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// How far back runners speak, in milliseconds: a start that is proposed then lies in the past already, and nobody has
/// to wait for it, since the clock of starts is the real one.
const AGO_MS: u64 = 3_000;
/// How often it is looked whether something has come about, and how often at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const MOST_LOOKS: usize = 2_400;

/// An operator at work.
pub(crate) struct Operator {
    pub(crate) armies: Arc<Armies>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) standing: Sender<Standing>,
    tasks: [JoinHandle<()>; 2],
}

impl Operator {
    /// One that leads in the first epoch.
    pub(crate) fn start(fake: &Fake) -> Self {
        Self::start_as(fake, Standing::Leads(1), Limits::default())
    }

    pub(crate) fn start_as(fake: &Fake, standing: Standing, limits: Limits) -> Self {
        Self::start_with(fake, Arc::default(), channel(standing).0, limits, in_force("coordinator"))
    }

    /// One that works on these armies, and tells their runners to trust what is in force.
    pub(crate) fn start_with(
        fake: &Fake,
        armies: Arc<Armies>,
        standing: Sender<Standing>,
        limits: Limits,
        in_force: Receiver<InForce>,
    ) -> Self {
        let client = fake.client("operator");
        let settings = Settings::parse_from(["operator", "--image", "runner:1"]);
        let (readiness, leadership) =
            (Arc::new(Readiness::default()), Leadership::from(standing.subscribe()));
        let keeper = Keeper::new(client.clone(), armies.clone(), leadership.clone(), Arc::default());
        let context =
            Context::new(client, settings, armies.clone(), leadership, in_force, limits, Arc::default());
        let runs = controller::run(Arc::new(context), readiness.clone(), std::future::pending());
        let tasks = [tokio::spawn(runs), tokio::spawn(async move { keeper.keep().await })];
        Self { armies, readiness, standing, tasks }
    }

    /// Ends it at once, as a crash does.
    pub(crate) async fn kill(self) {
        for task in self.tasks {
            task.abort();
            drop(task.await);
        }
    }

    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.armies.lock().contains_key(uid)
    }

    /// A runner checks in.
    pub(crate) fn hear(&self, said: &CheckIn) -> Orders {
        self.hear_ago(said, AGO_MS)
    }

    /// A runner has checked in, so many milliseconds ago.
    pub(crate) fn hear_ago(&self, said: &CheckIn, ago_ms: u64) -> Orders {
        let mut armies = self.armies.lock();
        let army = armies.get_mut(&said.run.uid).expect("an army");
        army.check_in(said, now_ms() - ago_ms).expect("orders")
    }

    /// As if it had been there for so many milliseconds, and could have heard the runners all the while. It has had much
    /// to do: it has looked at each run but once in a minute.
    pub(crate) fn has_lived(&self, ms: u64) {
        let now = now_ms();
        for ago in (0..=ms).rev().step_by(4_000) {
            self.armies.beat(now - ago);
            if ago / 4_000 % 15 == 0 {
                self.armies.lock().values_mut().for_each(|army| army.look(now - ago));
            }
        }
        self.armies.beat(now);
    }

    /// Plays the one runner of a run until its bots are at work.
    pub(crate) async fn begin(&self, uid: &str) {
        eventually("the start is told", || self.hear(&said(uid, 0, Stage::Ready, &[])).start_at_ms.map(drop))
            .await;
        self.hear(&said(uid, 0, Stage::Running, &[]));
    }

    /// Plays the one runner of a run from the start of its bots to their end.
    pub(crate) async fn finish(&self, uid: &str) {
        self.begin(uid).await;
        self.hear(&said(uid, 0, Stage::Finished, &[1]));
    }
}

/// What a new authority comes to, for a server of this name.
pub(crate) fn in_force(host: &str) -> Receiver<InForce> {
    let now = Timestamp::now();
    let authority = Authority::generate(now, Duration::from_secs(3600)).expect("an authority");
    channel(InForce::of(&authority, &[host.to_owned()], now).expect("certificates")).1
}

/// What the runner with this index says, with deltas of these numbers. Each has counted ten requests.
pub(crate) fn said(uid: &str, index: u32, stage: Stage, deltas: &[u64]) -> CheckIn {
    let delta = |sequence: &u64| {
        let totals = Totals { requests: 10, ..Totals::default() };
        let slice = Slice { second: *sequence, totals, warmup: false, apart: false };
        Delta { sequence: *sequence, slices: vec![slice], alive: 0 }
    };
    let deltas: Vec<Delta> = deltas.iter().map(delta).collect();
    serde_json::from_value(json!({
        "protocol": VERSION, "run": {"namespace": NAMESPACE, "name": "a", "uid": uid},
        "index": index, "podUid": format!("pod-{index}"), "stage": stage, "alive": 4, "roundTripMs": 1,
        "deltas": deltas,
    }))
    .expect("a check-in")
}

/// A run of one runner that goes on until it is stopped, with these fields besides.
pub(crate) fn run(name: &str, fields: &Value) -> Value {
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"trees": {"T": {"wait": 1}}, "bots": 4},
    });
    for (field, value) in fields.as_object().expect("fields") {
        run["spec"][field] = value.clone();
    }
    run
}

/// Somebody applies a run; its UID.
pub(crate) fn apply(fake: &Fake, run: Value) -> String {
    uid(&fake.add("botruns", run))
}

pub(crate) fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("a UID").to_owned()
}

/// State and reason of a condition of a run.
pub(crate) fn condition(fake: &Fake, name: &str, kind: &str) -> Option<(String, String)> {
    let run = fake.get("botruns", name)?;
    let conditions = run["status"]["conditions"].as_array()?;
    let told = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

/// What [`condition`] is compared with.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may not be there")]
pub(crate) fn told(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

pub(crate) fn phase(fake: &Fake, name: &str) -> Value {
    fake.get("botruns", name).map(|run| run["status"]["phase"].clone()).unwrap_or_default()
}

/// The run has its Job, and its status says so: nothing more is to come by itself.
pub(crate) async fn scheduled(fake: &Fake, name: &str) {
    eventually("a Job that is told", || {
        (condition(fake, name, "Scheduled") == told("True", "JobCreated")).then_some(())
    })
    .await;
}

/// The bots of a run with one runner, which has its Job, begin, and its status says so.
pub(crate) async fn bots_begin(fake: &Fake, operator: &Operator, name: &str, uid: &str) {
    operator.begin(uid).await;
    eventually("bots at work", || (phase(fake, name) == "Running").then_some(())).await;
}

/// Applies a run with one runner, whose bots are at work then; its UID.
pub(crate) async fn at_work(fake: &Fake, operator: &Operator, name: &str) -> String {
    let uid = apply(fake, run(name, &json!({})));
    scheduled(fake, name).await;
    bots_begin(fake, operator, name, &uid).await;
    uid
}

/// Waits until something has come about; the test ends if it does not.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..MOST_LOOKS {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("{what}: not within {:?}", LOOK_EVERY * u32::try_from(MOST_LOOKS).unwrap_or(u32::MAX));
}

pub(crate) async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

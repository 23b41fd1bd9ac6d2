//! The authority is exchanged under runs that are at work: by operators that die, and against a Secret that somebody
//! deletes, spoils or writes at the same time.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, eventually, run, said, scheduled, seconds};
use crate::serving::pod;
use botarmy_operator::armies::Armies;
use botarmy_operator::certificates::{Custodian, Error, InForce, ROTATE, Setup};
use botarmy_operator::checkpoint::Keeper;
use botarmy_operator::controller::Limits;
use botarmy_operator::coordinator::{self, Coordinator, Reviewer};
use botarmy_operator::election::{Leadership, Standing};
use botarmy_operator::readiness::Readiness;
use botarmy_protocol::{CheckIn, Orders, Stage, path};
use botarmy_runner::agent::{Files, Link};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{self, Receiver};

const SECRET: &str = "ca";
/// The keys of a Secret outside of a rotation.
const STEADY: [&str; 2] = ["ca.crt", "ca.key"];
const DISTRIBUTING: [&str; 4] = ["ca.crt", "ca.key", "next.crt", "next.key"];
const RETIRING: [&str; 3] = ["ca.crt", "ca.key", "previous.crt"];

/// One operator's part in it.
struct Part {
    custodian: Custodian,
    in_force: Receiver<InForce>,
}

impl Part {
    async fn begin(
        fake: &Fake,
        client: &'static str,
        armies: &Arc<Armies>,
        standing: Receiver<Standing>,
    ) -> Result<Self, Error> {
        // Alone it knows of no runs, and that there are none.
        armies.list(HashSet::new());
        let setup = setup(armies.clone(), standing);
        let (custodian, in_force) = Custodian::begin(fake.client(client), setup, Timestamp::now()).await?;
        Ok(Self { custodian, in_force })
    }

    async fn alone(fake: &Fake, client: &'static str, standing: Standing) -> Result<Self, Error> {
        Self::begin(fake, client, &Arc::default(), watch::channel(standing).1).await
    }

    /// Looks at the Secret, so many seconds from now.
    async fn look(&mut self, seconds: u64) {
        self.try_look(seconds).await.expect("a look");
    }

    async fn try_look(&mut self, seconds: u64) -> Result<(), Error> {
        self.custodian.look(Timestamp::now() + Duration::from_secs(seconds)).await
    }

    fn bundle(&self) -> String {
        self.in_force.borrow().bundle.certificates().to_owned()
    }

    fn name(&self) -> String {
        self.in_force.borrow().bundle.name().to_owned()
    }
}

fn setup(armies: Arc<Armies>, standing: Receiver<Standing>) -> Setup {
    Setup {
        namespace: NAMESPACE.to_owned(),
        secret: SECRET.to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        valid_for: Duration::from_secs(8760 * 3600),
        armies,
        leadership: standing.into(),
        metrics: Arc::default(),
    }
}

fn ask(fake: &Fake) {
    fake.change("secrets", SECRET, &json!({"metadata": {"annotations": {ROTATE: "now"}}}));
}

fn keys(fake: &Fake) -> Vec<String> {
    let secret = fake.get("secrets", SECRET).expect("a Secret");
    secret["data"].as_object().expect("data").keys().cloned().collect()
}

fn kept(fake: &Fake, key: &str) -> Value {
    fake.get("secrets", SECRET).expect("a Secret")["data"][key].clone()
}

fn certificates(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

/// What new pods of the run find.
fn file(fake: &Fake) -> String {
    let map = fake.get("configmaps", "a-trust").expect("a ConfigMap");
    map["data"][path::CA_FILE].as_str().expect("certificates").to_owned()
}

fn events(fake: &Fake) -> Vec<String> {
    let about =
        |event: &Value| event["regarding"]["kind"] == "Secret" && event["regarding"]["name"] == SECRET;
    let told = fake.all("events").into_iter().filter(about);
    told.map(|event| event["reason"].as_str().expect("a reason").to_owned()).collect()
}

/// A runner that trusts what it was told.
fn trusting(uid: &str, name: &str) -> CheckIn {
    CheckIn { trusts: Some(name.to_owned()), ..said(uid, 0, Stage::Running, &[]) }
}

/// An operator with its part, as its process has both.
struct Process {
    operator: Operator,
    part: Part,
}

impl Process {
    async fn start(fake: &Fake, epoch: u64) -> Self {
        let (armies, standing) = (Arc::new(Armies::default()), watch::channel(Standing::Leads(epoch)).0);
        let part = Part::begin(fake, "custodian", &armies, standing.subscribe()).await.expect("begun");
        let operator = Operator::start_with(fake, armies, standing, Limits::default(), part.in_force.clone());
        Self { operator, part }
    }

    async fn kill(self) {
        self.operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_authorities_that_are_made_at_once_both_use_the_first() {
    let fake = Fake::new();
    fake.inject(Fault::new("get", "secrets", Effect::Slow(Duration::from_millis(50))).times(2));
    let (a, b) =
        tokio::join!(Part::alone(&fake, "a", Standing::Follows), Part::alone(&fake, "b", Standing::Follows));
    let first = a.expect("begun").bundle();
    assert_eq!((certificates(&first), &first), (1, &b.expect("begun").bundle()));
    let mut codes = fake.calls().to("create", "secrets").codes();
    codes.sort_unstable();
    assert_eq!(codes, [Some(200), Some(409)], "both have seen that there is none");
    let later = Part::alone(&fake, "c", Standing::Follows).await.expect("begun");
    assert_eq!(later.bundle(), first, "and so does whoever comes later");
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_is_killed_between_two_steps_is_followed_by_one_that_goes_on() {
    let fake = Fake::new();
    let mut first = Process::start(&fake, 1).await;
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    first.operator.begin(&uid).await;
    let old = first.part.bundle();
    assert_eq!(file(&fake), old);
    first.part.look(0).await;
    assert_eq!(keys(&fake), STEADY, "nobody has asked");
    ask(&fake);
    first.part.look(1).await;
    assert_eq!(
        (keys(&fake), certificates(&first.part.bundle())),
        (DISTRIBUTING.map(String::from).to_vec(), 2)
    );
    // Before any runner has heard of it.
    first.kill().await;

    let mut second = Process::start(&fake, 2).await;
    let both = second.part.bundle();
    assert!(both.starts_with(&old) && certificates(&both) == 2, "{both}");
    eventually("the run's pods find both", || (file(&fake) == both).then_some(())).await;
    let signs = kept(&fake, "ca.crt");
    // The runner goes on, and has not heard yet.
    second.operator.hear(&said(&uid, 0, Stage::Running, &[]));
    for seconds in [2, 20, 60, 140] {
        second.part.look(seconds).await;
        assert_eq!(
            kept(&fake, "ca.crt"),
            signs,
            "not after {seconds} s, as long as a runner does not know the next one"
        );
    }
    let next = kept(&fake, "next.crt");
    second.operator.hear(&trusting(&uid, &second.part.name()));
    second.part.look(201).await;
    assert_eq!((keys(&fake), kept(&fake, "ca.crt")), (RETIRING.map(String::from).to_vec(), next.clone()));
    assert_eq!(kept(&fake, "previous.crt"), signs);
    second.kill().await;

    let mut third = Process::start(&fake, 3).await;
    assert_eq!(third.part.bundle(), both, "nobody has to be told anew");
    third.part.look(230).await;
    assert_eq!(keys(&fake), RETIRING, "an operator may not have seen it yet");
    third.part.look(262).await;
    assert_eq!((keys(&fake), kept(&fake, "ca.crt")), (STEADY.map(String::from).to_vec(), next));
    third.kill().await;

    let mut last = Process::start(&fake, 4).await;
    assert!(certificates(&last.part.bundle()) == 1 && both.ends_with(&last.part.bundle()));
    let new = last.part.bundle();
    eventually("the run's pods find the new one alone", || (file(&fake) == new).then_some(())).await;
    last.part.look(1000).await;
    assert_eq!(keys(&fake), STEADY, "once was asked for");
    assert_eq!(events(&fake), ["RotationBegun", "AuthoritySwitched", "RotationDone"]);
    last.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_answer_is_lost_is_not_done_twice() {
    let fake = Fake::new();
    let mut part = Part::alone(&fake, "a", Standing::Leads(1)).await.expect("begun");
    ask(&fake);
    let mut seen = Vec::new();
    for seconds in [0, 100, 200] {
        fake.inject(Fault::new("update", "secrets", Effect::Lost).times(1));
        let error = part.try_look(seconds).await.expect_err("no answer").to_string();
        assert!(error.starts_with("the Secret of the certificates: writing it failed: no answer"), "{error}");
        seen.push((keys(&fake).len(), fake.get("secrets", SECRET)));
        part.look(seconds + 1).await;
        assert_eq!(seen.last().expect("one").1, fake.get("secrets", SECRET), "it was done already");
    }
    assert_eq!(seen.iter().map(|(keys, _)| *keys).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(fake.calls().to("update", "secrets").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_a_step_at_once_one_does_and_both_hold_it() {
    let fake = Fake::new();
    let mut a = Part::alone(&fake, "a", Standing::Leads(1)).await.expect("begun");
    let mut b = Part::alone(&fake, "b", Standing::Leads(2)).await.expect("begun");
    ask(&fake);
    fake.inject(Fault::new("get", "secrets", Effect::Slow(Duration::from_millis(50))).times(2));
    tokio::join!(a.look(0), b.look(0));
    let mut codes = fake.calls().to("update", "secrets").codes();
    codes.sort_unstable();
    assert_eq!(codes, [Some(200), Some(409)], "both have seen that it was asked for");
    a.look(1).await;
    b.look(1).await;
    assert_eq!((a.bundle(), certificates(&a.bundle())), (b.bundle(), 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_follows_takes_up_what_is_written_and_writes_nothing() {
    let fake = Fake::new();
    let mut leader = Part::alone(&fake, "leader", Standing::Leads(1)).await.expect("begun");
    let mut follower = Part::alone(&fake, "follower", Standing::Follows).await.expect("begun");
    ask(&fake);
    follower.look(400).await;
    assert_eq!(keys(&fake), STEADY);
    for seconds in [0, 20, 100] {
        leader.look(seconds).await;
        follower.look(seconds).await;
        assert_eq!(follower.bundle(), leader.bundle(), "after {seconds} s");
    }
    assert_eq!(keys(&fake), STEADY);
    fake.remove("secrets", SECRET);
    follower.look(101).await;
    assert_eq!(fake.get("secrets", SECRET), None);
    assert_eq!(fake.calls().writes().0.iter().filter(|seen| seen.call.client == "follower").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn runs_that_were_not_looked_at_yet_are_waited_for() {
    let (fake, armies) = (Fake::new(), Arc::new(Armies::default()));
    let standing = watch::channel(Standing::Leads(1)).1;
    let mut part = Part::begin(&fake, "a", &armies, standing).await.expect("begun");
    armies.list(HashSet::from(["of-before".to_owned()]));
    ask(&fake);
    for seconds in [0, 20, 299] {
        part.look(seconds).await;
        assert_eq!(keys(&fake), DISTRIBUTING, "after {seconds} s its runners have not said anything");
    }
    armies.leave("of-before");
    part.look(299).await;
    assert_eq!(keys(&fake), RETIRING);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_renewed_in_time_by_themselves() {
    const DAY: u64 = 24 * 3600;
    let fake = Fake::new();
    let mut part = Part::alone(&fake, "a", Standing::Leads(1)).await.expect("begun");
    let name = part.name();
    let first = part.in_force.borrow().server.clone();
    let shows = |part: &Part, server| Arc::ptr_eq(&part.in_force.borrow().server, server);
    part.look(4 * DAY).await;
    assert!(shows(&part, &first));
    part.look(5 * DAY).await;
    assert!(!shows(&part, &first), "after two thirds of a week");
    // The authority itself lives for a year.
    part.look(243 * DAY).await;
    assert_eq!((part.name(), keys(&fake)), (name, STEADY.map(String::from).to_vec()));
    part.look(244 * DAY).await;
    assert_eq!(keys(&fake), DISTRIBUTING, "after two thirds of a year");
    part.look(244 * DAY + 20).await;
    part.look(244 * DAY + 100).await;
    part.look(245 * DAY).await;
    assert_eq!((keys(&fake), certificates(&part.bundle())), (STEADY.map(String::from).to_vec(), 1), "once");
}

#[tokio::test(start_paused = true)]
async fn runners_that_never_say_whom_they_trust_are_waited_for_five_minutes() {
    let fake = Fake::new();
    let mut process = Process::start(&fake, 1).await;
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    process.operator.begin(&uid).await;
    ask(&fake);
    process.part.look(0).await;
    eventually("the run's pods find both", || (certificates(&file(&fake)) == 2).then_some(())).await;
    process.part.look(20).await;
    // Of an older version: it does not say anything, but is there all the time.
    let armies = process.operator.armies.clone();
    let hear = |seconds: u64| {
        let said = said(&uid, 0, Stage::Running, &[]);
        let mut armies = armies.lock();
        let army = armies.get_mut(&uid).expect("an army");
        army.check_in(&said, botarmy_operator::clock::now_ms() + seconds * 1000).expect("orders");
    };
    for seconds in [140, 297] {
        hear(seconds);
        process.part.look(seconds).await;
        assert_eq!(keys(&fake), DISTRIBUTING, "{seconds}");
    }
    process.part.look(301).await;
    assert_eq!(keys(&fake), RETIRING);
    process.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_deleted_is_made_again_as_it_was() {
    let fake = Fake::new();
    let mut part = Part::alone(&fake, "a", Standing::Leads(1)).await.expect("begun");
    ask(&fake);
    part.look(0).await;
    let before = fake.get("secrets", SECRET).expect("a Secret")["data"].clone();
    fake.remove("secrets", SECRET);
    part.look(1).await;
    let after = fake.get("secrets", SECRET).expect("a Secret")["data"].clone();
    assert_eq!((keys(&fake), before), (DISTRIBUTING.map(String::from).to_vec(), after));
    part.look(20).await;
    assert_eq!(keys(&fake), RETIRING, "and the rotation goes on");
    assert_eq!(events(&fake), ["RotationBegun", "SecretRestored", "AuthoritySwitched"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_spoiled_is_told_and_changes_nothing() {
    let fake = Fake::new();
    let mut part = Part::alone(&fake, "a", Standing::Leads(1)).await.expect("begun");
    let (bundle, good) = (part.bundle(), fake.get("secrets", SECRET).expect("a Secret")["data"].clone());
    // "garbage", as the API server holds it.
    fake.change("secrets", SECRET, &json!({"data": {"ca.crt": "Z2FyYmFnZQ=="}}));
    let expected =
        "the Secret ca is broken: ca.crt is not one certificate as PEM; put it right, or delete the Secret";
    for seconds in [0, 1000] {
        let error = part.try_look(seconds).await.expect_err("it is broken").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!((part.bundle(), fake.calls().to("update", "secrets").count()), (bundle.clone(), 0));
    // Whoever begins with it cannot make anything of it, and does not write over it.
    let error = Part::alone(&fake, "b", Standing::Leads(2)).await.err().expect("it is broken").to_string();
    assert!(error.starts_with(expected), "{error}");
    fake.change("secrets", SECRET, &json!({"data": good}));
    part.look(1001).await;
    assert_eq!(part.bundle(), bundle);
    assert!(Part::alone(&fake, "b", Standing::Leads(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_that_begins_with_a_spoiled_secret_waits_and_says_why() {
    let fake = Fake::new();
    let secret = json!({"metadata": {"name": SECRET}, "data": {"ca.crt": "Z2FyYmFnZQ=="}});
    fake.add("secrets", secret);
    let (readiness, standing) = (Arc::new(Readiness::default()), watch::channel(Standing::Follows).1);
    let begins = tokio::spawn({
        let (readiness, setup) = (readiness.clone(), setup(Arc::default(), standing));
        let client = fake.client("operator");
        async move { Custodian::begin_when_possible(client, setup, &readiness).await.1 }
    });
    seconds(600).await;
    let why = readiness.check(Standing::Follows).await.expect_err("it is not ready").to_string();
    assert!(
        why.starts_with("there is no certificate yet: the Secret ca is broken: ca.key is missing;"),
        "{why}"
    );
    assert_eq!(
        (begins.is_finished(), fake.calls().writes().count()),
        (false, 0),
        "nothing is written over it"
    );
    let looks = fake.calls().to("get", "secrets").count();
    assert!((119..=122).contains(&looks), "it looks now and then: {looks}");
    fake.remove("secrets", SECRET);
    let in_force =
        tokio::time::timeout(Duration::from_secs(10), begins).await.expect("in time").expect("begun");
    assert_eq!(certificates(in_force.borrow().bundle.certificates()), 1);
}

/// A runner and its coordinator, with TLS between them.
struct Line {
    link: Link,
    said: CheckIn,
}

impl Line {
    /// Checks in over a new connection.
    async fn again(&mut self) -> Orders {
        self.link.close();
        self.said.trusts = Some(self.link.trusts().to_owned());
        let mut orders = self.link.post(&self.said).await.expect("an answer");
        if let Some(told) = orders.trust.take() {
            self.link.trust(told).expect("certificates");
        }
        orders
    }
}

#[tokio::test]
async fn a_runner_checks_in_all_through_a_rotation() {
    let fake = Fake::new();
    let mut process = Process::start(&fake, 1).await;
    let run_uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let pod_uid = pod(&fake, &run_uid, 0, "good");

    let armies = process.operator.armies.clone();
    let leadership = Leadership::from(process.operator.standing.subscribe());
    let keeper =
        Arc::new(Keeper::new(fake.client("keeper"), armies.clone(), leadership.clone(), Arc::default()));
    let reviewer = Arc::new(Reviewer::new(fake.client("reviewer")));
    let in_force = process.part.in_force.clone();
    let coordinator =
        Coordinator::new(armies, reviewer, keeper, leadership, in_force.clone(), Arc::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(coordinator::serve(listener, in_force, coordinator::routes(coordinator), Arc::default()));

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "good").expect("written");
    let said = CheckIn { pod_uid, ..said(&run_uid, 0, Stage::Preparing, &[]) };
    let line = |file: &str, certificates: &str| {
        let files = Files { token: folder.path().join("token"), certificates: folder.path().join(file) };
        std::fs::write(&files.certificates, certificates).expect("written");
        Line { link: Link::new(&address, files).expect("a line"), said: said.clone() }
    };
    // Its file is never brought up to date, and one connection is kept open all the while.
    let old = process.part.bundle();
    let (mut runner, mut kept_open) = (line("runner", &old), line("kept", &old));
    kept_open.again().await;
    runner.again().await;
    assert_eq!(runner.link.trusts(), process.part.name());
    let ended = runner.again().await;
    assert_eq!(ended.trust, None, "it is told once");

    ask(&fake);
    process.part.look(0).await;
    runner.again().await;
    assert_eq!(runner.link.trusts(), process.part.name(), "it trusts both");
    let both = process.part.bundle();
    let (first, next) = both.split_at(old.len());
    assert_eq!(first, old);
    let mut of_the_next = line("next", next);
    let refused = of_the_next.link.post(&said).await.expect_err("the old one signs").to_string();
    assert!(refused.contains("no connection to "), "{refused}");
    eventually("the run's pods find both", || (file(&fake) == both).then_some(())).await;
    runner.again().await;

    process.part.look(20).await;
    assert_eq!(keys(&fake), RETIRING);
    runner.again().await;
    of_the_next.again().await;
    let refused = line("old", &old).link.post(&said).await.expect_err("the next one signs").to_string();
    assert!(refused.contains("no connection to "), "{refused}");
    assert!(kept_open.link.post(&said).await.is_ok(), "what is open goes on");

    process.part.look(90).await;
    assert_eq!((keys(&fake), process.part.bundle().as_str()), (STEADY.map(String::from).to_vec(), next));
    runner.again().await;
    assert_eq!(runner.link.trusts(), process.part.name(), "it trusts the new one");
    runner.again().await;
    assert!(kept_open.link.post(&said).await.is_ok(), "what is open goes on");
    process.kill().await;
}

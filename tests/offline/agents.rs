//! Runners as they are in pods, each on a thread of its own, with an operator by the real clock: what they come to
//! together when one of them is lost.

use crate::fake::Fake;
use crate::operator::{Operator, apply, eventually, in_force, run, scheduled};
use crate::serving::pod;
use botarmy_operator::checkpoint::Keeper;
use botarmy_operator::controller::Limits;
use botarmy_operator::coordinator::{Coordinator, Reviewer, routes, serve};
use botarmy_operator::election::{Leadership, Standing};
use botarmy_protocol::env;
use botarmy_runner::agent::{self, Error, Files, Identity};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tokio::sync::watch::channel;

/// A runner at work.
struct Agent {
    uid: String,
    /// It is gone when this is dropped, as when it is killed.
    life: oneshot::Sender<()>,
    thread: JoinHandle<Option<Result<(), Error>>>,
}

impl Agent {
    fn start(uid: String, identity: Identity, files: Files) -> Self {
        let (life, killed) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    ended = agent::run(identity, files) => Some(ended),
                    _ = killed => None,
                }
            })
        });
        Self { uid, life, thread }
    }

    fn kill(self) {
        drop(self.life);
        assert!(self.thread.join().expect("a thread").is_none(), "it was at work");
    }

    /// Waits until it has left by itself, having done all it had to.
    async fn leaves(self) {
        eventually("it leaves", || self.thread.is_finished().then_some(())).await;
        drop(self.life);
        let ended = self.thread.join().expect("a thread").expect("it was not killed");
        ended.expect("a good end");
    }
}

/// An operator that is spoken to by TLS, and the runners of its one run.
struct Scene {
    fake: Fake,
    operator: Operator,
    run_uid: String,
    agents: Vec<Agent>,
}

impl Scene {
    /// A run of so many runners, all of which are there.
    async fn begin(runners: u32, fields: &Value) -> Self {
        let (fake, standing) = (Fake::new(), channel(Standing::Leads(1)).0);
        let in_force = in_force("127.0.0.1");
        let operator =
            Operator::start_with(&fake, Arc::default(), standing, Limits::default(), in_force.clone());
        let run_uid = apply(&fake, run("a", fields));
        scheduled(&fake, "a").await;
        let leadership = Leadership::from(operator.standing.subscribe());
        let keeper =
            Keeper::new(fake.client("keeper"), operator.armies.clone(), leadership.clone(), Arc::default());
        let coordinator = Coordinator::new(
            operator.armies.clone(),
            Arc::new(Reviewer::new(fake.client("reviewer"))),
            Arc::new(keeper),
            leadership,
            in_force.clone(),
            Arc::default(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("https://{}", listener.local_addr().expect("an address"));
        let folder = tempfile::tempdir().expect("a folder").keep();
        let certificates = folder.join("ca");
        std::fs::write(&certificates, in_force.borrow().bundle.certificates()).expect("written");
        tokio::spawn(serve(listener, in_force, routes(coordinator), Arc::default()));
        let start = |index: u32| {
            let token = folder.join(format!("token-{index}"));
            std::fs::write(&token, format!("token-{index}")).expect("written");
            let uid = pod(&fake, &run_uid, index, &format!("token-{index}"));
            let identity = Identity::read(|name| {
                Some(match name {
                    env::COORDINATOR => address.clone(),
                    env::NAMESPACE => crate::fake::NAMESPACE.to_owned(),
                    env::NAME => "a".to_owned(),
                    env::RUN_UID => run_uid.clone(),
                    env::POD_UID => uid.clone(),
                    env::INDEX => index.to_string(),
                    _ => return None,
                })
            });
            let files = Files { token, certificates: certificates.clone() };
            Agent::start(uid.clone(), identity.expect("an identity"), files)
        };
        let agents = (0..runners).map(start).collect();
        Self { fake, operator, run_uid, agents }
    }

    async fn until_passes(&self, passes: u64) {
        eventually("its bots are at work", || {
            let armies = self.operator.armies.lock();
            (armies.get(&self.run_uid)?.totals().iterations >= passes).then_some(())
        })
        .await;
    }

    /// A runner is killed, and its Job makes no other. The UID of its pod.
    fn lose(&mut self, index: usize, failed: &str) -> String {
        let agent = self.agents.remove(index);
        let uid = agent.uid.clone();
        agent.kill();
        self.fake.change("jobs", "a", &json!({"status": {"failedIndexes": failed}}));
        uid
    }

    async fn end(self) -> Value {
        for agent in self.agents {
            agent.leaves().await;
        }
        let status = || self.fake.get("botruns", "a").map(|run| run["status"].clone());
        eventually("the run is over", || status().filter(|status| status["phase"] == "Finished")).await
    }
}

#[tokio::test]
async fn the_others_do_what_two_lost_runners_leave() {
    let fields = json!({
        "trees": {"T": {"wait": "50ms"}}, "bots": 8, "runners": {"count": 4}, "iterations": 2_000,
        "lossPolicy": "Redistribute",
    });
    let mut scene = Scene::begin(4, &fields).await;
    scene.until_passes(200).await;
    // The second one before the others have taken over what the first one had.
    let lost = [scene.lose(1, "1"), scene.lose(0, "0,1")];
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&status["outcome"], &result["iterations"]), (&json!("Passed"), &json!(2_000)), "{status:#}");
    let gaps: Vec<&str> =
        result["gaps"].as_array().expect("gaps").iter().filter_map(|gap| gap["podUID"].as_str()).collect();
    assert!(gaps.len() == 2 && lost.iter().all(|uid| gaps.contains(&&**uid)), "{result:#}");
    assert_eq!(
        (&status["runners"]["lost"], &status["runners"]["replaced"], &status["runners"]["finished"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert!(status["startSkewMs"].as_u64().expect("a number") < 1_000, "{status:#}");
}

#[tokio::test]
async fn who_has_done_its_part_is_still_there_for_what_a_lost_runner_leaves() {
    // Each bot makes as many passes, and those of the first runner have the longer ones.
    let slow =
        json!({"if": {"when": "bot.id % 2 == 1", "then": {"wait": "400ms"}, "else": {"wait": "50ms"}}});
    let fields = json!({
        "trees": {"T": slow}, "bots": 4, "runners": {"count": 2}, "iterationsPerBot": 20,
        "lossPolicy": "Redistribute",
    });
    let mut scene = Scene::begin(2, &fields).await;
    // The second one has made all of its forty.
    scene.until_passes(44).await;
    let lost = scene.lose(0, "0");
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&status["outcome"], &result["iterations"]), (&json!("Passed"), &json!(80)), "{status:#}");
    assert_eq!((&result["gaps"][0]["podUID"], &result["bots"]["started"]), (&json!(lost), &json!(6)));
}

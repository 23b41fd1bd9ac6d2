//! Runners as they are in pods, each on a thread of its own, with an operator by the real clock.

use crate::fake::Fake;
use crate::operator::{Operator, apply, eventually, in_force, run, scheduled};
use crate::serving::pod;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use botarmy_operator::armies::Army;
use botarmy_operator::certificates::InForce;
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
use tokio::sync::watch::{Receiver, Sender, channel};
use tower::ServiceExt;

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

/// What runners speak to: the coordinator of whoever leads, and nobody who answers while there is none.
#[derive(Debug, Clone, Default)]
struct Front(Sender<Option<Router>>);

impl Front {
    fn routes(&self) -> Router {
        Router::new().fallback(forward).with_state(self.clone())
    }
}

/// Has a call answered by whoever leads, once somebody does.
async fn forward(State(front): State<Front>, request: Request) -> Response {
    let mut leads = front.0.subscribe();
    let routes = leads.wait_for(Option::is_some).await.ok().and_then(|routes| routes.clone());
    routes.expect("somebody leads").oneshot(request).await.expect("an answer")
}

/// An operator that is spoken to by TLS, and the runners of its one run.
pub(crate) struct Scene {
    pub(crate) fake: Fake,
    /// None while nobody leads.
    operator: Option<Operator>,
    epoch: u64,
    in_force: Receiver<InForce>,
    front: Front,
    pub(crate) run_uid: String,
    agents: Vec<Agent>,
}

impl Scene {
    /// A run of so many runners, all of which are there.
    pub(crate) async fn begin(runners: u32, fields: &Value) -> Self {
        let fake = Fake::new();
        let (in_force, front) = (in_force("127.0.0.1"), Front::default());
        let mut scene = Self {
            fake,
            operator: None,
            epoch: 0,
            in_force,
            front,
            run_uid: String::new(),
            agents: Vec::new(),
        };
        scene.another_leads();
        scene.run_uid = apply(&scene.fake, run("a", fields));
        scheduled(&scene.fake, "a").await;
        scene.start(runners).await;
        scene
    }

    /// Its runners, each in its pod.
    async fn start(&mut self, runners: u32) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("https://{}", listener.local_addr().expect("an address"));
        let folder = tempfile::tempdir().expect("a folder").keep();
        let certificates = folder.join("ca");
        std::fs::write(&certificates, self.in_force.borrow().bundle.certificates()).expect("written");
        tokio::spawn(serve(listener, self.in_force.clone(), self.front.routes(), Arc::default()));
        let start = |index: u32| {
            let token = folder.join(format!("token-{index}"));
            std::fs::write(&token, format!("token-{index}")).expect("written");
            let uid = pod(&self.fake, &self.run_uid, index, &format!("token-{index}"));
            let identity = Identity::read(|name| {
                Some(match name {
                    env::COORDINATOR => address.clone(),
                    env::NAMESPACE => crate::fake::NAMESPACE.to_owned(),
                    env::NAME => "a".to_owned(),
                    env::RUN_UID => self.run_uid.clone(),
                    env::POD_UID => uid.clone(),
                    env::INDEX => index.to_string(),
                    _ => return None,
                })
            });
            let files = Files { token, certificates: certificates.clone() };
            Agent::start(uid.clone(), identity.expect("an identity"), files)
        };
        self.agents = (0..runners).map(start).collect();
    }

    /// An operator begins to lead, and is spoken to.
    fn another_leads(&mut self) {
        self.epoch += 1;
        let standing = channel(Standing::Leads(self.epoch)).0;
        let in_force = self.in_force.clone();
        let operator =
            Operator::start_with(&self.fake, Arc::default(), standing, Limits::default(), in_force);
        self.operator = Some(operator);
        self.speaks();
    }

    /// The operator is killed with all that it has not written, and another one comes, for which all is well.
    pub(crate) async fn is_taken_over(&mut self) {
        self.goes_silent();
        self.operator.take().expect("an operator").kill().await;
        self.fake.mend();
        self.another_leads();
    }

    /// No runner is answered any more.
    pub(crate) fn goes_silent(&self) {
        self.front.0.send_replace(None);
    }

    /// Runners are answered, those among them that wait for it.
    pub(crate) fn speaks(&self) {
        let operator = self.operator.as_ref().expect("an operator");
        let leadership = Leadership::from(operator.standing.subscribe());
        let armies = operator.armies.clone();
        let keeper =
            Keeper::new(self.fake.client("keeper"), armies.clone(), leadership.clone(), Arc::default());
        let coordinator = Coordinator::new(
            armies,
            Arc::new(Reviewer::new(self.fake.client("reviewer"))),
            Arc::new(keeper),
            leadership,
            self.in_force.clone(),
            Arc::default(),
        );
        self.front.0.send_replace(Some(routes(coordinator)));
    }

    /// What there is of its army; none while the operator does not know of it.
    pub(crate) fn army<T>(&self, look: impl FnOnce(&Army) -> Option<T>) -> Option<T> {
        look(self.operator.as_ref()?.armies.lock().get(&self.run_uid)?)
    }

    pub(crate) async fn until_passes(&self, passes: u64) {
        let has_made = |army: &Army| (army.totals().iterations >= passes).then_some(());
        eventually("its bots are at work", || self.army(has_made)).await;
    }

    /// A runner is killed, and its Job makes no other. The UID of its pod.
    pub(crate) fn lose(&mut self, index: usize, failed: &str) -> String {
        let agent = self.agents.remove(index);
        let uid = agent.uid.clone();
        agent.kill();
        self.fake.change("jobs", "a", &json!({"status": {"failedIndexes": failed}}));
        uid
    }

    /// What is told of the run once its runners have left.
    pub(crate) async fn end(self) -> Value {
        for agent in self.agents {
            agent.leaves().await;
        }
        let status = || self.fake.get("botruns", "a").map(|run| run["status"].clone());
        eventually("the run is over", || status().filter(|status| status["phase"] == "Finished")).await
    }
}

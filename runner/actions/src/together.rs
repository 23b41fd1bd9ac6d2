//! What bots do together: changes of shared data, signals, barriers.

mod barrier;
mod request;
mod waiters;

pub use barrier::Barrier;
pub use request::{Arrival, Reply, Request};

use crate::{Action, Answer, Bot, Outcome, Step};
use botarmy_protocol::shared::{self, Change, Store};
use botarmy_report::{FailureClass, Observed};
use botarmy_tree::draw::Draw;
use botarmy_tree::template::{RenderError, Shared};
use botarmy_tree::together::{self, MAX_KEY, is_key};
use botarmy_tree::{Scope, Template};
use serde_json::{Number, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use waiters::{Goal, Waiters};

/// Most changes that wait to be sent to the coordinator; a bot whose change finds no room waits.
const MAX_WAITING: usize = 10_000;
/// How often an `update` is tried again because others were faster.
const MAX_ATTEMPTS: usize = 1_000;

/// What the bots of a run share, as one runner sees it; all of its workers have the same.
#[derive(Debug, Clone)]
pub struct Together(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What templates read.
    values: Shared,
    place: Place,
    /// The bots that wait for a change that others make.
    waiters: Waiters,
}

/// Where changes are made.
#[derive(Debug)]
enum Place {
    /// In this process, which is the whole army.
    Here(Mutex<Store>),
    /// In the coordinator, of whose store this runner has a copy with the version of each value.
    There { copy: Mutex<std::collections::BTreeMap<String, (Value, u64)>>, requests: mpsc::Sender<Request> },
}

/// A change that was asked for.
enum Asked {
    Answered(shared::Answer),
    Coming(oneshot::Receiver<shared::Answer>),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the key {0:?} is empty, longer than {MAX_KEY} bytes, or has control characters")]
    Key(String),
    #[error("a number to add is needed, found {0}")]
    By(Value),
    #[error("{0}")]
    Refused(String),
    #[error("others have changed {0} {MAX_ATTEMPTS} times in between; let fewer bots update one key")]
    Contended(String),
    #[error("the coordinator takes no changes any more")]
    Gone,
    #[error("{0}")]
    Render(#[from] RenderError),
}

impl Together {
    /// For an army that is all in this process.
    pub fn here() -> Self {
        Self::new(Place::Here(Mutex::default()))
    }

    /// For one runner of several: changes go out through the receiver, what others have changed comes in
    /// by [`Self::learn`].
    pub fn there() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(MAX_WAITING);
        (Self::new(Place::There { copy: Mutex::default(), requests }), receiver)
    }

    fn new(place: Place) -> Self {
        Self(Arc::new(Inner { values: Shared::default(), place, waiters: Waiters::default() }))
    }

    /// What templates read as `shared`.
    pub fn values(&self) -> &Shared {
        &self.0.values
    }

    /// How many bots wait for what others do.
    pub fn waiting(&self) -> usize {
        self.0.waiters.count()
    }

    /// Takes over what was changed elsewhere.
    pub fn learn(&self, news: shared::News) {
        let Place::There { copy, .. } = &self.0.place else { return };
        if news.entries.is_empty() && !news.anew {
            return;
        }
        let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
        if news.anew {
            for key in std::mem::take(&mut *copy).keys() {
                self.0.values.set(key, None);
            }
        }
        for (key, value, version) in news.entries {
            self.0.values.set(&key, Some(value.clone()).filter(|v| !v.is_null()));
            // Whoever is woken looks into the copy once it is let go.
            self.0.waiters.tell(&key, &value);
            copy.insert(key, (value, version));
        }
    }

    /// A value with its version, as it is known here.
    fn get(&self, key: &str) -> (Value, u64) {
        match &self.0.place {
            Place::Here(store) => store.lock().unwrap_or_else(PoisonError::into_inner).get(key),
            Place::There { copy, .. } => {
                copy.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
            }
        }
    }

    async fn make(&self, change: Change) -> Result<shared::Answer, Error> {
        match self.ask(change, None).await? {
            Asked::Answered(answer) => made(answer),
            Asked::Coming(answer) => made(answer.await.map_err(|_| Error::Gone)?),
        }
    }

    /// Makes a change here, or sends it on its way: what is given up before this is over was not sent.
    async fn ask(&self, change: Change, arrival: Option<Arrival>) -> Result<Asked, Error> {
        match &self.0.place {
            Place::Here(store) => Ok(Asked::Answered(self.make_here(store, change))),
            Place::There { requests, .. } => {
                let (reply, answer) = Reply::new(arrival);
                requests.send(Request { change, reply }).await.map_err(|_| Error::Gone)?;
                Ok(Asked::Coming(answer))
            }
        }
    }

    fn make_here(&self, store: &Mutex<Store>, change: Change) -> shared::Answer {
        let key = change.key().to_owned();
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let before = store.version();
        let answer = store.apply(change);
        if store.version() != before {
            let (value, _) = store.get(&key);
            // Under the same lock: whoever is woken sees the change, and what templates read never goes back.
            self.0.waiters.tell(&key, &value);
            self.0.values.set(&key, Some(value).filter(|v| !v.is_null()));
        }
        answer
    }

    /// Waits until a value has come to a goal; false if it has not in time.
    async fn until(&self, key: &str, goal: Goal, deadline: Instant) -> bool {
        let waiter = self.0.waiters.enter(key, goal);
        let wait = async {
            loop {
                // Before the look, so that nothing is missed that comes after it.
                let told = waiter.told();
                if goal.is_reached(&self.get(key).0) {
                    return;
                }
                told.await;
            }
        };
        tokio::time::timeout_at(deadline, wait).await.is_ok()
    }
}

/// No key that a user writes has a control character, so that these are apart.
fn signal_key(name: &str) -> String {
    format!("\u{1}signal/{name}")
}

fn key_of(template: &Template, scope: Scope<'_>) -> Result<String, Error> {
    let mut key = String::new();
    template.render_text(scope, &mut key)?;
    if is_key(&key) { Ok(key) } else { Err(Error::Key(key)) }
}

fn made(answer: shared::Answer) -> Result<shared::Answer, Error> {
    match answer {
        shared::Answer::Refused(reason) => Err(Error::Refused(reason)),
        answer => Ok(answer),
    }
}

fn ended(result: Result<Answer, Error>) -> Answer {
    result.unwrap_or_else(|error| Outcome::Error(error.to_string()).into())
}

/// What a bot has waited for in vain.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("the signal was not given within {0:?}")]
    Signal(Duration),
    #[error("fewer than the {0} parties came within {1:?}; there must be so many bots that come at a time")]
    Parties(u32, Duration),
}

/// The failure of one whose time is over.
fn in_vain(missing: &Missing) -> Answer {
    let observed = Observed::failed(FailureClass::Timeout, missing.to_string());
    Answer { observed, ..Outcome::Fail.into() }
}

/// Changes shared data.
#[derive(Debug)]
pub struct SharedChange {
    call: together::SharedCall,
    together: Together,
}

impl SharedChange {
    /// A change of the plan.
    pub fn new(call: &together::SharedCall, together: &Together) -> Self {
        Self { call: call.clone(), together: together.clone() }
    }

    async fn change(&self, scope: Scope<'_>) -> Result<Answer, Error> {
        let key = key_of(&self.call.key, scope)?;
        let change = match &self.call.change {
            together::Change::Update(new) => return self.update(key, new, scope).await,
            together::Change::Put(value) => Change::Put(key, value.render(scope)?),
            together::Change::Push(value) => Change::Push(key, value.render(scope)?),
            together::Change::Add(by) => Change::Add(key, number(by.render(scope)?)?),
            together::Change::Pop => Change::Pop(key),
            together::Change::Delete => Change::Delete(key),
        };
        Ok(match self.together.make(change).await? {
            shared::Answer::Made(value) => self.saved(value),
            // There was nothing to take.
            _ => Outcome::Fail.into(),
        })
    }

    async fn update(&self, key: String, new: &Template, scope: Scope<'_>) -> Result<Answer, Error> {
        let (mut old, mut version) = self.together.get(&key);
        for _ in 0..MAX_ATTEMPTS {
            let mut arguments = scope.arguments.cloned().unwrap_or_default();
            arguments.insert("old".into(), old);
            let value = new.render(Scope { arguments: Some(&arguments), ..scope })?;
            match self.together.make(Change::Replace(key.clone(), version, value)).await? {
                shared::Answer::Changed(now, its_version) => (old, version) = (now, its_version),
                shared::Answer::Made(value) => return Ok(self.saved(value)),
                _ => return Ok(Outcome::Fail.into()),
            }
        }
        Err(Error::Contended(key))
    }

    fn saved(&self, value: Value) -> Answer {
        let updates = self.call.save.clone().map(|name| (name, value)).into_iter().collect();
        Answer { updates, ..Outcome::Succeed.into() }
    }
}

fn number(value: Value) -> Result<Number, Error> {
    match value {
        Value::Number(number) => Ok(number),
        // What comes out of a file or a header is text.
        Value::String(text) => text.trim().parse().map_err(|_| Error::By(Value::String(text))),
        other => Err(Error::By(other)),
    }
}

impl Action for SharedChange {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Step::Pending(Box::pin(async move { ended(self.change(bot.scope).await) }))
    }
}

/// Gives a signal.
#[derive(Debug)]
pub struct Signal {
    name: Template,
    together: Together,
}

impl Signal {
    /// A signal of the plan.
    pub fn new(name: &Template, together: &Together) -> Self {
        Self { name: name.clone(), together: together.clone() }
    }
}

impl Action for Signal {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Step::Pending(Box::pin(async move {
            let give = async {
                let key = signal_key(&key_of(&self.name, bot.scope)?);
                self.together.make(Change::Put(key, Value::from(true))).await?;
                Ok(Outcome::Succeed.into())
            };
            ended(give.await)
        }))
    }
}

/// Waits for a signal.
#[derive(Debug)]
pub struct Await {
    call: together::Await,
    together: Together,
}

impl Await {
    /// A wait of the plan.
    pub fn new(call: &together::Await, together: &Together) -> Self {
        Self { call: call.clone(), together: together.clone() }
    }
}

impl Action for Await {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Step::Pending(Box::pin(async move {
            let wait = async {
                let key = signal_key(&key_of(&self.call.signal, bot.scope)?);
                let deadline = Instant::now() + self.call.timeout;
                let given = self.together.until(&key, Goal::Given, deadline).await;
                Ok(if given { Outcome::Succeed.into() } else { in_vain(&Missing::Signal(self.call.timeout)) })
            };
            ended(wait.await)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Connections;
    use botarmy_tree::action::Call;
    use botarmy_tree::{Actions, Context, Path, Plan, RunScope, notation};
    use serde_json::json;

    /// The outcome of a node as it is written, and what the bot keeps of it.
    pub(super) async fn run(node: Value, together: &Together) -> (Outcome, Vec<(String, Value)>) {
        let trees = notation::read(&json!({"T": node}), &Path::top(), &Actions::built_in()).unwrap();
        let plan = Plan::compile_entry(&trees, "T").unwrap();
        let action: Box<dyn Action> = match &plan.leaves()[0].call {
            Call::Shared(call) => Box::new(SharedChange::new(call, together)),
            Call::Signal(name) => Box::new(Signal::new(name, together)),
            Call::Await(call) => Box::new(Await::new(call, together)),
            Call::Barrier(call) => Box::new(Barrier::new(call, together)),
            other => panic!("{other:?}"),
        };
        let (run, context, connections) = (RunScope::default(), Context::new(), Connections::default());
        let scope = Scope { shared: Some(together.values()), ..Scope::new(&run, 7, &context) };
        let bot = Bot { scope, connections: &connections };
        let answer = match action.run(bot, &mut || Draw::new(1, 1, 1, 1)) {
            Step::Plain(outcome) => outcome.into(),
            Step::Ready(answer) => *answer,
            Step::Pending(later) => later.await,
        };
        (answer.outcome, answer.updates)
    }

    fn kept(value: Value) -> (Outcome, Vec<(String, Value)>) {
        (Outcome::Succeed, vec![("x".to_owned(), value)])
    }

    #[tokio::test]
    async fn changes_are_made_and_kept() {
        let all = Together::here();
        for (node, expected) in [
            (json!({"shared": {"add": "n-{{ bot.id }}", "by": 2, "save": "x"}}), kept(json!(2))),
            (json!({"shared": {"add": "n-7", "by": "{{ '3' }}", "save": "x"}}), kept(json!(5))),
            (json!({"shared": {"update": "n-7", "value": "{{ old * 10 }}", "save": "x"}}), kept(json!(50))),
            (
                json!({"shared": {"update": "new", "value": "{{ (old or 1) + shared['n-7'] }}", "save": "x"}}),
                kept(json!(51)),
            ),
            (json!({"shared": {"push": "l", "value": {"a": 1}}}), (Outcome::Succeed, vec![])),
            (json!({"shared": {"pop": "l", "save": "x"}}), kept(json!({"a": 1}))),
            (json!({"shared": {"pop": "l", "save": "x"}}), (Outcome::Fail, vec![])),
            (json!({"shared": {"delete": "new", "save": "x"}}), kept(json!(51))),
        ] {
            assert_eq!(run(node.clone(), &all).await, expected, "{node}");
        }
        for (node, part) in [
            (json!({"shared": {"add": "n-7", "by": "{{ 'x' }}"}}), "a number to add is needed"),
            (json!({"shared": {"push": "n-7", "value": 1}}), "no list"),
            (json!({"shared": {"put": "{{ '' }}", "value": 1}}), "is empty"),
            (json!({"shared": {"put": "a", "value": "{{ nope }}"}}), "undefined"),
        ] {
            let (outcome, _) = run(node.clone(), &all).await;
            assert!(
                matches!(&outcome, Outcome::Error(reason) if reason.contains(part)),
                "{node}: {outcome:?}"
            );
        }
        assert_eq!(all.values().get("n-7"), Some(json!(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn signals_hold_back() {
        let all = Together::here();
        let late = json!({"await": {"signal": "go", "timeout": 5}});
        assert_eq!(run(late.clone(), &all).await.0, Outcome::Fail);
        let (waited, _) = tokio::join!(run(late, &all), run(json!({"signal": "go"}), &all));
        assert_eq!(waited.0, Outcome::Succeed);
        assert_eq!(all.waiting(), 0);
    }

    #[tokio::test]
    async fn elsewhere_changes_wait_for_their_answer() {
        let (all, mut requests) = Together::there();
        let mut store = Store::default();
        let coordinator = async {
            while let Some(Request { change, reply }) = requests.recv().await {
                let before = store.version();
                assert_eq!(reply.send(store.apply(change)), None, "it is waited for");
                all.learn(store.news(before));
            }
        };
        let bots = async {
            assert_eq!(run(json!({"shared": {"add": "n", "save": "x"}}), &all).await, kept(json!(1)));
            // Somebody else is faster: what is seen here is out of date.
            all.learn(shared::News { version: 9, anew: false, entries: vec![("n".into(), json!(40), 40)] });
            let update = json!({"shared": {"update": "n", "value": "{{ old + 1 }}", "save": "x"}});
            assert_eq!(run(update, &all).await, kept(json!(2)));
            assert_eq!(all.values().get("n"), Some(json!(2)));
        };
        tokio::select! {
            () = coordinator => panic!("it ends last"),
            () = bots => {}
        }
        drop(requests);
        let (outcome, _) = run(json!({"signal": "x"}), &all).await;
        assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
    }
}

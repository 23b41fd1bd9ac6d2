//! The action `barrier`: bots are counted as they come, and are not counted on when they go away.

use super::{Arrival, Asked, Error, Goal, Missing, Place, Request, Together, ended, in_vain, key_of, made};
use crate::{Action, Answer, Bot, Outcome, Step};
use botarmy_protocol::shared::{self, Change};
use botarmy_tree::draw::Draw;
use botarmy_tree::{Scope, together};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a bot whose time is over waits to hear whether the last one has come at that very moment.
const LAST_WORD: Duration = Duration::from_secs(1);

/// No key that a user writes has a control character, so that these are apart.
fn barrier_key(name: &str) -> String {
    format!("\u{1}barrier/{name}")
}

/// Waits for other bots.
#[derive(Debug)]
pub struct Barrier {
    call: together::Barrier,
    together: Together,
}

impl Barrier {
    /// A barrier of the plan.
    pub fn new(call: &together::Barrier, together: &Together) -> Self {
        Self { call: call.clone(), together: together.clone() }
    }

    /// Bots are counted as they come; the first `parties` of them go on together, then the next ones.
    async fn come(&self, scope: Scope<'_>) -> Result<Answer, Error> {
        let key = barrier_key(&key_of(&self.call.name, scope)?);
        let deadline = Instant::now() + self.call.timeout;
        let arrival = Arrival { key, parties: i64::from(self.call.parties) };
        let mut comer = Comer { together: &self.together, arrival, on_the_way: None, goal: None };
        // An arrival of which nothing is heard in time is taken back when the comer goes.
        let missing = Missing::Parties(self.call.parties, self.call.timeout);
        let Ok(arrived) = timeout_at(deadline, comer.arrive()).await else { return Ok(in_vain(&missing)) };
        let Some(count) = arrived? else { return Ok(Outcome::Fail.into()) };
        let goal = Goal::Count(count);
        if self.together.until(&comer.arrival.key, goal, deadline).await {
            comer.goal = None;
            return Ok(Outcome::Succeed.into());
        }
        let came = match timeout(LAST_WORD, comer.leave(count)).await {
            Ok(left) => matches!(left?, shared::Answer::Made(value) if goal.is_reached(&value)),
            Err(_) => false,
        };
        Ok(if came { Outcome::Succeed.into() } else { in_vain(&missing) })
    }
}

/// A bot that comes to a barrier: one that goes away, at whatever moment, is not counted on.
struct Comer<'a> {
    together: &'a Together,
    arrival: Arrival,
    /// It is sent: it is counted now or soon.
    on_the_way: Option<oneshot::Receiver<shared::Answer>>,
    /// It is counted, and waits for this count.
    goal: Option<i64>,
}

impl Comer<'_> {
    /// Has the bot counted, and tells the count to wait for.
    async fn arrive(&mut self) -> Result<Option<i64>, Error> {
        let change = Change::Add(self.arrival.key.clone(), 1.into());
        let answer = match self.together.ask(change, Some(self.arrival.clone())).await? {
            Asked::Answered(answer) => answer,
            // Nothing is waited for since it was sent, so that it is never on its way unknown.
            Asked::Coming(answer) => {
                let answer = self.on_the_way.insert(answer).await;
                self.on_the_way = None;
                answer.map_err(|_| Error::Gone)?
            }
        };
        self.goal = self.arrival.goal(&made(answer)?);
        Ok(self.goal)
    }

    /// Takes the arrival back, and tells what the count has come to.
    async fn leave(&mut self, goal: i64) -> Result<shared::Answer, Error> {
        let asked = self.together.ask(self.arrival.taken_back(goal), None).await?;
        // Only now that it is sent: a bot that goes away before has it sent when it is dropped.
        self.goal = None;
        made(match asked {
            Asked::Answered(answer) => answer,
            Asked::Coming(answer) => answer.await.map_err(|_| Error::Gone)?,
        })
    }
}

impl Drop for Comer<'_> {
    fn drop(&mut self) {
        let answered = self.on_the_way.take().and_then(|mut answer| {
            // One that comes later is taken back where it comes in: see `Reply::send`.
            answer.close();
            answer.try_recv().ok()
        });
        let Some(goal) = self.goal.or_else(|| self.arrival.goal(&answered?)) else { return };
        let leave = self.arrival.taken_back(goal);
        match &self.together.0.place {
            Place::Here(store) => drop(self.together.make_here(store, leave)),
            Place::There { requests, .. } => match requests.try_send(Request::unheard(leave)) {
                Err(TrySendError::Full(request)) => send_later(requests.clone(), request),
                // Sent, or there is no coordinator any more that counts.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
            },
        }
    }
}

/// Sends once there is room: when very many leave at once, they wait for one another. There are no more of
/// these than there were bots.
fn send_later(requests: Sender<Request>, request: Request) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move { requests.send(request).await })),
        Err(_) => tracing::warn!("a bot that left a barrier is still counted there: too many changes wait"),
    }
}

impl Action for Barrier {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Step::Pending(Box::pin(async move { ended(self.come(bot.scope).await) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_WAITING;
    use super::super::tests::run;
    use super::*;
    use botarmy_protocol::shared::Store;
    use futures::future::{join_all, poll_immediate};
    use serde_json::{Value, json};
    use std::pin::pin;
    use tokio::sync::mpsc::Receiver;

    fn barrier(parties: u32) -> Value {
        json!({"barrier": {"name": "b", "parties": parties, "timeout": 5}})
    }

    #[tokio::test(start_paused = true)]
    async fn a_barrier_holds_back() {
        let all = Together::here();
        let two = join_all([run(barrier(3), &all), run(barrier(3), &all)]);
        assert!(two.await.iter().all(|(outcome, _)| *outcome == Outcome::Fail), "one is missing");
        // Those that gave up are not counted on, nor is one that was given up.
        drop(tokio::time::timeout(Duration::from_secs(1), run(barrier(3), &all)).await);
        for parties in [2, 3, 6] {
            let outcomes = join_all((0..parties).map(|_| run(barrier(3), &all))).await;
            let passed = outcomes.iter().filter(|(outcome, _)| *outcome == Outcome::Succeed).count();
            assert_eq!(passed, parties / 3 * 3);
        }
        assert_eq!(all.waiting(), 0);
    }

    /// A coordinator that answers when it is told to.
    struct Slow {
        together: Together,
        requests: Receiver<Request>,
        store: Store,
    }

    impl Slow {
        fn new() -> Self {
            let (together, requests) = Together::there();
            Self { together, requests, store: Store::default() }
        }

        /// Answers this, and makes what is to be made instead if nobody hears it.
        fn answer(&mut self, request: Request) {
            let before = self.store.version();
            if let Some(instead) = request.reply.send(self.store.apply(request.change)) {
                self.store.apply(instead);
            }
            self.together.learn(self.store.news(before));
        }

        /// Answers all that has come, and what comes by that.
        async fn answer_all(&mut self) {
            tokio::task::yield_now().await;
            while let Ok(request) = self.requests.try_recv() {
                self.answer(request);
                tokio::task::yield_now().await;
            }
        }

        fn counted(&self) -> Value {
            self.store.get(&barrier_key("b")).0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bot_that_goes_away_while_its_arrival_is_on_its_way_is_not_counted() {
        let mut slow = Slow::new();
        let all = slow.together.clone();
        // It goes before the coordinator has counted it.
        {
            let mut bot = pin!(run(barrier(2), &all));
            assert_eq!(poll_immediate(&mut bot).await, None);
        }
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(0));
        // It goes when it is counted and has not heard of it.
        {
            let mut bot = pin!(run(barrier(2), &all));
            assert_eq!(poll_immediate(&mut bot).await, None);
            let request = slow.requests.recv().await.expect("an arrival");
            slow.answer(request);
            assert_eq!(slow.counted(), json!(1));
        }
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(0));
        // So that two come together afterwards, and not one with the one that is gone.
        let two = async { join_all([run(barrier(2), &all), run(barrier(2), &all)]).await };
        let mut two = pin!(two);
        while slow.counted() != json!(2) {
            assert_eq!(poll_immediate(&mut two).await, None);
            let request = slow.requests.recv().await.expect("an arrival");
            slow.answer(request);
        }
        assert!(two.await.iter().all(|(outcome, _)| *outcome == Outcome::Succeed));
    }

    #[tokio::test(start_paused = true)]
    async fn bots_that_go_away_when_no_change_can_be_sent_are_not_counted_either() {
        let mut slow = Slow::new();
        let all = slow.together.clone();
        let (mut waits, mut gives_up) = (Box::pin(run(barrier(3), &all)), Box::pin(run(barrier(3), &all)));
        assert!(poll_immediate(&mut waits).await.is_none() && poll_immediate(&mut gives_up).await.is_none());
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(2));
        assert!(poll_immediate(&mut waits).await.is_none() && poll_immediate(&mut gives_up).await.is_none());
        let sender = match &all.0.place {
            Place::There { requests, .. } => requests.clone(),
            Place::Here(_) => panic!("a coordinator"),
        };
        for n in 0..MAX_WAITING {
            let change = Change::Put("other".into(), n.into());
            sender.try_send(Request::unheard(change)).expect("room");
        }
        // One goes while it waits for others; the time of the other is over, and it goes while it waits
        // for room to say so.
        drop(waits);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(poll_immediate(&mut gives_up).await.is_none(), "there is no room");
        drop(gives_up);
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(0));
    }

    #[tokio::test(start_paused = true)]
    async fn no_bot_waits_much_longer_than_its_time_for_a_coordinator_that_does_not_answer() {
        let mut slow = Slow::new();
        let all = slow.together.clone();
        let failed = |(outcome, _): (Outcome, _), begun: Instant, seconds: u64| {
            assert_eq!((outcome, begun.elapsed().as_secs()), (Outcome::Fail, seconds));
        };
        // Nothing is heard of its arrival.
        let begun = Instant::now();
        failed(run(barrier(2), &all).await, begun, 5);
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(0));
        // It is counted after some time, and nothing is heard of its leave.
        let begun = Instant::now();
        let counts = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let request = slow.requests.recv().await.expect("an arrival");
            slow.answer(request);
        };
        let (ended, ()) = tokio::join!(run(barrier(2), &all), counts);
        failed(ended, begun, 6);
        assert_eq!(slow.counted(), json!(1));
        slow.answer_all().await;
        assert_eq!(slow.counted(), json!(0));
    }
}

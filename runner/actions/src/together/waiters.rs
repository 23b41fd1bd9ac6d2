//! Bots that wait for a value, by what it has to come to: a change wakes those for whom it is enough, and nobody else.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What a value has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Goal {
    /// There is one.
    Given,
    /// It is a number, at least this one.
    Count(i64),
}

impl Goal {
    pub(super) fn is_reached(self, value: &Value) -> bool {
        match self {
            Self::Given => !value.is_null(),
            Self::Count(goal) => value.as_i64().is_some_and(|count| count >= goal),
        }
    }
}

/// All bots of a runner that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Groups>);

/// Those who wait, by key and goal; a key and a goal are there for as long as anybody waits for them.
#[derive(Debug, Default)]
struct Groups {
    by_key: HashMap<String, BTreeMap<Goal, Group>>,
    bots: usize,
}

/// Those who wait for the same.
#[derive(Debug, Default)]
struct Group {
    bots: usize,
    wake: Arc<Notify>,
}

impl Waiters {
    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bots wait.
    pub(super) fn count(&self) -> usize {
        self.groups().bots
    }

    /// A bot begins to wait.
    pub(super) fn enter(&self, key: &str, goal: Goal) -> Waiter<'_> {
        let mut groups = self.groups();
        groups.bots += 1;
        let group = groups.by_key.entry(key.to_owned()).or_default().entry(goal).or_default();
        group.bots += 1;
        Waiter { waiters: self, key: key.to_owned(), goal, wake: group.wake.clone() }
    }

    /// Wakes those for whom a value is enough.
    pub(super) fn tell(&self, key: &str, value: &Value) {
        let groups = self.groups();
        let of_key = groups.by_key.get(key).into_iter().flatten();
        of_key.filter(|(goal, _)| goal.is_reached(value)).for_each(|(_, group)| group.wake.notify_waiters());
    }
}

/// A bot that waits, for as long as it lives.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    key: String,
    goal: Goal,
    wake: Arc<Notify>,
}

impl Waiter<'_> {
    /// Comes when it is woken after this call.
    pub(super) fn told(&self) -> Notified<'_> {
        self.wake.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut groups = self.waiters.groups();
        groups.bots -= 1;
        let Some(of_key) = groups.by_key.get_mut(&self.key) else { return };
        if let Some(group) = of_key.get_mut(&self.goal) {
            group.bots -= 1;
            if group.bots == 0 {
                of_key.remove(&self.goal);
            }
        }
        if of_key.is_empty() {
            groups.by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Together;
    use super::super::tests::run;
    use super::*;
    use crate::Outcome;
    use botarmy_protocol::shared::{Change, News};
    use serde_json::json;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    /// How often bots were woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type Ended = (Outcome, Vec<(String, Value)>);
    type Bots<'a> = Vec<Pin<Box<dyn Future<Output = Ended> + 'a>>>;

    /// So many bots at a node that wait there.
    fn waiting<'a>(node: &Value, bots: usize, all: &'a Together, wakes: &Arc<Wakes>) -> Bots<'a> {
        // Else tokio itself would wake those who have had their turn too often.
        let bot = |_| Box::pin(tokio::task::unconstrained(run(node.clone(), all))) as Pin<Box<_>>;
        let mut bots: Bots<'_> = (0..bots).map(bot).collect();
        assert_eq!(ended(&mut bots, wakes), 0);
        bots
    }

    /// How many of them have succeeded.
    fn ended(bots: &mut Bots<'_>, wakes: &Arc<Wakes>) -> usize {
        let waker = Waker::from(wakes.clone());
        let mut succeeded = 0;
        for bot in bots {
            let polled = bot.as_mut().poll(&mut Context::from_waker(&waker));
            succeeded += usize::from(matches!(polled, Poll::Ready((Outcome::Succeed, _))));
        }
        succeeded
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_only_those_for_whom_it_is_enough() {
        let (all, wakes) = (Together::here(), Arc::new(Wakes::default()));
        let woken = || wakes.0.load(Ordering::Relaxed);
        let barrier = json!({"barrier": {"name": "b", "parties": 100}});
        let mut at_barrier = waiting(&barrier, 99, &all, &wakes);
        let mut awaiting = waiting(&json!({"await": "go"}), 50, &all, &wakes);
        assert_eq!((all.waiting(), woken()), (149, 0), "nobody who comes wakes those who are there");
        for n in 0..1_000 {
            run(json!({"shared": {"add": "other"}}), &all).await;
            run(json!({"signal": format!("other {}", n % 7)}), &all).await;
        }
        assert_eq!(woken(), 0);
        run(json!({"signal": "go"}), &all).await;
        assert_eq!((woken(), ended(&mut awaiting, &wakes)), (50, 50));
        assert_eq!(run(barrier, &all).await.0, Outcome::Succeed);
        assert_eq!((woken(), ended(&mut at_barrier, &wakes)), (149, 99), "each of them once");
        assert_eq!(all.waiting(), 0);
        assert!(all.0.waiters.groups().by_key.is_empty(), "nothing is kept of them");
    }

    #[tokio::test(start_paused = true)]
    async fn news_wake_only_those_for_whom_they_are_enough() {
        let ((all, _requests), wakes) = (Together::there(), Arc::new(Wakes::default()));
        let news = |version: u64, key: &str, anew| News {
            version,
            anew,
            entries: vec![(key.to_owned(), json!(true), version)],
        };
        let mut bots = waiting(&json!({"await": "go"}), 5, &all, &wakes);
        let signal = "\u{1}signal/go";
        for n in 1..1_000 {
            all.learn(news(n, "other", n % 100 == 0));
        }
        assert_eq!((wakes.0.load(Ordering::Relaxed), ended(&mut bots, &wakes)), (0, 0));
        all.learn(news(1_000, signal, false));
        assert_eq!((wakes.0.load(Ordering::Relaxed), ended(&mut bots, &wakes)), (5, 5));
    }

    #[test]
    fn no_number_is_no_count() {
        let reached = |value: Value| Goal::Count(3).is_reached(&value);
        assert_eq!([json!(2), json!(3), json!(4)].map(reached), [false, true, true]);
        assert_eq!([json!("3"), json!(null), json!(3.5)].map(reached), [false; 3]);
        assert!(Goal::Given.is_reached(&json!(false)) && !Goal::Given.is_reached(&Value::Null));
        assert_eq!(Change::Leave("k".into(), 3).key(), "k");
    }
}

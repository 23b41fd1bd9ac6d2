//! What the bots of this runner have changed of what all share: what is not answered yet, and what the
//! coordinator might lose. Pure.

use botarmy_actions::together::{Reply, Request};
use botarmy_protocol::shared::{Answer, Change, MAX_CHANGES, MAX_CHANGES_BYTES, News};
use botarmy_protocol::{Together, TogetherOrders};
use std::collections::VecDeque;

/// Most changes that are answered and do not survive the coordinator yet, and how much they may take. Usually they do
/// within seconds; while they do not, as where checkpoints fail, no more are made, as after the loss of a coordinator,
/// which is told all of them before it answers any other: at 1,000 in a check-in they have to get there in time.
const MAX_KEPT: usize = 50_000;
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Changes by their numbers, from 1.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: u64,
    unanswered: VecDeque<(u64, Change, Reply)>,
    /// The last one that was answered.
    answered: u64,
    /// Answered ones that do not survive the coordinator yet, in the form in which they can be repeated.
    kept: VecDeque<(u64, Change)>,
    /// How much those take.
    kept_bytes: usize,
    /// It was told that no more are made.
    is_told: bool,
    /// What the coordinator has made of them, as it last said.
    applied: u64,
    /// The version of this runner's copy.
    seen: u64,
}

impl Ledger {
    /// Takes a change over, to be sent.
    pub(super) fn take(&mut self, request: Request) {
        self.last += 1;
        self.unanswered.push_back((self.last, request.change, request.reply));
    }

    /// Whether there is something to say that nothing has to come before.
    pub(super) fn has_to_say(&self) -> bool {
        self.lost() < self.kept.len() || (!self.unanswered.is_empty() && !self.is_full())
    }

    /// Whether so many changes are not safe yet that no more are to be made.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT || self.kept_bytes >= MAX_KEPT_BYTES
    }

    /// How many changes are not safe yet, if bots wait for that and it was not told before.
    pub(super) fn news_of_bound(&mut self) -> Option<usize> {
        let is_news = self.is_full() && !self.is_told;
        // Not as soon as one more has room: it would be told again and again.
        let is_half_full = self.kept.len() > MAX_KEPT / 2 || self.kept_bytes > MAX_KEPT_BYTES / 2;
        self.is_told = self.is_full() || (self.is_told && is_half_full);
        is_news.then_some(self.kept.len())
    }

    /// Where those begin that the coordinator has lost, if it has. Numbers ascend.
    fn lost(&self) -> usize {
        self.kept.partition_point(|(number, _)| *number <= self.applied)
    }

    /// What to say: first what the coordinator has lost, if it has, then what it has not answered, unless that has to
    /// wait. What was said before and not answered may wait as well: it is not made twice.
    pub(super) fn to_say(&self) -> Together {
        let begin = self.lost();
        let lost = self.kept.range(begin..).cloned();
        let new = self.unanswered.iter().map(|(number, change, _)| (*number, change.clone()));
        let new = new.take(if self.is_full() { 0 } else { MAX_CHANGES });
        let mut bytes = 0;
        let within = |(_, change): &(u64, Change)| {
            let fits = bytes <= MAX_CHANGES_BYTES;
            bytes += change.size();
            fits
        };
        let changes: Vec<_> = lost.chain(new).take(MAX_CHANGES).take_while(within).collect();
        let is_whole = changes.len() >= self.kept.len() - begin;
        Together { changes, is_whole, answered: self.answered, knows: self.applied, seen: self.seen }
    }

    /// Takes the news out of what the coordinator says.
    pub(super) fn news(&mut self, heard: &mut TogetherOrders) -> News {
        self.seen = heard.news.version;
        std::mem::take(&mut heard.news)
    }

    /// Hands the answers to those who wait for them.
    pub(super) fn hear(&mut self, heard: TogetherOrders) {
        self.applied = heard.applied;
        for (number, answer) in heard.answers {
            let Some((first, change, reply)) = self.unanswered.pop_front() else { break };
            if first != number {
                self.unanswered.push_front((first, change, reply));
                // One that was answered before and is told again.
                if number < first {
                    continue;
                }
                break;
            }
            self.answered = number;
            if let Some(change) = effect(change, &answer) {
                self.kept_bytes += change.size();
                self.kept.push_back((number, change));
            }
            // A bot that is gone does not wait any more: what counted on it is taken back.
            if let Some(change) = reply.send(answer) {
                self.take(Request::unheard(change));
            }
        }
        while let Some((_, change)) = self.kept.pop_front_if(|(number, _)| *number <= heard.durable) {
            self.kept_bytes = self.kept_bytes.saturating_sub(change.size());
        }
    }
}

/// A change in the form in which it can be made again, whatever others have changed in between.
fn effect(change: Change, answer: &Answer) -> Option<Change> {
    match (change, answer) {
        (_, Answer::Empty | Answer::Changed(..) | Answer::Refused(_)) => None,
        (Change::Pop(key), Answer::Made(item)) => Some(Change::Take(key, item.clone())),
        (Change::Replace(key, _, value), Answer::Made(_)) => Some(Change::Put(key, value)),
        // Others may repeat what they did before or after this: one is less, however far the count is by then.
        (Change::Leave(key, goal), Answer::Made(count)) => {
            count.as_i64().is_some_and(|count| count < goal).then(|| Change::Add(key, (-1).into()))
        }
        (change, Answer::Made(_)) => Some(change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_actions::together::Arrival;
    use serde_json::json;
    use tokio::sync::oneshot;

    fn take(ledger: &mut Ledger, change: Change) -> oneshot::Receiver<Answer> {
        let (reply, answer) = Reply::new(None);
        ledger.take(Request { change, reply });
        answer
    }

    fn answers(numbers: std::ops::RangeInclusive<u64>, durable: u64) -> TogetherOrders {
        let applied = *numbers.end();
        let answers = numbers.map(|n| (n, Answer::Made(json!(n)))).collect();
        TogetherOrders { answers, applied, durable, ..TogetherOrders::default() }
    }

    fn numbers(ledger: &Ledger) -> Vec<u64> {
        ledger.to_say().changes.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn what_is_not_answered_is_said_again() {
        let mut ledger = Ledger::default();
        let mut first = take(&mut ledger, Change::Pop("a".into()));
        let mut second = take(&mut ledger, Change::Pop("a".into()));
        assert_eq!(numbers(&ledger), [1, 2]);
        ledger.hear(answers(1..=1, 0));
        assert_eq!((first.try_recv(), second.try_recv().is_err()), (Ok(Answer::Made(json!(1))), true));
        assert_eq!((numbers(&ledger), ledger.to_say().answered), (vec![2], 1));
        // An answer that was lost on the way comes with the next one.
        let mut third = take(&mut ledger, Change::Pop("a".into()));
        ledger.hear(answers(1..=3, 0));
        assert_eq!(
            (second.try_recv(), third.try_recv()),
            (Ok(Answer::Made(json!(2))), Ok(Answer::Made(json!(3))))
        );
        assert!(!ledger.has_to_say());
    }

    #[test]
    fn what_a_bot_had_come_to_that_is_gone_is_taken_back() {
        let mut ledger = Ledger::default();
        let arrival = || Some(Arrival { key: "b".into(), parties: 3 });
        let [(stays, answer), (goes, _)] = [Reply::new(arrival()), Reply::new(arrival())];
        for reply in [stays, goes] {
            ledger.take(Request { change: Change::Add("b".into(), 1.into()), reply });
        }
        ledger.hear(answers(1..=2, 0));
        assert_eq!(answer.blocking_recv(), Ok(Answer::Made(json!(1))));
        assert!(ledger.has_to_say(), "it is to be said at once");
        assert_eq!(ledger.to_say().changes, [(3, Change::Leave("b".into(), 3))]);
        ledger.hear(answers(3..=3, 0));
        assert!(!ledger.has_to_say());
    }

    /// Makes changes of this size until no more are made; nothing becomes durable.
    fn fill(ledger: &mut Ledger, value: &serde_json::Value) -> u64 {
        for round in 0..100 {
            let begin = round * MAX_CHANGES as u64 + 1;
            let waiting: Vec<_> =
                (0..MAX_CHANGES).map(|_| take(ledger, Change::Put("a".into(), value.clone()))).collect();
            let said = numbers(ledger);
            let Some(last) = said.last() else {
                assert!(ledger.is_full() && !ledger.has_to_say(), "they wait until there is room");
                return begin - 1;
            };
            // Not all fit into one call.
            for end in [*last, begin + MAX_CHANGES as u64 - 1] {
                ledger.hear(answers(begin..=end, 0));
            }
            drop(waiting);
        }
        panic!("{} changes are kept, and there is no bound", ledger.kept.len())
    }

    #[test]
    fn what_does_not_become_durable_is_bounded_and_told_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.news_of_bound(), None);
        let made = fill(&mut ledger, &json!(1));
        assert_eq!((made, ledger.kept.len()), (MAX_KEPT as u64, MAX_KEPT));
        assert_eq!((ledger.news_of_bound(), ledger.news_of_bound()), (Some(MAX_KEPT), None));
        // Those who wait go on as soon as there is room, and nothing was lost or has changed its number.
        ledger.hear(TogetherOrders { applied: made, durable: 10, ..TogetherOrders::default() });
        assert_eq!((numbers(&ledger).first(), ledger.news_of_bound()), (Some(&(made + 1)), None));
        assert!(ledger.has_to_say());
        // A coordinator that has lost them hears of all of them, and of nothing else before.
        ledger.hear(TogetherOrders { applied: 10, durable: 10, ..TogetherOrders::default() });
        let said = ledger.to_say();
        assert_eq!((said.changes.len(), said.changes[0].0, said.is_whole), (MAX_CHANGES, 11, false));
        ledger.hear(TogetherOrders { applied: made, durable: made, ..TogetherOrders::default() });
        assert_eq!((ledger.kept.len(), ledger.kept_bytes, ledger.news_of_bound()), (0, 0, None));
    }

    #[test]
    fn large_changes_are_bounded_by_what_they_take() {
        let mut ledger = Ledger::default();
        let made = fill(&mut ledger, &json!("x".repeat(30_000)));
        assert!(ledger.kept_bytes >= MAX_KEPT_BYTES && made < 2_000, "{made}");
        ledger.hear(TogetherOrders { applied: made, durable: made, ..TogetherOrders::default() });
        assert_eq!(ledger.kept_bytes, 0);
    }

    #[test]
    fn what_the_coordinator_has_lost_is_repeated_as_it_was_answered() {
        let mut ledger = Ledger::default();
        for change in [
            Change::Pop("a".into()),
            Change::Replace("b".into(), 7, json!(1)),
            Change::Add("c".into(), 1.into()),
            Change::Pop("d".into()),
            // One was the last who left; at the other the count had come to the goal.
            Change::Leave("e".into(), 6),
            Change::Leave("f".into(), 6),
        ] {
            drop(take(&mut ledger, change));
        }
        let mut heard = answers(1..=6, 0);
        heard.answers[3].1 = Answer::Empty;
        ledger.hear(heard);
        assert_eq!(numbers(&ledger), [0_u64; 0], "nothing is lost");
        // A coordinator that came back from a checkpoint without them.
        ledger.hear(TogetherOrders { applied: 0, ..TogetherOrders::default() });
        let said = ledger.to_say();
        let repeated = [
            (1, Change::Take("a".into(), json!(1))),
            (2, Change::Put("b".into(), json!(1))),
            (3, Change::Add("c".into(), 1.into())),
            (5, Change::Add("e".into(), (-1).into())),
        ];
        assert_eq!((said.changes, said.answered), (repeated.to_vec(), 6));
        ledger.hear(TogetherOrders { applied: 6, durable: 5, ..TogetherOrders::default() });
        assert!(ledger.kept.is_empty());
    }
}

//! What the bots of this runner have changed of what all share: what is not answered yet, and what the
//! coordinator might lose. Pure.

use botarmy_actions::together::{Reply, Request};
use botarmy_protocol::shared::{Answer, Change, MAX_CHANGES, MAX_CHANGES_BYTES, News};
use botarmy_protocol::{Together, TogetherOrders};
use std::collections::VecDeque;

/// Changes by their numbers, from 1.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: u64,
    unanswered: VecDeque<(u64, Change, Reply)>,
    /// The last one that was answered.
    answered: u64,
    /// Answered ones that do not survive the coordinator yet, in the form in which they can be repeated.
    kept: VecDeque<(u64, Change)>,
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

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// What to say: first what the coordinator has lost, if it has, then what it has not answered.
    pub(super) fn to_say(&self) -> Together {
        let lost = self.kept.iter().filter(|(number, _)| *number > self.applied).cloned();
        let new = self.unanswered.iter().map(|(number, change, _)| (*number, change.clone()));
        let mut bytes = 0;
        let within = |(_, change): &(u64, Change)| {
            let fits = bytes <= MAX_CHANGES_BYTES;
            bytes += change.size();
            fits
        };
        let changes: Vec<_> = lost.chain(new).take(MAX_CHANGES).take_while(within).collect();
        let is_whole = changes.len() >= self.kept.iter().filter(|(n, _)| *n > self.applied).count();
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
            self.kept.extend(effect(change, &answer).map(|change| (number, change)));
            // A bot that is gone does not wait any more: what counted on it is taken back.
            if let Some(change) = reply.send(answer) {
                self.take(Request::unheard(change));
            }
        }
        while self.kept.front().is_some_and(|(number, _)| *number <= heard.durable) {
            self.kept.pop_front();
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
        assert!(!ledger.has_unanswered());
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
        assert!(ledger.has_unanswered(), "it is to be said at once");
        assert_eq!(ledger.to_say().changes, [(3, Change::Leave("b".into(), 3))]);
        ledger.hear(answers(3..=3, 0));
        assert!(!ledger.has_unanswered());
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

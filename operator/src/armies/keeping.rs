//! Whether what an army has measured survives the operator. Pure.

use super::written::Written;
use super::{Army, Pod};
use botarmy_protocol::Stage;

/// For how long writing fails before it is told, in milliseconds: one failure means little.
const TOLD_AFTER_MS: u64 = 10_000;
/// For how long a run whose bots have ended waits to be written, in milliseconds: where asking again changes nothing, and
/// whatever is in the way.
const GIVEN_UP_AFTER_MS: u64 = 120_000;
const GIVEN_UP_LATE_AFTER_MS: u64 = 600_000;
/// For how long an abort waits to be written before it is told all the same, in milliseconds. An operator that is cut off
/// from the API server leads no longer by then.
const ABORT_WAITS_MS: u64 = 10_000;

/// Why an army cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkept {
    /// Somebody has deleted what it is written to.
    Missing,
    /// It may pass: the API server does not answer, or something else is wrong with it or on the way to it, such as a
    /// webhook.
    Elsewhere,
    /// The API server does not take it.
    Refused,
    /// It is too large, or what was written is broken.
    ByItself,
}

/// Writes that fail, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    since_ms: u64,
    /// The same, but not before this operator could write at all.
    lasting_since_ms: u64,
    /// Since when asking again changes nothing.
    hopeless_since_ms: Option<u64>,
    why: String,
    kind: Unkept,
}

/// When an army has come so far that something has to be written, in milliseconds since 1970, as far as this operator
/// has seen it.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// A threshold has ended it.
    pub(super) aborted: Option<u64>,
    /// A runner was told to end with the run.
    pub(super) told_to_end: Option<u64>,
    /// A loss was dealt out, the last one.
    pub(super) dealt: Option<u64>,
}

impl Army {
    /// Takes note of a write that has failed.
    pub fn cannot_be_kept(&mut self, why: &str, kind: Unkept, now_ms: u64) {
        let last = self.unkept.as_ref();
        let since_ms = last.map_or(now_ms, |failing| failing.since_ms);
        let lasting_since_ms = last.map_or(now_ms, |failing| failing.lasting_since_ms);
        let hopeless_since_ms = match kind {
            Unkept::Elsewhere => None,
            _ => Some(last.and_then(|failing| failing.hopeless_since_ms).unwrap_or(now_ms)),
        };
        self.unkept =
            Some(Failing { since_ms, lasting_since_ms, hopeless_since_ms, why: why.to_owned(), kind });
    }

    /// Takes note that this operator cannot write now, whatever becomes of it: it is not known to lead, because the API
    /// server is away, say. That time is not one in which writes have failed.
    pub fn is_cut_off(&mut self, now_ms: u64) {
        let Some(failing) = &mut self.unkept else { return };
        failing.lasting_since_ms = now_ms;
        failing.hopeless_since_ms = failing.hopeless_since_ms.map(|_| now_ms);
    }

    /// Whether its runners are told to end. An abort is written down first, so that the next operator knows of it. Where
    /// that takes too long it is told all the same: it is there to spare the target, and a successor finds it again in
    /// what the runners resend, unless one of them is lost by then or the threshold holds over all that they have measured
    /// meanwhile.
    pub(super) fn tells_end(&self, now_ms: u64) -> bool {
        let has_waited = |since: u64| now_ms >= since.saturating_add(ABORT_WAITS_MS);
        let may_be_told = || self.written.aborted || self.moments.aborted.is_none_or(has_waited);
        self.stop || (self.state.aborted && may_be_told())
    }

    /// Whether the object that it is written to has to be made anew.
    pub fn lacks_its_object(&self) -> bool {
        self.unkept.as_ref().is_some_and(|failing| failing.kind == Unkept::Missing)
    }

    /// Why it cannot be written, once that is worth a word.
    pub fn unsafe_because(&self, now_ms: u64) -> Option<&str> {
        let failing = self.unkept.as_ref()?;
        (now_ms >= failing.since_ms.saturating_add(TOLD_AFTER_MS)).then_some(&*failing.why)
    }

    /// Why its runners wait in vain for what they have handed over to be safe. What may pass is waited for for longer, but
    /// not for ever: their pods keep what they have asked the cluster for.
    pub fn cannot_end_because(&self, now_ms: u64) -> Option<&str> {
        let failing = self.unkept.as_ref()?;
        let waits_since = self.waits_since_ms(now_ms)?;
        let lasts = |since: u64, patience: u64| now_ms >= since.max(waits_since).saturating_add(patience);
        let is_hopeless = failing.hopeless_since_ms.is_some_and(|since| lasts(since, GIVEN_UP_AFTER_MS));
        (is_hopeless || lasts(failing.lasting_since_ms, GIVEN_UP_LATE_AFTER_MS)).then_some(&*failing.why)
    }

    /// Since when its runners have nothing left to do but to wait for what is to be written, in milliseconds since 1970.
    /// The load of a run that has lost one may never be over: those that are left wait when the run is to end, or for a
    /// loss of which they may not be told yet.
    fn waits_since_ms(&self, now_ms: u64) -> Option<u64> {
        if self.written.teardown && self.is_tearing_down() {
            return None;
        }
        let is_untold = self.written.losses < self.state.losses.len();
        let dealt_ms = self.moments.dealt.filter(|_| is_untold);
        let ends = || self.moments.told_to_end.max(dealt_ms);
        self.state.ended_at_ms.or_else(|| Some(ends()?.max(self.all_finished_ms(now_ms)?)))
    }

    /// When the last one of those that are heard has said that it has finished; none if one has not, or nobody is heard.
    fn all_finished_ms(&self, now_ms: u64) -> Option<u64> {
        let heard = self.state.pods.values().filter(|p| !p.replaced && self.is_fresh(p, now_ms));
        heard.map(|p| p.finished_ms).collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Whether something waits to be written that a runner waits for.
    pub fn is_urgent(&self) -> bool {
        self.has_urgent_decisions() || self.state.pods.values().any(|p| self.waits_to_be_written(p))
    }

    /// The same after one pod has checked in: those that others wait for were told before.
    pub fn has_become_urgent(&self, pod_uid: &str) -> bool {
        let waits = |pod: &Pod| self.waits_to_be_written(pod);
        self.has_urgent_decisions() || self.state.pods.get(pod_uid).is_some_and(waits)
    }

    /// A pod waits for its last measures to be safe; or it waits for the start that has come after it was told, having
    /// taken another's place, and is not known yet.
    fn waits_to_be_written(&self, pod: &Pod) -> bool {
        (pod.stage == Stage::Finished && pod.durable < pod.applied)
            || (pod.stage == Stage::Ready && !pod.written && self.start_told().is_some())
    }

    fn has_urgent_decisions(&self) -> bool {
        let decided = Written::of(&self.state);
        decided.setup != self.written.setup
            || decided.teardown != self.written.teardown
            || decided.aborted != self.written.aborted
            || decided.losses != self.written.losses
            // Whoever leads next must not take back what runners were told.
            || (decided.rate, decided.pause) != (self.written.rate, self.written.pause)
            || (self.may_give_more() && decided.ended)
            || self.start.waits_to_be_written(&self.state)
            || self.shared.is_urgent()
    }

    /// Its Job was made: from now on its plan must not be forgotten.
    pub fn is_scheduled(&mut self) {
        self.scheduled = true;
    }

    /// Whether its plan is to be written down.
    pub fn is_to_be_known(&self) -> bool {
        self.scheduled && !self.written.plan
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army, army_with, measured, performed, said, said_by, write};
    use super::*;
    use botarmy_spec::Part;
    use serde_json::json;

    #[test]
    fn writes_that_fail_are_told_in_time_and_not_waited_for_for_ever() {
        let mut army = army(1);
        assert!(!army.is_to_be_known());
        army.is_scheduled();
        assert!(army.is_to_be_known());
        army.cannot_be_kept("no answer", Unkept::Elsewhere, 1_000);
        army.cannot_be_kept("too large", Unkept::ByItself, 9_000);
        assert_eq!((army.unsafe_because(10_999), army.unsafe_because(11_000)), (None, Some("too large")));
        assert_eq!(army.cannot_end_because(200_000), None, "its bots are at work");
        army.state.ended_at_ms = Some(100_000);
        assert_eq!(army.cannot_end_because(219_999), None, "so long after the end");
        assert_eq!(army.cannot_end_because(220_000), Some("too large"));
        army.cannot_be_kept("no answer", Unkept::Elsewhere, 230_000);
        assert_eq!(army.cannot_end_because(600_000), None, "it may answer yet");
        for (kind, at) in [(Unkept::Refused, 500_000), (Unkept::Missing, 530_000)] {
            army.cannot_be_kept("forbidden", kind, at);
            assert_eq!(army.lacks_its_object(), kind == Unkept::Missing);
        }
        assert_eq!(army.cannot_end_because(619_999), None, "it is so for less than two minutes");
        assert_eq!(army.cannot_end_because(620_000), Some("forbidden"));
        let checkpoint = army.checkpoint();
        army.written(&checkpoint);
        assert!(!army.is_to_be_known());
    }

    #[test]
    fn what_may_pass_is_waited_for_for_longer_and_not_for_ever() {
        const REFUSED: Unkept = Unkept::Refused;
        const ELSEWHERE: Unkept = Unkept::Elsewhere;
        let fails = |army: &mut Army, kinds: [Unkept; 2]| {
            for at in (0..900_000).step_by(10_000) {
                army.cannot_be_kept("no", kinds[usize::from(at % 20_000 == 0)], at);
            }
        };
        for (kinds, ended, cut_off, given_up) in [
            ([REFUSED, REFUSED], 50_000, None, 170_000),
            ([ELSEWHERE, ELSEWHERE], 50_000, None, 650_000),
            ([ELSEWHERE, REFUSED], 50_000, None, 650_000),
            ([ELSEWHERE, ELSEWHERE], 890_000, None, 1_490_000),
            ([ELSEWHERE, ELSEWHERE], 50_000, Some(895_000), 1_495_000),
            ([REFUSED, REFUSED], 50_000, Some(895_000), 1_015_000),
        ] {
            let mut army = army(1);
            fails(&mut army, kinds);
            army.state.ended_at_ms = Some(ended);
            if let Some(at) = cut_off {
                army.is_cut_off(at);
            }
            let found = [given_up - 1, given_up].map(|at| army.cannot_end_because(at).is_some());
            assert_eq!(found, [false, true], "{kinds:?}, ended at {ended}, cut off at {cut_off:?}");
        }
    }

    /// Two runners at work, one of which is lost, and nothing can be written any more.
    fn lacking_one(policy: &str) -> Army {
        let mut army = army_with(&json!({"lossPolicy": policy}));
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Running, &[1]), 5_000).unwrap();
        }
        army.cannot_be_kept("forbidden", Unkept::Refused, 6_000);
        army
    }

    /// From when on it cannot end any more; what the first runner says, it says each second from this moment on.
    fn cannot_end_from(army: &mut Army, stage: Stage, from_ms: u64) -> Option<u64> {
        (from_ms..from_ms + 1_000_000).step_by(1_000).find(|at| {
            army.check_in(&said(0, stage, &[1]), *at).unwrap();
            army.look(*at);
            army.cannot_end_because(*at).is_some()
        })
    }

    #[test]
    fn a_run_whose_load_is_never_over_does_not_wait_to_be_written_for_ever() {
        for (what, stage, change, expected) in [
            ("its bots are at work", Stage::Running, None, None),
            ("one of two has finished", Stage::Finished, None, None),
            ("they are told to end", Stage::Finished, Some("stop"), Some(220_000)),
            ("they are told to end, and have not", Stage::Running, Some("stop"), None),
            ("nobody has come", Stage::Finished, Some("want"), Some(220_000)),
        ] {
            let mut army = lacking_one("Replace");
            match change {
                Some("stop") => army.stop = true,
                Some("want") => army.give_up_for_want_of(1),
                _ => {}
            }
            assert_eq!(cannot_end_from(&mut army, stage, 100_000), expected, "{what}");
            assert_eq!(army.state.ended_at_ms, None, "{what}");
        }
    }

    #[test]
    fn a_loss_that_cannot_be_told_is_not_waited_for_for_ever() {
        let mut army = lacking_one("Redistribute");
        for at in (6_000..=50_000).step_by(1_000) {
            army.check_in(&said(0, Stage::Finished, &[1]), at).unwrap();
            army.look(at);
        }
        army.go_on_without(&[1].into(), 50_000);
        assert_eq!((army.losses(), army.state.ended_at_ms), (1, None));
        assert_eq!(
            cannot_end_from(&mut army, Stage::Finished, 51_000),
            Some(170_000),
            "since it was dealt out"
        );
        // As soon as it can be told there is more to do.
        write(&mut army);
        army.unkept = None;
        army.cannot_be_kept("forbidden", Unkept::Refused, 200_000);
        assert_eq!(cannot_end_from(&mut army, Stage::Finished, 200_000), None);
    }

    #[test]
    fn a_teardown_that_is_being_performed_is_not_cut_short() {
        let mut army =
            army_with(&json!({"runners": {"count": 1}, "teardown": {"tree": "T", "timeout": "1h"}}));
        army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
        write(&mut army);
        army.check_in(&said(0, Stage::Finished, &[1]), 5_000).unwrap();
        army.cannot_be_kept("forbidden", Unkept::Refused, 5_000);
        assert!(army.cannot_end_because(125_000).is_some(), "nobody was told to perform it");
        write(&mut army);
        assert_eq!(army.cannot_end_because(125_000), None);
        let done = performed(0, Stage::Finished, Part::Teardown, None);
        army.check_in(&done, 126_000).unwrap();
        assert!(army.cannot_end_because(126_000).is_some());
    }

    #[test]
    fn only_an_abort_waits_to_be_written_before_it_is_told_and_not_for_ever() {
        let threshold = json!({"expect": "count < 1", "abortOnFail": true});
        let begin = || {
            let mut army = army_with(&json!({"runners": {"count": 1}, "thresholds": [threshold]}));
            army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
            write(&mut army);
            army.check_in(&said_by("pod-0", 0, Stage::Running, vec![measured(1)]), 10_000).unwrap();
            assert!(army.state.aborted);
            army
        };
        let stops = |army: &mut Army, at| army.check_in(&said(0, Stage::Running, &[]), at).unwrap().stop;
        let mut army = begin();
        assert_eq!([10_100, 19_999, 20_000].map(|at| stops(&mut army, at)), [false, false, true]);
        let mut army = begin();
        write(&mut army);
        assert!(stops(&mut army, 10_100), "it is written");
        let mut army = begin();
        army.stop = true;
        assert!(stops(&mut army, 10_100), "somebody else ends it");
        let checkpoint = write(&mut begin());
        let mut after = Army::restore("ns", "r", army.run.clone(), checkpoint, 2, 10_100);
        assert!(stops(&mut after, 10_200));
    }

    #[test]
    fn what_runners_were_told_of_rates_and_pauses_is_written_at_once() {
        let mut army =
            army_with(&json!({"bots": null, "runners": {"count": 1}, "arrivalRate": "10/s", "maxBots": 5}));
        army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
        write(&mut army);
        let start = army.start_at_ms().unwrap();
        let mut urgent = |what: &str, change: &dyn Fn(&mut Army)| {
            assert!(!army.has_urgent_decisions(), "before {what}");
            change(&mut army);
            assert!(army.has_urgent_decisions(), "{what}");
            let unwritten = army.checkpoint();
            write(&mut army);
            assert!(!army.has_urgent_decisions(), "after {what}");
            unwritten
        };
        urgent("a rate", &|army| army.set_rate(20.0, start + 1_000));
        urgent("another one of the same moment", &|army| army.set_rate(30.0, start + 1_000));
        urgent("standing still", &|army| army.suspend(true, false, start + 2_000));
        let written = urgent("going on", &|army| army.suspend(false, false, start + 4_000));
        assert!(written.rates.len() == 1 && written.pauses.len() == 1, "{written:?}");
    }
}

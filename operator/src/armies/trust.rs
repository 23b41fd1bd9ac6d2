//! Whom the runners of an army trust: the authority that signs is exchanged only when all know the next one. Pure.

use super::{Army, Pod};
use botarmy_protocol::Stage;

impl Army {
    /// New pods of the run find these certificates.
    pub fn handed(&mut self, name: &str) {
        self.handed = Some(name.to_owned());
    }

    /// Whether new pods of the run find these certificates.
    pub fn has_been_handed(&self, name: &str) -> bool {
        self.handed.as_deref() == Some(name)
    }

    /// Whether a runner may come, or come back, that does not trust these certificates.
    pub fn lacks_trust(&self, name: &str, now_ms: u64) -> bool {
        if self.is_over() {
            return false;
        }
        // One that waits for others has no pods; it gets what is in force when it has.
        let has_job = self.handed.is_some() || !self.state.pods.is_empty();
        let heard = self.indices_of(|_| true).union(&self.gone).count();
        let all_are_known = self.has_been_handed(name) && heard == self.runners();
        let lacks = |pod: &Pod| pod.trusts.as_deref() != Some(name) && self.may_come_back(pod, now_ms);
        has_job && (!all_are_known || self.state.pods.values().any(lacks))
    }

    fn may_come_back(&self, pod: &Pod, now_ms: u64) -> bool {
        let has_gone = pod.replaced
            || (pod.stage == Stage::Finished && pod.durable == pod.applied && !self.wants_teardown());
        !has_gone && !self.has_stopped_since(self.heard_last_ms(pod), now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army, army_with, performed, said, write};
    use super::*;
    use botarmy_protocol::CheckIn;
    use botarmy_spec::Part;

    /// A runner that trusts what this name stands for.
    fn trusting(index: u32, stage: Stage, name: &str) -> CheckIn {
        CheckIn { trusts: Some(name.to_owned()), ..said(index, stage, &[]) }
    }

    #[test]
    fn all_runners_have_to_say_that_they_trust_the_next_one() {
        let mut army = army(2);
        assert!(!army.lacks_trust("ab", 0), "without pods nobody lacks it");
        army.handed("a");
        assert!(army.lacks_trust("a", 0), "pods are being started");
        army.check_in(&trusting(0, Stage::Running, "a"), 1_000).unwrap();
        assert!(army.lacks_trust("a", 1_000), "one is not there yet");
        army.check_in(&said(1, Stage::Running, &[]), 1_000).unwrap();
        assert!(army.lacks_trust("a", 1_000), "one does not say whom it trusts");
        army.check_in(&trusting(1, Stage::Running, "a"), 1_000).unwrap();
        assert!(!army.lacks_trust("a", 1_000));

        assert!(army.lacks_trust("ab", 1_000));
        army.handed("ab");
        army.check_in(&trusting(0, Stage::Running, "ab"), 2_000).unwrap();
        assert!(army.lacks_trust("ab", 2_000), "one trusts but the old one");
        assert!(army.lacks_trust("ab", 151_000), "it may have been cut off, and come back");
        assert!(!army.lacks_trust("ab", 151_001), "it has stopped by itself");
        army.check_in(&trusting(1, Stage::Running, &"a".repeat(MANY)), 152_000).unwrap();
        assert_eq!(army.state.pods["pod-1"].trusts, None, "what is no name is not kept");
    }

    const MANY: usize = 1_000;

    #[test]
    fn who_has_finished_is_not_waited_for_and_who_was_taken_over_is() {
        let mut army = army(2);
        army.handed("a");
        army.check_in(&trusting(0, Stage::Running, "a"), 1_000).unwrap();
        army.check_in(&said(1, Stage::Finished, &[]), 1_000).unwrap();
        assert!(!army.lacks_trust("a", 1_000), "it has handed over all that it had");
        army.check_in(&said(1, Stage::Finished, &[1]), 1_000).unwrap();
        assert!(army.lacks_trust("a", 1_000), "its measures are not safe yet");

        let (run, state) = (army.run.clone(), army.checkpoint());
        let mut after = Army::restore("ns", "r", run, state, 2, 1_000_000);
        assert!(after.lacks_trust("a", 1_000_000), "new pods may find the old one");
        after.handed("a");
        assert!(after.lacks_trust("a", 1_000_000), "nobody was heard here yet");
        after.check_in(&trusting(0, Stage::Running, "a"), 1_000_000).unwrap();
        assert!(!after.lacks_trust("a", 1_000_000));
    }

    #[test]
    fn who_does_not_come_back_is_not_waited_for_and_who_may_have_to_tear_down_is() {
        let mut army = army(2);
        army.handed("a");
        army.check_in(&trusting(0, Stage::Running, "a"), 1_000).unwrap();
        army.go_on_without(&[1].into(), 1_000);
        assert!(!army.lacks_trust("a", 1_000), "it has never come, and never will");
        army.handed("b");
        let other = CheckIn { pod_uid: "other".into(), ..trusting(0, Stage::Running, "b") };
        army.check_in(&other, 2_000).unwrap();
        assert!(!army.lacks_trust("b", 2_000), "another one has taken its place");

        let mut army = army_with(&serde_json::json!({"teardown": {"tree": "T"}, "runners": {"count": 1}}));
        army.handed("a");
        army.check_in(&trusting(0, Stage::Ready, "a"), 1_000).unwrap();
        army.check_in(&trusting(0, Stage::Finished, "a"), 2_000).unwrap();
        write(&mut army);
        army.handed("b");
        assert!(army.lacks_trust("b", 2_000), "it cleans up, or waits until that is done");
        let performed = performed(0, Stage::Finished, Part::Teardown, None);
        army.check_in(&performed, 3_000).unwrap();
        write(&mut army);
        assert!(army.is_over() && !army.lacks_trust("c", 3_000));
    }
}

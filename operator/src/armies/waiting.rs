//! Since when a run waits for its runners: what they could not have known, or were not free to do, is not held against
//! them. Pure.

use super::{Army, Suspension};

/// Since when its runners could have begun.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// When the run was let in, in milliseconds since 1970; none while others, or its own spec, keep it.
    let_in_ms: Option<u64>,
    /// When the last of what has to come before the start was over, in milliseconds since 1970.
    free_ms: u64,
}

impl Army {
    /// It may have pods: nothing keeps it waiting any more.
    pub fn let_in(&mut self, now_ms: u64) {
        self.admitted = true;
        self.waiting.let_in_ms.get_or_insert(now_ms);
    }

    /// It has no Job, and is to get none now: the time that this takes is not that of its runners.
    pub fn is_kept_out(&mut self) {
        self.waiting.let_in_ms = None;
    }

    /// When it was let in, in milliseconds since 1970, if that was by this operator.
    pub fn let_in_ms(&self) -> Option<u64> {
        self.waiting.let_in_ms
    }

    /// Before this moment nobody could have begun, in milliseconds since 1970: this operator could not hear them, or
    /// something else had to come first.
    pub fn waits_from_ms(&self) -> u64 {
        self.since_ms.max(self.waiting.free_ms)
    }

    /// What had to come before the start is over.
    pub(super) fn is_free_to_begin(&mut self, now_ms: u64) {
        self.waiting.free_ms = now_ms;
    }

    /// Whether its runners cannot begin whatever they do: setup goes on, its spec lets it stand still, or all of them are
    /// there and the start is being written down, or who performs setup. That comes to its end: it can be written, or it
    /// is told that it cannot.
    pub fn has_to_wait(&self, now_ms: u64) -> bool {
        let is_to_be_written = self.start.waits_to_be_written(&self.state) || self.waits_to_tell_setup();
        let is_written_soon = is_to_be_written && self.unsafe_because(now_ms).is_none();
        let goes_on = self.is_setting_up() && !self.waits_to_tell_setup();
        goes_on || self.suspension == Suspension::Spec || is_written_soon
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army, army_with, said, write};
    use super::*;
    use botarmy_protocol::{CheckIn, Performed, Stage};
    use botarmy_spec::Part;
    use serde_json::json;

    #[test]
    fn a_run_waits_from_when_it_was_let_in_last() {
        let mut army = army(1);
        assert_eq!((army.let_in_ms(), army.admitted), (None, false));
        army.let_in(5_000);
        army.let_in(6_000);
        assert_eq!((army.let_in_ms(), army.admitted), (Some(5_000), true), "it is let in once");
        army.is_kept_out();
        assert_eq!((army.let_in_ms(), army.admitted), (None, true), "its place is kept");
        army.let_in(90_000);
        assert_eq!(army.let_in_ms(), Some(90_000));
    }

    #[test]
    fn nobody_waits_before_he_could_be_heard_or_was_free_to_begin() {
        let mut army = army_with(&json!({"setup": {"tree": "T"}}));
        assert_eq!((army.waits_from_ms(), army.has_to_wait(1)), (1, false));
        for index in [0, 1, 0] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        assert!(army.has_to_wait(500_000), "setup goes on");
        let performed = Performed { part: Part::Setup, failure: None, context: serde_json::Map::new() };
        let done = CheckIn { performed: Some(performed), ..said(0, Stage::Ready, &[]) };
        army.check_in(&done, 500_000).unwrap();
        assert_eq!(army.waits_from_ms(), 500_000);
        army.check_in(&said(1, Stage::Ready, &[]), 500_100).unwrap();
        assert_eq!((army.state.start_at_ms.is_some(), army.start_at_ms()), (true, None));
        assert!(army.has_to_wait(500_200), "the start is being written down");
        army.cannot_be_kept("forbidden", super::super::Unkept::Refused, 500_200);
        assert!(army.has_to_wait(510_199));
        assert!(!army.has_to_wait(510_200), "it cannot be written down, and that is told");
        // However seldom it is looked at.
        army.look(900_000);
        assert_eq!(army.waits_from_ms(), 500_000);
        write(&mut army);
        assert!(army.start_at_ms().is_some() && !army.has_to_wait(900_000));
    }

    #[test]
    fn the_time_in_which_the_spec_lets_it_stand_still_is_not_that_of_its_runners() {
        let mut army = army(1);
        army.suspend(true, false, 2_000);
        assert!(army.has_to_wait(3_000));
        army.suspend(false, false, 400_000);
        assert_eq!((army.has_to_wait(400_000), army.waits_from_ms()), (false, 400_000));
        // Who comes back after its Job was suspended is waited for by the Job's own clock.
        army.suspend(false, true, 500_000);
        army.suspend(false, false, 600_000);
        assert_eq!((army.suspension(), army.has_to_wait(600_000)), (Suspension::PodsComing, false));
        assert_eq!(army.waits_from_ms(), 400_000);
    }
}

//! A run that stands still: because its spec says so, or because somebody has suspended its Job. Pure.
//!
//! With the spec the pods stay, and the bots with them. With the Job the pods go: they hand over what they have
//! measured, and what is left is done by those that come when the Job is resumed.

use super::{ARRIVALS_NOTICE_MS, Army, Pod};
use botarmy_protocol::Stage;

/// How long before it is due a change is told, in milliseconds: all runners hear of it by then.
const NOTICE_MS: u64 = 1_000;
/// How long before the suspension of its Job was seen a pod may have been told to end by it, in milliseconds.
const SEEN_LATE_MS: u64 = 20_000;
/// Most suspensions of a run; later ones have no effect, and that is told.
pub const MAX_PAUSES: usize = 1_000;

/// Whether a run is to stand still, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Suspension {
    /// It goes on.
    #[default]
    No,
    /// Its spec says so.
    Spec,
    /// Its Job is suspended.
    Job,
    /// Its Job was suspended, and not all pods are back yet.
    PodsComing,
}

impl Suspension {
    /// Whether pods are told to end by it.
    pub(super) fn takes_pods(self) -> bool {
        matches!(self, Self::Job)
    }
}

impl Army {
    /// Lets the run stand still or go on.
    pub fn suspend(&mut self, by_spec: bool, by_job: bool, now_ms: u64) {
        let before = self.suspension;
        self.suspension = match before {
            _ if by_job => Suspension::Job,
            Suspension::Job | Suspension::PodsComing if !self.all_are_back(now_ms) => Suspension::PodsComing,
            _ if by_spec => Suspension::Spec,
            _ => Suspension::No,
        };
        match (before, self.suspension) {
            (Suspension::Job, Suspension::Job) => {}
            (_, Suspension::Job) => self.excuse(now_ms),
            (Suspension::Job, _) => self.wanted_ms = now_ms,
            (Suspension::Spec, Suspension::No) => self.is_free_to_begin(now_ms),
            _ => {}
        }
        self.write_pause(now_ms);
    }

    /// Whether it stands still, or is about to.
    pub fn is_suspended(&self) -> bool {
        self.suspension != Suspension::No
    }

    /// Why it stands still.
    pub fn suspension(&self) -> Suspension {
        self.suspension
    }

    /// Whether its load goes on though it is to stand still, since it has done so too often.
    pub fn cannot_stand_still(&self) -> bool {
        let is_at_work = self.state.start_at_ms.is_some() && self.state.ended_at_ms.is_none();
        let is_told = self.state.pauses.last().is_some_and(|(_, until)| until.is_none());
        self.is_suspended() && is_at_work && !is_told && self.state.pauses.len() >= MAX_PAUSES
    }

    fn write_pause(&mut self, now_ms: u64) {
        let Some(start) = self.state.start_at_ms.filter(|_| self.state.ended_at_ms.is_none()) else { return };
        let due = (now_ms + NOTICE_MS).saturating_sub(start);
        let has_room = self.state.pauses.len() < MAX_PAUSES;
        let open = self.state.pauses.last_mut().filter(|(_, until)| until.is_none());
        match (self.suspension, open) {
            (Suspension::No, Some((from, until))) => *until = Some(due.max(*from)),
            (Suspension::No, None) => {}
            (_, None) if has_room => self.state.pauses.push((due, None)),
            _ => {}
        }
    }

    /// How long the load goes on after so much time since the start, in milliseconds.
    pub(super) fn load_ms(&self, since_start_ms: u64) -> u64 {
        let still = |(from, until): &(u64, Option<u64>)| {
            until.unwrap_or(since_start_ms).min(since_start_ms).saturating_sub(*from)
        };
        since_start_ms.saturating_sub(self.state.pauses.iter().map(still).sum())
    }

    /// When a change of the arrivals that is told now is due, in milliseconds: arrivals know no time but that of the load.
    pub(super) fn due_ms(&self, start_ms: u64, now_ms: u64) -> u64 {
        self.load_ms((now_ms + ARRIVALS_NOTICE_MS).saturating_sub(start_ms))
    }

    /// Pods that were told to end before the suspension was seen have not been lost.
    fn excuse(&mut self, now_ms: u64) {
        let lately = |pod: &Pod| pod.heard_ms.saturating_add(SEEN_LATE_MS) >= now_ms;
        for pod in self.state.pods.values_mut().filter(|pod| pod.left && !pod.replaced && lately(pod)) {
            pod.excused = true;
        }
    }

    /// Whether each runner is heard again whose part is not done.
    fn all_are_back(&self, now_ms: u64) -> bool {
        let is_back =
            |p: &Pod| p.is_done() || (p.stage >= Stage::Ready && !p.left && self.is_fresh(p, now_ms));
        self.indices_of(is_back).union(&self.gone).count() == self.runners()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army, said, write};
    use super::*;
    use botarmy_protocol::CheckIn;

    #[test]
    fn a_run_that_has_stood_still_too_often_goes_on_and_it_is_known() {
        let mut army = army(1);
        army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
        write(&mut army);
        let mut now = army.start_at_ms().unwrap();
        for _ in 0..MAX_PAUSES {
            army.suspend(true, false, now + 2_000);
            assert!(army.is_suspended() && !army.cannot_stand_still());
            army.suspend(false, false, now + 4_000);
            assert!(!army.cannot_stand_still());
            now += 4_000;
        }
        let before = army.load_time_ms(now + 10_000);
        army.suspend(true, false, now + 2_000);
        assert!(army.is_suspended() && army.cannot_stand_still());
        assert_eq!(army.load_time_ms(now + 10_000), before, "its time goes on");
        army.suspend(false, false, now + 20_000);
        assert!(!army.cannot_stand_still());
    }

    #[test]
    fn a_pause_takes_time_from_when_it_is_due() {
        for (what, resumed, ends, loaded) in [
            ("before it was due", 5_100, 6_100, 6_000),
            ("by a clock that was put back", 4_000, 6_000, 6_050),
        ] {
            let mut army = army(1);
            army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
            write(&mut army);
            let start = army.start_at_ms().unwrap();
            army.suspend(true, false, start + 5_000);
            army.suspend(false, false, start + resumed);
            assert_eq!(army.state.pauses, [(6_000, Some(ends))], "{what}");
            assert_eq!(army.load_time_ms(start + 6_050), loaded, "{what}");
        }
    }

    #[test]
    fn a_run_that_stands_still_does_not_begin_nor_one_whose_runner_leaves() {
        let mut army = army(1);
        let has_start = |army: &mut Army, left| {
            army.check_in(&CheckIn { left, ..said(0, Stage::Ready, &[]) }, 2_000).unwrap();
            army.state.start_at_ms.is_some()
        };
        army.suspend(true, false, 1_000);
        assert!(!has_start(&mut army, false));
        army.suspend(false, false, 2_000);
        assert!(has_start(&mut army, false));
        let mut army = super::super::tests::army(1);
        assert!(!has_start(&mut army, true));
    }

    #[test]
    fn a_run_goes_on_when_all_are_back_that_can_come_back() {
        let mut army = army(2);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        army.go_on_without(&[1].into(), 3_000);
        army.suspend(false, true, 4_000);
        let comes = |army: &mut Army, pod: &str, left| {
            let said = CheckIn { pod_uid: pod.to_owned(), left, ..said(0, Stage::Running, &[]) };
            army.check_in(&said, 20_000).unwrap();
            army.suspend(false, false, 20_000);
            army.suspension()
        };
        assert_eq!(comes(&mut army, "pod-0", true), Suspension::PodsComing, "it is about to leave");
        assert_eq!(comes(&mut army, "other", false), Suspension::No);
    }
}

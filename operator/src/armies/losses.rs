//! Runners that are lost: their pods ended before their part of the run did. What is known of them is kept, what is
//! not is named, and whoever takes their place goes on with what is left. Pure.

use super::{Army, Pod};
use botarmy_protocol::{CheckIn, Resume, Stage};
use botarmy_report::{Delta, Gap};

/// A runner that was not heard for so long may be gone, in milliseconds: it checks in each second.
const SILENCE_MS: u64 = 10_000;
/// Most gaps that are kept; of what is lost beyond them only the number is.
const MAX_GAPS: usize = 1_000;

const LEFT: &str = "its pod was told to end";
const SILENT: &str = "its pod was lost";

impl Pod {
    /// Counts what may not be done again by whoever takes its place.
    pub(super) fn count(&mut self, delta: &Delta) {
        for slice in delta.slices.iter().filter(|slice| !slice.apart) {
            self.measured_until = self.measured_until.max(slice.second.saturating_add(1));
            for (scenario, passes) in slice.totals.passes() {
                let sum = self.passes.entry(scenario).or_default();
                *sum = sum.saturating_add(passes);
            }
        }
    }

    /// Whether it was heard lately.
    pub(super) fn is_fresh(&self, now_ms: u64) -> bool {
        self.heard_ms.saturating_add(SILENCE_MS) >= now_ms
    }

    /// Whether its part is done: all of its measures were handed over, and nobody takes its place.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Finished && !self.left
    }

    /// Whether it had bots that did not come to their end.
    fn was_at_work(&self) -> bool {
        self.stage >= Stage::Running && !self.is_done()
    }

    fn gap(&self, pod_uid: &str, until: u64) -> Gap {
        Gap {
            index: self.index,
            pod_uid: pod_uid.to_owned(),
            from: self.measured_until,
            until: until.max(self.measured_until),
            bots: self.bots,
            reason: if self.left { LEFT } else { SILENT }.to_owned(),
        }
    }
}

impl Army {
    /// Takes note of the pods whose place this one has taken: one that had not begun is forgotten, and what is not
    /// known of one that had becomes a gap when the bots are at work again.
    pub(super) fn replace_lost(&mut self, said: &CheckIn, now_ms: u64) {
        let others = |uid: &str, pod: &Pod| uid != said.pod_uid && pod.index == said.index;
        if !self.state.pods.contains_key(&said.pod_uid) {
            self.state.pods.retain(|uid, pod| !others(uid, pod) || pod.stage >= Stage::Running);
        }
        if said.stage < Stage::Running {
            return;
        }
        let until = self.second(now_ms);
        let lost =
            self.state.pods.iter_mut().filter(|(uid, p)| others(uid, p) && !p.replaced && p.was_at_work());
        for (uid, pod) in lost {
            if self.state.gaps.len() < MAX_GAPS {
                self.state.gaps.push(pod.gap(uid, until));
            }
            (pod.replaced, pod.alive) = (true, 0);
        }
    }

    /// What the part of an index has come to in the hands of those that were lost; none if nobody was.
    pub(super) fn resume(&self, index: u32) -> Option<Resume> {
        let mut lost = self.state.pods.values().filter(|p| p.index == index && p.was_at_work()).peekable();
        lost.peek()?;
        let mut resume = Resume::default();
        for (scenario, passes) in lost.flat_map(|pod| &pod.passes) {
            let sum = resume.iterations.entry(scenario.clone()).or_default();
            *sum = sum.saturating_add(*passes);
        }
        Some(resume)
    }

    /// Runners that were lost while their bots were at work.
    pub fn lost(&self) -> u32 {
        let lost = self.state.pods.values().filter(|p| p.replaced || (p.was_at_work() && !self.is_heard(p)));
        u32::try_from(lost.count()).unwrap_or(u32::MAX)
    }

    /// Runners whose place another one has taken.
    pub fn replaced(&self) -> u32 {
        let replaced = self.state.pods.values().filter(|p| p.replaced);
        u32::try_from(replaced.count()).unwrap_or(u32::MAX)
    }

    /// What is not known: of those whose place was taken, and of those whose place nobody will take any more.
    pub(super) fn gaps(&self, end_ms: u64) -> Vec<Gap> {
        let until = self.second(end_ms);
        let open = self
            .state
            .pods
            .iter()
            .filter(|(_, p)| p.was_at_work() && !p.replaced && self.given_up && !self.is_heard(p));
        self.state.gaps.iter().cloned().chain(open.map(|(uid, pod)| pod.gap(uid, until))).collect()
    }

    fn is_heard(&self, pod: &Pod) -> bool {
        !pod.left && pod.is_fresh(self.heard_ms)
    }

    /// The second of the run, rounded up: a gap is rather too long than too short.
    fn second(&self, now_ms: u64) -> u64 {
        self.state.start_at_ms.map_or(0, |start| now_ms.saturating_sub(start).div_ceil(1000))
    }
}

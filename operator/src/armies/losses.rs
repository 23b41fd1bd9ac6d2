//! Runners that are lost: their pods ended before their part of the run did. What is known of them is kept, what is
//! not is named, and whoever takes their place goes on with what is left. Pure.

use super::bounds::MAX_SCENARIOS;
use super::{Army, Pod, redistribution};
use crate::clock::millis;
use crate::election::IN_DOUBT;
use botarmy_protocol::{CheckIn, Resume, Stage};
use botarmy_report::{Delta, Gap};
use botarmy_spec::LossPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A runner that was not heard for so long is silent, in milliseconds: it checks in each second.
const SILENCE_MS: u64 = 10_000;
/// For how long after a loss the cluster is asked why, in milliseconds.
const EXPLAIN_MS: u64 = 60_000;
/// Between the moment at which a runner that is cut off stops by itself and the one from which it is taken to have done
/// so.
const STOPPED_MARGIN: Duration = Duration::from_secs(30);
/// Most gaps that are kept; of what is lost beyond them only the number is.
const MAX_GAPS: usize = 1_000;

const LEFT: &str = "its pod was told to end";
const SILENT: &str = "its pod was lost";

/// How long after it was heard last a runner with this lease has stopped by itself for certain.
pub fn stops_after(lease: Duration) -> Duration {
    lease.saturating_add(STOPPED_MARGIN)
}

impl Pod {
    /// Counts what may not be done again by whoever takes its place.
    pub(super) fn count(&mut self, delta: &Delta) {
        for slice in &delta.slices {
            self.requests = self.requests.saturating_add(slice.totals.requests);
        }
        for slice in delta.slices.iter().filter(|slice| !slice.apart) {
            self.measured_until = self.measured_until.max(slice.second.saturating_add(1));
            for (scenario, passes) in slice.totals.passes() {
                if self.passes.len() >= MAX_SCENARIOS && !self.passes.contains_key(&scenario) {
                    continue;
                }
                let sum = self.passes.entry(scenario).or_default();
                *sum = sum.saturating_add(passes);
            }
        }
    }

    /// Whether its part is done: all of its measures were handed over, and nobody takes its place.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Finished && !self.left && !self.replaced
    }

    /// Whether it was told to end, and all that it has measured is safe.
    fn has_handed_over(&self) -> bool {
        self.left && self.stage == Stage::Finished && self.durable == self.applied
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
            reason: self.reason().to_owned(),
        }
    }

    /// Why it was lost, as far as it is known.
    fn reason(&self) -> &str {
        self.why.as_deref().unwrap_or(if self.left { LEFT } else { SILENT })
    }
}

/// How many of the bots of an army are those of one runner.
fn share(bots: u32, index: u32, runners: u32) -> u32 {
    let runners = runners.max(1);
    bots / runners + u32::from(index < bots % runners)
}

impl Army {
    /// Takes note of the pods whose place this one has taken: one that had not begun is left out, and what is not known
    /// of one that had becomes a gap when the bots are at work again.
    pub(super) fn replace_lost(&mut self, said: &CheckIn, now_ms: u64) {
        // One that was given up, and is heard all the same, has taken nobody's place.
        if self.state.pods.get(&said.pod_uid).is_some_and(|pod| pod.replaced) {
            return;
        }
        let others = self.others(said.index, &said.pod_uid);
        self.take_for_begun(&others, now_ms);
        if !self.state.pods.contains_key(&said.pod_uid) {
            let has_begun =
                |uid: &String| self.state.pods.get(uid).is_some_and(|p| p.stage >= Stage::Running);
            let left_out: Vec<String> = others.iter().filter(|uid| !has_begun(uid)).cloned().collect();
            self.leave_out(said.index, left_out);
        }
        if said.stage >= Stage::Running {
            self.close_gaps(&others, now_ms);
        }
    }

    /// Somebody does the part of these pods from now on: what is not known of them until then is named.
    pub(super) fn close_gaps(&mut self, pods: &[String], now_ms: u64) {
        let until = self.second(now_ms);
        for uid in pods {
            let is_lost = |p: &&mut Pod| !p.replaced && p.was_at_work();
            let Some(pod) = self.state.pods.get_mut(uid).filter(is_lost) else { continue };
            if self.state.gaps.len() < MAX_GAPS && !pod.excused {
                self.state.gaps.push(pod.gap(uid, until));
            }
            (pod.replaced, pod.alive) = (true, 0);
            self.shared.forget(uid);
        }
    }

    /// One whose place was taken is heard all the same: what it has measured until now counts, and what is not known of it
    /// begins there.
    pub(super) fn move_gap(&mut self, pod_uid: &str, pod: &Pod, now_ms: u64) {
        let now = self.second(now_ms);
        for gap in self.state.gaps.iter_mut().filter(|gap| gap.pod_uid == pod_uid) {
            gap.from = gap.from.max(pod.measured_until);
            gap.until = gap.until.max(gap.from).max(now);
        }
    }

    /// A pod that was told when to begin, by this operator or by one before it, may have done so, though it was not heard
    /// any more.
    fn take_for_begun(&mut self, pods: &[String], now_ms: u64) {
        if self.start.may_be_known(&self.state).is_none_or(|start| start > now_ms) {
            return;
        }
        for uid in pods {
            let silent = |p: &&mut Pod| p.stage == Stage::Ready && p.written && !p.replaced;
            let Some(pod) = self.state.pods.get_mut(uid).filter(silent) else { continue };
            (pod.stage, pod.bots) = (Stage::Running, share(self.bots, pod.index, self.run.runners));
            self.start.somebody_began();
        }
    }

    /// What the part of an index has come to in the hands of those that were lost; none if nobody was.
    pub(super) fn resume(&self, index: u32) -> Option<Resume> {
        let mut lost = self.pods_of(index).filter(|p| p.was_at_work()).peekable();
        lost.peek()?;
        Some(redistribution::done(lost))
    }

    /// Runners that were lost while their bots were at work. One that is only silent is not: it may be cut off, and come
    /// back with all that it has measured.
    pub fn lost(&self, now_ms: u64) -> u32 {
        self.count_lost(|p| self.is_lost(p, now_ms))
    }

    /// The same of a run that ends now, whatever becomes of its runners: who is silent is not waited for.
    pub fn finally_lost(&self, now_ms: u64) -> u32 {
        self.count_lost(|p| self.is_lost(p, now_ms) || (p.was_at_work() && !self.is_heard(p, now_ms)))
    }

    fn count_lost(&self, is_lost: impl Fn(&Pod) -> bool) -> u32 {
        let lost = self.state.pods.values().filter(|p| is_lost(p) && !self.is_forgiven(p));
        u32::try_from(lost.count()).unwrap_or(u32::MAX)
    }

    /// Whether it has ended because it was to.
    fn is_forgiven(&self, pod: &Pod) -> bool {
        pod.excused || (self.given_up && self.only_ends(pod))
    }

    /// Whether its part is in its hands no more, for certain.
    fn is_lost(&self, pod: &Pod, now_ms: u64) -> bool {
        let has_ended = pod.left || pod.why.is_some() || self.gone.contains(&pod.index);
        pod.replaced || (pod.was_at_work() && (has_ended || self.has_stopped(pod, now_ms)))
    }

    /// Why the runner was lost that was lost last, of those whose part is in nobody's hands yet.
    pub fn newest_loss(&self, now_ms: u64) -> Option<&str> {
        let is_open = |p: &&Pod| !p.replaced && self.is_lost(p, now_ms) && !self.is_forgiven(p);
        let stopped = |p: &Pod| self.heard_last_ms(p).saturating_add(self.stops_after_ms());
        let since = |p: &&Pod| p.ended_ms.or(p.left_ms).unwrap_or_else(|| stopped(p));
        self.state.pods.values().filter(is_open).max_by_key(since).map(Pod::reason)
    }

    /// Whether a runner is only silent: it may be at work, and be heard again.
    pub fn is_only_silent(&self, index: u32, now_ms: u64) -> bool {
        let is_there = |p: &Pod| !(p.is_done() || p.left || p.replaced || p.why.is_some());
        let is_silent = |p: &Pod| !self.is_fresh(p, now_ms) && !self.has_stopped(p, now_ms);
        !self.gone.contains(&index) && self.pods_of(index).any(|p| is_there(p) && is_silent(p))
    }

    /// Why a runner was lost in whose place nobody has been heard yet, as far as the cluster tells.
    pub fn why_lost(&self, index: u32) -> Option<&str> {
        let last = self.pods_of(index).filter(|p| !p.replaced).max_by_key(|p| p.heard_ms);
        last?.why.as_deref()
    }

    /// Runners whose place another one has taken, or whose part the others.
    pub fn replaced(&self) -> u32 {
        let replaced = self.state.pods.values().filter(|p| p.replaced && !p.excused);
        u32::try_from(replaced.count()).unwrap_or(u32::MAX)
    }

    /// What is done about a lost runner.
    pub fn loss_policy(&self) -> LossPolicy {
        self.state.spec.operation.loss_policy.unwrap_or_default()
    }

    /// The run is given up, because of these runners if there are any; the others are told to end.
    pub fn give_up(&mut self, failed: &BTreeSet<u32>) {
        self.given_up = true;
        self.failed.extend(failed);
    }

    /// Nobody has come in time to take the place of this runner: the run is given up, and the others are told to end.
    pub fn give_up_for_want_of(&mut self, index: u32) {
        self.wanted_in_vain.get_or_insert(index);
        (self.given_up, self.stop) = (true, true);
    }

    /// The runner whose place nobody has taken in time.
    pub fn wanted_in_vain(&self) -> Option<u32> {
        self.wanted_in_vain
    }

    /// Whether a pod has ended because the run ends, and has handed over all that there was.
    fn only_ends(&self, pod: &Pod) -> bool {
        pod.has_handed_over() && !self.failed.contains(&pod.index)
    }

    /// The others go on without these runners, and take over what they have left if they shall.
    pub fn go_on_without(&mut self, gone: &BTreeSet<u32>, now_ms: u64) {
        self.gone.extend(gone.iter().filter(|index| **index < self.run.runners));
        for index in gone {
            self.take_for_begun(&self.others(*index, ""), now_ms);
        }
        self.deal_out(now_ms);
    }

    /// Whether no runner is left that could do anything.
    pub fn lacks_everybody(&self) -> bool {
        self.gone.len() == self.runners()
    }

    /// Takes note of why a pod was lost, in the cluster's own words. Unless they tell more than that its container has
    /// ended, those of a pod that was told to end are not taken: it has done as it was told.
    pub fn explain(&mut self, pod_uid: &str, why: &str, tells: bool, now_ms: u64) {
        let is_lost = |p: &&mut Pod| !p.is_done() && p.why.is_none();
        let Some(pod) = self.state.pods.get_mut(pod_uid).filter(is_lost) else { return };
        let why = if pod.left && !tells { LEFT } else { why };
        (pod.why, pod.ended_ms) = (Some(why.to_owned()), Some(now_ms));
        for gap in self.state.gaps.iter_mut().filter(|gap| gap.pod_uid == pod_uid) {
            why.clone_into(&mut gap.reason);
        }
    }

    /// Pods that are not heard, though their part is not done, and of which it is not known why.
    pub fn not_explained(&self, now_ms: u64) -> BTreeSet<String> {
        let is_away = |p: &Pod| p.replaced || p.left || !self.is_fresh(p, now_ms);
        let is_it = |p: &Pod| p.why.is_none() && !p.is_done() && is_away(p);
        self.state.pods.iter().filter(|(_, p)| is_it(p)).map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether a pod was lost a short while ago, and it is not known why.
    pub fn has_unexplained_loss(&self, now_ms: u64) -> bool {
        let lately = |p: &Pod| p.heard_ms.saturating_add(EXPLAIN_MS) >= now_ms;
        let is_lost = |p: &Pod| p.was_at_work() && (p.replaced || p.left || !self.is_fresh(p, now_ms));
        self.state.pods.values().any(|p| p.why.is_none() && lately(p) && is_lost(p))
    }

    /// Whether a pod of this index is heard, or has done its part.
    pub fn is_manned(&self, index: u32, now_ms: u64) -> bool {
        self.pods_of(index).any(|p| self.mans(p, now_ms))
    }

    fn mans(&self, pod: &Pod, now_ms: u64) -> bool {
        pod.is_done() || (!pod.left && !pod.replaced && self.is_fresh(pod, now_ms))
    }

    /// A runner whose part is in nobody's hands after the bots have begun, or that of setup while it is being performed,
    /// and for how long another one could have taken its place, in milliseconds: the one that lacks its pod for longest.
    /// One that is only silent may be at work; nobody takes its place before it has stopped by itself.
    pub fn unmanned(&self, now_ms: u64) -> Option<(u32, u64)> {
        let wanted = match self.state.setup.chosen() {
            Some(index) => index..index.saturating_add(1),
            None => {
                self.state.start_at_ms.filter(|start| *start <= now_ms)?;
                0..self.run.runners
            }
        };
        let mut heard = BTreeMap::new();
        for pod in self.state.pods.values() {
            let last = heard.entry(pod.index).or_insert(Some(0));
            *last = match *last {
                Some(last) if !self.mans(pod, now_ms) => Some(self.free_from(pod).max(last)),
                _ => None,
            };
        }
        let lacking = wanted.filter(|index| !self.gone.contains(index));
        let last =
            lacking.filter_map(|index| Some((heard.get(&index).copied().unwrap_or(Some(0))?, index))).min();
        last.map(|(last, index)| (index, now_ms.saturating_sub(last.max(self.since_ms).max(self.wanted_ms))))
    }

    /// From when on others may take the place of a pod that is not heard.
    fn free_from(&self, pod: &Pod) -> u64 {
        // It has no bots, whatever an operator before this has told it.
        let is_idle = pod.left || pod.replaced || pod.stage < Stage::Ready;
        let stopped = if is_idle {
            pod.heard_ms.max(self.since_ms)
        } else {
            self.heard_last_ms(pod).saturating_add(self.stops_after_ms())
        };
        pod.ended_ms.map_or(stopped, |ended| ended.min(stopped))
    }

    /// Whether a runner has stopped by itself that was not heard since: its lease is over, and a margin.
    pub(super) fn has_stopped_since(&self, heard_ms: u64, now_ms: u64) -> bool {
        heard_ms.saturating_add(self.stops_after_ms()) < now_ms
    }

    /// Whether a pod was not heard for so long that its runner has stopped by itself.
    fn has_stopped(&self, pod: &Pod, now_ms: u64) -> bool {
        self.has_stopped_since(self.heard_last_ms(pod), now_ms)
    }

    /// When an operator has heard a pod for the last time, at the latest, in milliseconds since 1970. One that this operator
    /// has never heard may have been answered by its predecessor, for as long as that may be in doubt.
    pub(super) fn heard_last_ms(&self, pod: &Pod) -> u64 {
        match pod.heard_ms {
            0 => self.since_ms.saturating_add(millis(IN_DOUBT)),
            heard => heard.max(self.since_ms),
        }
    }

    /// How long after it was heard last a runner has stopped by itself for certain.
    pub fn stops_after(&self) -> Duration {
        stops_after(self.run.lease)
    }

    /// The same, in milliseconds.
    pub(super) fn stops_after_ms(&self) -> u64 {
        millis(self.stops_after())
    }

    /// How long a runner goes on by itself, in milliseconds.
    pub(super) fn lease_ms(&self) -> u64 {
        millis(self.run.lease)
    }

    /// These pods should have ended long ago, as the cluster tells, and have not.
    pub fn should_have_ended(&mut self, pods: BTreeSet<String>) {
        self.overdue = pods;
    }

    /// Pods of which nothing was heard for so long that their runners have stopped by themselves, though their part is
    /// not done. How far they are makes no difference: a node may die while it prepares one, or before anything was heard
    /// of it, and its Job makes no other before that one is gone.
    pub fn silent(&self, now_ms: u64) -> BTreeSet<String> {
        let is_there = |p: &Pod| {
            // One that was told to end before it had bots has nothing more to do than that.
            let ends_at_once = p.left && !p.was_at_work();
            !(p.is_done() || ends_at_once || p.replaced || p.why.is_some() || self.gone.contains(&p.index))
        };
        let silent = self.state.pods.iter().filter(|(_, p)| is_there(p) && self.has_stopped(p, now_ms));
        let has_ended = |uid: &&String| match self.state.pods.get(*uid) {
            Some(pod) => self.has_stopped(pod, now_ms),
            None => self.has_stopped_since(self.since_ms, now_ms),
        };
        let overdue = self.overdue.iter().filter(has_ended);
        silent.map(|(uid, _)| uid).chain(overdue).cloned().collect()
    }

    /// Whether nothing more is to be expected of a run that is being given up: whoever is left has handed over all, or
    /// is silent, and nobody cleans up any more.
    pub fn is_settled(&self, now_ms: u64) -> bool {
        let is_settled =
            |p: &Pod| (p.stage == Stage::Finished && p.durable == p.applied) || !self.is_fresh(p, now_ms);
        self.state.pods.values().all(is_settled) && !self.waits_for_teardown(now_ms)
    }

    /// What is not known: of those whose place was taken, and of those whose place nobody will take any more.
    pub(super) fn gaps(&self, now_ms: u64) -> Vec<Gap> {
        // Whoever is told to end because the run ends has handed over all that there was.
        let for_good = |p: &Pod| self.gone.contains(&p.index) || (self.given_up && !self.only_ends(p));
        self.gaps_of(now_ms, for_good)
    }

    /// What is not known of a run that ends now: nobody's place is taken any more.
    pub(super) fn final_gaps(&self, now_ms: u64) -> Vec<Gap> {
        self.gaps_of(now_ms, |p| self.gone.contains(&p.index) || !self.only_ends(p))
    }

    fn gaps_of(&self, now_ms: u64, for_good: impl Fn(&Pod) -> bool) -> Vec<Gap> {
        let until = self.second(self.state.ended_at_ms.unwrap_or(now_ms));
        let open = self
            .state
            .pods
            .iter()
            .filter(|(_, p)| p.was_at_work() && !p.replaced && !self.is_heard(p, now_ms) && for_good(p));
        self.state.gaps.iter().cloned().chain(open.map(|(uid, pod)| pod.gap(uid, until))).collect()
    }

    fn is_heard(&self, pod: &Pod, now_ms: u64) -> bool {
        !pod.left && self.is_fresh(pod, now_ms)
    }

    /// It is looked at: what nobody brings to its end any more is given up, though no runner is left that checks in.
    pub fn look(&mut self, now_ms: u64) {
        self.give_up_parts(now_ms);
    }

    /// Whether a pod was heard lately. An operator that has just come to it could not hear it before.
    pub(super) fn is_fresh(&self, pod: &Pod, now_ms: u64) -> bool {
        pod.heard_ms.max(self.since_ms).saturating_add(SILENCE_MS) >= now_ms
    }

    /// The second of the run, rounded up: a gap is rather too long than too short.
    fn second(&self, now_ms: u64) -> u64 {
        self.state.start_at_ms.map_or(0, |start| now_ms.saturating_sub(start).div_ceil(1000))
    }
}

#[cfg(test)]
#[path = "losses/tests.rs"]
mod tests;

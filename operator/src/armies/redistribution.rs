//! Runners that are lost for good, and whose part the others take over. Pure.
//!
//! A loss is dealt out when nothing more is to be expected of the lost one: what is known of it then is written down, and
//! told only after that. Each of the others computes from the list of losses what of it is its own, and whoever has
//! finished waits until the run is over, since there may be more to do.

use super::{ARRIVALS_NOTICE_MS, Army, Pod};
use botarmy_protocol::{CheckIn, Loss, Resume, Stage, Standing};
use botarmy_spec::{LossPolicy, Run};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

impl Pod {
    /// Takes note of how far it is, with so many losses dealt out. One that does not know of all of them may get more to
    /// do: it has not finished, whatever it says.
    pub(super) fn stand(&mut self, said: &CheckIn, losses: u32, run: &Run) {
        let knows_all = said.standing.losses >= losses;
        let stage = if knows_all || said.left { said.stage } else { said.stage.min(Stage::Running) };
        self.stage = match said.standing.losses.cmp(&self.standing.losses) {
            Ordering::Less => return,
            Ordering::Equal => self.stage.max(stage),
            Ordering::Greater => stage,
        };
        let of_scenarios = |told: &BTreeMap<String, u64>| {
            let name = |scenario: &botarmy_spec::Scenario| scenario.name.clone().unwrap_or_default();
            let names = run.scenarios.iter().map(name);
            names.filter_map(|name| told.get(&name).map(|n| (name.clone(), *n))).collect()
        };
        self.standing = Standing {
            losses: said.standing.losses.min(losses),
            rows: of_scenarios(&said.standing.rows),
            owed: of_scenarios(&said.standing.owed),
        };
    }
}

/// What a part has come to in the hands of these pods.
pub(super) fn done<'a>(pods: impl Iterator<Item = &'a Pod>) -> Resume {
    let mut done = Resume::default();
    let mut last = None;
    for pod in pods {
        for (scenario, passes) in &pod.passes {
            let sum = done.iterations.entry(scenario.clone()).or_default();
            *sum = sum.saturating_add(*passes);
        }
        for (scenario, rows) in &pod.standing.rows {
            let most = done.rows.entry(scenario.clone()).or_default();
            *most = (*most).max(*rows);
        }
        let heard = Some((pod.heard_ms, pod.measured_until));
        if heard >= last {
            (done.owed, done.knew, last) = (pod.standing.owed.clone(), pod.standing.losses, heard);
        }
    }
    done
}

impl Army {
    /// Whether the others take over what lost runners leave. Once the run comes to its end nothing is taken over.
    fn redistributes(&self) -> bool {
        self.loss_policy() == LossPolicy::Redistribute && !self.given_up && !self.is_to_end()
    }

    /// Runners of which nothing more is waited for.
    pub(super) fn without(&self) -> &BTreeSet<u32> {
        if self.redistributes() { &self.dealt } else { &self.gone }
    }

    /// Whether a runner that has finished has to wait, because there may be more for it to do.
    pub(super) fn may_give_more(&self) -> bool {
        self.redistributes() && !self.written.ended
    }

    /// How many losses are dealt out.
    pub(super) fn losses(&self) -> u32 {
        u32::try_from(self.state.losses.len()).unwrap_or(u32::MAX)
    }

    /// The losses that a runner may know and does not.
    pub(super) fn losses_for(&self, said: &CheckIn) -> Vec<Loss> {
        let written = self.state.losses.get(..self.written.losses).unwrap_or_default();
        let knows = usize::try_from(said.standing.losses).unwrap_or(usize::MAX);
        if knows < written.len() { written.to_vec() } else { Vec::new() }
    }

    /// Deals out what those have left that are gone, once nothing more is to be expected of them.
    pub(super) fn deal_out(&mut self, now_ms: u64) {
        // A run that was stopped before it began has to begin all the same, to come to its end.
        let is_wanted =
            self.redistributes() || (self.is_to_end() && !self.given_up && self.start_told().is_none());
        let is_policy = self.loss_policy() == LossPolicy::Redistribute;
        if !is_policy || !is_wanted || self.state.ended_at_ms.is_some() {
            return;
        }
        let due: Vec<u32> = self.gone.difference(&self.dealt).copied().collect();
        for index in due {
            if self.is_certain(index, now_ms) {
                self.deal_out_one(index, now_ms);
            }
        }
    }

    /// Whether what is known of a runner that is gone is all that will be known.
    fn is_certain(&self, index: u32, now_ms: u64) -> bool {
        let is_certain = |p: &Pod| p.stage == Stage::Finished || !self.is_fresh(p, now_ms);
        self.start_told().is_none() || self.pods_of(index).all(is_certain)
    }

    fn deal_out_one(&mut self, index: u32, now_ms: u64) {
        let begun = self.start_told().filter(|start| *start <= now_ms);
        // By then all that had an effect on its arrivals, such as another rate, is told as well.
        let at_ms = begun.map_or(0, |start| self.due_ms(start, now_ms));
        let pods = self.pods_of(index).filter(|p| p.stage >= Stage::Running);
        let loss = Loss { index, at_ms, bots: self.bots, done: done(pods) };
        self.state.losses.push(loss);
        self.dealt.insert(index);
        self.moments.dealt = Some(now_ms);
        self.close_gaps(&self.others(index, ""), now_ms + ARRIVALS_NOTICE_MS);
        // Whoever has finished may have more to do now, and says so again when it knows.
        let dealt = &self.dealt;
        let finished = |p: &&mut Pod| p.stage == Stage::Finished && !p.left && !dealt.contains(&p.index);
        for pod in self.state.pods.values_mut().filter(finished) {
            pod.stage = Stage::Running;
        }
    }
}

#[cfg(test)]
#[path = "redistribution/tests.rs"]
mod tests;

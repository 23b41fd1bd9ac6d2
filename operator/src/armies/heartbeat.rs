//! Whether this process was there all the time: while it stood still, or its machine slept, it could hear nobody. Pure.
//!
//! That is told by the process as a whole. How often one run is looked at tells nothing: with many runs, or when the API
//! server refuses something, it is seldom, and its runners are heard all the while.

use super::{Armies, Army};
use crate::clock::now_ms;
use std::sync::PoisonError;
use std::time::Duration;

/// How often the heart beats.
const EVERY: Duration = Duration::from_secs(1);
/// Without a beat for longer than this the process stood still, or its clock was set, in milliseconds. Half of the time
/// after which a runner is silent: nobody is taken for silent because of a shorter pause.
const STILL_MS: u64 = 5_000;

/// The heartbeat of a process.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    last_ms: Option<u64>,
    /// How often the process stood still.
    pauses: u64,
}

impl Heartbeat {
    /// Beats; tells for how long the process stood still just before, if it did, in milliseconds.
    fn beat(&mut self, now_ms: u64) -> Option<u64> {
        let last_ms = self.last_ms.replace(now_ms);
        let pause = last_ms.map(|last| now_ms.abs_diff(last)).filter(|pause| *pause > STILL_MS);
        self.pauses += u64::from(pause.is_some());
        pause
    }
}

impl Armies {
    /// The process is there. If it was not, nobody could be heard before now. Whoever looks at an army or hears a runner
    /// calls this first: after a pause any of them may be the first to run.
    pub fn beat(&self, now_ms: u64) {
        // Held until all armies know: nobody else goes on before that.
        let mut heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = heart.beat(now_ms) {
            let seconds = pause / 1_000;
            tracing::warn!(
                "the operator stood still for {seconds} s, or its clock was set: it had too little processor time, or its \
                 machine slept; runners are waited for anew"
            );
            self.lock().values_mut().for_each(|army| army.could_not_hear(now_ms));
        }
    }

    /// How often the process stood still so far.
    pub(crate) fn pauses(&self) -> u64 {
        self.heart.lock().unwrap_or_else(PoisonError::into_inner).pauses
    }

    /// Beats for ever.
    pub async fn live(&self) {
        loop {
            self.beat(now_ms());
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Army {
    /// Nobody could be heard before now.
    fn could_not_hear(&mut self, now_ms: u64) {
        self.since_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army, army_with, at_work, said, write};
    use super::*;
    use botarmy_protocol::Stage;
    use serde_json::json;

    /// The army of the one run, in a process that begins now.
    fn armies(army: Army, now_ms: u64) -> Armies {
        let armies = Armies::default();
        armies.lock().insert("u".to_owned(), army);
        armies.beat(now_ms);
        armies
    }

    /// The process lives until then, and the run is looked at so often.
    fn live(armies: &Armies, from_ms: u64, until_ms: u64, look_every_ms: u64) {
        for at in (from_ms..=until_ms).step_by(1_000) {
            armies.beat(at);
            if (at - from_ms).is_multiple_of(look_every_ms) {
                armies.lock().get_mut("u").unwrap().look(at);
            }
        }
    }

    fn of<T>(armies: &Armies, tell: impl Fn(&Army) -> T) -> T {
        tell(&armies.lock()["u"])
    }

    #[test]
    fn a_process_stood_still_whose_heart_did_not_beat() {
        for (what, beats, still) in [
            ("the first beat", vec![90_000], false),
            ("each second", vec![1_000, 2_000, 3_000], false),
            ("a busy machine", vec![1_000, 6_000], false),
            ("too late", vec![1_000, 6_001], true),
            ("known by the first one after it", vec![1_000, 60_000, 60_100], false),
            ("the clock was put back", vec![60_000, 1_000], true),
        ] {
            let mut heart = Heartbeat::default();
            let last = beats.into_iter().map(|at| heart.beat(at).is_some()).last();
            assert_eq!(last, Some(still), "{what}");
        }
    }

    #[test]
    fn a_run_that_is_seldom_looked_at_is_given_up_all_the_same() {
        for look_every_ms in [1_000, 12_000, 60_000] {
            let waits = armies(army(2), 1);
            live(&waits, 1_000, 301_000, look_every_ms);
            assert_eq!(of(&waits, Army::waits_from_ms), 1, "{look_every_ms}: its time goes on");

            let lost = armies(at_work(), 2_000);
            live(&lost, 2_000, 302_000, look_every_ms);
            assert_eq!(of(&lost, |army| army.silent(302_000).len()), 2, "{look_every_ms}");
            assert_eq!(of(&lost, |army| army.lost(302_000)), 2, "{look_every_ms}");
            let unmanned = of(&lost, |army| army.unmanned(302_000));
            assert_eq!(unmanned, Some((0, 150_000)), "{look_every_ms}: since it has stopped by itself");

            let setup = json!({"setup": {"tree": "T", "timeout": "100s"}, "leaseSeconds": 30});
            let mut sets_up = army_with(&setup);
            for index in [0, 1, 0] {
                sets_up.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
                write(&mut sets_up);
            }
            let sets_up = armies(sets_up, 1_000);
            live(&sets_up, 1_000, 241_000, look_every_ms);
            assert!(of(&sets_up, |army| army.fault().is_some()), "{look_every_ms}: setup has failed");
        }
    }

    #[test]
    fn a_process_that_stood_still_calls_nobody_lost() {
        let armies = armies(at_work(), 2_000);
        live(&armies, 2_000, 100_000, 1_000);
        let mut pauses = 0;
        // For a minute, and then for an hour.
        for now in [160_000, 3_760_000] {
            armies.beat(now);
            pauses += 1;
            assert_eq!(armies.pauses(), pauses);
            let all = of(&armies, |army| (army.lost(now), army.unmanned(now), army.silent(now).len()));
            assert_eq!(all, (0, None, 0));
            assert_eq!(of(&armies, |army| (army.ready(now), army.waits_from_ms())), (2, now));
        }
        // From then on they could be heard.
        live(&armies, 3_760_000, 3_911_000, 60_000);
        assert_eq!(of(&armies, |army| army.lost(3_911_000)), 2);
    }

    #[test]
    fn a_clock_that_was_put_back_does_not_make_a_run_wait_for_it() {
        let armies = armies(army(1), 9_000_000);
        live(&armies, 9_000_000, 9_010_000, 1_000);
        armies.beat(1_000_000);
        assert_eq!(of(&armies, Army::waits_from_ms), 1_000_000);
    }
}

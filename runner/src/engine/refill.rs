//! How fast bots that ended are replaced: so many in each interval over the whole army.

use super::share::Share;
use botarmy_spec::Refill;
use std::time::Duration;

/// This runner's allowance. Each interval deals the army's replacements out in turn to those that have bots, so that a
/// runner gets its part over time even where there are fewer than one for each.
#[derive(Debug)]
pub(super) struct Gate {
    refill: Refill,
    /// None: it has no bots that could be replaced.
    share: Option<Share>,
    interval: u64,
    used: u64,
}

impl Gate {
    pub(super) fn new(refill: Refill, share: Option<Share>) -> Self {
        Self { refill, share, interval: 0, used: 0 }
    }

    /// Others were lost: this runner has another share now.
    pub(super) fn share(&mut self, share: Option<Share>) {
        self.share = share;
    }

    /// Takes one replacement, or tells how long after the start the next interval begins.
    pub(super) fn take(&mut self, since_start: Duration) -> Result<(), Duration> {
        let every = self.refill.every.as_micros().max(1);
        let interval = u64::try_from(since_start.as_micros() / every).unwrap_or(u64::MAX);
        if interval != self.interval {
            (self.interval, self.used) = (interval, 0);
        }
        let max = u64::from(self.refill.max);
        let first = interval.saturating_mul(max);
        let allowed = self.share.map_or(0, |share| share.dealt(first, first.saturating_add(max)));
        if self.used < allowed {
            self.used += 1;
            return Ok(());
        }
        Err(self.refill.every.saturating_mul(u32::try_from(interval + 1).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_allows_so_many_over_all_runners() {
        let refill = Refill { max: 5, every: Duration::from_secs(2) };
        let mut gates: Vec<Gate> =
            (0..3).map(|index| Gate::new(refill, Some(Share { index, of: 3 }))).collect();
        let mut each = [0; 3];
        for interval in 0..3 {
            let at = Duration::from_secs(2 * interval) + Duration::from_millis(1);
            let mut allowed = 0;
            for (gate, count) in gates.iter_mut().zip(&mut each) {
                while gate.take(at).is_ok() {
                    allowed += 1;
                    *count += 1;
                }
                assert_eq!(gate.take(at), Err(Duration::from_secs(2 * (interval + 1))));
            }
            assert_eq!(allowed, 5);
        }
        assert_eq!(each, [5, 5, 5], "over time all have the same");
        // One is lost: the others have its part from the next interval on.
        let mut gates = gates.split_off(1);
        (0..2).zip(&mut gates).for_each(|(index, gate)| gate.share(Some(Share { index, of: 2 })));
        for interval in 3..5 {
            let at = Duration::from_secs(2 * interval);
            let mut take =
                |gate: &mut Gate| std::iter::repeat_with(|| gate.take(at)).take_while(Result::is_ok).count();
            assert_eq!(gates.iter_mut().map(&mut take).sum::<usize>(), 5);
        }
    }
}

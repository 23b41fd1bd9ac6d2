//! Watching the generator itself: how late its workers are, what processor time it takes, and whether the
//! cgroup stops it.

use botarmy_report::{Health, Histogram};
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How often a worker looks how late it is.
const LOOK: Duration = Duration::from_millis(50);
/// The shortest stretch of time that is judged.
const LEAST: Duration = Duration::from_millis(900);
/// Where the cgroup tells how often it stopped its processes: version 2, and version 1 in two places.
const CGROUP_FILES: [&str; 3] =
    ["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat"];

/// Records how much later than due a worker gets to a timer, for as long as it lives.
pub(super) async fn watch_lag(lag: &RefCell<Histogram>) {
    loop {
        let due = Instant::now() + LOOK;
        tokio::time::sleep_until(due.into()).await;
        let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        lag.borrow_mut().record(late);
    }
}

/// What is known of the process since it was last judged.
#[derive(Debug)]
pub(super) struct Watch {
    workers: u32,
    since: Instant,
    cpu: Duration,
    throttled: Duration,
    lag: Histogram,
}

impl Watch {
    pub(super) fn new(workers: u32) -> Self {
        Self {
            workers,
            since: Instant::now(),
            cpu: processor_time(),
            throttled: throttled(),
            lag: Health::no_lag(),
        }
    }

    /// Adds how late a worker was.
    pub(super) fn add(&mut self, lag: &Histogram) {
        if let Err(error) = self.lag.merge(lag) {
            tracing::error!("how late workers are cannot be added: {error}");
        }
    }

    /// Judges the time since it last did so; nothing while that is too short.
    pub(super) fn judge(&mut self) -> Health {
        let took = self.since.elapsed();
        if took < LEAST {
            return Health::default();
        }
        let before = std::mem::replace(self, Self::new(self.workers));
        let cpu = self.cpu.saturating_sub(before.cpu);
        let throttled = self.throttled.saturating_sub(before.throttled);
        Health::of_second(before.lag, cpu, took * self.workers, throttled, took)
    }
}

/// Processor time that the process has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// For how long the cgroup has stopped the process; none where it has no limit, or does not tell.
fn throttled() -> Duration {
    let text = CGROUP_FILES.iter().find_map(|file| std::fs::read_to_string(file).ok());
    text.as_deref().map_or(Duration::ZERO, throttled_of)
}

fn throttled_of(text: &str) -> Duration {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    // Version 2 tells microseconds, version 1 nanoseconds.
    let micros = value("throttled_usec ").map(Duration::from_micros);
    micros.or_else(|| value("throttled_time ").map(Duration::from_nanos)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let second = "usage_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n";
        assert_eq!(throttled_of(second), Duration::from_micros(1500));
        assert_eq!(throttled_of("nr_periods 3\nthrottled_time 1500\n"), Duration::from_nanos(1500));
        assert_eq!(throttled_of("usage_usec 5\n"), Duration::ZERO, "no limit");
    }

    #[test]
    fn processor_time_goes_forward() {
        let before = processor_time();
        while processor_time() == before {
            std::hint::spin_loop();
        }
        assert!(processor_time() > before);
    }

    #[test]
    fn a_short_time_is_not_judged_and_nothing_of_it_is_lost() {
        let mut watch = Watch::new(2);
        let mut lag = Health::no_lag();
        lag.record(5);
        watch.add(&lag);
        assert!(watch.judge().is_empty());
        watch.since = Instant::now().checked_sub(Duration::from_secs(1)).expect("a machine that is up");
        let health = watch.judge();
        assert_eq!((health.seconds, health.lag.count()), (1, 1));
        assert!(health.capacity_us >= 2_000_000);
        assert!(watch.judge().is_empty(), "judged once");
    }
}

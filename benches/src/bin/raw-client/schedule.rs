//! When requests are due, a timer that keeps such moments to tens of microseconds, and how late they were.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// The runtime's timers go off at whole milliseconds; this one at its moment.
#[derive(Debug)]
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    #[expect(deprecated, reason = "sound here: the descriptor is owned and stays registered")]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until a moment; returns at once when it has passed.
    pub(crate) async fn until(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: seconds, tv_nsec: i64::from(left.subsec_nanos()) };
        let timer = Itimerspec { it_interval: once, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = rustix::io::read(self.0.get_ref(), &mut [0; 8]);
            // Read once it has nothing more until it is set anew.
            ready.clear_ready();
            match read {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Requests that are due at equal distances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// When the first is due.
    pub(crate) begin: Instant,
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) seconds: u64,
}

impl Schedule {
    /// When the requests from this number on are due, numbered from 0.
    pub(crate) fn from(self, first: u64) -> impl Iterator<Item = Instant> {
        let Self { begin, rate, .. } = self;
        let due = move |number: u64| begin + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
        (first..self.requests()).map(due)
    }

    fn requests(self) -> u64 {
        u64::from(self.rate) * self.seconds
    }

    pub(crate) fn end(self) -> Instant {
        self.begin + Duration::from_secs(self.seconds)
    }
}

/// Every latency, in microseconds, so that percentiles are exact.
#[derive(Debug)]
pub(crate) struct Latencies(RefCell<(Vec<u32>, Vec<u32>)>);

impl Latencies {
    /// With room for all of a schedule.
    pub(crate) fn of(schedule: Schedule) -> Self {
        let room = usize::try_from(schedule.requests()).unwrap_or_default();
        Self(RefCell::new((Vec::with_capacity(room), Vec::with_capacity(room))))
    }

    /// One request: from when it was due until its answer was there, and until it was sent.
    pub(crate) fn record(&self, took: Duration, late: Duration) {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (all_took, all_late) = &mut *self.0.borrow_mut();
        all_took.push(micros(took));
        all_late.push(micros(late));
    }

    pub(crate) fn figures(&self) -> Value {
        let (took, late) = &mut *self.0.borrow_mut();
        took.sort_unstable();
        late.sort_unstable();
        json!({
            "requests": took.len(),
            "p50Us": quantile(took, 500),
            "p99Us": quantile(took, 990),
            "p999Us": quantile(took, 999),
            "lateP99Us": quantile(late, 990),
        })
    }
}

/// The value that so many of a thousand do not exceed.
fn quantile(sorted: &[u32], of_a_thousand: usize) -> Option<u32> {
    let rank = (sorted.len() * of_a_thousand).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied()
}

//! A timer finer than the runtime's, which rounds up to the next millisecond.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// Wakes at a moment, late by what the kernel's timers and the runtime take: tens of microseconds.
#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    #[expect(
        deprecated,
        reason = "sound here: the descriptor is owned, so that it stays what it is while registered"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until a moment; returns at once when it has passed.
    pub(super) async fn until(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: zero, it_value: timespec(left) };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            // Reading clears it; one that was set anew since has nothing to read yet.
            match rustix::io::read(self.0.get_ref(), &mut expirations) {
                Ok(_) => {
                    // It is read to its end: the runtime need not try again to learn that.
                    ready.clear_ready();
                    return Ok(());
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_wakes_at_its_moment_and_not_before() {
        let alarm = Alarm::new().expect("a timer");
        for micros in [0, 1, 300, 1_700] {
            let moment = Instant::now() + Duration::from_micros(micros);
            alarm.until(moment).await.expect("an alarm");
            assert!(Instant::now() >= moment);
        }
        alarm.until(Instant::now()).await.expect("a moment that has passed");
    }

    #[tokio::test]
    async fn one_that_was_given_up_can_be_set_again() {
        let alarm = Alarm::new().expect("a timer");
        let soon = alarm.until(Instant::now() + Duration::from_millis(1));
        drop(tokio::time::timeout(Duration::from_micros(1), soon).await);
        let moment = Instant::now() + Duration::from_millis(20);
        alarm.until(moment).await.expect("an alarm");
        assert!(Instant::now() >= moment);
    }
}

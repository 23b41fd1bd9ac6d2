//! From the coordinator's clock to this machine's.

use std::time::{Duration, Instant};

/// When `at_ms` of the coordinator's clock is here. Its answer, made at `now_ms` of its clock, was
/// asked for at `sent` and came at `received`; it was made half way between, as near as can be
/// known (Cristian's algorithm, 1989).
pub(super) fn local_instant(at_ms: u64, now_ms: u64, sent: Instant, received: Instant) -> Instant {
    let made = sent + (received - sent) / 2;
    if at_ms >= now_ms {
        made + Duration::from_millis(at_ms - now_ms)
    } else {
        made.checked_sub(Duration::from_millis(now_ms - at_ms)).unwrap_or(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_placed_from_the_middle_of_the_round_trip() {
        let sent = Instant::now() + Duration::from_secs(10);
        let received = sent + Duration::from_millis(40);
        assert_eq!(local_instant(1_500, 1_000, sent, received), sent + Duration::from_millis(520));
        assert_eq!(
            local_instant(900, 1_000, sent, received),
            sent.checked_sub(Duration::from_millis(80)).unwrap()
        );
    }
}

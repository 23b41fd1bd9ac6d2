//! How long something has been going on, in words. Pure.

use std::time::Duration;

const UNITS: [(u64, &str); 7] = [
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (7 * 86_400, "week"),
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
    (1, "second"),
];

/// A time as `1 minute, 5 seconds, 21.0 milliseconds`: units of which there are none are left out, a
/// year has 365 days and a month 30. Less than a millisecond is `0 microseconds`.
pub(super) fn in_words(time: Duration) -> String {
    let mut rest = time.as_secs();
    let mut parts = Vec::new();
    for (seconds, unit) in UNITS {
        let count = rest / seconds;
        rest %= seconds;
        match count {
            0 => {}
            1 => parts.push(format!("1 {unit}")),
            _ => parts.push(format!("{count} {unit}s")),
        }
    }
    if time.subsec_millis() > 0 {
        parts.push(format!("{}.0 milliseconds", time.subsec_millis()));
    }
    if parts.is_empty() { "0 microseconds".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_which_there_are_none_are_left_out() {
        for (millis, words) in [
            (0, "0 microseconds"),
            (21, "21.0 milliseconds"),
            (1_000, "1 second"),
            (65_021, "1 minute, 5 seconds, 21.0 milliseconds"),
            (7_200_000, "2 hours"),
            ((365 + 60 + 14 + 1) * 86_400_000 + 3_600_000, "1 year, 2 months, 2 weeks, 1 day, 1 hour"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
        assert_eq!(in_words(Duration::from_micros(999)), "0 microseconds");
    }
}

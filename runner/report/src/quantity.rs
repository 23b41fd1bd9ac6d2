//! How measured quantities read: latencies, shares, durations. Rounded to the nearest, halves up;
//! decided here once, so that a threshold, the table and a status show the same text.

/// A latency: `850us` below a millisecond, `412.3ms` below ten seconds, `12.35s` from there.
pub fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000_000 => {
            let tenths = (us + 50) / 100;
            format!("{}.{}ms", tenths / 10, tenths % 10)
        }
        _ => {
            let hundredths = us.saturating_add(5_000) / 10_000;
            format!("{}.{:02}s", hundredths / 100, hundredths % 100)
        }
    }
}

/// A share in percent with two decimals: `1.24%`. What is neither none nor all never reads as such:
/// `<0.01%` and `>99.99%`. `part` is at most `whole`, and `whole` above zero.
pub fn share(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
    let hundredths = (part * 20_000 + whole) / (whole * 2);
    match hundredths {
        0 if part > 0 => "<0.01%".to_owned(),
        10_000 if part < whole => ">99.99%".to_owned(),
        _ => format!("{}.{:02}%", hundredths / 100, hundredths % 100),
    }
}

/// An amount of data: `999 B`, `1.5 kB`, `12.3 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 1_000_u64;
    for (place, name) in units.iter().enumerate() {
        if bytes < unit.saturating_mul(1_000) || place == units.len() - 1 {
            let tenths = (u128::from(bytes) * 20 + u128::from(unit)) / (u128::from(unit) * 2);
            return if bytes < unit {
                format!("{bytes} B")
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
        unit = unit.saturating_mul(1_000);
    }
    format!("{bytes} B")
}

/// A number on an axis: `0.5`, `12`, `1.2k`, `3M`.
pub(crate) fn short(value: f64) -> String {
    let (value, suffix) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = format!("{value:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A span of time: `950ms`, `12.3s`, `5m 0s`, `2h 0m 7s`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) if seconds == 0 => format!("{ms}ms"),
        (0, 0) => format!("{seconds}.{}s", ms % 1_000 / 100),
        (0, _) => format!("{minutes}m {rest}s"),
        _ => format!("{hours}h {minutes}m {rest}s"),
    }
}

/// Events per second with one decimal: `205.8/s`; none when no time passed.
pub fn rate(events: u64, ms: u64) -> Option<String> {
    let tenths = (u128::from(events) * 20_000 + u128::from(ms)).checked_div(u128::from(ms) * 2)?;
    Some(format!("{}.{}/s", tenths / 10, tenths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_change_unit_with_size() {
        for (us, text) in [
            (0, "0us"),
            (999, "999us"),
            (1_000, "1.0ms"),
            (412_349, "412.3ms"),
            (412_350, "412.4ms"),
            (9_999_949, "9999.9ms"),
            (10_000_000, "10.00s"),
            (12_345_000, "12.35s"),
            (u64::MAX, "18446744073709.55s"),
        ] {
            assert_eq!(latency(us), text);
        }
    }

    #[test]
    fn shares_hide_neither_a_failure_nor_a_success() {
        for (part, whole, text) in [
            (0, 7, "0.00%"),
            (7, 7, "100.00%"),
            (1, 100, "1.00%"),
            (124, 10_000, "1.24%"),
            (1, 1_000_000, "<0.01%"),
            (1, 20_000, "0.01%"),
            (999_999, 1_000_000, ">99.99%"),
            (2, 3, "66.67%"),
            (u64::MAX - 1, u64::MAX, ">99.99%"),
            (u64::MAX, u64::MAX, "100.00%"),
        ] {
            assert_eq!(share(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn bytes_and_numbers_are_short() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_549, "1.5 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (value, text) in
            [(0.0, "0"), (0.25, "0.25"), (12.0, "12"), (1_250.0, "1.25k"), (3e6, "3M"), (2.5e9, "2.5G")]
        {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn spans_and_rates() {
        let spans =
            [(0, "0ms"), (950, "950ms"), (12_345, "12.3s"), (300_000, "5m 0s"), (7_207_900, "2h 0m 7s")];
        for (ms, text) in spans {
            assert_eq!(span(ms), text);
        }
        assert_eq!(rate(61_725, 300_000).as_deref(), Some("205.8/s"));
        assert_eq!(rate(u64::MAX, 1).as_deref(), Some("18446744073709551615000.0/s"));
        assert_eq!(rate(1, 0), None);
    }
}

//! The time of a line as people of the place write it. Pure.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write;
use std::time::Duration;

/// Writes times of one zone; the text of a second is made once.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    /// The second that `text` is of, since 1970.
    second: Option<u64>,
    text: Vec<u8>,
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, second: None, text: Vec::new() }
    }

    /// Appends a time since 1970 as `YYYY-MM-DDTHH:MM:SS.mmm`.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, time: Duration) {
        if self.second.replace(time.as_secs()) != Some(time.as_secs()) {
            // A clock beyond the year 9999 shows 1970.
            let second = i64::try_from(time.as_secs()).unwrap_or_default();
            let moment = Timestamp::from_second(second).unwrap_or_default();
            let t = self.zone.to_datetime(moment);
            self.text.clear();
            // Writing into memory does not fail.
            let _ = write!(
                self.text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            );
        }
        out.extend_from_slice(&self.text);
        let _ = write!(out, ".{:03}", time.subsec_millis());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    #[test]
    fn times_are_those_of_the_zone() {
        let mut clock = Clock::new(TimeZone::fixed(Offset::constant(2)));
        let mut text = |millis: u64| {
            let mut out = Vec::new();
            clock.write(&mut out, Duration::from_millis(millis));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "1970-01-01T02:00:00.000");
        assert_eq!(text(951_782_400_007), "2000-02-29T02:00:00.007");
        assert_eq!(text(951_782_400_999), "2000-02-29T02:00:00.999");
        assert_eq!(text(1_798_761_599_500), "2027-01-01T01:59:59.500");
        assert_eq!(text(u64::MAX).len(), 23);
    }
}

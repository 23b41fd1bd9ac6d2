//! A number that changes over time: bots alive, or arrivals a second. Pure.

use std::time::Duration;

/// What a sum may be off, as a part of it: a thousand stretches come to a quarter of that.
const ROUNDING: f64 = 1e-12;

/// A function of the time since the start: it goes evenly from point to point, and stays where the
/// last one left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    segments: Vec<Segment>,
    /// The value after the last segment.
    last: f64,
    /// When the last segment ends, in seconds.
    end: f64,
    /// What was summed up until then.
    sum: f64,
}

/// A stretch in which the value goes evenly from one number to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    /// Seconds since the start.
    begin: f64,
    length: f64,
    from: f64,
    to: f64,
    /// What was summed up before it.
    before: f64,
}

impl Profile {
    /// Always the same.
    pub fn constant(value: f64) -> Self {
        Self { segments: Vec::new(), last: value, end: 0.0, sum: 0.0 }
    }

    /// From 0 through these points: in each duration evenly to the value. A duration of 0 jumps.
    pub fn ramps(points: impl IntoIterator<Item = (Duration, f64)>) -> Self {
        let mut profile = Self::constant(0.0);
        for (duration, to) in points {
            let length = duration.as_secs_f64();
            let segment = Segment { begin: profile.end, length, from: profile.last, to, before: profile.sum };
            profile.end += length;
            profile.sum += segment.sum();
            profile.last = to;
            profile.segments.push(segment);
        }
        profile
    }

    /// A value that jumps to others, each at its time since the start; they are given in that order.
    pub fn steps(first: f64, changes: &[(Duration, f64)]) -> Self {
        let mut points = vec![(Duration::ZERO, first)];
        let (mut last, mut value) = (Duration::ZERO, first);
        for (at, next) in changes {
            points.extend([(at.saturating_sub(last), value), (Duration::ZERO, *next)]);
            (last, value) = (*at, *next);
        }
        Self::ramps(points)
    }

    /// When the last ramp ends; zero for a constant.
    pub fn end(&self) -> Duration {
        Duration::from_secs_f64(self.end)
    }

    /// Whether it never changes.
    pub fn is_constant(&self) -> bool {
        self.segments.is_empty()
    }

    /// The highest value it ever has.
    pub fn peak(&self) -> f64 {
        self.segments.iter().map(|s| s.to).fold(if self.is_constant() { self.last } else { 0.0 }, f64::max)
    }

    /// Its value at a time.
    pub fn at(&self, time: Duration) -> f64 {
        let time = time.as_secs_f64();
        match self.segment(time) {
            Some(segment) => segment.at(time - segment.begin),
            None => self.last,
        }
    }

    /// Which ramp a time lies in, from 0, and when the next one begins; the last one goes on for ever.
    pub fn stage(&self, time: Duration) -> (usize, Option<Duration>) {
        let time = time.as_secs_f64();
        let last = self.segments.len().saturating_sub(1);
        let stage = self.segments.partition_point(|s| s.begin + s.length <= time).min(last);
        let next = self.segments.get(stage + 1);
        (stage, next.and_then(|next| Duration::try_from_secs_f64(next.begin).ok()))
    }

    /// Whether any time lies in a ramp, from 0: the last one goes on for ever.
    pub fn takes_time(&self, stage: usize) -> bool {
        let segment = self.segments.get(stage).filter(|_| stage + 1 < self.segments.len());
        segment.is_none_or(|segment| segment.length > 0.0)
    }

    /// When a ramp is over, from 0; never for the last one, which goes on for ever.
    pub fn end_of(&self, stage: usize) -> Option<Duration> {
        let next = self.segments.get(stage + 1)?;
        Duration::try_from_secs_f64(next.begin).ok()
    }

    /// When the value, rounded, will next be another one: none if never again. At the earliest after
    /// `least`, so that a steep ramp is followed in steps.
    pub fn next_change(&self, time: Duration, least: Duration) -> Option<Duration> {
        let now = time.as_secs_f64();
        let segment = self.segment(now)?;
        let slope = if segment.length > 0.0 { (segment.to - segment.from) / segment.length } else { 0.0 };
        let end = segment.begin + segment.length;
        let next = if slope == 0.0 {
            end
        } else {
            let value = segment.at(now - segment.begin);
            let bound = if slope > 0.0 { value.round() + 0.5 } else { value.round() - 0.5 };
            (now + (bound - value) / slope).min(end)
        };
        let next = Duration::try_from_secs_f64(next).unwrap_or(time);
        Some(next.max(time + least))
    }

    /// The integral from the start to a time: how many have arrived, if the value is a rate.
    pub fn sum_until(&self, time: Duration) -> f64 {
        let time = time.as_secs_f64();
        match self.segment(time) {
            Some(segment) => segment.before + segment.sum_of(time - segment.begin),
            None => self.sum + (time - self.end).max(0.0) * self.last,
        }
    }

    /// The first time at which the integral reaches a sum: when the arrival of that number comes. None
    /// if it never does.
    pub fn time_of(&self, sum: f64) -> Option<Duration> {
        // 31 arrivals are 31, though what they are summed up from may come to a little more.
        let reached = sum + sum * ROUNDING;
        let segment = self.segments.iter().find(|s| s.before + s.sum() > reached);
        let seconds = match segment {
            Some(segment) => segment.begin + segment.time_of((sum - segment.before).max(0.0)),
            None if self.last > 0.0 => self.end + (sum - self.sum).max(0.0) / self.last,
            None => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// How many arrivals come before a time, numbered from 0: those whose [`Self::time_of`] is earlier, by the same rounding.
    pub fn count_before(&self, time: Duration) -> u64 {
        let comes = |arrival: u64| self.time_of(arrival as f64).is_some_and(|at| at < time);
        let mut count = whole_above(self.sum_until(time));
        while count > 0 && !comes(count - 1) {
            count -= 1;
        }
        while count < u64::MAX && comes(count) {
            count += 1;
        }
        count
    }

    fn segment(&self, time: f64) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|s| s.begin + s.length <= time))
    }
}

impl Segment {
    fn at(&self, time: f64) -> f64 {
        if self.length > 0.0 { self.from + (self.to - self.from) * time / self.length } else { self.to }
    }

    fn sum(&self) -> f64 {
        self.sum_of(self.length)
    }

    fn sum_of(&self, time: f64) -> f64 {
        f64::midpoint(self.from, self.at(time)) * time
    }

    /// Solves `from·t + slope·t²/2 = sum` in the form that loses no digits when the slope is small.
    fn time_of(&self, sum: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        let root = (self.from * self.from + 2.0 * slope * sum).max(0.0).sqrt();
        let divisor = self.from + root;
        if divisor > 0.0 { (2.0 * sum / divisor).min(self.length) } else { 0.0 }
    }
}

/// The least whole number that is not below a sum.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
fn whole_above(sum: f64) -> u64 {
    sum.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn it_goes_from_point_to_point() {
        let ramps = [(10.0, 100.0), (0.0, 50.0), (10.0, 50.0), (5.0, 0.0)];
        let profile = Profile::ramps(ramps.map(|(d, v)| (seconds(d), v)));
        for (time, value) in [
            (0.0, 0.0),
            (5.0, 50.0),
            (9.999_999, 99.999_99),
            (10.0, 50.0),
            (15.0, 50.0),
            (22.5, 25.0),
            (25.0, 0.0),
            (99.0, 0.0),
        ] {
            assert!(
                (profile.at(seconds(time)) - value).abs() < 1e-3,
                "{time}: {}",
                profile.at(seconds(time))
            );
        }
        assert_eq!(profile.end(), seconds(25.0));
        assert!((profile.peak() - 100.0).abs() < 1e-9);
        let stages = [0.0, 9.9, 10.0, 19.9, 20.0, 99.0].map(|t| profile.stage(seconds(t)).0);
        assert_eq!(stages, [0, 0, 2, 2, 3, 3]);
        assert_eq!([0, 1, 2, 3].map(|stage| profile.takes_time(stage)), [true, false, true, true]);
        let ends = [0, 1, 2, 3].map(|stage| profile.end_of(stage));
        assert_eq!(ends, [Some(seconds(10.0)), Some(seconds(10.0)), Some(seconds(20.0)), None]);
        assert!(
            Profile::ramps([(seconds(1.0), 1.0), (seconds(0.0), 2.0)]).takes_time(1),
            "it lasts until the end"
        );
        assert!((profile.sum_until(seconds(99.0)) - (500.0 + 500.0 + 125.0)).abs() < 1e-9);
        assert_eq!(profile.time_of(1125.0), None, "what never arrives has no time");
        assert_eq!(Profile::constant(50.0).time_of(100.0), Some(seconds(2.0)));
        assert_eq!(Profile::constant(0.0).time_of(0.0), None);
    }

    #[test]
    fn steps_jump_at_their_times() {
        let profile = Profile::steps(10.0, &[(seconds(2.0), 50.0), (seconds(3.0), 0.0), (seconds(5.0), 1.0)]);
        for (time, value) in [(0.0, 10.0), (1.9, 10.0), (2.0, 50.0), (2.9, 50.0), (3.0, 0.0), (9.0, 1.0)] {
            assert!((profile.at(seconds(time)) - value).abs() < 1e-9, "{time}");
        }
        assert!((profile.sum_until(seconds(6.0)) - 71.0).abs() < 1e-9);
        assert_eq!(profile.time_of(70.0), Some(seconds(5.0)), "none arrives while the rate is 0");
        assert_eq!(profile.time_of(20.0), Some(seconds(2.0)));
    }

    #[test]
    fn the_next_change_is_the_next_number() {
        let profile = Profile::ramps([(seconds(10.0), 10.0), (seconds(5.0), 10.0), (seconds(10.0), 0.0)]);
        let next =
            |t: f64| profile.next_change(seconds(t), Duration::from_millis(1)).map(|d| d.as_secs_f64());
        for (time, change) in [(0.0, 0.5), (0.6, 1.5), (9.6, 10.0), (12.0, 15.0), (15.0, 15.5), (24.9, 25.0)]
        {
            assert!((next(time).unwrap() - change).abs() < 2e-3, "{time}: {:?}", next(time));
        }
        assert_eq!(next(25.0), None);
        assert_eq!(Profile::constant(3.0).next_change(Duration::ZERO, Duration::ZERO), None);
    }

    #[test]
    fn a_whole_number_of_arrivals_is_one_more_for_nobody() {
        let rate = 31.0 / 60.0;
        let ramps = [(30, rate), (30, rate), (30, 0.0)];
        let ramps = Profile::ramps(ramps.map(|(d, v)| (Duration::from_secs(d), v)));
        assert!(ramps.sum_until(ramps.end()) > 31.0, "by a rounding");
        assert_eq!((ramps.count_before(ramps.end()), ramps.time_of(31.0)), (31, None));
        let constant = Profile::constant(rate);
        assert!(constant.sum_until(seconds(60.0)) > 31.0, "by a rounding");
        assert_eq!(constant.count_before(seconds(60.0)), 31);
        assert_eq!(constant.count_before(seconds(60.000_001)), 32);
        assert_eq!(
            (constant.count_before(Duration::ZERO), Profile::constant(0.0).count_before(seconds(9.0))),
            (0, 0)
        );
        assert!(Profile::constant(1e6).count_before(Duration::MAX) > 1 << 60, "it comes to an end");
    }

    fn profile() -> impl Strategy<Value = Profile> {
        prop::collection::vec((0..20_u32, 0..1_000_u32), 1..8).prop_map(|points| {
            Profile::ramps(
                points.into_iter().map(|(d, v)| (Duration::from_millis(u64::from(d) * 250), f64::from(v))),
            )
        })
    }

    proptest! {
        #[test]
        fn the_time_of_a_sum_is_the_inverse_of_the_sum_until_a_time(profile in profile(), part in 0.0..1.0_f64) {
            let sum = profile.sum_until(profile.end()) * part;
            if let Some(time) = profile.time_of(sum) {
                prop_assert!((profile.sum_until(time) - sum).abs() < 1e-5 * sum.max(1.0), "{sum} at {time:?}");
            } else {
                prop_assert!(sum >= profile.sum_until(profile.end()) * (1.0 - ROUNDING));
            }
        }

        #[test]
        fn so_many_arrive_as_exact_numbers_say(
            points in prop::collection::vec((0..60_000_u64, 0..120_u64, prop::sample::select(vec![1_u64, 60, 3600])), 1..9),
        ) {
            let ramps = points.iter().map(|(ms, n, unit)| (Duration::from_millis(*ms), *n as f64 / *unit as f64));
            let profile = Profile::ramps(ramps.chain([(Duration::ZERO, 0.0)]));
            // In half an arrival an hour, times a millisecond.
            let (mut end, mut from, mut sum) = (Duration::ZERO, 0, 0);
            for (ms, n, unit) in points {
                let to = n * (3600 / unit);
                sum += (from + to) * ms;
                (from, end) = (to, end + Duration::from_millis(ms));
                prop_assert_eq!(profile.count_before(end), sum.div_ceil(2 * 3600 * 1000));
            }
            let all = profile.count_before(end);
            prop_assert_eq!(profile.time_of(all as f64), None);
            prop_assert!(all == 0 || profile.time_of((all - 1) as f64).is_some());
        }

        #[test]
        fn arrivals_never_go_back(profile in profile()) {
            let times: Vec<Option<Duration>> = (0..200_u32).map(|k| profile.time_of(f64::from(k))).collect();
            let known: Vec<Duration> = times.iter().flatten().copied().collect();
            prop_assert!(known.is_sorted());
            prop_assert!(times.iter().skip(known.len()).all(Option::is_none));
        }
    }
}

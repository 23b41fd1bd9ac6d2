//! A timeline as JSON: `{"step": 1, "points": [[iterations, actions, failures, requests, bytes in, bytes
//! out, bot seconds, {latency}], …]}`.

use super::{Coarse, MAX_POINTS, MAX_STEP, Point, Timeline};
use crate::bounded;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

#[derive(serde::Serialize, serde::Deserialize)]
struct Wire<T> {
    step: u64,
    points: T,
}

#[derive(serde::Deserialize)]
struct Points(#[serde(deserialize_with = "bounded::list::<_, _, MAX_POINTS>")] Vec<([u64; 7], Coarse)>);

impl Serialize for Timeline {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let point = |p: &Point| {
            let counts =
                [p.iterations, p.actions, p.failures, p.requests, p.bytes_in, p.bytes_out, p.bot_seconds];
            (counts, p.latency.clone())
        };
        Wire { step: self.step, points: self.points.iter().map(point).collect::<Vec<_>>() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Timeline {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Wire { step, points: Points(points) } = Wire::<Points>::deserialize(from)?;
        if !step.is_power_of_two() || step > MAX_STEP {
            return Err(D::Error::custom(format_args!("timeline: step is {step}; it is a power of two")));
        }
        let mut timeline = Self { step, points: Vec::new() };
        for (place, (counts, latency)) in (0_u64..).zip(points) {
            let [iterations, actions, failures, requests, bytes_in, bytes_out, bot_seconds] = counts;
            let point =
                Point { iterations, actions, failures, requests, bytes_in, bytes_out, bot_seconds, latency };
            timeline.absorb_point(place * step, &point);
        }
        Ok(timeline)
    }
}

use super::*;
use crate::outcome::Outcome;
use crate::{Observed, Recorder, RowInfo};
use proptest::prelude::*;

fn totals(us: u64, requests: u64) -> Totals {
    let row = RowInfo { name: "a".into(), base: "a".into(), measured: true, ..RowInfo::default() };
    let mut recorder = Recorder::new([row].into(), 10_000_000);
    let observed = Observed { bytes_in: 10, bytes_out: 1, ..Observed::default() };
    recorder.record_observed(
        0,
        if us.is_multiple_of(3) { Outcome::Fail } else { Outcome::Succeed },
        us,
        &observed,
    );
    recorder.count_requests(requests);
    recorder.iteration();
    recorder.drain()
}

#[test]
fn a_second_is_a_point() {
    let mut timeline = Timeline::default();
    assert!(timeline.is_empty());
    timeline.add(0, &totals(10, 2));
    timeline.add(2, &totals(30, 1));
    timeline.add(2, &totals(20, 1));
    timeline.alive(2, 7);
    timeline.alive(9, 0);
    assert_eq!((timeline.step_seconds(), timeline.points().len()), (1, 3));
    let last = &timeline.points()[2];
    assert_eq!((last.iterations, last.actions, last.failures, last.requests), (2, 2, 1, 2));
    assert_eq!((last.bytes_in, last.bytes_out, last.bot_seconds), (20, 2, 7));
    assert_eq!(last.latency.quantile_per_mille(950), Some(30));
    assert_eq!(timeline.points()[1], Point::default());
}

#[test]
fn a_long_run_has_longer_steps() {
    let mut timeline = Timeline::default();
    for second in 0..5_000 {
        timeline.alive(second, 3);
    }
    assert_eq!((timeline.step_seconds(), timeline.points().len()), (16, 313));
    assert_eq!(timeline.points()[0].bot_seconds, 48);
    let mut few = timeline.clone();
    few.keep_at_most(30);
    assert_eq!((few.step_seconds(), few.points().len()), (256, 20));
    timeline.add(u64::MAX, &totals(1, 1));
    assert!(timeline.points().len() <= MAX_POINTS);
    assert_eq!(timeline.points().iter().map(|p| p.bot_seconds).sum::<u64>(), 15_000);
}

#[test]
fn a_runner_is_counted_once_a_second() {
    let (mut timeline, mut presence) = (Timeline::default(), Presence::default());
    for (second, bots) in [(0, 5), (0, 6), (1, 6), (1, 6), (4, 2), (3, 9)] {
        presence.tell(&mut timeline, second, bots);
    }
    let bots: Vec<u64> = timeline.points().iter().map(|p| p.bot_seconds).collect();
    assert_eq!(bots, [5, 6, 2, 2, 2]);
    presence.tell(&mut timeline, u64::MAX, 1);
    assert_eq!(timeline.points().iter().map(|p| p.bot_seconds).sum::<u64>(), 17 + 601);
}

fn samples() -> impl Strategy<Value = Vec<(u64, u64, usize)>> {
    let second = prop_oneof![0..700_u64, 0..5_000_u64, 0..3_u64];
    prop::collection::vec((second, 0..20_000_000_u64, 0..4_usize), 0..60)
}

proptest! {
    #[test]
    fn the_merge_of_parts_is_the_whole(samples in samples()) {
        let mut whole = Timeline::default();
        let mut parts = vec![Timeline::default(); 4];
        for (second, us, place) in &samples {
            for timeline in [&mut whole, &mut parts[*place]] {
                timeline.add(*second, &totals(*us, 1));
                timeline.alive(*second, 2);
            }
        }
        let sum = |order: &[usize]| order.iter().fold(Timeline::default(), |mut sum, place| {
            sum.merge(&parts[*place]);
            sum
        });
        prop_assert_eq!(&sum(&[0, 1, 2, 3]), &whole);
        prop_assert_eq!(&sum(&[3, 1, 0, 2]), &whole);
        let (mut left, right) = (sum(&[0, 1]), sum(&[2, 3]));
        left.merge(&right);
        prop_assert_eq!(&left, &whole);
        let text = serde_json::to_string(&whole)?;
        prop_assert_eq!(serde_json::from_str::<Timeline>(&text)?, whole);
    }
}

#[test]
fn what_adding_could_not_have_made_is_refused() {
    for text in [
        r#"{"step": 3, "points": []}"#,
        r#"{"step": 0, "points": []}"#,
        r#"{"step": 9223372036854775808, "points": []}"#,
        r#"{"step": 1, "points": [[[0,0,0,0,0,0,0], {"max": 5, "counts": {}}]]}"#,
        r#"{"step": 1, "points": [[[0,0,0,0,0,0,0], {"max": 5, "counts": {"5": 0}}]]}"#,
        r#"{"step": 1, "points": [[[0,0,0,0,0,0,0], {"max": 5, "counts": {"6": 1}}]]}"#,
        r#"{"step": 1, "points": [[[0,0,0,0,0,0,0], {"max": 5, "counts": {"2000": 1}}]]}"#,
    ] {
        assert!(serde_json::from_str::<Timeline>(text).is_err(), "{text}");
    }
    let point = r#"[[0,0,0,0,0,0,1],{"max":0,"counts":{}}],"#;
    let text = format!(r#"{{"step":1,"points":[{}oops"#, point.repeat(MAX_POINTS + 1));
    assert!(serde_json::from_str::<Timeline>(&text).unwrap_err().to_string().contains("at most 600"));
}

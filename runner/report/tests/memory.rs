//! What recording needs: bytes that are asked for, counted, not what the system tells of a process.

use allocation_counter::measure;
use botarmy_report::{Observed, Outcome, Recorder, RowInfo, Totals};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const WORKERS: usize = 16;
const ACTIONS: usize = 100;
const OUTCOMES: [Outcome; 3] = [Outcome::Succeed, Outcome::Fail, Outcome::Cancelled];

fn rows() -> Arc<[RowInfo]> {
    let row = |n: usize| RowInfo {
        name: format!("GET /page/{n}"),
        base: format!("GET /page/{n}"),
        measured: true,
        ..RowInfo::default()
    };
    (0..ACTIONS).map(row).collect()
}

/// Times from 1 ms to 10 s, as many in each doubling: hardly anything is spread wider.
fn time(n: u64) -> u32 {
    // A generator of Lehmer's: all that counts is that its bits are mixed.
    let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let doubling = (mixed >> 59) % 13;
    let within = u32::try_from((mixed >> 20) & 0xFF_FFFF).unwrap_or(0);
    (1_000_u32 << doubling) + within % (1_000 << doubling)
}

/// So many executions of each action and outcome, with all parts of the time.
fn record(recorder: &mut Recorder, executions: u64) {
    for row in 0..ACTIONS {
        for (place, outcome) in OUTCOMES.into_iter().enumerate() {
            for n in 0..executions {
                let us = time(n + row as u64 * 1_000 + place as u64 * 77);
                let parts = [Some(us / 100), Some(us / 50), Some(us / 10), Some(us / 2)];
                let observed =
                    Observed { status: Some(200), bytes_in: 9, bytes_out: 9, parts, ..Observed::default() };
                recorder.record_observed(row, outcome, u64::from(us), &observed);
            }
        }
    }
}

/// Between two drains, a second apart, 16 workers with 100 actions that come out in 3 ways stay below
/// 64 MiB, at 48 000 executions a second for each of them, their sum included.
#[test]
fn sixteen_workers_stay_below_64_mib() {
    let rows = rows();
    let info = measure(|| {
        let mut recorders: Vec<_> =
            (0..WORKERS).map(|_| Recorder::new(Arc::clone(&rows), 3_600_000_000)).collect();
        for recorder in &mut recorders {
            record(recorder, 160);
        }
        let mut totals = Totals::default();
        for recorder in &mut recorders {
            totals.merge(&recorder.drain()).expect("one plan");
        }
        assert_eq!(totals.total().measured_count(), 2 * (WORKERS * ACTIONS) as u64 * 160);
    });
    println!("at most {} KiB", info.bytes_max >> 10);
    assert!(info.bytes_max < 64 * MIB, "{} bytes", info.bytes_max);
}

/// The sum of a long run is no larger: it grows with the ranges in which times lie, not with their number.
#[test]
fn the_sum_of_a_long_run_stays_below_64_mib() {
    let rows = rows();
    let mut recorder = Recorder::new(rows, 3_600_000_000);
    record(&mut recorder, 4_000);
    let part = recorder.drain();
    let info = measure(|| {
        let mut totals = part.clone();
        for _ in 0..9 {
            totals.merge(&part).expect("one plan");
        }
        let count = totals.total().measured_count();
        assert_eq!(count, 10 * 2 * 4_000 * ACTIONS as u64);
    });
    println!("at most {} KiB", info.bytes_max >> 10);
    assert!(info.bytes_max < 64 * MIB, "{} bytes", info.bytes_max);
}

/// Telling what was observed allocates nothing once a row has its room, unless a new text is kept.
#[test]
fn a_success_allocates_nothing() {
    let mut recorder = Recorder::new(rows(), 3_600_000_000);
    record(&mut recorder, 2_000);
    let info = measure(|| {
        let parts = [None, None, None, Some(3_000)];
        let observed =
            Observed { status: Some(200), bytes_in: 9, bytes_out: 9, parts, ..Observed::default() };
        for n in 0..1_000_u64 {
            recorder.record_observed(3, Outcome::Succeed, u64::from(time(n + 3_000)), &observed);
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

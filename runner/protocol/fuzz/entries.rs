//! What the fuzz target does with its bytes; `cargo test` does the same with the corpus and with what becomes of it
//! (`tests/hostile.rs`). What an army makes of a check-in is tried in the operator's own tests.

#![allow(clippy::expect_used, clippy::panic, reason = "a finding is a panic")]

use botarmy_protocol::CheckIn;
use botarmy_protocol::shared::{Answer, Change, MAX_KEY, MAX_KEYS, MAX_TOTAL, Store};
use botarmy_report::{Delta, Outcome, Timeline, Totals};

/// Most that a store comes to as JSON: its values, and its keys with those that were taken away. A character of a key
/// may be written with six.
const MAX_STORE: usize = MAX_TOTAL + 2 * MAX_KEYS * (6 * MAX_KEY + 64);

/// Bytes → a check-in → sums, a timeline, and what bots share; whether they are a check-in.
pub(crate) fn check_in(data: &[u8]) -> bool {
    let Ok(said) = serde_json::from_slice::<CheckIn>(data) else { return false };
    let written = serde_json::to_vec(&said).expect("JSON");
    let again: CheckIn = serde_json::from_slice(&written).expect("what was written is read");
    // Numbers with fractions may be others in their last digit, and are none of ours.
    assert_eq!(again.deltas, said.deltas);
    assert_eq!((again.stage, again.left, again.refusal), (said.stage, said.left, said.refusal.clone()));
    measure(&said.deltas);
    share(said.together.changes.into_iter().map(|(_, change)| change));
    true
}

/// All samples of all rows.
fn samples(totals: &Totals) -> u128 {
    let of_row = |outcome| totals.rows.values().map(move |row| u128::from(row.whole().count(outcome)));
    Outcome::ALL.into_iter().flat_map(of_row).sum()
}

/// A delta is added as a whole or not at all, and comes to neither more nor less than was sent.
fn measure(deltas: &[Delta]) {
    let (mut totals, mut warmup) = (Totals::default(), Totals::default());
    let (mut timeline, mut parts) = (Timeline::default(), Timeline::default());
    for delta in deltas {
        let before = (totals.clone(), warmup.clone());
        if delta.merge_into(&mut totals, &mut warmup).is_err() {
            assert!((totals == before.0) && (warmup == before.1), "what is refused changes nothing");
            continue;
        }
        let sent: u128 = delta.slices.iter().map(|slice| samples(&slice.totals)).sum();
        let had = samples(&before.0) + samples(&before.1);
        assert_eq!(samples(&totals) + samples(&warmup), had + sent);
        let sent: u128 = delta.slices.iter().map(|slice| u128::from(slice.totals.requests)).sum();
        let requests = |totals: &Totals| u128::from(totals.requests);
        let had = requests(&before.0) + requests(&before.1);
        assert_eq!(requests(&totals) + requests(&warmup), had + sent);
        for slice in &delta.slices {
            timeline.add(slice.second, &slice.totals);
            let mut part = Timeline::default();
            part.add(slice.second, &slice.totals);
            parts.merge(&part);
        }
    }
    assert!(timeline == parts, "the sum of the parts is the whole");
}

/// A store stays within its bounds, and what it refuses changes nothing.
fn share(changes: impl Iterator<Item = Change>) {
    let mut store = Store::default();
    for change in changes {
        let before = (store.clone(), store.version());
        match store.apply(change) {
            Answer::Refused(_) => assert!(store == before.0, "what is refused changes nothing"),
            _ => assert!(store.version() >= before.1),
        }
        let _ = store.news(before.1);
    }
    let kept = serde_json::to_vec(&store).expect("JSON").len();
    assert!(kept <= MAX_STORE, "{kept} bytes are kept");
    let restored = store.clone().restored();
    assert!(restored.version() > store.version() && restored.news(store.version()).anew);
}

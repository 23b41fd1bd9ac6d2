use super::*;
use serde_json::json;

fn failed(class: FailureClass, message: &str) -> Observed {
    Observed::failed(class, message)
}

fn details(observed: &[Observed]) -> Details {
    let mut details = Details::default();
    for one in observed {
        details.record(one, 1_000);
    }
    details
}

#[test]
fn the_form_is_fixed() {
    let answered = Observed {
        status: Some(200),
        bytes_in: 100,
        bytes_out: 10,
        parts: [None, Some(5), None, Some(7)],
        ..Observed::default()
    };
    let refused = Observed { status: Some(500), ..failed(FailureClass::Status, "the status is 500") };
    let all = details(&[answered.clone(), answered, refused]);
    let value = serde_json::to_value(&all).unwrap();
    let part = |us: u64| json!({"highest": 1000, "count": 2, "sum": 2 * us, "min": us, "max": us, "overflow": 0, "buckets": [[us, 2]]});
    let expected = json!({
        "failures": {"status": {"count": 1, "samples": {"the status is 500": 1}}},
        "statuses": {"200": 2, "500": 1},
        "bytesIn": 200, "bytesOut": 20,
        "parts": {"connect": part(5), "firstByte": part(7)},
    });
    assert_eq!(value, expected);
    assert_eq!(serde_json::from_value::<Details>(value).unwrap(), all);
    assert_eq!(serde_json::to_value(Details::default()).unwrap(), json!({}));
    assert_eq!(serde_json::from_value::<Details>(json!({})).unwrap(), Details::default());
}

#[test]
fn the_least_texts_are_kept_with_their_counts() {
    let texts = ["g", "f", "e", "d", "c", "b", "a", "c", "g", "a"];
    let observed: Vec<Observed> = texts.iter().map(|t| failed(FailureClass::Action, t)).collect();
    let all = details(&observed);
    let samples = &all.failures()[&FailureClass::Action];
    let kept: Vec<(&str, u64)> = samples.counts().iter().map(|(t, n)| (t.as_str(), *n)).collect();
    assert_eq!(kept, [("a", 2), ("b", 1), ("c", 2), ("d", 1), ("e", 1)]);
    assert_eq!((samples.rest(), samples.total()), (3, 10));
}

#[test]
fn samples_are_cut_and_status_codes_beyond_the_room_are_summed() {
    let long = details(&[failed(FailureClass::Dns, &"µ".repeat(150))]);
    let text = long.failures()[&FailureClass::Dns].counts().keys().next().unwrap();
    assert_eq!(text.len(), MAX_SAMPLE_BYTES);
    let statuses: Vec<Observed> =
        (0..70).map(|n| Observed { status: Some(599 - n), ..Observed::default() }).collect();
    let all = details(&statuses);
    assert_eq!((all.statuses().counts().len(), all.statuses().rest()), (MAX_STATUSES, 6));
    assert_eq!(all.statuses().counts().keys().next(), Some(&530));
}

#[test]
fn what_recording_could_not_have_made_is_refused() {
    for (value, part) in [
        (json!({"failures": {"weather": {"count": 1, "samples": {}}}}), "not a class"),
        (json!({"failures": {"dns": {"count": 1, "samples": {"a": 2}}}}), "count more"),
        (json!({"failures": {"dns": {"count": 1, "samples": {"a".repeat(201): 1}}}}), "201 bytes"),
        (json!({"statuses": {"x": 1}}), "not a status"),
        (
            json!({"statuses": (0..65).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>()}),
            "at most 64",
        ),
    ] {
        let error = serde_json::from_value::<Details>(value).unwrap_err().to_string();
        assert!(error.contains(part), "{error}, not {part}");
    }
}

mod law {
    use super::*;
    use proptest::prelude::*;

    /// More texts and status codes than there is room for.
    fn observed() -> impl Strategy<Value = Observed> {
        let class = prop::sample::select(&FailureClass::ALL[..2]);
        (class, "[a-e]{1,2}", 100..250_u16, 0..50_u64).prop_map(|(class, text, status, bytes_in)| Observed {
            status: Some(status),
            bytes_in,
            ..Observed::failed(class, text)
        })
    }

    proptest! {
        #[test]
        fn bounds_do_not_break_the_law(
            observed in prop::collection::vec(observed(), 0..400),
            places in prop::collection::vec(0..4_usize, 400),
        ) {
            let mut parts = vec![Details::default(); 4];
            for (one, place) in observed.iter().zip(&places) {
                parts[*place].record(one, 1_000);
            }
            let whole = details(&observed);
            let sum = |order: [usize; 4]| order.iter().fold(Details::default(), |mut sum, place| {
                sum.absorb(&parts[*place]);
                sum
            });
            prop_assert_eq!(&sum([0, 1, 2, 3]), &whole);
            prop_assert_eq!(&sum([2, 0, 3, 1]), &whole);
            let (mut left, mut right) = (parts[0].clone(), parts[2].clone());
            left.absorb(&parts[1]);
            right.absorb(&parts[3]);
            right.absorb(&left);
            prop_assert_eq!(&right, &whole);
            let text = serde_json::to_string(&whole)?;
            prop_assert_eq!(serde_json::from_str::<Details>(&text)?, whole.clone());
            let failures: u64 = whole.failures().values().map(Least::total).sum();
            prop_assert_eq!(failures, observed.len() as u64);
            prop_assert_eq!(whole.statuses().total(), observed.len() as u64);
        }
    }
}

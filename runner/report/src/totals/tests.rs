use super::*;
use crate::outcome::Outcome;
use serde_json::json;

fn info(name: &str, base: &str, measured: bool) -> RowInfo {
    RowInfo { name: name.to_owned(), base: base.to_owned(), measured, ..RowInfo::default() }
}

fn series(values: &[u64]) -> Series {
    let mut series = Series::new(1_000_000);
    for us in values {
        series.record(Outcome::Succeed, *us);
    }
    series
}

fn shop() -> Totals {
    let mut totals = Totals { requests: 7, bots_started: 2, iterations: 3, ..Totals::default() };
    totals.add(&info("Shop.buy(1)", "Shop.buy", true), series(&[1, 2])).unwrap();
    totals.add(&info("Shop.buy(2)", "Shop.buy", true), series(&[3])).unwrap();
    totals.add(&info("wait(5)", "wait", false), series(&[5_000])).unwrap();
    totals
}

#[test]
fn total_sums_measured_rows() {
    assert_eq!(shop().total(), series(&[1, 2, 3]));
    assert!(Totals::default().total().is_empty());
}

#[test]
fn select_sums_the_rows_of_a_name() {
    let mut totals = shop();
    assert_eq!(totals.select("Shop.buy(1)"), Some(series(&[1, 2])));
    assert_eq!(totals.select("Shop.buy"), Some(series(&[1, 2, 3])));
    assert_eq!(totals.select("wait"), Some(series(&[5_000])));
    assert_eq!(totals.select("Shop"), None);
    totals.add(&info("Shop.buy", "Shop.buy", true), series(&[9])).unwrap();
    assert_eq!(totals.select("Shop.buy"), Some(series(&[1, 2, 3, 9])));
    // A label, and one that is called like an action.
    totals.add(&info("the dear one", "Shop.buy", true), series(&[20])).unwrap();
    totals.add(&info("Shop.buy(3)", "Shop.pay", true), series(&[40])).unwrap();
    totals.add(&info("wait", "Shop.look", true), series(&[60])).unwrap();
    assert_eq!(totals.select("Shop.buy"), Some(series(&[1, 2, 3, 9, 20])));
    assert_eq!(totals.select("the dear one"), Some(series(&[20])));
    assert_eq!(totals.select("wait"), Some(series(&[60, 5_000])));
}

#[test]
fn what_is_meant_may_be_a_group_a_scenario_and_stages() {
    let mut totals = Totals::default();
    for (scenario, group, us) in
        [("day", "Shop", 1), ("day", "Shop / Pay", 2), ("night", "Shop", 3), ("night", "", 4)]
    {
        let place =
            RowInfo { scenario: scenario.into(), group: group.into(), ..info("GET /", "GET /", true) };
        totals.add(&place, series(&[us])).unwrap();
    }
    let row = totals.rows.values_mut().next().unwrap();
    row.stages.insert(1, series(&[5, 6]));
    assert_eq!(totals.rows.len(), 4);
    let about = |action: &str, group: &str, scenario: &str, stages: &[(&str, u16)]| {
        let given = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let stages = Some(stages.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect::<Vec<_>>());
        let selector = Selector {
            action: given(action),
            group: given(group),
            scenario: given(scenario),
            stages: stages.filter(|s| !s.is_empty()),
        };
        totals.select_by(&selector).latency().sum()
    };
    assert_eq!(about("", "", "", &[]), 21);
    assert_eq!(about("GET /", "", "day", &[]), 14);
    assert_eq!(about("", "Shop", "", &[]), 17);
    assert_eq!(about("GET /", "Shop / Pay", "", &[]), 2);
    assert_eq!(about("", "Shop", "night", &[]), 3);
    assert_eq!(about("", "", "", &[("day", 1), ("night", 1)]), 11);
    assert_eq!(about("", "", "", &[("night", 1)]), 0);
    assert_eq!(about("POST /", "", "", &[]), 0);
}

#[test]
fn merging_adds_everything() {
    let mut totals = shop();
    totals.merge(&shop()).unwrap();
    assert_eq!((totals.requests, totals.bots_started, totals.iterations), (14, 4, 6));
    assert_eq!(totals.rows["Shop.buy(1)"].series, series(&[1, 1, 2, 2]));
    assert_eq!(totals.rows.len(), 3);
}

#[test]
fn a_refused_merge_changes_nothing() {
    let mut totals = shop();
    let mut other = Series::new(5);
    other.record(Outcome::Fail, 1);
    let error = totals.add(&info("a", "a", true), other).unwrap_err();
    assert_eq!(error, MergeError::RangeMismatch { own: 1_000_000, other: 5 });
    for (counter, full) in [
        ("requests", Totals { requests: u64::MAX, ..shop() }),
        ("bots started", Totals { bots_started: u64::MAX, ..shop() }),
        ("iterations", Totals { iterations: u64::MAX, ..shop() }),
    ] {
        assert_eq!(totals.merge(&full), Err(MergeError::CountOverflow { counter }));
    }
    assert_eq!(totals, shop());
}

#[test]
fn rows_beyond_the_cap_are_summed_and_shown() {
    let mut totals = shop();
    for number in 0..MAX_ROWS + 5 {
        totals.add(&info(&format!("Z{number:04}"), "Z", true), series(&[number as u64])).unwrap();
        totals.add(&info(&format!("control{number:04}"), "log", false), series(&[1])).unwrap();
    }
    assert_eq!(totals.rows.len(), MAX_ROWS + 2);
    assert_eq!(totals.total().measured_count(), 3 + MAX_ROWS as u64 + 5);
    let named_z = totals.rows.keys().filter(|name| name.starts_with('Z')).count();
    assert_eq!(named_z, MAX_ROWS - 2, "capitals come first, beside two of the shop's");
    let other = totals.select(OTHER).unwrap();
    assert_eq!(other.measured_count(), 7);
    assert_eq!(other.latency().min(), Some(MAX_ROWS as u64 - 2));
    assert_eq!(totals.rows[OTHER_CONTROL].series.measured_count(), MAX_ROWS as u64 + 5 + 1, "wait(5) too");
    assert!(totals.rows[OTHER].measured && !totals.rows[OTHER_CONTROL].measured);

    let text = serde_json::to_string(&totals).unwrap();
    assert_eq!(serde_json::from_str::<Totals>(&text).unwrap(), totals);
}

#[test]
fn a_row_named_like_a_sum_joins_the_sum_of_its_kind() {
    let mut totals = Totals::default();
    totals.add(&info(OTHER, "wait", false), series(&[8])).unwrap();
    totals.add(&info(OTHER_CONTROL, "http", true), series(&[9])).unwrap();
    assert_eq!(totals.total(), series(&[9]));
    assert_eq!(totals.rows[OTHER].base, OTHER);
    assert_eq!(totals.rows[OTHER_CONTROL].series, series(&[8]));
}

#[test]
fn rows_described_twice_are_settled_the_same_either_way() {
    let (wait, http) = (info("x", "wait", false), info("x", "http", true));
    for order in [[&wait, &http], [&http, &wait]] {
        let mut totals = Totals::default();
        for info in order {
            totals.add(info, series(&[1])).unwrap();
        }
        assert_eq!((totals.rows["x"].base.as_str(), totals.rows["x"].measured), ("http", true));
    }
}

#[test]
fn long_names_are_cut_between_characters() {
    let mut totals = Totals::default();
    let long = format!("a{}", "µ".repeat(MAX_NAME_BYTES));
    totals.add(&info(&long, &long, true), series(&[1])).unwrap();
    let (name, row) = totals.rows.first_key_value().unwrap();
    assert_eq!((name.len(), row.base.len()), (MAX_NAME_BYTES - 1, MAX_NAME_BYTES - 1));
    let text = serde_json::to_string(&totals).unwrap();
    assert_eq!(serde_json::from_str::<Totals>(&text).unwrap(), totals);
}

#[test]
fn reading_is_bounded() {
    let row = json!({"base": "b", "measured": true, "series": {"highest": 9}});
    let read = |rows: serde_json::Value| {
        let value = json!({"rows": rows, "requests": 0, "bots_started": 0, "iterations": 0});
        serde_json::from_value::<Totals>(value)
    };
    let named = |count: usize| (0..count).map(|n| (n.to_string(), row.clone())).collect();
    assert!(
        read(serde_json::Value::Object(named(MAX_ROWS_READ))).unwrap().rows.is_empty(),
        "empty rows are dropped"
    );
    assert!(read(serde_json::Value::Object(named(MAX_ROWS_READ + 1))).is_err());
    assert!(read(json!({"a".repeat(key::MAX_KEY_BYTES + 1): row})).is_err());
    assert!(
        read(
            json!({"a": {"base": "b".repeat(MAX_NAME_BYTES + 1), "measured": true, "series": {"highest": 9}}})
        )
        .is_err()
    );

    let one = |highest: u64, count: u64| {
        let buckets = json!([[1, count]]);
        let histogram = json!({"highest": highest, "count": count, "sum": count, "min": 1, "max": 1, "overflow": 0, "buckets": buckets});
        json!({"base": "b", "measured": true, "series": {"highest": highest, "fail": histogram}})
    };
    assert_eq!(read(json!({"a": one(9, 1), "b": one(9, u64::MAX - 1)})).unwrap().rows.len(), 2);
    let error = read(json!({"a": one(9, 1), "b": one(9, u64::MAX)})).unwrap_err().to_string();
    assert!(error.contains("64 bits"), "{error}");
    let error = read(json!({"a": one(9, 1), "b": one(8, 1)})).unwrap_err().to_string();
    assert!(error.contains("same plan"), "{error}");
}

#[test]
fn what_is_done_once_beside_the_load_is_in_no_selection() {
    let mut totals = shop();
    let once = RowInfo { scenario: "(setup)".into(), ..info("Shop.buy(1)", "Shop.buy", false) };
    totals.add(&once, series(&[7_000])).unwrap();
    assert_eq!(totals.select("Shop.buy"), Some(series(&[1, 2, 3])));
    let selector =
        Selector { scenario: Some("(setup)".into()), action: Some("Shop.buy".into()), ..Selector::default() };
    assert_eq!(totals.select_by(&selector), series(&[7_000]), "but when it is asked for");
}

#[test]
fn the_rows_of_a_figure_are_those_that_it_is_lost_with() {
    let mut totals = Totals::default();
    for (name, scenario, group, measured) in [
        ("buy(1)", "day", "Shop", true),
        ("buy(2)", "night", "Shop / Pay", true),
        ("wait(1)", "day", "Shop", false),
        ("look", "night", "", true),
        ("(iteration)", "day", "", false),
    ] {
        let base = name.split('(').next().unwrap_or_default();
        let place = RowInfo { scenario: scenario.into(), group: group.into(), ..info(name, base, measured) };
        totals.add(&place, series(&[1])).unwrap();
    }
    let rows_of = |selector: &Selector| -> Vec<String> {
        totals.rows_of(selector).iter().map(|key| RowKey::of(key).name.to_owned()).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let stages = |scenario: &str| Some(vec![(scenario.to_owned(), 1)]);
    let none = Selector::default();
    for (selector, expected) in [
        (none.clone(), vec![]),
        (Selector { stages: stages(""), ..none.clone() }, vec![]),
        (Selector { action: some("buy"), ..none.clone() }, vec!["buy(1)", "buy(2)"]),
        (Selector { action: some("buy(2)"), ..none.clone() }, vec!["buy(2)"]),
        (Selector { action: some("wait"), ..none.clone() }, vec!["wait(1)"]),
        (Selector { group: some("Shop"), ..none.clone() }, vec!["buy(1)", "buy(2)"]),
        (Selector { scenario: some("night"), ..none.clone() }, vec!["buy(2)", "look"]),
        (Selector { stages: stages("day"), ..none.clone() }, vec!["buy(1)"]),
        (
            Selector { action: some("buy"), scenario: some("day"), stages: stages("day"), ..none },
            vec!["buy(1)"],
        ),
    ] {
        assert_eq!(rows_of(&selector), expected, "{selector:?}");
        let spared = totals.rows_of(&selector);
        let before = totals.select_by(&selector);
        let mut summed = totals.clone();
        summed.sum_up(&totals.smallest(0, &spared));
        assert_eq!(summed.select_by(&selector), before, "{selector:?}");
        assert_eq!(
            summed.rows.len() - summed.rows.keys().filter(|key| is_sum(key)).count(),
            spared.len() + 1
        );
    }
}

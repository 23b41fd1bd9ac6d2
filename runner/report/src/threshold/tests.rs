use super::*;
use crate::histogram::QUANTILE_ONE;
use crate::outcome::Outcome;

fn series(counts: &[(Outcome, u64, u64)]) -> Series {
    let mut series = Series::default();
    for (outcome, us, times) in counts {
        (0..*times).for_each(|_| series.record(*outcome, *us));
    }
    series
}

fn judged(expect: &str, series: &Series) -> (String, bool) {
    let Judgement { value, passed } = Threshold::parse(expect).unwrap().evaluate(series);
    (value, passed)
}

fn refusal(expect: &str) -> String {
    Threshold::parse(expect).unwrap_err().to_string()
}

#[test]
fn reads_every_metric_operator_and_unit() {
    let quantile = |parts| Statistic::Quantile(parts);
    for (expect, statistic, operator, us) in [
        ("p(95) < 500ms", quantile(950_000_000), Operator::Less, 500_000),
        ("p(99.9)<=1.5s", quantile(999_000_000), Operator::AtMost, 1_500_000),
        (" p ( 99.9999999 ) > 2 m ", quantile(999_999_999), Operator::Greater, 120_000_000),
        ("p(0) >= 0us", quantile(0), Operator::AtLeast, 0),
        ("p(100) == 7µs", quantile(QUANTILE_ONE), Operator::Equal, 7),
        ("med != 7\u{3bc}s", quantile(500_000_000), Operator::Unequal, 7),
        ("min\t<\n1h", Statistic::Min, Operator::Less, 3_600_000_000),
        ("max<1m30s", Statistic::Max, Operator::Less, 90_000_000),
        ("avg<1m 30s 5ms", Statistic::Average, Operator::Less, 90_005_000),
        ("avg < 0.000001s", Statistic::Average, Operator::Less, 1),
        ("max < 1.5000000000000000000000s", Statistic::Max, Operator::Less, 1_500_000),
    ] {
        let threshold = Threshold { limit: Limit::Latency { statistic, us }, operator };
        assert_eq!(Threshold::parse(expect), Ok(threshold), "{expect}");
    }
    for (expect, share) in
        [("1%", 0.01), ("0.01", 0.01), ("12.5 %", 0.125), ("0", 0.0), ("100%", 1.0), ("1.0", 1.0)]
    {
        let Limit::Rate { rate: Rate::Failed, numerator, denominator } =
            Threshold::parse(&format!("fail_rate<{expect}")).unwrap().limit
        else {
            panic!("{expect} is not read as a rate");
        };
        assert!((numerator as f64 / denominator as f64 - share).abs() < 1e-12, "{expect}");
    }
    assert_eq!(Threshold::parse("count > 1000").unwrap().limit, Limit::Count(1000));
    assert_eq!(Threshold::parse("count > 18446744073709551615").unwrap().limit, Limit::Count(u64::MAX));
}

#[test]
fn errors_name_column_and_cure() {
    for (expect, error) in [
        (
            "",
            "column 1: expected a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count, found the end",
        ),
        ("  p95 < 1s", "column 4: expected \"(\" as in p(95), found \"95 < 1s\""),
        (
            "P(95) < 1s",
            "column 1: expected a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count, found \"P(95) < 1s\"",
        ),
        (
            "rate < 1",
            "column 1: expected a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count, found \"rate < 1\"",
        ),
        ("p() < 1s", "column 3: expected a percentile such as 95 or 99.9, found \") < 1s\""),
        ("p(95 < 1s", "column 6: expected \")\" as in p(95), found \"< 1s\""),
        ("p(100.1) < 1s", "column 3: a percentile is 0 to 100 with at most 7 decimals, such as p(99.9)"),
        (
            "p(99.12345678) < 1s",
            "column 3: a percentile is 0 to 100 with at most 7 decimals, such as p(99.9)",
        ),
        (
            "µs max",
            "column 1: expected a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count, found \"µs max\"",
        ),
        ("max = 1s", "column 5: expected an operator: <, <=, >, >=, == or !=, found \"= 1s\""),
        ("max", "column 4: expected an operator: <, <=, >, >=, == or !=, found the end"),
        ("max < 500", "column 7: 500 has no unit; write 500ms or 500s"),
        ("max < 1m0.50", "column 9: 0.5 has no unit; write 0.5ms or 0.5s"),
        ("max < -1s", "column 7: expected a duration such as 500ms or 1.5s, found \"-1s\""),
        ("max < 5x", "column 8: expected a unit: us, ms, s, m or h, found \"x\""),
        ("max < 1s1m", "column 10: expected a smaller unit than the one before, as in 1m30s, found \"m\""),
        ("max < 1.s", "column 9: expected a digit after the point, found \"s\""),
        (
            "max < 1.5us",
            "column 7: a duration is a whole number of microseconds below 500000 years, such as 1.5ms",
        ),
        (
            "max < 18446744073709551615s",
            "column 7: a duration is a whole number of microseconds below 500000 years, such as 1.5ms",
        ),
        ("max < 18446744073709551616s", "column 7: the number has too many digits; write at most 19"),
        ("max < 0.00000000000000000001s", "column 7: the number has too many digits; write at most 19"),
        (
            "max < 1s and min < 1s",
            "column 10: expected the end; a threshold is one comparison, found \"and min < 1s\"",
        ),
        (
            "µ < 1s\u{1b}",
            "column 1: expected a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count, found \"µ < 1s\\u{1b}\"",
        ),
        (
            "fail_rate < 5",
            "column 13: a rate is 0% to 100%, or 0 to 1, with at most 9 decimals; write 5% or 0.05",
        ),
        (
            "fail_rate < 101%",
            "column 13: a rate is 0% to 100%, or 0 to 1, with at most 9 decimals; write 5% or 0.05",
        ),
        ("fail_rate < 1ms", "column 14: expected the end; a threshold is one comparison, found \"ms\""),
        ("count > 1.5", "column 9: a count is a whole number; write 1000"),
        ("count > many", "column 9: expected a whole number such as 1000, found \"many\""),
    ] {
        assert_eq!(refusal(expect), error, "{expect}");
    }
    let long = format!("max < 1s{}", " ".repeat(MAX_EXPECT_BYTES));
    assert_eq!(Threshold::parse(&long), Err(ParseError::TooLong { bytes: 264 }));
    assert!(refusal("nonsense that goes on and on").ends_with("found \"nonsense that goes o…\""));
}

#[test]
fn operators_decide_at_the_limit() {
    let ten = series(&[(Outcome::Succeed, 10, 1)]);
    for (operator, verdicts) in [
        ("<", [false, false, true]),
        ("<=", [false, true, true]),
        (">", [true, false, false]),
        (">=", [true, true, false]),
        ("==", [false, true, false]),
        ("!=", [true, false, true]),
    ] {
        for (limit, passed) in ["9us", "10us", "11us"].into_iter().zip(verdicts) {
            assert_eq!(
                judged(&format!("max {operator} {limit}"), &ten),
                ("10us".to_owned(), passed),
                "{operator} {limit}"
            );
        }
    }
}

#[test]
fn rates_are_compared_as_ratios() {
    let one_of_hundred =
        series(&[(Outcome::Succeed, 1, 99), (Outcome::Fail, 1, 1), (Outcome::Cancelled, 1, 50)]);
    for (expect, passed) in [
        ("fail_rate < 1%", false),
        ("fail_rate <= 1%", true),
        ("fail_rate == 0.01", true),
        ("fail_rate < 1.000000001%", true),
        ("fail_rate > 0.999999999%", true),
    ] {
        assert_eq!(judged(expect, &one_of_hundred), ("1.00%".to_owned(), passed), "{expect}");
    }
    let thirds = series(&[(Outcome::Succeed, 1, 1), (Outcome::Error, 1, 1), (Outcome::Crash, 1, 1)]);
    assert_eq!(judged("fail_rate > 66.666666666%", &thirds), ("66.67%".to_owned(), true));
    assert_eq!(judged("fail_rate < 66.666666667%", &thirds), ("66.67%".to_owned(), true));
}

#[test]
fn what_was_cut_off_is_a_share_of_all_that_could_have_ended() {
    let mut series = series(&[(Outcome::Succeed, 1, 97), (Outcome::Cancelled, 1, 50)]);
    assert_eq!(judged("cut_off_rate == 0%", &series), ("0.00%".to_owned(), true));
    (0..3).for_each(|_| series.record_cut_off(9));
    for (expect, passed) in
        [("cut_off_rate < 3%", false), ("cut_off_rate <= 3%", true), ("cut_off_rate > 0.02", true)]
    {
        assert_eq!(judged(expect, &series), ("3.00%".to_owned(), passed), "{expect}");
    }
    let mut all = Series::default();
    all.record_cut_off(9);
    assert_eq!(judged("cut_off_rate < 1%", &all), ("100.00%".to_owned(), false));
    let has_samples = |expect| Threshold::parse(expect).unwrap().has_samples(&all);
    assert!(has_samples("cut_off_rate < 1%") && !has_samples("fail_rate < 1%") && !has_samples("count > 0"));
    assert_eq!(judged("fail_rate < 1%", &all), ("no samples".to_owned(), false));
    assert_eq!(judged("cut_off_rate < 1%", &Series::default()), ("no samples".to_owned(), false));
}

#[test]
fn latencies_are_over_all_but_cancelled() {
    let mixed = series(&[
        (Outcome::Succeed, 100, 1),
        (Outcome::Fail, 200, 1),
        (Outcome::Error, 301, 1),
        (Outcome::Crash, 400, 1),
        (Outcome::Cancelled, 9_000, 9),
    ]);
    assert_eq!(judged("min == 100us", &mixed), ("100us".to_owned(), true));
    assert_eq!(judged("max == 400us", &mixed), ("400us".to_owned(), true));
    assert_eq!(judged("med == 200us", &mixed), ("200us".to_owned(), true));
    assert_eq!(judged("p(75) == 301us", &mixed), ("301us".to_owned(), true));
    // The average is 250.25: it reads as 250us and is not 250us.
    assert_eq!(judged("avg == 250us", &mixed), ("250us".to_owned(), false));
    assert_eq!(judged("avg > 250us", &mixed), ("250us".to_owned(), true));
    assert_eq!(judged("count == 4", &mixed), ("4".to_owned(), true));
}

#[test]
fn the_average_reads_rounded() {
    let half = series(&[(Outcome::Succeed, 1, 1), (Outcome::Succeed, 2, 1)]);
    assert_eq!(judged("avg < 2us", &half), ("2us".to_owned(), true));
    let third = series(&[(Outcome::Succeed, 1, 2), (Outcome::Succeed, 2, 1)]);
    assert_eq!(judged("avg > 1us", &third), ("1us".to_owned(), true));
}

#[test]
fn nothing_measured_proves_nothing() {
    let only_cancelled = series(&[(Outcome::Cancelled, 5, 5)]);
    for nothing in [Series::default(), only_cancelled] {
        for expect in ["p(95) < 1h", "avg >= 0us", "min != 1s", "max < 1s", "fail_rate <= 100%"] {
            assert_eq!(judged(expect, &nothing), ("no samples".to_owned(), false), "{expect}");
        }
        assert_eq!(judged("count == 0", &nothing), ("0".to_owned(), true));
        assert_eq!(judged("count > 0", &nothing), ("0".to_owned(), false));
    }
}

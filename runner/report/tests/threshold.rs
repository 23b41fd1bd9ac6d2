//! Thresholds over any text and any counts.

use botarmy_report::{Judgement, Outcome, Series, Threshold};
use proptest::prelude::*;

fn counted(succeed: u16, fail: u16) -> Series {
    let mut series = Series::default();
    (0..succeed).for_each(|_| series.record(Outcome::Succeed, 10));
    (0..fail).for_each(|_| series.record(Outcome::Fail, 10));
    series
}

fn judged(expect: &str, series: &Series) -> Result<Judgement, TestCaseError> {
    let threshold =
        Threshold::parse(expect).map_err(|error| TestCaseError::fail(format!("{expect}: {error}")))?;
    Ok(threshold.evaluate(series))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in any::<String>()) {
        if let Err(error) = Threshold::parse(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    /// Texts near the language, which random characters never reach.
    #[test]
    fn any_words_are_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(&[
                "p", "(", ")", "95", "99.9", "min", "avg", "fail_rate", "count", "<", "<=", "==", "!", "500", "ms",
                "s", "µs", "1.", "%", " ", "0.01", "18446744073709551615", "h", "é",
            ]),
            0..12,
        ),
    ) {
        let text = words.concat();
        if let Ok(threshold) = Threshold::parse(&text) {
            let nothing = threshold.evaluate(&Series::default());
            prop_assert!(!nothing.passed || nothing.value == "0", "{} passed on nothing", text);
        }
    }

    /// One of the three orders holds, and the six operators agree with it.
    #[test]
    fn operators_agree_on_rates(succeed in 0..200_u16, fail in 0..200_u16, hundredths in 0..=10_000_u64) {
        prop_assume!(succeed + fail > 0);
        let series = counted(succeed, fail);
        let limit = format!("{}.{:02}%", hundredths / 100, hundredths % 100);
        let order = (u64::from(fail) * 10_000).cmp(&(hundredths * (u64::from(succeed) + u64::from(fail))));
        for (operator, holds) in [
            ("<", order.is_lt()), ("<=", order.is_le()), (">", order.is_gt()),
            (">=", order.is_ge()), ("==", order.is_eq()), ("!=", order.is_ne()),
        ] {
            let judgement = judged(&format!("fail_rate {operator} {limit}"), &series)?;
            prop_assert_eq!(judgement.passed, holds, "{} {}", operator, limit);
        }
    }

    /// The same microseconds in every notation are the same limit.
    #[test]
    fn notations_of_a_duration_agree(us in 1..10_000_000_u64) {
        let mut series = Series::default();
        series.record(Outcome::Succeed, us);
        let seconds = format!("{}.{:06}s", us / 1_000_000, us % 1_000_000);
        let groups = format!("{}s {}ms {} us", us / 1_000_000, us / 1_000 % 1_000, us % 1_000);
        for written in [format!("{us}us"), format!("{}.{:03}ms", us / 1_000, us % 1_000), seconds, groups] {
            prop_assert!(judged(&format!("max == {written}"), &series)?.passed, "{}", written);
        }
    }
}

//! The text of a threshold, read from left to right.

use super::scan::Scanner;
use super::{Limit, MAX_EXPECT_BYTES, Operator, ParseError, Rate, Statistic, Threshold};
use crate::histogram::QUANTILE_ONE;

const METRIC: &str = "a metric: p(95), min, max, avg, med, fail_rate, cut_off_rate or count";
const OPERATOR: &str = "an operator: <, <=, >, >=, == or !=";
const DURATION: &str = "a duration such as 500ms or 1.5s";
const UNIT: &str = "a unit: us, ms, s, m or h";
const SMALLER_UNIT: &str = "a smaller unit than the one before, as in 1m30s";
const END: &str = "the end; a threshold is one comparison";

/// The whole of a rate in parts: a percentage with 9 decimals is a whole number of them.
const RATE_ONE: u64 = 100_000_000_000;

/// What stands left of the operator; it decides how the right is read.
enum Metric {
    Latency(Statistic),
    Rate(Rate),
    Count,
}

pub(super) fn threshold(text: &str) -> Result<Threshold, ParseError> {
    if text.len() > MAX_EXPECT_BYTES {
        return Err(ParseError::TooLong { bytes: text.len() });
    }
    let mut scanner = Scanner::new(text);
    let metric = metric(&mut scanner)?;
    let operator = operator(&mut scanner)?;
    let limit = match metric {
        Metric::Latency(statistic) => Limit::Latency { statistic, us: duration(&mut scanner)? },
        Metric::Rate(of) => Limit::Rate { rate: of, numerator: rate(&mut scanner)?, denominator: RATE_ONE },
        Metric::Count => Limit::Count(count(&mut scanner)?),
    };
    if scanner.is_at_end() { Ok(Threshold { limit, operator }) } else { Err(scanner.unexpected(END)) }
}

fn metric(scanner: &mut Scanner<'_>) -> Result<Metric, ParseError> {
    let start = *scanner;
    let statistic = match scanner.word() {
        "p" => Statistic::Quantile(percentile(scanner)?),
        "min" => Statistic::Min,
        "max" => Statistic::Max,
        "avg" => Statistic::Average,
        "med" => Statistic::Quantile(QUANTILE_ONE / 2),
        "fail_rate" => return Ok(Metric::Rate(Rate::Failed)),
        "cut_off_rate" => return Ok(Metric::Rate(Rate::CutOff)),
        "count" => return Ok(Metric::Count),
        _ => {
            *scanner = start;
            return Err(scanner.unexpected(METRIC));
        }
    };
    Ok(Metric::Latency(statistic))
}

fn percentile(scanner: &mut Scanner<'_>) -> Result<u64, ParseError> {
    if !scanner.skip('(') {
        return Err(scanner.unexpected("\"(\" as in p(95)"));
    }
    let column = scanner.column();
    let percent = scanner.number("a percentile such as 95 or 99.9")?;
    let parts = percent.times(QUANTILE_ONE / 100).filter(|parts| *parts <= QUANTILE_ONE);
    let parts = parts.ok_or(ParseError::Percentile { column })?;
    if scanner.skip(')') { Ok(parts) } else { Err(scanner.unexpected("\")\" as in p(95)")) }
}

fn operator(scanner: &mut Scanner<'_>) -> Result<Operator, ParseError> {
    let start = *scanner;
    Ok(match scanner.sign() {
        "<" => Operator::Less,
        "<=" => Operator::AtMost,
        ">" => Operator::Greater,
        ">=" => Operator::AtLeast,
        "==" => Operator::Equal,
        "!=" => Operator::Unequal,
        _ => {
            *scanner = start;
            return Err(scanner.unexpected(OPERATOR));
        }
    })
}

/// Groups of a number and a unit, from the largest unit to the smallest, in microseconds.
fn duration(scanner: &mut Scanner<'_>) -> Result<u64, ParseError> {
    let column = scanner.column();
    let (mut total, mut last) = (0_u64, u64::MAX);
    loop {
        let group_column = scanner.column();
        let number = scanner.number(DURATION)?;
        if scanner.is_at_end() {
            return Err(ParseError::NoUnit { column: group_column, number: number.to_string() });
        }
        let unit = unit(scanner, last)?;
        let us = number.times(unit).and_then(|us| total.checked_add(us));
        total = us.ok_or(ParseError::Duration { column })?;
        last = unit;
        if !scanner.is_at_digit() {
            return Ok(total);
        }
    }
}

/// Microseconds of the unit that comes next; it is less than the one before.
fn unit(scanner: &mut Scanner<'_>, last: u64) -> Result<u64, ParseError> {
    let start = *scanner;
    let unit = match scanner.word() {
        // The micro sign and the Greek letter look the same.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1),
        "ms" => Some(1_000),
        "s" => Some(1_000_000),
        "m" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        _ => None,
    };
    match unit {
        Some(unit) if unit < last => Ok(unit),
        _ => {
            *scanner = start;
            Err(scanner.unexpected(if unit.is_some() { SMALLER_UNIT } else { UNIT }))
        }
    }
}

/// A share in parts of [`RATE_ONE`].
fn rate(scanner: &mut Scanner<'_>) -> Result<u64, ParseError> {
    let column = scanner.column();
    let number = scanner.number("a rate such as 1% or 0.01")?;
    let one = if scanner.skip('%') { RATE_ONE / 100 } else { RATE_ONE };
    let fits = number.scale <= 9;
    number.times(one).filter(|parts| fits && *parts <= RATE_ONE).ok_or(ParseError::Rate { column })
}

fn count(scanner: &mut Scanner<'_>) -> Result<u64, ParseError> {
    let column = scanner.column();
    let number = scanner.number("a whole number such as 1000")?;
    number.times(1).ok_or(ParseError::Count { column })
}

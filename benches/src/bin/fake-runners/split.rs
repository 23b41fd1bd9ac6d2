//! What the parts of a check-in cost the operator: each is done here again and again, without a network.
//!
//! The parts are the operator's own functions, and rustls with the operator's own settings.

mod tls;

use crate::measures::{BOTS, Measures};
use botarmy_operator::armies::Army;
use botarmy_operator::certificates::Authority;
use botarmy_operator::checkpoint;
use botarmy_protocol::{CheckIn, Orders, RunRef, Stage, Together, VERSION};
use botarmy_report::{Delta, Totals};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;
use tls::Sides;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Calls that are prepared together, so that the clock is asked seldom.
const BATCH: u32 = 50;
/// When the army begins, in milliseconds.
const START_MS: u64 = 1_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many runners the run has.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runners: u32,
    /// How many deltas a check-in carries: the new one, and those that have to be sent again, because a coordinator
    /// was lost before they were durable.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=30))]
    deltas: u64,
    /// How long each part is measured, in seconds of processor time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// What this process has computed so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// Microseconds of processor time that a call takes, over about `time` of it. What is prepared is not counted, nor is
/// its end.
fn each_us<T>(
    time: Duration,
    mut prepare: impl FnMut() -> Result<Vec<T>>,
    mut call: impl FnMut(&T) -> Result<()>,
) -> Result<f64> {
    let (mut spent, mut calls) = (Duration::ZERO, 0);
    while spent < time {
        let batch = prepare()?;
        let begun = processor_time();
        for one in &batch {
            call(one)?;
        }
        spent += processor_time().saturating_sub(begun);
        calls += batch.len();
    }
    Ok(spent.as_secs_f64() * 1e6 / calls as f64)
}

/// Measures all parts.
pub(crate) fn split(args: &Args) -> Result<Value> {
    let time = Duration::from_secs(args.seconds);
    let measures = Measures::new()?;
    let said = said(&measures, 0, Stage::Running, args.deltas, args.deltas);
    let body = serde_json::to_vec(&said)?;
    let (mut army, orders) = (army(args.runners)?, orders(args)?);
    let answer = serde_json::to_vec(&orders)?;
    let sides = sides()?;
    let many = |count: u32| -> Result<Vec<u32>> { Ok((0..count).collect()) };
    Ok(json!({
        "runners": args.runners,
        "deltas": args.deltas,
        "bodyBytes": body.len(),
        "answerBytes": answer.len(),
        "handshakeUs": tls::handshake_us(&sides, time)?,
        "tlsUs": tls::exchange_us(&sides, time, &body, &answer)?,
        "decodeUs": each_us(time, || many(BATCH), |_| {
            black_box(serde_json::from_slice::<CheckIn>(&body)?);
            Ok(())
        })?,
        "mergeUs": merge_us(&measures, time)?,
        "checkInUs": check_in_us(&mut army, &measures, args, time)?,
        "encodeUs": each_us(time, || many(BATCH), |_| {
            black_box(serde_json::to_vec(&orders)?);
            Ok(())
        })?,
        "checkpointUs": each_us(time, || many(1), |_| {
            black_box(checkpoint::pack(&army.checkpoint())?);
            Ok(())
        })?,
        "resultUs": each_us(time, || many(1), |_| {
            black_box(army.result(START_MS + 60_000));
            Ok(())
        })?,
    }))
}

fn sides() -> Result<Sides> {
    const HOST: &str = "botarmy-coordinator.botarmy.svc";
    let now = Timestamp::now();
    let authority = Authority::generate(now, Duration::from_secs(3600))?;
    let client = crate::link::trusting(&authority.certificate)?;
    Ok(Sides { client, server: authority.server(&[HOST.to_owned()], now)?, name: HOST.try_into()? })
}

/// What runner `index` says: so many deltas up to `last`.
fn said(measures: &Measures, index: u32, stage: Stage, deltas: u64, last: u64) -> CheckIn {
    let first = last.saturating_sub(deltas) + 1;
    let deltas: Vec<Delta> =
        (first..=last).map(|sequence| measures.delta(index, sequence, sequence - 1)).collect();
    CheckIn {
        protocol: VERSION,
        run: RunRef {
            namespace: "benches".to_owned(),
            name: "split".to_owned(),
            uid: "11111111-2222-3333-4444-555555555555".to_owned(),
        },
        index,
        pod_uid: format!("11111111-2222-3333-4444-{index:012}"),
        stage,
        alive: BOTS,
        round_trip_ms: Some(3),
        deltas,
        left: false,
        refusal: None,
        sources: None,
        performed: None,
        together: Together::default(),
        trusts: None,
        began_late_ms: None,
        standing: botarmy_protocol::Standing::default(),
    }
}

/// An army whose runners wait for the start, and all of which know it.
fn army(runners: u32) -> Result<Army> {
    let spec: BotRunSpec = serde_json::from_value(json!({
        "trees": {"T": {"wait": "1s"}}, "bots": runners * BOTS, "runners": {"count": runners},
    }))?;
    let run = Run::check(&spec, "split", &Path::top(), &Actions::built_in()).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let mut army = Army::new("benches", "split", &spec, run, 1, 1);
    let measures = Measures::new()?;
    for index in 0..runners {
        army.check_in(&said(&measures, index, Stage::Ready, 0, 0), START_MS)?;
    }
    let kept = army.checkpoint();
    army.written(&kept);
    Ok(army)
}

/// What a runner at work is answered.
fn orders(args: &Args) -> Result<Orders> {
    let mut army = army(args.runners)?;
    let orders = army.check_in(&said(&Measures::new()?, 0, Stage::Running, 1, 1), START_MS)?;
    orders.start_at_ms.ok_or("the army has not begun")?;
    Ok(orders)
}

/// Adding a delta to the sum, and nothing else.
fn merge_us(measures: &Measures, time: Duration) -> Result<f64> {
    let (mut totals, mut warmup) = (Totals::default(), Totals::default());
    let deltas =
        || -> Result<Vec<Delta>> { Ok((0..BATCH).map(|index| measures.delta(index, 1, 0)).collect()) };
    each_us(time, deltas, |delta: &Delta| Ok(delta.merge_into(&mut totals, &mut warmup)?))
}

/// All that an army does for a check-in: the merge, and whatever it looks at in between.
fn check_in_us(army: &mut Army, measures: &Measures, args: &Args, time: Duration) -> Result<f64> {
    let (mut index, mut sequence) = (0, 1);
    let prepare = || -> Result<Vec<CheckIn>> {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let deltas = args.deltas.min(sequence);
            batch.push(said(measures, index, Stage::Running, deltas, sequence));
            index += 1;
            if index == args.runners {
                (index, sequence) = (0, sequence + 1);
            }
        }
        Ok(batch)
    };
    each_us(time, prepare, |said: &CheckIn| {
        let seconds = said.deltas.last().map_or(0, |delta| delta.sequence);
        black_box(army.check_in(said, START_MS + seconds * 1000)?);
        black_box(army.is_urgent());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_are_counted_and_all_of_them() {
        let (mut prepared, mut called) = (0, 0);
        let batch = || {
            prepared += 3;
            Ok(vec![(); 3])
        };
        let time = Duration::from_millis(5);
        let us = each_us(time, batch, |()| {
            called += 1;
            black_box((0..2_000).fold(0_u64, |sum, n| black_box(sum + n)));
            Ok(())
        });
        assert!(us.unwrap() > 0.1);
        assert_eq!(prepared, called);
    }

    #[test]
    fn an_army_takes_what_is_measured() {
        let args = Args { runners: 3, deltas: 2, seconds: 1 };
        assert_eq!(orders(&args).unwrap().applied, 1);
        let measures = Measures::new().unwrap();
        let mut army = army(3).unwrap();
        check_in_us(&mut army, &measures, &args, Duration::from_millis(20)).unwrap();
        assert!(army.totals().requests >= 50 * crate::measures::REQUESTS);
    }
}

//! `raw-client ADDRESS closed|paced|arriving …`: what a load costs that is nothing but the load: no tree, no template,
//! and in the closed loop no measure of a single request. Bare sockets on one thread of tokio, to compare with.
//!
//! Prints one line of JSON.

mod schedule;
mod wire;

use clap::{Parser, Subcommand};
use schedule::{Alarm, Latencies, Schedule};
use serde_json::{Value, json};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, consume_budget, spawn_local};
use wire::Target;

/// Between the opening of the connections and the first request of a schedule.
const LEAD: Duration = Duration::from_millis(100);
/// How long requests that are late may go on after the end of a schedule.
const GRACE: Duration = Duration::from_secs(30);
/// In such steps connections are opened, as the runner follows a ramp: what comes together is cheaper than what comes
/// evenly, so that without steps the two would not be alike.
const RAMP_STEP: Duration = Duration::from_millis(10);
/// Most requests of `arriving` that go on at once; one beyond them is an error.
const MAX_GOING: u32 = 10_000;

/// Bare requests over bare sockets, to compare with.
#[derive(Debug, Parser)]
struct Args {
    /// Where the server listens.
    address: SocketAddr,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Mode {
    /// Each connection makes one request after another.
    Closed {
        /// How many connections.
        connections: u32,
        /// How long, in seconds.
        seconds: u64,
        /// What lies between two requests of a connection.
        #[arg(long, default_value_t = 0)]
        think_ms: u64,
        /// The connections are opened evenly over this time, which is part of the run.
        #[arg(long, default_value_t = 0)]
        ramp_ms: u64,
    },
    /// As wrk2 does: a constant rate dealt out to the connections; latencies count from the time at which a request
    /// was due, so that one that waits for its connection is late, and says so.
    Paced {
        /// How many connections.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        connections: u32,
        /// How long, in seconds.
        seconds: u64,
        /// Requests a second.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
    },
    /// The same rate, with a connection of its own for each request.
    Arriving {
        /// How long, in seconds.
        seconds: u64,
        /// Requests a second.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Args { address, mode } = Args::parse();
    let target = Rc::new(Target::ask(address).await?);
    let load = async {
        match mode {
            Mode::Closed { connections, seconds, think_ms, ramp_ms } => {
                let (think, ramp) = (Duration::from_millis(think_ms), Duration::from_millis(ramp_ms));
                closed(target, connections, Duration::from_secs(seconds), think, ramp).await
            }
            Mode::Paced { connections, seconds, rate } => paced(target, connections, seconds, rate).await,
            Mode::Arriving { seconds, rate } => arriving(target, seconds, rate).await,
        }
    };
    println!("{}", LocalSet::new().run_until(load).await?);
    Ok(())
}

/// By which a task tells why it failed; it is over when it drops it.
type Trouble = UnboundedSender<io::Error>;

fn tell(trouble: &Trouble, result: io::Result<()>) {
    if let Err(error) = result {
        // Only the first is waited for.
        let _ = trouble.send(error);
    }
}

/// Waits until all tasks are over, or one has failed.
async fn all_over(mut troubles: UnboundedReceiver<io::Error>) -> io::Result<()> {
    troubles.recv().await.map_or(Ok(()), Err)
}

async fn closed(
    target: Rc<Target>,
    connections: u32,
    time: Duration,
    think: Duration,
    ramp: Duration,
) -> io::Result<Value> {
    let (begun, requests) = (Instant::now(), Rc::<Cell<u64>>::default());
    let (trouble, troubles) = unbounded_channel();
    for number in 0..connections {
        let (target, requests, trouble) = (target.clone(), requests.clone(), trouble.clone());
        let steps = (ramp * number / connections).div_duration_f64(RAMP_STEP).floor();
        let begin = begun + RAMP_STEP.mul_f64(steps);
        spawn_local(async move {
            tell(&trouble, one_after_another(&target, begin, think, &requests).await);
        });
    }
    tokio::select! {
        ended = all_over(troubles) => ended?,
        () = tokio::time::sleep_until((begun + time).into()) => {}
    }
    Ok(json!({"requests": requests.get()}))
}

async fn one_after_another(
    target: &Target,
    begin: Instant,
    think: Duration,
    requests: &Cell<u64>,
) -> io::Result<()> {
    if begin > Instant::now() {
        tokio::time::sleep_until(begin.into()).await;
    }
    let mut stream = target.connect().await?;
    loop {
        target.exchange(&mut stream).await?;
        requests.set(requests.get() + 1);
        if !think.is_zero() {
            tokio::time::sleep(think).await;
        }
    }
}

async fn paced(target: Rc<Target>, connections: u32, seconds: u64, rate: u32) -> io::Result<Value> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(target.connect().await?);
    }
    let schedule = Schedule { begin: Instant::now() + LEAD, rate, seconds };
    let latencies = Rc::new(Latencies::of(schedule));
    let (trouble, troubles) = unbounded_channel();
    let mut calls = Vec::new();
    for (first, mut stream) in (0..).zip(streams) {
        let (target, latencies, trouble) = (target.clone(), latencies.clone(), trouble.clone());
        let call = Rc::<Notify>::default();
        calls.push(call.clone());
        let work = async move {
            for due in schedule.from(first).step_by(connections as usize) {
                // A call may be left over from a request that was late and did not wait for it.
                while Instant::now() < due {
                    call.notified().await;
                }
                let late = due.elapsed();
                target.exchange(&mut stream).await?;
                latencies.record(due.elapsed(), late);
            }
            Ok(())
        };
        spawn_local(async move { tell(&trouble, work.await) });
    }
    drop(trouble);
    let calling = async {
        let alarm = Alarm::new()?;
        for (due, call) in schedule.from(0).zip(calls.iter().cycle()) {
            alarm.until(due).await?;
            call.notify_one();
            consume_budget().await;
        }
        Ok(())
    };
    to_its_end(schedule, calling, troubles).await?;
    Ok(latencies.figures())
}

async fn arriving(target: Rc<Target>, seconds: u64, rate: u32) -> io::Result<Value> {
    let schedule = Schedule { begin: Instant::now() + LEAD, rate, seconds };
    let latencies = Rc::new(Latencies::of(schedule));
    let (going, (trouble, troubles)) = (Rc::<Cell<u32>>::default(), unbounded_channel());
    let all_latencies = latencies.clone();
    let arrivals = async move {
        let alarm = Alarm::new()?;
        for due in schedule.from(0) {
            alarm.until(due).await?;
            let late = due.elapsed();
            if going.replace(going.get() + 1) >= MAX_GOING {
                return Err(io::Error::other(format!(
                    "{MAX_GOING} requests go on at once; take a lower rate"
                )));
            }
            let (target, latencies, trouble) = (target.clone(), all_latencies.clone(), trouble.clone());
            let going = going.clone();
            let work = async move {
                let mut stream = target.connect().await?;
                target.exchange(&mut stream).await?;
                latencies.record(due.elapsed(), late);
                going.set(going.get() - 1);
                Ok(())
            };
            spawn_local(async move { tell(&trouble, work.await) });
            consume_budget().await;
        }
        Ok(())
    };
    to_its_end(schedule, arrivals, troubles).await?;
    Ok(latencies.figures())
}

/// Waits until a schedule was gone through and its requests are over.
async fn to_its_end(
    schedule: Schedule,
    conducted: impl Future<Output = io::Result<()>>,
    troubles: UnboundedReceiver<io::Error>,
) -> io::Result<()> {
    let all = async { tokio::try_join!(conducted, all_over(troubles)).map(drop) };
    tokio::time::timeout_at((schedule.end() + GRACE).into(), all).await?
}

//! `fake-runners run`: thousands of runners without bots, which check in with a real coordinator as those of real pods
//! do. The pods are objects of a cluster, and so are their tokens; what is not there is a kubelet, whose part this
//! program plays. `fake-runners split`: what the parts of one check-in cost the operator.
//!
//! Each prints one line of JSON at the end.

mod army;
mod cluster;
mod fence;
mod figures;
mod link;
mod measures;
mod outbox;
mod runner;
mod split;

use army::Army;
use clap::Parser;
use cluster::{Cluster, Identity};
use link::Link;
use measures::{Measures, REQUESTS};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};

/// Runners that come in a second: pods do not start all at once.
const COMING: u32 = 200;

/// Runners without bots.
#[derive(Debug, Parser)]
enum Args {
    /// Stands for the pods of all runs of a namespace.
    Run(Run),
    /// Measures here, without a cluster, what a check-in costs the operator.
    Split(split::Args),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The namespace of the runs. Their pods must not run anywhere: let them be bound to a node that has no kubelet.
    #[arg(long)]
    namespace: String,
    /// How many pods they have together.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runners: u32,
    /// How long all runners are at work together, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How long it may take until all of them are at work, in seconds.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=7_200))]
    patience: u64,
    /// Addresses of this machine that the runners speak from in turn, since pods have addresses of their own and from one
    /// address only so many connections are taken; whichever the kernel takes unless they are said.
    #[arg(long, value_delimiter = ',')]
    from: Vec<IpAddr>,
    /// The namespace of the operator.
    #[arg(long, default_value = "botarmy")]
    operator_namespace: String,
    /// The Service of its coordinator.
    #[arg(long, default_value = "botarmy-coordinator")]
    service: String,
}

fn main() -> ExitCode {
    let done = match Args::parse() {
        Args::Run(args) => on_one_thread(&args),
        Args::Split(args) => split::split(&args),
    };
    match done {
        Ok(figures) => {
            println!("{figures}");
            // Figures of some of the runners are not those of all.
            if figures["gaveUp"].as_u64().unwrap_or_default() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("fake-runners: {error}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread(args: &Run) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(args))
}

async fn run(args: &Run) -> Result<Value, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(args.patience);
    let cluster = Cluster::reach(&args.namespace).await?;
    eprintln!("fake-runners: waits for {} pods in {}", args.runners, args.namespace);
    let pods = cluster.pods(args.runners, deadline).await?;
    let runs: BTreeSet<&str> = pods.iter().map(|pod| pod.run.uid.as_str()).collect();
    eprintln!("fake-runners: gets tokens for them; they belong to {} runs", runs.len());
    cluster.mark(&pods, "Running").await?;
    let identities = cluster.identities(&pods).await?;
    let first = pods.first().ok_or("there are no pods")?;
    let target = cluster.coordinator(&args.operator_namespace, &args.service, &first.run).await?;
    let time = Duration::from_secs(args.seconds);
    let army = Rc::new(Army::new(target, Measures::new()?, args.runners, time, deadline));
    let gave_up = work(&army, identities, &args.from).await?;
    cluster.mark(&pods, "Succeeded").await?;
    let mut figures = army.figures.borrow().to_json(REQUESTS);
    for (name, value) in
        [("runs", json!(runs.len())), ("runners", json!(args.runners)), ("gaveUp", json!(gave_up))]
    {
        figures[name] = value;
    }
    Ok(figures)
}

/// Lets all runners do their part; how many did not come to its end.
async fn work(
    army: &Rc<Army>,
    identities: Vec<Identity>,
    from: &[IpAddr],
) -> Result<usize, tokio::task::JoinError> {
    let (mut runners, now) = (JoinSet::new(), Instant::now());
    let mut from = from.iter().copied().cycle();
    for (place, identity) in (0_u32..).zip(identities) {
        let begin = now + Duration::from_secs(1) * place / COMING;
        runners.spawn_local(runner::work(identity, army.clone(), Link::new(from.next()), begin));
    }
    let mut gave_up = 0;
    while let Some(ended) = runners.join_next().await {
        if let Err(why) = ended? {
            if gave_up == 0 {
                eprintln!("fake-runners: {why}");
            }
            gave_up += 1;
        }
    }
    Ok(gave_up)
}

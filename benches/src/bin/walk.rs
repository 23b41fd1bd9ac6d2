//! `walk speed BOTS NODES`: how many actions a second bots take when the actions do nothing, each recorded.
//! `walk waiting BOTS`: how much memory bots need that only wait.
//!
//! The engine runs in this process on one thread. Prints one line of JSON.

use botarmy_report::Totals;
use botarmy_runner::engine::{Army, ITERATION, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Leaves below one node.
const LEAVES_TOGETHER: usize = 9;
/// What was begun anew (memory, caches, branches that are predicted) is left out of the speed for so long.
const WARM_UP: Duration = Duration::from_millis(300);
/// How many bots there are before those whose memory is measured.
const BOTS_BEFORE: u32 = 1_000;
/// How often, and how long, bots are waited for.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// What the engine costs without a target.
#[derive(Debug, Parser)]
enum Args {
    /// Actions a second of processor time.
    Speed(Speed),
    /// Bytes for each bot that waits for an hour.
    Waiting {
        /// How many bots are measured, beside a thousand that are there before.
        bots: u32,
    },
}

#[derive(Debug, clap::Args)]
struct Speed {
    /// How many bots.
    bots: u32,
    /// How many nodes the tree has: a sequence of sequences of at most nine leaves.
    nodes: usize,
    /// How long is measured.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The leaf, as JSON. A wait for no time is the least that an action can do.
    #[arg(long, default_value = r#"{"wait": 0}"#, value_parser = json_text)]
    leaf: Value,
}

fn json_text(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let result = match Args::parse() {
        Args::Speed(args) => speed(&args).await?,
        Args::Waiting { bots } => waiting(bots).await?,
    };
    println!("{result}");
    Ok(())
}

/// A tree of so many nodes.
fn tree(nodes: usize, leaf: &Value) -> Value {
    if nodes <= LEAVES_TOGETHER + 1 {
        return json!({"sequence": vec![leaf; nodes.saturating_sub(1).max(1)]});
    }
    let inner = (nodes - 1).div_ceil(LEAVES_TOGETHER + 1);
    let mut leaves = nodes - 1 - inner;
    let mut children = Vec::new();
    for left in (1..=inner).rev() {
        let here = leaves.div_ceil(left);
        leaves -= here;
        children.push(json!({"sequence": vec![leaf; here]}));
    }
    json!({"sequence": children})
}

async fn start(tree: &Value, bots: u32) -> Result<Army, Box<dyn Error>> {
    let spec: BotRunSpec = serde_json::from_value(json!({"trees": {"T": tree}, "bots": bots}))?;
    let run = Run::check(&spec, "walk", &Path::top(), &Actions::built_in()).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    Ok(Army::start(Start { threads: 1, ..Start::here(Arc::new(run)) }).await?)
}

/// Outcomes of leaves; whole passes are none.
fn actions(totals: &Totals) -> u64 {
    let leaves = totals.rows.iter().filter(|(name, _)| *name != ITERATION);
    leaves.map(|(_, row)| row.series.measured_count()).sum()
}

/// What this process has computed so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

async fn speed(args: &Speed) -> Result<Value, Box<dyn Error>> {
    let army = start(&tree(args.nodes, &args.leaf), args.bots).await?;
    tokio::time::sleep(WARM_UP).await;
    army.drain().await;
    let (begun, mut taken) = (processor_time(), 0);
    // Each second, as in a run.
    for _ in 0..args.seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        taken += actions(&army.drain().await.totals);
    }
    let computed = processor_time().saturating_sub(begun);
    army.stop();
    while !army.drain().await.finished {
        tokio::time::sleep(LOOK).await;
    }
    army.join();
    Ok(json!({"actions": taken, "cpuSeconds": computed.as_secs_f64()}))
}

async fn waiting(bots: u32) -> Result<Value, Box<dyn Error>> {
    let army = start(&json!({"wait": "1h"}), BOTS_BEFORE).await?;
    let before = resident_with(&army, BOTS_BEFORE, 0).await?;
    army.set_bots(BOTS_BEFORE + bots);
    let after = resident_with(&army, bots, before).await?;
    let each = after.saturating_sub(before) as f64 / f64::from(bots.max(1));
    // The process ends with the bots; to let a hundred thousand go one by one is not what is measured.
    Ok(json!({"bots": bots, "bytesEach": each, "residentBefore": before, "residentAfter": after}))
}

/// The memory of this process once so many more bots have begun and it no longer grows.
async fn resident_with(army: &Army, bots: u32, before: u64) -> Result<u64, Box<dyn Error>> {
    let (deadline, mut begun, mut last) = (Instant::now() + PATIENCE, 0, before);
    while Instant::now() < deadline {
        begun += army.drain().await.totals.bots_started;
        tokio::time::sleep(LOOK).await;
        let now = resident()?;
        if begun >= u64::from(bots) && now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(format!("of {bots} bots only {begun} have begun within {PATIENCE:?}").into())
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    let kibibytes: u64 = line.ok_or("/proc/self/status has no VmRSS")?.trim().parse()?;
    Ok(kibibytes << 10)
}

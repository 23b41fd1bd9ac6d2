//! `runner target`.

use super::output::{complain, say};
use super::{Exit, runtime};
use crate::target::{Error, Knobs, Shop};
use botarmy_tree::duration;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Builder;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// How long each answer takes at least, such as 20ms.
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    latency: Duration,
    /// How many of a thousand answers are 500 instead.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    failures_per_thousand: u32,
}

pub(super) fn target(args: &Args) -> Exit {
    let runtime = runtime::build(&mut Builder::new_multi_thread());
    let served = runtime.map_err(|e| Error::Listen(args.listen, e)).and_then(|r| r.block_on(serve(args)));
    match served {
        Ok(()) => Exit::Passed,
        Err(error) => {
            complain(&error);
            Exit::Invalid
        }
    }
}

async fn serve(args: &Args) -> Result<(), Error> {
    let shop = Shop::open(args.listen, Knobs::new(args.latency, args.failures_per_thousand)).await?;
    // It is open all the same to those who know its address.
    let _ = say(&format_args!("the shop is open at http://{}", shop.address()));
    shop.serve(stop_signal()).await
}

/// Completes at the first SIGINT or SIGTERM.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

//! `runner deliver`.

use super::output::{complain, say};
use super::{Exit, hide, runtime};
use crate::deliver::{Error, Order, Patience, deliver as take, read};
use tokio::runtime::Builder;

pub(super) fn deliver() -> Exit {
    match begin() {
        Ok(exit) => exit,
        Err(error) => {
            complain(&error);
            Exit::Invalid
        }
    }
}

fn begin() -> Result<Exit, Error> {
    let order = Order::read(|name| std::env::var(name).ok())?;
    hide(&order.secrets);
    let result = read(&order.result)?;
    let runtime = match runtime::build(Builder::new_multi_thread().worker_threads(1)) {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("the runtime cannot be started: {error}"));
            return Ok(Exit::Unwritten);
        }
    };
    let delivered = runtime.block_on(take(order, result, Patience::USUAL));
    // A volume that hangs is left behind.
    runtime.shutdown_background();
    // Failures come last: the end of what is said is part of the pod's status.
    let said = delivered
        .done
        .iter()
        .map(say)
        .fold(Exit::Passed, |all, one| if all == Exit::Passed { one } else { all });
    delivered.failed.iter().for_each(complain);
    Ok(if delivered.failed.is_empty() { said } else { Exit::Unwritten })
}

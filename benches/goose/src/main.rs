//! `goose-client OPTIONS`: the requests of the benchmarks as a load test of goose, whose options it takes. Two
//! environment variables say what its own options do not: `REQUESTS` is how many a pass has (1 or 2, which is the
//! default), `THINK_TIME` how many whole seconds lie between two passes (none unless given).

use goose::prelude::*;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (requests, think_time) = (number("REQUESTS", 2)?, Duration::from_secs(number("THINK_TIME", 0)?));
    let mut pass = scenario!("Pass");
    pass = match requests {
        1 => pass.register_transaction(transaction!(one_request)),
        _ => pass.register_transaction(transaction!(two_requests)),
    };
    if !think_time.is_zero() {
        pass = pass.set_wait_time(think_time, think_time)?;
    }
    let metrics = GooseAttack::initialize()?.register_scenario(pass).execute().await?;
    let counts = metrics.requests.values().map(|row| (row.success_count, row.fail_count));
    let (succeeded, failed) = counts.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    println!("{succeeded} requests succeeded, {failed} failed");
    Ok(())
}

fn number(variable: &str, default: u64) -> Result<u64, std::num::ParseIntError> {
    std::env::var(variable).map_or(Ok(default), |text| text.parse())
}

async fn one_request(user: &mut GooseUser) -> TransactionResult {
    let first = format!("/first/{}", user.weighted_users_index);
    user.get_named(&first, "first").await?;
    Ok(())
}

async fn two_requests(user: &mut GooseUser) -> TransactionResult {
    one_request(user).await?;
    user.get_named("/second", "second").await?;
    Ok(())
}

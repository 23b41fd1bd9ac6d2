//! `runner agent`.

use super::output::complain;
use super::{Exit, runtime};
use crate::agent::{Error, Files, Identity, run};
use tokio::runtime::Builder;

pub(super) fn agent() -> Exit {
    let runtime = runtime::build(Builder::new_multi_thread().worker_threads(1));
    let identity = Identity::read(|name| std::env::var(name).ok());
    let work = async { run(identity?, Files::mounted()).await };
    let worked = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(work));
    match worked {
        Ok(()) => Exit::Passed,
        Err(error) => {
            complain(&error);
            match error {
                Error::LeaseOver(_) => Exit::NoCoordinator,
                Error::Refused(..) => Exit::Refused,
                Error::Left => Exit::Left,
                _ => Exit::Invalid,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::exit;

    #[test]
    fn the_operator_knows_these_codes() {
        assert_eq!((Exit::NoCoordinator as i32, Exit::Left as i32), (exit::NO_COORDINATOR, exit::LEFT));
        assert_eq!(Exit::Refused as i32, exit::REFUSED);
        assert_eq!((Exit::Invalid as i32, Exit::Unwritten as i32), (exit::INVALID, exit::UNDELIVERED));
    }
}

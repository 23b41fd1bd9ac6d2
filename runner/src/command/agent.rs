//! `runner agent`.

use super::Exit;
use super::output::complain;
use crate::agent::{Error, Identity, run};

pub(super) fn agent() -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let identity = Identity::read(|name| std::env::var(name).ok());
    let worked = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(identity?)));
    match worked {
        Ok(()) => Exit::Passed,
        Err(error) => {
            complain(&error);
            Exit::Invalid
        }
    }
}

//! The result of a run that is over, taken to where its spec says; what a pod does that the operator makes for it.

mod file;
mod order;
mod put;

pub(crate) use order::{Order, Place};
pub(crate) use put::Patience;

use botarmy_report::{Format, RunResult, render};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::future::join_all;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest result, in bytes.
const MAX_RESULT: u64 = 64 << 20;

/// Why nothing can be taken anywhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What is to be done makes no sense.
    #[error("{0}")]
    Order(#[from] order::Error),
    /// The result is not there, or broken.
    #[error("{0:?}: the result cannot be read: {1}; it is mounted into pods that the operator makes")]
    Read(PathBuf, io::Error),
}

/// Why one place does not have the result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    File(#[from] file::Error),
    #[error("{0}")]
    Put(#[from] put::Error),
    #[error("it was not written within {0:?}; look at the volume of the claim")]
    Late(std::time::Duration),
    #[error("it broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// Reads a result: JSON, compressed.
pub(crate) fn read(path: &Path) -> Result<RunResult, Error> {
    let failed = |error| Error::Read(path.to_owned(), error);
    let mut json = Vec::new();
    let file = File::open(path).map_err(failed)?;
    GzDecoder::new(file).take(MAX_RESULT).read_to_end(&mut json).map_err(failed)?;
    serde_json::from_slice(&json).map_err(|error| failed(error.into()))
}

/// What has come of it: a line for each file that is where it shall be, and for each place that lacks one.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) done: Vec<String>,
    pub(crate) failed: Vec<String>,
}

/// Takes a result to all places of an order at once. One that fails keeps the others from nothing.
pub(crate) async fn deliver(order: Order, result: RunResult, patience: Patience) -> Delivered {
    let (order, result) = (Arc::new(order), Arc::new(result));
    let places = (0..order.destinations.len()).map(|number| {
        let (order, result) = (order.clone(), result.clone());
        async move {
            let forms = &order.destinations[number].forms;
            let files = forms.iter().map(|form| one(&order, number, *form, &result, patience));
            (number, join_all(files).await)
        }
    });
    let mut delivered = Delivered::default();
    for (number, files) in join_all(places).await {
        let mut failures = Vec::new();
        for file in files {
            match file {
                Ok(place) => delivered.done.push(format!("export[{number}]: {place}")),
                Err(failure) => failures.push(failure),
            }
        }
        if let Some((first, more)) = failures.split_first() {
            let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
            // A redirect may repeat what was sent as well.
            let told = format!("export[{number}]: {first}{more}");
            delivered.failed.push(order.secrets.hide(&told).into_owned());
        }
    }
    delivered
}

/// One file in one form; where it is then.
async fn one(
    order: &Order,
    number: usize,
    form: Format,
    result: &Arc<RunResult>,
    patience: Patience,
) -> Result<String, Failure> {
    let name = order.file_name(form);
    match &order.destinations[number].place {
        Place::Folder { claim, mount, folder } => {
            let shown = format!("{claim}:{}", Path::new(folder).join(&name).display());
            let (mount, folder, result) = (mount.clone(), folder.clone(), result.clone());
            // A volume may hang.
            let written = tokio::task::spawn_blocking(move || file::write(&mount, &folder, &name, &result));
            let written = tokio::time::timeout(patience.total, written).await;
            written.map_err(|_| Failure::Late(patience.total))???;
            Ok(shown)
        }
        Place::Address { url, headers } => {
            let url = if url.ends_with('/') { format!("{url}{name}") } else { url.clone() };
            let body = Bytes::from(render(result, form));
            Ok(put::put(&url, headers, &order.secrets, form, body, patience).await?)
        }
    }
}

#[cfg(test)]
mod tests;

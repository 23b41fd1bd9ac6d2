//! What survives the operator: each army's sum, written into an object that the run owns.

use crate::armies::{Armies, Checkpoint};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The key of the ConfigMap.
const KEY: &str = "checkpoint.json.gz";
/// Most bytes that a checkpoint may have when it is unpacked.
const MAX_BYTES: u64 = 256 << 20;
/// How often each army is written.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether a runner waits for it.
const LOOK: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error("the checkpoint {0} cannot be kept: {1}")]
    Api(String, kube::Error),
    /// No answer.
    #[error("the checkpoint {0} cannot be kept: no answer within {TIMEOUT:?}")]
    Timeout(String),
    /// It cannot be packed.
    #[error("the checkpoint cannot be packed: {0}")]
    Pack(#[from] std::io::Error),
    /// It is not what was written.
    #[error("the checkpoint is broken: {0}; delete the run and apply it anew")]
    Broken(#[from] serde_json::Error),
}

/// The name of a run's checkpoint.
pub fn name(run: &str) -> String {
    format!("{run}-checkpoint")
}

/// Packs a checkpoint.
pub fn pack(checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&serde_json::to_vec(checkpoint)?)?;
    Ok(packer.finish()?)
}

/// Unpacks a checkpoint.
pub fn unpack(packed: &[u8]) -> Result<Checkpoint, Error> {
    let mut json = Vec::new();
    GzDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Reads the checkpoint of a run, if there is one.
pub async fn read(client: Client, namespace: &str, run: &str) -> Result<Option<Checkpoint>, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let map = tokio::time::timeout(TIMEOUT, maps.get_opt(&name(run)))
        .await
        .map_err(|_| Error::Timeout(name(run)))?;
    let map = map.map_err(|e| Error::Api(name(run), e))?;
    map.and_then(|m| m.binary_data?.remove(KEY)).map(|packed| unpack(&packed.0)).transpose()
}

async fn write(client: Client, namespace: &str, run: &str, packed: Vec<u8>) -> Result<(), Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let data = ConfigMap {
        binary_data: Some([(KEY.to_owned(), ByteString(packed))].into()),
        ..ConfigMap::default()
    };
    // A merge, not an apply: the object is made by the controller, which gives it its owner. One
    // that is gone belongs to a run that is being deleted, and must not come back.
    let (name, how, patch) = (name(run), PatchParams::default(), Patch::Merge(&data));
    match tokio::time::timeout(TIMEOUT, maps.patch(&name, &how, &patch)).await {
        Ok(written) => written.map(drop).map_err(|e| Error::Api(name, e)),
        Err(_) => Err(Error::Timeout(name)),
    }
}

/// Writes all armies for as long as the operator lives: each every ten seconds, and at once when a
/// runner waits for it.
pub async fn keep(client: Client, armies: Arc<Armies>) {
    let mut last: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let due = due(&armies, &mut last);
        for (uid, namespace, run, checkpoint) in due {
            let packed = pack(&checkpoint);
            let result = match packed {
                Ok(packed) => write(client.clone(), &namespace, &run, packed).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    if let Some(army) = armies.lock().get_mut(&uid) {
                        army.written(&checkpoint);
                    }
                    last.insert(uid, Instant::now());
                }
                Err(error) => {
                    // What is not durable is resent; the next look tries again.
                    tracing::warn!("{namespace}/{run}: {error}");
                    last.insert(uid, Instant::now());
                }
            }
        }
    }
}

fn due(armies: &Armies, last: &mut HashMap<String, Instant>) -> Vec<(String, String, String, Checkpoint)> {
    let armies = armies.lock();
    last.retain(|uid, _| armies.contains_key(uid));
    let is_due = |uid: &String, urgent: bool| match last.get(uid) {
        Some(at) => at.elapsed() >= if urgent { LOOK } else { EVERY },
        None => true,
    };
    armies
        .iter()
        .filter(|(uid, army)| army.has_begun() && is_due(uid, army.is_urgent()))
        .map(|(uid, army)| (uid.clone(), army.namespace.clone(), army.name.clone(), army.checkpoint()))
        .collect()
}

//! The objects that hold a checkpoint: a `ConfigMap` of the run's name, and others for what does not fit into it.
//!
//! The first one is written last and names the others, so that a checkpoint is whole or not there. Each write is
//! conditional on the version that was seen, and the first object tells the epoch of its writer: an operator that was
//! deposed without knowing it changes nothing.

use super::{Error, unpack};
use crate::api_call::call;
use crate::armies::Checkpoint;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;

/// The key of the bytes.
const KEY: &str = "checkpoint.json.gz";
const EPOCH: &str = "botarmy.dev/epoch";
/// The objects with the parts after the first one, in their order.
const PARTS: &str = "botarmy.dev/parts";
/// The numbers of the objects beside the first one.
const OTHERS: std::ops::RangeInclusive<u8> = 2..=8;

/// Whose checkpoint it is. Another run had the name before, perhaps, and its objects are still being collected.
#[derive(Debug, Clone, Copy)]
pub struct Of<'r> {
    /// The namespace of the run.
    pub namespace: &'r str,
    /// The name of the run.
    pub run: &'r str,
    /// Its UID.
    pub uid: &'r str,
}

impl Of<'_> {
    fn owns(&self, map: &ObjectMeta) -> bool {
        map.owner_references.iter().flatten().any(|owner| owner.uid == self.uid)
    }
}

/// The name of a run's checkpoint.
pub fn name(run: &str) -> String {
    format!("{run}-checkpoint")
}

fn part_name(run: &str, number: u8) -> String {
    format!("{}-{number}", name(run))
}

/// What is known of the objects of a checkpoint since they were written last; nothing at first.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions {
    /// The first object.
    head: Option<ObjectMeta>,
    /// The others that are in use.
    used: Vec<u8>,
}

impl Versions {
    fn of(head: &ConfigMap) -> Self {
        let annotation = head.annotations().get(PARTS).map(String::as_str).unwrap_or_default();
        let used = annotation.split(',').filter_map(|n| n.parse().ok()).collect();
        Self { head: Some(head.metadata.clone()), used }
    }
}

/// Reads the checkpoint of a run, if there is one of its own.
pub async fn read(client: Client, of: Of<'_>) -> Result<Option<Checkpoint>, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client, of.namespace);
    let head = call("reading the checkpoint", maps.get_opt(&name(of.run))).await?;
    let Some(head) = head.filter(|head| of.owns(&head.metadata)) else { return Ok(None) };
    let Versions { used, .. } = Versions::of(&head);
    let Some(mut packed) = bytes(head) else { return Ok(None) };
    for number in used {
        let name = part_name(of.run, number);
        let part = call("reading a part of the checkpoint", maps.get_opt(&name)).await?;
        let part = part.filter(|part| of.owns(&part.metadata));
        packed.extend(part.and_then(bytes).ok_or(Error::Part(name))?);
    }
    unpack(&packed).map(Some)
}

fn bytes(map: ConfigMap) -> Option<Vec<u8>> {
    map.binary_data?.remove(KEY).map(|bytes| bytes.0)
}

/// Writes the parts of a checkpoint; `versions` then knows what was written.
pub(super) async fn write(
    client: Client,
    of: Of<'_>,
    parts: Vec<Vec<u8>>,
    epoch: u64,
    versions: &mut Versions,
) -> Result<(), Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client, of.namespace);
    let name = name(of.run);
    if versions.head.is_none() {
        let head = call("reading the checkpoint", maps.get(&name)).await?;
        if !of.owns(&head.metadata) {
            return Err(Error::Taken(name));
        }
        let written = head.annotations().get(EPOCH).and_then(|e| e.parse().ok()).unwrap_or_default();
        if written > epoch {
            return Err(Error::Later(written, epoch));
        }
        *versions = Versions::of(&head);
    }
    let Some(head) = &versions.head else { return Ok(()) };
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_default();
    let free: Vec<u8> = OTHERS.filter(|n| !versions.used.contains(n)).collect();
    // The annotation is in the namespace of the run, where others may write it.
    if free.len() < parts.len() {
        return Err(Error::Places(name, PARTS));
    }
    let others: Vec<(u8, Vec<u8>)> = free.into_iter().zip(parts).collect();
    write_others(&maps, of, head, &others).await?;
    let used: Vec<u8> = others.iter().map(|(number, _)| *number).collect();
    let numbers: Vec<String> = used.iter().map(ToString::to_string).collect();
    let patch = json!({
        "metadata": {
            "resourceVersion": head.resource_version,
            "annotations": {EPOCH: epoch.to_string(), PARTS: numbers.join(",")},
        },
        "binaryData": {KEY: ByteString(first)},
    });
    // A merge, not an apply: the object is made by the controller, which gives it its owner. One
    // that is gone belongs to a run that is being deleted, and must not come back.
    let (how, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let written = call("writing the checkpoint", maps.patch(&name, &how, &patch)).await?;
    *versions = Versions { head: Some(written.metadata), used };
    Ok(())
}

/// Writes the parts after the first one, into objects that the last checkpoint does not use.
///
/// An operator that was deposed while it slept must not write into objects that its successor has taken: their versions
/// are read first, then whether the first object is still as it was.
async fn write_others(
    maps: &Api<ConfigMap>,
    of: Of<'_>,
    head: &ObjectMeta,
    others: &[(u8, Vec<u8>)],
) -> Result<(), Error> {
    let mut seen = Vec::new();
    for (number, part) in others {
        let name = part_name(of.run, *number);
        let known = call("reading a part of the checkpoint", maps.get_metadata_opt(&name)).await?;
        if known.as_ref().is_some_and(|map| !of.owns(&map.metadata)) {
            return Err(Error::Taken(name));
        }
        seen.push((name, known.and_then(|map| map.metadata.resource_version), part));
    }
    if !seen.is_empty() {
        let now = call("reading the checkpoint", maps.get_metadata(&name(of.run))).await?;
        if now.metadata.resource_version != head.resource_version {
            return Err(Error::Changed);
        }
    }
    for (name, version, part) in seen {
        write_part(maps, name, version, head, part).await?;
    }
    Ok(())
}

async fn write_part(
    maps: &Api<ConfigMap>,
    name: String,
    version: Option<String>,
    head: &ObjectMeta,
    part: &[u8],
) -> Result<(), Error> {
    let data = BTreeMap::from([(KEY.to_owned(), ByteString(part.to_vec()))]);
    if let Some(version) = version {
        let patch = json!({"metadata": {"resourceVersion": version}, "binaryData": data});
        let (how, patch) = (PatchParams::default(), Patch::Merge(&patch));
        return Ok(call("writing a part of the checkpoint", maps.patch(&name, &how, &patch))
            .await
            .map(drop)?);
    }
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            labels: head.labels.clone(),
            owner_references: head.owner_references.clone(),
            ..ObjectMeta::default()
        },
        binary_data: Some(data),
        ..ConfigMap::default()
    };
    let how = PostParams::default();
    Ok(call("making a part of the checkpoint", maps.create(&how, &map)).await.map(drop)?)
}

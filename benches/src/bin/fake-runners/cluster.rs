//! The cluster: pods that stand for the runners, their tokens, and where the coordinator is.

use crate::fence;
use crate::link::{Target, TargetError};
use botarmy_crds::{RUN_LABEL, RUN_UID_LABEL};
use botarmy_protocol::{AUDIENCE, RunRef, path};
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{self, ConfigMap, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a call to the API server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Calls at the same time.
const AT_ONCE: usize = 16;
/// Between two looks at the pods.
const LOOK: Duration = Duration::from_secs(2);
/// How long a token is worth something, in seconds: that of a runner's pod.
const TOKEN_SECONDS: i64 = 3600;
/// The account of a pod that names none.
const ACCOUNT: &str = "default";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Why the runners cannot be stood for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No cluster.
    #[error("no cluster is known: {0}; call it by tests/cluster/enter")]
    Config(Box<kube::config::InferConfigError>),
    /// Somebody else's cluster.
    #[error("the API server: {0}")]
    Outside(#[from] fence::Outside),
    /// A call failed.
    #[error("{0} failed: {1}")]
    Call(&'static str, Box<kube::Error>),
    /// No answer in time.
    #[error("{0} failed: no answer within {TIMEOUT:?}")]
    Timeout(&'static str),
    /// The pods are not there.
    #[error("{0} of {1} pods are there, and the time is over; look at the runs of {2}")]
    Few(usize, u32, String),
    /// There are others.
    #[error("{0} pods of runs are in {2}, which are more than {1}; give it a namespace of its own")]
    Many(usize, u32, String),
    /// An object lacks something.
    #[error("{0} has no {1}")]
    Lacks(String, &'static str),
    /// The coordinator cannot be talked to.
    #[error("{0}")]
    Target(#[from] TargetError),
}

/// A pod of a run.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) run: RunRef,
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// A pod, and how it shows that it is that.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) pod: Pod,
    pub(crate) bearer: HeaderValue,
}

/// One namespace of the cluster.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
    pods: Api<v1::Pod>,
}

async fn call<T>(what: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    let answer = tokio::time::timeout(TIMEOUT, call).await.map_err(|_| Error::Timeout(what))?;
    answer.map_err(|error| Error::Call(what, Box::new(error)))
}

impl Cluster {
    /// The cluster of the kubeconfig, if it is inside of the fence.
    pub(crate) async fn reach(namespace: &str) -> Result<Self, Error> {
        let config = Config::infer().await.map_err(|e| Error::Config(Box::new(e)))?;
        fence::check_host(config.cluster_url.host().unwrap_or_default())?;
        let client =
            Client::try_from(config).map_err(|e| Error::Call("reading the kubeconfig", Box::new(e)))?;
        let pods = Api::namespaced(client.clone(), namespace);
        Ok(Self { client, namespace: namespace.to_owned(), pods })
    }

    /// Waits until so many pods of runs are there.
    pub(crate) async fn pods(&self, wanted: u32, deadline: Instant) -> Result<Vec<Pod>, Error> {
        let of_runs = ListParams::default().labels(RUN_UID_LABEL);
        loop {
            let listed = call("listing the pods", self.pods.list_metadata(&of_runs)).await?.items;
            let there: Vec<Pod> =
                listed.into_iter().filter_map(|pod| runner_of(&self.namespace, pod.metadata)).collect();
            match u32::try_from(there.len()) {
                Ok(number) if number == wanted => return Ok(there),
                Ok(number) if number < wanted && Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                Ok(number) if number < wanted => {
                    return Err(Error::Few(there.len(), wanted, self.namespace.clone()));
                }
                _ => return Err(Error::Many(there.len(), wanted, self.namespace.clone())),
            }
        }
    }

    /// Says of pods what a kubelet would: that they have come to this phase.
    pub(crate) async fn mark(&self, pods: &[Pod], phase: &str) -> Result<(), Error> {
        let (how, patch) = (PatchParams::default(), Patch::Merge(json!({"status": {"phase": phase}})));
        let marked = stream::iter(pods)
            .map(|pod| call("writing the status of a pod", self.pods.patch_status(&pod.name, &how, &patch)));
        marked.buffer_unordered(AT_ONCE).try_for_each(|_| std::future::ready(Ok(()))).await
    }

    /// Gets the tokens that a kubelet would mount.
    pub(crate) async fn identities(&self, pods: &[Pod]) -> Result<Vec<Identity>, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let tokens = stream::iter(pods).map(|pod| identity(&accounts, pod));
        tokens.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Where the operator that leads listens, by the Service of this name.
    pub(crate) async fn coordinator(
        &self,
        namespace: &str,
        service: &str,
        run: &RunRef,
    ) -> Result<Target, Error> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let slice = call("reading the EndpointSlice", slices.get(service)).await?;
        let lacks = |what| Error::Lacks(format!("the EndpointSlice {namespace}/{service}"), what);
        let address: Option<IpAddr> = slice.endpoints.first().and_then(|e| e.addresses.first()?.parse().ok());
        let port = slice.ports.iter().flatten().find_map(|p| u16::try_from(p.port?).ok());
        let address =
            SocketAddr::new(address.ok_or_else(|| lacks("address"))?, port.ok_or_else(|| lacks("port"))?);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{}-trust", run.name);
        let trust = call("reading the certificates", maps.get(&name)).await?;
        let certificates = trust.data.and_then(|mut data| data.remove(path::CA_FILE));
        let certificates =
            certificates.ok_or_else(|| Error::Lacks(format!("the ConfigMap {name}"), path::CA_FILE))?;
        Ok(Target::new(address, &format!("{service}.{namespace}.svc"), &certificates)?)
    }
}

/// The runner that a pod stands for; none if it is being deleted.
fn runner_of(namespace: &str, pod: ObjectMeta) -> Option<Pod> {
    if pod.deletion_timestamp.is_some() {
        return None;
    }
    let label = |key: &str| pod.labels.as_ref()?.get(key).cloned();
    let run = RunRef { namespace: namespace.to_owned(), name: label(RUN_LABEL)?, uid: label(RUN_UID_LABEL)? };
    let index = pod.annotations.as_ref()?.get(INDEX)?.parse().ok()?;
    Some(Pod { run, index, name: pod.name?, uid: pod.uid? })
}

async fn identity(accounts: &Api<ServiceAccount>, pod: &Pod) -> Result<Identity, Error> {
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
    };
    let spec = TokenRequestSpec {
        audiences: vec![AUDIENCE.to_owned()],
        bound_object_ref: Some(bound),
        expiration_seconds: Some(TOKEN_SECONDS),
    };
    let (how, wanted) = (PostParams::default(), TokenRequest { spec, ..TokenRequest::default() });
    let given = call("asking for a token", accounts.create_token_request(ACCOUNT, &how, &wanted)).await?;
    let token = given.status.map(|status| format!("Bearer {}", status.token));
    let bearer = token.and_then(|token| HeaderValue::try_from(token).ok());
    let lacks = || Error::Lacks(format!("the answer for {}", pod.name), "token");
    Ok(Identity { pod: pod.clone(), bearer: bearer.ok_or_else(lacks)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_pod_stands_for_the_runner_that_its_labels_name() {
        let pod = |more: Value| -> ObjectMeta {
            let mut pod = json!({
                "name": "load-0-abc", "uid": "p", "annotations": {INDEX: "7"},
                "labels": {RUN_LABEL: "load-0", RUN_UID_LABEL: "r"},
            });
            for (key, value) in more.as_object().unwrap() {
                pod[key] = value.clone();
            }
            serde_json::from_value(pod).unwrap()
        };
        let found = runner_of("ns", pod(json!({}))).unwrap();
        let run = RunRef { namespace: "ns".into(), name: "load-0".into(), uid: "r".into() };
        assert_eq!((found.run, found.index, &*found.name, &*found.uid), (run, 7, "load-0-abc", "p"));
        for other in [
            json!({"deletionTimestamp": "2030-01-01T00:00:00Z"}),
            json!({"annotations": {}}),
            json!({"labels": {RUN_LABEL: "load-0"}}),
        ] {
            assert!(runner_of("ns", pod(other.clone())).is_none(), "{other}");
        }
    }
}

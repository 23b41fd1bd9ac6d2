//! Where the Service of the coordinator leads: to the leader, by an `EndpointSlice` that it writes itself. The Service
//! has no selector: being ready is not being the leader.

use crate::api_call::{Error, call};
use crate::election::Leadership;
use crate::{Settings, leading};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FIELD_MANAGER: &str = "botarmy-operator";
/// The name of the port, as the Service names it.
const PORT: &str = "coordinator";

/// How often it is written: somebody may have deleted it, or made the Service anew. That it is as it was changes nothing.
const EVERY: Duration = Duration::from_secs(10);
/// Between two tries that do not succeed.
const AGAIN: Duration = Duration::from_secs(1);

/// Leads the Service to this operator, for as long as it leads and until `ended`.
pub async fn lead(
    client: Client,
    settings: &Settings,
    leadership: Leadership,
    ended: impl Future<Output = ()>,
) {
    let client = leading::client(client, leadership.clone());
    let write = async {
        loop {
            // In doubt nothing is written, and as soon as there is none it is.
            let mut pause = AGAIN;
            if leadership.leads() {
                let (namespace, service) = (&settings.namespace, &settings.service);
                match lead_to(client.clone(), namespace, service, settings.reached_at()).await {
                    Ok(()) => pause = EVERY,
                    Err(error) => tracing::error!("runners cannot be led here: {error}"),
                }
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = write => {}
    }
}

/// Leads the Service to this address.
///
/// The slice belongs to the Service, so that it goes with it.
pub async fn lead_to(client: Client, namespace: &str, service: &str, at: SocketAddr) -> Result<(), Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = call("reading the Service", services.get(service)).await?;
    let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
    let slice = slice(service, &found.uid().unwrap_or_default(), at);
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    call("writing the EndpointSlice", slices.patch(service, &manager, &Patch::Apply(&slice))).await.map(drop)
}

fn slice(service: &str, uid: &str, at: SocketAddr) -> Value {
    let family = match at.ip() {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": FIELD_MANAGER,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": service, "uid": uid}],
        },
        "addressType": family,
        "endpoints": [{"addresses": [at.ip()], "conditions": {"ready": true}}],
        "ports": [{"name": PORT, "port": at.port(), "protocol": "TCP"}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_of_the_family_of_its_address() {
        for (at, family, ip) in [("10.0.0.7:8443", "IPv4", "10.0.0.7"), ("[fd00::7]:8443", "IPv6", "fd00::7")]
        {
            let slice = slice("coordinator", "u", at.parse().unwrap());
            assert_eq!(slice["addressType"], family);
            assert_eq!(slice["endpoints"][0]["addresses"], json!([ip]));
            assert_eq!(slice["ports"][0]["port"], 8443);
            // The API's own type must know all of it.
            let typed: EndpointSlice = serde_json::from_value(slice.clone()).unwrap();
            assert_eq!(typed.metadata.owner_references.unwrap()[0].uid, "u");
        }
    }
}

//! Callers of the coordinator that are not the runner they say they are.

use crate::army;
use crate::blind::hold_against_the_target;
use crate::cluster::{Namespace, kubectl, root};
use crate::machine::run_folder;
use base64::Engine;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::process::Command;

/// Checks in from inside the cluster's network, with this token if there is one; the status of the answer.
fn check_in(token: Option<&str>, said: &Value) -> u64 {
    // A client that trusts any certificate: it is the coordinator that is tried here.
    const CLIENT: &str = r#"
import http.client, ssl, sys
address, token, body = sys.argv[1:4]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(address, 8443, timeout=20, context=context)
headers = {"content-type": "application/json"}
if token:
    headers["authorization"] = "Bearer " + token
connection.request("POST", "/v1/checkin", body, headers)
print(connection.getresponse().status)
"#;
    let output = kubectl(
        &["--namespace", "botarmy", "get", "endpointslice", "botarmy-coordinator", "-o", "json"],
        None,
    );
    let slice: Value = serde_json::from_slice(&output.stdout).expect("the EndpointSlice");
    let address = slice["endpoints"][0]["addresses"][0].as_str().expect("an address");
    let answer = Command::new(root().join("tests/cluster/enter"))
        .args(["python3", "-c", CLIENT, address, token.unwrap_or_default(), &said.to_string()])
        .output()
        .expect("python3");
    let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&answer.stderr)))
}

/// The same token with its times so many hours earlier, signed anew: only whoever has the cluster's key can do that.
fn earlier(token: &str, hours: i64) -> String {
    let encoding = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (head, rest) = token.split_once('.').expect("a head");
    let (claims, _) = rest.split_once('.').expect("claims");
    let mut claims: Value = serde_json::from_slice(&encoding.decode(claims).expect("base64")).expect("JSON");
    for time in ["exp", "iat", "nbf"] {
        claims[time] = (claims[time].as_i64().expect("a time") - hours * 3600).into();
    }
    let said = format!("{head}.{}", encoding.encode(claims.to_string()));
    let file = format!("{}/state/pki/service-accounts.key", run_folder());
    let key = PrivatePkcs8KeyDer::from_pem_file(&file).expect(&file);
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &random);
    let signature = key.expect("a key").sign(&random, said.as_bytes()).expect("a signature");
    format!("{said}.{}", encoding.encode(signature))
}

#[test]
fn nobody_else_can_speak_for_a_runner() {
    let namespace = Namespace::new("tokens");
    namespace.open_shop();
    namespace.apply(&army("spoken-for", &json!({"iterations": 300})));
    let run = namespace.eventually("it is at work", |n| {
        let run = n.get("botrun/spoken-for");
        (run["status"]["phase"] == "Running").then_some(run)
    });
    let said = |pod: &str| {
        json!({
            "protocol": 1, "run": {"namespace": namespace.name(), "name": "spoken-for", "uid": run["metadata"]["uid"]},
            "index": 0, "podUid": pod, "stage": "finished", "alive": 0, "roundTripMs": null, "deltas": [],
        })
    };
    let pods = namespace.get("pods");
    let runner = pods["items"]
        .as_array()
        .expect("pods")
        .iter()
        .find(|pod| pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "0");
    let runner = runner.expect("the runner")["metadata"].clone();
    let uid = runner["uid"].as_str().expect("a UID");
    let token = |audience: &str, pod: &str, uid: &str| {
        let kind = ["--bound-object-kind=Pod", "--bound-object-name", pod, "--bound-object-uid", uid];
        let audience = format!("--audience={audience}");
        let token = namespace.kubectl(&[&["create", "token", "default", &audience], &kind[..]].concat());
        token.trim().to_owned()
    };
    let own = token("botarmy", runner["name"].as_str().expect("a name"), uid);
    let target = pods["items"]
        .as_array()
        .expect("pods")
        .iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "target");
    let target = target.expect("the target")["metadata"].clone();
    let foreign =
        token("botarmy", target["name"].as_str().expect("a name"), target["uid"].as_str().expect("a UID"));
    let elsewhere = token("elsewhere", runner["name"].as_str().expect("a name"), uid);
    for (what, token, pod, status) in [
        ("no token", None, uid, 401),
        ("no token at all", Some("x"), uid, 401),
        ("for another audience", Some(&*elsewhere), uid, 401),
        ("whose time is over", Some(&*earlier(&own, 3)), uid, 401),
        ("signed anew, its time not over", Some(&*earlier(&own, 0)), "another", 403),
        ("of a pod that is no runner", Some(&*foreign), uid, 401),
        ("of another pod than is said", Some(&*own), "another", 403),
    ] {
        assert_eq!(check_in(token, &said(pod)), status, "{what}");
    }
    let ended = namespace.wait_complete("spoken-for");
    assert_eq!(
        (&ended["status"]["outcome"], &ended["status"]["result"]["iterations"]),
        (&json!("Passed"), &json!(300))
    );
    hold_against_the_target(&namespace, "spoken-for");
}

//! What runners are served by: who they are, and where they are led.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, in_force, run, said, scheduled, uid};
use botarmy_crds::RUN_UID_LABEL;
use botarmy_operator::checkpoint::Keeper;
use botarmy_operator::coordinator::{Coordinator, Reviewer, routes};
use botarmy_operator::election::{Leadership, Standing};
use botarmy_operator::endpoint;
use botarmy_protocol::shared::{Change, MAX_CHANGES};
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, MAX_DELTAS, Orders, Stage, Together};
use botarmy_report::Delta;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, header};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// A coordinator of the operator's armies, as a client speaks to it.
struct Served {
    coordinator: Coordinator,
}

impl Served {
    fn new(fake: &Fake, operator: &Operator) -> Self {
        let (armies, leadership) = (operator.armies.clone(), Leadership::from(operator.standing.subscribe()));
        let keeper =
            Arc::new(Keeper::new(fake.client("keeper"), armies.clone(), leadership.clone(), Arc::default()));
        let reviewer = Arc::new(Reviewer::new(fake.client("reviewer")));
        let in_force = in_force("coordinator");
        let coordinator = Coordinator::new(armies, reviewer, keeper, leadership, in_force, Arc::default());
        Self { coordinator }
    }

    /// The code of the answer, and the answer.
    async fn check_in(&self, token: &str, said: &CheckIn) -> (u16, Bytes) {
        let body = serde_json::to_vec(said).expect("JSON");
        let request = Request::post(CHECK_IN_PATH)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = routes(self.coordinator.clone()).oneshot(request).await.expect("an answer");
        let code = answer.status().as_u16();
        (code, answer.into_body().collect().await.expect("a body").to_bytes())
    }
}

/// The pod of the runner with this index, and a token that is bound to it.
pub(crate) fn pod(fake: &Fake, run_uid: &str, index: u32, token: &str) -> String {
    let pod = fake.add(
        "pods",
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("a-{index}"), "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: run_uid},
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string()},
            },
        }),
    );
    let pod_uid = uid(&pod);
    fake.vouch(token, &format!("a-{index}"), &pod_uid);
    pod_uid
}

#[tokio::test(start_paused = true)]
async fn a_check_in_that_would_keep_all_others_waiting_is_refused_and_the_largest_is_answered() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run_uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let served = Served::new(&fake, &operator);
    let pod_uid = pod(&fake, &run_uid, 0, "good");
    let with = |deltas: usize, changes: usize| {
        let deltas = (1..).take(deltas).map(|sequence| Delta { sequence, ..Delta::default() }).collect();
        let change = |number| (number, Change::Push("k".into(), json!(number)));
        let together = Together { changes: (1..).take(changes).map(change).collect(), ..Together::default() };
        let pod_uid = pod_uid.clone();
        CheckIn { pod_uid, deltas, together, ..said(&run_uid, 0, Stage::Running, &[]) }
    };
    for (deltas, changes, most) in [(MAX_DELTAS + 1, 0, 64), (100_000, 0, 64), (0, MAX_CHANGES + 1, 1000)] {
        let (code, why) = served.check_in("good", &with(deltas, changes)).await;
        let why = String::from_utf8_lossy(&why).into_owned();
        assert_eq!(code, 422, "{why}");
        assert!(why.contains(&format!("at most {most} items")), "{why}");
    }
    let (code, answer) = served.check_in("good", &with(MAX_DELTAS, MAX_CHANGES)).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&answer));
    let orders: Orders = serde_json::from_slice(&answer).expect("orders");
    assert_eq!((orders.applied, orders.together.applied), (MAX_DELTAS as u64, MAX_CHANGES as u64));
}

#[tokio::test(start_paused = true)]
async fn a_runner_is_answered_once_its_token_is_known() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run_uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let served = Served::new(&fake, &operator);
    let pod_uid = pod(&fake, &run_uid, 0, "good");
    let said = CheckIn { pod_uid, ..said(&run_uid, 0, Stage::Preparing, &[]) };
    for _ in 0..3 {
        let (code, answer) = served.check_in("good", &said).await;
        assert_eq!(code, 200, "{answer:?}");
        let orders: Orders = serde_json::from_slice(&answer).expect("orders");
        assert_eq!((orders.epoch, orders.plan.map(|plan| plan.runners)), (1, Some(1)));
    }
    assert_eq!(fake.calls().to("create", "tokenreviews").count(), 1, "it is asked once in a while");
    assert_eq!(served.check_in("bad", &said).await.0, 401);
    let other = CheckIn { index: 1, ..said.clone() };
    assert_eq!(served.check_in("good", &other).await.0, 403, "it is another runner");
    operator.standing.send_replace(Standing::InDoubt(1));
    assert_eq!(served.check_in("good", &said).await.0, 200, "somebody has to");
    operator.standing.send_replace(Standing::Follows);
    assert_eq!(served.check_in("good", &said).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn a_runner_whose_token_cannot_be_reviewed_is_asked_to_call_again() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run_uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let pod_uid = pod(&fake, &run_uid, 0, "good");
    let said = CheckIn { pod_uid, ..said(&run_uid, 0, Stage::Preparing, &[]) };
    for (verb, resource, effect) in [
        ("create", "tokenreviews", Effect::Hang),
        ("create", "tokenreviews", Effect::Code(500)),
        ("get", "pods", Effect::Hang),
        ("get", "pods", Effect::Break),
    ] {
        let served = Served::new(&fake, &operator);
        fake.inject(Fault::new(verb, resource, effect).by("reviewer"));
        let answered = tokio::time::timeout(Duration::from_secs(15), served.check_in("good", &said)).await;
        assert_eq!(answered.expect("an answer in time").0, 503, "{verb} {resource} {effect:?}");
        fake.mend();
        assert_eq!(served.check_in("good", &said).await.0, 200, "{verb} {resource} {effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn runners_are_led_to_whoever_leads_now() {
    let fake = Fake::new();
    let lead_to = async |at: &str| {
        let at = at.parse().expect("an address");
        endpoint::lead_to(fake.client("operator"), NAMESPACE, "coordinator", at).await
    };
    let missing = lead_to("10.0.0.1:8443").await.expect_err("there is no Service");
    assert_eq!((missing.code(), fake.all("endpointslices").len()), (Some(404), 0));
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "coordinator", "namespace": NAMESPACE}, "spec": {},
    });
    let service = fake.add("services", service);
    for at in ["10.0.0.1:8443", "10.0.0.2:8443"] {
        lead_to(at).await.expect("it is led there");
        let slice = fake.get("endpointslices", "coordinator").expect("a slice");
        let addresses: Value = json!([at.trim_end_matches(":8443")]);
        assert_eq!(slice["endpoints"][0]["addresses"], addresses);
        assert_eq!(slice["endpoints"].as_array().map(Vec::len), Some(1), "nobody else");
        assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], uid(&service));
    }
}

/// A node may speak for its pods, so that an honest runner has the address of a foe.
#[tokio::test]
async fn an_honest_token_comes_through_from_where_others_are_made_up() {
    let fake = Fake::new();
    pod(&fake, "run", 0, "honest");
    let reviewer = Arc::new(Reviewer::new(fake.client("reviewer")));
    let from = Some(IpAddr::from([10, 0, 0, 1]));
    let (begun, mut made_up) = (Instant::now(), 0);
    for round in 0.. {
        assert!(begun.elapsed() < Duration::from_secs(15), "{round} calls of the honest one");
        // It calls again after a while, as runners do.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if made_up > 100 && reviewer.identify("honest", from).await.is_ok() {
            break;
        }
        for _ in 0..20 {
            made_up += 1;
            assert!(reviewer.identify(&format!("made up {made_up}"), from).await.is_err());
        }
    }
    let reviews = fake.calls().to("create", "tokenreviews").count() as u128;
    assert!(reviews <= 50 + 2 + begun.elapsed().as_millis() / 100, "{reviews} of {made_up}");
}

//! Answers of any size: what nobody looks into is dropped, what is kept has a bound.

use super::{Http, MAX_JSON_BYTES, MAX_SAVED_BYTES};
use crate::network::{Connections, Hosts, Network};
use crate::{Answer, Bot, Outcome};
use botarmy_report::FailureClass;
use botarmy_tree::action::Call;
use botarmy_tree::{Actions, Context, Path, Plan, RunScope, Scope, notation};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A target that answers each request with `{"a": "xxx…"}`, of as many bytes as the path says.
struct Target {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Target {
    async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let target = Self { url, connections: Arc::default() };
        let connections = target.connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer(stream));
            }
        });
        target
    }
}

async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|length| length > 0) {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&request);
        let mut path = text.split(['/', ' ']).skip(2);
        let status = path.next().expect("a status");
        let size: usize = path.next().expect("a size").parse().expect("a size");
        let head = format!("HTTP/1.1 {status} As Asked\r\ncontent-length: {size}\r\n\r\n");
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(size - r#"{"a":""}"#.len()));
        if stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.is_err() {
            return;
        }
        request.clear();
    }
}

async fn run(http: &Value, connections: &Connections) -> Answer {
    let trees = json!({"T": {"http": http}});
    let trees = notation::read(&trees, &Path::top(), &Actions::built_in()).expect("a tree");
    let (run, context) = (RunScope::default(), Context::default());
    let plan = Plan::compile_entry(&trees, "T").expect("a plan").fold(&run);
    let Call::Http(options) = &plan.leaves()[0].call else { panic!("no http") };
    let network = Network::new(&Hosts::default()).expect("a network");
    let bot = Bot { scope: Scope::new(&run, 1, &context), connections };
    Http::new(options, &network).exchange(bot).await
}

/// The class and the words of a request that fails.
async fn failure(http: Value) -> (FailureClass, String) {
    let answer = run(&http, &Connections::default()).await;
    let failure = answer.observed.failure.expect("a failure");
    assert!(answer.outcome == Outcome::Fail && answer.updates.is_empty());
    (failure.class, failure.message)
}

#[tokio::test]
async fn an_answer_that_nobody_looks_into_may_be_of_any_size() {
    let (target, connections) = (Target::open().await, Connections::default());
    let size = MAX_JSON_BYTES + 1;
    for _ in 0..2 {
        let answer = run(&json!({"get": format!("{}/200/{size}", target.url)}), &connections).await;
        assert_eq!((answer.outcome, answer.observed.failure), (Outcome::Succeed, None));
        assert!(answer.observed.bytes_in > size as u64, "{}", answer.observed.bytes_in);
    }
    assert_eq!(target.connections.load(Ordering::Relaxed), 1, "the connection was used again");
}

#[tokio::test]
async fn an_answer_that_is_looked_into_has_a_bound() {
    let target = Target::open().await;
    let size = MAX_JSON_BYTES + 1;
    for wants in [json!({"save": {"a": "$.a"}}), json!({"expect": {"json": {"$.a": "x"}}})] {
        let mut http = json!({"get": format!("{}/200/{size}", target.url)});
        http.as_object_mut().expect("an object").extend(wants.as_object().expect("an object").clone());
        let (class, said) = failure(http.clone()).await;
        assert_eq!(class, FailureClass::Expectation);
        assert!(said.contains("the answer is larger than 8388608 bytes"), "{said}");
        // One that is not expected is not looked into.
        http["get"] = json!(format!("{}/500/{size}", target.url));
        assert_eq!(
            failure(http).await,
            (FailureClass::Status, "the status is 500, which is not expected".into())
        );
    }
}

#[tokio::test]
async fn what_is_saved_of_an_answer_has_a_bound() {
    let (target, around) = (Target::open().await, r#"{"a":}"#.len());
    let http = |size| json!({"get": format!("{}/200/{}", target.url, size + around), "save": {"a": "$.a"}});
    let answer = run(&http(MAX_SAVED_BYTES), &Connections::default()).await;
    assert_eq!(answer.outcome, Outcome::Succeed);
    assert_eq!(answer.updates[0].1.to_string().len(), MAX_SAVED_BYTES);
    let (class, said) = failure(http(MAX_SAVED_BYTES + 1)).await;
    assert_eq!(
        (class, said.as_str()),
        (
            FailureClass::Expectation,
            "$.a is larger than 65536 bytes, too large to be kept by a bot; save a part of it",
        )
    );
}

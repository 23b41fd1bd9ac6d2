//! Results taken to real folders and a real server on loopback.

use super::*;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use botarmy_report::{Facts, RunOutcome, Totals};
use http::header::{HeaderMap, LOCATION};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpListener;

/// What the server answers to one request after the other; the last answer again and again.
#[derive(Debug, Clone)]
enum Say {
    Status(u16),
    Redirect(u16, String),
    Header(usize),
    Body(usize),
    Text(String),
    Hang,
}

#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Server {
    says: Mutex<Vec<Say>>,
    seen: Mutex<Vec<Seen>>,
}

impl Server {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    assert_eq!(request.method(), "PUT");
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let path = head.uri.to_string();
    server.seen.lock().unwrap().push(Seen { path, headers: head.headers, body });
    let say = {
        let mut says = server.says.lock().unwrap();
        if says.len() > 1 { says.remove(0) } else { says[0].clone() }
    };
    let status = |code| StatusCode::from_u16(code).unwrap();
    match say {
        Say::Status(code) => (status(code), format!("code {code}, with s3cr3t-token")).into_response(),
        Say::Redirect(code, to) => (status(code), [(LOCATION, to)]).into_response(),
        Say::Header(bytes) => ([("x-huge", "h".repeat(bytes))], "").into_response(),
        Say::Body(bytes) => (status(403), "b".repeat(bytes)).into_response(),
        Say::Text(text) => (status(401), text).into_response(),
        Say::Hang => std::future::pending().await,
    }
}

/// A server that answers so, and its address.
async fn serve(says: &[Say]) -> (Arc<Server>, String) {
    let server = Arc::new(Server { says: Mutex::new(says.to_vec()), seen: Mutex::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (server, address)
}

const QUICK: Patience = Patience {
    attempt: Duration::from_secs(20),
    total: Duration::from_secs(60),
    first_wait: Duration::from_millis(1),
};

fn result() -> RunResult {
    let facts = Facts {
        outcome: RunOutcome::Failed,
        alive: 0,
        duration_ms: 1_000,
        thresholds: Vec::new(),
        gaps: Vec::new(),
        dimensions: Vec::new(),
    };
    RunResult::build(&Totals { requests: 7, ..Totals::default() }, facts)
}

fn order(exports: &Value, mounts: &Path) -> Order {
    order_with("Bearer s3cr3t-token", exports, mounts)
}

fn order_with(secret: &str, exports: &Value, mounts: &Path) -> Order {
    let find = |name: &str| {
        Some(match name {
            "BOTARMY_EXPORT" => exports.to_string(),
            "BOTARMY_RUN_NAMESPACE" => "shop".to_owned(),
            "BOTARMY_RUN_NAME" => "checkout".to_owned(),
            "BOTARMY_RUN_UID" => "0f1e2d3c-4b5a".to_owned(),
            _ => secret.to_owned(),
        })
    };
    let mut order = Order::read(find).unwrap();
    for (number, destination) in order.destinations.iter_mut().enumerate() {
        if let Place::Folder { mount, .. } = &mut destination.place {
            *mount = mounts.join(number.to_string());
        }
    }
    order
}

async fn put_to(url: &str, patience: Patience) -> Delivered {
    put_with("Bearer s3cr3t-token", url, patience).await
}

/// With a secret in the header.
async fn put_with(value: &str, url: &str, patience: Patience) -> Delivered {
    let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let headers =
        json!([{"name": "Authorization", "valueFrom": secret}, {"name": "X-Team", "value": "shop"}]);
    let exports = json!([{"http": {"url": url, "headers": headers}, "formats": ["json"]}]);
    deliver(order_with(value, &exports, Path::new("/nowhere")), result(), patience).await
}

fn is_result(json: &[u8]) -> bool {
    serde_json::from_slice::<RunResult>(json).is_ok_and(|read| read == result())
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_then_it_is_there() {
    let (server, address) = serve(&[500, 503, 429, 408, 201].map(Say::Status)).await;
    let delivered = put_to(&format!("{address}/in/"), QUICK).await;
    assert_eq!(delivered.failed, [""; 0]);
    assert_eq!(delivered.done, [format!("export[0]: {address}/in/shop-checkout-0f1e2d3c.json")]);
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    for request in seen {
        assert!(is_result(&request.body) && request.path == "/in/shop-checkout-0f1e2d3c.json");
        let header = |name| request.headers[name].to_str().unwrap();
        assert_eq!((header("authorization"), header("x-team")), ("Bearer s3cr3t-token", "shop"));
        assert_eq!(header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_refusal_is_told_at_once() {
    for code in [400, 401, 403, 404, 409, 413] {
        let (server, address) = serve(&[Say::Status(code)]).await;
        let delivered = put_to(&format!("{address}/x?sig=abc"), QUICK).await;
        let [told] = &*delivered.failed else { panic!("{delivered:?}") };
        assert!(told.starts_with(&format!("export[0]: {address}/x?…: the answer is {code} ")), "{told}");
        assert!(told.ends_with("; look at url and headers") && !told.contains("sig=abc"), "{told}");
        assert!(told.contains("with ***;"), "what the server repeats is hidden: {told}");
        assert_eq!((server.seen().len(), &*server.seen()[0].path), (1, "/x?sig=abc"));
    }
}

/// Of what a server repeats there is no part of a secret to be seen, wherever it is cut.
#[tokio::test]
async fn no_part_of_a_secret_is_told_however_long_it_is() {
    let parts: Vec<String> = (0..100).map(|n| format!("eyJ{n:03}")).collect();
    let token = parts.concat();
    let part = |told: &str| parts.iter().any(|part| told.contains(part));
    let read = 64 << 10;
    for (what, before) in
        [("longer than what is told", 0), ("at its end", 190), ("cut by what is read", read - 300)]
    {
        let said = format!("{} Invalid token: {token}", "b".repeat(before));
        let (_, address) = serve(&[Say::Text(said)]).await;
        let patience = Patience { total: Duration::from_millis(300), ..QUICK };
        let told = put_with(&format!("Bearer {token}"), &address, patience).await.failed.remove(0);
        assert!(!part(&told) && told.len() < 600, "{what}: {told}");
        assert!(before > 0 || told.contains("401 Unauthorized: Invalid token: ***;"), "{told}");
    }
}

#[tokio::test]
async fn who_never_answers_well_is_given_up() {
    let patience = Patience { total: Duration::from_millis(300), ..QUICK };
    let (server, address) = serve(&[Say::Status(500)]).await;
    let delivered = put_to(&address, patience).await;
    let tries = server.seen().len();
    let [told] = &*delivered.failed else { panic!("{delivered:?}") };
    assert!(
        tries > 1 && told.contains(&format!(", after {tries} tries; look at the server")),
        "{tries}: {told}"
    );

    let (server, address) = serve(&[Say::Hang]).await;
    let delivered = put_to(&address, patience).await;
    let [told] = &*delivered.failed else { panic!("{delivered:?}") };
    assert!(told.contains("no answer within ") && told.contains("can be reached"), "{told}");
    assert_eq!(server.seen().len(), 1);

    let (server, address) = serve(&[Say::Hang, Say::Status(200)]).await;
    let delivered = put_to(&address, Patience { attempt: Duration::from_millis(300), ..QUICK }).await;
    assert_eq!((delivered.done.len(), server.seen().len()), (1, 2), "one try is no end: {delivered:?}");
}

#[tokio::test]
async fn who_is_not_there_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let patience = Patience { total: Duration::from_millis(100), ..QUICK };
    for (address, part) in [
        (format!("http://{gone}/"), ": no connection: "),
        (format!("https://{gone}/"), ": no connection: "),
        ("http://nobody.invalid/".into(), ": no connection: "),
        ("nonsense".into(), ": that is no address; write another url"),
    ] {
        let delivered = put_to(&address, patience).await;
        assert!(delivered.failed.len() == 1 && delivered.failed[0].contains(part), "{delivered:?}");
    }
    // What speaks no TLS.
    let (_, address) = serve(&[Say::Status(200)]).await;
    let delivered = put_to(&address.replace("http:", "https:"), patience).await;
    assert!(
        delivered.failed[0].contains("no TLS: ") && delivered.failed[0].contains("SSL_CERT_FILE"),
        "{delivered:?}"
    );
}

#[tokio::test]
async fn redirects_are_followed_in_the_same_place_only() {
    let (other, elsewhere) = serve(&[Say::Status(200)]).await;
    let to = |code, to: &str| Say::Redirect(code, to.to_owned());
    let (server, address) = serve(&[to(307, "/a?x=1"), to(308, "/b"), Say::Status(204)]).await;
    assert_eq!(put_to(&address, QUICK).await.done.len(), 1);
    let paths: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/", "/a?x=1", "/b"]);
    assert!(server.seen().iter().all(|seen| is_result(&seen.body)));
    for (say, part) in [
        (
            to(307, &format!("{elsewhere}/x?sig=abc")),
            "307 Temporary Redirect, which leads to \"http://127.0.0.1:",
        ),
        (to(308, &elsewhere.replace("http://", "//")), "308 Permanent Redirect, which leads to \"//"),
        (to(302, "/a"), "302 Found, which leads to \"/a\""),
        (to(307, ""), "which leads to \"\""),
    ] {
        let (server, address) = serve(std::slice::from_ref(&say)).await;
        let delivered = put_to(&address, QUICK).await;
        assert!(delivered.failed.len() == 1 && delivered.failed[0].contains(part), "{say:?}: {delivered:?}");
        assert!(!delivered.failed[0].contains("sig=abc"), "{delivered:?}");
        assert_eq!(server.seen().len(), 1, "{say:?}");
    }
    assert_eq!(other.seen().len(), 0, "nobody else gets the headers");
    let ring = [to(307, "/a"), to(307, "/b"), to(307, "/a"), to(307, "/b")];
    let (server, address) = serve(&ring).await;
    assert!(put_to(&address, QUICK).await.failed[0].contains("more than 3 redirects"));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn answers_have_bounds() {
    let patience = Patience { total: Duration::from_millis(300), ..QUICK };
    let (_, address) = serve(&[Say::Header(1 << 20)]).await;
    let delivered = put_to(&address, patience).await;
    assert!(
        delivered.failed.len() == 1 && delivered.failed[0].contains("the connection broke: "),
        "{delivered:?}"
    );
    let (_, address) = serve(&[Say::Body(4 << 20)]).await;
    let delivered = put_to(&address, patience).await;
    let told = &delivered.failed[0];
    assert!(told.contains("the answer cannot be read: ") && told.len() < 600, "{told}");
    let (_, address) = serve(&[Say::Body(10_000)]).await;
    let told = put_to(&address, patience).await.failed.remove(0);
    assert!(told.contains("403 Forbidden: bbb") && told.len() < 600, "{told}");
}

#[tokio::test]
async fn files_are_written_whole_in_each_form_and_again() {
    let mounts = tempfile::tempdir().unwrap();
    std::fs::create_dir(mounts.path().join("0")).unwrap();
    let exports = json!([{
        "persistentVolumeClaim": {"claimName": "results", "path": "a/b"}, "formats": ["json", "html", "junit", "csv", "text"],
    }]);
    for _ in 0..2 {
        let delivered = deliver(order(&exports, mounts.path()), result(), QUICK).await;
        assert_eq!(delivered.failed, [""; 0]);
        assert_eq!(delivered.done[2], "export[0]: results:a/b/shop-checkout-0f1e2d3c.xml");
    }
    let folder = mounts.path().join("0/a/b");
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let suffixes = ["csv", "html", "json", "txt", "xml"];
    assert_eq!(
        names,
        suffixes.map(|suffix| format!("shop-checkout-0f1e2d3c.{suffix}")),
        "and nothing besides"
    );
    assert!(is_result(&std::fs::read(folder.join("shop-checkout-0f1e2d3c.json")).unwrap()));
    let xml = std::fs::read_to_string(folder.join("shop-checkout-0f1e2d3c.xml")).unwrap();
    assert!(xml.contains("<testsuite name=\"botarmy\""), "{xml}");
}

#[tokio::test]
async fn a_volume_without_room_or_right_is_told_and_keeps_no_other_place_from_its_file() {
    let mounts = tempfile::tempdir().unwrap();
    let full = mounts.path().join("0");
    std::fs::create_dir(&full).unwrap();
    // A device that has no room.
    std::os::unix::fs::symlink("/dev/full", full.join("shop-checkout-0f1e2d3c.json")).unwrap();
    std::fs::create_dir(mounts.path().join("1")).unwrap();
    std::fs::write(mounts.path().join("1/taken"), "").unwrap();
    // Nobody may make a file there, not even who may do all.
    std::fs::create_dir(mounts.path().join("2")).unwrap();
    std::os::unix::fs::symlink("/proc/self/task", mounts.path().join("2/readonly")).unwrap();
    std::fs::create_dir(mounts.path().join("3")).unwrap();
    let claim = |path: &str| json!({"persistentVolumeClaim": {"claimName": "c", "path": path}, "formats": ["json", "csv"]});
    let exports = json!([claim("."), claim("taken/x"), claim("readonly"), claim("a/../../b")]);
    let (server, address) = serve(&[Say::Status(200)]).await;
    let mut all = exports.as_array().unwrap().clone();
    all.push(json!({"http": {"url": address}}));
    let delivered = deliver(order(&all.into(), mounts.path()), result(), QUICK).await;
    let expected = [
        "export[0]: shop-checkout-0f1e2d3c.json cannot be written into the claim: No space left on device",
        "export[1]: the folder \"taken/x\" cannot be made in the claim: Not a directory",
        "export[2]: shop-checkout-0f1e2d3c.json cannot be written into the claim: ",
        "export[3]: \"a/../../b\" leads out of the claim",
    ];
    for (told, start) in delivered.failed.iter().zip(expected) {
        assert!(told.starts_with(start), "{told}");
    }
    assert_eq!(delivered.failed.len(), 4, "{delivered:?}");
    assert!(delivered.failed[1].ends_with(" (and 1 more)"), "{delivered:?}");
    assert!(full.join("shop-checkout-0f1e2d3c.csv").exists(), "what can be written is");
    assert_eq!(server.seen().len(), 1, "{delivered:?}");
    assert!(!mounts.path().join("b").exists());
}

#[test]
fn a_result_is_read_or_told_to_be_broken() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json.gz");
    let mut packer = GzEncoder::new(File::create(&file).unwrap(), Compression::fast());
    packer.write_all(&serde_json::to_vec(&result()).unwrap()).unwrap();
    packer.finish().unwrap();
    assert_eq!(read(&file).unwrap(), result());
    std::fs::write(&file, "{}").unwrap();
    for path in [&file, &folder.path().join("none")] {
        let told = read(path).unwrap_err().to_string();
        assert!(told.contains("the result cannot be read: "), "{told}");
    }
}

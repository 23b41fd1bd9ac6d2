//! Names and connections against a DNS server of our own.

use super::names::Names;
use super::resolver::{LOOKUP_TIMEOUT, Resolver};
use super::{Connection, Error, Hosts, Network, Origin, ResolveError};
use crate::seen::Seen;
use botarmy_report::{FailureClass, Observed, Part};
use futures::future::{join_all, poll_immediate};
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// Longest answer in a packet, in bytes.
const PACKET: usize = 512;

/// What the server knows and has heard.
#[derive(Default)]
struct Zone {
    ttl: u32,
    addresses: HashMap<String, Vec<IpAddr>>,
    /// It takes questions and says nothing.
    silent: bool,
    /// Questions, each once however often its packet came.
    asked: Vec<(String, RecordType)>,
    packets: HashSet<(u16, String, RecordType)>,
}

/// A DNS server that ends with the test.
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Server {
    async fn start(ttl: u32, zone: &[(&str, &[&str])]) -> Self {
        // The same port must be free for both.
        let (listener, socket) = loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            if let Ok(socket) = UdpSocket::bind(address).await {
                break (listener, socket);
            }
        };
        let address = socket.local_addr().expect("an address");
        let server = Self { address, zone: Arc::new(Mutex::new(Zone { ttl, ..Zone::default() })) };
        for (name, addresses) in zone {
            server.set(name, addresses);
        }
        tokio::spawn(serve(socket, server.zone.clone()));
        tokio::spawn(serve_streams(listener, server.zone.clone()));
        server
    }

    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().expect(a)).collect();
        self.zone.lock().unwrap().addresses.insert(name.to_owned(), addresses);
    }

    fn fall_silent(&self) {
        self.zone.lock().unwrap().silent = true;
    }

    fn asked(&self) -> Vec<(String, RecordType)> {
        self.zone.lock().unwrap().asked.clone()
    }

    /// How often this name was asked for; A and AAAA must go together.
    fn lookups(&self, name: &str) -> usize {
        let asked = self.asked();
        let count = |kind| asked.iter().filter(|(n, k)| n == name && *k == kind).count();
        assert_eq!(count(RecordType::A), count(RecordType::AAAA), "{asked:?}");
        count(RecordType::A)
    }

    fn resolver(&self, search: &[&str]) -> Resolver {
        let mut server = NameServerConfig::udp_and_tcp(self.address.ip());
        server.connections.iter_mut().for_each(|connection| connection.port = self.address.port());
        let search = search.iter().map(|domain| Name::from_ascii(domain).expect(domain)).collect();
        let mut options = ResolverOpts::default();
        options.ndots = 5;
        // Questions are counted: only the whole lookup has an end.
        options.timeout = LOOKUP_TIMEOUT * 10;
        Resolver::new(ResolverConfig::from_parts(None, search, vec![server]), options).expect("a resolver")
    }

    fn names(&self) -> Names {
        Names::only(&Hosts::default(), self.resolver(&[]))
    }

    fn network(&self, hosts: &Hosts) -> Network {
        Network::with(Names::only(hosts, self.resolver(&[]))).expect("a network")
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; PACKET];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Some(answer) = zone.lock().unwrap().answer(&buffer[..length]) else { continue };
        let mut packet = answer.to_vec().expect("an answer");
        if packet.len() > PACKET {
            packet = answer.truncate().to_vec().expect("an answer");
        }
        let _ = socket.send_to(&packet, from).await;
    }
}

/// What is too long for a packet is asked for again over a stream.
async fn serve_streams(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Ok(length) = stream.read_u16().await {
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.expect("a question");
            let Some(answer) = zone.lock().unwrap().answer(&question) else { continue };
            let answer = answer.to_vec().expect("an answer");
            stream.write_u16(u16::try_from(answer.len()).expect("a length")).await.expect("a reader");
            stream.write_all(&answer).await.expect("a reader");
        }
    }
}

impl Zone {
    fn answer(&mut self, packet: &[u8]) -> Option<Message> {
        let question = Message::from_vec(packet).expect("a question");
        let query = question.queries.first().expect("a query").clone();
        let name = query.name().to_ascii();
        // A packet is sent again, with the same number, when the machine is busy.
        if self.packets.insert((question.metadata.id, name.clone(), query.query_type())) {
            self.asked.push((name.clone(), query.query_type()));
        }
        if self.silent {
            return None;
        }
        let mut answer = question.into_response();
        match self.addresses.get_mut(&name) {
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some(addresses) => {
                // As servers do that spread load: the first of an answer must not decide.
                if query.query_type() == RecordType::A && !addresses.is_empty() {
                    addresses.rotate_right(1);
                }
                let records = addresses.iter().map(|ip| RData::from(*ip));
                let fitting = records.filter(|data| data.record_type() == query.query_type());
                let record = |data| Record::from_rdata(query.name().clone(), self.ttl, data);
                answer.add_answers(fitting.map(record).collect::<Vec<_>>());
            }
        }
        Some(answer)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// The address that the next connection begins with.
async fn next(names: &Names, name: &str) -> Result<IpAddr, ResolveError> {
    names.addresses(name, &Seen::default()).await.map(|addresses| addresses[0])
}

/// Waits until something is so; a minute is more than any machine takes.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn connect(network: &Network, url: &str) -> (Result<Connection, Error>, Observed) {
    let (seen, uri) = (Seen::default(), url.parse().expect(url));
    let connection = network.connect(&Origin::of(&uri).expect(url), &seen).await;
    (connection, seen.into_observed())
}

/// The class and the words of a connection that must not come about.
async fn failure(network: &Network, url: &str) -> (FailureClass, String) {
    let error = connect(network, url).await.0.expect_err(url);
    (error.class(), error.to_string())
}

#[tokio::test]
async fn an_answer_is_used_as_long_as_it_says_and_no_longer() {
    let server = Server::start(1, &[("shop.", &["10.0.0.1"])]).await;
    let names = server.names();
    let before = Instant::now();
    assert_eq!(next(&names, "shop.").await.expect("an address"), ip("10.0.0.1"));
    server.set("shop.", &["10.0.0.2"]);
    until("the new address", async || next(&names, "shop.").await.expect("an address") == ip("10.0.0.2"))
        .await;
    assert!(before.elapsed() >= Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(server.lookups("shop."), 2);
}

#[tokio::test]
async fn bots_that_begin_at_once_ask_together_and_an_answer_without_lifetime_is_asked_anew() {
    let server = Server::start(0, &[("shop.", &["10.0.0.1"])]).await;
    let names = server.names();
    for round in 1..=3 {
        let all = join_all((0..10_000).map(|_| next(&names, "shop."))).await;
        assert!(all.iter().all(|found| found.as_ref().is_ok_and(|found| *found == ip("10.0.0.1"))));
        assert_eq!(server.lookups("shop."), round);
    }
    // Failures are asked for together too.
    let all = join_all((0..1_000).map(|_| next(&names, "nowhere."))).await;
    assert!(all.iter().all(|found| matches!(found, Err(ResolveError::Unknown))));
    assert_eq!(server.lookups("nowhere."), 1);
}

#[tokio::test]
async fn a_lookup_goes_on_when_the_first_who_asked_gives_up() {
    let server = Server::start(0, &[("shop.", &["10.0.0.1"])]).await;
    let names = server.names();
    assert!(poll_immediate(next(&names, "shop.")).await.is_none(), "nothing is known yet");
    assert_eq!(next(&names, "shop.").await.expect("an address"), ip("10.0.0.1"));
    assert_eq!(server.lookups("shop."), 1);
}

#[tokio::test]
async fn all_addresses_are_used_in_turn_over_all_answers() {
    let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    let server = Server::start(0, &[("shop.", &addresses)]).await;
    let (mut begins, names) = (HashSet::new(), server.names());
    for _ in 0..3 {
        let mut used = HashSet::new();
        for _ in 0..addresses.len() {
            used.insert(next(&names, "shop.").await.expect("an address"));
        }
        assert_eq!(used.len(), addresses.len(), "{used:?}");
    }
    for _ in 0..40 {
        begins.insert(next(&server.names(), "shop.").await.expect("an address"));
    }
    assert!(begins.len() > 1, "all workers begin at {begins:?}");
}

#[tokio::test]
async fn a_name_may_have_many_addresses() {
    let addresses: Vec<_> = (0..500_u16).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    let all: Vec<_> = addresses.iter().map(String::as_str).collect();
    let server = Server::start(60, &[("pods.shop.", &all)]).await;
    let (mut used, names) = (HashSet::new(), server.names());
    for _ in &all {
        used.insert(next(&names, "pods.shop.").await.expect("an address"));
    }
    assert_eq!(used.len(), all.len());
}

#[tokio::test]
async fn short_names_are_looked_for_in_the_search_domains() {
    let server =
        Server::start(60, &[("shop.svc.cluster.local.", &["10.0.0.1"]), ("a.b.", &["10.0.0.2"])]).await;
    let names =
        Names::only(&Hosts::default(), server.resolver(&["test.svc.cluster.local", "svc.cluster.local"]));
    for (name, address, asked) in [
        ("shop", "10.0.0.1", &["shop.test.svc.cluster.local.", "shop.svc.cluster.local."][..]),
        ("a.b", "10.0.0.2", &["a.b.test.svc.cluster.local.", "a.b.svc.cluster.local.", "a.b."]),
        ("a.b.", "10.0.0.2", &["a.b."]),
    ] {
        let before = server.asked().len();
        assert_eq!(next(&names, name).await.expect(name), ip(address));
        let heard: Vec<_> = server.asked()[before..].iter().map(|(name, _)| name.clone()).collect();
        let twice: Vec<_> = asked.iter().flat_map(|name| [*name; 2]).collect();
        assert_eq!(heard, twice, "{name}");
    }
}

#[tokio::test]
async fn any_number_of_names_is_asked_for() {
    let server = Server::start(60, &[]).await;
    let all: Vec<_> = (0..1_000).map(|n| format!("shop-{n}.")).collect();
    for name in &all {
        server.set(name, &["10.0.0.1"]);
    }
    let names = server.names();
    for found in join_all(all.iter().map(|name| next(&names, name))).await {
        assert_eq!(found.expect("an address"), ip("10.0.0.1"));
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_says_so_and_may_come() {
    let server = Server::start(60, &[("empty.", &[])]).await;
    let network = server.network(&Hosts::default());
    let (class, said) = failure(&network, "http://shop./").await;
    assert_eq!(class, FailureClass::Dns);
    assert_eq!(
        said,
        "the name shop. cannot be resolved: DNS knows no such name; check its spelling, its namespace, and that its Service is there"
    );
    let (class, said) = failure(&network, "http://empty./").await;
    assert!(class == FailureClass::Dns && said.contains("it has no address"), "{said}");
    let (class, said) = failure(&network, "http://a..b/").await;
    assert!(class == FailureClass::Dns && said.contains("it is no name for DNS"), "{said}");
    server.set("shop.", &["10.0.0.1"]);
    until("the name", async || next(&network.names, "shop.").await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(0, &[("shop.", &["10.0.0.1"])]).await;
    let network = server.network(&Hosts::default());
    assert!(next(&network.names, "shop.").await.is_ok());
    server.fall_silent();
    // From here on the time of the runtime passes as soon as everybody waits.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let (class, said) = failure(&network, "http://shop./").await;
    assert_eq!(class, FailureClass::Dns, "an old answer is not used");
    assert!(said.contains("no DNS server answered within 5s"), "{said}");
    assert!(before.elapsed() <= LOOKUP_TIMEOUT + Duration::from_millis(10), "{:?}", before.elapsed());
    assert_eq!(server.lookups("shop."), 2);
}

#[tokio::test]
async fn names_that_are_written_down_are_not_asked_for() {
    let server = Server::start(60, &[("shop.example.", &["10.0.0.1"])]).await;
    let hosts = [("shop.example", ip("10.9.9.1")), ("Shop.Example.", ip("10.9.9.2"))].into_iter().collect();
    let names = Names::only(&hosts, server.resolver(&["svc.cluster.local"]));
    for name in ["shop.example", "SHOP.example."] {
        let mut found = names.addresses(name, &Seen::default()).await.expect(name);
        found.sort_unstable();
        assert_eq!(found, [ip("10.9.9.1"), ip("10.9.9.2")]);
    }
    for name in ["localhost", "LOCALHOST.", "any.localhost"] {
        assert!(next(&names, name).await.expect(name).is_loopback());
    }
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let closed = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let server = Server::start(60, &[("shop.", &["127.0.0.1", "127.0.0.2"]), ("closed.", &closed)]).await;
    let network = server.network(&Hosts::default());
    let url = format!("http://shop.:{port}/");
    for round in 0..4 {
        let (connection, observed) = connect(&network, &url).await;
        assert!(connection.is_ok(), "{connection:?}");
        assert_eq!(observed.parts[Part::Dns.index()].is_some(), round == 0, "only the first had to ask");
        assert!(observed.parts[Part::Connect.index()].is_some());
    }
    let (class, said) = failure(&network, &format!("http://closed.:{port}/")).await;
    assert_eq!(class, FailureClass::Connect);
    assert!(
        closed.iter().all(|ip| said.contains(&format!("{ip}:{port}"))) && said.contains("refused"),
        "{said}"
    );
}

#[tokio::test]
async fn addresses_are_no_names() {
    let server = Server::start(60, &[]).await;
    let network = server.network(&Hosts::default());
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address).await else { continue };
        let mut url = listener.local_addr().expect("an address").to_string();
        url.insert_str(0, "http://");
        assert!(connect(&network, &url).await.0.is_ok(), "{url}");
    }
    assert_eq!(server.asked(), []);
}

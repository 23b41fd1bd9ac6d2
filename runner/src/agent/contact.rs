//! What a runner and its coordinator tell each other: check-ins, and all that is in them.

use super::clock::Clock;
use super::ledger::Ledger;
use super::link::{self, Files, Link};
use super::outbox::Outbox;
use super::{Error, Identity};
use botarmy_actions::Together;
use botarmy_actions::together::Request;
use botarmy_protocol::{
    CheckIn, INTERVAL_MS, Orders, Performed, Refusal, Stage, Standing, VERSION, waiting_interval_ms,
};
use botarmy_report::Delta;
use botarmy_spec::{DEFAULT_LEASE, Part};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often a runner checks in at least.
pub(super) const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);
/// How often a runner asks for news while its bots wait for those of other runners.
const NEWS_INTERVAL: Duration = Duration::from_millis(100);
/// Between two check-ins that are about shared data, at least: so long, and so long for each runner, so that
/// all together do not keep the coordinator from its work.
const LEAST_DISTANCE: Duration = Duration::from_millis(10);
const DISTANCE_PER_RUNNER: Duration = Duration::from_micros(200);

/// One side of a long talk.
pub(super) struct Contact {
    pub(super) identity: Identity,
    pub(super) link: Link,
    /// Measures that are not durable yet.
    pub(super) outbox: Outbox,
    /// When the coordinator was last heard.
    heard: Instant,
    /// What it has answered last, if that were no orders; none if it could not be reached.
    refused: Option<String>,
    /// How long this runner works without it before it stops by itself.
    pub(super) lease: Duration,
    round_trip: Option<Duration>,
    epoch: u64,
    /// What is known of the coordinator's clock.
    pub(super) clock: Clock,
    /// How late the first bots began, by that clock; said again and again, for a coordinator that comes later.
    pub(super) began_late_ms: Option<i64>,
    /// How far this runner is with its part, beside what was measured.
    pub(super) standing: Standing,
    /// The coordinator says that it does not know the run.
    pub(super) unknown: bool,
    /// Why this runner cannot do its part.
    pub(super) refusal: Option<Refusal>,
    /// A digest of the sources that were read here.
    pub(super) sources: Option<String>,
    /// The pod was told to end before the run was over.
    pub(super) left: bool,
    /// What came of setup or teardown, the last of them that was performed here.
    pub(super) performed: Option<Performed>,
    /// What the bots share.
    pub(super) together: Together,
    requests: mpsc::Receiver<Request>,
    ledger: Ledger,
    /// When the coordinator was last asked anything, and how long to wait then before it is asked about
    /// shared data.
    pub(super) asked: Instant,
    distance: Duration,
    /// How often it is asked for the start.
    pub(super) waiting_interval: Duration,
}

impl Contact {
    /// Nothing has been said yet.
    pub(super) fn new(identity: Identity, files: Files) -> Result<Self, link::Error> {
        let (together, requests) = Together::there();
        Ok(Self {
            link: Link::new(&identity.coordinator, files)?,
            identity,
            outbox: Outbox::default(),
            heard: Instant::now(),
            refused: None,
            lease: DEFAULT_LEASE,
            round_trip: None,
            epoch: 0,
            clock: Clock::default(),
            began_late_ms: None,
            standing: Standing::default(),
            unknown: false,
            refusal: None,
            sources: None,
            left: false,
            performed: None,
            together,
            requests,
            ledger: Ledger::default(),
            asked: Instant::now(),
            distance: LEAST_DISTANCE,
            waiting_interval: Duration::from_millis(waiting_interval_ms(1)),
        })
    }

    /// The coordinator has so many runners to talk to.
    pub(super) fn one_of(&mut self, runners: u32) {
        self.distance = LEAST_DISTANCE.max(DISTANCE_PER_RUNNER * runners);
        self.waiting_interval = Duration::from_millis(waiting_interval_ms(runners));
    }

    /// Checks in with all there is to say; none if the coordinator cannot be reached just now.
    pub(super) async fn check_in(&mut self, stage: Stage, alive: u32) -> Option<Orders> {
        let (stage, deltas) = self.measures(stage);
        self.say(stage, alive, deltas).await
    }

    /// What is to be told of measures, and the stage to tell with it.
    pub(super) fn measures(&mut self, stage: Stage) -> (Stage, Vec<Delta>) {
        let deltas = self.outbox.pending(stage == Stage::Finished);
        // Whoever has finished has no more to tell than this: after it the run may be over.
        let stage = if self.outbox.has_more_than(&deltas) { stage.min(Stage::Running) } else { stage };
        (stage, deltas)
    }

    /// Says these measures, and all else there is to say.
    pub(super) async fn say(&mut self, stage: Stage, alive: u32, deltas: Vec<Delta>) -> Option<Orders> {
        let check_in = self.compose(stage, alive, deltas);
        let answer = self.link.post(&check_in).await;
        self.hear(answer)
    }

    /// All there is to say, with these measures. It is sent at once, and its answer is heard before anything else is said.
    pub(super) fn compose(&mut self, stage: Stage, alive: u32, deltas: Vec<Delta>) -> CheckIn {
        while !self.ledger.is_full()
            && let Ok(request) = self.requests.try_recv()
        {
            self.ledger.take(request);
        }
        self.asked = Instant::now();
        CheckIn {
            protocol: VERSION,
            run: self.identity.run.clone(),
            index: self.identity.index,
            pod_uid: self.identity.pod_uid.clone(),
            stage,
            alive,
            round_trip_ms: self.round_trip.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            deltas,
            left: self.left,
            refusal: self.refusal.clone(),
            sources: self.sources.clone(),
            performed: self.performed.clone(),
            together: self.ledger.to_say(),
            trusts: Some(self.link.trusts().to_owned()),
            began_late_ms: self.began_late_ms,
            standing: self.standing.clone(),
        }
    }

    /// Takes in what has come of what was said last; none if that were no orders.
    pub(super) fn hear(&mut self, answer: Result<Orders, link::Error>) -> Option<Orders> {
        let sent = self.asked;
        match answer {
            Ok(orders) if orders.epoch < self.epoch => {
                tracing::warn!("orders of an older coordinator are refused (epoch {})", orders.epoch);
                // It may keep its connections for as long as it does not know that it was deposed: a new one finds whoever
                // leads now.
                self.link.close();
                None
            }
            Ok(mut orders) => {
                self.heard = Instant::now();
                self.clock.hear(orders.epoch, orders.now_ms, sent, self.heard);
                self.epoch = orders.epoch;
                self.unknown = false;
                self.refused = None;
                self.round_trip = Some(sent.elapsed());
                self.outbox.settle(orders.applied, orders.durable);
                if let Some(Err(error)) = orders.trust.take().map(|trust| self.link.trust(trust)) {
                    tracing::warn!("{error}");
                }
                // News first: a bot that is answered then sees what its own change has come to.
                let mut heard = std::mem::take(&mut orders.together);
                self.together.learn(self.ledger.news(&mut heard));
                self.ledger.hear(heard);
                if let Some(changes) = self.ledger.news_of_bound() {
                    tracing::warn!(
                        "{changes} changes of shared data do not survive the operator yet; bots wait with others until its checkpoint is written: see why it is not"
                    );
                }
                Some(orders)
            }
            Err(error) => {
                self.unknown = error.is_unknown_run();
                self.outbox.doubt();
                if error.is_too_large() {
                    self.outbox.send_less();
                }
                self.refused = error.is_refusal().then(|| error.to_string());
                if self.refused.is_some() {
                    tracing::warn!("a check-in was refused: {error}");
                } else {
                    tracing::warn!("the coordinator cannot be reached: {error}");
                }
                None
            }
        }
    }

    /// Waits until something is to be said or asked about shared data.
    pub(super) async fn together_is_due(&mut self) {
        tokio::time::sleep_until((self.asked + self.distance).into()).await;
        if self.ledger.has_to_say() {
            return;
        }
        let (asked, together) = (self.asked, self.together.clone());
        let news = async {
            loop {
                tokio::time::sleep_until((asked + NEWS_INTERVAL).max(Instant::now() + LEAST_DISTANCE).into())
                    .await;
                if together.waiting() > 0 {
                    return;
                }
                tokio::time::sleep(NEWS_INTERVAL).await;
            }
        };
        tokio::select! {
            Some(request) = self.requests.recv(), if !self.ledger.is_full() => self.ledger.take(request),
            () = news => {}
        }
    }

    /// The coordinator was away for too long, or has given no orders.
    pub(super) fn lease_is_over(&self) -> bool {
        self.heard.elapsed() > self.lease
    }

    /// Why this runner ends when its lease is over.
    pub(super) fn given_up(&self) -> Error {
        match &self.refused {
            Some(said) => Error::Refused(self.lease, said.clone()),
            None => Error::LeaseOver(self.lease),
        }
    }

    /// What this runner is told to perform, if it has not done so yet.
    pub(super) fn is_to_perform(&self, orders: &Orders) -> Option<Part> {
        orders.perform.filter(|part| self.performed.as_ref().is_none_or(|done| done.part != *part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::env;
    use rustls::pki_types::PrivateKeyDer;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A coordinator that answers with this, call after call, on one connection after another; then it is away.
    async fn coordinator(connections: Vec<Vec<String>>) -> (String, String) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.cert.der().clone()],
                PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into()),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            for answers in connections {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                'answers: for answer in answers {
                    let mut read = Vec::new();
                    while !is_whole(&read).unwrap_or_default() {
                        // The other side has gone.
                        if stream.read_buf(&mut read).await.unwrap_or_default() == 0 {
                            break 'answers;
                        }
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                // Kept, so that it is the other side that goes, unless an answer has said so.
                open.push(stream);
            }
        });
        (address, own.cert.pem())
    }

    /// Whether this is all of a request: what is left unread would break the connection before its answer.
    fn is_whole(read: &[u8]) -> Option<bool> {
        let text = String::from_utf8_lossy(read).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        Some(body.len() >= length.parse::<usize>().ok()?)
    }

    #[tokio::test]
    async fn a_refusal_is_not_taken_for_a_coordinator_that_is_away() {
        const ANSWERS: [&str; 2] = [
            "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 12\r\n\r\nno such sort",
            "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: 11\r\n\r\nthere is no",
        ];
        let (_folder, mut contact) = contact(ANSWERS.map(|answer| vec![answer.to_owned()]).to_vec()).await;
        let mut told = Vec::new();
        for _ in 0..3 {
            assert!(contact.check_in(Stage::Preparing, 0).await.is_none());
            told.push(match contact.given_up() {
                Error::Refused(_, said) => said,
                Error::LeaseOver(_) => "away".to_owned(),
                other => panic!("{other}"),
            });
        }
        let expected = [
            "the coordinator answered 401: no such sort",
            "the coordinator answered 409: there is no",
            "away",
        ];
        assert_eq!(told, expected);
    }

    /// Orders of this epoch.
    fn orders(epoch: u64) -> String {
        let orders = Orders {
            protocol: VERSION,
            epoch,
            now_ms: 1,
            applied: 0,
            durable: 0,
            plan: None,
            start_at_ms: None,
            bots: 1,
            stop: false,
            rates: Vec::new(),
            pauses: Vec::new(),
            losses: Vec::new(),
            perform: None,
            context: serde_json::Map::new(),
            stay: false,
            together: botarmy_protocol::TogetherOrders::default(),
            trust: None,
        };
        let body = serde_json::to_string(&orders).unwrap();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn whoever_was_deposed_is_left_for_whoever_leads_now() {
        let deposed = [2, 2, 1, 1].map(orders).to_vec();
        let (_folder, mut contact) = contact(vec![deposed, vec![orders(3)]]).await;
        let mut obeyed = Vec::new();
        for _ in 0..4 {
            obeyed.push(contact.check_in(Stage::Preparing, 0).await.map(|orders| orders.epoch));
        }
        assert_eq!(obeyed, [Some(2), Some(2), None, Some(3)]);
    }

    /// A runner's side of a talk with a coordinator that answers so, and the folder of its files.
    async fn contact(connections: Vec<Vec<String>>) -> (tempfile::TempDir, Contact) {
        let (address, certificate) = coordinator(connections).await;
        let folder = tempfile::tempdir().unwrap();
        let files = Files { token: folder.path().join("token"), certificates: folder.path().join("ca") };
        std::fs::write(&files.token, "token").unwrap();
        std::fs::write(&files.certificates, certificate).unwrap();
        let identity = Identity::read(|name| {
            Some(match name {
                env::COORDINATOR => address.clone(),
                env::INDEX => "0".to_owned(),
                env::NAMESPACE | env::NAME | env::RUN_UID | env::POD_UID => "a".to_owned(),
                _ => return None,
            })
        });
        let contact = Contact::new(identity.unwrap(), files).unwrap();
        (folder, contact)
    }
}

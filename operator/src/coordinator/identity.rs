//! Who a caller is: its token is reviewed by the API server and bound to a pod of the run.

use crate::metrics::CheckedIn;
use axum::http::StatusCode;
use botarmy_crds::RUN_UID_LABEL;
use botarmy_protocol::{AUDIENCE, CheckIn};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a review holds before the API server is asked again.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a runner is taken for who it was while the API server does not answer.
const STALE: Duration = Duration::from_secs(900);
/// How long a token that was refused is refused without a question.
const REFUSED: Duration = Duration::from_secs(30);
/// Most reviews that are remembered, of each kind.
const MAX_REMEMBERED: usize = 10_000;
/// So many tokens that turn out to be none may come from one address in that time; then of those that are not known only a
/// few are asked for. Whoever makes tokens up by the thousand must not make us ask by the thousand; and a node may speak for
/// its pods, so that honest ones come from there as well.
const MAX_REFUSALS: u32 = 50;
/// Between two of these few.
const FEW_EVERY: Duration = Duration::from_millis(100);
/// Most questions to the API server at the same time: whoever has no token must not keep it from its work.
const MAX_QUESTIONS: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(8);
const INDEX_ANNOTATION: &str = "batch.kubernetes.io/job-completion-index";

/// Why a caller is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not vouch for the token.
    #[error("the token is not valid for the audience {AUDIENCE}")]
    Token,
    /// Too many tokens from there were not valid.
    #[error("too many tokens from this address are not valid, and only some are looked at; call again")]
    TooMany,
    /// The pod is not the runner it says it is.
    #[error("the token's pod is not runner {0} of this run")]
    NotThatRunner(u32),
    /// The API server cannot be asked.
    #[error("the token cannot be reviewed now: {0}")]
    Api(#[from] kube::Error),
    /// No answer.
    #[error("the token cannot be reviewed now: no answer within {TIMEOUT:?}")]
    Timeout,
}

impl Error {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NotThatRunner(_) => StatusCode::FORBIDDEN,
            Self::Api(_) | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is counted as.
    pub fn counted(&self) -> CheckedIn {
        match self {
            Self::Token | Self::TooMany => CheckedIn::Token,
            Self::NotThatRunner(_) => CheckedIn::NotThatRunner,
            Self::Api(_) | Self::Timeout => CheckedIn::Api,
        }
    }
}

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    namespace: String,
    pod_uid: String,
    run_uid: String,
    index: u32,
}

impl Runner {
    /// The UID of its pod.
    pub fn pod_uid(&self) -> &str {
        &self.pod_uid
    }

    /// The namespace of its pod.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The UID of its run, as its pod's label says it.
    pub fn run_uid(&self) -> &str {
        &self.run_uid
    }

    /// Checks that this is the runner that somebody says to be.
    pub fn is(&self, said: &CheckIn) -> Result<(), Error> {
        let claimed = (&said.run.namespace, &said.pod_uid, &said.run.uid, said.index);
        let own = (&self.namespace, &self.pod_uid, &self.run_uid, self.index);
        if claimed == own { Ok(()) } else { Err(Error::NotThatRunner(said.index)) }
    }
}

/// What is known of tokens, by their hashes: tokens themselves are not kept.
#[derive(Debug, Default)]
struct Memory {
    known: HashMap<[u8; 32], (Instant, Runner)>,
    refused: HashMap<[u8; 32], Instant>,
    /// By the address that they came from.
    refusals: HashMap<IpAddr, Refusals>,
}

/// Tokens from one address that were none.
#[derive(Debug)]
struct Refusals {
    since: Instant,
    count: u32,
    /// When one that is not known was asked for last although there were so many.
    asked: Option<Instant>,
}

impl Refusals {
    fn hold(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < REFUSED
    }
}

/// What is remembered of a token.
enum Remembered {
    /// It was reviewed a short while ago.
    Fresh(Runner),
    /// It was reviewed a while ago: it holds, and is reviewed again meanwhile.
    Stale(Runner),
    Refused,
    Nothing,
}

impl Memory {
    fn recall(&self, key: &[u8; 32]) -> Remembered {
        if self.refused.get(key).is_some_and(|at| at.elapsed() < REFUSED) {
            return Remembered::Refused;
        }
        match self.known.get(key) {
            Some((at, runner)) if at.elapsed() < LIFETIME => Remembered::Fresh(runner.clone()),
            Some((at, runner)) if at.elapsed() < STALE => Remembered::Stale(runner.clone()),
            _ => Remembered::Nothing,
        }
    }

    /// Takes note of a token from there that is none.
    fn count_refusal(&mut self, from: IpAddr, now: Instant) {
        if self.refusals.len() >= MAX_REMEMBERED {
            self.refusals.retain(|_, refusals| refusals.hold(now));
        }
        if self.refusals.len() >= MAX_REMEMBERED && !self.refusals.contains_key(&from) {
            return;
        }
        let fresh = || Refusals { since: now, count: 0, asked: None };
        let refusals = self.refusals.entry(from).or_insert_with(fresh);
        if !refusals.hold(now) {
            *refusals = fresh();
        }
        refusals.count = refusals.count.saturating_add(1);
    }

    /// Whether a token from there that is not known may be asked for now.
    fn may_ask(&mut self, from: IpAddr, now: Instant) -> bool {
        let refusals = self.refusals.get_mut(&from);
        let Some(refusals) = refusals.filter(|r| r.hold(now) && r.count >= MAX_REFUSALS) else { return true };
        let may_ask = refusals.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= FEW_EVERY);
        if may_ask {
            refusals.asked = Some(now);
        }
        may_ask
    }

    fn learn(&mut self, key: [u8; 32], reviewed: &Result<Runner, Error>) {
        match reviewed {
            Ok(runner) => {
                if self.known.len() >= MAX_REMEMBERED {
                    self.known.retain(|_, (at, _)| at.elapsed() < LIFETIME);
                }
                if self.known.len() < MAX_REMEMBERED || self.known.contains_key(&key) {
                    self.known.insert(key, (Instant::now(), runner.clone()));
                }
            }
            Err(Error::Token) => {
                self.known.remove(&key);
                if self.refused.len() >= MAX_REMEMBERED {
                    self.refused.retain(|_, at| at.elapsed() < REFUSED);
                }
                if self.refused.len() < MAX_REMEMBERED {
                    self.refused.insert(key, Instant::now());
                }
            }
            // Nothing was learned.
            Err(_) => {}
        }
    }
}

/// Reviews tokens, each once in a while.
pub struct Reviewer {
    client: Client,
    memory: Mutex<Memory>,
    questions: Semaphore,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer").finish_non_exhaustive()
    }
}

impl Reviewer {
    /// A reviewer that asks this API server.
    pub fn new(client: Client) -> Self {
        Self { client, memory: Mutex::default(), questions: Semaphore::new(MAX_QUESTIONS) }
    }

    /// Tells which runner a token belongs to. One that is known is answered for at once, also while the API server is
    /// away.
    pub async fn identify(self: &Arc<Self>, token: &str, from: Option<IpAddr>) -> Result<Runner, Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered = self.memory().recall(&key);
        match remembered {
            Remembered::Fresh(runner) => Ok(runner),
            Remembered::Stale(runner) => {
                let (reviewer, token) = (self.clone(), token.to_owned());
                tokio::spawn(async move {
                    // Whoever finds it stale in the meantime asks as well, but no more than so many at a time.
                    let Ok(_question) = reviewer.questions.try_acquire() else { return };
                    let reviewed = reviewer.ask(&token).await;
                    reviewer.memory().learn(key, &reviewed);
                });
                Ok(runner)
            }
            Remembered::Refused => Err(Error::Token),
            Remembered::Nothing => {
                let question = tokio::time::timeout(TIMEOUT, self.questions.acquire()).await;
                let _question = question.map_err(|_| Error::Timeout)?.map_err(|_| Error::Timeout)?;
                // Only now: of many that have waited together, those before may have been refused.
                if from.is_some_and(|from| !self.memory().may_ask(from, Instant::now())) {
                    return Err(Error::TooMany);
                }
                let reviewed = self.ask(token).await;
                let mut memory = self.memory();
                memory.learn(key, &reviewed);
                if let (Err(Error::Token), Some(from)) = (&reviewed, from) {
                    memory.count_refusal(from, Instant::now());
                }
                reviewed
            }
        }
    }

    async fn ask(&self, token: &str) -> Result<Runner, Error> {
        tokio::time::timeout(TIMEOUT, self.review(token)).await.map_err(|_| Error::Timeout)?
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(&self, token: &str) -> Result<Runner, Error> {
        let spec =
            TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let review =
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = review.status.filter(|s| s.authenticated == Some(true)).ok_or(Error::Token)?;
        let (namespace, pod_name, pod_uid) = status.user.as_ref().and_then(bound_pod).ok_or(Error::Token)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let pod = pods
            .get_opt(&pod_name)
            .await?
            .filter(|p| p.uid().as_deref() == Some(&pod_uid))
            .ok_or(Error::Token)?;
        let run_uid = pod.labels().get(RUN_UID_LABEL).cloned().ok_or(Error::Token)?;
        let index =
            pod.annotations().get(INDEX_ANNOTATION).and_then(|i| i.parse().ok()).ok_or(Error::Token)?;
        Ok(Runner { namespace, pod_uid, run_uid, index })
    }
}

/// The namespace, the name and the UID of the pod that a token is bound to.
fn bound_pod(user: &UserInfo) -> Option<(String, String, String)> {
    let namespace = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?.split(':').next()?;
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    let name = extra("authentication.kubernetes.io/pod-name")?;
    Some((namespace.to_owned(), name, extra("authentication.kubernetes.io/pod-uid")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_of_a_token_holds_for_a_while() {
        let runner = Runner { namespace: "n".into(), pod_uid: "p".into(), run_uid: "r".into(), index: 1 };
        let mut memory = Memory::default();
        let key = [7; 32];
        assert!(matches!(memory.recall(&key), Remembered::Nothing));
        memory.learn(key, &Ok(runner.clone()));
        assert!(matches!(memory.recall(&key), Remembered::Fresh(found) if found == runner));
        let Some(old) = Instant::now().checked_sub(LIFETIME) else { panic!("a young machine") };
        memory.known.insert(key, (old, runner));
        assert!(matches!(memory.recall(&key), Remembered::Stale(_)));
        memory.learn(key, &Err(Error::Timeout));
        assert!(matches!(memory.recall(&key), Remembered::Stale(_)), "the API server is away");
        memory.learn(key, &Err(Error::Token));
        assert!(matches!(memory.recall(&key), Remembered::Refused));
    }

    #[test]
    fn of_who_makes_tokens_up_only_a_few_are_asked_for() {
        let (from, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (mut memory, now) = (Memory::default(), Instant::now());
        let after = |ms| now + Duration::from_millis(ms);
        for _ in 0..MAX_REFUSALS {
            assert!(memory.may_ask(from, now));
            memory.count_refusal(from, now);
        }
        let asked = (0..10_000).filter(|ms| memory.may_ask(from, after(*ms))).count();
        assert_eq!(asked, 100, "ten in a second, however many there are");
        assert!(memory.may_ask(other, now));
        assert!(!memory.may_ask(from, after(10_000 - 1)));
        for _ in 0..MAX_REFUSALS {
            assert!(memory.may_ask(from, now + REFUSED), "for a while");
        }
        memory.count_refusal(from, now + REFUSED);
        assert_eq!(memory.refusals[&from].count, 1);
        let most = u32::try_from(MAX_REMEMBERED).unwrap();
        for n in 0..most + 100 {
            memory.count_refusal(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(memory.refusals.len() <= MAX_REMEMBERED);
    }

    #[test]
    fn only_a_token_of_a_pod_names_one() {
        let extra =
            |key: &str, value: &str| (format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        let mut user = UserInfo {
            username: Some("system:serviceaccount:shop:default".into()),
            extra: Some([extra("pod-name", "p"), extra("pod-uid", "u")].into()),
            ..UserInfo::default()
        };
        assert_eq!(bound_pod(&user), Some(("shop".into(), "p".into(), "u".into())));
        user.extra = None;
        assert_eq!(bound_pod(&user), None);
        user.username = Some("admin".into());
        assert_eq!(bound_pod(&user), None);
    }
}

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
            Self::NotThatRunner(_) => StatusCode::FORBIDDEN,
            Self::Api(_) | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it is counted as.
    pub fn counted(&self) -> CheckedIn {
        match self {
            Self::Token => CheckedIn::Token,
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
    pub async fn identify(self: &Arc<Self>, token: &str) -> Result<Runner, Error> {
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
                let reviewed = self.ask(token).await;
                self.memory().learn(key, &reviewed);
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

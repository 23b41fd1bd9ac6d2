//! Who a caller is: its token is reviewed by the API server and bound to a pod of the run.

use axum::http::StatusCode;
use botarmy_protocol::{AUDIENCE, CheckIn};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a review holds.
const LIFETIME: Duration = Duration::from_secs(60);
/// Most reviews that are remembered.
const MAX_REMEMBERED: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The label by which the pods of a run are known.
pub const RUN_UID_LABEL: &str = "botarmy.dev/run-uid";
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
}

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Runner {
    namespace: String,
    pod_uid: String,
    run_uid: String,
    index: u32,
}

/// Reviews tokens, each once in a while.
pub struct Reviewer {
    client: Client,
    /// By the hash of the token: tokens themselves are not kept.
    remembered: Mutex<HashMap<[u8; 32], (Instant, Runner)>>,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer").finish_non_exhaustive()
    }
}

impl Reviewer {
    /// A reviewer that asks this API server.
    pub fn new(client: Client) -> Self {
        Self { client, remembered: Mutex::default() }
    }

    /// Checks that a caller is the runner it says it is.
    pub async fn check(&self, token: &str, said: &CheckIn) -> Result<(), Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known =
            self.remembered().get(&key).filter(|(at, _)| at.elapsed() < LIFETIME).map(|(_, r)| r.clone());
        let runner = match known {
            Some(runner) => runner,
            None => {
                let review = tokio::time::timeout(TIMEOUT, self.review(token)).await;
                let runner = review.map_err(|_| Error::Timeout)??;
                let mut remembered = self.remembered();
                if remembered.len() >= MAX_REMEMBERED {
                    remembered.retain(|_, (at, _)| at.elapsed() < LIFETIME);
                }
                remembered.insert(key, (Instant::now(), runner.clone()));
                runner
            }
        };
        let claimed = Runner {
            namespace: said.run.namespace.clone(),
            pod_uid: said.pod_uid.clone(),
            run_uid: said.run.uid.clone(),
            index: said.index,
        };
        if runner == claimed { Ok(()) } else { Err(Error::NotThatRunner(said.index)) }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], (Instant, Runner)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
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

//! Who of several operators leads: a Lease that one of them holds, taken over when its holder does not renew it.
//!
//! Every write is conditional on the version that was read, so that of two who reach for the Lease one gets it. A leader
//! that cannot renew it is in doubt, not deposed: as long as nobody can reach the API server nobody else can lead, and
//! runners are better answered, for a while. Once the Lease is read again it knows, and one that was deposed ends its process: what
//! it had in memory is worth nothing any more.

mod claim;

use crate::api_call::{self, CONFLICT, call};
use claim::{Claim, Seen};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// For how long a Lease holds that is not renewed: how long a takeover takes after a leader has died.
const DURATION: Duration = Duration::from_secs(8);
/// How often the leader renews it. Each try may take as long.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How often the others look at it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long before the Lease is over its holder stops to act on it: what it writes then must not come after what the
/// next one writes.
const MARGIN: Duration = Duration::from_secs(2);
/// For how long a leader that is in doubt answers its runners: an outage of the API server of this length and of the runners'
/// own lease ends no load. A successor reckons with a predecessor that is cut off from the API server alone: for so long a
/// runner that it has not heard itself may have been told to go on.
pub const IN_DOUBT: Duration = Duration::from_secs(300);
/// How long giving it back may take: whoever ends does not wait for longer.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// What an operator is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Another one leads, or nobody yet.
    Follows,
    /// This one leads, in this epoch.
    Leads(u64),
    /// It led in this epoch, and cannot tell whether it still does: the API server does not answer.
    InDoubt(u64),
}

impl Standing {
    /// The epoch in which this one may answer runners.
    pub fn epoch(self) -> Option<u64> {
        match self {
            Self::Follows => None,
            Self::Leads(epoch) | Self::InDoubt(epoch) => Some(epoch),
        }
    }

    /// Whether this one may write.
    pub fn leads(self) -> bool {
        matches!(self, Self::Leads(_))
    }
}

/// Where the standing of an operator can be asked.
#[derive(Debug, Clone)]
pub struct Leadership {
    standing: watch::Receiver<Standing>,
    /// Until when it holds by itself; without, for as long as it is told.
    until: Arc<Mutex<Option<Instant>>>,
}

impl From<watch::Receiver<Standing>> for Leadership {
    fn from(standing: watch::Receiver<Standing>) -> Self {
        Self { standing, until: Arc::default() }
    }
}

impl Leadership {
    /// The standing now. An operator that stood still for a while may not have heard yet that it does not lead any more:
    /// when the Lease was not renewed in time it is in doubt, whatever was told; and after [`IN_DOUBT`] it follows.
    pub fn now(&self) -> Standing {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |for_so_long| until.is_some_and(|until| Instant::now() > until + for_so_long);
        match *self.standing.borrow() {
            Standing::Leads(_) | Standing::InDoubt(_) if is_over(IN_DOUBT) => Standing::Follows,
            Standing::Leads(epoch) if is_over(Duration::ZERO) => Standing::InDoubt(epoch),
            told => told,
        }
    }

    /// Whether this one may write.
    pub fn leads(&self) -> bool {
        self.now().leads()
    }

    /// Waits until this one may answer runners.
    pub async fn begins(&mut self) {
        // The candidate outlives this wait.
        let _ = self.standing.wait_for(|standing| standing.epoch().is_some()).await;
    }

    /// Waits until something else is told; false when nothing is told any more.
    pub async fn changed(&mut self) -> bool {
        self.standing.changed().await.is_ok()
    }
}

/// Why an election ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else leads now.
    #[error("{0} leads now; this operator ends, and begins anew as one that follows")]
    Deposed(String),
    /// Somebody else has led in between.
    #[error(
        "another operator has led since epoch {0}; this one ends, and begins anew with what is known now"
    )]
    Interrupted(u64),
}

/// One that stands for election.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    standing: watch::Sender<Standing>,
    until: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Candidate {
    /// A candidate for the Lease of this name, in the process `process` of a pod; and where its standing is told.
    pub fn new(client: Client, namespace: &str, name: &str, pod: &str, process: &str) -> (Self, Leadership) {
        let (standing, told) = watch::channel(Standing::Follows);
        let (identity, until) = (claim::identity(pod, process), Arc::<Mutex<Option<Instant>>>::default());
        let leases = Api::namespaced(client, namespace);
        let leadership = Leadership { standing: told, until: until.clone() };
        (Self { leases, name: name.to_owned(), identity, standing, until }, leadership)
    }

    /// Stands for election until `ended`, and gives the Lease back then; or until somebody else has taken it.
    pub async fn stand(self, ended: impl Future<Output = ()>) -> Result<(), Error> {
        let mut ended = std::pin::pin!(ended);
        let mut seen = Seen::default();
        loop {
            let began = Instant::now();
            let tried = tokio::select! {
                biased;
                () = &mut ended => break,
                tried = tokio::time::timeout(RENEW_EVERY, self.look(&mut seen)) => tried,
            };
            match tried {
                Ok(Ok(Looked::Is(standing))) => {
                    if standing.leads() {
                        *self.until.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(began + DURATION.saturating_sub(MARGIN));
                    }
                    self.tell(standing);
                }
                Ok(Ok(Looked::Interrupted(epoch))) => return Err(Error::Interrupted(epoch)),
                Ok(Ok(Looked::HeldBy(holder))) => self.follow(holder)?,
                Ok(Err(error)) => self.doubt(&error.to_string()),
                Err(_) => self.doubt("no answer in time"),
            }
            let every = if self.standing.borrow().epoch().is_some() { RENEW_EVERY } else { LOOK_EVERY };
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = tokio::time::sleep_until(began + every) => {}
            }
        }
        if self.standing.borrow().leads() {
            self.give_back().await;
        }
        Ok(())
    }

    /// Reads the Lease and does what follows from it.
    async fn look(&self, seen: &mut Seen) -> Result<Looked, api_call::Error> {
        let lease = call("reading the Lease", self.leases.get_opt(&self.name)).await?;
        let epoch = self.standing.borrow().epoch();
        let Some(lease) = lease else {
            // Somebody has deleted it. A leader goes on in its epoch; whoever is first to make it anew leads, in a later
            // epoch than any that it has seen.
            let transitions = epoch.map_or_else(|| seen.next(), claim::transitions);
            let spec = self.held(Timestamp::now(), transitions);
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let made = Lease { metadata, spec: Some(spec) };
            let made = call("making the Lease", self.leases.create(&PostParams::default(), &made)).await;
            return taken(made, epoch);
        };
        let version = lease.resource_version().unwrap_or_default();
        let now = Instant::now();
        let spec = lease.spec.clone().unwrap_or_default();
        seen.look(&version, spec.lease_transitions, now);
        match claim::claim(&spec, &self.identity, seen.unchanged_for(now), DURATION) {
            Claim::Wait(holder) => Ok(Looked::HeldBy(holder)),
            Claim::Renew => {
                let spec = LeaseSpec { renew_time: Some(MicroTime(Timestamp::now())), ..spec };
                taken(self.replace(lease, spec).await, epoch)
            }
            Claim::Take(transitions) => {
                let spec = self.held(Timestamp::now(), transitions);
                taken(self.replace(lease, spec).await, epoch)
            }
        }
    }

    async fn replace(&self, lease: Lease, spec: LeaseSpec) -> Result<Lease, api_call::Error> {
        let lease = Lease { spec: Some(spec), ..lease };
        call("writing the Lease", self.leases.replace(&self.name, &PostParams::default(), &lease)).await
    }

    fn held(&self, now: Timestamp, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn tell(&self, standing: Standing) {
        if *self.standing.borrow() != standing {
            tracing::info!("{}: {standing:?}", self.identity);
            self.standing.send_replace(standing);
        }
    }

    /// Whoever has led cannot follow: what it knows of its runs is no longer true.
    fn follow(&self, holder: String) -> Result<(), Error> {
        let has_led = self.standing.borrow().epoch().is_some();
        self.tell(Standing::Follows);
        if has_led { Err(Error::Deposed(holder)) } else { Ok(()) }
    }

    /// Nothing is known of the Lease now. It is doubt from the first moment: a try takes as long as a quarter of
    /// what the Lease holds for.
    fn doubt(&self, why: &str) {
        tracing::warn!("the Lease {} cannot be looked at: {why}", self.name);
        // Not borrowed while it is told: telling waits for all who look.
        let epoch = self.standing.borrow().epoch();
        if let Some(epoch) = epoch {
            self.tell(Standing::InDoubt(epoch));
        }
    }

    /// Lets the others take over at once.
    async fn give_back(&self) {
        let give_back = async {
            let Some(lease) = call("reading the Lease", self.leases.get_opt(&self.name)).await? else {
                return Ok(());
            };
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            let spec = LeaseSpec { holder_identity: None, ..spec };
            self.replace(lease, spec).await.map(drop)
        };
        match tokio::time::timeout(RELEASE_TIMEOUT, give_back).await {
            Ok(Ok(())) => tracing::info!("{}: the Lease is given back", self.identity),
            Ok(Err(error)) => tracing::warn!("the Lease is not given back: {error}"),
            Err(_) => tracing::warn!("the Lease is not given back: no answer in time"),
        }
    }
}

/// What a look at the Lease has come to.
enum Looked {
    Is(Standing),
    HeldBy(String),
    /// It is this one's again, which has led before, in this epoch.
    Interrupted(u64),
}

/// The standing after the Lease was written; a conflict means that somebody else was faster, and the next look tells.
fn taken(written: Result<Lease, api_call::Error>, epoch: Option<u64>) -> Result<Looked, api_call::Error> {
    let standing = match written {
        Ok(lease) => {
            let now = claim::epoch(lease.spec.and_then(|s| s.lease_transitions));
            if let Some(before) = epoch.filter(|before| *before != now) {
                // What it had in memory is older than what whoever has led in between has written.
                return Ok(Looked::Interrupted(before));
            }
            Standing::Leads(now)
        }
        Err(error) if error.code() == Some(CONFLICT) => epoch.map_or(Standing::Follows, Standing::InDoubt),
        Err(error) => return Err(error),
    };
    Ok(Looked::Is(standing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_stood_still_is_in_doubt_before_it_is_told() {
        let (_standing, told) = watch::channel(Standing::Leads(3));
        let until = |until| Arc::new(Mutex::new(Some(until)));
        let now = Instant::now();
        let renewed = Leadership { standing: told.clone(), until: until(now + Duration::from_secs(60)) };
        assert_eq!((renewed.now(), renewed.leads()), (Standing::Leads(3), true));
        let stood_still = Leadership { standing: told, until: until(now.checked_sub(MARGIN).unwrap_or(now)) };
        assert_eq!((stood_still.now(), stood_still.leads()), (Standing::InDoubt(3), false));
    }
}

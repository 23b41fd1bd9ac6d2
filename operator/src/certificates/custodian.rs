//! Looks after the Secret: takes up what it says, and, where this operator leads, does the next step of a rotation.
//!
//! Every write is conditional on the version that was read, and nothing is in force before it is written.

use super::Error;
use super::authority::{Signed, Validity};
use super::in_force::InForce;
use super::kept::Kept;
use super::rotation::{self, SETTLE, Step};
use crate::api_call::{CONFLICT, NOT_FOUND, call};
use crate::armies::Armies;
use crate::controller::FIELD_MANAGER;
use crate::election::Leadership;
use crate::events::{self, Happened};
use crate::leading;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the Secret is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What a custodian works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// The names that the coordinator goes by.
    pub hosts: Vec<String>,
    /// How long an authority holds.
    pub valid_for: Duration,
    /// Whose runners have to know the next authority.
    pub armies: Arc<Armies>,
    /// Only who leads may write.
    pub leadership: Leadership,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Looks after the Secret for as long as the operator lives.
pub struct Custodian {
    setup: Setup,
    secrets: Api<Secret>,
    recorder: Recorder,
    /// The Secret as it was read last.
    secret: Secret,
    kept: Kept,
    /// When the certificate holds that the coordinator shows.
    server: Validity,
    in_force: watch::Sender<InForce>,
    /// Since when this operator leads.
    leads_since: Option<Timestamp>,
    /// What is wrong, as it was told last.
    told: Option<String>,
}

impl std::fmt::Debug for Custodian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custodian").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl Custodian {
    /// One that has taken up what the Secret says, and what is in force from now on. Without a Secret a new authority is
    /// made; of two that are made at the same time the API server takes the first, and both use it.
    pub async fn begin(
        client: Client,
        setup: Setup,
        now: Timestamp,
    ) -> Result<(Self, watch::Receiver<InForce>), Error> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &setup.namespace);
        let found = call("reading it", secrets.get_opt(&setup.secret)).await?;
        let secret = match found {
            Some(secret) => secret,
            None => {
                let made = Kept::new(now, setup.valid_for)?.write(named(&setup.secret));
                match call("making it", secrets.create(&PostParams::default(), &made)).await {
                    Err(error) if error.code() == Some(CONFLICT) => {
                        call("reading it", secrets.get(&setup.secret)).await?
                    }
                    made => made?,
                }
            }
        };
        let kept = Kept::read(&secret)?;
        let Signed { settings, validity } = kept.authority.sign(&setup.hosts, now)?;
        let first = InForce { bundle: Arc::new(kept.bundle()), server: settings };
        first.bundle.roots()?;
        let (in_force, told) = watch::channel(first);
        // Only at the beginning, when nobody may lead yet, everybody may write.
        let client = leading::client(client, setup.leadership.clone());
        let secrets = Api::namespaced(client.clone(), &setup.namespace);
        let recorder = Recorder::new(client, Reporter::from(FIELD_MANAGER));
        let (server, leads_since) = (validity, None);
        let begun =
            Self { setup, secrets, recorder, secret, kept, server, in_force, leads_since, told: None };
        begun.show();
        Ok((begun, told))
    }

    /// As [`Self::begin`], as soon as that can be: without certificates runners cannot be served, and ending the process
    /// would mend nothing. Until then the operator is not ready, and says why.
    pub async fn begin_when_possible(
        client: Client,
        setup: Setup,
        readiness: &Readiness,
    ) -> (Self, watch::Receiver<InForce>) {
        loop {
            match Self::begin(client.clone(), setup.clone(), Timestamp::now()).await {
                Ok(begun) => return begun,
                Err(error) => {
                    tracing::error!("there is no certificate yet: {error}");
                    readiness.lacks_certificate(&error.to_string());
                    setup.metrics.certificates_failed();
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Looks at the Secret every few seconds, and as soon as this operator leads.
    pub async fn keep(mut self) {
        let mut leadership = self.setup.leadership.clone();
        loop {
            let looked = self.look(Timestamp::now()).await;
            self.report(looked).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                true = leadership.changed() => {}
            }
        }
    }

    /// Looks at the Secret once, and does what is to be done now.
    pub async fn look(&mut self, now: Timestamp) -> Result<(), Error> {
        // First what needs nobody else.
        if now >= self.server.renewal(Duration::MAX) {
            self.put_in_force(now)?;
            tracing::info!("the certificate of the coordinator is renewed, until {}", self.server.until);
        }
        let leads = self.setup.leadership.leads();
        self.leads_since = leads.then(|| self.leads_since.unwrap_or(now));
        match call("reading it", self.secrets.get_opt(&self.setup.secret)).await? {
            Some(secret) => self.take_up(secret, now)?,
            None if leads => self.restore().await?,
            // The leader makes it again.
            None => {}
        }
        if leads { self.step(now).await } else { Ok(()) }
    }

    /// Takes up what the Secret says now.
    fn take_up(&mut self, secret: Secret, now: Timestamp) -> Result<(), Error> {
        let kept = Kept::read(&secret)?;
        kept.bundle().roots()?;
        self.secret = secret;
        let before = std::mem::replace(&mut self.kept, kept);
        if before.authority != self.kept.authority || before.bundle() != self.kept.bundle() {
            self.put_in_force(now)?;
            let until = self.kept.authority.validity.until;
            tracing::info!(
                "the authority that signs holds until {until}; runners are told to trust {}",
                self.kept.bundle().name()
            );
        }
        Ok(())
    }

    /// What is kept holds for new connections from now on; those that are open go on.
    fn put_in_force(&mut self, now: Timestamp) -> Result<(), Error> {
        let Signed { settings, validity } = self.kept.authority.sign(&self.setup.hosts, now)?;
        self.server = validity;
        self.in_force.send_replace(InForce { bundle: Arc::new(self.kept.bundle()), server: settings });
        self.show();
        Ok(())
    }

    /// Somebody has deleted the Secret: runners trust what it held, so that it is made again as it was.
    async fn restore(&mut self) -> Result<(), Error> {
        let secret = self.kept.write(named(&self.setup.secret));
        match call("making it again", self.secrets.create(&PostParams::default(), &secret)).await {
            // Somebody was faster, and the next look tells what they have made.
            Err(error) if error.code() == Some(CONFLICT) => Ok(()),
            made => {
                self.secret = made?;
                let note = "the Secret was deleted, and is made again as it was; to exchange the authority, set the annotation";
                self.tell(EventType::Warning, "SecretRestored", format!("{note} {}", super::ROTATE)).await;
                Ok(())
            }
        }
    }

    /// Does the next step of a rotation, if it is time for one.
    async fn step(&mut self, now: Timestamp) -> Result<(), Error> {
        let seen = self.kept.seen(self.is_trusted(now), self.setup.armies.longest_lease());
        let step = rotation::next(&seen, now, self.setup.valid_for);
        if step == Step::Wait {
            return Ok(());
        }
        let kept = self.kept.after(step, now, self.setup.valid_for)?;
        let secret = kept.write(self.secret.clone());
        let how = PostParams::default();
        match call("writing it", self.secrets.replace(&self.setup.secret, &how, &secret)).await {
            // Somebody has changed it in the meantime, and the next look tells how.
            Err(error) if matches!(error.code(), Some(CONFLICT | NOT_FOUND)) => return Ok(()),
            written => self.take_up(written?, now)?,
        }
        let (reason, note) = match step {
            Step::Wait | Step::Date => return Ok(()),
            Step::Begin => {
                ("RotationBegun", "runners are told to trust the next authority beside the old one")
            }
            Step::Switch => {
                ("AuthoritySwitched", "the next authority signs; the old one is trusted a while longer")
            }
            Step::Drop => ("RotationDone", "the old authority is no longer trusted"),
        };
        self.tell(EventType::Normal, reason, note.to_owned()).await;
        Ok(())
    }

    /// Whether all runners trust what they are told to. Runs that were taken over just now may not be known yet.
    fn is_trusted(&self, now: Timestamp) -> bool {
        let knows_all = self.setup.armies.are_all_known()
            && self.leads_since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= SETTLE);
        let (bundle, now_ms) = (self.kept.bundle(), u64::try_from(now.as_millisecond()).unwrap_or_default());
        knows_all && !self.setup.armies.lock().values().any(|army| army.lacks_trust(bundle.name(), now_ms))
    }

    /// Tells what is wrong, once; what is in force stays so.
    async fn report(&mut self, looked: Result<(), Error>) {
        let Err(error) = looked else {
            if self.told.take().is_some() {
                tracing::info!("the Secret of the certificates is well again");
            }
            return;
        };
        self.setup.metrics.certificates_failed();
        let said = error.to_string();
        if self.told.as_ref() == Some(&said) {
            return;
        }
        tracing::error!("{said}; what is in force stays so");
        if matches!(error, Error::Broken(..)) && self.setup.leadership.leads() {
            self.tell(EventType::Warning, "SecretBroken", said.clone()).await;
        }
        self.told = Some(said);
    }

    async fn tell(&self, type_: EventType, reason: &str, note: String) {
        tracing::info!("{reason}: {note}");
        let about = ObjectReference {
            namespace: Some(self.setup.namespace.clone()),
            uid: self.secret.uid(),
            ..self.secret.object_ref(&())
        };
        let happened = Happened { type_, reason: reason.to_owned(), note, related: None };
        if !events::tell(&self.recorder, &about, happened).await {
            self.setup.metrics.event_lost();
        }
    }

    fn show(&self) {
        self.setup.metrics.certificates(self.kept.authority.validity.until, self.server.until);
    }
}

fn named(name: &str) -> Secret {
    Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Secret::default()
    }
}

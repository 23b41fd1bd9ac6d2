//! What survives the operator: each army's sum, written into objects that the run owns.

mod pack;
mod store;
mod writes;

#[cfg(test)]
pub(crate) use pack::parts;
pub use pack::{pack, unpack};
pub use store::{Of, name, read};

use crate::api_call::{self, BAD_REQUEST, FORBIDDEN, INVALID, NOT_FOUND, TOO_LARGE};
use crate::armies::{Armies, Army, Checkpoint, Keep, Unkept};
use crate::clock::now_ms;
use crate::election::Leadership;
use crate::leading;
use crate::metrics::{self, Metrics};
use futures::{StreamExt, stream};
use kube::Client;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Versions;
use tokio::sync::Notify;
use tokio::time::Instant;
use writes::Writes;

/// How often each army is written.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks, however much is urgent.
const LEAST_DISTANCE: Duration = Duration::from_millis(20);
/// How long is waited after a write that has failed at first, twice as long each time, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How many are written at the same time, as operators end.
const AT_ONCE: usize = 16;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server failed.
    #[error("the checkpoint cannot be kept: {0}")]
    Call(#[from] api_call::Error),
    /// It cannot be packed.
    #[error("the checkpoint cannot be packed: {0}")]
    Pack(#[from] std::io::Error),
    /// It is not packed as it was written.
    #[error("the checkpoint is broken: {0}; delete the run and apply it anew")]
    Unpack(std::io::Error),
    /// It is not what was written.
    #[error("the checkpoint is broken: {0}; delete the run and apply it anew")]
    Broken(#[from] serde_json::Error),
    /// Some of its objects are missing.
    #[error("the checkpoint is broken: its part {0} is missing; delete the run and apply it anew")]
    Part(String),
    /// It is larger than any that was written.
    #[error("the checkpoint is broken: it unfolds to more than {0} bytes; delete the run and apply it anew")]
    Unfolds(usize),
    /// It would take more memory than any that was written.
    #[error(
        "the checkpoint is broken: what it says takes more than {0} bytes of memory, and no operator has written that; \
         delete the run and apply it anew"
    )]
    Weighs(usize),
    /// It does not fit.
    #[error("the checkpoint has {0} bytes, of which {1} can be kept; share less data between the bots")]
    TooLarge(usize, usize),
    /// Somebody else has an object of a name that it needs.
    #[error("the ConfigMap {0} belongs to something else; delete it, or give the run another name")]
    Taken(String),
    /// Somebody has marked the objects beside the first one as being in use.
    #[error(
        "the ConfigMap {0} says that all others are in use, which no operator has written; take its annotation {1} away"
    )]
    Places(String, &'static str),
    /// Somebody has changed it in the meantime.
    #[error("the checkpoint was changed by somebody else; it is read again")]
    Changed,
    /// Another operator has written it since.
    #[error("the checkpoint is of epoch {0}, and this operator led in epoch {1}: another one leads")]
    Later(u64, u64),
}

impl Error {
    /// What can be done about it.
    fn kind(&self) -> Unkept {
        match self {
            Self::Call(error) => match error.code() {
                Some(NOT_FOUND) => Unkept::Missing,
                // Asking again changes nothing: a policy, a quota or the operator's rights are in the way.
                Some(BAD_REQUEST | FORBIDDEN | TOO_LARGE | INVALID) => Unkept::Refused,
                _ => Unkept::Elsewhere,
            },
            Self::Taken(_) | Self::Places(..) => Unkept::Refused,
            Self::Changed | Self::Later(..) => Unkept::Elsewhere,
            _ => Unkept::ByItself,
        }
    }

    /// Whether what was written cannot be read, however often it is tried.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Unpack(_) | Self::Broken(_) | Self::Part(_) | Self::Unfolds(_) | Self::Weighs(_))
    }

    fn counted(&self) -> metrics::Kept {
        match self {
            Self::Call(api_call::Error::Timeout(_)) => metrics::Kept::Timeout,
            Self::Call(_) | Self::Taken(_) | Self::Places(..) | Self::Changed | Self::Later(..) => {
                metrics::Kept::Api
            }
            _ => metrics::Kept::Pack,
        }
    }
}

/// Writes all armies: each every ten seconds, and at once when a runner waits for it.
pub struct Keeper {
    client: Client,
    armies: Arc<Armies>,
    leadership: Leadership,
    woken: Notify,
    kept: Mutex<HashMap<String, Kept>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// The last write of an army.
#[derive(Debug, Clone)]
struct Kept {
    at: Instant,
    versions: Versions,
    /// Writes that have failed since the last one that did not.
    failures: u32,
}

impl Kept {
    /// Whether the next write may be tried: the more often it has failed, the later.
    fn may_be_tried(&self) -> bool {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures == 0 || self.at.elapsed() >= wait
    }
}

/// An army that is to be written. What is written of it is copied only when its turn has come.
struct Due {
    uid: String,
    namespace: String,
    run: String,
    versions: Versions,
    failures: u32,
    /// When it was tried last.
    tried: Option<Instant>,
}

impl Keeper {
    /// A keeper of these armies, which writes while this operator leads.
    pub fn new(client: Client, armies: Arc<Armies>, leadership: Leadership, metrics: Arc<Metrics>) -> Self {
        let client = leading::client(client, leadership.clone());
        Self { client, armies, leadership, woken: Notify::new(), kept: Mutex::default(), metrics }
    }

    /// Something is urgent.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Writes for as long as the operator lives. None waits for another one that is slow.
    pub async fn keep(&self) {
        let mut writes = Writes::default();
        loop {
            let told = async {
                tokio::select! {
                    () = self.woken.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            };
            writes.go_on_until_room_or(told).await;
            self.begin(&mut writes);
            writes.go_on_until(tokio::time::sleep(LEAST_DISTANCE)).await;
        }
    }

    /// Begins to write what is due, as far as there is room.
    fn begin<'k>(&'k self, writes: &mut Writes<'k>) {
        // In doubt nothing is written: another operator may have, and knows more.
        if !self.leadership.leads() {
            self.armies.lock().values_mut().for_each(|army| army.is_cut_off(now_ms()));
            return;
        }
        for due in self.due(EVERY) {
            let (uid, namespace) = (due.uid.clone(), due.namespace.clone());
            writes.begin(uid, namespace, || self.write(due));
        }
    }

    /// Writes all once more, so that whoever comes next knows what this operator knew.
    pub async fn last(&self) {
        self.write_due(Duration::ZERO).await;
        // A write that was cut short has left a version that is not known here: it is read the second time.
        if self.kept().values().any(|kept| kept.failures > 0) {
            tokio::time::sleep(FIRST_WAIT * 2).await;
            self.write_due(Duration::ZERO).await;
        }
    }

    async fn write_due(&self, every: Duration) {
        if !self.leadership.leads() {
            return;
        }
        stream::iter(self.due(every)).for_each_concurrent(AT_ONCE, |due| self.write(due)).await;
    }

    async fn write(&self, mut due: Due) {
        let begun = Instant::now();
        let Some(mut checkpoint) = self.armies.lock().get(&due.uid).map(Army::checkpoint) else { return };
        let packed = match pack::parts(&checkpoint) {
            Err(Error::TooLarge(..)) => self.reduce(&due.uid, &mut checkpoint),
            packed => packed,
        };
        // The answer may be long in coming, and what was measured is in the parts.
        checkpoint.lighten();
        let size = packed.as_ref().map_or(0, |parts| parts.iter().map(Vec::len).sum());
        let written = match packed {
            Ok(parts) => {
                let of = Of { namespace: &due.namespace, run: &due.run, uid: &due.uid };
                store::write(self.client.clone(), of, parts, checkpoint.epoch, &mut due.versions).await
            }
            Err(error) => Err(error),
        };
        let counted = written.as_ref().map_or_else(Error::counted, |()| metrics::Kept::Ok);
        self.metrics.kept(begun.elapsed(), size, counted);
        match written {
            Ok(()) => {
                due.failures = 0;
                if let Some(army) = self.armies.lock().get_mut(&due.uid) {
                    army.written(&checkpoint);
                    (army.kept_ms, army.unkept) = (Some(now_ms()), None);
                }
            }
            Err(error) => {
                // What is not durable is resent; the next look tries again.
                tracing::warn!("{}/{}: {error}", due.namespace, due.run);
                due.versions = Versions::default();
                due.failures = due.failures.saturating_add(1);
                if let Some(army) = self.armies.lock().get_mut(&due.uid) {
                    army.kept_ms.get_or_insert_with(now_ms);
                    army.cannot_be_kept(&error.to_string(), error.kind(), now_ms());
                }
            }
        }
        let kept = Kept { at: Instant::now(), versions: due.versions, failures: due.failures };
        self.kept().insert(due.uid, kept);
    }

    /// Sums the smallest rows until the rest fits. Where it would not even without any, they are not what is in the way.
    fn reduce(&self, uid: &str, checkpoint: &mut Checkpoint) -> Result<Vec<Vec<u8>>, Error> {
        pack::parts(&checkpoint.without_rows())?;
        for keep in Keep::steps(checkpoint.rows()) {
            {
                let mut armies = self.armies.lock();
                let Some(army) = armies.get_mut(uid) else { break };
                army.keep_largest_rows(keep);
                *checkpoint = army.checkpoint();
            }
            match pack::parts(checkpoint) {
                Err(Error::TooLarge(..)) => {}
                packed => return packed,
            }
        }
        pack::parts(checkpoint)
    }

    /// What is to be written; first what was not for the longest time.
    fn due(&self, every: Duration) -> Vec<Due> {
        let (armies, mut kept) = (self.armies.lock(), self.kept());
        kept.retain(|uid, _| armies.contains_key(uid));
        let is_due = |uid: &String| kept.get(uid).is_none_or(|kept| kept.at.elapsed() >= every);
        let may_be_tried = |uid: &String| kept.get(uid).is_none_or(Kept::may_be_tried);
        let due = armies.iter().filter(|(uid, army)| {
            let wanted = army.has_begun() && (army.is_urgent() || is_due(uid));
            (wanted || army.is_to_be_known()) && may_be_tried(uid)
        });
        let due = due.map(|(uid, army)| Due {
            uid: uid.clone(),
            namespace: army.namespace.clone(),
            run: army.name.clone(),
            versions: kept.get(uid).map(|kept| kept.versions.clone()).unwrap_or_default(),
            failures: kept.get(uid).map(|kept| kept.failures).unwrap_or_default(),
            tried: kept.get(uid).map(|kept| kept.at),
        });
        let mut due: Vec<Due> = due.collect();
        due.sort_by_key(|due| due.tried);
        due
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_write_that_fails_is_of_the_kind_that_says_what_can_be_done() {
        let refused = |code: u16| {
            let status = json!({"status": "Failure", "code": code, "reason": "R", "message": "m"});
            Error::Call(api_call::Error::Refused(
                "writing",
                Box::new(serde_json::from_value(status).unwrap()),
            ))
        };
        for (error, kind) in [
            (refused(NOT_FOUND), Unkept::Missing),
            (refused(FORBIDDEN), Unkept::Refused),
            (refused(INVALID), Unkept::Refused),
            (refused(500), Unkept::Elsewhere),
            (Error::Call(api_call::Error::Timeout("writing")), Unkept::Elsewhere),
            (Error::Taken("a".into()), Unkept::Refused),
            (Error::Places("a".into(), "b"), Unkept::Refused),
            (Error::Later(2, 1), Unkept::Elsewhere),
            (Error::TooLarge(2, 1), Unkept::ByItself),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}

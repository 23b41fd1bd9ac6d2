//! What the Secret keeps: the authority that signs, the next one, and the old one as long as it is trusted. Pure.

use super::Error;
use super::authority::{Authority, look_at};
use super::in_force::Bundle;
use super::rotation::{Seen, Stage, Step};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use std::time::Duration;

/// The keys of the Secret.
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS_CERTIFICATE: &str = "previous.crt";

/// Whoever sets it on the Secret, to anything, asks for a rotation; it is taken away when that begins.
pub const ROTATE: &str = "botarmy.dev/rotate";
/// Since when the rotation is where it is.
const SINCE: &str = "botarmy.dev/since";

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who signs.
    pub(super) authority: Authority,
    /// Who will sign.
    pub(super) next: Option<Authority>,
    /// Who has signed.
    pub(super) previous: Option<String>,
    since: Option<Timestamp>,
    asked: bool,
}

impl Kept {
    /// One authority, made just now.
    pub(super) fn new(now: Timestamp, valid_for: Duration) -> Result<Self, Error> {
        let authority = Authority::generate(now, valid_for)?;
        Ok(Self { authority, next: None, previous: None, since: None, asked: false })
    }

    /// What a Secret says.
    pub(super) fn read(secret: &Secret) -> Result<Self, Error> {
        let broken = |key: &'static str, why: &dyn std::fmt::Display| {
            Error::Broken(secret.name_any(), key, why.to_string())
        };
        let text = |key: &'static str| -> Result<Option<&str>, Error> {
            let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Ok(None) };
            std::str::from_utf8(&bytes.0).map(Some).map_err(|_| broken(key, &"is no text"))
        };
        let authority = |certificate: &'static str, key: &'static str| match (text(certificate)?, text(key)?)
        {
            (Some(c), Some(k)) => {
                look_at(c).map_err(|fault| broken(certificate, &fault))?;
                Authority::read(c, k).map(Some).map_err(|fault| broken(key, &fault))
            }
            (Some(_), None) => Err(broken(key, &"is missing")),
            (None, Some(_)) => Err(broken(certificate, &"is missing")),
            (None, None) => Ok(None),
        };
        let previous = text(PREVIOUS_CERTIFICATE)?;
        if let Some(previous) = previous {
            look_at(previous).map_err(|fault| broken(PREVIOUS_CERTIFICATE, &fault))?;
        }
        let annotations = secret.annotations();
        Ok(Self {
            authority: authority(CERTIFICATE, KEY)?.ok_or_else(|| broken(CERTIFICATE, &"is missing"))?,
            next: authority(NEXT_CERTIFICATE, NEXT_KEY)?,
            previous: previous.map(ToOwned::to_owned),
            since: annotations.get(SINCE).and_then(|since| since.parse().ok()),
            asked: annotations.contains_key(ROTATE),
        })
    }

    /// Writes it into a Secret, whose other parts stay.
    pub(super) fn write(&self, mut secret: Secret) -> Secret {
        let data = secret.data.get_or_insert_default();
        for (key, value) in [
            (CERTIFICATE, Some(&*self.authority.certificate)),
            (KEY, Some(self.authority.key())),
            (NEXT_CERTIFICATE, self.next.as_ref().map(|next| &*next.certificate)),
            (NEXT_KEY, self.next.as_ref().map(Authority::key)),
            (PREVIOUS_CERTIFICATE, self.previous.as_deref()),
        ] {
            match value {
                Some(value) => data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec())),
                None => data.remove(key),
            };
        }
        let annotations = secret.annotations_mut();
        match self.since {
            Some(since) => annotations.insert(SINCE.to_owned(), since.to_string()),
            None => annotations.remove(SINCE),
        };
        if !self.asked {
            annotations.remove(ROTATE);
        }
        secret
    }

    /// What the next step depends on.
    pub(super) fn seen(&self, trusted: bool, lease: Duration) -> Seen {
        let stage = match (&self.next, &self.previous) {
            (Some(_), _) => Stage::Distributing,
            (None, Some(_)) => Stage::Retiring,
            (None, None) => Stage::Steady,
        };
        Seen {
            stage,
            since: self.since,
            validity: self.authority.validity,
            asked: self.asked,
            trusted,
            lease,
        }
    }

    /// What there is after a step.
    pub(super) fn after(&self, step: Step, now: Timestamp, valid_for: Duration) -> Result<Self, Error> {
        let mut kept = Self { since: Some(now), ..self.clone() };
        match step {
            Step::Wait => kept.since = self.since,
            Step::Date => {}
            Step::Begin => {
                kept.next = Some(Authority::generate(now, valid_for)?);
                kept.asked = false;
            }
            Step::Switch => {
                if let Some(next) = kept.next.take() {
                    let old = std::mem::replace(&mut kept.authority, next);
                    kept.previous = Some(old.certificate);
                }
            }
            Step::Drop => (kept.previous, kept.since) = (None, None),
        }
        Ok(kept)
    }

    /// Whom runners are told to trust: the same while the next one is told and after it has begun to sign.
    pub(super) fn bundle(&self) -> Bundle {
        let next = self.next.as_ref().map(|next| &*next.certificate);
        let all = [self.previous.as_deref(), Some(&*self.authority.certificate), next];
        Bundle::of(&all.into_iter().flatten().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn now() -> Timestamp {
        "2030-05-01T12:00:00Z".parse().unwrap()
    }

    fn asked() -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("ca".to_owned());
        secret.annotations_mut().insert(ROTATE.to_owned(), "now".to_owned());
        secret.annotations_mut().insert("team".to_owned(), "load".to_owned());
        secret
    }

    #[test]
    fn a_rotation_goes_through_the_secret_step_by_step() {
        let steady = Kept::read(&Kept::new(now(), YEAR).unwrap().write(Secret::default())).unwrap();
        let mut secret = asked();
        secret.data = steady.write(Secret::default()).data;
        let found = Kept::read(&secret).unwrap();
        assert_eq!(
            (found.seen(false, Duration::ZERO).stage, found.seen(false, Duration::ZERO).asked),
            (Stage::Steady, true)
        );
        let through = |kept: &Kept, step, secret: &mut Secret| {
            *secret = kept.after(step, now(), YEAR).unwrap().write(secret.clone());
            Kept::read(secret).unwrap()
        };
        let both = through(&found, Step::Begin, &mut secret);
        assert_eq!(
            (both.seen(false, Duration::ZERO).stage, both.seen(false, Duration::ZERO).asked),
            (Stage::Distributing, false)
        );
        assert_eq!((both.since, &both.authority), (Some(now()), &steady.authority), "the old one signs");
        let (old, new) = (&steady.authority.certificate, both.next.clone().unwrap());
        assert_eq!(both.bundle(), Bundle::of(&[old, &new.certificate]));

        let switched = through(&both, Step::Switch, &mut secret);
        assert_eq!(
            (switched.seen(false, Duration::ZERO).stage, &switched.authority),
            (Stage::Retiring, &new)
        );
        assert_eq!(switched.bundle(), both.bundle(), "nobody has to be told anew");

        let done = through(&switched, Step::Drop, &mut secret);
        assert_eq!((done.seen(false, Duration::ZERO).stage, done.since), (Stage::Steady, None));
        assert_eq!(done.bundle(), Bundle::of(&[&new.certificate]));
        assert_eq!(secret.data.as_ref().unwrap().len(), 2, "the old key is nowhere any more");
        assert_eq!(secret.annotations().keys().collect::<Vec<_>>(), ["team"]);
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_with_its_place() {
        let both = Kept::new(now(), YEAR).unwrap().after(Step::Begin, now(), YEAR).unwrap();
        let whole = both.after(Step::Switch, now(), YEAR).unwrap().after(Step::Begin, now(), YEAR).unwrap();
        let whole = whole.write(asked());
        assert!(Kept::read(&whole).is_ok());
        for (key, value, told) in [
            (CERTIFICATE, None, "ca.crt is missing"),
            (KEY, None, "ca.key is missing"),
            (CERTIFICATE, Some(&b"garbage"[..]), "ca.crt is not one certificate as PEM"),
            (CERTIFICATE, Some(&[0xff][..]), "ca.crt is no text"),
            (KEY, Some(b"garbage"), "ca.key is not a private key as PEM"),
            (NEXT_CERTIFICATE, Some(b""), "next.crt is not one certificate as PEM"),
            (NEXT_KEY, None, "next.key is missing"),
            (PREVIOUS_CERTIFICATE, Some(b"garbage"), "previous.crt is not one certificate as PEM"),
        ] {
            let mut secret = whole.clone();
            let data = secret.data.as_mut().unwrap();
            match value {
                Some(value) => drop(data.insert(key.to_owned(), ByteString(value.to_vec()))),
                None => drop(data.remove(key)),
            }
            let error = Kept::read(&secret).unwrap_err().to_string();
            assert!(error.contains(&format!("the Secret ca is broken: {told};")), "{error}");
        }
    }
}

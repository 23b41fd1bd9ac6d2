//! An authority: it signs the certificate of the coordinator, and runners trust it.

use super::Error;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far clocks may differ: what is made now holds for those too whose clock is behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
/// How long the certificate of the coordinator holds, unless its authority ends before.
const SERVER_VALID_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// From when until when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

impl Validity {
    fn starting(now: Timestamp, valid_for: Duration) -> Result<Self, Error> {
        let out_of_range = |_| Error::Clock(now);
        Ok(Self {
            from: now.checked_sub(CLOCK_SKEW).map_err(out_of_range)?,
            until: now.checked_add(valid_for).map_err(out_of_range)?,
        })
    }

    /// When two thirds of it are over, of at most so much time: what is renewed then has time for all that goes wrong.
    pub fn renewal(self, at_most: Duration) -> Timestamp {
        let whole = self.until.duration_since(self.from).unsigned_abs();
        self.from.checked_add(whole.min(at_most) * 2 / 3).unwrap_or(self.until)
    }
}

/// Why an authority cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not exactly one certificate.
    #[error("is not one certificate as PEM")]
    Certificate,
    /// Not a certificate that may sign.
    #[error("is not the certificate of an authority")]
    NoAuthority,
    /// No key.
    #[error("is not a private key as PEM")]
    Key,
    /// Another one's key.
    #[error("is not the key of the certificate")]
    OtherKey,
}

/// Its certificate for the runners, its key for the certificate of the coordinator.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// The certificate, as PEM.
    pub certificate: String,
    /// When it holds.
    pub validity: Validity,
    key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// A server that an authority has signed for.
pub(super) struct Signed {
    pub(super) settings: Arc<rustls::ServerConfig>,
    pub(super) validity: Validity,
}

impl Authority {
    /// Makes a new one.
    pub fn generate(now: Timestamp, valid_for: Duration) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let validity = Validity::starting(now, valid_for)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "botarmy");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = SystemTime::from(validity.from).into();
        params.not_after = SystemTime::from(validity.until).into();
        Ok(Self { certificate: params.self_signed(&key)?.pem(), validity, key: key.serialize_pem() })
    }

    /// One that is written down.
    pub(super) fn read(certificate: &str, key: &str) -> Result<Self, Fault> {
        let (validity, public) = look_at(certificate)?;
        let pair = KeyPair::from_pem(key).map_err(|_| Fault::Key)?;
        if pair.subject_public_key_info() != public {
            return Err(Fault::OtherKey);
        }
        Ok(Self { certificate: certificate.to_owned(), validity, key: key.to_owned() })
    }

    /// Its key, as PEM.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The settings of a server that goes by these names.
    pub fn server(&self, names: &[String], now: Timestamp) -> Result<Arc<rustls::ServerConfig>, Error> {
        Ok(self.sign(names, now)?.settings)
    }

    pub(super) fn sign(&self, names: &[String], now: Timestamp) -> Result<Signed, Error> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let mut validity = Validity::starting(now, SERVER_VALID_FOR)?;
        validity.until = validity.until.min(self.validity.until);
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "botarmy-coordinator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = SystemTime::from(validity.from).into();
        params.not_after = SystemTime::from(validity.until).into();
        let key = KeyPair::generate()?;
        let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Signed { settings: Arc::new(settings), validity })
    }
}

/// Looks at the certificate of an authority: when it holds, and its public key.
pub(super) fn look_at(certificate: &str) -> Result<(Validity, Vec<u8>), Fault> {
    let mut all = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let (Some(Ok(der)), None) = (all.next(), all.next()) else { return Err(Fault::Certificate) };
    let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|_| Fault::Certificate)?;
    if !read.is_ca() {
        return Err(Fault::NoAuthority);
    }
    let second = |at: i64| Timestamp::from_second(at).map_err(|_| Fault::Certificate);
    let (from, until) = (read.validity().not_before.timestamp(), read.validity().not_after.timestamp());
    let validity = Validity { from: second(from)?, until: second(until)? };
    Ok((validity, read.public_key().raw.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_authority_signs_for_a_week_and_not_beyond_its_own_end() {
        let now = at("2030-05-01T12:00:00Z");
        let authority = Authority::generate(now, YEAR).unwrap();
        let names = ["botarmy-coordinator.botarmy.svc".to_owned()];
        let signed = authority.sign(&names, now).unwrap();
        assert_eq!(signed.validity.from, at("2030-05-01T11:00:00Z"), "for clocks that are behind");
        assert_eq!(signed.validity.until, at("2030-05-08T12:00:00Z"));
        assert_eq!(
            signed.validity.renewal(YEAR),
            at("2030-05-06T03:40:00Z"),
            "two thirds of seven days and an hour"
        );
        let late = authority.sign(&names, at("2031-04-30T00:00:00Z")).unwrap();
        assert_eq!(late.validity.until, authority.validity.until);
    }

    #[test]
    fn what_is_written_is_read_again_and_anything_else_is_refused() {
        let now = at("2030-05-01T12:00:00.9Z");
        let (ours, other) =
            (Authority::generate(now, YEAR).unwrap(), Authority::generate(now, YEAR).unwrap());
        let again = Authority::read(&ours.certificate, ours.key()).unwrap();
        assert_eq!(again.certificate, ours.certificate);
        assert_eq!(again.validity.until, at("2031-05-01T12:00:00Z"), "to the second");
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let two = format!("{}{}", ours.certificate, other.certificate);
        for (certificate, key, fault) in [
            ("", ours.key(), Fault::Certificate),
            ("garbage", ours.key(), Fault::Certificate),
            (&two, ours.key(), Fault::Certificate),
            (&leaf, &key.serialize_pem(), Fault::NoAuthority),
            (&ours.certificate, "garbage", Fault::Key),
            (&ours.certificate, other.key(), Fault::OtherKey),
        ] {
            assert_eq!(Authority::read(certificate, key), Err(fault), "{certificate}");
        }
        assert!(!format!("{ours:?}").contains("PRIVATE"), "a key is in no log");
    }
}

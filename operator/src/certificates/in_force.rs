//! What is in force in this process: whom runners are told to trust, and what the coordinator shows them.

use super::Error;
use super::authority::Authority;
use botarmy_protocol::{CheckIn, Trust};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Whom runners are told to trust, as PEM, under a name that is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle(Trust);

impl Bundle {
    /// These certificates.
    pub fn of(certificates: &[&str]) -> Self {
        let ends = |certificate: &&str| format!("{}\n", certificate.trim_end());
        let certificates: String = certificates.iter().map(ends).collect();
        let digest = Sha256::digest(&certificates);
        let name = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        Self(Trust { name, certificates })
    }

    /// Their name: the same certificates have the same.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The certificates.
    pub fn certificates(&self) -> &str {
        &self.0.certificates
    }

    /// What a runner is told that has said this.
    pub fn told_to(&self, said: &CheckIn) -> Option<Trust> {
        said.trusts.as_ref().filter(|trusts| **trusts != self.0.name).map(|_| self.0.clone())
    }

    /// As a client has them that checks a server.
    pub fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.certificates().as_bytes()) {
            let certificate = certificate.map_err(|e| Error::Bundle(e.to_string()))?;
            roots.add(certificate).map_err(|e| Error::Bundle(e.to_string()))?;
        }
        Ok(roots)
    }
}

/// What new connections are made with.
#[derive(Clone)]
pub struct InForce {
    /// Whom runners are told to trust.
    pub bundle: Arc<Bundle>,
    /// What the coordinator shows them.
    pub server: Arc<rustls::ServerConfig>,
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").field("bundle", &self.bundle.name()).finish_non_exhaustive()
    }
}

impl InForce {
    /// One authority and nothing else, for a server that goes by these names.
    pub fn of(authority: &Authority, names: &[String], now: Timestamp) -> Result<Self, Error> {
        let bundle = Arc::new(Bundle::of(&[&authority.certificate]));
        Ok(Self { bundle, server: authority.server(names, now)? })
    }
}

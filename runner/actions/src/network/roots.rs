//! Whom TLS trusts: the usual authorities, and those that this machine adds.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use std::path::{Path, PathBuf};

/// Names a file of certificates in PEM that are trusted beside the usual ones, as OpenSSL, curl and Go have it.
const VARIABLE: &str = "SSL_CERT_FILE";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificates of {file}, which {VARIABLE} names, cannot be used: {cause}; name a file in PEM, or unset it"
)]
pub struct Error {
    file: PathBuf,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{0}")]
    Pem(#[from] pem::Error),
    #[error("there is none in it that can be trusted")]
    None,
}

/// Mozilla's authorities, and those of the file that the environment names.
pub fn trusted() -> Result<RootCertStore, Error> {
    let file = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    with(file.as_deref())
}

fn with(file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = file {
        add(&mut roots, file).map_err(|cause| Error { file: file.to_owned(), cause })?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), Cause> {
    let certificates = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    // Among the many of a system's bundle one may be too odd to be read; that must not spoil the others.
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        tracing::warn!("{ignored} certificates of {} cannot be read and are not trusted", file.display());
    }
    if added == 0 { Err(Cause::None) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUfP0FDixRfPegeysjX5PPGuroDV4wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyNjA3NDgzNloXDTM2MTEyMzA3
NDgzNlowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE/foUm7ox+VyG8SMPA+stRJ0VJ/cRLKxfBSMQFFIfgttrbX54sIm/cYyp
/q6ncAYVy8dm+4uYpTDPj6YE4dhNtKNTMFEwHQYDVR0OBBYEFGJhLM5m8moaPRPz
I3VyNpurcqOKMB8GA1UdIwQYMBaAFGJhLM5m8moaPRPzI3VyNpurcqOKMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKir98RIBjYR99nNwFJQuxqX
gmMrcgzuXLGjRJ1kTnNvAiEAijLyfR0ekX7sAWgf/pnsYHOAG43cXhlk824KV83l
GL0=
-----END CERTIFICATE-----
";

    fn added(text: &str) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        std::fs::write(&file, text).unwrap();
        let roots = with(Some(&file)).map_err(|e| e.to_string().replace(&*file.to_string_lossy(), "FILE"))?;
        Ok(roots.len() - webpki_roots::TLS_SERVER_ROOTS.len())
    }

    #[test]
    fn a_file_adds_to_the_usual_roots() {
        assert_eq!(with(None).unwrap().len(), webpki_roots::TLS_SERVER_ROOTS.len());
        assert_eq!(added(CERTIFICATE), Ok(1));
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(
            added(&format!("# ours\n{odd}{CERTIFICATE}")),
            Ok(1),
            "one that cannot be read spoils none"
        );
        let refused = |cause: &str| {
            Err(format!(
                "the certificates of FILE, which SSL_CERT_FILE names, cannot be used: {cause}; name a file in PEM, or unset it"
            ))
        };
        assert_eq!(added(odd), refused("there is none in it that can be trusted"));
        assert_eq!(added(""), refused("there is none in it that can be trusted"));
        assert!(with(Some(Path::new("/nowhere/roots.pem"))).is_err());
    }
}

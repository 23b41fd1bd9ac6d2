//! The certificate authority of the operator: runners trust it and nobody else.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The keys of the Secret.
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The API server refused.
    #[error("the Secret {0} of the certificate authority cannot be read or made: {1}")]
    Api(String, kube::Error),
    /// Somebody changed it.
    #[error("the Secret {0} lacks {1} or it is no text; delete the Secret, and a new authority is made")]
    Broken(String, &'static str),
}

/// The authority: its certificate for the runners, its key for the server's certificate.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The certificate, as PEM.
    pub certificate: String,
    key: String,
}

impl Authority {
    /// Makes a new one.
    pub fn generate() -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        Ok(Self { certificate: Self::params()?.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    fn params() -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "botarmy");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    /// The one that the Secret `name` holds; a new one if there is none. Of two that are made at the
    /// same time the API server takes the first, and both use it.
    pub async fn load(client: Client, namespace: &str, name: &str) -> Result<Self, Error> {
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        let failed = |e| Error::Api(name.to_owned(), e);
        if let Some(secret) = secrets.get_opt(name).await.map_err(failed)? {
            return Self::from_secret(&secret);
        }
        let made = Self::generate()?;
        let data = [(CERTIFICATE, &made.certificate), (KEY, &made.key)];
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(data.map(|(k, v)| (k.to_owned(), ByteString(v.clone().into_bytes()))).into()),
            ..Secret::default()
        };
        match secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => Ok(made),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Self::from_secret(&secrets.get(name).await.map_err(failed)?)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn from_secret(secret: &Secret) -> Result<Self, Error> {
        let text = |key: &'static str| {
            let bytes = secret.data.as_ref().and_then(|d| d.get(key));
            let text = bytes.and_then(|b| String::from_utf8(b.0.clone()).ok());
            text.ok_or_else(|| Error::Broken(secret.name_any(), key))
        };
        Ok(Self { certificate: text(CERTIFICATE)?, key: text(KEY)? })
    }

    /// The settings of a server that goes by these names.
    pub fn server(&self, names: Vec<String>) -> Result<Arc<rustls::ServerConfig>, Error> {
        let issuer = Issuer::new(Self::params()?, KeyPair::from_pem(&self.key)?);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "botarmy-coordinator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_signs_servers() {
        let authority = Authority::generate().unwrap();
        assert!(authority.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(authority.server(vec!["botarmy-coordinator.botarmy.svc".into()]).is_ok());
    }
}

//! What is to be taken where, out of the environment of a pod. Pure.

use botarmy_protocol::{env as variable, path};
use botarmy_report::Format;
use botarmy_spec::Secrets;
use botarmy_spec::export::{carrier, file_name};
use botarmy_spec::types::{ExportSpec, HeaderSpec};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::path::PathBuf;

/// Why it makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the environment variable {0} is not set; `runner deliver` works in pods that the operator makes"
    )]
    Unset(String),
    #[error("BOTARMY_EXPORT: {0}; the operator and the image of its runners are of different versions")]
    Unknown(#[from] serde_json::Error),
    #[error("export[{0}]: it goes nowhere; give a persistentVolumeClaim or http")]
    Nowhere(usize),
    /// Without the value, which may be a secret.
    #[error("export[{0}]: the header {1:?} has characters that no header may have; look at its value")]
    Header(usize, String),
}

/// What is to be taken where.
#[derive(Debug)]
pub(crate) struct Order {
    namespace: String,
    run: String,
    uid: String,
    /// The result's file.
    pub(crate) result: PathBuf,
    pub(crate) destinations: Vec<Destination>,
    /// What is told nowhere.
    pub(crate) secrets: Secrets,
}

#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) place: Place,
    pub(crate) forms: Vec<Format>,
}

#[derive(Debug)]
pub(crate) enum Place {
    /// A folder of a claim that is mounted.
    Folder {
        claim: String,
        mount: PathBuf,
        folder: String,
    },
    Address {
        url: String,
        headers: HeaderMap,
    },
}

impl Order {
    /// Reads the environment through `env`.
    pub(crate) fn read(env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let get = |name: &str| env(name).ok_or_else(|| Error::Unset(name.to_owned()));
        let exports: Vec<ExportSpec> = serde_json::from_str(&get(variable::EXPORT)?)?;
        let (mut destinations, mut secrets) = (Vec::new(), Secrets::none());
        for (number, export) in exports.iter().enumerate() {
            let place = match (&export.persistent_volume_claim, &export.http) {
                (Some(claim), None) => Place::Folder {
                    claim: claim.claim_name.clone(),
                    mount: PathBuf::from(path::EXPORT_FOLDER).join(number.to_string()),
                    folder: claim.path.clone().unwrap_or_default(),
                },
                (None, Some(http)) => {
                    let mut headers = HeaderMap::new();
                    for (n, header) in http.headers.iter().enumerate() {
                        let value = value(header, || get(&carrier(number, n)))?;
                        if header.value_from.is_some() {
                            secrets.extend(&Secrets::of([&*value]));
                        }
                        add(&mut headers, &header.name, &value)
                            .ok_or_else(|| Error::Header(number, header.name.clone()))?;
                    }
                    Place::Address { url: http.url.clone(), headers }
                }
                _ => return Err(Error::Nowhere(number)),
            };
            destinations.push(Destination { place, forms: export.forms() });
        }
        Ok(Self {
            namespace: get(variable::NAMESPACE)?,
            run: get(variable::NAME)?,
            uid: get(variable::RUN_UID)?,
            result: PathBuf::from(path::RESULT_FOLDER).join(path::RESULT_FILE),
            destinations,
            secrets,
        })
    }

    /// What the file in a form is called.
    pub(crate) fn file_name(&self, form: Format) -> String {
        file_name(&self.namespace, &self.run, &self.uid, form)
    }
}

/// The value of a header; `find` knows one that is not in the spec.
fn value(header: &HeaderSpec, find: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    let Some(source) = &header.value_from else { return Ok(header.value.clone().unwrap_or_default()) };
    match find() {
        // Secrets made from files end with a line feed.
        Ok(value) => Ok(value.trim_end_matches(['\r', '\n']).to_owned()),
        Err(_) if source.secret_key_ref.optional => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Option<()> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    headers.append(HeaderName::try_from(name).ok()?, value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn order(exports: &Value, more: &[(&str, &str)]) -> Result<Order, String> {
        let fixed = [
            ("BOTARMY_RUN_NAMESPACE", "shop"),
            ("BOTARMY_RUN_NAME", "checkout"),
            ("BOTARMY_RUN_UID", "0f1e2d3c-4b5a"),
            ("BOTARMY_EXPORT", &exports.to_string()),
        ];
        let find =
            |name: &str| fixed.iter().chain(more).find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Order::read(find).map_err(|error| error.to_string())
    }

    fn with_secret(optional: bool) -> Value {
        let from = json!({"secretKeyRef": {"name": "s", "key": "k", "optional": optional}});
        let plain = json!({"name": "X-Plain", "value": "plain text"});
        let headers = json!([plain, {"name": "Authorization", "valueFrom": from}]);
        json!([{"persistentVolumeClaim": {"claimName": "c"}}, {"http": {"url": "http://a/", "headers": headers}, "formats": ["csv", "junit"]}])
    }

    #[test]
    fn an_order_is_read_from_the_environment() {
        let read = order(&with_secret(false), &[("BOTARMY_EXPORT_HEADER_1_1", "Bearer s3cr3t\n")]).unwrap();
        assert_eq!(read.file_name(Format::Junit), "shop-checkout-0f1e2d3c.xml");
        let Place::Folder { mount, folder, .. } = &read.destinations[0].place else { panic!("{read:?}") };
        assert_eq!((mount.to_str().unwrap(), &**folder), ("/var/run/botarmy-export/0", ""));
        assert_eq!(read.destinations[0].forms, [Format::Json]);
        assert_eq!(read.destinations[1].forms, [Format::Csv, Format::Junit]);
        let Place::Address { headers, .. } = &read.destinations[1].place else { panic!("{read:?}") };
        assert_eq!(headers["x-plain"], "plain text");
        assert_eq!(headers["authorization"], "Bearer s3cr3t");
        assert_eq!(
            read.secrets.hide("it is Bearer s3cr3t, or s3cr3t, or plain text"),
            "it is ***, or ***, or plain text"
        );
        assert!(!format!("{:?}", read.destinations).contains("s3cr3t"));
    }

    #[test]
    fn what_makes_no_sense_is_told_without_secrets() {
        let missing = order(&with_secret(false), &[]).unwrap_err();
        assert!(missing.contains("BOTARMY_EXPORT_HEADER_1_1 is not set"), "{missing}");
        order(&with_secret(true), &[]).expect("without it");
        let odd = order(&with_secret(false), &[("BOTARMY_EXPORT_HEADER_1_1", "s3cr3t\nx")]).unwrap_err();
        assert!(
            odd.starts_with("export[1]: the header \"Authorization\"") && !odd.contains("s3cr3t"),
            "{odd}"
        );
        for (exports, part) in [
            (json!([{}]), "export[0]: it goes nowhere"),
            (json!([{"formats": ["pdf"]}]), "BOTARMY_EXPORT: unknown variant `pdf`"),
            (json!({}), "BOTARMY_EXPORT: "),
        ] {
            let told = order(&exports, &[]).unwrap_err();
            assert!(told.starts_with(part), "{told}");
        }
        assert!(Order::read(|_| None).unwrap_err().to_string().contains("is not set"));
    }
}

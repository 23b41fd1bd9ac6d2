//! Where a result is taken when the run is over: what makes the field `export` valid, what files are called, and how
//! values of headers come into the pod that sends them.

use crate::types::{ExportSpec, HeaderSpec};
use botarmy_report::Format;
use botarmy_tree::{Finding, Path};
use std::collections::BTreeSet;

/// Headers that are set by themselves.
const OWN_HEADERS: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];
/// How much of a run's UID is part of the names of files.
const UID_PART: usize = 8;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a result goes to a persistentVolumeClaim or to http; give one of them")]
    Kind,
    #[error("the format {0} is given twice; keep one")]
    Twice(&'static str),
    #[error(
        "several formats cannot go to one address; end url with a slash, so that each gets a name of its own, or give one format"
    )]
    OneAddress,
    #[error(
        "{0:?} leads out of the claim; write a folder inside of it, without .. and without a slash at the beginning"
    )]
    Outside(String),
    #[error(
        "{0:?} is not an address; write one such as https://HOST/PATH, without a name, a password or a fragment"
    )]
    Address(String),
    #[error("a header has a value or a valueFrom; give one of them")]
    Value,
    #[error("{0:?} is set by itself; leave it out")]
    OwnHeader(String),
    #[error("{0:?} is not a name of a header; write letters, digits, - and _")]
    HeaderName(String),
    #[error("a value of a header is printable ASCII; leave out all else")]
    HeaderValue,
    #[error("the header {0:?} is given twice; keep one")]
    HeaderTwice(String),
}

/// Tells what is wrong with the destinations of a spec that lies at `path`.
pub(crate) fn check(exports: &[ExportSpec], path: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, export) in exports.iter().enumerate() {
        let place = path.field("export").index(i);
        let mut note = |place: &Path, error: Error| findings.push(Finding::new(place, &error));
        if export.persistent_volume_claim.is_some() == export.http.is_some() {
            note(&place, Error::Kind);
        }
        let forms = export.forms();
        for (n, form) in forms.iter().enumerate().filter(|(n, form)| forms[..*n].contains(form)) {
            note(&place.field("formats").index(n), Error::Twice(form.name()));
        }
        let claim = export.persistent_volume_claim.as_ref().and_then(|claim| claim.path.as_ref());
        if let Some(folder) = claim.filter(|f| f.starts_with('/') || f.split('/').any(|part| part == "..")) {
            note(&place.field("persistentVolumeClaim").field("path"), Error::Outside(folder.clone()));
        }
        let Some(http) = &export.http else { continue };
        let place = place.field("http");
        if !is_address(&http.url) {
            note(&place.field("url"), Error::Address(http.url.clone()));
        } else if forms.len() > 1 && !http.url.ends_with('/') {
            note(&place.field("url"), Error::OneAddress);
        }
        let mut names = BTreeSet::new();
        for (n, header) in http.headers.iter().enumerate() {
            let place = place.field("headers").index(n);
            for error in header_mistakes(header) {
                note(&place, error);
            }
            if !names.insert(header.name.to_ascii_lowercase()) {
                note(&place, Error::HeaderTwice(header.name.clone()));
            }
        }
    }
    findings
}

fn header_mistakes(header: &HeaderSpec) -> Vec<Error> {
    let (name, mut mistakes) = (&header.name, Vec::new());
    if OWN_HEADERS.contains(&&*name.to_ascii_lowercase()) {
        mistakes.push(Error::OwnHeader(name.clone()));
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        mistakes.push(Error::HeaderName(name.clone()));
    }
    if header.value.is_some() == header.value_from.is_some() {
        mistakes.push(Error::Value);
    }
    if header.value.as_ref().is_some_and(|value| !value.bytes().all(|b| (b' '..=b'~').contains(&b))) {
        mistakes.push(Error::HeaderValue);
    }
    mistakes
}

/// The same as the rule of the API server says.
fn is_address(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return false;
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')),
        None => !host.is_empty() && host.chars().all(plain),
    };
    let is_port = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    is_host && is_port && tail.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// The name of the environment variable that carries the value of a header into the pod that sends it: its number, and
/// that of its destination.
pub fn carrier(destination: usize, header: usize) -> String {
    format!("BOTARMY_EXPORT_HEADER_{destination}_{header}")
}

/// What the file of a result is called: two runs never take each other's place, also when one has the name of another
/// that was deleted.
pub fn file_name(namespace: &str, run: &str, uid: &str, format: Format) -> String {
    let uid: String = uid.chars().filter(char::is_ascii_alphanumeric).take(UID_PART).collect();
    format!("{namespace}-{run}-{uid}.{}", format.suffix())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(exports: Value) -> Vec<String> {
        let exports: Vec<ExportSpec> = serde_json::from_value(exports).unwrap();
        check(&exports, &Path::top().field("spec")).iter().map(ToString::to_string).collect()
    }

    fn to(url: &str) -> Value {
        json!([{"http": {"url": url}}])
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let header = |fields: Value| json!([{"http": {"url": "http://a", "headers": [{"name": "x", "value": ""}, fields]}}]);
        let claim = |path: &str| json!([{"persistentVolumeClaim": {"claimName": "c", "path": path}}]);
        for (exports, part) in [
            (json!([{}]), "spec.export[0]: a result goes to a persistentVolumeClaim or to http;"),
            (
                json!([{"http": {"url": "http://a"}, "persistentVolumeClaim": {"claimName": "c"}}]),
                "spec.export[0]: a result goes to",
            ),
            (
                json!([{"persistentVolumeClaim": {"claimName": "c"}, "formats": ["csv", "csv"]}]),
                "spec.export[0].formats[1]: the format csv is given twice",
            ),
            (
                json!([{"http": {"url": "http://a/b"}, "formats": ["csv", "json"]}]),
                "spec.export[0].http.url: several formats cannot go to one address;",
            ),
            (claim("/etc"), "spec.export[0].persistentVolumeClaim.path: \"/etc\" leads out of the claim;"),
            (claim("a/.."), "spec.export[0].persistentVolumeClaim.path: \"a/..\" leads out"),
            (to("shop"), "spec.export[0].http.url: \"shop\" is not an address;"),
            (
                header(json!({"name": "y"})),
                "spec.export[0].http.headers[1]: a header has a value or a valueFrom",
            ),
            (
                header(json!({"name": "Host", "value": "a"})),
                "spec.export[0].http.headers[1]: \"Host\" is set by",
            ),
            (header(json!({"name": "a b", "value": "a"})), "spec.export[0].http.headers[1]: \"a b\" is not"),
            (
                header(json!({"name": "y", "value": "a\n"})),
                "spec.export[0].http.headers[1]: a value of a header",
            ),
            (
                header(json!({"name": "X", "value": ""})),
                "spec.export[0].http.headers[1]: the header \"X\" is given",
            ),
        ] {
            let told = told(exports.clone());
            assert!(told.len() == 1 && told[0].starts_with(part), "{exports}: {told:?}");
        }
    }

    #[test]
    fn all_that_is_right_is_taken() {
        let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let none: [&str; 0] = [];
        let exports = json!([
            {"persistentVolumeClaim": {"claimName": "c", "path": "a/b..c/d"}, "formats": ["json", "html", "junit", "csv", "text"]},
            {"http": {"url": "https://a/", "headers": [{"name": "Authorization", "valueFrom": secret}]}, "formats": ["csv", "text"]},
        ]);
        assert_eq!(told(exports), none);
        for url in [
            "http://a",
            "https://a.b_c-d:8443/x/y?z=1&w",
            "http://[::1]:80/",
            "http://a?b",
            "https://[fd00::1]",
        ] {
            assert_eq!(told(to(url)), none, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "a",
            "ftp://a",
            "http://",
            "http://me:pw@a",
            "http://a b",
            "http://a/#b",
            "http://a:x",
            "http://a:",
            "http://ä",
            "http://a/\u{7f}",
            "http://[",
            "HTTP://a",
        ] {
            assert_eq!(told(to(url)).len(), 1, "{url}");
        }
    }

    #[test]
    fn a_file_is_called_after_its_run() {
        let uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let name = |format| file_name("shop", "checkout", uid, format);
        assert_eq!(name(Format::Json), "shop-checkout-0f1e2d3c.json");
        assert_eq!(name(Format::Junit), "shop-checkout-0f1e2d3c.xml");
        assert_eq!(file_name("shop", "a", "../..", Format::Csv), "shop-a-.csv");
    }
}

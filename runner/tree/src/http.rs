//! The options of the built-in action `http`: one request, what is expected of its answer, and
//! what is kept of it.

pub mod address;

use crate::action::check_context_name;
use crate::duration;
use crate::fields::{Findings, kind_of};
use crate::finding::{Path, quoted};
use crate::notation::MAX_NAME;
use crate::template::Template;
use serde_json::{Map, Value};
use serde_json_path::JsonPath;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long an answer may take unless `timeout` says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest `timeout`.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Most headers, expectations or saved values of one request.
pub const MAX_ENTRIES: usize = 100;
/// Statuses that are expected unless `expect.status` says otherwise.
pub const DEFAULT_STATUS: RangeInclusive<u16> = 200..=399;

/// Longest address, in bytes.
pub const MAX_ADDRESS: usize = 8192;
/// Longest method.
pub const MAX_METHOD: usize = 32;
/// Longest `JSONPath`, in bytes.
pub const MAX_PATH: usize = 1024;

pub(crate) const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
pub(crate) const FIELDS: [&str; 16] = [
    "get", "post", "put", "patch", "delete", "head", "options", "method", "url", "headers", "json", "body",
    "timeout", "expect", "save", "name",
];

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// The method, in capitals.
    pub method: String,
    /// The address: absolute, `http` or `https`.
    pub url: Template,
    /// Header fields, by name.
    pub headers: Vec<(String, Template)>,
    /// What is sent.
    pub body: Body,
    /// Time from the start of the request to the end of its answer.
    pub timeout: Duration,
    /// What makes the answer a success.
    pub expect: Expect,
    /// Values of the JSON answer that go into the context, by name.
    pub save: Vec<(String, JsonPath)>,
}

/// What a request sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// A value as JSON, with the content type `application/json` unless a header says otherwise.
    Json(Template),
    /// Text as it stands.
    Text(Template),
}

/// What makes an answer a success.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// The statuses that are right.
    pub status: Vec<RangeInclusive<u16>>,
    /// Values that the JSON answer must hold, by `JSONPath`.
    pub json: Vec<(JsonPath, Template)>,
}

impl Expect {
    /// Whether a status is right.
    pub fn allows(&self, status: u16) -> bool {
        self.status.iter().any(|range| range.contains(&status))
    }
}

impl Http {
    /// Whether the answer's body has to be read as JSON.
    pub fn reads_json(&self) -> bool {
        !self.save.is_empty() || !self.expect.json.is_empty()
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no address is given; write get: URL, post: URL, … or method and url")]
    NoUrl,
    #[error("{0} is given beside {1}; a request has one method and one address")]
    TwoMethods(String, String),
    #[error("json and body exclude each other; keep one")]
    TwoBodies,
    #[error("{0} is not an HTTP method; write capital letters, such as PURGE")]
    Method(String),
    #[error("{0} is not an absolute address; begin it with http://, https:// or {{{{ target }}}}")]
    Relative(String),
    #[error("{0} is not a header name; write letters, digits and hyphens")]
    Header(String),
    #[error(
        "{0} is not a status; write a number from 100 to 599, a range such as \"200-299\", or a list of these"
    )]
    Status(String),
    #[error("{0} is not a JSONPath: {1}; it begins with $, such as $.items[0].id")]
    JsonPath(String, String),
    #[error("the JSONPath is {0} bytes long; at most {MAX_PATH} are allowed")]
    LongPath(usize),
    #[error("a name has 1 to {MAX_NAME} bytes and no control characters, unlike {0}")]
    Name(String),
    #[error("{0} holds a template, but a row has one name for all bots; leave the braces out")]
    NameWithTemplate(String),
    #[error("the timeout must be above zero and at most an hour")]
    Timeout,
    #[error("at most {MAX_ENTRIES} entries are allowed, not {0}")]
    TooMany(usize),
    #[error("{0} has blanks, which no address has; write %20")]
    Blank(String),
    #[error("{0} names no host; write http://HOST:PORT/PATH")]
    NoHost(String),
    #[error(
        "the port of {0} is no number; write http://HOST:PORT/PATH, and special characters of a password as percent and digits"
    )]
    Port(String),
    #[error("the value of a header has no line breaks or other control characters, unlike {0}")]
    HeaderValue(String),
    #[error("the header {0} follows from the body; leave it out")]
    Framing(String),
    #[error("expected text, found {0}")]
    NoText(String),
    #[error("expected a mapping, found {0}")]
    NoMap(String),
}

/// Reads the options; none if something is wrong, which is noted.
pub(crate) fn read(path: &Path, value: &Value, findings: &mut Findings) -> Option<(Http, String)> {
    let known = findings.len();
    let fields = findings.object(path, value, "a mapping such as {get: URL}")?;
    findings.only(path, fields, &FIELDS);
    let (method, key) = method_and_key(path, fields, findings)?;
    let url = &fields[key];
    let compiled = read_url(&path.field(key), url, findings);
    let http = Http {
        url: compiled.unwrap_or(Template::Literal(Value::Null)),
        headers: read_headers(path, fields, findings),
        body: read_body(path, fields, findings),
        timeout: read_timeout(path, fields, findings),
        expect: read_expect(path, fields, findings),
        save: read_save(path, fields, findings),
        method,
    };
    let name = match fields.get("name") {
        Some(name) => read_name(&path.field("name"), name, findings).unwrap_or_default(),
        None => format!("{} {}", http.method, address::shown(url.as_str().unwrap_or_default())),
    };
    (findings.len() == known).then_some((http, name))
}

/// The name of a row stands as it is written: one that changed with each request would be many rows.
pub(crate) fn read_name(path: &Path, value: &Value, findings: &mut Findings) -> Option<String> {
    let name = findings.text(path, value, "text", MAX_NAME)?;
    let fits = !name.is_empty() && !name.chars().any(char::is_control);
    let fits = if fits { Ok(()) } else { Err(Error::Name(quoted(name))) };
    findings.ok(path, fits)?;
    if name.contains("{{") {
        findings.note(path, &Error::NameWithTemplate(quoted(name)));
    }
    Some(name.to_owned())
}

/// The method, and the field that holds the address.
fn method_and_key<'v>(
    path: &Path,
    fields: &'v Map<String, Value>,
    findings: &mut Findings,
) -> Option<(String, &'v str)> {
    let mut given = METHODS.iter().filter_map(|m| fields.get_key_value(*m)).map(|(key, _)| key.as_str());
    let first = given.next();
    let second = given.next().or_else(|| ["method", "url"].into_iter().find(|k| fields.contains_key(*k)));
    match (first, second) {
        (Some(method), None) => Some((method.to_ascii_uppercase(), method)),
        (Some(method), Some(other)) => {
            findings.note(path, &Error::TwoMethods(other.to_owned(), method.to_owned()));
            None
        }
        (None, _) => {
            findings.ok(path, fields.get("url").ok_or(Error::NoUrl))?;
            let place = path.field("method");
            let method = fields
                .get("method")
                .map_or(Some("GET"), |m| findings.text(&place, m, "text such as PURGE", MAX_METHOD))?;
            if method.is_empty() || !method.chars().all(|c| c.is_ascii_uppercase() || c == '-') {
                findings.note(&place, &Error::Method(quoted(method)));
                return None;
            }
            Some((method.to_owned(), "url"))
        }
    }
}

fn read_url(path: &Path, url: &Value, findings: &mut Findings) -> Option<Template> {
    let text = findings.text(path, url, "the address as text", MAX_ADDRESS)?;
    let template = findings.ok(path, Template::text(text))?;
    // What a template begins with is known only when it is rendered.
    let absolute = ["http://", "https://", "{{"].iter().any(|start| text.starts_with(start));
    if !absolute || text.chars().any(char::is_control) {
        findings.note(path, &Error::Relative(quoted(&address::without_user(text))));
    } else if let Some(error) = address::wrong(text) {
        findings.note(path, &error);
    }
    Some(template)
}

fn entries<'v>(
    path: &Path,
    fields: &'v Map<String, Value>,
    name: &str,
    findings: &mut Findings,
) -> Vec<(&'v String, &'v Value)> {
    let Some(value) = fields.get(name) else {
        return Vec::new();
    };
    let place = path.field(name);
    let map = findings.ok(&place, value.as_object().ok_or_else(|| Error::NoMap(kind_of(value))));
    let map: Vec<_> = map.into_iter().flatten().collect();
    if map.len() > MAX_ENTRIES {
        findings.note(&place, &Error::TooMany(map.len()));
        return Vec::new();
    }
    map
}

fn read_headers(
    path: &Path,
    fields: &Map<String, Value>,
    findings: &mut Findings,
) -> Vec<(String, Template)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut headers = Vec::new();
    for (name, value) in entries(path, fields, "headers", findings) {
        let place = path.field("headers").field(name);
        if name.is_empty() || !name.chars().all(is_token) {
            findings.note(&place, &Error::Header(quoted(name)));
        }
        // The length of the body is counted, so that no request can be taken for two.
        if ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            findings.note(&place, &Error::Framing(quoted(name)));
        }
        if let Some(text) = value.as_str().filter(|t| t.chars().any(|c| c.is_control() && c != '\t')) {
            findings.note(&place, &Error::HeaderValue(quoted(text)));
        }
        // A number is what a person means by `X-Level: 3`.
        if value.is_object() || value.is_array() {
            findings.note(&place, &Error::NoText(kind_of(value)));
        } else if let Some(template) = findings.ok(&place, Template::value(value)) {
            headers.push((name.clone(), template));
        }
    }
    headers
}

fn read_body(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Body {
    match (fields.get("json"), fields.get("body")) {
        (None, None) => Body::Empty,
        (Some(json), None) => {
            findings.ok(&path.field("json"), Template::value(json)).map_or(Body::Empty, Body::Json)
        }
        (None, Some(body)) => {
            let place = path.field("body");
            let text = findings.ok(&place, body.as_str().ok_or_else(|| Error::NoText(kind_of(body))));
            text.and_then(|t| findings.ok(&place, Template::text(t))).map_or(Body::Empty, Body::Text)
        }
        (Some(_), Some(_)) => {
            findings.note(path, &Error::TwoBodies);
            Body::Empty
        }
    }
}

fn read_timeout(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Duration {
    let Some(value) = fields.get("timeout") else {
        return DEFAULT_TIMEOUT;
    };
    let place = path.field("timeout");
    let timeout = findings.ok(&place, duration::from_value(value));
    match timeout {
        Some(t) if t.is_zero() || t > MAX_TIMEOUT => {
            findings.note(&place, &Error::Timeout);
            DEFAULT_TIMEOUT
        }
        other => other.unwrap_or(DEFAULT_TIMEOUT),
    }
}

fn read_expect(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Expect {
    let mut expect = Expect { status: vec![DEFAULT_STATUS], json: Vec::new() };
    let Some(value) = fields.get("expect") else {
        return expect;
    };
    let place = path.field("expect");
    let Some(inner) = findings.object(&place, value, "a mapping such as {status: 200}") else {
        return expect;
    };
    findings.only(&place, inner, &["status", "json"]);
    if let Some(status) = inner.get("status")
        && let Some(ranges) = findings.ok(&place.field("status"), statuses(status))
    {
        expect.status = ranges;
    }
    for (query, wanted) in entries(&place, inner, "json", findings) {
        let place = place.field("json").field(query);
        let parsed = findings.ok(&place, json_path(query));
        let wanted = findings.ok(&place, Template::value(wanted));
        expect.json.extend(parsed.zip(wanted));
    }
    expect
}

fn statuses(value: &Value) -> Result<Vec<RangeInclusive<u16>>, Error> {
    let wrong = || Error::Status(quoted(&value.to_string()));
    let in_bounds = |n: &u16| (100..=599).contains(n);
    match value {
        Value::Number(n) => {
            let status =
                n.as_u64().and_then(|n| u16::try_from(n).ok()).filter(in_bounds).ok_or_else(wrong)?;
            Ok(vec![status..=status])
        }
        Value::String(text) => {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let bound = |s: &str| {
                let digits = s.trim();
                let number = digits.parse::<u16>().ok().filter(in_bounds);
                // Neither a sign nor leading zeros.
                number.filter(|_| digits.len() == 3).ok_or_else(wrong)
            };
            let range = bound(low)?..=bound(high)?;
            if range.is_empty() { Err(wrong()) } else { Ok(vec![range]) }
        }
        Value::Array(items) if !items.is_empty() && items.len() <= MAX_ENTRIES => {
            let ranges = items.iter().map(|i| if i.is_array() { Err(wrong()) } else { statuses(i) });
            Ok(ranges.collect::<Result<Vec<_>, _>>()?.concat())
        }
        _ => Err(wrong()),
    }
}

fn read_save(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Vec<(String, JsonPath)> {
    let mut save = Vec::new();
    for (name, query) in entries(path, fields, "save", findings) {
        let place = path.field("save").field(name);
        let name_fits = findings.ok(&place, check_context_name(name));
        let text = findings.text(&place, query, "a JSONPath such as $.id", usize::MAX);
        let parsed = text.and_then(|t| findings.ok(&place, json_path(t)));
        save.extend(name_fits.and(parsed).map(|p| (name.clone(), p)));
    }
    save
}

fn json_path(text: &str) -> Result<JsonPath, Error> {
    if text.len() > MAX_PATH {
        return Err(Error::LongPath(text.len()));
    }
    JsonPath::parse(text).map_err(|e| Error::JsonPath(quoted(text), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(value: &Value) -> Result<(Http, String), Vec<String>> {
        let mut findings = Findings::default();
        let http = read(&Path::top().field("http"), value, &mut findings);
        http.ok_or_else(|| findings.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_a_whole_request() {
        let (http, name) = read_one(&json!({
            "post": "{{ target }}/cart/{{ id }}", "headers": {"X-Level": 3}, "json": {"a": "{{ b }}"}, "timeout": "2s",
            "expect": {"status": [201, "300-302"], "json": {"$.total": 42}}, "save": {"cart": "$.id"},
        }))
        .unwrap();
        assert_eq!(name, "POST /cart/{{ id }}");
        assert_eq!((http.method.as_str(), http.timeout), ("POST", Duration::from_secs(2)));
        assert!(http.expect.allows(201) && http.expect.allows(301) && !http.expect.allows(200));
        assert!(http.reads_json() && matches!(http.body, Body::Json(_)));
        assert_eq!(http.headers, [("X-Level".to_owned(), Template::Literal(json!(3)))]);
    }

    #[test]
    fn names_leave_the_target_out() {
        for (url, name) in [
            ("{{ target }}/a", "GET /a"),
            ("{{target}}/a?b={{ c }}", "GET /a?b={{ c }}"),
            ("{{ target }}", "GET /"),
            ("http://x/a", "GET http://x/a"),
            ("http://[::1]/a", "GET http://[::1]/a"),
            ("http://[::1]:8{{ n }}/a", "GET http://[::1]:8{{ n }}/a"),
            ("http://us:pw@x/a@b", "GET http://x/a@b"),
            ("{{ targets }}/a", "GET {{ targets }}/a"),
        ] {
            assert_eq!(read_one(&json!({"get": url})).unwrap().1, name);
        }
        let (http, name) = read_one(&json!({"method": "PURGE", "url": "http://x/"})).unwrap();
        assert_eq!((http.method.as_str(), name.as_str()), ("PURGE", "PURGE http://x/"));
        assert!(http.expect.allows(200) && http.expect.allows(399) && !http.expect.allows(404));
    }

    #[test]
    fn a_given_name_is_the_rows() {
        let (_, name) = read_one(&json!({"get": "{{ target }}/cart/{{ id }}", "name": "cart"})).unwrap();
        assert_eq!(name, "cart");
        for (name, part) in [
            (json!(""), "1 to 253"),
            (json!("a\n"), "control"),
            (json!(5), "expected text"),
            (json!("a {{ id }}"), "holds a template"),
        ] {
            let findings = read_one(&json!({"get": "http://x", "name": name})).unwrap_err();
            assert!(
                findings.len() == 1 && findings[0].starts_with("http.name: ") && findings[0].contains(part),
                "{findings:?}"
            );
        }
    }

    #[test]
    fn every_mistake_has_its_place_and_all_are_told() {
        let wrong = json!({
            "get": "/cart", "hedaers": {}, "headers": {"a b": "x", "c": [1]}, "json": 1, "body": "x", "timeout": 0,
            "expect": {"stats": 200, "status": 99, "json": {"total": 1}}, "save": {"env": "$.a", "b": "c"},
        });
        let findings = read_one(&wrong).unwrap_err();
        for part in [
            "http: unknown field \"hedaers\", expected one of get, post",
            "http.get: \"/cart\" is not an absolute address",
            "http.headers[\"a b\"]: \"a b\" is not a header name",
            "http.headers.c: expected text",
            "http: json and body exclude each other",
            "http.timeout: the timeout must be above zero",
            "http.expect: unknown field \"stats\", expected one of status, json",
            "http.expect.status: \"99\" is not a status",
            "http.expect.json.total: \"total\" is not a JSONPath",
            "http.save.env: \"env\" cannot be set",
            "http.save.b: \"c\" is not a JSONPath",
        ] {
            assert!(findings.iter().any(|f| f.starts_with(part)), "{part} is not in {findings:#?}");
        }
        assert_eq!(findings.len(), 11, "{findings:#?}");
    }

    #[test]
    fn no_mistake_tells_a_password() {
        for url in
            ["us:pw@h/", "http://us:pw@/", "http://us:pw@h/a b", "http://us:p w@h/", "http://us:p/w@h/"]
        {
            let findings = read_one(&json!({"get": url})).unwrap_err();
            assert!(findings.len() == 1 && !findings[0].contains("us:"), "{findings:?}");
        }
    }

    #[test]
    fn one_method_and_one_address() {
        for (value, part) in [
            (json!({}), "no address"),
            (json!({"method": "GET"}), "no address"),
            (json!({"get": "http://x", "post": "http://x"}), "given beside"),
            (json!({"get": "http://x", "url": "http://x"}), "given beside"),
            (json!({"url": "http://x", "method": "get"}), "not an HTTP method"),
            (json!("http://x"), "expected a mapping such as"),
        ] {
            let findings = read_one(&value).unwrap_err();
            assert!(findings.len() == 1 && findings[0].contains(part), "{value}: {findings:?}");
        }
    }
}

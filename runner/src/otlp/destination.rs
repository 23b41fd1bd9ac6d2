//! Where measures are pushed to, out of options and the standard's environment variables. Pure.

use crate::outbound::Place;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::uri::Uri;
use percent_encoding::percent_decode_str;
use std::fmt;

/// The option of the command line.
const OPTION: &str = "--otlp-endpoint";
const HEADER_OPTION: &str = "--otlp-header";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const METRICS_HEADERS: &str = "OTEL_EXPORTER_OTLP_METRICS_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const METRICS_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";
/// The one protocol that is spoken here.
const SPOKEN: &str = "http/protobuf";
/// What is appended to an address that stands for all kinds of data.
const PATH: &str = "/v1/metrics";
/// Most headers that are sent with a push.
const MAX_HEADERS: usize = 64;

/// Why nothing can be pushed as it is asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}: {1:?} is not the address of a collector; write http://HOST:4318 or https://HOST:4318")]
    Address(&'static str, String),
    #[error("{0}: an address holds no user and no password; send them as a header")]
    UserInfo(&'static str),
    #[error("{0}: {1:?} is spoken nowhere here; set it to {SPOKEN}, and the port to 4318")]
    Protocol(&'static str, String),
    /// Without the value, which may be a secret.
    #[error("{0}: header {1:?}: {2}")]
    Header(&'static str, String, &'static str),
    #[error("{HEADER_OPTION} is for pushes; add {OPTION} http://HOST:4318")]
    NoEndpoint,
}

/// Where measures are pushed to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.path)
    }
}

impl Destination {
    /// Chooses what the command line says, or else the environment, which is read through `env`; none if
    /// neither says anything.
    pub(crate) fn choose(
        endpoint: Option<&str>,
        headers: &[String],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        let env = |name| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let either =
            |first, second| env(first).map(|v| (first, v)).or_else(|| env(second).map(|v| (second, v)));
        let chosen = endpoint.map(|e| (OPTION, e.to_owned())).or_else(|| either(METRICS_ENDPOINT, ENDPOINT));
        let Some((source, address)) = chosen else {
            return if headers.is_empty() { Ok(None) } else { Err(Error::NoEndpoint) };
        };
        if source != OPTION
            && let Some((source, protocol)) = either(METRICS_PROTOCOL, PROTOCOL).filter(|(_, p)| p != SPOKEN)
        {
            return Err(Error::Protocol(source, protocol));
        }
        let mut destination = Self::at(source, &address)?;
        if let Some((source, text)) = either(METRICS_HEADERS, HEADERS) {
            for header in text.split(',').map(str::trim).filter(|h| !h.is_empty()) {
                let (name, value) = halves(source, header)?;
                let value = percent_decode_str(value.trim()).collect::<Vec<u8>>();
                destination.add_header(source, name, &value)?;
            }
        }
        for header in headers {
            let (name, value) = halves(HEADER_OPTION, header)?;
            destination.add_header(HEADER_OPTION, name, value.as_bytes())?;
        }
        Ok(Some(destination))
    }

    fn at(source: &'static str, address: &str) -> Result<Self, Error> {
        let wrong = || Error::Address(source, address.to_owned());
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Error::UserInfo(source));
        }
        let place = Place::of(&uri).ok_or_else(wrong)?;
        let path = match source {
            METRICS_ENDPOINT => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            _ if uri.query().is_some() => return Err(wrong()),
            _ => format!("{}{PATH}", uri.path().trim_end_matches('/')),
        };
        Ok(Self { place, path, headers: HeaderMap::new() })
    }

    fn add_header(&mut self, source: &'static str, name: &str, value: &[u8]) -> Result<(), Error> {
        let wrong = |why| Error::Header(source, name.to_owned(), why);
        let header = HeaderName::try_from(name).map_err(|_| wrong("that is no name of a header"))?;
        if [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING].contains(&header) {
            return Err(wrong("it is set already; leave it out"));
        }
        let value = HeaderValue::from_bytes(value);
        let mut value = value.map_err(|_| wrong("its value has characters that no header may have"))?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        if self.headers.len() > MAX_HEADERS {
            return Err(wrong("there are more than 64 of them"));
        }
        Ok(())
    }
}

/// Name and value of `NAME=VALUE`.
fn halves<'h>(source: &'static str, header: &'h str) -> Result<(&'h str, &'h str), Error> {
    match header.split_once('=') {
        Some((name, value)) => Ok((name.trim(), value)),
        // It may be a secret that was given without its name.
        None => Err(Error::Header(source, "…".to_owned(), "it has no value; write NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        option: Option<&str>,
        headers: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Option<Destination>, String> {
        let headers: Vec<String> = headers.iter().map(|h| (*h).to_owned()).collect();
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Destination::choose(option, &headers, get).map_err(|e| e.to_string())
    }

    fn chosen(option: Option<&str>, headers: &[&str], env: &[(&str, &str)]) -> Destination {
        choose(option, headers, env).expect("it is right").expect("a destination")
    }

    #[test]
    fn only_an_address_for_all_data_gets_the_path() {
        for (option, env, address) in [
            (Some("http://c:4318"), &[][..], "http://c:4318/v1/metrics"),
            (Some("https://c/"), &[], "https://c/v1/metrics"),
            (Some("http://c:4318/otlp/"), &[], "http://c:4318/otlp/v1/metrics"),
            (None, &[(ENDPOINT, "http://c:4318/otlp")], "http://c:4318/otlp/v1/metrics"),
            (None, &[(METRICS_ENDPOINT, "http://m:4318")], "http://m:4318/"),
            (None, &[(METRICS_ENDPOINT, "http://m/x?y=z"), (ENDPOINT, "nonsense")], "http://m/x?y=z"),
            (None, &[(METRICS_ENDPOINT, "  "), (ENDPOINT, "http://c:4318")], "http://c:4318/v1/metrics"),
            (
                Some("http://o:1"),
                &[(METRICS_ENDPOINT, "http://m:2"), (PROTOCOL, "grpc")],
                "http://o:1/v1/metrics",
            ),
        ] {
            assert_eq!(chosen(option, &[], env).to_string(), address);
        }
        assert!(choose(None, &[], &[(ENDPOINT, ""), (HEADERS, "a=b")]).expect("nothing").is_none());
    }

    #[test]
    fn hosts_and_ports() {
        for (address, tls, host, port) in [
            ("http://c", false, "c", 80),
            ("https://c", true, "c", 443),
            ("HTTPS://c.example:8443/x", true, "c.example", 8443),
            ("http://[::1]:4318", false, "::1", 4318),
            ("http://[::1]", false, "::1", 80),
        ] {
            let to = chosen(Some(address), &[], &[]);
            assert_eq!((to.place.tls, &*to.place.host, to.place.port), (tls, host, port), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in [
            "",
            "c",
            "c:4318",
            "grpc://c:4317",
            "http://",
            "http:///x",
            "http://c:0",
            "http://c:99999",
            "http://c:x",
            "http://c d",
            "http://c?x=y",
            "http://:4318",
            "/v1/metrics",
        ] {
            let error = choose(Some(address), &[], &[]).expect_err(address);
            let start =
                format!("--otlp-endpoint: {address:?} is not the address of a collector; write http://");
            assert!(error.starts_with(&start), "{error}");
        }
        let error = choose(None, &[], &[(METRICS_ENDPOINT, "c")]).expect_err("no address");
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: \"c\" is not"), "{error}");
        let error = choose(Some("http://me:secret@c"), &[], &[]).expect_err("a password");
        assert!(error.contains("no password") && !error.contains("secret"), "{error}");
        let env = [(ENDPOINT, "http://c:4317"), (PROTOCOL, "grpc")];
        let error = choose(None, &[], &env).expect_err("another protocol");
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\""), "{error}");
        let env = [(ENDPOINT, "http://c:4317"), (PROTOCOL, "grpc"), (METRICS_PROTOCOL, SPOKEN)];
        chosen(None, &[], &env);
    }

    #[test]
    fn headers_of_the_command_line_come_before_those_of_the_environment() {
        let env = [(HEADERS, " api-key=a%20b%2Cc, x = y ,,X-Tenant=t=1 "), (ENDPOINT, "http://c")];
        let to = chosen(None, &["X=z", "new=a%20=b"], &env);
        let get = |name: &str| to.headers.get(name).map(HeaderValue::as_bytes);
        assert_eq!(get("api-key"), Some(&b"a b,c"[..]));
        assert_eq!((get("x"), get("new")), (Some(&b"z"[..]), Some(&b"a%20=b"[..])));
        assert_eq!((get("x-tenant"), to.headers.len()), (Some(&b"t=1"[..]), 4));
        assert!(!format!("{to:?}").contains("a b"), "secrets are not shown: {to:?}");
        let env = [(HEADERS, "a=1"), (METRICS_HEADERS, "b=2"), (METRICS_ENDPOINT, "http://c")];
        assert_eq!(chosen(None, &[], &env).headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn wrong_headers_are_told_without_their_values() {
        for (header, part) in [
            ("secret", "it has no value"),
            ("a b=secret", "\"a b\": that is no name"),
            ("=secret", "that is no name"),
            ("a=secret\n", "\"a\": its value has characters"),
            ("Content-Type=secret", "it is set already"),
        ] {
            let error = choose(Some("http://c"), &[header], &[]).expect_err(header);
            assert!(error.starts_with("--otlp-header: ") && error.contains(part), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let many: Vec<String> = (0..65).map(|n| format!("h{n}=v")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(choose(Some("http://c"), &many, &[]).expect_err("too many").contains("more than 64"));
        let error = choose(None, &["a=b"], &[]).expect_err("headers for nothing");
        assert_eq!(error, "--otlp-header is for pushes; add --otlp-endpoint http://HOST:4318");
    }
}

//! Where a request goes to, as its address says.

use super::Failure;
use crate::network::{self, Origin};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use botarmy_tree::http::address;
use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;

/// Whom to connect to, and what the head of a request says of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) origin: Rc<Origin>,
    /// What `Host` says.
    pub(super) host: String,
    /// What `Authorization` says, if there are a name and a password in the address.
    pub(super) authorization: Option<String>,
}

impl Place {
    /// The place of an address, and its path with the query.
    pub(super) fn of(url: &str) -> Result<(Self, String), Failure> {
        let (user, url_of_host) = address::apart(url);
        let uri: http::Uri = url_of_host.parse().map_err(|e| Failure::Url(address::hidden(url), e))?;
        let origin = Origin::of(&uri).map_err(|_| network::Error::Address(address::hidden(url)))?;
        let host = uri.authority().map_or("", http::uri::Authority::as_str).to_owned();
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let authorization = user.filter(|user| !user.is_empty()).map(basic);
        Ok((Self { origin: Rc::new(origin), host, authorization }, sent(&path).into_owned()))
    }
}

/// The credentials of RFC 7617, of a name and a password as they stand in an address.
fn basic(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut credentials: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
    credentials.push(b':');
    credentials.extend(percent_encoding::percent_decode_str(password));
    format!("Basic {}", STANDARD.encode(credentials))
}

/// A path as it is sent: what is not ASCII as percent and two digits for each byte (RFC 3986, 2.1; RFC 3987, 3.1).
pub(super) fn sent(path: &str) -> Cow<'_, str> {
    let is_plain = |byte: &u8| *byte < 0x7f;
    if path.as_bytes().iter().all(is_plain) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len() * 3);
    for byte in path.bytes() {
        if is_plain(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

/// What was rendered into a path must be one; what follows a `#` is the client's own.
pub(super) fn check_path(text: &mut String, begin: usize) -> Result<(), Failure> {
    let is_usual = |b: u8| b.is_ascii_alphanumeric() || b"/?&=-_.~%:@+,;!$'()*".contains(&b);
    if text.as_bytes()[begin..].iter().all(|b| is_usual(*b)) {
        return Ok(());
    }
    let path = &text[begin..];
    let checked: http::uri::PathAndQuery =
        sent(path).parse().map_err(|e| Failure::Url(path.to_owned(), e))?;
    text.truncate(begin);
    text.push_str(checked.as_str());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_is_sent_by_its_bytes() {
        for (path, expected) in [
            ("/a?b=c", "/a?b=c"),
            ("/é", "/%C3%A9"),
            ("/a/日本?q=ü&r=%C3%BC", "/a/%E6%97%A5%E6%9C%AC?q=%C3%BC&r=%C3%BC"),
            ("/🦀\u{7f}", "/%F0%9F%A6%80%7F"),
        ] {
            assert_eq!(sent(path), expected);
        }
        assert!(matches!(sent("/a"), Cow::Borrowed(_)), "what is usual is not copied");
    }

    #[test]
    fn a_name_and_a_password_become_credentials() {
        // What curl and Go's client send.
        for (url, sent) in [
            ("http://us:pw@h/", Some("Basic dXM6cHc=")),
            ("http://us@h/", Some("Basic dXM6")),
            ("http://:pw@h/", Some("Basic OnB3")),
            ("http://a%40b:c%3Ad%2F@h/", Some("Basic YUBiOmM6ZC8=")),
            ("http://us:p%C3%A9@h/", Some("Basic dXM6cMOp")),
            ("http://us:pé@h/", Some("Basic dXM6cMOp")),
            ("http://@h/", None),
            ("http://h/a@b", None),
        ] {
            let (place, _) = Place::of(url).expect(url);
            assert_eq!((place.authorization.as_deref(), place.host.as_str()), (sent, "h"), "{url}");
        }
    }

    #[test]
    fn no_error_tells_a_password() {
        for url in
            ["http://us:pw@h h/", "http://us:pw@h:99999/", "http://us:p/w@h/", "http://us:p?pw@h/", "us:pw@h"]
        {
            let error = Place::of(url).expect_err(url).to_string();
            assert!(!error.contains("pw") && !error.contains("p/w"), "{error}");
        }
    }
}

//! How a request is put together: what never changes once, the rest for each bot.

use super::Failure;
use super::place::{self, Place};
use crate::network::Origin;
use botarmy_tree::http::{Body, Http as Options};
use botarmy_tree::template::{Part, Scope, Template};
use serde_json::Value;
use std::fmt::Write;
use std::rc::Rc;

/// A request of the plan.
#[derive(Debug)]
pub(super) struct Request {
    method: String,
    url: Template,
    target: Target,
    headers: Vec<Line>,
    /// The tree gives a `Host` of its own.
    has_host: bool,
    /// The tree says itself who asks, whatever the address says.
    has_authorization: bool,
    body: Body,
    /// All of it, if nothing changes.
    fixed: Option<Rendered>,
}

/// Where a request goes to.
#[derive(Debug)]
enum Target {
    /// The place is known, and how the path begins; what follows is rendered.
    Known { place: Place, path: String, rest: Vec<Part> },
    /// Everything is rendered.
    Unknown,
}

/// A header.
#[derive(Debug)]
enum Line {
    /// With its end of line.
    Fixed(String),
    Rendered(String, Template),
}

/// A request as it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    /// Whom to connect to.
    pub(super) origin: Rc<Origin>,
    /// The head and the body.
    pub(super) text: String,
    /// How long the head is, in bytes.
    pub(super) head: usize,
}

impl Request {
    pub(super) fn new(options: &Options) -> Self {
        let has = |name: &str| options.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut headers = Vec::new();
        for (name, value) in [
            ("user-agent", concat!("botarmy/", env!("CARGO_PKG_VERSION"))),
            ("accept", "*/*"),
            ("content-type", if matches!(options.body, Body::Json(_)) { "application/json" } else { "" }),
        ] {
            if !value.is_empty() && !has(name) {
                headers.push(Line::Fixed(format!("{name}: {value}\r\n")));
            }
        }
        headers.extend(options.headers.iter().map(|(name, value)| Line::new(name, value)));
        let mut request = Self {
            method: options.method.clone(),
            target: Target::of(&options.url),
            url: options.url.clone(),
            headers,
            has_host: has("host"),
            has_authorization: has("authorization"),
            body: options.body.clone(),
            fixed: None,
        };
        request.fixed = request.all_fixed();
        request
    }

    /// Whether the answer has no body whatever its head says.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The request, if it is the same for all bots.
    pub(super) fn fixed(&self) -> Option<&Rendered> {
        self.fixed.as_ref()
    }

    fn all_fixed(&self) -> Option<Rendered> {
        let Target::Known { place, path, rest } = &self.target else { return None };
        let body = match &self.body {
            Body::Empty => None,
            Body::Json(Template::Literal(value)) => Some(value.to_string()),
            Body::Text(Template::Literal(Value::String(text))) => Some(text.clone()),
            Body::Json(_) | Body::Text(_) => return None,
        };
        let is_fixed = |line: &Line| matches!(line, Line::Fixed(_));
        if !rest.is_empty() || !self.headers.iter().all(is_fixed) {
            return None;
        }
        let mut text = String::new();
        self.begin(&mut text, path, place);
        for line in &self.headers {
            if let Line::Fixed(line) = line {
                text.push_str(line);
            }
        }
        let head = self.end(&mut text, body.as_deref());
        Some(Rendered { origin: place.origin.clone(), text, head })
    }

    /// Puts the request together for a bot, in `text`, which is empty.
    pub(super) fn render(&self, scope: Scope<'_>, mut text: String) -> Result<Rendered, Failure> {
        let origin = match &self.target {
            Target::Known { place: known, path, rest } => {
                // The path is rendered where it will stand.
                let _ = write!(text, "{} ", self.method);
                let begin = text.len();
                text.push_str(path);
                for part in rest {
                    match part {
                        Part::Plain(plain) => text.push_str(plain),
                        Part::Hole(hole) => hole.render_text(scope, &mut text)?,
                    }
                }
                place::check_path(&mut text, begin)?;
                self.after_path(&mut text, known);
                known.origin.clone()
            }
            Target::Unknown => {
                let mut url = String::new();
                self.url.render_text(scope, &mut url)?;
                let (place, path) = Place::of(&url)?;
                self.begin(&mut text, &path, &place);
                place.origin
            }
        };
        for line in &self.headers {
            line.render(scope, &mut text)?;
        }
        let body = self.render_body(scope)?;
        let head = self.end(&mut text, body.as_deref());
        Ok(Rendered { origin, text, head })
    }

    fn render_body(&self, scope: Scope<'_>) -> Result<Option<String>, Failure> {
        Ok(match &self.body {
            Body::Empty => None,
            Body::Json(value) => Some(value.render(scope)?.to_string()),
            Body::Text(template) => {
                let mut body = String::new();
                template.render_text(scope, &mut body)?;
                Some(body)
            }
        })
    }

    fn begin(&self, text: &mut String, path: &str, place: &Place) {
        let _ = write!(text, "{} {path}", self.method);
        self.after_path(text, place);
    }

    fn after_path(&self, text: &mut String, place: &Place) {
        text.push_str(" HTTP/1.1\r\n");
        if !self.has_host {
            let _ = write!(text, "host: {}\r\n", place.host);
        }
        if let Some(authorization) = place.authorization.as_ref().filter(|_| !self.has_authorization) {
            let _ = write!(text, "authorization: {authorization}\r\n");
        }
    }

    /// Ends the head, adds the body, and tells how long the head is.
    fn end(&self, text: &mut String, body: Option<&str>) -> usize {
        // RFC 9110, 8.6: a method that usually has a body says so when it has none.
        let usual = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        if body.is_some() || usual {
            let _ = write!(text, "content-length: {}\r\n", body.map_or(0, str::len));
        }
        text.push_str("\r\n");
        let head = text.len();
        text.push_str(body.unwrap_or_default());
        head
    }
}

impl Target {
    fn of(url: &Template) -> Self {
        let (text, rest) = match url {
            Template::Literal(Value::String(text)) => (text.as_str(), &[][..]),
            Template::Text(parts) => match parts.split_first() {
                // Only behind a slash it is sure that the place is whole.
                Some((Part::Plain(text), rest)) if text.splitn(4, '/').count() == 4 => (text.as_str(), rest),
                _ => return Self::Unknown,
            },
            _ => return Self::Unknown,
        };
        let plain = rest.iter().all(|part| !matches!(part, Part::Plain(text) if text.contains('#')));
        match Place::of(text) {
            Ok((place, path)) if plain && !text.contains('#') => {
                Self::Known { place, path, rest: rest.iter().map(sent).collect() }
            }
            _ => Self::Unknown,
        }
    }
}

/// What stays as it is need not be encoded for each bot.
fn sent(part: &Part) -> Part {
    match part {
        Part::Plain(plain) => Part::Plain(place::sent(plain).into_owned()),
        Part::Hole(hole) => Part::Hole(hole.clone()),
    }
}

impl Line {
    fn new(name: &str, value: &Template) -> Self {
        let name = name.to_ascii_lowercase();
        match value {
            Template::Literal(literal) => {
                let text = literal.as_str().map_or_else(|| literal.to_string(), str::to_owned);
                if is_header_value(&text) {
                    Self::Fixed(format!("{name}: {text}\r\n"))
                } else {
                    Self::Rendered(name, value.clone())
                }
            }
            _ => Self::Rendered(name, value.clone()),
        }
    }

    fn render(&self, scope: Scope<'_>, text: &mut String) -> Result<(), Failure> {
        let (name, value) = match self {
            Self::Fixed(line) => {
                text.push_str(line);
                return Ok(());
            }
            Self::Rendered(name, value) => (name, value),
        };
        text.push_str(name);
        text.push_str(": ");
        let begin = text.len();
        value.render_text(scope, text)?;
        if !is_header_value(&text[begin..]) {
            return Err(Failure::Header(name.clone()));
        }
        text.push_str("\r\n");
        Ok(())
    }
}

/// RFC 9110, 5.5: a value holds no control characters but tabs.
fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::{Actions, Context, Path, Plan, RunScope, action::Call, notation};
    use serde_json::json;

    /// The request of an `http` leaf, as it goes over the wire, and whether it was fixed beforehand.
    fn wire(http: &Value, context: &Context) -> Result<(String, bool), String> {
        let trees = json!({"T": {"http": http}});
        let trees = notation::read(&trees, &Path::top(), &Actions::built_in()).expect("a tree");
        let run = RunScope { target: Some("http://shop:8080".into()), ..RunScope::default() };
        let plan = Plan::compile_entry(&trees, "T").expect("a plan").fold(&run);
        let Call::Http(options) = &plan.leaves()[0].call else { panic!("no http") };
        let request = Request::new(options);
        let scope = Scope::new(&run, 7, context);
        let rendered = request.render(scope, String::new()).map_err(|e| e.to_string())?;
        let fixed = request.fixed().map(|f| (f.text.clone(), f.head));
        if let Some(fixed) = &fixed {
            assert_eq!(*fixed, (rendered.text.clone(), rendered.head), "what is fixed is what is rendered");
        }
        assert!(rendered.text[..rendered.head].ends_with("\r\n\r\n"));
        Ok((rendered.text, fixed.is_some()))
    }

    fn of(http: &Value) -> Result<(String, bool), String> {
        let context = [
            ("id", json!("a b")),
            ("n", json!(5)),
            ("bad", json!("x\r\ny: z")),
            ("text", json!("café")),
            ("special", json!("a b#?&%")),
        ];
        wire(http, &context.map(|(k, v)| (k.to_owned(), v)).into())
    }

    const AGENT: &str = concat!("user-agent: botarmy/", env!("CARGO_PKG_VERSION"), "\r\naccept: */*\r\n");

    #[test]
    fn what_never_changes_is_put_together_once() {
        for (http, text) in [
            (
                json!({"get": "{{ target }}/a?b=c"}),
                format!("GET /a?b=c HTTP/1.1\r\nhost: shop:8080\r\n{AGENT}\r\n"),
            ),
            (
                json!({"get": "http://us:p%40@h/uni/é?q=ü"}),
                format!(
                    "GET /uni/%C3%A9?q=%C3%BC HTTP/1.1\r\nhost: h\r\nauthorization: Basic dXM6cEA=\r\n{AGENT}\r\n"
                ),
            ),
            (
                json!({"get": "http://us:pw@h/", "headers": {"Authorization": "Bearer abc"}}),
                format!("GET / HTTP/1.1\r\nhost: h\r\n{AGENT}authorization: Bearer abc\r\n\r\n"),
            ),
            (json!({"get": "http://h/a#b"}), format!("GET /a HTTP/1.1\r\nhost: h\r\n{AGENT}\r\n")),
            (
                json!({"post": "http://h/", "json": {"a": 1}, "headers": {"X-Level": 3}}),
                format!(
                    "POST / HTTP/1.1\r\nhost: h\r\n{AGENT}content-type: application/json\r\nx-level: 3\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}"
                ),
            ),
            (
                json!({"put": "http://h/"}),
                format!("PUT / HTTP/1.1\r\nhost: h\r\n{AGENT}content-length: 0\r\n\r\n"),
            ),
            (
                json!({"delete": "http://h/", "headers": {"Host": "other", "Accept": "a/b", "User-Agent": "me"}}),
                "DELETE / HTTP/1.1\r\naccept: a/b\r\nhost: other\r\nuser-agent: me\r\n\r\n".to_owned(),
            ),
        ] {
            let (wire, fixed) = of(&http).expect("a request");
            assert_eq!(wire, text, "{http}");
            assert_eq!(fixed, !http.to_string().contains('#'), "{http}");
        }
    }

    #[test]
    fn the_rest_is_rendered_for_each_bot() {
        for (http, start) in [
            (
                json!({"get": "{{ target }}/cart/{{ bot.id }}/{{ n }}"}),
                "GET /cart/7/5 HTTP/1.1\r\nhost: shop:8080\r\n",
            ),
            (json!({"get": "http://h{{ n }}/x"}), "GET /x HTTP/1.1\r\nhost: h5\r\n"),
            (json!({"get": "http://h:{{ n }}"}), "GET / HTTP/1.1\r\nhost: h:5\r\n"),
            (json!({"get": "http://h/{{ n }}#top"}), "GET /5 HTTP/1.1\r\nhost: h\r\n"),
            (json!({"get": "http://h/x?{{ n }}=ü"}), "GET /x?5=%C3%BC HTTP/1.1\r\nhost: h\r\n"),
            (
                json!({"get": "http://h/{{ text }}?q={{ text }}"}),
                "GET /caf%C3%A9?q=caf%C3%A9 HTTP/1.1\r\nhost: h\r\n",
            ),
            (
                json!({"get": "http://h{{ n }}/{{ text | urlencode }}/{{ text }}#{{ n }}"}),
                "GET /caf%C3%A9/caf%C3%A9 HTTP/1.1\r\nhost: h5\r\n",
            ),
            (json!({"get": "http://h/{{ special | urlencode }}"}), "GET /a%20b%23%3F%26%25 HTTP/1.1\r\n"),
            (
                json!({"get": "http://{{ n }}:{{ text }}@h/"}),
                "GET / HTTP/1.1\r\nhost: h\r\nauthorization: Basic NTpjYWbDqQ==\r\n",
            ),
        ] {
            let (wire, fixed) = of(&http).expect("a request");
            assert!(wire.starts_with(start) && !fixed, "{http}: {wire}");
        }
        let (wire, _) =
            of(&json!({"post": "http://h/", "json": {"n": "{{ n }}"}, "headers": {"A": "{{ id }}"}}))
                .expect("a request");
        assert!(
            wire.contains("\r\na: a b\r\n") && wire.ends_with("content-length: 7\r\n\r\n{\"n\":5}"),
            "{wire}"
        );
    }

    #[test]
    fn nothing_that_is_rendered_can_break_out() {
        for http in [
            json!({"get": "http://h/{{ id }}"}),
            json!({"get": "http://h/{{ bad }}"}),
            json!({"get": "http://{{ bad }}/"}),
            json!({"get": "http://h/{{ text }}{{ id }}"}),
            json!({"get": "http://h/", "headers": {"A": "{{ bad }}"}}),
        ] {
            assert!(of(&http).is_err(), "{http}");
        }
    }
}

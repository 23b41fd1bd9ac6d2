//! Which form a scraper gets. Pure.

use axum::http::{HeaderMap, header};
use botarmy_report::PROMETHEUS_CONTENT_TYPE;

const PROTOBUF: &str = "application/vnd.google.protobuf";
const MESSAGE: &str = "io.prometheus.client.MetricFamily";
const ENCODING: &str = "delimited";

/// How the figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text for everybody, with classic histograms.
    Text,
    /// Messages for who asks for them, with native histograms too.
    Protobuf,
}

impl Form {
    /// The form that the headers of a request ask for. Who names both gets the one that is preferred, and messages
    /// when they are worth the same; who names neither gets text.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut text, mut protobuf) = (0.0_f64, 0.0_f64);
        for range in accepted.flat_map(|value| value.split(',')).map(Range::read) {
            if range.is_protobuf() {
                protobuf = protobuf.max(range.quality);
            } else if range.is_text() {
                text = text.max(range.quality);
            }
        }
        if protobuf > 0.0 && protobuf >= text { Self::Protobuf } else { Self::Text }
    }

    /// The content type of an answer in this form.
    pub(super) fn content_type(self) -> String {
        match self {
            Self::Text => PROMETHEUS_CONTENT_TYPE.to_owned(),
            Self::Protobuf => format!("{PROTOBUF}; proto={MESSAGE}; encoding={ENCODING}"),
        }
    }
}

/// An entry of the header, such as `text/plain;version=0.0.4;q=0.5`.
struct Range<'a> {
    kind: String,
    parameters: Vec<(String, &'a str)>,
    /// From 0 to 1; 0 where it cannot be read.
    quality: f64,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(String, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let quality = match parameters.iter().find(|(name, _)| name == "q") {
            Some((_, quality)) => {
                quality.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
            }
            None => 1.0,
        };
        Self { kind, parameters, quality }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    fn is_protobuf(&self) -> bool {
        self.kind == PROTOBUF
            && self.parameter("proto") == Some(MESSAGE)
            && self.parameter("encoding") == Some(ENCODING)
    }

    /// Text of another version is another form.
    fn is_text(&self) -> bool {
        let version = self.parameter("version");
        matches!(self.kind.as_str(), "text/plain" | "text/*" | "*/*") && version.is_none_or(|v| v == "0.0.4")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_form_is_the_preferred_one() {
        let delimited =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accepted, form) in [
            (vec![], Form::Text),
            (vec!["*/*".to_owned()], Form::Text),
            // Prometheus 2.42, without and with native histograms.
            (
                vec!["application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1".to_owned()],
                Form::Text,
            ),
            (
                vec![format!("{delimited},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")],
                Form::Protobuf,
            ),
            // Prometheus 3, which puts numbers to all of its protocols.
            (
                vec![format!("{delimited};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")],
                Form::Protobuf,
            ),
            (vec![format!("text/plain; version=0.0.4; q=0.6, {delimited}; q=0.5")], Form::Text),
            (vec![format!("{delimited};q=0.5"), "text/plain;q=0.5".to_owned()], Form::Protobuf),
            (vec![format!("{delimited};q=0")], Form::Text),
            (vec![format!("{delimited};q=2")], Form::Text),
            (vec!["application/vnd.google.protobuf".to_owned()], Form::Text),
            (vec![delimited.replace("delimited", "text")], Form::Text),
            (vec![delimited.replace("vnd.google", "VND.Google").replace("delimited", "\"delimited\"")], Form::Protobuf),
            (vec![";;=,q=,".to_owned()], Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accepted {
                headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(Form::asked_for(&headers), form, "{accepted:?}");
        }
    }

    #[test]
    fn an_answer_says_what_it_is() {
        let mut headers = HeaderMap::new();
        for form in [Form::Text, Form::Protobuf] {
            headers.insert(header::ACCEPT, HeaderValue::from_str(&form.content_type()).unwrap());
            assert_eq!(Form::asked_for(&headers), form);
        }
    }
}

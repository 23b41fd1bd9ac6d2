//! A result in each form that people and programs read.

mod csv;
mod exported;
mod exposition;
mod html;
mod junit;
mod prometheus;

pub use exported::{Exported, exported, exported_measured};
pub use exposition::{
    Distribution, Exposition, Family, Kind, Label, Metric, Number, PROMETHEUS_BUCKETS,
    PROMETHEUS_CONTENT_TYPE, Unit, Value,
};
pub use prometheus::{Counters, expose_run, expose_sum, prometheus};

use crate::result::RunResult;
use crate::summary::summary;

/// A form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table for a terminal.
    Text,
    /// All of it, for programs.
    Json,
    /// Thresholds as test cases, for pipelines.
    Junit,
    /// Counts and times as one table, for spreadsheets.
    Csv,
    /// A page with charts that stands alone, for browsers.
    Html,
}

impl Format {
    /// All forms.
    pub const ALL: [Self; 5] = [Self::Text, Self::Json, Self::Junit, Self::Csv, Self::Html];

    /// The word that chooses it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// The suffix of a file in it.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Junit => "xml",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// The form that the suffix of a file stands for.
    pub fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "txt" => Self::Text,
            "json" => Self::Json,
            "xml" => Self::Junit,
            "csv" => Self::Csv,
            "html" | "htm" => Self::Html,
            _ => return None,
        })
    }
}

/// The result in a form, ending with a line feed.
pub fn render(result: &RunResult, format: Format) -> String {
    match format {
        Format::Text => summary(result),
        // A result is made of texts, numbers and lists, all of which JSON can hold.
        Format::Json => serde_json::to_string_pretty(result).unwrap_or_default() + "\n",
        Format::Junit => junit::junit(result),
        Format::Csv => csv::csv(result),
        Format::Html => html::html(result),
    }
}

/// Text between tags and in quoted attributes of XML and HTML. Characters that XML cannot hold, and
/// those that turn or hide text, become `\u{1b}`.
fn escape_markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in crate::terminal::escape(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests;

//! The documents that people hand to the command line: a `BotRun`, the bare fields of its spec, or
//! a project of the editor.

use crate::shape;
use crate::types::BotRunSpec;
use botarmy_tree::editor::{self, Project};
use botarmy_tree::fields::kind_of;
use botarmy_tree::yaml::{self, Document};
use botarmy_tree::{Finding, Findings, Path, canonical::canonical, finding::quoted, json};
use serde_json::Value;

/// The group and version of the kinds.
pub const API_VERSION: &str = "botarmy.dev/v1alpha1";
/// Longest name of a run: its Job's pods add an index and a suffix to it, and labels hold 63 characters.
pub const MAX_RUN_NAME: usize = 50;
/// The kind of a run.
pub const KIND: &str = "BotRun";

/// What a file holds.
#[derive(Debug)]
pub enum File {
    /// A run.
    Run {
        /// Its name, when the file is a manifest.
        name: Option<String>,
        /// What it shall do.
        spec: Box<BotRunSpec>,
        /// Where the spec lies in the file.
        path: Path,
    },
    /// A project of the editor.
    Project(Project),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the file holds nothing; write a BotRun, the fields of its spec, or an editor project")]
    Empty,
    #[error("the file holds {0} BotRuns; keep one in a file")]
    Several(usize),
    #[error("the file holds {0} documents; a BotRun that goes to a cluster stands alone in its file")]
    NotAlone(usize),
    #[error("an editor project cannot go to a cluster; write a BotRun whose trees do the same")]
    Project,
    #[error("of {0} documents none is a BotRun; add kind: BotRun to the one to run")]
    NoneOfSeveral(usize),
    #[error(
        "expected a mapping at the top, found something else; write a BotRun, the fields of its spec, or an editor project"
    )]
    NoMapping,
    #[error("the kind is {0}, which cannot be run here; write kind: {KIND}")]
    Kind(String),
    #[error("the field {0} is missing; add {0}: {1}")]
    Missing(&'static str, &'static str),
    #[error("the apiVersion is {0}; write apiVersion: {API_VERSION}")]
    ApiVersion(String),
    #[error("expected a mapping with the name, found {0}; write metadata: {{name: NAME}}")]
    Metadata(String),
    #[error("unknown field {0}, expected one of apiVersion, kind, metadata, spec, status")]
    Unknown(String),
    #[error("the field spec is missing; add it")]
    NoSpec,
    #[error(
        "a name is lower-case letters, digits and hyphens, at most {MAX_RUN_NAME} of them, with a letter or digit at both ends: it becomes part of the pods' names"
    )]
    Name,
    #[error("{0}")]
    Json(#[from] json::Error),
}

/// A file that was read, with all mistakes of its shape.
#[derive(Debug)]
pub struct Reading {
    /// What is sound of it.
    pub file: File,
    /// What is wrong. To be told together with what [`crate::Run::check`] finds of its meaning.
    pub findings: Findings,
}

/// Reads a file. The error is one that leaves nothing to look at further.
pub fn read(text: &str) -> Result<Reading, Vec<Finding>> {
    let Document { mut value, mut findings } = choose(documents(text)?)?;
    if editor::is_project(&value) {
        return match Project::read(&value) {
            Ok(project) => Ok(Reading { file: File::Project(project), findings }),
            Err(more) => {
                findings.later(more);
                Err(findings.into_vec())
            }
        };
    }
    canonical(&mut value);
    if value.get("kind").is_some() || value.get("apiVersion").is_some() {
        return manifest(&value, findings);
    }
    let (spec, more) = shape::read(&value, &Path::top());
    findings.append(more);
    Ok(Reading { file: File::Run { name: None, spec: Box::new(spec), path: Path::top() }, findings })
}

/// Reads a file whose run shall go to a cluster: one `BotRun` and nothing beside it, as it stands there. What its spec
/// says is the cluster's to judge, which may know more fields than this program.
pub fn read_manifest(text: &str) -> Result<Value, Vec<Finding>> {
    let documents = documents(text)?;
    if documents.len() > 1 {
        return Err(vec![Finding::new(&Path::top(), &Error::NotAlone(documents.len()))]);
    }
    let Document { mut value, mut findings } = choose(documents)?;
    if editor::is_project(&value) {
        return Err(vec![Finding::new(&Path::top(), &Error::Project)]);
    }
    canonical(&mut value);
    check_head(&value, &mut findings);
    findings.or(value)
}

/// The documents of a text. What begins like JSON is read as JSON, unless only YAML can be meant.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>, Vec<Finding>> {
    let text = text.trim_start_matches('\u{feff}');
    let begins_like_json = text.trim_start().starts_with(['{', '[']);
    if !begins_like_json || text.len() > yaml::MAX_BYTES {
        return yaml::read(text).map_err(|f| vec![f]);
    }
    match json::read(text) {
        Ok(value) => Ok(vec![Document { value, findings: Findings::default() }]),
        Err(error) => yaml::read(text).map_err(|_| vec![Finding::new(&Path::top(), &Error::Json(error))]),
    }
}

fn choose(mut documents: Vec<Document>) -> Result<Document, Vec<Finding>> {
    let wrong = |e: &Error| vec![Finding::new(&Path::top(), e)];
    if documents.is_empty() {
        return Err(wrong(&Error::Empty));
    }
    if documents.len() == 1 {
        let document = documents.remove(0);
        let readable = document.value.is_object() || !document.findings.is_empty();
        return if readable { Ok(document) } else { Err(wrong(&Error::NoMapping)) };
    }
    let count = documents.len();
    let is_run = |d: &Document| d.value.get("kind").is_some_and(|k| k == KIND);
    let mut runs: Vec<Document> = documents.into_iter().filter(is_run).collect();
    match runs.len() {
        1 => Ok(runs.remove(0)),
        0 => Err(wrong(&Error::NoneOfSeveral(count))),
        n => Err(wrong(&Error::Several(n))),
    }
}

fn manifest(value: &Value, mut findings: Findings) -> Result<Reading, Vec<Finding>> {
    check_head(value, &mut findings);
    let path = Path::top().field("spec");
    // Of another kind the spec would be something else.
    let Some(spec) = value.get("spec").filter(|_| value["kind"] == KIND) else {
        return Err(findings.into_vec());
    };
    let (spec, more) = shape::read(spec, &path);
    findings.append(more);
    let name = value.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    Ok(Reading { file: File::Run { name, spec: Box::new(spec), path }, findings })
}

/// Notes what is wrong around the spec.
fn check_head(value: &Value, findings: &mut Findings) {
    let top = Path::top();
    let mut note = |path: &Path, error: &Error| findings.later(vec![Finding::new(path, error)]);
    let is_run = value["kind"] == KIND;
    match value.get("kind") {
        None => note(&top, &Error::Missing("kind", KIND)),
        Some(_) if is_run => {}
        Some(other) => note(&top.field("kind"), &Error::Kind(other.to_string())),
    }
    match value.get("apiVersion") {
        None => note(&top, &Error::Missing("apiVersion", API_VERSION)),
        Some(version) if version == API_VERSION => {}
        Some(other) => note(&top.field("apiVersion"), &Error::ApiVersion(other.to_string())),
    }
    for name in value.as_object().into_iter().flat_map(|m| m.keys()) {
        if is_run && !["apiVersion", "kind", "metadata", "spec", "status"].contains(&name.as_str()) {
            note(&top, &Error::Unknown(quoted(name)));
        }
    }
    let metadata = value.get("metadata");
    if let Some(other) = metadata.filter(|m| !m.is_object()) {
        note(&top.field("metadata"), &Error::Metadata(kind_of(other)));
    }
    let name = metadata.and_then(|m| m.get("name"));
    if name.is_some_and(|n| !n.as_str().is_some_and(is_run_name)) {
        note(&top.field("metadata").field("name"), &Error::Name);
    }
    if value.get("spec").is_none() {
        note(&top, &Error::NoSpec);
    }
}

/// Whether a run may be called so: a DNS label, as names of pods are made of (RFC 1123), of at most [`MAX_RUN_NAME`].
pub fn is_run_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_RUN_NAME
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<String> {
        let findings = read(text).map_or_else(|f| f, |reading| reading.findings.into_vec());
        findings.iter().map(ToString::to_string).collect()
    }

    fn file(text: &str) -> Result<File, Vec<Finding>> {
        let Reading { file, findings } = read(text)?;
        findings.or(file)
    }

    #[test]
    fn the_three_kinds_of_files_are_told_apart() {
        let manifest =
            "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\nspec: {trees: {T: done}}\n";
        assert!(
            matches!(file(manifest), Ok(File::Run { name: Some(n), path, .. }) if n == "a" && path.to_string() == "spec")
        );
        let several = format!("kind: Service\nmode: 0755\n---\n{manifest}---\nkind: Other\n");
        assert!(matches!(file(&several), Ok(File::Run { .. })));
        assert!(matches!(file("trees: {T: done}"), Ok(File::Run { name: None, path, .. }) if path.is_top()));
        assert!(
            matches!(file(r#"{"trees": {"T": "done"}, "bots": 2.0, "seed": null}"#), Ok(File::Run { spec, .. }) if spec.load.bots == Some(2))
        );
        assert!(matches!(file("{trees: {T: done}}"), Ok(File::Run { .. })));
        assert!(matches!(file(r#"{"data": {"trees": [{"title": "a"}]}}"#), Ok(File::Project(_))));
        assert!(matches!(file(r#"{"trees": [{"title": "a"}]}"#), Ok(File::Project(_))));
    }

    #[test]
    fn what_goes_to_a_cluster_is_one_run_as_it_stands() {
        let head = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\n";
        let whole =
            format!("{head}metadata: {{generateName: a-}}\nspec: {{bots: 2, later: {{known: 1.0}}}}\n");
        let read = read_manifest(&format!("---\n{whole}---\n# nothing more\n"));
        let wanted = serde_json::json!({
            "apiVersion": API_VERSION, "kind": KIND, "metadata": {"generateName": "a-"},
            "spec": {"bots": 2, "later": {"known": 1}},
        });
        assert_eq!(read, Ok(wanted), "a field that is not known here stays");
        for (text, part) in [
            (String::new(), "(top): the file holds nothing"),
            ("- a".into(), "(top): expected a mapping at the top"),
            (format!("{whole}---\nkind: Service\n"), "(top): the file holds 2 documents"),
            (format!("{whole}---\n{whole}"), "(top): the file holds 2 documents"),
            (r#"{"trees": [{"title": "a"}]}"#.into(), "(top): an editor project cannot go to a cluster"),
            ("trees: {T: done}".into(), "(top): the field kind is missing"),
            ("apiVersion: v1\nkind: Pod\nspec: {}".into(), "kind: the kind is \"Pod\""),
            (head.into(), "(top): the field spec is missing"),
            (format!("{head}metadata: {{name: A_b}}\nspec: {{}}"), "metadata.name: a name is"),
            (format!("{head}spec: {{trees: {{T: {{set: {{a: no}}}}}}}}"), "spec.trees.T.set.a: YAML 1.1"),
        ] {
            let findings = read_manifest(&text).expect_err(&text);
            let found = findings.iter().any(|f| f.to_string().starts_with(part));
            assert!(found, "{text}: {part} is not in {findings:#?}");
        }
    }

    #[test]
    fn files_that_cannot_be_run_say_why() {
        let run = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nspec: {trees: {T: done}}\n";
        for (text, part) in [
            (String::new(), "(top): the file holds nothing"),
            ("# only a remark\n---\n".into(), "(top): the file holds nothing"),
            ("- a".into(), "(top): expected a mapping at the top"),
            ("just text".into(), "(top): expected a mapping at the top"),
            ("kind: Pod".into(), "kind: the kind is \"Pod\""),
            (
                "kind: BotRun\nspec: {}".into(),
                "(top): the field apiVersion is missing; add apiVersion: botarmy.dev/v1alpha1",
            ),
            (
                "apiVersion: botarmy.dev/v1alpha1\nspec: {}".into(),
                "(top): the field kind is missing; add kind: BotRun",
            ),
            (format!("metadata: [a]\n{run}"), "metadata: expected a mapping with the name, found a list"),
            (format!("metadata: {{name: 5}}\n{run}"), "metadata.name: a name is"),
            (format!("{run}---\n{run}"), "(top): the file holds 2 BotRuns"),
            ("a: 1\n---\nb: 1".into(), "(top): of 2 documents none is a BotRun"),
            ("apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\n".into(), "(top): the field spec is missing"),
            (format!("{run}sepc: {{}}\n"), "(top): unknown field \"sepc\""),
            (format!("metadata: {{name: A_b}}\n{run}"), "metadata.name: a name is"),
            ("trees: {T: done}\nbots: yes".into(), "bots: YAML 1.1 and YAML 1.2"),
            ("{\"a\": 1,}x".into(), "(top): not valid JSON"),
            ("a: [".into(), "(top): not valid YAML"),
            (
                "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nspec: {trees: {}, bost: 1}\n".into(),
                "spec: unknown field \"bost\"",
            ),
        ] {
            let findings = refused(&text);
            assert!(findings.iter().any(|f| f.starts_with(part)), "{text}: {part} is not in {findings:#?}");
        }
    }
}

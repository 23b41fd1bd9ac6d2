//! Trees that lie elsewhere, put into a spec: what was read is an argument.

use crate::file;
use crate::types::{BotRunSpec, SourceSpec};
use botarmy_tree::fields::kind_of;
use botarmy_tree::finding::{listed, quoted};
use botarmy_tree::yaml::Document;
use botarmy_tree::{Finding, Path, canonical::canonical};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most files of a source.
pub const MAX_FILES: usize = 200;
/// Most bytes of all files of a run's sources.
pub const MAX_BYTES: usize = 8 << 20;

/// The ends of the names of files that are read.
const ENDS: [&str; 3] = [".yaml", ".yml", ".json"];
/// The field of a file that is read.
const TREES: &str = "trees";

/// Whether a file of a source is read.
pub fn is_read(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // What the kubelet keeps its versions in begins with a dot.
    !name.starts_with('.') && ENDS.iter().any(|end| name.ends_with(end))
}

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The number of the source.
    pub source: usize,
    /// The name of the file, seen from the source.
    pub name: String,
    /// What is in it.
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}: {1}: {2}")]
    Inside(String, Path, String),
    #[error("{0}: the file has {1} documents; keep one in a file")]
    Several(String, usize),
    #[error("{0}: expected a mapping with the field trees, found {1}")]
    NoMapping(String, String),
    #[error("{0}: unknown field {1}, expected trees")]
    Unknown(String, String),
    #[error("{0}: the tree {1} is there already, in {2}; rename one of them")]
    Twice(String, String, String),
    #[error("no file in it is called *.yaml, *.yml or *.json")]
    Empty,
    #[error(
        "{0:?} leads out of the source; write a path inside of it, without .. and without a slash at the beginning"
    )]
    Outside(String),
    #[error("the name {0:?} is given twice; rename one of them")]
    NameTwice(String),
    #[error("a source is a configMap, a secret, a persistentVolumeClaim or an image; give one of them")]
    Kind,
}

/// Where the trees of a run come from, beside its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// What is wrong with a tree is told with the file that it is from.
    pub fn name_files(&self, findings: &mut [Finding], path: &Path) {
        for finding in findings {
            let tree = self.0.keys().find(|tree| finding.path.is_within(&path.field(TREES).key(tree)));
            let tree =
                tree.or_else(|| self.0.keys().find(|t| finding.path.is_within(&path.field(TREES).field(t))));
            if let Some(file) = tree.and_then(|tree| self.0.get(tree)) {
                finding.message = format!("{} (in {file})", finding.message);
            }
        }
    }
}

/// Tells what is wrong with the sources of a spec themselves.
pub(crate) fn check(sources: &[SourceSpec], path: &Path) -> Vec<Finding> {
    let (mut findings, mut names) = (Vec::new(), BTreeSet::new());
    for (i, source) in sources.iter().enumerate() {
        let place = path.field("sources").index(i);
        if !names.insert(&source.name) {
            findings.push(Finding::new(&place.field("name"), &Error::NameTwice(source.name.clone())));
        }
        let kinds = [
            source.config_map.is_some(),
            source.secret.is_some(),
            source.persistent_volume_claim.is_some(),
            source.image.is_some(),
        ];
        if kinds.iter().filter(|given| **given).count() != 1 {
            findings.push(Finding::new(&place, &Error::Kind));
        }
        if let Some(inside) =
            source.path.as_ref().filter(|p| p.starts_with('/') || p.split('/').any(|part| part == ".."))
        {
            findings.push(Finding::new(&place.field("path"), &Error::Outside(inside.clone())));
        }
    }
    findings
}

/// Adds the trees of these files to a spec that lies at `path`; it has no sources then. All mistakes are told at once.
pub fn merge(spec: &mut BotRunSpec, path: &Path, files: &[SourceFile]) -> Result<Origins, Vec<Finding>> {
    let (mut findings, mut origins) = (Vec::new(), Origins::default());
    for (i, source) in spec.sources.iter().enumerate() {
        let place = path.field("sources").index(i);
        let mut none = true;
        for file in files.iter().filter(|file| file.source == i) {
            none = false;
            let shown = format!("{}/{}", source.name, file.name);
            let trees = match trees(&shown, &file.text) {
                Ok(trees) => trees,
                Err(errors) => {
                    findings.extend(errors.iter().map(|error| Finding::new(&place, error)));
                    continue;
                }
            };
            for (name, tree) in trees {
                if spec.trees.contains_key(&name) {
                    let other = origins.0.get(&name).cloned().unwrap_or_else(|| "spec.trees".to_owned());
                    findings.push(Finding::new(&place, &Error::Twice(shown.clone(), quoted(&name), other)));
                } else {
                    origins.0.insert(name.clone(), shown.clone());
                    spec.trees.insert(name, tree);
                }
            }
        }
        if none {
            findings.push(Finding::new(&place, &Error::Empty));
        }
    }
    spec.sources.clear();
    if findings.is_empty() { Ok(origins) } else { Err(findings) }
}

/// The trees of a file.
fn trees(shown: &str, text: &str) -> Result<serde_json::Map<String, Value>, Vec<Error>> {
    let inside = |findings: Vec<Finding>| -> Vec<Error> {
        findings.into_iter().map(|f| Error::Inside(shown.to_owned(), f.path, f.message)).collect()
    };
    let mut documents = file::documents(text).map_err(inside)?;
    let (Some(Document { mut value, findings }), true) = (documents.pop(), documents.is_empty()) else {
        return Err(vec![Error::Several(shown.to_owned(), documents.len() + 1)]);
    };
    let findings = findings.into_vec();
    if !findings.is_empty() {
        return Err(inside(findings));
    }
    canonical(&mut value);
    let Value::Object(mut fields) = value else {
        return Err(vec![Error::NoMapping(shown.to_owned(), kind_of(&value))]);
    };
    let trees = fields.remove(TREES);
    if !fields.is_empty() {
        return Err(vec![Error::Unknown(shown.to_owned(), listed(fields.keys().map(|key| quoted(key))))]);
    }
    match trees {
        Some(Value::Object(trees)) => Ok(trees),
        other => Err(vec![Error::NoMapping(shown.to_owned(), kind_of(&other.unwrap_or_default()))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(fields: &Value) -> BotRunSpec {
        let mut spec = json!({"sources": [{"name": "a", "configMap": {"name": "m"}}, {"name": "b", "secret": {"name": "s"}}]});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn file(source: usize, name: &str, text: &str) -> SourceFile {
        SourceFile { source, name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn trees_of_all_files_are_one_set() {
        let mut merged = spec(&json!({"trees": {"Own": "done"}}));
        let files = [
            file(0, "x.yaml", "trees:\n  X: {wait: 1}\n  Own2: done\n"),
            file(0, "y.json", r#"{"trees": {"Y": {"subtree": "X"}}}"#),
            file(1, "z.yml", "trees: {Z: {wat: 1}}"),
        ];
        let path = Path::top().field("spec");
        let origins = merge(&mut merged, &path, &files).unwrap();
        assert_eq!(merged.trees.keys().collect::<Vec<_>>(), ["Own", "Own2", "X", "Y", "Z"]);
        assert!(merged.sources.is_empty());
        let mut findings = vec![
            Finding::new(&path.field("trees").field("Z").field("wat"), &"unknown"),
            Finding::new(&path.field("trees").field("Own"), &"unknown"),
        ];
        origins.name_files(&mut findings, &path);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["spec.trees.Z.wat: unknown (in b/z.yml)", "spec.trees.Own: unknown"]);
    }

    #[test]
    fn every_mistake_is_told_with_its_file() {
        let mut merged = spec(&json!({"trees": {"X": "done"}}));
        let files = [
            file(0, "x.yaml", "trees: {X: done, W: done}"),
            file(0, "y.yaml", "trees: {W: done}"),
            file(0, "no.yaml", "trees: [1]"),
            file(0, "more.yaml", "trees: {M: done}\nbots: 3\n"),
            file(0, "two.yaml", "trees: {A: done}\n---\ntrees: {B: done}\n"),
            file(0, "bad.yaml", "trees: {"),
            file(0, "norway.yaml", "trees: {V: {wait: no}}"),
        ];
        let findings = merge(&mut merged, &Path::top().field("spec"), &files).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        for part in [
            "spec.sources[0]: a/x.yaml: the tree \"X\" is there already, in spec.trees",
            "spec.sources[0]: a/y.yaml: the tree \"W\" is there already, in a/x.yaml",
            "spec.sources[0]: a/no.yaml: expected a mapping with the field trees, found a list",
            "spec.sources[0]: a/more.yaml: unknown field \"bots\", expected trees",
            "spec.sources[0]: a/two.yaml: the file has 2 documents",
            "spec.sources[0]: a/bad.yaml: ",
            "spec.sources[0]: a/norway.yaml: trees.V.wait: ",
            "spec.sources[1]: no file in it is called",
        ] {
            assert!(told.iter().any(|t| t.starts_with(part)), "{part} is not in {told:#?}");
        }
        assert_eq!(told.len(), 8, "{told:#?}");
    }

    #[test]
    fn only_files_with_trees_are_read() {
        for (name, read) in [
            ("a.yaml", true),
            ("a.YML", true),
            ("a.json", true),
            ("a.txt", false),
            ("..data", false),
            (".hidden.yaml", false),
            ("yaml", false),
        ] {
            assert_eq!(is_read(name), read, "{name}");
        }
    }

    #[test]
    fn a_source_has_one_kind_and_a_name_of_its_own() {
        let of = |sources: Value| {
            let sources: Vec<SourceSpec> = serde_json::from_value(sources).unwrap();
            check(&sources, &Path::top()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let map = json!({"name": "m"});
        assert_eq!(of(json!([{"name": "a", "configMap": map, "path": "x/y.yaml"}])), Vec::<String>::new());
        for (sources, part) in [
            (json!([{"name": "a"}]), "sources[0]: a source is a configMap,"),
            (json!([{"name": "a", "configMap": map, "secret": map}]), "sources[0]: a source is a configMap,"),
            (
                json!([{"name": "a", "secret": map}, {"name": "a", "secret": map}]),
                "sources[1].name: the name \"a\"",
            ),
            (json!([{"name": "a", "secret": map, "path": "/etc"}]), "sources[0].path: \"/etc\" leads out"),
            (
                json!([{"name": "a", "secret": map, "path": "a/../../b"}]),
                "sources[0].path: \"a/../../b\" leads out",
            ),
        ] {
            let told = of(sources);
            assert!(told.len() == 1 && told[0].starts_with(part), "{told:?}");
        }
    }
}

//! From a file's name to something that can be run, or a list of what is wrong.

use super::output::one_line;
use crate::data::{self, Place};
use crate::sources;
use botarmy_console::text;
use botarmy_spec::file::{self, File, Reading};
use botarmy_spec::{BotRunSpec, Overrides, Run, Secrets, env};
use botarmy_tree::editor::{Options, Project};
use botarmy_tree::{Actions, Finding, Findings, Path, Plan, yaml};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};

/// What is wrong with a file, one line for each mistake: `FILE: PATH: message`.
#[derive(Debug)]
pub(super) struct Refusal {
    file: String,
    findings: Vec<Finding>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{}: {finding}", self.file))
    }
}

/// A file that was read, with the name it goes by in messages.
pub(super) struct Input {
    shown: String,
    /// The folder that it lies in.
    folder: PathBuf,
    /// What the run is called when the file gives no name.
    stem: String,
    file: File,
    /// What is wrong with its shape.
    findings: Findings,
}

impl Input {
    /// Reads a file; all mistakes of its shape are told.
    pub(super) fn read(path: &FilePath) -> Result<Self, Refusal> {
        let shown = one_line(&path.display().to_string());
        let text = text::read(path, yaml::MAX_BYTES)
            .map_err(|e| Refusal { file: shown.clone(), findings: vec![Finding::new(&Path::top(), &e)] })?;
        let Reading { file, findings } =
            file::read(&text).map_err(|findings| Refusal { file: shown.clone(), findings })?;
        let stem = path.file_stem().map_or_else(|| "run".into(), |s| s.to_string_lossy().into_owned());
        let folder = path.parent().map(FilePath::to_path_buf).unwrap_or_default();
        Ok(Self { shown, folder, stem, file, findings })
    }

    /// What came of the meaning, unless something is wrong with it or with the shape; all of it is
    /// told.
    fn judge<T>(
        shown: String,
        mut findings: Findings,
        meaning: Result<T, Vec<Finding>>,
    ) -> Result<T, Refusal> {
        let meaning = meaning.map_err(|more| findings.later(more)).ok();
        let refusal = |findings: Findings| Refusal { file: shown, findings: findings.into_vec() };
        match meaning {
            Some(meaning) if findings.is_empty() => Ok(meaning),
            _ => Err(refusal(findings)),
        }
    }

    /// Checks all of it: a run with its trees, or every tree of a project that one would start with.
    pub(super) fn check(self, actions: &Actions, given: &Places) -> Result<(), Refusal> {
        let meaning = match &self.file {
            File::Run { name, spec, path } => {
                let name = name.as_deref().unwrap_or(&self.stem);
                // Sources that are not here are checked where they are.
                let run = if spec.sources.iter().any(|source| given.contains_key(&source.name)) {
                    with_sources(&mut spec.clone(), name, path, given, actions)
                } else {
                    Run::check(spec, name, path, actions)
                };
                // Rows of a ConfigMap are looked at where they are.
                run.and_then(|mut run| data::load(&mut run, path, Place::Check(&self.folder)))
            }
            File::Project(project) => check_project(project, actions),
        };
        Self::judge(self.shown, self.findings, meaning)
    }

    /// Compiles one tree for a trace.
    pub(super) fn plan(self, tree: Option<String>, options: &Options) -> Result<Plan, Refusal> {
        let actions = Actions::built_in().opaque();
        let plan = match self.file {
            File::Run { mut spec, path, .. } => {
                Overrides { tree, ..Overrides::default() }.apply(&mut spec);
                botarmy_spec::plan(&spec, &path, &actions)
            }
            File::Project(project) => plan_of_project(&project, tree.as_deref(), options, &actions),
        };
        Self::judge(self.shown, self.findings, plan)
    }

    /// Whether it is a project of the editor.
    pub(super) fn is_project(&self) -> bool {
        matches!(self.file, File::Project(_))
    }

    /// The place where it says that the run is to end, if it does.
    pub(super) fn stopped(&self) -> Option<String> {
        match &self.file {
            File::Run { spec, path, .. } if spec.stop => {
                Some(format!("{}: {}", self.shown, path.field("stop")))
            }
            File::Run { .. } | File::Project(_) => None,
        }
    }

    /// What it says that has a meaning on a cluster only, and what there is in its place here.
    pub(super) fn of_clusters(&self) -> Option<String> {
        match &self.file {
            File::Run { spec, path, .. } if !spec.operation.export.is_empty() => Some(format!(
                "{}: {}: only a cluster takes the result there; here it is kept by --out FILE",
                self.shown,
                path.field("export")
            )),
            File::Run { .. } | File::Project(_) => None,
        }
    }

    /// Makes a run of it, with what the command line says in its place.
    pub(super) fn run(self, overrides: Overrides, given: &Places) -> Result<Run, Refusal> {
        let Self { shown, folder, stem, file, findings } = self;
        let actions = Actions::built_in();
        let mut place = Path::top();
        let run = match file {
            File::Run { name, mut spec, path } => {
                overrides.apply(&mut spec);
                place = path;
                let name = name.unwrap_or(stem);
                values_from_here(&mut spec, &place).and_then(|secrets| {
                    let mut run = with_sources(&mut spec, &name, &place, given, &actions)?;
                    run.secrets = secrets;
                    data::load(&mut run, &place, Place::Here(&folder)).map(|()| run)
                })
            }
            File::Project(project) => {
                let plan =
                    plan_of_project(&project, overrides.tree.as_deref(), &Options::default(), &actions);
                let mut spec = BotRunSpec::default();
                overrides.apply(&mut spec);
                Run::with_plan(&spec, &stem, &Path::top(), plan)
            }
        };
        // A file may leave the target to the command line; a run may not.
        let run = run.and_then(|run| run.complete(&place));
        Self::judge(shown, findings, run)
    }
}

/// Where the sources of trees are, by their names.
pub(super) type Places = BTreeMap<String, PathBuf>;

/// Reads `NAME=PATH`.
pub(super) fn source(text: &str) -> Result<(String, PathBuf), String> {
    let parts = text.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let (name, path) = parts.ok_or("write NAME=PATH, with the name that the run's file gives the source")?;
    Ok((name.to_owned(), path.into()))
}

/// Checks a spec with the trees of its sources; what is wrong with these is told with their files.
fn with_sources(
    spec: &mut BotRunSpec,
    name: &str,
    place: &Path,
    given: &Places,
    actions: &Actions,
) -> Result<Run, Vec<Finding>> {
    let (origins, _) = sources::load(spec, place, sources::Place::Here(given))?;
    Run::check(spec, name, place, actions).map_err(|mut findings| {
        origins.name_files(&mut findings, place);
        findings
    })
}

/// Values that a cluster would put into the pods are those of environment variables here.
fn values_from_here(spec: &mut BotRunSpec, path: &Path) -> Result<Secrets, Vec<Finding>> {
    let secrets = env::resolve(spec, path, |wanted| std::env::var(&wanted.variable.name).ok())?;
    super::hide(&secrets);
    Ok(secrets)
}

fn check_project(project: &Project, actions: &Actions) -> Result<(), Vec<Finding>> {
    let mut findings: Vec<Finding> = Vec::new();
    for title in project.top_titles() {
        let plan = project.tree(title, &Options::default(), actions).and_then(|node| Plan::compile(&node));
        for finding in plan.err().unwrap_or_default() {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn plan_of_project(
    project: &Project,
    tree: Option<&str>,
    options: &Options,
    actions: &Actions,
) -> Result<Plan, Vec<Finding>> {
    let title = project.entry(tree).map_err(|f| vec![f])?;
    project.tree(title, options, actions).and_then(|node| Plan::compile(&node))
}

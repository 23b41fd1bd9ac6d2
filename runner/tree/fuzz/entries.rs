//! What the fuzz targets do with their input; `cargo test` does the same with the corpus and with what
//! becomes of it (`tests/hostile.rs`). A panic, a hang or a heap of memory is a finding.

#![allow(dead_code, reason = "each target has one of these")]
#![allow(clippy::expect_used, clippy::panic, reason = "a finding is a panic")]

use botarmy_tree::editor::{self, Options, Project};
use botarmy_tree::template::{Context, RunScope};
use botarmy_tree::{
    Actions, Effect, Input, LeafId, Path, Plan, Scope, Template, TimerId, Verdict, Walk, canonical, duration,
    json, literal, notation, trace, yaml,
};
use serde_json::json;

/// Steps of each walk.
const STEPS: usize = 200;
/// Trees of one input that are walked.
const WALKED: usize = 4;

/// YAML → values → trees → plans → walks.
pub(crate) fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(documents) = yaml::read(text) else { return };
    for document in documents {
        let mut again = document.value.clone();
        canonical::canonical(&mut again);
        assert_eq!(again, document.value, "what is read is in canonical form");
        let spec = document.value.get("spec").unwrap_or(&document.value);
        let trees = spec.get("trees").unwrap_or(&document.value);
        let actions = Actions::built_in().allow_unknown();
        let Ok(trees) = notation::read(trees, &Path::top(), &actions) else { continue };
        for entry in trees.keys().take(WALKED) {
            if let Ok(plan) = Plan::compile_entry(&trees, entry) {
                walk(&plan.with_seed(7).fold(&run()), data);
            }
        }
    }
}

/// JSON → a project → trees → plans → walks.
pub(crate) fn editor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(value) = json::read(text) else { return };
    let _ = editor::is_project(&value);
    let Ok(project) = Project::read(&value) else { return };
    let options = Options { module_base: Some("My.Base".into()), ..Options::default() };
    let actions = Actions::built_in().opaque();
    for title in project.top_titles().into_iter().take(WALKED) {
        for options in [&options, &Options::default()] {
            let tree = project.tree(title, options, &actions);
            if let Ok(plan) = tree.and_then(|node| Plan::compile(&node)) {
                walk(&plan, data);
            }
        }
    }
}

/// Texts that have a grammar of their own.
pub(crate) fn literal(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(term) = literal::parse(text) {
        let _ = (term.pairs(), term.to_json());
        // What is written again may have become too long, but no other value.
        if let Ok(again) = literal::parse(&term.to_source()) {
            assert_eq!(again, term, "written as {}", term.to_source());
        }
    }
    let _ = literal::parse_args(text);
    if let Ok(time) = duration::parse(text) {
        assert!(time <= duration::MAX, "{text}: {time:?}");
    }
    let _ = trace::outcomes(text);
    let request = json!({"get": "http://x", "expect": {"status": text}, "save": {"a": text}});
    let trees = json!({text: "done", "T": {"http": request, "label": text}});
    let _ = notation::read(&trees, &Path::top(), &Actions::built_in());
}

/// Templates: what is folded means the same as what is not.
pub(crate) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let run = run();
    let context = context();
    let scope = Scope::new(&run, 3, &context);
    for template in [Template::text(text), Template::expression(text)].into_iter().flatten() {
        let rendered = template.render(scope);
        let folded = template.clone().fold(&run).render(scope);
        assert_eq!(rendered.as_ref().ok(), folded.as_ref().ok(), "folding changes nothing");
        let mut shown = String::new();
        assert_eq!(template.render_text(scope, &mut shown).is_ok(), rendered.is_ok());
    }
}

fn run() -> RunScope {
    RunScope {
        run: "checkout".into(),
        target: Some("http://shop:8080".into()),
        env: [("REGION".to_owned(), "eu".to_owned())].into(),
        custom: json!({"n": 2, "list": [1, "b"], "map": {"k": null}})
            .as_object()
            .cloned()
            .unwrap_or_default(),
    }
}

fn context() -> Context {
    let values = json!({"id": 7, "name": "ann", "price": 1.5, "cart": {"items": ["a", {"b c": true}]}, "list": [3, 1, 2]});
    values.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// What goes on in a walk; each of it once.
#[derive(Default)]
struct Going {
    leaves: Vec<LeafId>,
    timers: Vec<TimerId>,
    ended: bool,
}

impl Going {
    fn take(&mut self, effect: Effect) {
        let Self { leaves, timers, ended } = self;
        assert!(!*ended, "nothing follows the end");
        match effect {
            Effect::Enter(leaf) => {
                assert!(!leaves.contains(&leaf), "a leaf runs once at a time");
                leaves.push(leaf);
            }
            Effect::Cancel(leaf) | Effect::CutOff(leaf) => remove(leaves, leaf),
            Effect::Arm(timer) => {
                assert!(!timers.contains(&timer), "a timer runs once at a time");
                timers.push(timer);
            }
            Effect::Disarm(timer) => remove(timers, timer),
            Effect::Bind(_) => {}
            Effect::Ended(_) => {
                assert!(leaves.is_empty() && timers.is_empty(), "nothing runs after the end");
                *ended = true;
            }
        }
    }
}

fn remove<T: Copy + PartialEq>(going: &mut Vec<T>, one: T) {
    let place = going.iter().position(|g| *g == one);
    going.swap_remove(place.expect("only what runs is given up"));
}

/// Walks a plan; the bytes of the input say what comes next and how it comes out.
fn walk(plan: &Plan, data: &[u8]) {
    let mut walk = Walk::new(plan, 1);
    let mut going = Going::default();
    let mut input = Input::Start;
    for (step, byte) in data.iter().cycle().take(STEPS).enumerate() {
        plan.step(&mut walk, input, &mut |effect| going.take(effect)).expect("what runs is not stale");
        let byte = usize::from(*byte) ^ step;
        let verdict = if byte % 3 == 0 { Verdict::Fail } else { Verdict::Succeed };
        let Going { leaves, timers, ended } = &mut going;
        input = match byte % 16 {
            _ if std::mem::take(ended) => Input::Start,
            // A new pass in the middle of one.
            15 => Input::Start,
            12..15 if !timers.is_empty() => Input::Timer(timers.swap_remove(byte % timers.len())),
            _ if !leaves.is_empty() => {
                let leaf = leaves.swap_remove(byte % leaves.len());
                let _ = plan.draw(&mut walk, leaf);
                Input::Leaf(leaf, verdict)
            }
            _ => Input::Timer(timers.pop().expect("something runs")),
        };
    }
}

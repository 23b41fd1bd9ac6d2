//! What documents show of kubectl fits the definitions: kinds, fields that are patched or asked for, conditions, options.

use super::{links, said};
use serde_json::{Value, json};

/// What is done with kubectl, with the options that are shown with it.
const VERBS: [(&str, &[&str]); 11] = [
    ("annotate", &["--overwrite"]),
    ("apply", &["-f", "--server-side", "--field-manager"]),
    ("create", &[]),
    ("delete", &[]),
    ("describe", &[]),
    ("get", &["-o", "-w", "-A", "-l"]),
    ("label", &[]),
    ("logs", &[]),
    ("patch", &["--type", "-p"]),
    ("scale", &["--replicas"]),
    ("wait", &["--for", "--timeout"]),
];

/// The commands of a document: lines of their own, and what stands between backquotes in a paragraph.
fn commands(text: &str) -> Vec<String> {
    let own = text.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| line.trim().to_owned());
    // A remark stands behind two blanks.
    let own = own.map(|line| line.split("  ").next().unwrap_or_default().to_owned());
    let quoted = text.split("\n\n").flat_map(|part| part.split('`').skip(1).step_by(2));
    let all = own.chain(quoted.map(|command| command.replace('\n', " ")));
    all.filter(|command| command.starts_with("kubectl ") && !command.starts_with("kubectl botarmy")).collect()
}

/// The words of a command up to a pipe, as a shell takes them apart.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in command.chars() {
        match (c, quote) {
            ('|', None) => break,
            (' ', None) => words.push(String::new()),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// All names by which kubectl knows our kinds.
fn kinds(definitions: &[Value]) -> Vec<&str> {
    let names = definitions.iter().map(|definition| &definition["spec"]["names"]);
    let short = |names: &'static str| move |of: &&Value| of.get(names).is_some();
    let each = names.clone().flat_map(|names| [&names["plural"], &names["singular"]]);
    let shorts = names
        .filter(short("shortNames"))
        .flat_map(|names| names["shortNames"].as_array().into_iter().flatten());
    each.chain(shorts).filter_map(Value::as_str).collect()
}

/// Why a command does not do what it is shown for.
fn wrong(command: &str, definitions: &[Value]) -> Option<String> {
    let words = words(command);
    let mut rest = words.iter().skip(1).map(String::as_str).peekable();
    if rest.next_if_eq(&"-n").is_some() {
        rest.next();
    }
    let verb = rest.next()?;
    let Some((_, options)) = VERBS.iter().find(|(known, _)| *known == verb) else {
        return Some(format!("no test knows kubectl {verb}"));
    };
    let rest: Vec<&str> = rest.collect();
    for word in &rest {
        let option = word.split('=').next().unwrap_or_default();
        if option.len() > 1 && option.starts_with('-') && !options.contains(&option) {
            return Some(format!("kubectl {verb} has no {option}, or no test knows it"));
        }
        let kind = word.split('/').next().unwrap_or_default();
        if (kind.starts_with("botrun") || kind == "br" || kind == "brs")
            && !kinds(definitions).contains(&kind)
        {
            // A file, or a name of one's own behind its kind.
            let is_name = word.contains('.') || rest.first() != Some(word);
            if !is_name {
                return Some(format!("there is no kind {kind}"));
            }
        }
        if let Some(path) = word.strip_prefix("jsonpath={.").and_then(|path| path.strip_suffix('}'))
            && !has_field(&definitions[0], path)
        {
            return Some(format!("a run has no {path}"));
        }
        if let Some(condition) = word.strip_prefix("--for=condition=")
            && !links::page("reasons.md").contains(&format!("| `{condition}` |"))
        {
            return Some(format!("no condition is called {condition}"));
        }
    }
    let patch = rest.iter().skip_while(|word| **word != "-p").nth(1)?;
    patched(patch)
}

/// Whether the definition knows a field by its path.
fn has_field(definition: &Value, path: &str) -> bool {
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    path.split('.').try_fold(schema, |at, field| at["properties"].get(field)).is_some()
}

/// Why a run that is patched so is not right.
fn patched(patch: &str) -> Option<String> {
    let Ok(patch) = serde_json::from_str::<Value>(patch) else { return Some(format!("{patch} is not JSON")) };
    let mut run = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "r"},
        "spec": {"trees": {"T": "done"}}});
    if patch.get("spec").is_none_or(|_| patch.as_object().is_none_or(|parts| parts.len() > 1)) {
        return Some("what is patched is a spec".to_owned());
    }
    let fields = patch["spec"].as_object().cloned().unwrap_or_default();
    run["spec"].as_object_mut().expect("a spec").extend(fields);
    let wrong = said(&run.to_string());
    (!wrong.is_empty()).then_some(wrong)
}

fn definitions() -> Vec<Value> {
    let definitions = botarmy_crds::definitions().expect("definitions");
    definitions
        .iter()
        .map(|one| serde_yaml::from_str(&one.to_yaml().expect("YAML")).expect("a definition"))
        .collect()
}

#[test]
fn commands_of_kubectl_fit_the_definitions() {
    let definitions = definitions();
    let mut checked = 0;
    for file in links::documents() {
        let text = std::fs::read_to_string(&file).expect("text");
        for command in commands(&text) {
            checked += 1;
            let wrong = wrong(&command, &definitions);
            assert_eq!(wrong, None, "{}: {command}", file.display());
        }
    }
    assert!(checked > 25, "{checked}");
}

#[test]
fn what_does_not_fit_is_seen() {
    let definitions = definitions();
    for (command, said) in [
        ("kubectl frobnicate botrun/x", "no test knows kubectl frobnicate"),
        ("kubectl wait --for=condition=Done botrun/x", "no condition is called Done"),
        ("kubectl scale botrun/x --replica=5", "kubectl scale has no --replica,"),
        ("kubectl get botrunners", "there is no kind botrunners"),
        ("kubectl get botrun x -o jsonpath='{.status.outcom}'", "a run has no status.outcom"),
        (
            "kubectl patch botrun/x --type=merge -p '{\"spec\":{\"arrivalrate\":\"200/s\"}}'",
            "run.yaml: spec: unknown field",
        ),
        ("kubectl patch botrun/x --type=merge -p '{spec: 1}'", "{spec: 1} is not JSON"),
    ] {
        let wrong = wrong(command, &definitions).unwrap_or_default();
        assert!(wrong.starts_with(said), "{command}: {wrong}");
    }
}

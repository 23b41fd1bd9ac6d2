//! Takes a tree out of a project: follows its nodes, writes subtrees out, resolves titles.

use super::property::{self, Properties};
use super::{Error, MAX_DEPTH, MAX_NODES, NodeText, Options, Project, Tree, title};
use crate::action::{self, Actions, Templates};
use crate::ast::{Kind, Leaf, Node};
use crate::fields::Findings;
use crate::finding::{Finding, Path, quoted};
use crate::literal::{self, Term};
use crate::notation::{MAX_TIMES, MAX_WEIGHT};
use serde_json::Value;

/// Where the original keeps its own actions.
const BUILT_IN_MODULE: &str = "BotArmy.Actions.";

pub(super) fn tree(
    project: &Project,
    tree: &Tree,
    options: &Options,
    actions: &Actions,
) -> Result<Node, Vec<Finding>> {
    let mut properties: Properties =
        tree.properties.iter().map(|(k, v)| (k.clone(), Term::from_json(v))).collect();
    properties.extend(options.context.iter().cloned());
    let mut expansion = Expansion {
        project,
        options,
        actions,
        findings: Findings::default(),
        trees: vec![],
        nodes: 0,
        depth: 0,
    };
    let node = expansion.tree(tree, &tree.path.field("root"), &properties);
    let findings = expansion.findings.into_vec();
    match node {
        Some(node) if findings.is_empty() => Ok(node),
        _ => Err(findings),
    }
}

struct Expansion<'p> {
    project: &'p Project,
    options: &'p Options,
    actions: &'p Actions,
    findings: Findings,
    /// The trees that are being written out, outermost first, with the nodes on the way down.
    trees: Vec<(&'p Tree, Vec<&'p str>)>,
    nodes: usize,
    depth: usize,
}

impl<'p> Expansion<'p> {
    fn tree(&mut self, tree: &'p Tree, caller: &Path, properties: &Properties) -> Option<Node> {
        if self.trees.iter().any(|(open, _)| std::ptr::eq(*open, tree)) {
            let circle = self.trees.iter().map(|(t, _)| t.title.as_str()).chain([tree.title.as_str()]);
            let circle = circle.skip_while(|t| *t != tree.title).map(quoted).collect::<Vec<_>>().join(" → ");
            self.findings.note(caller, &Error::TreeCircle(circle));
            return None;
        }
        let root = self.findings.ok(&tree.path.field("root"), tree.root.as_deref().ok_or(Error::NoRoot))?;
        self.trees.push((tree, Vec::new()));
        let node = self.node(tree, root, &tree.path.field("root"), properties);
        self.trees.pop();
        node
    }

    /// The node of an id that is named at the place `caller`.
    fn node(&mut self, tree: &'p Tree, id: &'p str, caller: &Path, properties: &Properties) -> Option<Node> {
        let text =
            self.findings.ok(caller, tree.nodes.get(id).ok_or_else(|| Error::NoSuchNode(quoted(id))))?;
        self.nodes += 1;
        if self.nodes > MAX_NODES || self.depth >= MAX_DEPTH {
            let error = if self.nodes > MAX_NODES { Error::TooManyNodes } else { Error::TooDeep };
            // Once is enough: a tree that is too large is so everywhere.
            if self.nodes <= MAX_NODES + 1 {
                self.findings.note(caller, &error);
                self.nodes = MAX_NODES + 1;
            }
            return None;
        }
        let (_, open) = self.trees.last_mut()?;
        if open.contains(&id) {
            let circle = open
                .iter()
                .skip_while(|o| **o != id)
                .chain([&id])
                .map(|o| quoted(o))
                .collect::<Vec<_>>()
                .join(" → ");
            self.findings.note(caller, &Error::NodeCircle(circle));
            return None;
        }
        open.push(id);
        self.depth += 1;
        let place = tree.path.field("nodes").key(id);
        let kind = self.kind(tree, text, &place, properties);
        self.depth -= 1;
        if let Some((_, open)) = self.trees.last_mut() {
            open.pop();
        }
        Some(Node { path: place, label: None, kind: kind? })
    }

    fn kind(
        &mut self,
        tree: &'p Tree,
        text: &'p NodeText,
        place: &Path,
        properties: &Properties,
    ) -> Option<Kind> {
        let child = |me: &mut Self| {
            let id = me.findings.ok(place, text.child.as_deref().ok_or(Error::NoChild))?;
            me.node(tree, id, &place.field("child"), properties).map(Box::new)
        };
        Some(match text.name.as_str() {
            "sequence" => Kind::Sequence(self.children(tree, text, place, properties)?),
            "select" => Kind::Select(self.children(tree, text, place, properties)?),
            "random" => Kind::Random(self.children(tree, text, place, properties)?),
            "random_weighted" => {
                let weights = self.weights(tree, text, place, properties);
                let children = self.children(tree, text, place, properties)?;
                Kind::RandomWeighted(weights?.into_iter().zip(children).collect())
            }
            "repeat_n" => {
                let times = self.times(text, place, properties);
                let child = child(self);
                Kind::RepeatN(times?, child?)
            }
            "repeat_until_succeed" => Kind::RepeatUntilSucceed(child(self)?),
            "repeat_until_fail" => Kind::RepeatUntilFail(child(self)?),
            "negate" => Kind::Negate(child(self)?),
            "always_succeed" => Kind::AlwaysSucceed(child(self)?),
            "always_fail" => Kind::AlwaysFail(child(self)?),
            built_in @ ("wait" | "error" | "log" | "succeed_rate" | "done") => {
                self.built_in(built_in, &text.title, place, properties)?
            }
            name => match self.project.by_id(name) {
                Some(target) => return self.subtree(target, text, place, properties),
                None => self.own_action(text, place, properties)?,
            },
        })
    }

    fn children(
        &mut self,
        tree: &'p Tree,
        text: &'p NodeText,
        place: &Path,
        properties: &Properties,
    ) -> Option<Vec<Node>> {
        if text.children.is_empty() {
            self.findings.note(place, &Error::NoChildren);
        }
        let place = place.field("children");
        let children: Vec<Option<Node>> = text
            .children
            .iter()
            .enumerate()
            .map(|(i, id)| self.node(tree, id, &place.index(i), properties))
            .collect();
        children.into_iter().collect::<Option<Vec<_>>>().filter(|c| !c.is_empty())
    }

    /// All properties of a node, each of which must be a literal.
    fn evaluated(&mut self, text: &NodeText, place: &Path, properties: &Properties) -> Option<Properties> {
        let place = place.field("properties");
        let evaluated: Vec<Option<(String, Term)>> = text
            .properties
            .iter()
            .map(|(key, value)| {
                let term = self.findings.ok(&place.field(key), property::evaluate(value, properties))?;
                Some((key.clone(), term))
            })
            .collect();
        evaluated.into_iter().collect()
    }

    fn times(&mut self, text: &NodeText, place: &Path, properties: &Properties) -> Option<u32> {
        let evaluated = self.evaluated(text, place, properties)?;
        let given = evaluated.get("n");
        let times = given.and_then(property::whole_number).and_then(|n| u32::try_from(n).ok());
        let times = times.filter(|n| (2..=MAX_TIMES).contains(n)).ok_or_else(|| Error::Times(shown(given)));
        self.findings.ok(&place.field("properties").field("n"), times)
    }

    fn weights(
        &mut self,
        tree: &'p Tree,
        text: &'p NodeText,
        place: &Path,
        properties: &Properties,
    ) -> Option<Vec<u32>> {
        let weights: Vec<Option<u32>> = text
            .children
            .iter()
            .map(|id| {
                // A child that does not exist is told where the children are followed.
                let Some(child) = tree.nodes.get(id) else {
                    return Some(1);
                };
                let child_place = place_of(tree, id);
                let evaluated = self.evaluated(child, &child_place, properties)?;
                let given = evaluated.get("weight");
                let weight = given.and_then(property::whole_number).and_then(|n| u32::try_from(n).ok());
                let weight = weight
                    .filter(|n| (1..=MAX_WEIGHT).contains(n))
                    .ok_or_else(|| Error::Weight(shown(given)));
                self.findings.ok(&child_place.field("properties").field("weight"), weight)
            })
            .collect();
        if text.children.is_empty() {
            self.findings.note(place, &Error::NoChildren);
            return None;
        }
        weights.into_iter().collect()
    }

    /// Nothing but the evaluated properties of the node is handed down to the other tree.
    fn subtree(
        &mut self,
        target: &'p Tree,
        text: &'p NodeText,
        place: &Path,
        properties: &Properties,
    ) -> Option<Kind> {
        let handed = self.evaluated(text, place, properties)?;
        let mut inner: Properties =
            target.properties.iter().map(|(k, v)| (k.clone(), Term::from_json(v))).collect();
        inner.extend(handed);
        self.tree(target, place, &inner).map(|node| node.kind)
    }

    fn args(&mut self, source: &str, place: &Path, properties: &Properties) -> Option<Vec<Value>> {
        let resolved = self.findings.ok(place, property::resolve(source, properties))?;
        let terms = self.findings.ok(place, literal::parse_args(&resolved).map_err(Error::Args))?;
        Some(terms.iter().map(Term::to_json).collect())
    }

    fn built_in(&mut self, name: &str, call: &str, place: &Path, properties: &Properties) -> Option<Kind> {
        let place = place.field("title");
        let args = match name {
            "done" => Vec::new(),
            _ => {
                let source = self.findings.ok(&place, title::built_in_args(call))?;
                self.args(source, &place, properties)?
            }
        };
        self.call(name, name, &args, &Actions::built_in(), &place)
    }

    fn own_action(&mut self, text: &NodeText, place: &Path, properties: &Properties) -> Option<Kind> {
        if let Some(kind) =
            self.project.custom.get(&text.name).filter(|c| matches!(c.as_str(), "composite" | "decorator"))
        {
            self.findings.note(&place.field("name"), &Error::CustomKind(quoted(&text.name), kind.clone()));
            return None;
        }
        let place = place.field("title");
        let call = self.findings.ok(&place, title::call(&text.title))?;
        let function =
            self.findings.ok(&place, title::function(call.call, self.options.module_base.as_deref()));
        let args = self.args(call.args, &place, properties);
        let (function, args) = function.zip(args)?;
        match function.strip_prefix(BUILT_IN_MODULE) {
            Some(built_in) => self.call(&function, built_in, &args, &Actions::built_in(), &place),
            None => self.call(&function, &function, &args, self.actions, &place),
        }
    }

    fn call(
        &mut self,
        shown: &str,
        name: &str,
        args: &[Value],
        actions: &Actions,
        place: &Path,
    ) -> Option<Kind> {
        if name == "wait" {
            self.findings.ok(place, check_wait(args))?;
        }
        let call = self.findings.ok(place, actions.call(name, args, Templates::Plain))?;
        Some(Kind::Leaf(Leaf { name: action::row_name(shown, args), base: shown.to_owned(), call }))
    }
}

fn place_of(tree: &Tree, id: &str) -> Path {
    tree.path.field("nodes").key(id)
}

/// The editor's `wait` takes numbers only, and not none.
fn check_wait(args: &[Value]) -> Result<(), Error> {
    let fits = match args {
        [one] => one.as_f64().is_some_and(|s| s >= 0.0),
        [low, high] => low.is_u64() && high.is_u64(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(Error::Wait(action::row_name("wait", args))) }
}

fn shown(term: Option<&Term>) -> String {
    term.map_or_else(|| "none".to_owned(), Term::to_source)
}

//! Projects of the visual behavior tree editor, saved or exported.
//!
//! A project holds several trees; a node may stand for another tree and hand properties to it.
//! Titles of actions are calls whose arguments are literals ([`crate::literal`]); `{{key}}` in
//! them is a property of the tree. All of that is resolved when a tree is taken out of the
//! project, so that braces are never rendered again.

mod expand;
mod property;
mod title;

use crate::action::Actions;
use crate::ast::Node;
use crate::fields::Findings;
use crate::finding::{Finding, Path, listed, quoted};
use crate::literal::{self, Term};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Most trees of a project.
pub const MAX_TREES: usize = 1_000;
/// Most nodes of a tree, subtrees written out.
pub const MAX_NODES: usize = 100_000;
/// Deepest nesting, subtrees written out.
pub const MAX_DEPTH: usize = 200;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a project has a list of trees; this looks like a single tree, export the project instead")]
    NoTrees,
    #[error("there is no tree named {0}; the project has {1}")]
    NoSuchTree(String, String),
    #[error("the project has several trees and none is called root; name one of {0}")]
    WhichTree(String),
    #[error("the tree has no root node; connect its first node to the root in the editor")]
    NoRoot,
    #[error("there is no node {0} in this tree; connect the node again in the editor")]
    NoSuchNode(String),
    #[error("the node is its own ancestor ({0}); a tree has no circles")]
    NodeCircle(String),
    #[error("the trees call one another in a circle ({0}); a tree cannot contain itself")]
    TreeCircle(String),
    #[error("the node has no children; connect at least one in the editor")]
    NoChildren,
    #[error("the node has no child; connect one in the editor")]
    NoChild,
    #[error("{0} is a custom {1}; only custom actions can be run, so use the built-in nodes instead")]
    CustomKind(String, String),
    #[error("{0} is not a call; write Module.function(arguments), with a space before any remark after it")]
    Title(String),
    #[error("{0} is not a call; write the name with its arguments in parentheses")]
    BuiltInTitle(String),
    #[error(
        "{0} is not a function of a module; write Module.function with a capital at the module and none at the function"
    )]
    Function(String),
    #[error("{0} cannot stand before a module; write a module such as My.Actions, without a dot at its end")]
    ModuleBase(String),
    #[error("the argument {0}")]
    Args(#[from] literal::Error),
    #[error("there is no property {0} in this tree; it has {1}")]
    NoProperty(String, String),
    #[error("a property is a number, true, false or text; write a list or a map as text, such as \"[1, 2]\"")]
    PropertyKind,
    #[error(
        "the property {0} is an object, which cannot stand in the place of a template; write it where it is used"
    )]
    Object(String),
    #[error("{0} {1}; text needs quotes of its own: \"\\\"text\\\"\"")]
    PropertyText(String, literal::Error),
    #[error("n must be a whole number from 2 to {most}, found {0}", most = crate::notation::MAX_TIMES)]
    Times(String),
    #[error("a child of random_weighted needs a property weight: a whole number from 1 to {most}, found {0}", most = crate::notation::MAX_WEIGHT)]
    Weight(String),
    #[error("wait needs one number that is not negative, or two such whole numbers, found {0}")]
    Wait(String),
    #[error("{0}")]
    Action(#[from] crate::action::Error),
    #[error("more than {MAX_NODES} nodes with subtrees written out; make the tree smaller")]
    TooManyNodes,
    #[error("nested deeper than {MAX_DEPTH} levels with subtrees written out; make the tree flatter")]
    TooDeep,
}

/// What can be set from outside when a tree is taken out of a project.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Merged over the properties of the tree that is taken out, not of its subtrees.
    pub context: Vec<(String, Term)>,
    /// Put before the module of every custom action, without a dot at its end.
    pub module_base: Option<String>,
}

/// A project whose shape is sound; what its nodes mean is looked at when a tree is taken out.
#[derive(Debug)]
pub struct Project {
    trees: Vec<Tree>,
    /// Categories of the project's own nodes, by name.
    custom: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Tree {
    id: String,
    title: String,
    root: Option<String>,
    properties: Map<String, Value>,
    nodes: BTreeMap<String, NodeText>,
    path: Path,
}

/// A node as it is stored.
#[derive(Debug)]
struct NodeText {
    name: String,
    title: String,
    properties: Map<String, Value>,
    children: Vec<String>,
    child: Option<String>,
}

/// Whether a document looks like a project of the editor (rather than a `BotRun`).
pub fn is_project(value: &Value) -> bool {
    let inner = value.get("data").unwrap_or(value);
    inner.get("trees").is_some_and(Value::is_array)
        || (inner.get("scope").is_some() && inner.get("nodes").is_some())
}

impl Project {
    /// Reads a project, saved (under `data`) or exported.
    pub fn read(value: &Value) -> Result<Self, Vec<Finding>> {
        let (inner, path) =
            value.get("data").map_or((value, Path::top()), |data| (data, Path::top().field("data")));
        let mut findings = Findings::default();
        let trees = inner.get("trees").and_then(Value::as_array);
        let trees = findings.ok(&path, trees.filter(|t| !t.is_empty()).ok_or(Error::NoTrees));
        let place = path.field("trees");
        let list = trees.and_then(|_| findings.list(&place, &inner["trees"], "a list of trees", MAX_TREES));
        let trees = list
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, t)| Tree::read(t, &place, i, &mut findings))
            .collect();
        let custom = read_custom(inner, &path, &mut findings);
        let findings = findings.into_vec();
        if findings.is_empty() { Ok(Self { trees, custom }) } else { Err(findings) }
    }

    /// The titles of all trees.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.trees.iter().map(|t| t.title.as_str())
    }

    /// The title of the tree to start with: the one named, else the only one, else the one called
    /// "root" whatever its case.
    pub fn entry(&self, named: Option<&str>) -> Result<&str, Finding> {
        let known = || listed(self.titles().map(quoted));
        let found = match (named, self.trees.as_slice()) {
            (Some(name), trees) => {
                trees.iter().find(|t| t.title == name).ok_or_else(|| Error::NoSuchTree(quoted(name), known()))
            }
            (None, [only]) => Ok(only),
            (None, trees) => trees
                .iter()
                .find(|t| t.title.eq_ignore_ascii_case("root"))
                .ok_or_else(|| Error::WhichTree(known())),
        };
        found.map(|t| t.title.as_str()).map_err(|e| Finding::new(&Path::top().field("trees"), &e))
    }

    /// Trees from which all others are reached: those that no other tree stands for, and of each circle
    /// of trees that nothing else leads to the first one.
    pub fn top_titles(&self) -> Vec<&str> {
        let calls = |tree: &'_ Tree| -> Vec<usize> {
            let called = |n: &NodeText| self.trees.iter().position(|t| n.name == t.id && n.name != tree.id);
            tree.nodes.values().filter_map(called).collect()
        };
        let calls: Vec<Vec<usize>> = self.trees.iter().map(calls).collect();
        let used: BTreeSet<usize> = calls.iter().flatten().copied().collect();
        let unused = (0..self.trees.len()).filter(|i| !used.contains(i));
        let (mut tops, mut reached) = (Vec::new(), BTreeSet::new());
        for start in unused.chain(0..self.trees.len()) {
            if !reached.contains(&start) {
                tops.push(self.trees[start].title.as_str());
            }
            let mut next = vec![start];
            while let Some(tree) = next.pop() {
                if reached.insert(tree) {
                    next.extend(&calls[tree]);
                }
            }
        }
        tops
    }

    /// Takes a tree out, its subtrees written out and its templates resolved. All mistakes of the
    /// tree are told at once.
    pub fn tree(&self, title: &str, options: &Options, actions: &Actions) -> Result<Node, Vec<Finding>> {
        let found = self.trees.iter().find(|t| t.title == title);
        let missing = || Error::NoSuchTree(quoted(title), listed(self.titles().map(quoted)));
        let tree = found.ok_or_else(|| vec![Finding::new(&Path::top().field("trees"), &missing())])?;
        expand::tree(self, tree, options, actions)
    }

    fn by_id(&self, id: &str) -> Option<&Tree> {
        self.trees.iter().find(|t| t.id == id)
    }
}

impl Tree {
    fn read(value: &Value, trees: &Path, index: usize, findings: &mut Findings) -> Option<Self> {
        let place = trees.index(index);
        let fields = findings.object(&place, value, "a tree")?;
        let title = findings
            .required(&place, fields, "title")
            .and_then(|t| findings.text(&place.field("title"), t, "text", 1024));
        let path = title.map_or(place.clone(), |t| trees.key(t));
        let id = fields.get("id").map_or(Some(""), |id| findings.text(&path.field("id"), id, "text", 1024));
        let root = fields.get("root").filter(|r| !r.is_null());
        let root = root.and_then(|r| findings.text(&path.field("root"), r, "the id of a node", 1024));
        let nodes_path = path.field("nodes");
        let nodes = fields.get("nodes").map_or(Some(Map::new()), |n| {
            findings.object(&nodes_path, n, "a mapping of ids to nodes").cloned()
        });
        let nodes = nodes.into_iter().flatten().filter_map(|(id, node)| {
            let node = NodeText::read(&node, &nodes_path.key(&id), findings)?;
            Some((id, node))
        });
        let nodes = nodes.collect();
        let properties = read_properties(fields, &path, findings);
        Some(Self {
            id: id?.to_owned(),
            title: title?.to_owned(),
            root: root.map(str::to_owned),
            properties,
            nodes,
            path,
        })
    }
}

impl NodeText {
    fn read(value: &Value, path: &Path, findings: &mut Findings) -> Option<Self> {
        let fields = findings.object(path, value, "a node")?;
        let name = findings
            .required(path, fields, "name")
            .and_then(|n| findings.text(&path.field("name"), n, "text", 1024));
        let title = fields
            .get("title")
            .map_or(Some(""), |t| findings.text(&path.field("title"), t, "text", literal::MAX_BYTES));
        let place = path.field("children");
        let children = fields.get("children").filter(|c| !c.is_null());
        let children =
            children.and_then(|c| findings.list(&place, c, "a list of ids", MAX_NODES)).unwrap_or_default();
        let ids = children
            .iter()
            .enumerate()
            .filter_map(|(i, c)| findings.text(&place.index(i), c, "the id of a node", 1024));
        let children = ids.map(str::to_owned).collect();
        let child = fields.get("child").filter(|c| !c.is_null());
        let child = child.and_then(|c| findings.text(&path.field("child"), c, "the id of a node", 1024));
        let properties = read_properties(fields, path, findings);
        Some(Self {
            name: name?.to_owned(),
            title: title?.to_owned(),
            properties,
            children,
            child: child.map(str::to_owned),
        })
    }
}

fn read_properties(fields: &Map<String, Value>, path: &Path, findings: &mut Findings) -> Map<String, Value> {
    let properties = fields.get("properties").filter(|p| !p.is_null());
    properties
        .and_then(|p| findings.object(&path.field("properties"), p, "a mapping"))
        .cloned()
        .unwrap_or_default()
}

fn read_custom(project: &Value, path: &Path, findings: &mut Findings) -> BTreeMap<String, String> {
    let place = path.field("custom_nodes");
    let specs = project.get("custom_nodes").filter(|c| !c.is_null());
    let specs =
        specs.and_then(|c| findings.list(&place, c, "a list of nodes", MAX_NODES)).unwrap_or_default();
    let text = |spec: &Value, field: &str| spec.get(field).and_then(Value::as_str).map(str::to_owned);
    specs.iter().filter_map(|spec| Some((text(spec, "name")?, text(spec, "category")?))).collect()
}

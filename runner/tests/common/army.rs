//! `runner run` on a file, and what came of it.

use super::{Ended, Folder, Running, start, text};
use serde_json::{Value, json};

/// A shopper: three requests in each iteration, all of which succeed.
pub(crate) const SHOPPER: &str = r#"
trees:
  Shopper:
    sequence:
      - http: {post: "{{ target }}/login", save: {token: $.token}}
      - http:
          post: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          json: {item: 1}
          expect: {status: 201, json: {$.total: 1200, $.count: 1}}
        label: Put
      - http:
          get: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          expect: {json: {"$.items[0]": 1}}
"#;
/// One request in each iteration.
pub(crate) const GET: &str = "trees: {T: {http: {get: '{{ target }}/catalogue'}}}\n";

/// How a run ended, and its result.
pub(crate) struct Done {
    pub(crate) ended: Ended,
    pub(crate) result: Value,
}

impl Done {
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        let value = self.result.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("{pointer} is no number in {:#}", self.result))
    }

    pub(crate) fn action(&self, name: &str) -> &Value {
        let actions = self.result["actions"].as_array().expect("actions");
        let found = actions.iter().find(|a| a["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {:#}", self.result))
    }

    /// Succeeded, failed, error, cancelled.
    pub(crate) fn counts(&self, name: &str) -> [u64; 4] {
        let action = self.action(name);
        ["succeed", "fail", "error", "cancelled"].map(|k| action[k].as_u64().expect("a number"))
    }
}

/// A file and the place of its result.
pub(crate) struct Given {
    pub(crate) folder: Folder,
    pub(crate) file: String,
    pub(crate) out: String,
}

impl Given {
    pub(crate) fn new(content: &str) -> Self {
        let folder = Folder::new();
        let file = folder.file("army.yaml", content);
        let out = text(&folder.path("out.json"));
        Self { folder, file, out }
    }

    /// What lies in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path("")).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["run", &self.file, "--out", &self.out], more].concat()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        start(&self.args(args))
    }

    pub(crate) fn done(&self, ended: Ended) -> Done {
        let out = std::fs::read_to_string(&self.out).expect("a result");
        Done { ended, result: serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")) }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let ended = self.start(args).end();
        assert!([0, 99].contains(&ended.code()), "{ended:#?}");
        self.done(ended)
    }
}

/// Runs to the end, which is no failure.
pub(crate) fn run(content: &str, args: &[&str]) -> Done {
    let done = Given::new(content).run(args);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (0, &json!("Passed")), "{:#?}", done.ended);
    done
}

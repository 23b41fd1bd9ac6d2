//! Results that a cluster takes to elsewhere: `runner deliver` outside of its pod, and a run on a laptop that has an
//! export.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Folder, runner};

#[test]
fn it_works_in_its_pod_alone() {
    let ended = runner(&["deliver"]).expect(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("the environment variable BOTARMY_EXPORT is not set; "), "{ended:#?}");
}

#[test]
fn a_laptop_says_that_it_takes_the_result_nowhere() {
    let folder = Folder::new();
    let export = "export: [{http: {url: \"http://store.invalid/\"}}]";
    let shown = folder.file("run.yaml", format!("trees: {{T: {{wait: 0}}}}\niterations: 1\n{export}\n"));
    let ended = runner(&["run", &shown]).expect(0);
    let note =
        format!("{shown}: export: only a cluster takes the result there; here it is kept by --out FILE");
    assert!(ended.stderr_lines().contains(&&*note), "{ended:#?}");
    runner(&["validate", &shown]).expect(0);
}

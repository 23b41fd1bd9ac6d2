//! Every example is valid, and the same after the API server has had it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use std::path::PathBuf;
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn runner(args: &[&str]) -> std::process::Output {
    let cargo = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "-p", "botarmy-runner", "--"])
        .args(args)
        .current_dir(root())
        .output();
    cargo.expect("the runner")
}

fn runs() -> Vec<String> {
    let files = std::fs::read_dir(root().join("examples")).expect("examples");
    let names = files.map(|f| format!("examples/{}", f.expect("a file").file_name().to_string_lossy()));
    let is_run =
        |name: &String| std::fs::read_to_string(root().join(name)).expect("text").contains("kind: BotRun");
    names.filter(is_run).collect()
}

#[test]
fn every_example_runs() {
    let runs = runs();
    assert!(!runs.is_empty());
    for file in runs {
        let checked = runner(&["validate", &file]);
        assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
        // So many passes that thresholds on counts are reached on a busy machine too.
        let ran = runner(&[
            "run",
            "--demo-target",
            "--duration",
            "5m",
            "--iterations",
            "400",
            "--bots",
            "40",
            &file,
        ]);
        let shown = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{file}: {shown}{}", String::from_utf8_lossy(&ran.stderr));
        assert!(shown.contains("Passed"), "{file}: {shown}");
    }
}

//! Files that are refused: a line for each mistake, nothing else, and nothing is started.

use super::{Ended, Folder, runner, text};
use std::time::{Duration, Instant};

/// A bound for texts that are made to take long; a debug build on a busy machine needs seconds for 8 MiB.
const SOON: Duration = Duration::from_secs(40);
/// The commands that read files.
pub(crate) const COMMANDS: [&str; 2] = ["validate", "run"];

/// What a command says about a file that it refuses: `PATH: message` for each mistake.
pub(crate) fn findings(command: &str, file: &str) -> Vec<String> {
    let begun = Instant::now();
    let folder = Folder::new();
    let out = text(&folder.path("out.json"));
    let more: &[&str] = if command == "run" { &["--out", &out] } else { &[] };
    let ended = runner(&[&[command, file], more].concat());
    assert!(begun.elapsed() < SOON, "{command} {file}: {:?}", begun.elapsed());
    assert!(!folder.path("out.json").exists(), "{command} {file}: an output was written");
    lines(&ended.expect(1), file)
}

/// The findings among what a program has said; it has said nothing else.
pub(crate) fn lines(ended: &Ended, file: &str) -> Vec<String> {
    assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:#?}");
    let finding = |line: &str| {
        let finding = line.strip_prefix(file).and_then(|rest| rest.strip_prefix(": "));
        let finding = finding.unwrap_or_else(|| panic!("no file before {line:?}"));
        let (place, message) = finding.split_once(": ").unwrap_or_else(|| panic!("no place in {line:?}"));
        assert!(!place.is_empty() && !message.trim().is_empty(), "{line:?}");
        finding.to_owned()
    };
    ended.stderr_lines().into_iter().map(finding).collect()
}

/// Exactly these beginnings of `PATH: message` are what every command says.
pub(crate) fn refused(name: &str, content: impl AsRef<[u8]>, expected: &[&str]) {
    for command in COMMANDS {
        refused_by(command, name, content.as_ref(), expected);
    }
}

/// Exactly these beginnings of `PATH: message` are what a command says.
pub(crate) fn refused_by(command: &str, name: &str, content: impl AsRef<[u8]>, expected: &[&str]) {
    let content = content.as_ref();
    let shown: String = String::from_utf8_lossy(content).chars().take(400).collect();
    let folder = Folder::new();
    let findings = findings(command, &folder.file(name, content));
    for part in expected {
        assert!(
            findings.iter().any(|f| f.starts_with(part)),
            "{command} {shown}: {part} is not in {findings:#?}"
        );
    }
    assert_eq!(findings.len(), expected.len(), "{command} {shown}: {findings:#?}");
}

/// Whatever else is said, something is said about this place, or one inside of it.
pub(crate) fn refused_at(place: &str, name: &str, content: impl AsRef<[u8]>) {
    let content = content.as_ref();
    let shown: String = String::from_utf8_lossy(content).chars().take(400).collect();
    for command in COMMANDS {
        let folder = Folder::new();
        let findings = findings(command, &folder.file(name, content));
        assert!(
            findings.iter().any(|f| f.starts_with(place)),
            "{command} {shown}: {place} is not in {findings:#?}"
        );
    }
}

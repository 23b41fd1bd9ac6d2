//! Links within the repository lead to a file that is there, and to a heading of it.

use super::root;
use std::path::{Path, PathBuf};

/// A page of the documentation.
pub(super) fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All documents for people.
pub(super) fn documents() -> Vec<PathBuf> {
    let folders = ["docs", "charts/botarmy", "charts/botarmy-crds", ""];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).expect("a folder"));
    files
        .map(|file| file.expect("a file").path())
        .filter(|file| file.extension().is_some_and(|e| e == "md"))
        .collect()
}

/// What is written in a file, outside of its blocks.
fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut inside = false;
    let is_outside = |line: &&str| {
        inside ^= line.starts_with("```");
        !inside
    };
    text.lines().filter(is_outside).map(str::to_owned).collect()
}

/// What a heading is called in an address.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
    };
    heading.trim().chars().filter_map(kept).collect()
}

/// Why a link leads nowhere.
fn wrong(from: &Path, link: &str) -> Option<String> {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let to = if path.is_empty() { from.to_owned() } else { from.with_file_name("").join(path) };
    if !to.exists() {
        return Some(format!("{}: {link}: there is no such file", from.display()));
    }
    let is_it = |line: &String| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading;
    let is_there = heading.is_empty() || lines(&to).iter().any(is_it);
    (!is_there).then(|| format!("{}: {link}: there is no such heading", from.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut checked, mut all_wrong) = (0, Vec::new());
    for file in documents() {
        let text = lines(&file).join("\n");
        let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        for link in links.filter(|link| !link.contains("://") && !link.contains(char::is_whitespace)) {
            checked += 1;
            all_wrong.extend(wrong(&file, link));
        }
    }
    assert!(checked > 50, "{checked}");
    for nowhere in ["docs/none.md", "docs/cluster.md#none"] {
        assert!(wrong(&root().join("README.md"), nowhere).is_some(), "{nowhere}");
    }
    assert_eq!(all_wrong, [""; 0]);
}

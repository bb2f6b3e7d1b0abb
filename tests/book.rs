//! The user's documentation: every link leads somewhere, every page is in the table of contents and
//! shows something, and every configuration on a page works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, TableLike};
use tyrian::config::diagnostic::Severity;
use tyrian::config::{Loaded, load};
use tyrian::live::checked;

/// What completes a fragment: its tables are laid over these.
const BASE: &str = include_str!("fixtures/book.toml");
/// Pages outside of the book whose links are checked too.
const BESIDE: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "deploy/README.md",
    "loadtest/README.md",
];

/// The pages of the book, by path.
fn pages() -> BTreeMap<PathBuf, String> {
    let found = glob::glob("docs/**/*.md").unwrap().map(Result::unwrap);
    let pages: BTreeMap<_, _> = found
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(pages.len() > 50, "{}", pages.len());
    pages
}

/// A fenced block: the words behind the fence, the line it begins on, and its text.
struct Block {
    info: String,
    line: usize,
    text: String,
}

/// The lines of a page outside of its fenced blocks, and the blocks.
fn split(page: &str) -> (Vec<&str>, Vec<Block>) {
    let (mut prose, mut blocks) = (Vec::new(), Vec::new());
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let (info, text) = (info.to_owned(), String::new());
                open = Some(Block {
                    info,
                    line: at + 1,
                    text,
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => prose.push(line),
        }
    }
    assert!(open.is_none(), "a block without an end");
    (prose, blocks)
}

/// The targets of links and images in a line. What stands in backticks is no link.
fn targets(line: &str) -> Vec<&str> {
    let plain = line.split('`').step_by(2);
    let behind = plain.flat_map(|text| text.split("](").skip(1));
    behind
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

/// The anchor of a heading, as mdBook and forges make it.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    let text: String = heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter(kept)
        .collect();
    text.to_lowercase().replace(' ', "-")
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(plain.pop(), "{} leaves the repository", path.display());
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// What is wrong with a link of a page.
fn broken(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (path, place) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => page.to_owned(),
        path => plain(&page.parent().unwrap().join(path)),
    };
    if !file.exists() {
        return Some("leads nowhere".to_owned());
    }
    let in_book = |path: &Path| path.starts_with("docs");
    if in_book(page) && !in_book(&file) && path.ends_with(".md") {
        return Some(
            "leads out of the book to a page, which mdBook takes for one of its own".into(),
        );
    }
    if place.is_empty() {
        return None;
    }
    let text = match path {
        "" => text.to_owned(),
        _ => std::fs::read_to_string(&file).unwrap(),
    };
    let (lines, _) = split(&text);
    let mut headings = lines.iter().filter(|line| line.starts_with('#'));
    let there = headings.any(|heading| anchor(heading) == place);
    (!there).then(|| format!("leads to no heading of {}", file.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = pages();
    for page in BESIDE {
        all.insert(PathBuf::from(page), std::fs::read_to_string(page).unwrap());
    }
    let mut wrong = Vec::new();
    for (page, text) in &all {
        let links = split(text).0.into_iter().flat_map(targets);
        wrong.extend(links.filter_map(|target| {
            let why = broken(page, text, target)?;
            Some(format!("{}: ({target}) {why}", page.display()))
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let pages = pages();
    let summary = &pages[Path::new("docs/SUMMARY.md")];
    let mut listed: Vec<_> = summary
        .lines()
        .flat_map(targets)
        .map(|target| Path::new("docs").join(target))
        .collect();
    listed.sort();
    let there = pages.keys().filter(|path| !path.ends_with("SUMMARY.md"));
    assert_eq!(listed, there.cloned().collect::<Vec<_>>());
}

#[test]
fn every_page_shows_an_example_or_a_picture() {
    let generated = |text: &str| text.starts_with("<!-- Made by");
    let mut without = Vec::new();
    for (path, text) in pages() {
        let (prose, blocks) = split(&text);
        let shows = !blocks.is_empty() || prose.iter().any(|line| line.contains("!["));
        if !shows && !generated(&text) && !path.ends_with("SUMMARY.md") {
            without.push(path);
        }
    }
    assert!(without.is_empty(), "{without:?}");
}

/// Lays the tables of `over` over those of `under`; other values replace.
fn lay(under: &mut dyn TableLike, over: &Table) {
    for (key, item) in over {
        let below = under.get_mut(key).and_then(Item::as_table_like_mut);
        match (below, item.clone().into_table()) {
            (Some(below), Ok(table)) => lay(below, &table),
            _ => {
                under.insert(key, item.clone());
            }
        }
    }
}

/// The configuration of a block, if it is one: as it stands, or, of a `toml,fragment`, laid over
/// the base. A block that includes a file is that file, which must be a tested example.
fn configuration(block: &Block) -> Option<String> {
    let included = block.text.trim().strip_prefix("{{#include ");
    match (block.info.as_str(), included) {
        ("toml", Some(path)) => {
            let path = path.strip_suffix("}}").unwrap();
            let (_, example) = path.split_once("config/examples/").unwrap();
            Some(std::fs::read_to_string(Path::new("config/examples").join(example)).unwrap())
        }
        ("toml", None) => Some(block.text.clone()),
        ("toml,fragment", _) => {
            let fragment: DocumentMut = block.text.parse().unwrap();
            let mut whole: DocumentMut = BASE.parse().unwrap();
            lay(whole.as_table_mut(), fragment.as_table());
            Some(whole.to_string())
        }
        _ => None,
    }
}

/// A folder with the files that configurations name and only a deployment has.
fn deployment() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_tyrian"))
        .args(["dev-cert", "shop.example", "--client", "ci", "--out"])
        .arg(dir.path().join("tls"))
        .output();
    assert!(made.unwrap().status.success());
    for name in ["color.key", "users.secret", "otlp.token"] {
        let secret = "an example, long enough for every algorithm: 0123456789abcdef\n";
        std::fs::write(dir.path().join(name), secret).unwrap();
    }
    dir
}

/// Checks a text in a folder, as `tyrian check` does.
fn check(folder: &Path, text: &str) -> Loaded {
    let path = folder.join("tyrian.toml");
    std::fs::write(&path, text).unwrap();
    match checked(load(&path, &|_| None)) {
        Ok((loaded, ..)) => loaded,
        Err(loaded) => *loaded,
    }
}

#[test]
fn every_configuration_on_a_page_works() {
    let folder = deployment();
    let mut all = pages();
    all.insert(
        "README.md".into(),
        std::fs::read_to_string("README.md").unwrap(),
    );
    let (mut seen, mut wrong) = (0, Vec::new());
    for (page, text) in &all {
        for block in split(text).1 {
            let Some(text) = configuration(&block) else {
                assert!(
                    !block.info.contains("toml"),
                    "{}: {}",
                    page.display(),
                    block.info
                );
                continue;
            };
            seen += 1;
            let loaded = check(folder.path(), &text);
            // A fragment may leave parts of the base without use, which is a warning.
            let warned = block.info == "toml" && loaded.count(Severity::Warning) > 0;
            if loaded.has_errors() || warned {
                let report = loaded.render_human(false);
                wrong.push(format!("{}:{}\n{report}", page.display(), block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "{seen}");
}

#[test]
fn a_link_to_nowhere_and_a_wrong_block_are_found() {
    let page = Path::new("docs/start/routes.md");
    let text = "# Two `words`, here\n";
    assert_eq!(broken(page, text, "#two-words-here"), None);
    for target in ["#two", "none.md", "../../README.md"] {
        assert!(broken(page, text, target).is_some(), "{target}");
    }
    assert_eq!(
        targets("a [b](c.md) `[d](e.md)` ![f](g.png)"),
        ["c.md", "g.png"]
    );
    let folder = deployment();
    let block = |info: &str, text: &str| {
        let (info, text) = (info.to_owned(), text.to_owned());
        configuration(&Block {
            info,
            line: 1,
            text,
        })
        .unwrap()
    };
    let fragment = |text: &str| check(folder.path(), &block("toml,fragment", text)).has_errors();
    assert!(!fragment("[routes.all]\nlimits = [\"per-address\"]\n"));
    assert!(fragment("[routes.all]\nlimits = [\"none\"]\n"));
}

//! Configurations: every broken one has its message, every shipped one works, and what is made
//! from the shape of the format is as committed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tyrian::config::diagnostic::Severity;
use tyrian::config::format::format;
use tyrian::config::{Loaded, codes, load, load_text};
use tyrian::live::checked;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn no_environment(_: &str) -> Option<String> {
    None
}

/// As [`check_text`], for a file of the corpus; messages name it as given.
fn check_file(path: &Path) -> Loaded {
    match checked(load(path, &no_environment)) {
        Ok((loaded, ..)) => loaded,
        Err(loaded) => *loaded,
    }
}

/// Loads, builds, and runs the tests, as `check` does.
fn check_text(name: &str, text: &str) -> Loaded {
    match checked(load_text(name, text, &no_environment)) {
        Ok((loaded, ..)) => loaded,
        Err(loaded) => *loaded,
    }
}

fn corpus() -> Vec<PathBuf> {
    // Tests run in the package's directory, so that messages hold no path of this machine.
    let pattern = "tests/config_corpus/[0-9]*.toml";
    let mut files: Vec<_> = glob::glob(pattern).unwrap().map(Result::unwrap).collect();
    files.sort();
    files
}

#[test]
fn every_broken_file_has_its_message() {
    let files = corpus();
    assert!(files.len() >= 80, "{} files", files.len());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        // Messages name files in full; what is committed holds no path of this machine.
        let here = format!("{}/", root().display());
        let report = check_file(&file).render_human(false).replace(&here, "");
        assert!(!report.is_empty(), "{name} has nothing to say");
        insta::with_settings!({ snapshot_path => "config_corpus/messages", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, report);
        });
    }
}

#[test]
fn every_code_is_explained_and_met_in_the_corpus() {
    let mut met = BTreeSet::new();
    for file in corpus() {
        met.extend(check_file(&file).diagnostics.iter().map(|found| found.code));
    }
    let known: BTreeSet<&str> = codes::ALL.iter().map(|code| code.code).collect();
    assert!(
        met.is_subset(&known),
        "not explained: {:?}",
        met.difference(&known)
    );
    // A name in two files, what only a running gateway meets, and what
    // `check --online` finds around the file, are tested elsewhere.
    let elsewhere = BTreeSet::from([
        "TY0102", "TY0503", "TY0505", "TY0508", "TY0509", "TY0510", "TY0511", "TY0512", "TY0513",
    ]);
    let missing: Vec<_> = known
        .difference(&met)
        .filter(|code| !elsewhere.contains(*code))
        .collect();
    assert!(missing.is_empty(), "no broken file for {missing:?}");
}

#[test]
fn a_name_in_two_files_shows_both_places() {
    let dir = tempfile::tempdir().unwrap();
    let entry = "[services.a.versions.v1]\nendpoints = [\"127.0.0.1:1\"]\n";
    std::fs::write(
        dir.path().join("main.toml"),
        format!("include = [\"b.toml\"]\n{entry}"),
    )
    .unwrap();
    std::fs::write(dir.path().join("b.toml"), entry).unwrap();
    let loaded = load(&dir.path().join("main.toml"), &no_environment);
    let twice = loaded
        .diagnostics
        .iter()
        .find(|found| found.code == "TY0102")
        .unwrap();
    let files: BTreeSet<_> = twice
        .labels
        .iter()
        .map(|label| label.file.clone())
        .collect();
    assert_eq!(files.len(), 2);
}

#[test]
fn the_whole_contract_is_obeyed() {
    let path = root().join("tests/config_corpus/contract.toml");
    let text = std::fs::read_to_string(path).unwrap();
    // Its test forgets what its route asks for: `query = { debug = "1" }`.
    let text = text.replace("example.com/cart/7\"", "example.com/cart/7?debug=1\"");
    let loaded = check_text("contract.toml", &text);
    let others: Vec<_> = loaded
        .diagnostics
        .iter()
        // Files that only a deployment has, and a mirror to a service of somebody else's file.
        .filter(|found| !["TY0504", "TY0324"].contains(&found.code))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    let mut keys: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|found| found.message.replace(&format!("{}/", root().display()), ""))
        .collect();
    keys.sort();
    insta::assert_snapshot!(keys.join("\n"));
}

#[test]
fn every_shipped_configuration_works_and_its_tests_hold() {
    let mut files = Vec::new();
    for pattern in ["config/examples/*.toml", "config/examples/start/*.toml"] {
        let found = glob::glob(root().join(pattern).to_str().unwrap());
        files.extend(found.unwrap().map(Result::unwrap));
    }
    files.push(root().join("config/tyrian.toml"));
    files.push(root().join("config/examples/multi-file/main.toml"));
    // Files that an example names and only a deployment has.
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_tyrian"))
        .args(["dev-cert", "shop.example", "--out"])
        .arg(dir.path())
        .status();
    assert!(made.unwrap().success());
    let here = format!("\"{}/", dir.path().display());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let loaded = match text.contains("\"tls/") {
            true => load_text("example", &text.replace("\"tls/", &here), &no_environment),
            false => load(&file, &no_environment),
        };
        assert_eq!(
            format(&text).unwrap(),
            text,
            "{}: `tyrian fmt`",
            file.display()
        );
        let report = loaded.render_human(false);
        // Notes say that nothing is wrong.
        let found = loaded.diagnostics.iter();
        let wrong = found
            .filter(|found| found.severity != Severity::Note)
            .count();
        assert!(
            checked(loaded).is_ok() && wrong == 0,
            "{}:\n{report}",
            file.display()
        );
    }
}

/// Compares with what is committed; `UPDATE=1` writes it anew.
fn as_committed(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "{} is stale; run the tests with UPDATE=1",
        path.display()
    );
}

#[test]
fn the_schema_is_as_committed() {
    as_committed(
        &root().join("config/tyrian.schema.json"),
        &format!("{:#}\n", tyrian::plugin::schema()),
    );
}

#[test]
fn the_reference_is_as_committed() {
    for (name, text) in tyrian::cli::reference_pages() {
        as_committed(&root().join("docs/reference").join(name), &text);
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        at in 0_usize..4000,
        with in proptest::collection::vec(proptest::prelude::any::<char>(), 0..6),
        cut in 0_usize..40,
    ) {
        let text = include_str!("config_corpus/contract.toml");
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, with);
        let mutated: String = chars.into_iter().collect();
        let loaded = check_text("mutated.toml", &mutated);
        let _ = (loaded.render_human(false), loaded.render_json(), loaded.render_sarif());
    }
}

//! The house rules that a machine can hold: imports point down, files are short and introduce
//! themselves, and every dependency has a reason.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::path::{Path, PathBuf};

/// Modules from the bottom up; a module may use those on lower layers only.
const LAYERS: &[(&str, usize)] = &[
    ("files", 0),
    ("counts", 0),
    ("config", 1),
    ("reason", 1),
    ("telemetry", 2),
    ("plugin", 2),
    ("routing", 2),
    ("memory", 1),
    ("outbound", 1),
    ("state", 1),
    ("sockets", 2),
    ("tls", 2),
    ("policy", 3),
    ("rollout", 3),
    ("replay", 3),
    ("upstream", 4),
    ("discovery", 5),
    ("snapshot", 6),
    ("edge", 7),
    ("live", 7),
    ("question", 3),
    ("server", 8),
    ("admin", 9),
    ("demo", 9),
    ("cli", 10),
    ("fuzz", 10),
];

/// The parts of `edge` from the bottom up; those of one layer may not use each other, but for the
/// seam, whose files are few.
const EDGE_LAYERS: &[(&str, usize)] = &[
    ("transport", 0),
    ("date", 1),
    ("headers", 1),
    ("message", 1),
    ("problem", 1),
    ("rejection", 1),
    ("request_id", 1),
    ("filters", 2),
    ("http1", 3),
    ("http2", 4),
    ("exchange", 5),
    ("listener", 6),
    ("fuzz", 6),
];
/// The layer of the seam.
const SEAM: usize = 1;

/// Most lines of a file.
const LINES_MAX: usize = 430;
/// Longer files, with what they may have at most; only ever lowered.
const LONGER: &[(&str, usize)] = &[
    ("src/routing/explain.rs", 460),
    ("src/config/route.rs", 470),
    ("src/config/matches.rs", 480),
    ("tests/gateway/certificates.rs", 450),
    ("tests/gateway/conformance.rs", 820),
    ("tests/gateway/malformed.rs", 700),
    ("tests/gateway/upstream.rs", 470),
    ("tests/gateway/forwarding.rs", 560),
    ("tests/gateway/reload.rs", 470),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Every module of ours that a source names, with the line it is named on.
fn modules_named(source: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, path) in source.match_indices("crate::") {
        let line = source[..at].matches('\n').count() + 1;
        let rest = &source[at + path.len()..];
        let heads = match rest.strip_prefix('{') {
            Some(group) => heads_of(group),
            None => vec![word(rest)],
        };
        named.extend(heads.into_iter().map(|head| (line, head)));
    }
    named
}

/// First words of a group's members, up to the brace that closes it; inner groups are skipped.
fn heads_of(group: &str) -> Vec<String> {
    let mut heads = vec![word(group)];
    let mut depth = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
        .collect()
}

/// Whether a line of code names a type of the proxy core, imported or in full.
fn names_core(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    [
        "use pingora",
        "pingora::",
        "pingora_core::",
        "pingora_proxy::",
        "pingora_http::",
    ]
    .iter()
    .any(|path| code.contains(path))
}

/// What is wrong with one file.
fn problems(path: &str, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !source.starts_with("//!") {
        problems.push(format!("{path}:1 does not say what it is for"));
    }
    let most = LONGER
        .iter()
        .find(|(name, _)| *name == path)
        .map_or(LINES_MAX, |(_, most)| *most);
    let lines = source.lines().count();
    if lines > most {
        problems.push(format!("{path} has {lines} lines; {most} are the most"));
    }
    let module = path
        .strip_prefix("src/")
        .and_then(|path| path.split(['/', '.']).next());
    if let Some(own) = module.and_then(layer) {
        for (line, named) in modules_named(source) {
            let up =
                layer(&named).is_some_and(|other| other >= own) && Some(named.as_str()) != module;
            if up {
                problems.push(format!(
                    "{path}:{line} uses `{named}`, which is not below it"
                ));
            }
        }
        problems.extend(edge_problems(path, source));
        if !NAMES_CORE.iter().any(|place| path.starts_with(place)) {
            for (at, _) in source.lines().enumerate().filter(|(_, l)| names_core(l)) {
                problems.push(format!("{path}:{} names the proxy core", at + 1));
            }
        }
    }
    problems
}

/// The files that may name a type of the proxy core.
const NAMES_CORE: &[&str] = &[
    "src/edge/exchange/upstream.rs",
    "src/edge/http1/upstream/mod.rs",
    "src/edge/transport/",
    "src/tls/upstream.rs",
];

fn edge_layer(part: &str) -> Option<usize> {
    let found = EDGE_LAYERS.iter().find(|(name, _)| *name == part);
    found.map(|(_, layer)| *layer)
}

/// What a file of `edge` uses that is not below it.
fn edge_problems(path: &str, source: &str) -> Vec<String> {
    let own = path
        .strip_prefix("src/edge/")
        .and_then(|path| path.split(['/', '.']).next());
    let Some((own, layer)) = own.and_then(|own| Some((own, edge_layer(own)?))) else {
        return Vec::new();
    };
    let paths = source.match_indices("crate::edge::");
    let named = paths.flat_map(|(at, path)| {
        let rest = &source[at + path.len()..];
        let heads = match rest.strip_prefix('{') {
            Some(group) => heads_of(group),
            None => vec![word(rest)],
        };
        let line = source[..at].matches('\n').count() + 1;
        heads.into_iter().map(move |head| (line, head))
    });
    let up = named.filter(|(_, head)| {
        let other = edge_layer(head).unwrap_or(0);
        head != own && (other > layer || other == layer && layer != SEAM)
    });
    up.map(|(line, head)| format!("{path}:{line} uses `{head}`, which is not below it"))
        .collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_house_is_tidy() {
    let mut files = Vec::new();
    for directory in ["src", "tests", "benches"] {
        sources(Path::new(directory), &mut files);
    }
    assert!(files.len() > 80);
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            problems(
                file.to_str().unwrap(),
                &std::fs::read_to_string(file).unwrap(),
            )
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn untidiness_is_found() {
    let upward = "//! x\nuse crate::{reason::Reason, edge::Server};\n";
    assert_eq!(problems("src/routing/x.rs", upward).len(), 1);
    assert_eq!(
        problems("src/config/x.rs", "//! x\nuse crate::routing::Table;").len(),
        1
    );
    assert_eq!(
        problems(
            "src/edge/transport/x.rs",
            "//! x\nuse crate::routing::Table;\nuse pingora::Error;"
        )
        .len(),
        0
    );
    assert_eq!(
        problems("src/live/x.rs", "//! x\nuse pingora::Error;").len(),
        1
    );
    assert_eq!(problems("src/config/x.rs", "use std::fmt;").len(), 1);
    assert_eq!(
        problems("src/config/x.rs", &format!("//! x\n{}", "\n".repeat(500))).len(),
        1
    );
}

#[test]
fn the_parts_of_the_edge_use_those_below_them() {
    let of = |path, used: &str| problems(path, &format!("//! x\nuse crate::edge::{used}::X;"));
    assert_eq!(of("src/edge/exchange/x.rs", "http2::x").len(), 0);
    assert_eq!(of("src/edge/http1/x.rs", "exchange").len(), 1);
    assert_eq!(of("src/edge/http1/x.rs", "http2").len(), 1);
    assert_eq!(
        of("src/edge/filters/x.rs", "{rejection, http1::x}").len(),
        1
    );
    assert_eq!(of("src/edge/problem.rs", "rejection").len(), 0);
    assert_eq!(of("src/edge/transport/x.rs", "rejection").len(), 1);
}

#[test]
fn an_import_behind_an_inner_group_is_seen_on_its_line() {
    let nested = "//! x\n\nuse crate::{reason::{Reason, Cause}, edge::Server};\n";
    assert_eq!(
        problems("src/routing/x.rs", nested),
        ["src/routing/x.rs:3 uses `edge`, which is not below it"]
    );
}

#[test]
fn the_core_is_seen_without_an_import() {
    let spelled_out = "//! x\nfn f(_: &pingora::Error) {}\n// pingora::Error\n";
    assert_eq!(
        problems("src/live/x.rs", spelled_out),
        ["src/live/x.rs:2 names the proxy core"]
    );
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let document = std::fs::read_to_string("docs/how/dependencies.md").unwrap();
    let table: toml_edit::DocumentMut = manifest.parse().unwrap();
    for section in ["dependencies", "dev-dependencies"] {
        for (name, _) in table[section].as_table().unwrap() {
            assert!(
                document.contains(&format!("\n| {name} | ")),
                "{name} is not in docs/how/dependencies.md"
            );
        }
    }
}

#[test]
fn the_two_commands_come_first_in_the_readme() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let start: String = readme.lines().take(16).collect();
    assert!(start.contains("cargo demo") && start.contains("./test"));
}

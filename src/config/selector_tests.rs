//! Every use with every kind of selector.

use super::{Forms, KINDS, SelectorKind, Use};
use crate::config::load_text;

/// A selector of each kind, and which uses allow it, in the order of [`Use::ALL`].
const MATRIX: &[(&str, [bool; 5])] = &[
    ("ip", [true, true, true, false, false]),
    ("route", [true, true, false, false, false]),
    ("color", [true, true, false, false, false]),
    ("header", [false, false, false, false, true]),
    ("header:x-a", [true, true, true, true, false]),
    ("cookie:a", [true, true, true, true, true]),
    ("query:a", [false, false, false, true, true]),
    ("baggage:a", [false, false, false, false, true]),
    ("jwt:a.b", [true, true, true, false, true]),
];

/// A configuration with a selector where a use has it.
fn written(wanted: Use, selector: &str) -> Vec<String> {
    let service = "[services.s.versions.v1]\nendpoints = [\"127.0.0.1:1\"]\n\
                   [services.s.versions.v2]\nendpoints = [\"127.0.0.1:2\"]\n[services.s]\ndefault = \"v1\"\n";
    match wanted {
        Use::LimitKey => vec![
            format!("[limits.l]\nrate = \"1/s\"\nkey = {selector:?}"),
            format!("[limits.l]\nrate = \"1/s\"\nkey = [\"ip\", {selector:?}]"),
        ],
        Use::HashKey => vec![format!("{service}hash = {selector:?}")],
        Use::ShareKey => vec![
            format!("[colors.c]\nshare = {{ percent = \"1%\", sticky = {selector:?} }}"),
            format!(
                "{service}split = {{ versions = {{ v2 = \"1%\" }}, sticky = [{selector:?}, \"ip\"] }}"
            ),
        ],
        Use::TokenPlace => vec![format!(
            "[jwt.j]\nissuer = \"i\"\nalgorithms = [\"RS256\"]\n\
             keys = {{ jwks_url = \"https://id.example/\" }}\ntoken = {selector:?}"
        )],
        Use::ColorSource => vec![format!("[coloring]\nsources = [{selector:?}]")],
    }
}

/// The errors of a configuration; empty when it can be used.
fn errors(text: &str) -> String {
    let loaded = load_text("test.toml", text, &|_| None);
    match loaded.config {
        Some(_) => String::new(),
        None => loaded.render_human(false),
    }
}

#[test]
fn each_use_takes_the_kinds_that_it_allows_and_names_them_otherwise() {
    assert_eq!(MATRIX.len(), KINDS.len(), "a kind has no row");
    for ((text, allowed), kind) in MATRIX.iter().zip(KINDS) {
        let (read, selector) = SelectorKind::parse(text).unwrap();
        assert_eq!(read.form(), kind.form());
        assert_eq!(selector.to_string(), *text);
        for (wanted, allowed) in Use::ALL.iter().zip(allowed) {
            assert_eq!(
                kind.is_for(*wanted),
                *allowed,
                "{text} as {}",
                wanted.what()
            );
            let forms = Forms::of(*wanted);
            let pattern = regex::Regex::new(&forms.pattern).unwrap();
            assert_eq!(
                pattern.is_match(text),
                *allowed,
                "{text} in {}",
                forms.pattern
            );
            for config in written(*wanted, text) {
                let errors = errors(&config);
                assert_eq!(errors.is_empty(), *allowed, "{config}\n{errors}");
                let refused = format!("`{text}` cannot be {}", wanted.what());
                assert_eq!(errors.contains(&refused), !allowed, "{errors}");
                assert_eq!(errors.contains(&forms.words), !allowed, "{errors}");
            }
        }
    }
}

#[test]
fn what_is_no_selector_is_told_what_is_one_there() {
    for wanted in Use::ALL {
        for wrong in [
            "",
            "x",
            "ip:1",
            "claim:sub",
            "cookie:",
            "header:",
            "header:a b",
        ] {
            let forms = Forms::of(*wanted);
            for config in written(*wanted, wrong) {
                let errors = errors(&config);
                let told = format!("`{wrong}` is not {}", forms.words);
                assert!(errors.contains(&told), "{config}\n{errors}");
            }
        }
    }
}

#[test]
fn the_word_header_is_the_header_of_the_color() {
    for (text, header) in [
        ("", "header:x-tyrian-color"),
        ("sources = [\"header\"]", "header:x-tyrian-color"),
        ("header = \"X-Dye\"", "header:x-dye"),
    ] {
        let loaded = load_text("test.toml", &format!("[coloring]\n{text}"), &|_| None);
        let sources = loaded.config.unwrap().coloring.sources;
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(sources, [header]);
    }
}

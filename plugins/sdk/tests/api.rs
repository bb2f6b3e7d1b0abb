//! The contract with authors of plugins: what a minor version has shown stays as it was.
//!
//! `api/MAJOR.MINOR.txt` holds every public item of the crate, one a line. What is there must not
//! go or change, and nothing may be added that breaks those who implement, match or build: then the
//! version is raised, which begins a new file. What else is added is written down by `UPDATE=1`.
//! Tools that compare with a published version need one, and a network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::Path;
use syn::{Fields, ImplItem, Item, TraitItem, Visibility};

/// Additions of these kinds break somebody, where what they are a part of was there before.
const BREAKING: [&str; 3] = ["required", "variant", "open field"];

fn words(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn has(attributes: &[syn::Attribute], name: &str) -> bool {
    let mut paths = attributes.iter().map(syn::Attribute::path);
    paths.any(|path| path.is_ident(name))
}

/// All public items of a source.
fn items(source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap();
    file.items.iter().flat_map(item).collect()
}

fn item(item: &Item) -> Vec<String> {
    match item {
        Item::Struct(of) if is_public(&of.vis) => fields(of),
        Item::Enum(of) if is_public(&of.vis) => {
            let name = &of.ident;
            let kind = match has(&of.attrs, "non_exhaustive") {
                true => "more variant",
                false => "variant",
            };
            let variants = of.variants.iter().map(|variant| {
                let bare = syn::Variant {
                    attrs: Vec::new(),
                    ..variant.clone()
                };
                format!("{kind} {name} {}", words(&bare))
            });
            let whole = format!("enum {name} {}", words(&of.generics));
            let derived = derived(&of.attrs, name);
            [whole].into_iter().chain(variants).chain(derived).collect()
        }
        Item::Trait(of) if is_public(&of.vis) => {
            let whole = format!("trait {} {}", of.ident, words(&of.supertraits));
            let inside = of.items.iter().map(|item| of_trait(&of.ident, item));
            [whole].into_iter().chain(inside).collect()
        }
        Item::Impl(of) => {
            let on = words(&of.self_ty);
            if let Some((_, path, _)) = &of.trait_ {
                return vec![format!("impl {} for {on}", words(path))];
            }
            let inside = of.items.iter().filter_map(|item| match item {
                ImplItem::Fn(of) if is_public(&of.vis) => {
                    Some(format!("{on} :: {}", words(&of.sig)))
                }
                ImplItem::Const(of) if is_public(&of.vis) => {
                    Some(format!("{on} :: const {} : {}", of.ident, words(&of.ty)))
                }
                _ => None,
            });
            inside.collect()
        }
        Item::Type(of) if is_public(&of.vis) => {
            vec![format!(
                "type {} {} = {}",
                of.ident,
                words(&of.generics),
                words(&of.ty)
            )]
        }
        Item::Fn(of) if is_public(&of.vis) => vec![words(&of.sig)],
        Item::Const(of) if is_public(&of.vis) => {
            vec![format!("const {} : {}", of.ident, words(&of.ty))]
        }
        Item::Mod(of) if is_public(&of.vis) => vec![format!("mod {}", of.ident)],
        // Which names lead where; what they are is told where they are made.
        Item::Use(of) if is_public(&of.vis) => used(&of.tree, ""),
        _ => Vec::new(),
    }
}

fn fields(of: &syn::ItemStruct) -> Vec<String> {
    let name = &of.ident;
    let all_public = of.fields.iter().all(|field| is_public(&field.vis));
    // Whoever can build one breaks when there is more to say.
    let kind = match all_public && !has(&of.attrs, "non_exhaustive") {
        true => "open field",
        false => "field",
    };
    let shown = of.fields.iter().enumerate();
    let shown = shown.filter(|(_, field)| is_public(&field.vis));
    let shown = shown.map(|(index, field)| {
        let field_name = match (&of.fields, &field.ident) {
            (Fields::Named(_), Some(ident)) => ident.to_string(),
            _ => index.to_string(),
        };
        format!("{kind} {name} {field_name} : {}", words(&field.ty))
    });
    let whole = format!("struct {name} {}", words(&of.generics));
    let derived = derived(&of.attrs, name);
    [whole].into_iter().chain(shown).chain(derived).collect()
}

fn derived(attributes: &[syn::Attribute], name: &syn::Ident) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("derive")) {
        let read = attribute.parse_nested_meta(|one| {
            lines.push(format!("impl {} for {name}", words(&one.path)));
            Ok(())
        });
        read.unwrap();
    }
    lines
}

fn of_trait(name: &syn::Ident, item: &TraitItem) -> String {
    let told = |given: bool| if given { "given" } else { "required" };
    match item {
        TraitItem::Fn(of) => format!("{} {name} {}", told(of.default.is_some()), words(&of.sig)),
        TraitItem::Const(of) => {
            let given = told(of.default.is_some());
            format!("{given} {name} const {} : {}", of.ident, words(&of.ty))
        }
        TraitItem::Type(of) => {
            let given = told(of.default.is_some());
            format!("{given} {name} type {} : {}", of.ident, words(&of.bounds))
        }
        other => format!("required {name} {}", words(other)),
    }
}

fn used(tree: &syn::UseTree, above: &str) -> Vec<String> {
    match tree {
        syn::UseTree::Path(path) => used(&path.tree, &format!("{above}{}::", path.ident)),
        syn::UseTree::Group(group) => group
            .items
            .iter()
            .flat_map(|tree| used(tree, above))
            .collect(),
        other => vec![format!("use {above}{}", words(other))],
    }
}

/// What breaks, and what is merely new.
fn compare(before: &BTreeSet<String>, now: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let gone = before.difference(now).map(|line| format!("- {line}"));
    let was_there = |line: &str| {
        let kind = BREAKING.iter().find(|kind| line.starts_with(**kind));
        let whole = kind.and_then(|kind| line[kind.len()..].split_whitespace().next());
        whole.is_some_and(|whole| {
            let mut kinds = ["struct", "enum", "trait"].iter();
            kinds.any(|kind| {
                let start = format!("{kind} {whole} ");
                before.iter().any(|line| line.starts_with(&start))
            })
        })
    };
    let (breaking, new): (Vec<_>, Vec<_>) =
        now.difference(before).partition(|line| was_there(line));
    let breaking = breaking.into_iter().map(|line| format!("+ {line}"));
    let new = new.into_iter().map(|line| format!("+ {line}"));
    (gone.chain(breaking).collect(), new.collect())
}

#[test]
fn what_authors_build_on_stays_within_a_minor_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut now = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("src")).unwrap() {
        now.extend(items(
            &std::fs::read_to_string(entry.unwrap().path()).unwrap(),
        ));
    }
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    let path = root.join(format!("api/{major}.{minor}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let before: BTreeSet<String> = text.lines().map(ToOwned::to_owned).collect();
    let (breaking, new) = compare(&before, &now);
    assert!(
        breaking.is_empty(),
        "this breaks plugins; raise the version of tyrian-plugin:\n{}",
        breaking.join("\n")
    );
    if std::env::var_os("UPDATE").is_some() {
        let lines: Vec<String> = now.into_iter().collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    assert!(
        new.is_empty(),
        "new in the contract; with UPDATE=1 it is kept for good:\n{}",
        new.join("\n")
    );
}

#[test]
fn what_breaks_is_told_from_what_does_not() {
    let before =
        "pub enum E { A } #[non_exhaustive] pub enum More { A } pub trait T { fn f(&self) {} }
                  pub struct Open { pub a: u8 } pub struct Closed { pub a: u8, b: u8 }
                  impl Closed { pub fn new() -> Self {} fn hidden() {} }";
    let judge = |from: &str, to: &str| {
        let source = before.replacen(from, to, 1);
        assert_ne!(source, before);
        let lines = |source: &str| items(source).into_iter().collect::<BTreeSet<_>>();
        let (breaking, new) = compare(&lines(before), &lines(&source));
        (breaking.len(), new.len())
    };
    assert_eq!(judge("E { A }", "E { A, B }"), (1, 0));
    assert_eq!(judge("More { A }", "More { A, B }"), (0, 1));
    assert_eq!(
        judge("fn f(&self) {}", "fn f(&self) {} fn g(&self) {}"),
        (0, 1)
    );
    assert_eq!(
        judge("fn f(&self) {}", "fn f(&self) {} fn g(&self);"),
        (1, 0)
    );
    assert_eq!(judge("fn f(&self) {}", "fn f(&mut self) {}"), (1, 1));
    assert_eq!(
        judge("Open { pub a: u8", "Open { pub a: u8, pub b: u8"),
        (1, 0)
    );
    assert_eq!(
        judge("pub a: u8, b: u8", "pub a: u8, pub c: u8, b: u8"),
        (0, 1)
    );
    assert_eq!(judge("pub fn new()", "fn new()"), (1, 0));
    assert_eq!(judge("fn hidden()", "fn renamed()"), (0, 0));
    assert_eq!(
        judge(
            "pub enum E { A }",
            "pub enum E { A } pub struct New { pub a: u8 }"
        ),
        (0, 2)
    );
}

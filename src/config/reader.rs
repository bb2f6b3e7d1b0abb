//! Walks the spanned tree of a TOML file and collects every problem instead of stopping at the
//! first one.
//!
//! A table is described once, by [`table!`](crate::table): the description is the struct,
//! the parser, the schema and the reference at the same time.

use super::diagnostic::{Diagnostic, Spot};
use super::rule::{Limits, Rule};
use super::shape::Shape;
use super::unknown_key::UnknownKey;
use super::{Name, Place, secrecy};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use super::context::{Cx, Findings, Kind, Reference, Value};

/// Looks up an environment variable.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A value in its place.
#[derive(Clone)]
pub struct Node<'a> {
    pub value: &'a DeValue<'a>,
    pub span: Range<usize>,
    pub file: Arc<str>,
    /// Dotted path of keys.
    pub path: String,
    /// What the rule of its key allows, where that is about whole numbers.
    pub limits: Option<Limits>,
}

impl<'a> Node<'a> {
    pub fn new(value: &'a Spanned<DeValue<'a>>, file: &Arc<str>, path: String) -> Self {
        Self {
            value: value.get_ref(),
            span: value.span(),
            file: file.clone(),
            path,
            limits: None,
        }
    }

    /// The same value, of which the rule of its key allows so much.
    #[must_use]
    pub fn within(self, limits: Option<Limits>) -> Self {
        Self { limits, ..self }
    }

    pub fn spot(&self) -> Spot {
        Spot {
            file: self.file.clone(),
            span: self.span.clone(),
        }
    }

    /// The last key of the path.
    pub fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or("")
    }

    /// The name of the entry of `section` that this key belongs to.
    pub fn owner(&self, section: &str) -> &str {
        let inside = self
            .path
            .strip_prefix(section)
            .and_then(|path| path.strip_prefix('.'));
        inside
            .and_then(|path| path.rsplit_once('.'))
            .map_or("", |(name, _)| name)
    }

    /// A text as messages quote it: as it is written, so that no value of a variable is shown,
    /// and without the password of a URL.
    pub fn quoted<'t>(&'t self, text: &'t str) -> std::borrow::Cow<'t, str> {
        secrecy::without_password(self.value.as_str().unwrap_or(text))
    }

    /// Says that the value is not of the wanted kind.
    pub fn wrong_type(&self, cx: &Cx, wanted: &str) {
        let found = self.value.type_str();
        let message = format!("`{}` must be {wanted}, not {found}", self.key());
        cx.report(
            Diagnostic::error("TY0202", message).at(&self.spot(), format!("expected {wanted}")),
        );
    }

    /// Says that the value is of the right kind, but wrong.
    pub fn invalid(&self, cx: &Cx, message: impl Into<String>, label: impl Into<String>) {
        cx.report(Diagnostic::error("TY0203", message).at(&self.spot(), label));
    }

    /// The table behind this node, or a report that it is none.
    pub fn table(&self, cx: &Cx) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table {
                table,
                node: self.clone(),
                known: Vec::new(),
                limits: Vec::new(),
            }),
            _ => {
                self.wrong_type(cx, "a table");
                None
            }
        }
    }

    /// The elements of an array; a single value counts as an array of one where `lenient`.
    pub fn elements(&self, cx: &Cx, lenient: bool) -> Vec<Node<'a>> {
        match self.value {
            DeValue::Array(array) => array
                .iter()
                .enumerate()
                .map(|(index, value)| {
                    let path = format!("{}[{index}]", self.path);
                    Node::new(value, &self.file, path).within(self.limits)
                })
                .collect(),
            _ if lenient => vec![self.clone()],
            _ => {
                self.wrong_type(cx, "an array");
                Vec::new()
            }
        }
    }
}

/// A type that a TOML value can become. `None`: the problems have been reported.
pub trait Read: Sized {
    fn read(node: &Node, cx: &Cx) -> Option<Self>;

    /// What it looks like, for the schema and the reference.
    fn shape() -> Shape;
}

/// A value and where it is written, for what is found out about it later.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    pub value: T,
    pub at: Place,
}

impl<T: Read> Read for Placed<T> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let at = super::place_of(node);
        T::read(node, cx).map(|value| Self { value, at })
    }

    fn shape() -> Shape {
        T::shape()
    }
}

/// A table being read; knows which keys have been asked for.
pub struct Table<'a> {
    table: &'a DeTable<'a>,
    pub node: Node<'a>,
    known: Vec<&'static str>,
    /// What the rules of its keys allow, where they are about whole numbers.
    limits: Vec<(&'static str, Limits)>,
}

impl<'a> Table<'a> {
    /// The value of a key.
    pub fn get(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        let mut limits = self.limits.iter();
        let limits = limits.find(|(name, _)| *name == key);
        let node = Node::new(value, &self.node.file, self.child(key));
        Some(node.within(limits.map(|(_, limits)| *limits)))
    }

    /// Notes what the rule of a key allows, before the key is read.
    pub fn expect(&mut self, key: &'static str, limits: Option<Limits>) {
        self.limits.extend(limits.map(|limits| (key, limits)));
    }

    /// Holds what is written for a key against a rule; what stands in for it needs none.
    pub fn held<T>(&self, key: &str, value: Option<T>, rule: &impl Rule<T>, cx: &Cx) -> Option<T> {
        let written = self.table.iter().find(|(name, _)| name.get_ref() == key);
        let Some((_, written)) = written else {
            return value;
        };
        let node = Node::new(written, &self.node.file, self.child(key));
        value.filter(|value| rule.holds(value, &node, cx))
    }

    /// Where a key is written.
    pub fn key_spot(&self, key: &str) -> Option<Spot> {
        let (name, _) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Spot {
            file: self.node.file.clone(),
            span: name.span(),
        })
    }

    fn child(&self, key: &str) -> String {
        if self.node.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.node.path)
        }
    }

    /// A value that must be there.
    pub fn required<T: Read>(&mut self, key: &'static str, cx: &Cx) -> Option<T> {
        match self.get(key) {
            Some(node) => T::read(&node, cx),
            None => {
                let message = match self.node.path.as_str() {
                    "" => format!("`{key}` is missing"),
                    path => format!("`{path}` needs `{key}`"),
                };
                let label = format!("`{key}` is missing here");
                cx.report(Diagnostic::error("TY0205", message).at(&self.node.spot(), label));
                None
            }
        }
    }

    /// A value that may be left out. `Err`: it is there, but wrong.
    pub fn optional<T: Read>(&mut self, key: &'static str, cx: &Cx) -> Result<Option<T>, ()> {
        match self.get(key) {
            Some(node) => T::read(&node, cx).map(Some).ok_or(()),
            None => Ok(None),
        }
    }

    /// Reports every key that was not asked for. The shape of the table tells where else it belongs.
    pub fn finish(self, cx: &Cx, shape: fn() -> Shape) {
        let unknown = self
            .table
            .iter()
            .filter(|(name, _)| !self.known.contains(&name.get_ref().as_ref()));
        for (name, value) in unknown {
            let spot = Spot {
                file: self.node.file.clone(),
                span: name.span(),
            };
            let whole = match self.node.path.as_str() {
                "" => "the file".to_owned(),
                path => format!("`{path}`"),
            };
            let message = format!("unknown key `{}` in {whole}", name.get_ref());
            let diagnostic =
                Diagnostic::error("TY0201", message).at(&spot, "not a key of this table");
            let key = UnknownKey {
                table: &self.node.path,
                key: name.get_ref(),
                value: value.get_ref(),
            };
            cx.report(key.placed(diagnostic, &spot, &self.known, shape));
        }
    }

    /// All entries, for tables whose keys are names.
    pub fn entries(&self) -> Vec<(Spanned<&'a str>, Node<'a>)> {
        self.table
            .iter()
            .map(|(name, value)| {
                let key = Spanned::new(name.span(), name.get_ref().as_ref());
                let node = Node::new(value, &self.node.file, self.child(name.get_ref()));
                (key, node.within(self.node.limits))
            })
            .collect()
    }
}

/// Reads `[section.NAME]`.
pub trait ReadNamed: Sized {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self>;
}

/// Reports something as not supported yet.
pub fn not_yet(cx: &Cx, spot: &Spot, what: &str) {
    let message = format!("{what} is not supported yet");
    let diagnostic = Diagnostic::error("TY0901", message).at(spot, "not supported yet");
    cx.report(diagnostic.help("take it out for now; this version of tyrian would not obey it"));
}

impl<T: Read> Read for Option<T> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        T::read(node, cx).map(Some)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

//! What reading a configuration has come to: what was found wrong, what was set, what was named.

use super::diagnostic::{Diagnostic, Spot};
use super::outside::{Named, Outside};
use super::reader::Node;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What reading has come to so far.
pub struct Cx<'e> {
    outside: Outside<'e>,
    /// The directory of each file, by its name.
    directories: HashMap<Arc<str>, PathBuf>,
    found: RefCell<Findings>,
}

#[derive(Debug, Default)]
pub struct Findings {
    pub diagnostics: Vec<Diagnostic>,
    pub references: Vec<Reference>,
    pub values: Vec<Value>,
    /// Files that values name: secrets and the like, watched beside the configuration itself.
    pub files: Vec<PathBuf>,
    /// Everything outside of the texts that values name.
    pub named: Named,
    /// Variables whose values are part of others, with those values: never to be shown.
    pub expanded: Vec<(String, String)>,
    /// Secrets that are written down where they do not belong: never to be shown.
    pub secrets: Vec<Spot>,
}

/// A value that was set, for `config show` and `diff`.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Dotted, such as `services.shop.timeouts.connect`.
    pub key: String,
    /// As TOML.
    pub text: String,
    /// As it is written, where values of the environment are part of it.
    pub written: Option<String>,
    /// In full, where it is the path of a file.
    pub path: Option<PathBuf>,
    pub file: Arc<str>,
    pub span: Range<usize>,
    /// Environment variables that it was made of.
    pub env: Vec<String>,
}

impl Value {
    /// As it may be shown: without the content of variables.
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

/// A name that must be defined elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub kind: Kind,
    pub name: String,
    pub spot: Spot,
    /// Who refers, such as ``route `cart` ``.
    pub from: String,
}

/// What a name names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Service,
    Version {
        service: String,
    },
    Route,
    /// An entry of this section.
    Entry(&'static str),
}

impl<'e> Cx<'e> {
    /// Reads what may see this of the machine, from files in these directories.
    pub fn new(outside: Outside<'e>, directories: HashMap<Arc<str>, PathBuf>) -> Self {
        Self {
            outside,
            directories,
            found: RefCell::default(),
        }
    }

    pub fn report(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().diagnostics.push(diagnostic);
    }

    pub fn refer(&self, reference: Reference) {
        self.found.borrow_mut().references.push(reference);
    }

    pub fn names_file(&self, path: PathBuf) {
        self.found.borrow_mut().files.push(path);
    }

    /// The full path of what a value names, relative to the file that it stands in. `None`: the
    /// configuration may not see it, which has been reported.
    pub fn path(&self, node: &Node, text: &str) -> Option<PathBuf> {
        let path = self.relative(node, text);
        if !self.outside.shows_file(&path) {
            self.unavailable(node, "this file");
            return None;
        }
        let mut found = self.found.borrow_mut();
        if let Some(value) = found
            .values
            .last_mut()
            .filter(|value| value.key == node.path)
        {
            value.path = Some(path.clone());
        }
        found.named.files.insert(path.clone());
        Some(path)
    }

    /// A path relative to the file that it is written in.
    pub fn relative(&self, node: &Node, text: &str) -> PathBuf {
        let directory = self.directories.get(&node.file);
        directory.map_or(Path::new(""), PathBuf::as_path).join(text)
    }

    /// The value of a variable that a text is made of, empty or not, or `None` inside where it is
    /// not set. `None`: the configuration may not see it, which has been reported.
    pub fn variable(&self, name: &str, node: &Node) -> Option<Option<String>> {
        // What a test compares with a secret would tell it letter by letter.
        let told = self.outside.is_limited() && node.path.starts_with("tests");
        if told || !self.outside.shows_variable(name) {
            self.unavailable(node, &format!("environment variable `{name}`"));
            return None;
        }
        let value = self.outside.variable(name);
        let mut found = self.found.borrow_mut();
        found.named.variables.insert(name.to_owned());
        let shown = value.as_ref().filter(|value| !value.is_empty());
        let known = found.expanded.iter().any(|(known, _)| known == name);
        if let Some(value) = shown.filter(|_| !known) {
            found.expanded.push((name.to_owned(), value.clone()));
        }
        Some(value)
    }

    /// Notes the variable that holds a secret. `None`: the configuration may not see it.
    pub fn secret_variable(&self, name: &str, node: &Node) -> Option<()> {
        if !self.outside.shows_secret(name) {
            self.unavailable(node, &format!("environment variable `{name}`"));
            return None;
        }
        self.found
            .borrow_mut()
            .named
            .secrets
            .insert(name.to_owned());
        Some(())
    }

    /// Notes a systemd credential. `None`: the configuration may not see it.
    pub fn credential(&self, name: &str, node: &Node) -> Option<()> {
        if !self.outside.shows_credential(name) {
            self.unavailable(node, &format!("credential `{name}`"));
            return None;
        }
        let mut found = self.found.borrow_mut();
        found.named.credentials.insert(name.to_owned());
        Some(())
    }

    /// Notes a secret that is written down, so that no excerpt shows it.
    pub fn hide(&self, spot: Spot) {
        self.found.borrow_mut().secrets.push(spot);
    }

    fn unavailable(&self, node: &Node, what: &str) {
        let message = format!("{what} is not available here");
        let diagnostic = Diagnostic::error("TY0508", message);
        let diagnostic = diagnostic.at(&node.spot(), "the live configuration does not name it");
        self.report(diagnostic.help("change the file itself, and reload"));
    }

    pub fn record(&self, node: &Node, text: String, env: Vec<String>) {
        self.record_as(node, text, None, env);
    }

    /// As [`record`](Self::record), of a value that is shown as it is written.
    pub fn record_as(&self, node: &Node, text: String, written: Option<String>, env: Vec<String>) {
        let value = Value {
            key: node.path.clone(),
            text,
            written,
            path: None,
            file: node.file.clone(),
            span: node.span.clone(),
            env,
        };
        self.found.borrow_mut().values.push(value);
    }

    pub fn finish(self) -> Findings {
        self.found.into_inner()
    }
}

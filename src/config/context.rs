//! What reading a configuration has come to: what was found wrong, what was set, what was named.

use super::diagnostic::{Diagnostic, Spot};
use super::opaque;
use super::outside::{Named, Outside, Use};
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
        if !self.outside.shows(&node.path, Use::File(path.clone())) {
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
        found.named.add(&node.path, Use::File(path.clone()));
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
        let written = node.value.as_str().unwrap_or_default().to_owned();
        let used = Use::Text(written);
        if told || !self.outside.shows(&node.path, used.clone()) {
            self.unavailable(node, &format!("environment variable `{name}`"));
            return None;
        }
        let value = self.outside.variable(name);
        let mut found = self.found.borrow_mut();
        found.named.add(&node.path, used);
        // What stands in for an opaque value needs not be taken out of messages. To look for the
        // value in them would tell a caller who guesses it.
        let opaque = self.outside.is_opaque();
        let shown = value.as_ref().filter(|value| !value.is_empty() && !opaque);
        let known = found.expanded.iter().any(|(known, _)| known == name);
        if let Some(value) = shown.filter(|_| !known) {
            found.expanded.push((name.to_owned(), value.clone()));
        }
        Some(value)
    }

    /// Notes the variable that holds a secret. `None`: the configuration may not see it.
    pub fn secret_variable(&self, name: &str, node: &Node) -> Option<()> {
        let used = Use::Secret(name.to_owned());
        if !self.outside.shows(&node.path, used.clone()) {
            self.unavailable(node, &format!("environment variable `{name}`"));
            return None;
        }
        self.found.borrow_mut().named.add(&node.path, used);
        Some(())
    }

    /// Notes a systemd credential. `None`: the configuration may not see it.
    pub fn credential(&self, name: &str, node: &Node) -> Option<()> {
        let used = Use::Credential(name.to_owned());
        if !self.outside.shows(&node.path, used.clone()) {
            self.unavailable(node, &format!("credential `{name}`"));
            return None;
        }
        self.found.borrow_mut().named.add(&node.path, used);
        Some(())
    }

    /// Notes a secret that is written down, so that no excerpt shows it.
    pub fn hide(&self, spot: Spot) {
        self.found.borrow_mut().secrets.push(spot);
    }

    fn unavailable(&self, node: &Node, what: &str) {
        let message = format!("{what} is not available here");
        let diagnostic = Diagnostic::error("TY0508", message);
        let label = "the live configuration does not have it at this key, or writes it otherwise";
        let diagnostic = diagnostic.at(&node.spot(), label);
        self.report(diagnostic.help("change the file itself, and reload"));
    }

    /// A text with the values of variables in it, as the checks may see it: where values must
    /// change nothing, something else that does for the key. `None`: nothing does, which has been
    /// reported.
    pub fn judged(&self, text: String, node: &Node) -> Option<String> {
        if !self.outside.is_opaque() {
            return Some(text);
        }
        let stand_in = opaque::stand_in(&node.path, node.span.start);
        if stand_in.is_none() {
            let message = format!("`{}` holds a variable, and cannot be judged", node.key());
            let label = "compared with other parts of the text";
            let diagnostic = Diagnostic::error("TY0508", message).at(&node.spot(), label);
            let help =
                "the token that may change the configuration can check it, or `tyrian check`";
            self.report(diagnostic.help(help));
        }
        stand_in
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

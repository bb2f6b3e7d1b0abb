//! What a configuration says, value by value: for `config show`, and for the difference between
//! two generations in the terms of the file.

use super::place::Places;
use super::reader::Value;
use super::source::Loaded;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One value that differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted, such as `services.shop.timeouts.connect`.
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
    /// Whether it takes a restart to have an effect.
    pub restart: bool,
}

/// What has changed from one set of values to another.
pub fn diff(before: &[Value], after: &[Value]) -> Vec<Change> {
    let (before, after) = (index(before), index(after));
    let mut changes = Vec::new();
    for (key, old) in &before {
        let new = after.get(key);
        // Another form is a change whatever the value: a literal that equals what a variable holds
        // would tell a caller who guesses it.
        let same = |new: &&Value| (&new.text, &new.written) == (&old.text, &old.written);
        if !new.is_some_and(same) {
            changes.push(change(key, Some(old), new.copied()));
        }
    }
    for (key, new) in &after {
        if !before.contains_key(key) {
            changes.push(change(key, None, Some(new)));
        }
    }
    changes.sort_by(|one, two| one.key.cmp(&two.key));
    changes
}

/// By key; tests change nothing that is served.
fn index(values: &[Value]) -> BTreeMap<&str, &Value> {
    let served = values
        .iter()
        .filter(|value| !value.key.starts_with("tests"));
    served.map(|value| (value.key.as_str(), value)).collect()
}

fn change(key: &str, before: Option<&Value>, after: Option<&Value>) -> Change {
    let shown = |value: &Value| value.shown().to_owned();
    Change {
        key: key.to_owned(),
        before: before.map(shown),
        after: after.map(shown),
        restart: needs_restart(key),
    }
}

/// Sockets and threads are made at start; everything else applies live.
fn needs_restart(key: &str) -> bool {
    let socket = key.starts_with("listeners.") && key.contains(".tcp.");
    socket || matches!(key, "admin.bind" | "admin.metrics" | "server.threads")
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let note = if self.restart {
            "  (needs a restart)"
        } else {
            ""
        };
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                write!(f, "~ {}  {before} → {after}{note}", self.key)
            }
            (None, Some(after)) => write!(f, "+ {}  {after}{note}", self.key),
            (Some(before), None) => write!(f, "- {}  {before}{note}", self.key),
            (None, None) => write!(f, "  {}", self.key),
        }
    }
}

/// Everything that is set, with where it comes from. Secrets are never values, only places; what
/// is made of variables is shown as it is written, and the path of a file also in full.
pub fn show(loaded: &Loaded) -> String {
    let mut values: Vec<&Value> = loaded.values.iter().collect();
    values.sort_by(|one, two| one.key.cmp(&two.key));
    let places = Places::new(&loaded.sources);
    let mut text = String::new();
    for value in values {
        let (line, _) = places.position(&value.file, value.span.start);
        let line_text = format!("{} = {}", value.key, value.shown());
        let env = match value.env.as_slice() {
            [] => String::new(),
            names => format!(", env {}", names.join(", ")),
        };
        let path = match &value.path {
            None => String::new(),
            Some(path) => format!(", {}", path.display()),
        };
        let _ = writeln!(text, "{line_text:<60} # {}:{line}{env}{path}", value.file);
    }
    text
}

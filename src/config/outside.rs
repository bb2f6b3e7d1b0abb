//! What of the machine a configuration may see: variables of the environment, and files.
//!
//! A file of the machine may name whatever the process can read. A text that comes through the API
//! may use of it only what the live configuration uses, at the same key and in the same form. At
//! another key, or as a part of another text, a value would be compared with what the caller wrote,
//! and the answers would tell it letter by letter.

use super::reader::Env;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a configuration names outside of its texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Configuration files and patterns of them, in full.
    pub includes: BTreeSet<PathBuf>,
    /// What is used, with the key that uses it; indices of arrays are left out of the key.
    pub uses: BTreeSet<(String, Use)>,
}

/// Something of the machine that a key uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A text with variables in it, as it is written.
    Text(String),
    /// A file, in full.
    File(PathBuf),
    /// A variable that holds a secret.
    Secret(String),
    /// A systemd credential.
    Credential(String),
}

impl Named {
    /// Notes what the key of this path uses.
    pub fn add(&mut self, path: &str, used: Use) {
        self.uses.insert((without_indices(path), used));
    }

    fn has(&self, path: &str, used: Use) -> bool {
        self.uses.contains(&(without_indices(path), used))
    }
}

/// A path of keys with `[]` for each `[3]`, so that elements may be added and moved.
fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for part in path.split_inclusive('[') {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let rest = part.get(digits..).unwrap_or_default();
        let index = out.ends_with('[') && rest.starts_with(']');
        out.push_str(if index { rest } else { part });
    }
    out
}

/// What the values of variables may change in what is said about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Everything: the caller may put the text to work, and see the values so.
    Count,
    /// Nothing: others stand in for them. The caller may only look.
    Opaque,
}

/// The environment, and what of the machine may be seen.
#[derive(Clone, Copy)]
pub struct Outside<'e> {
    env: Env<'e>,
    /// `None`: everything.
    only: Option<&'e Named>,
    values: Values,
}

impl<'e> Outside<'e> {
    /// Everything may be seen.
    pub const fn open(env: Env<'e>) -> Self {
        Self {
            env,
            only: None,
            values: Values::Count,
        }
    }

    /// Only this may be used.
    pub const fn only(env: Env<'e>, named: &'e Named, values: Values) -> Self {
        Self {
            env,
            only: Some(named),
            values,
        }
    }

    /// Whether something is held back at all.
    pub const fn is_limited(&self) -> bool {
        self.only.is_some()
    }

    /// The value of a variable, empty or not; `None` where it is not set.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Whether values of variables must change nothing in what is said.
    pub fn is_opaque(&self) -> bool {
        self.values == Values::Opaque
    }

    /// Whether the key of this path may use this.
    pub fn shows(&self, path: &str, used: Use) -> bool {
        self.only.is_none_or(|named| named.has(path, used))
    }
}

#[cfg(test)]
mod tests {
    use super::{Named, Use, without_indices};

    #[test]
    fn a_key_is_the_same_at_every_index() {
        for (path, expected) in [
            ("a.b", "a.b"),
            ("a[0].b[12]", "a[].b[]"),
            ("a[x].b[1", "a[x].b[1"),
            ("a1]", "a1]"),
            ("12[3]", "12[]"),
            ("", ""),
        ] {
            assert_eq!(without_indices(path), expected);
        }
    }

    #[test]
    fn a_use_is_known_by_key_and_form() {
        let text = |text: &str| Use::Text(text.to_owned());
        let mut named = Named::default();
        named.add("a.b[0]", text("${X}"));
        assert!(named.has("a.b[1]", text("${X}")));
        assert!(!named.has("a.c[0]", text("${X}")));
        assert!(!named.has("a.b[0]", text("${X:-x}")));
        assert!(!named.has("a.b[0]", Use::Secret("${X}".to_owned())));
    }
}

//! What is wrong with a configuration, where, and how to mend it: one type, many renderings.

use std::ops::Range;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Stable, such as `TY0101`; `tyrian explain TY0101` prints its long text.
    pub code: &'static str,
    pub severity: Severity,
    /// Lower case, no full stop.
    pub message: String,
    /// The first is the primary one; empty when the problem has no place in a file.
    pub labels: Vec<Label>,
    pub help: Option<String>,
    pub patch: Option<Patch>,
}

/// A place in a file and what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub file: Arc<str>,
    /// Bytes.
    pub span: Range<usize>,
    pub text: String,
}

/// A replacement that would mend the problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    pub file: Arc<str>,
    pub span: Range<usize>,
    pub replacement: String,
}

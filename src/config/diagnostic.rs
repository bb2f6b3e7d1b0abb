//! What is wrong with a configuration, where, and how to mend it: one type, many renderings.

use std::ops::Range;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
    /// Nothing is wrong; it is only worth knowing.
    Note,
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

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            patch: None,
        }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, message)
        }
    }

    /// Adds a place; the first one added is the primary.
    #[must_use]
    pub fn at(mut self, place: &Spot, text: impl Into<String>) -> Self {
        let label = Label {
            file: place.file.clone(),
            span: place.span.clone(),
            text: text.into(),
        };
        self.labels.push(label);
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Proposes to replace what stands at `place`.
    #[must_use]
    pub fn patch(mut self, place: &Spot, replacement: impl Into<String>) -> Self {
        self.patch = Some(Patch {
            file: place.file.clone(),
            span: place.span.clone(),
            replacement: replacement.into(),
        });
        self
    }
}

/// A span in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub file: Arc<str>,
    pub span: Range<usize>,
}

/// The known name that was probably meant.
pub fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let scored = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = scored.max_by(|(one, _), (two, _)| one.total_cmp(two));
    best.filter(|(score, _)| *score > 0.8).map(|(_, name)| name)
}

/// Sorts by file, in the order in which files were read, and position.
pub fn by_place(diagnostics: &mut [Diagnostic], sources: &[super::source::Source]) {
    let order = |name: &str| {
        let mut sources = sources.iter();
        sources.position(|source| source.name.as_ref() == name)
    };
    diagnostics.sort_by_key(|found| {
        let label = found.labels.first();
        label.map(|label| (order(&label.file), label.span.start))
    });
}

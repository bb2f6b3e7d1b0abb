//! Diagnostics for people, for programs and for code-scanning tools.

use super::diagnostic::{Diagnostic, Label, Severity};
use super::source::{Loaded, Source};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write;

impl Loaded {
    /// All diagnostics as people read them, with a closing count.
    pub fn render_human(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Unicode);
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            let _ = writeln!(text, "{}\n", renderer.render(&self.report(diagnostic)));
        }
        let plural = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            count => Some(format!("{count} {what}s")),
        };
        let errors = plural(self.count(Severity::Error), "error");
        let warnings = plural(self.count(Severity::Warning), "warning");
        let notes = plural(self.count(Severity::Note), "note");
        let counts: Vec<String> = errors.into_iter().chain(warnings).chain(notes).collect();
        if !counts.is_empty() {
            let _ = writeln!(text, "{}", counts.join(", "));
        }
        text
    }

    fn source(&self, name: &str) -> Option<&Source> {
        self.sources
            .iter()
            .find(|source| source.name.as_ref() == name)
    }

    fn report<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code);
        let mut group = Group::with_title(title);
        for (index, label) in diagnostic.labels.iter().enumerate() {
            let Some(source) = self.source(&label.file) else {
                continue;
            };
            let kind = if index == 0 {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let span = within(label, &source.text);
            let annotation = kind.span(span).label(label.text.as_str());
            let snippet = Snippet::source(source.text.as_ref()).path(source.name.as_ref());
            group = group.element(snippet.annotation(annotation));
        }
        let mut groups = vec![group];
        if let Some(help) = &diagnostic.help {
            let mut group = Group::with_title(Level::HELP.secondary_title(help.as_str()));
            if let Some(patch) = &diagnostic.patch
                && let Some(source) = self.source(&patch.file)
                && source.text.get(patch.span.clone()).is_some()
            {
                let patch = Patch::new(patch.span.clone(), patch.replacement.as_str());
                group = group.element(Snippet::source(source.text.as_ref()).patch(patch));
            }
            groups.push(group);
        }
        groups
    }

    /// All diagnostics as data. The fields are stable.
    pub fn render_json(&self) -> Value {
        let one = |diagnostic: &Diagnostic| {
            let labels: Vec<Value> = diagnostic.labels.iter().map(|l| self.label(l)).collect();
            json!({
                "code": diagnostic.code,
                "severity": severity(diagnostic.severity),
                "message": diagnostic.message,
                "labels": labels,
                "help": diagnostic.help,
                "patch": diagnostic.patch.as_ref().map(|patch| json!({
                    "file": &*patch.file,
                    "start": patch.span.start,
                    "end": patch.span.end,
                    "replacement": patch.replacement,
                })),
            })
        };
        json!({
            "ok": self.config.is_some(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
            "diagnostics": self.diagnostics.iter().map(one).collect::<Vec<_>>(),
        })
    }

    fn label(&self, label: &Label) -> Value {
        let text = self.source(&label.file).map_or("", |source| &source.text);
        let (line, column) = position(text, label.span.start);
        json!({
            "file": &*label.file,
            "line": line,
            "column": column,
            "start": label.span.start,
            "end": label.span.end,
            "text": label.text,
        })
    }

    /// SARIF 2.1.0, for code-scanning tools.
    pub fn render_sarif(&self) -> Value {
        let result = |diagnostic: &Diagnostic| {
            let locations: Vec<Value> = diagnostic
                .labels
                .iter()
                .take(1)
                .map(|label| {
                    let text = self.source(&label.file).map_or("", |source| &source.text);
                    let (line, column) = position(text, label.span.start);
                    json!({ "physicalLocation": {
                        "artifactLocation": { "uri": &*label.file },
                        "region": { "startLine": line, "startColumn": column },
                    }})
                })
                .collect();
            json!({
                "ruleId": diagnostic.code,
                "level": severity(diagnostic.severity),
                "message": { "text": diagnostic.message },
                "locations": locations,
            })
        };
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "tyrian", "version": env!("CARGO_PKG_VERSION") } },
                "results": self.diagnostics.iter().map(result).collect::<Vec<_>>(),
            }],
        })
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A span that lies within the text, on character boundaries.
fn within(label: &Label, text: &str) -> std::ops::Range<usize> {
    let fit = |at: usize| {
        let at = at.min(text.len());
        (0..=at)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let start = fit(label.span.start);
    start..fit(label.span.end).max(start)
}

/// 1-based line and column (in characters) of a byte.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |feed| feed + 1);
    let line = before.matches('\n').count() + 1;
    (
        line,
        before
            .get(line_start..)
            .map_or(0, |rest| rest.chars().count())
            + 1,
    )
}

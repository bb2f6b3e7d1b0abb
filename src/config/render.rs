//! Diagnostics for people, for programs and for code-scanning tools.

use super::diagnostic::{Diagnostic, Label, Severity, Spot};
use super::hidden::beyond_ascii;
use super::place::{Excerpt, Places};
use super::secrecy;
use super::source::Loaded;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

impl Loaded {
    /// All diagnostics as people read them, with a closing count.
    pub fn render_human(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Unicode);
        let places = Places::new(&self.sources);
        let hidden = Hidden::of(self);
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            let report = report(diagnostic, &places, &hidden);
            match diagnostic.labels.is_empty() {
                false => text.push_str(&renderer.render(&report)),
                // Without an excerpt there is nothing that lines would have to lead on from.
                true => {
                    let parts = report.chunks(1).map(|part| renderer.render(part));
                    text.push_str(&parts.collect::<Vec<_>>().join("\n"));
                }
            }
            text.push_str("\n\n");
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
        // The renderer takes care of controls in ASCII and of directions, not of all others.
        beyond_ascii(&text).into_owned()
    }

    /// All diagnostics as data. The fields are stable.
    pub fn render_json(&self) -> Value {
        let places = Places::new(&self.sources);
        let one = |diagnostic: &Diagnostic| {
            let labels = diagnostic.labels.iter().map(|one| label(one, &places));
            let labels: Vec<Value> = labels.collect();
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

    /// SARIF 2.1.0, for code-scanning tools.
    pub fn render_sarif(&self) -> Value {
        let places = Places::new(&self.sources);
        let result = |diagnostic: &Diagnostic| {
            let locations: Vec<Value> = diagnostic
                .labels
                .iter()
                .take(1)
                .map(|label| {
                    let (line, column) = places.position(&label.file, label.span.start);
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

/// What excerpts must not show.
struct Hidden<'a> {
    secrets: &'a [Spot],
    /// Files that are not TOML: what is a secret in them is not known.
    broken: Vec<&'a str>,
}

impl<'a> Hidden<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let torn = loaded
            .diagnostics
            .iter()
            .filter(|found| found.code == "TY0001");
        let labels = torn.flat_map(|found| &found.labels);
        Self {
            secrets: &loaded.secrets,
            broken: labels.map(|label| &*label.file).collect(),
        }
    }

    /// The text of an excerpt, without secrets.
    fn shown<'t>(&self, file: &str, excerpt: &Excerpt<'t>) -> Cow<'t, str> {
        let broken = self.broken.contains(&file);
        // The file may be of another kind, and included by mistake: a secret perhaps.
        let kind = Path::new(file).extension();
        if broken && kind.is_none_or(|kind| kind != "toml") {
            return secrecy::nothing_of(excerpt.text).into();
        }
        let own = self.secrets.iter().filter(|secret| *secret.file == *file);
        let spans: Vec<_> = own.map(|secret| excerpt.own(&secret.span)).collect();
        secrecy::excerpt(excerpt.text, &spans, broken)
    }
}

fn report<'a>(
    diagnostic: &'a Diagnostic,
    places: &Places<'a>,
    hidden: &Hidden<'a>,
) -> Vec<Group<'a>> {
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
        let Some(lines) = places.of(&label.file) else {
            continue;
        };
        let kind = if index == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let span = within(label, &lines.source.text);
        let excerpt = lines.around(&span);
        let snippet = Snippet::source(hidden.shown(&label.file, &excerpt))
            .line_start(excerpt.line)
            .path(lines.source.name.as_ref());
        let annotation = kind.span(excerpt.own(&span)).label(label.text.as_str());
        group = group.element(snippet.annotation(annotation));
    }
    let mut groups = vec![group];
    if let Some(help) = &diagnostic.help {
        let mut group = Group::with_title(Level::HELP.secondary_title(help.as_str()));
        if let Some(patch) = &diagnostic.patch
            && let Some(lines) = places.of(&patch.file)
            && lines.source.text.get(patch.span.clone()).is_some()
        {
            let excerpt = lines.around(&patch.span);
            let replaced = Patch::new(excerpt.own(&patch.span), patch.replacement.as_str());
            let shown = hidden.shown(&patch.file, &excerpt);
            let snippet = Snippet::source(shown).line_start(excerpt.line);
            group = group.element(snippet.patch(replaced));
        }
        groups.push(group);
    }
    groups
}

fn label(label: &Label, places: &Places<'_>) -> Value {
    let (line, column) = places.position(&label.file, label.span.start);
    json!({
        "file": &*label.file,
        "line": line,
        "column": column,
        "start": label.span.start,
        "end": label.span.end,
        "text": label.text,
    })
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

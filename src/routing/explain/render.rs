//! The explanation as people read it.

use super::Explanation;
use std::fmt::Write;

/// Column where places begin.
const PLACE_COLUMN: usize = 72;

/// Draws the explanation; with `color`, marks are colored (never the only sign).
pub fn render(explanation: &Explanation, color: bool) -> String {
    let mut picture = Picture {
        text: String::new(),
        color,
    };
    let request = &explanation.request;
    let trusted = if request.trusted {
        "trusted"
    } else {
        "not trusted"
    };
    picture.row(
        true,
        "client",
        &format!("{}  {trusted}", request.client),
        "",
    );
    picture.route(explanation);
    if let Some(other) = &explanation.other_reading {
        let text = format!("{} by other parsers: route {}", other.path, other.route);
        picture.row(other.allowed, "may be read as", &text, "");
    }
    picture.color(explanation);
    picture.target(explanation);
    for policy in &explanation.policies {
        picture.row(!policy.trouble, &policy.name, &policy.value, "");
    }
    match (&explanation.refusal, explanation.status) {
        (Some(refused), _) => {
            let text = format!("{} {}", refused.status, refused.reason);
            picture.row(false, "refused", &text, "");
        }
        (None, Some(status)) => picture.row(true, "answer", &status.to_string(), ""),
        (None, None) => {}
    }
    picture.text
}

struct Picture {
    text: String,
    color: bool,
}

impl Picture {
    fn row(&mut self, good: bool, label: &str, text: &str, place: &str) {
        let mark = match (good, self.color) {
            (true, true) => "\u{1b}[32m✓\u{1b}[0m",
            (false, true) => "\u{1b}[31m✗\u{1b}[0m",
            (true, false) => "✓",
            (false, false) => "✗",
        };
        let line = format!("{label:<16} {text}");
        let gap = if place.is_empty() {
            0
        } else {
            PLACE_COLUMN.saturating_sub(line.chars().count())
        };
        let _ = writeln!(
            self.text,
            "{mark} {line}{:gap$}{}{place}",
            "",
            if gap > 0 { " " } else { "" }
        );
    }

    fn note(&mut self, name: &str, text: &str, place: &str) {
        let line = format!("    ✗ {name:<14} {text}");
        let _ = writeln!(self.text, "{line:<PLACE_COLUMN$}   {place}");
    }

    fn route(&mut self, explanation: &Explanation) {
        match &explanation.route {
            Some(route) => {
                let place = place(&route.file, route.line);
                self.row(
                    true,
                    "route",
                    &format!("{}  {}", route.name, route.matched),
                    &place,
                );
            }
            None => self.row(false, "route", "none matches", ""),
        }
        for rejected in &explanation.rejected {
            self.note(
                &rejected.name,
                &rejected.why,
                &place(&rejected.file, rejected.line),
            );
        }
        if explanation.rejected_more > 0 {
            let _ = writeln!(self.text, "    … and {} more", explanation.rejected_more);
        }
    }

    fn color(&mut self, explanation: &Explanation) {
        let color = &explanation.color;
        let text = match (&color.requested, &color.served, &color.reason) {
            (Some(requested), _, Some(reason)) => {
                let why = match reason.as_str() {
                    "breaker" => "the breaker of its version is open".to_owned(),
                    "expired" => "it has expired".to_owned(),
                    reason => format!("its version is {reason}"),
                };
                format!("{requested} ← {}; {why}", color.origin)
            }
            (Some(requested), ..) => format!("{requested} ← {}", color.origin),
            (None, ..) => format!("none: {}", color.origin),
        };
        self.row(color.reason.is_none(), "color", &text, "");
    }

    fn target(&mut self, explanation: &Explanation) {
        for passed in &explanation.passed_over {
            let text = format!("version {}: {}", passed.version, passed.why);
            self.row(false, "passed over", &text, "");
        }
        let (Some(service), Some(version)) = (&explanation.service, &explanation.version) else {
            return;
        };
        let healthy = explanation
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.healthy)
            .count();
        let of = explanation.endpoints.len();
        let mut sources = explanation
            .endpoints
            .iter()
            .filter_map(|one| one.source.as_deref());
        let source = sources.next().map(|source| format!(", from {source}"));
        let source = source.unwrap_or_default();
        let text = format!("{service} → version {version} ({healthy} of {of} healthy{source})");
        self.row(healthy > 0, "service", &text, "");
        for endpoint in &explanation.endpoints {
            if let Some(state) = &endpoint.state {
                let _ = writeln!(self.text, "    ✗ {} {state}", endpoint.address);
            }
        }
        let path = explanation.upstream_path.as_deref().unwrap_or("/");
        let host = explanation
            .upstream_host
            .as_deref()
            .unwrap_or(&explanation.request.host);
        self.row(
            true,
            "upstream",
            &format!("{} {host}{path}", explanation.request.method),
            "",
        );
    }
}

fn place(file: &str, line: u32) -> String {
    if file.is_empty() {
        String::new()
    } else {
        format!("{file}:{line}")
    }
}

//! What a reload has come to: told to whoever asked, in the same words everywhere.

use super::Trial;
use crate::config::diagnostic::Diagnostic;
use crate::config::{Change, Loaded};
use crate::replay::Report;
use crate::upstream::Carried;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Instant;

/// What became of the new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is live.
    Applied,
    /// It is what is live already.
    Unchanged,
    /// It is not sound; the last good generation goes on.
    Rejected,
    /// It would be applied (a check, not a reload).
    Acceptable,
}

/// The verdict on a configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The generation that is live now.
    pub generation: u64,
    pub took_ms: f64,
    pub changes: Vec<Change>,
    /// What was taken over from the generation before, and what starts anew.
    pub state: Carried,
    /// Keys whose change waits for a restart; until then they stay as they were.
    pub needs_restart: Vec<String>,
    pub diagnostics: serde_json::Value,
    /// The diagnostics as people read them.
    pub rendered: String,
    /// What would change for recent requests, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Report>,
    /// Until when it must be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// A configuration that was refused: what `status` tells of it as long as it matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejected {
    /// RFC 3339.
    pub time: String,
    pub trigger: super::Trigger,
    pub rendered: String,
}

impl Rejected {
    pub fn new(loaded: &Loaded, trigger: super::Trigger) -> Self {
        Self {
            time: jiff::Timestamp::now().to_string(),
            trigger,
            rendered: loaded.render_human(false),
        }
    }
}

/// Codes of what is wrong with files that a live configuration names.
const FILES: [&str; 4] = ["TY0505", "TY0506", "TY0507", "TY0509"];

/// What is wrong with files that a configuration names, though it can be put to work.
fn of_files(loaded: &Loaded) -> impl Iterator<Item = &Diagnostic> {
    let found = loaded.diagnostics.iter();
    found.filter(|found| FILES.contains(&found.code))
}

/// Logs it, a line each.
pub fn warn_of_files(loaded: &Loaded) {
    for found in of_files(loaded) {
        let help = found.help.as_deref();
        tracing::warn!(code = found.code, help, "{}", found.message);
    }
}

impl Verdict {
    fn new(outcome: Outcome, generation: u64) -> Self {
        Self {
            outcome,
            generation,
            took_ms: 0.0,
            changes: Vec::new(),
            state: Carried::default(),
            needs_restart: Vec::new(),
            diagnostics: serde_json::json!([]),
            rendered: String::new(),
            replay: None,
            trial: None,
        }
    }

    pub fn unchanged(generation: u64) -> Self {
        Self::new(Outcome::Unchanged, generation)
    }

    /// Nothing has changed; what is wrong with files is told all the same, as long as it is.
    pub fn settled(generation: u64, loaded: &Loaded) -> Self {
        match of_files(loaded).next() {
            None => Self::unchanged(generation),
            Some(_) => Self::telling(Outcome::Unchanged, generation, loaded),
        }
    }

    pub fn failed(generation: u64, why: &str) -> Self {
        Self {
            rendered: format!("{why}\n"),
            ..Self::new(Outcome::Rejected, generation)
        }
    }

    pub fn applied(
        generation: u64,
        started: Instant,
        changes: Vec<Change>,
        state: Carried,
        loaded: &Loaded,
    ) -> Self {
        let needs_restart = changes.iter().filter(|change| change.restart);
        Self {
            took_ms: started.elapsed().as_secs_f64() * 1e3,
            needs_restart: needs_restart.map(|change| change.key.clone()).collect(),
            changes,
            state,
            ..Self::telling(Outcome::Applied, generation, loaded)
        }
    }

    pub fn rejected(generation: u64, loaded: &Loaded) -> Self {
        Self::telling(Outcome::Rejected, generation, loaded)
    }

    /// A verdict with the diagnostics of what was loaded.
    fn telling(outcome: Outcome, generation: u64, loaded: &Loaded) -> Self {
        let json = loaded.render_json();
        Self {
            diagnostics: json.get("diagnostics").cloned().unwrap_or_default(),
            rendered: loaded.render_human(false),
            ..Self::new(outcome, generation)
        }
    }

    /// As people read it.
    pub fn render(&self) -> String {
        let mut text = self.rendered.clone();
        let _ = match self.outcome {
            Outcome::Applied => {
                writeln!(
                    text,
                    "generation {} is live ({:.1} ms)",
                    self.generation, self.took_ms
                )
            }
            Outcome::Unchanged => {
                writeln!(
                    text,
                    "nothing has changed; generation {} is live",
                    self.generation
                )
            }
            Outcome::Rejected => writeln!(
                text,
                "refused; still serving generation {}",
                self.generation
            ),
            Outcome::Acceptable => {
                writeln!(text, "acceptable; generation {} is live", self.generation)
            }
        };
        for change in &self.changes {
            let _ = writeln!(text, "  {change}");
        }
        for reset in &self.state.reset {
            let _ = writeln!(text, "  ! {reset}");
        }
        text
    }
}

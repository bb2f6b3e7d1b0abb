//! From paths to texts: files, directories, and what they include.

use super::diagnostic::{Diagnostic, Spot};
use super::source::{Loaded, Source};
use crate::files::{self, pattern};
use std::io::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest configuration file, in bytes.
const FILE_MAX: usize = 64 << 20;
/// Most files in one configuration.
pub const FILES_MAX: usize = 1000;

/// The texts of a configuration.
#[derive(Default)]
pub struct Files<'l> {
    pub sources: Vec<Source>,
    /// Every file that was read or named, for watching.
    pub inputs: Vec<PathBuf>,
    pub problems: Vec<Diagnostic>,
    /// Whether files were left out because there are too many.
    full: bool,
    /// Includes are taken from this, and from nowhere else.
    live: Option<&'l Loaded>,
}

/// A file to read: as it is named in messages, and where it is.
struct File {
    name: PathBuf,
    path: PathBuf,
}

impl<'l> Files<'l> {
    /// These texts, and nothing that they include.
    pub fn of(sources: Vec<Source>) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// A text, whose includes are those of the live configuration.
    pub fn posted(text: Source, live: &'l Loaded) -> Self {
        Self {
            live: Some(live),
            ..Self::of(vec![text])
        }
    }

    /// Reads a file, or all `*.toml` of a directory.
    pub fn gather(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.read(path, None);
        }
        self.inputs.push(path.to_owned());
        self.pattern(&path.join("*.toml"), None);
        if self.sources.is_empty() && self.problems.is_empty() {
            let message = format!("no *.toml in {}", full(path).display());
            self.problems.push(Diagnostic::error("TY0502", message));
        }
    }

    fn read(&mut self, path: &Path, from: Option<&Spot>) {
        if self.inputs.iter().any(|known| known == path) {
            return;
        }
        if !self.has_room(from) {
            return;
        }
        self.inputs.push(path.to_owned());
        match files::read_text(path, FILE_MAX) {
            Ok(text) => {
                let name = path.to_string_lossy();
                self.sources.push(Source::at(&name, path, &text));
            }
            Err(error) => self.unreadable(path, &error, from),
        }
    }

    /// Whether one more file may be added. That there are too many is said once.
    fn has_room(&mut self, from: Option<&Spot>) -> bool {
        if self.sources.len() < FILES_MAX {
            return true;
        }
        let message = format!("more than {FILES_MAX} files in one configuration");
        if !std::mem::replace(&mut self.full, true) {
            self.problem(Diagnostic::error("TY0502", message), from);
        }
        false
    }

    fn unreadable(&mut self, path: &Path, error: &Error, from: Option<&Spot>) {
        let message = format!("cannot read {}: {error}", full(path).display());
        self.problem(Diagnostic::error("TY0502", message), from);
    }

    fn problem(&mut self, diagnostic: Diagnostic, from: Option<&Spot>) {
        self.problems.push(match from {
            Some(spot) => diagnostic.at(spot, "included here"),
            None => diagnostic,
        });
    }

    /// Reads all files of a pattern, sorted. A pattern that matches nothing is fine.
    fn pattern(&mut self, pattern: &Path, from: Option<&Spot>) {
        match pattern::find(pattern) {
            Ok(found) => {
                // A directory that cannot be read may hide files that belong here.
                for (path, error) in &found.unreadable {
                    self.unreadable(path, error, from);
                }
                for path in found.paths {
                    self.read(&path, from);
                }
            }
            Err(error) => {
                let message = format!("cannot look for `{}`: {error}", pattern.display());
                self.problem(Diagnostic::error("TY0203", message), from);
            }
        }
    }

    /// Reads what the texts include. Includes may include; a file is read once, so circles end.
    pub fn follow_includes(&mut self) {
        let mut next = 0;
        while let Some(source) = self.sources.get(next).cloned() {
            next += 1;
            if !source.text.contains("include") {
                continue; // parsing twice is dear when there are thousands of routes
            }
            let (tree, _) = DeTable::parse_recoverable(&source.text);
            for (text, span) in included(tree.get_ref()) {
                let spot = Spot {
                    file: source.name.clone(),
                    span,
                };
                match text {
                    Some(text) => self.include(&source, text, &spot),
                    None => {
                        let message = "`include` must be file patterns";
                        let diagnostic = Diagnostic::error("TY0202", message);
                        let label = "expected a text in quotes";
                        self.problems.push(diagnostic.at(&spot, label));
                    }
                }
            }
        }
    }

    fn include(&mut self, source: &Source, text: &str, spot: &Spot) {
        let beside = |path: &Path| path.parent().unwrap_or(Path::new("")).join(text);
        let file = File {
            name: beside(Path::new(source.name.as_ref())),
            path: beside(&source.path),
        };
        if let Some(live) = self.live {
            return self.include_live(live, &file, spot);
        }
        if let Some(directory) = file.name.parent() {
            // A file that appears later must be seen.
            self.inputs.push(directory.join("*"));
        }
        match pattern::is_pattern(text) {
            true => self.pattern(&file.name, Some(spot)),
            false => self.read(&file.name, Some(spot)),
        }
    }

    /// Takes what the live configuration has of a file or pattern, without a look at the disk.
    fn include_live(&mut self, live: &Loaded, file: &File, spot: &Spot) {
        if let Some(directory) = file.path.parent() {
            // Nothing is read there now, but the watch follows what is live.
            self.inputs.push(directory.join("*"));
        }
        let named = live.named.includes.contains(&file.path);
        let text = file.path.to_string_lossy();
        let pattern = glob::Pattern::new(&text).ok();
        let pattern = pattern.filter(|_| named && pattern::is_pattern(&text));
        let exact = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::new()
        };
        let wanted = |known: &&Source| match &pattern {
            Some(pattern) => pattern.matches_path_with(&known.path, exact),
            None => *known.path == *file.path,
        };
        let found: Vec<&Source> = live.sources.iter().filter(wanted).collect();
        if found.is_empty() && pattern.is_none() {
            let message = "this file is not available here";
            let label = "the live configuration does not include it";
            let diagnostic = Diagnostic::error("TY0508", message).at(spot, label);
            self.problems
                .push(diagnostic.help("change the file itself, and reload"));
        }
        for one in found {
            self.inputs.push(one.path.to_path_buf());
            let known = self.sources.iter().any(|known| known.path == one.path);
            if !known && self.has_room(Some(spot)) {
                self.sources.push(one.clone());
            }
        }
    }
}

/// What a text includes, and where it says so; `None` where that is not a text.
fn included<'t>(tree: &'t DeTable) -> Vec<(Option<&'t str>, Range<usize>)> {
    let value = tree.iter().find(|(name, _)| name.get_ref() == "include");
    let Some((_, value)) = value else {
        return Vec::new();
    };
    let one = |value: &'t Spanned<DeValue>| (value.get_ref().as_str(), value.span());
    match value.get_ref() {
        DeValue::Array(array) => array.iter().map(one).collect(),
        _ => vec![one(value)],
    }
}

/// The full paths and patterns that a text includes.
pub fn includes(source: &Source, tree: &DeTable) -> Vec<PathBuf> {
    let directory = source.path.parent().unwrap_or(Path::new(""));
    let texts = included(tree).into_iter().filter_map(|(text, _)| text);
    texts.map(|text| directory.join(text)).collect()
}

/// A path as messages name it, whatever the working directory.
pub fn full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

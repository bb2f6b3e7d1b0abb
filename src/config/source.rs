//! Files to text, and text to a loaded configuration.

use super::diagnostic::{Diagnostic, Severity, Spot};
use super::reader::{Cx, Env, Value};
use super::{Config, Place, admin, check, limit, lint, reserved, rollout, root, share, syntax};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeTable;

/// Largest configuration file.
const FILE_MAX: u64 = 64 << 20;
/// Most files in one configuration.
const FILES_MAX: usize = 1000;

/// A file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is named in messages.
    pub name: Arc<str>,
    pub text: Arc<str>,
}

/// What loading has come to.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `None` when there is an error.
    pub config: Option<Config>,
    /// By file and position.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Vec<Source>,
    /// Every file that was read or named, for watching.
    pub inputs: Vec<PathBuf>,
    /// Of all texts: equal hashes mean equal configurations (up to the environment).
    pub hash: [u8; 32],
    /// What was set, for `show` and `diff`.
    pub values: Vec<Value>,
}

impl Loaded {
    pub fn has_errors(&self) -> bool {
        self.config.is_none()
    }

    /// Adds problems found by whoever looked further; an error takes the configuration away.
    pub fn add(&mut self, diagnostics: Vec<Diagnostic>) {
        if diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
        {
            self.config = None;
        }
        self.diagnostics.extend(diagnostics);
    }

    /// Notes that a sound configuration cannot be put to work, at the key that is to blame, where
    /// it is set.
    pub fn unfit(&mut self, key: &str, why: &str) {
        let mut diagnostic = Diagnostic::error("TY0503", why);
        if let Some(value) = self.values.iter().find(|value| value.key == key) {
            let spot = Spot {
                file: value.file.clone(),
                span: value.span.clone(),
            };
            diagnostic = diagnostic.at(&spot, "asked for here");
        }
        self.add(vec![diagnostic]);
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }
}

/// Loads a file, or all `*.toml` of a directory, with everything they include.
pub fn load(path: &Path, env: Env) -> Loaded {
    let mut files = Files::default();
    if path.is_dir() {
        files.inputs.push(path.to_owned());
        files.pattern(&path.join("*.toml").to_string_lossy(), None);
        if files.sources.is_empty() {
            let message = format!("no *.toml in {}", path.display());
            files.problems.push(Diagnostic::error("TY0502", message));
        }
    } else {
        files.read(path, None);
    }
    files.follow_includes();
    finish(files, env)
}

/// Loads a text as if it were in the file of this name.
pub fn load_text(name: &str, text: &str, env: Env) -> Loaded {
    let source = Source {
        name: name.into(),
        text: text.into(),
    };
    let mut files = Files {
        sources: vec![source],
        ..Files::default()
    };
    files.follow_includes();
    finish(files, env)
}

/// Loads texts that were read before, such as a generation from the history.
pub fn load_sources(sources: Vec<Source>, env: Env) -> Loaded {
    finish(
        Files {
            sources,
            ..Files::default()
        },
        env,
    )
}

#[derive(Default)]
struct Files {
    sources: Vec<Source>,
    inputs: Vec<PathBuf>,
    problems: Vec<Diagnostic>,
    /// Whether files were left out because there are too many.
    full: bool,
}

impl Files {
    fn read(&mut self, path: &Path, from: Option<&Spot>) {
        if self.inputs.iter().any(|known| known == path) {
            return;
        }
        if self.sources.len() >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files in one configuration");
            // Said once, however many there are.
            if !std::mem::replace(&mut self.full, true) {
                self.problem(Diagnostic::error("TY0502", message), from);
            }
            return;
        }
        self.inputs.push(path.to_owned());
        match read_file(path) {
            Ok(text) => {
                let name = path.to_string_lossy();
                self.sources.push(Source {
                    name: name.as_ref().into(),
                    text: text.into(),
                });
            }
            Err(error) => self.unreadable(path, &error, from),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error, from: Option<&Spot>) {
        let message = format!("cannot read {}: {error}", path.display());
        self.problem(Diagnostic::error("TY0502", message), from);
    }

    fn problem(&mut self, diagnostic: Diagnostic, from: Option<&Spot>) {
        self.problems.push(match from {
            Some(spot) => diagnostic.at(spot, "included here"),
            None => diagnostic,
        });
    }

    /// Reads all files of a pattern, sorted. A pattern that matches nothing is fine.
    fn pattern(&mut self, pattern: &str, from: Option<&Spot>) {
        match glob::glob(pattern) {
            Ok(paths) => {
                let mut found = Vec::new();
                for path in paths {
                    match path {
                        Ok(path) => found.push(path),
                        // A directory that cannot be read may hide files that belong here.
                        Err(error) => self.unreadable(error.path(), error.error(), from),
                    }
                }
                found.sort();
                for path in found {
                    self.read(&path, from);
                }
            }
            Err(error) => {
                let message = format!("`{pattern}` is not a file pattern: {error}");
                self.problem(Diagnostic::error("TY0203", message), from);
            }
        }
    }

    /// Includes may include; a file is read once, so circles end.
    fn follow_includes(&mut self) {
        let mut next = 0;
        while let Some(source) = self.sources.get(next).cloned() {
            next += 1;
            if !source.text.contains("include") {
                continue; // parsing twice is dear when there are thousands of routes
            }
            let (tree, _) = DeTable::parse_recoverable(&source.text);
            let include = tree
                .get_ref()
                .iter()
                .find(|(name, _)| name.get_ref() == "include");
            let Some((_, value)) = include else { continue };
            let patterns: Vec<_> = match value.get_ref() {
                toml::de::DeValue::Array(array) => array.iter().collect(),
                _ => vec![value],
            };
            for pattern in patterns {
                let spot = Spot {
                    file: source.name.clone(),
                    span: pattern.span(),
                };
                let Some(text) = pattern.get_ref().as_str() else {
                    let diagnostic = Diagnostic::error("TY0202", "`include` must be file patterns");
                    self.problems
                        .push(diagnostic.at(&spot, "expected a text in quotes"));
                    continue;
                };
                let directory = Path::new(source.name.as_ref())
                    .parent()
                    .unwrap_or(Path::new(""));
                let path = directory.join(text);
                if let Some(directory) = path.parent() {
                    // A file that appears later must be seen.
                    self.inputs.push(directory.join("*"));
                }
                if text.contains(['*', '?', '[']) {
                    self.pattern(&path.to_string_lossy(), Some(&spot));
                } else {
                    self.read(&path, Some(&spot));
                }
            }
        }
    }
}

/// Reads a bit more than allowed and no further: the size that a file claims may be untrue.
fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(std::io::Error::other("larger than 64 MiB"));
    }
    Ok(text)
}

fn finish(files: Files, env: Env) -> Loaded {
    let Files {
        sources,
        mut inputs,
        problems: mut diagnostics,
        full: _,
    } = files;
    let cx = Cx::new(env);
    let mut trees = Vec::new();
    for source in &sources {
        let (tree, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let spot = Spot {
                file: source.name.clone(),
                span,
            };
            diagnostics.push(syntax::not_toml(&source.text, &spot, error.message()));
        }
        trees.push(root::File {
            name: source.name.clone(),
            tree,
        });
    }
    let broken = !diagnostics.is_empty();
    let root::Root {
        mut config,
        whole,
        defined,
    } = root::read(&trees, &cx);
    let findings = cx.finish();
    let read = syntax::without_torn(findings.diagnostics, &diagnostics);
    diagnostics.extend(read);
    fill_lines(&mut config, &sources);
    check::references(&findings.references, &defined, &mut diagnostics);
    check::claims(&config, &mut diagnostics);
    check::breaker_fallbacks(&config, &mut diagnostics);
    share::check(&config, &mut diagnostics);
    rollout::check(&config, &mut diagnostics);
    limit::check(&config, &mut diagnostics);
    reserved::check(&config, &mut diagnostics);
    admin::one_address_each(&config, &mut diagnostics);
    if whole && !broken {
        lints(&config, &mut diagnostics);
    }
    let failed = broken
        || !whole
        || diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error);
    let named = findings.files;
    inputs.extend(named.iter().cloned());
    let order = |name: &str| {
        sources
            .iter()
            .position(|source| source.name.as_ref() == name)
    };
    diagnostics.sort_by_key(|found| {
        found
            .labels
            .first()
            .map(|label| (order(&label.file), label.span.start))
    });
    Loaded {
        config: (!failed).then_some(config),
        diagnostics,
        hash: hash(&sources, &named),
        sources,
        inputs,
        values: findings.values,
    }
}

/// About half a configuration, a lint would say what is not so.
fn lints(config: &Config, diagnostics: &mut Vec<Diagnostic>) {
    let misspelt = diagnostics.iter().any(|found| found.code == "TY0201");
    if !misspelt {
        lint::all(config, diagnostics);
    }
}

/// Files that values name count too: when keys change, so does the configuration.
fn hash(sources: &[Source], named: &[PathBuf]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for source in sources {
        hasher.update((source.name.len() as u64).to_le_bytes());
        hasher.update(source.name.as_bytes());
        hasher.update((source.text.len() as u64).to_le_bytes());
        hasher.update(source.text.as_bytes());
    }
    for path in named {
        hasher.update(path.as_os_str().as_encoded_bytes());
        match std::fs::read(path) {
            Ok(bytes) => hasher.update(Sha256::digest(bytes)),
            Err(error) => hasher.update(error.to_string()),
        }
    }
    hasher.finalize().into()
}

/// Turns the spans of places into line numbers, with one pass over each text.
fn fill_lines(config: &mut Config, sources: &[Source]) {
    let lines: Vec<(Arc<str>, Vec<usize>)> = sources
        .iter()
        .map(|source| {
            let feeds = memchr::memchr_iter(b'\n', source.text.as_bytes()).collect();
            (source.name.clone(), feeds)
        })
        .collect();
    let fill = |place: &mut Place| {
        let feeds = lines
            .iter()
            .find(|(name, _)| *name == place.file)
            .map(|(_, feeds)| feeds);
        let before = |feeds: &Vec<usize>| feeds.partition_point(|at| *at < place.span.0 as usize);
        place.line = feeds.map_or(0, |feeds| before(feeds) as u32 + 1);
    };
    let named = (config.listeners.values_mut().map(|one| &mut one.at))
        .chain(config.colors.values_mut().map(|one| &mut one.at))
        .chain(config.rollouts.values_mut().map(|one| &mut one.at))
        .chain(config.plugins.values_mut().map(|one| &mut one.at))
        .chain(config.routes.values_mut().map(|one| &mut one.at))
        .chain(config.limits.values_mut().map(|one| &mut one.at))
        .chain(config.breakers.values_mut().map(|one| &mut one.at))
        .chain(config.jwt.values_mut().map(|one| &mut one.at))
        .chain(config.api_keys.values_mut().map(|one| &mut one.at))
        .chain(config.forward_auth.values_mut().map(|one| &mut one.at));
    let tests = config.tests.iter_mut().map(|test| &mut test.at);
    named.chain(tests).for_each(fill);
    for service in config.services.values_mut() {
        fill(&mut service.at);
        service
            .versions
            .values_mut()
            .for_each(|version| fill(&mut version.at));
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES_MAX, load, load_text};

    #[test]
    fn files_beyond_the_bound_are_an_error_and_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..=FILES_MAX {
            std::fs::write(dir.path().join(format!("{index}.toml")), "").unwrap();
        }
        let loaded = load(dir.path(), &|_| None);
        assert!(loaded.config.is_none());
        let codes: Vec<_> = loaded.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(codes, ["TY0502"]);
    }

    #[test]
    fn every_entry_knows_its_line() {
        let text = "[limits.l]\nrate = \"1/s\"\n[breakers.b]\ntrip = { error_rate = \"50%\" }\n\
                    [jwt.j]\nissuer = \"https://a.example/\"\nalgorithms = [\"ES256\"]\n\
                    keys = { jwks_url = \"https://a.example/\" }\n\
                    [api_keys.k]\nfile = \"keys\"\n[forward_auth.f]\nurl = \"http://127.0.0.1:1/\"\n";
        let loaded = load_text("a.toml", text, &|_| None);
        let config = loaded.config.unwrap();
        let lines = [
            config.limits["l"].at.line,
            config.breakers["b"].at.line,
            config.jwt["j"].at.line,
            config.api_keys["k"].at.line,
            config.forward_auth["f"].at.line,
        ];
        assert_eq!(lines, [1, 3, 5, 9, 11]);
    }

    #[test]
    fn a_file_without_end_is_an_error() {
        let loaded = load(std::path::Path::new("/dev/zero"), &|_| None);
        assert!(loaded.config.is_none());
    }
}

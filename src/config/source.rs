//! Files to text, and text to a loaded configuration.

use super::diagnostic::{Diagnostic, Severity, Spot, by_place};
use super::gather::{self, Files, full};
use super::outside::{Named, Outside, Values};
use super::reader::{Cx, Env, Value};
use super::{Config, Place, admin, check, limit, lint, reserved, rollout, root, scrub};
use super::{share, syntax};
use crate::files;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeTable;

/// Largest file that a value names, in bytes.
const NAMED_MAX: usize = 64 << 20;

/// A file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is named in messages.
    pub name: Arc<str>,
    /// In full; paths in it are relative to its directory.
    pub path: Arc<Path>,
    pub text: Arc<str>,
}

impl Source {
    /// A text as if it were in the file of this name.
    pub fn new(name: &str, text: &str) -> Self {
        Self::at(name, Path::new(name), text)
    }

    /// A text that is, or could be, in the file of this path.
    pub fn at(name: &str, path: &Path, text: &str) -> Self {
        Self {
            name: name.into(),
            path: full(path).into(),
            text: text.into(),
        }
    }

    fn directory(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }
}

/// What loading has come to.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `None` when there is an error.
    pub config: Option<Config>,
    /// The file or directory that was read; `None`: the texts came otherwise.
    pub root: Option<PathBuf>,
    /// By file and position.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Vec<Source>,
    /// Every file that was read or named, for watching.
    pub inputs: Vec<PathBuf>,
    /// Of all texts: equal hashes mean equal configurations (up to the environment).
    pub hash: [u8; 32],
    /// What was set, for `show` and `diff`.
    pub values: Vec<Value>,
    /// What it names outside of its texts.
    pub named: Named,
    /// Variables with their values, which no message may show.
    pub expanded: Vec<(String, String)>,
    /// Secrets that are written down, which no excerpt may show.
    pub secrets: Vec<Spot>,
}

impl Loaded {
    pub fn has_errors(&self) -> bool {
        self.config.is_none()
    }

    /// Adds problems found by whoever looked further; an error takes the configuration away.
    pub fn add(&mut self, mut diagnostics: Vec<Diagnostic>) {
        for diagnostic in &mut diagnostics {
            scrub::scrub(diagnostic, &self.expanded, &self.values);
        }
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
    files.gather(path);
    files.follow_includes();
    let mut loaded = finish(files, Outside::open(env));
    loaded.root = Some(path.to_owned());
    loaded
}

/// Loads a text as if it were in the file of this name.
pub fn load_text(name: &str, text: &str, env: Env) -> Loaded {
    let mut files = Files::of(vec![Source::new(name, text)]);
    files.follow_includes();
    finish(files, Outside::open(env))
}

/// Loads a text that came through the API. It may use of the machine what the live configuration
/// uses, at the same keys and in the same form, and no more.
pub fn load_posted(text: Source, live: &Loaded, env: Env, values: Values) -> Loaded {
    let mut files = Files::posted(text, live);
    files.follow_includes();
    finish(files, Outside::only(env, &live.named, values))
}

/// Loads texts that were read before, such as a generation from the history.
pub fn load_sources(sources: Vec<Source>, env: Env) -> Loaded {
    finish(Files::of(sources), Outside::open(env))
}

fn finish(files: Files, outside: Outside) -> Loaded {
    let Files {
        sources,
        mut inputs,
        problems: mut diagnostics,
        ..
    } = files;
    let places = sources.iter().map(|of| (of.name.clone(), of.directory()));
    let cx = Cx::new(outside, places.collect());
    let parsed = sources.iter().map(|source| parse(source, &mut diagnostics));
    let trees: Vec<root::File> = parsed.collect();
    let included = sources.iter().zip(&trees);
    let includes = included.flat_map(|(source, of)| gather::includes(source, of.tree.get_ref()));
    let includes = includes.collect();
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
    between_tables(&config, &mut diagnostics);
    if whole && !broken {
        lints(&config, &mut diagnostics);
    }
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    let failed = broken || !whole || diagnostics.iter().any(is_error);
    let named = findings.files;
    inputs.extend(named.iter().cloned());
    let expanded = findings.expanded;
    for diagnostic in &mut diagnostics {
        scrub::scrub(diagnostic, &expanded, &findings.values);
    }
    by_place(&mut diagnostics, &sources);
    Loaded {
        config: (!failed).then_some(config),
        root: None,
        diagnostics,
        hash: hash(&sources, &named),
        sources,
        inputs,
        values: findings.values,
        named: Named {
            includes,
            ..findings.named
        },
        expanded,
        secrets: findings.secrets,
    }
}

/// Parses a text; what is not TOML in it is left out.
fn parse<'s>(source: &'s Source, diagnostics: &mut Vec<Diagnostic>) -> root::File<'s> {
    let (tree, errors) = DeTable::parse_recoverable(&source.text);
    match syntax::other_format(source).filter(|_| !errors.is_empty()) {
        Some(other) => diagnostics.push(other),
        None => diagnostics.extend(errors.iter().map(|error| {
            let spot = Spot {
                file: source.name.clone(),
                span: error.span().unwrap_or(0..0),
            };
            syntax::not_toml(&source.text, &spot, error.message())
        })),
    }
    root::File {
        name: source.name.clone(),
        tree,
    }
}

/// What must hold between tables.
fn between_tables(config: &Config, diagnostics: &mut Vec<Diagnostic>) {
    check::claims(config, diagnostics);
    check::breaker_fallbacks(config, diagnostics);
    share::check(config, diagnostics);
    rollout::check(config, diagnostics);
    limit::check(config, diagnostics);
    reserved::check(config, diagnostics);
    admin::one_address_each(config, diagnostics);
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
        match files::read(path, NAMED_MAX) {
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
        .chain(config.forward_auth.values_mut().map(|one| &mut one.at))
        .chain(config.discovery.values_mut().map(|one| &mut one.at));
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
    use super::{load, load_text};
    use crate::config::gather::FILES_MAX;

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

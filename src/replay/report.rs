//! Runs lines through two configurations and groups what differs.

use super::line::{Line, Parts};
use super::masked::Masked;
use super::side::Side;
use crate::config::Config;
use crate::routing::host::normalise_host;
use crate::routing::path::normalise_target;
use crate::routing::{Table, View};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Groups that are told apart; what is beyond is counted together.
const GROUPS_MAX: usize = 1000;
/// Names that a log may add to those of the configurations.
const NAMES_MAX: usize = 100_000;

/// What changes, over many requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// That were decided twice.
    pub requests: u64,
    pub changed: u64,
    /// Of all requests, in percent.
    pub changed_percent: f64,
    /// Lines that are no requests.
    pub skipped: u64,
    /// The largest first.
    pub groups: Vec<Group>,
    /// Changed requests of groups beyond the bound.
    pub beyond: u64,
}

/// Requests whose decision changes alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub count: u64,
    pub before: Outcome,
    pub after: Outcome,
    pub examples: Vec<String>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub route: Option<String>,
    pub color: Option<String>,
    /// `service/version`
    pub version: Option<String>,
    pub refusal: Option<String>,
}

/// An outcome by numbers of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub route: u32,
    pub color: u32,
    pub version: u32,
    pub refusal: u32,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            route: Names::NONE,
            color: Names::NONE,
            version: Names::NONE,
            refusal: Names::NONE,
        }
    }
}

/// Names, each with a number.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: FxHashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.names.len() >= NAMES_MAX {
            return Self::NONE;
        }
        let number = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.numbers.insert(name.clone(), number);
        self.names.push(name);
        number
    }

    fn name(&self, number: u32) -> Option<String> {
        self.names.get(number as usize).map(ToString::to_string)
    }

    fn outcome(&self, key: Key) -> Outcome {
        Outcome {
            route: self.name(key.route),
            color: self.name(key.color),
            version: self.name(key.version),
            refusal: self.name(key.refusal),
        }
    }
}

/// Two sides, and what has differed so far.
#[derive(Debug)]
pub struct Replay<'c> {
    new: Side<'c>,
    /// `None`: what the log says became of each request.
    old: Option<Side<'c>>,
    masked: Masked,
    names: Names,
    parts: Parts,
    groups: FxHashMap<(Key, Key), (u64, Vec<String>)>,
    examples: usize,
    report: Report,
    /// `service/version`, made without allocating each time.
    version: String,
}

impl<'c> Replay<'c> {
    /// Compares `new` with `old`, or with what the log itself says; keeps `examples` of each group.
    pub fn new(
        new: (&'c Config, &'c Table),
        old: Option<(&'c Config, &'c Table)>,
        examples: usize,
    ) -> Self {
        let mut names = Names::default();
        Self {
            new: Side::new(new.0, new.1, &mut names),
            old: old.map(|(config, table)| Side::new(config, table, &mut names)),
            masked: Masked::of([Some(new.0), old.map(|old| old.0)].into_iter().flatten()),
            names,
            parts: Parts::default(),
            groups: FxHashMap::default(),
            examples,
            report: Report::default(),
            version: String::new(),
        }
    }

    /// Decides one line twice.
    pub fn line(&mut self, line: &[u8]) {
        if self.decide(line).is_none() {
            self.report.skipped += 1;
        }
    }

    /// `None`: this is no request.
    fn decide(&mut self, line: &[u8]) -> Option<()> {
        let line: Line = serde_json::from_slice(line).ok()?;
        line.fill(&mut self.parts, &self.masked)?;
        let query = self.masked.behind_query(&line.query);
        let host = normalise_host(&line.host).ok()?;
        let target = normalise_target(line.path.as_bytes()).ok()?;
        let signed = line.signed.as_deref();
        let vouched = signed.and_then(|name| self.new.color_named(name));
        let view = View {
            method: &self.parts.method,
            host: &host,
            path: &target.path,
            query: &query,
            headers: &self.parts.headers,
            client: line.client(),
            trusted: line.trusted.unwrap_or(false),
            claims: line.claims.as_ref(),
            vouched,
            bucket: line.bucket,
        };
        let after = self.new.decide(&view, &mut self.names);
        let before = match &self.old {
            Some(old) => {
                let vouched = signed.and_then(|name| old.color_named(name));
                old.decide(&View { vouched, ..view }, &mut self.names)
            }
            None => recorded(&line, after, &mut self.names, &mut self.version),
        };
        self.report.requests += 1;
        if before != after {
            self.report.changed += 1;
            self.differs(before, after, &line);
        }
        Some(())
    }

    fn differs(&mut self, before: Key, after: Key, line: &Line) {
        let full = self.groups.len() >= GROUPS_MAX;
        if full && !self.groups.contains_key(&(before, after)) {
            self.report.beyond += 1;
            return;
        }
        let (count, examples) = self.groups.entry((before, after)).or_default();
        *count += 1;
        if examples.len() < self.examples {
            let method = line.method.as_deref().unwrap_or("GET");
            let query = if line.query.is_empty() { "" } else { "?" };
            let example = format!(
                "{method} http://{}{}{query}{} from {}",
                line.host, line.path, line.query, line.client
            );
            if !examples.contains(&example) {
                examples.push(example);
            }
        }
    }

    /// How many lines have been looked at.
    pub fn lines(&self) -> u64 {
        self.report.requests + self.report.skipped
    }

    pub fn finish(mut self) -> Report {
        let mut groups: Vec<Group> = self
            .groups
            .into_iter()
            .map(|((before, after), (count, examples))| Group {
                count,
                before: self.names.outcome(before),
                after: self.names.outcome(after),
                examples,
            })
            .collect();
        groups.sort_by(|one, two| {
            let order = two.count.cmp(&one.count);
            order.then_with(|| one.before.to_string().cmp(&two.before.to_string()))
        });
        let whole = (self.report.requests as f64).max(1.0);
        self.report.changed_percent = self.report.changed as f64 * 100.0 / whole;
        self.report.groups = groups;
        self.report
    }
}

/// What the log says became of a request. What it cannot know of the decision (a version that was
/// not reached, or that stood in for another) is taken to be as it is now.
fn recorded(line: &Line, after: Key, names: &mut Names, version: &mut String) -> Key {
    let mut number = |name: &Option<_>| {
        let name: &Option<std::borrow::Cow<str>> = name;
        name.as_deref()
            .map_or(Names::NONE, |name| names.number(name))
    };
    let mut key = Key {
        route: number(&line.route),
        color: number(&line.color_requested),
        ..after
    };
    let decided = matches!(
        line.reason.as_deref(),
        Some("no_route" | "method_not_allowed" | "color_unknown")
    );
    if decided {
        key.refusal = number(&line.reason);
        key.version = Names::NONE;
        key.color = after.color;
    } else if let (Some(service), Some(known)) = (&line.service, &line.version)
        && line.color_reason.is_none()
    {
        version.clear();
        version.push_str(service);
        version.push('/');
        version.push_str(known);
        key.version = names.number(version);
        key.refusal = Names::NONE;
    } else if line.route.is_some() {
        key.refusal = Names::NONE;
        if after.refusal != Names::NONE {
            key.version = Names::NONE;
        }
    }
    if line.reason.is_some() && !decided && line.version.is_none() {
        // A policy has refused it before it had a color.
        key.color = after.color;
    }
    key
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.route.as_deref().unwrap_or("no route"))?;
        if let Some(color) = &self.color {
            write!(f, " [{color}]")?;
        }
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match &self.refusal {
            Some(refusal) => write!(f, " refused: {refusal}"),
            None => Ok(()),
        }
    }
}

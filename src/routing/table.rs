//! The route table: immutable, indexed by priority, host and path.

use super::coloring::Coloring;
use super::conditions::{Conditions, Verdict};
use super::matcher::{Judge, Paths};
use super::shares::{Key, Shares, Split};
use super::signed::Vouched;
use super::{ColorId, RouteId, ServiceId, VersionId, View};
use crate::config::breaker::Fallback;
use crate::config::route::{AmbiguousPaths, HostMatch, Route, Target};
use crate::config::service::Service;
use crate::config::{Config, Name};
use http::{HeaderMap, Method};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Everything a decision needs, built once per generation.
#[derive(Debug)]
pub struct Table {
    levels: Vec<Level>,
    /// By [`RouteId`].
    pub(super) routes: Vec<Rule>,
    /// By [`ServiceId`].
    services: Vec<Serving>,
    pub(super) coloring: Coloring,
    /// Whether any two routes enforce different things.
    pub(super) policies_differ: bool,
}

/// One route, as a decision needs it.
#[derive(Debug)]
pub struct Rule {
    pub conditions: Conditions,
    pub action: Action,
    /// Equal numbers stand for equal policies.
    pub policies: u32,
    /// Whether a path that other parsers read differently passes.
    pub allows_ambiguous_paths: bool,
    /// Past its end: as if it were not there.
    expired: AtomicBool,
}

impl Rule {
    #[inline]
    fn judge(&self, view: &View) -> Verdict {
        match self.expired.load(Relaxed) {
            true => Verdict::Fails,
            false => self.conditions.judge(view),
        }
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Action {
    Service(ServiceId),
    Respond,
    Redirect,
}

/// Which versions of a service serve requests.
#[derive(Debug)]
pub(super) struct Serving {
    pub default: VersionId,
    /// Which requests without a color meet another version.
    pub split: Option<Split>,
    /// The version that its breaker names for the time that it is open.
    pub breaker_fallback: Option<VersionId>,
}

impl Serving {
    fn build(config: &Config, service: &Service) -> Self {
        let id = |name: &Name| {
            let index = service.versions.keys().position(|known| known == name);
            index.map(|index| VersionId(index as u16))
        };
        let breaker = service.breaker.as_ref();
        let breaker = breaker.and_then(|name| config.breakers.get(name));
        let fallback = breaker.and_then(|breaker| breaker.fallback.as_ref());
        Self {
            // The check has seen that the default version exists.
            default: id(&service.default).unwrap_or(VersionId(0)),
            split: Split::build(service, &config.coloring.salt),
            breaker_fallback: match fallback {
                Some(Fallback::Version(name)) => id(name),
                Some(Fallback::Fixed { .. } | Fallback::Cached(_)) | None => None,
            },
        }
    }
}

/// Routes of one priority.
#[derive(Debug, Default)]
struct Level {
    exact: FxHashMap<Box<str>, Paths>,
    /// By what follows `*.`.
    wildcard: FxHashMap<Box<str>, Paths>,
    any: Option<Paths>,
}

/// A regular expression that does not compile. The configuration check finds these first.
#[derive(Debug, thiserror::Error)]
#[error("route or color `{name}`: {source}")]
pub struct InvalidRegex {
    pub name: Name,
    pub source: regex::Error,
}

impl Table {
    /// Builds the index of a checked configuration.
    ///
    /// # Errors
    /// When a regular expression does not compile.
    pub fn build(config: &Config) -> Result<Self, InvalidRegex> {
        let ids: FxHashMap<&str, ServiceId> = config
            .services
            .keys()
            .enumerate()
            .map(|(index, name)| (name.as_ref(), ServiceId(index as u32)))
            .collect();
        let mut routes = Vec::with_capacity(config.routes.len());
        let mut policies: FxHashMap<String, u32> = FxHashMap::default();
        let mut order = Vec::with_capacity(config.routes.len());
        for (index, (name, route)) in config.routes.iter().enumerate() {
            let fail = |source| InvalidRegex {
                name: name.clone(),
                source,
            };
            let conditions = Conditions::build(&route.matches).map_err(fail)?;
            // Within one path: more conditions first, then by name (the order of the map).
            order.push((Reverse(conditions.count()), index, name, route));
            let number = policies.len() as u32;
            routes.push(Rule {
                conditions,
                action: action(route, &ids),
                policies: *policies.entry(route.policies()).or_insert(number),
                allows_ambiguous_paths: route
                    .ambiguous_paths
                    .unwrap_or(config.server.ambiguous_paths)
                    == AmbiguousPaths::Allow,
                expired: AtomicBool::new(false),
            });
        }
        order.sort_by_key(|(conditions, index, ..)| (*conditions, *index));
        let mut levels: BTreeMap<Reverse<i32>, Level> = BTreeMap::new();
        for (_, index, name, route) in order {
            let level = levels.entry(Reverse(route.priority)).or_default();
            let paths = level.paths(&route.matches.host);
            let id = RouteId(index as u32);
            let fail = |source| InvalidRegex {
                name: name.clone(),
                source,
            };
            paths.insert(&route.matches.path, id).map_err(fail)?;
        }
        Ok(Self {
            levels: levels.into_values().collect(),
            routes,
            services: config
                .services
                .values()
                .map(|service| Serving::build(config, service))
                .collect(),
            coloring: Coloring::build(config)?,
            policies_differ: policies.len() > 1,
        })
    }

    /// The route of a request, or whether some route failed on the method alone.
    pub(super) fn find(&self, view: &View) -> Result<RouteId, MethodOnly> {
        let mut judge = Conditional {
            table: self,
            view,
            method_only: false,
        };
        for level in &self.levels {
            if let Some(route) = level.find(view, &mut judge) {
                return Ok(route);
            }
        }
        Err(MethodOnly(judge.method_only))
    }

    /// The methods that would have been served; for the `Allow` field of a refusal.
    pub fn allowed_methods(&self, view: &View) -> Vec<Method> {
        let mut collector = Collector {
            table: self,
            view,
            methods: Vec::new(),
        };
        for level in &self.levels {
            level.find(view, &mut collector);
        }
        let mut methods = collector.methods;
        if methods.contains(&Method::GET) {
            methods.push(Method::HEAD);
        }
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        methods
    }

    /// The shares of colors, if any has one.
    pub fn shares(&self) -> Option<&Shares> {
        self.coloring.shares()
    }

    /// Takes out what is past its end at a moment, in seconds since the epoch.
    pub fn expire(&self, config: &Config, now: u64) {
        for (rule, route) in self.routes.iter().zip(config.routes.values()) {
            let over = route.expires.is_some_and(|expires| expires.is_over(now));
            rule.expired.store(over, Relaxed);
        }
        for (index, color) in config.colors.values().enumerate() {
            let over = color.expires.is_some_and(|expires| expires.is_over(now));
            self.coloring.expire(ColorId(index as u16), over);
        }
    }

    /// The color that a request brings with a sound signature, by a key of `coloring.keys` or by
    /// whomever else `by` knows: the color and when it expires.
    pub fn vouched(
        &self,
        headers: &HeaderMap,
        query: &str,
        now: u64,
        by: impl Fn(&str) -> Option<(String, u64)>,
    ) -> Option<Vouched> {
        self.coloring.vouched(headers, query, now, by)
    }

    /// Whether colors may be signed.
    pub fn signs(&self) -> bool {
        self.coloring.signs()
    }

    /// A token that brings a color; `None`: there is no such key.
    pub fn sign(&self, color: &str, expires: u64, key: Option<&str>) -> Option<String> {
        self.coloring.keys().sign(color, expires, key)
    }

    /// The color of a name.
    pub fn color_named(&self, name: &str) -> Option<ColorId> {
        self.coloring.named(name.as_bytes())
    }

    /// Whether any share, of a color or of a version, asks for a user's bucket.
    pub fn has_shares(&self) -> bool {
        self.key().is_some()
    }

    /// The bucket of the user who asks; all shares of a configuration go by the same key.
    pub fn bucket(&self, view: &View) -> Option<u16> {
        self.key().map(|key| key.bucket(view) as u16)
    }

    fn key(&self) -> Option<&Key> {
        let mut splits = self
            .services
            .iter()
            .filter_map(|known| known.split.as_ref());
        let of_shares = self.coloring.shares().map(Shares::key);
        of_shares.or_else(|| splits.next().map(Split::key))
    }

    pub(super) fn serving(&self, service: ServiceId) -> Option<&Serving> {
        self.services.get(service.0 as usize)
    }

    /// Returns the version that serves requests whose color names no other.
    pub fn default_version(&self, service: ServiceId) -> Option<VersionId> {
        self.serving(service).map(|serving| serving.default)
    }

    /// Returns the version that a color names for a service, if it names one.
    pub fn version_of_color(&self, color: ColorId, service: ServiceId) -> Option<VersionId> {
        self.coloring.version(color, service)
    }

    pub(super) fn rule(&self, route: RouteId) -> Option<&Rule> {
        self.routes.get(route.0 as usize)
    }
}

/// Nothing was found; whether a route failed on the method alone.
pub struct MethodOnly(pub bool);

fn action(route: &Route, services: &FxHashMap<&str, ServiceId>) -> Action {
    match &route.target {
        // The check has seen that the service exists.
        Target::Service(name) => Action::Service(
            services
                .get(name.as_ref())
                .copied()
                .unwrap_or(ServiceId(u32::MAX)),
        ),
        Target::Respond { .. } => Action::Respond,
        Target::Redirect { .. } => Action::Redirect,
    }
}

impl Level {
    fn paths(&mut self, host: &HostMatch) -> &mut Paths {
        match host {
            HostMatch::Exact(host) => self.exact.entry(host.as_str().into()).or_default(),
            HostMatch::Wildcard(suffix) => self.wildcard.entry(suffix.as_str().into()).or_default(),
            HostMatch::Any => self.any.get_or_insert_default(),
        }
    }

    fn find(&self, view: &View, judge: &mut impl Judge) -> Option<RouteId> {
        if let Some(paths) = self.exact.get(view.host)
            && let found @ Some(_) = paths.find(view, judge)
        {
            return found;
        }
        if !self.wildcard.is_empty() {
            let mut host = view.host;
            // The longest suffix comes first; `*` stands for at least one label.
            while let Some((_, suffix)) = host.split_once('.') {
                if let Some(paths) = self.wildcard.get(suffix)
                    && let found @ Some(_) = paths.find(view, judge)
                {
                    return found;
                }
                host = suffix;
            }
        }
        self.any.as_ref()?.find(view, judge)
    }
}

/// Takes the first candidate whose conditions hold.
struct Conditional<'a> {
    table: &'a Table,
    view: &'a View<'a>,
    method_only: bool,
}

impl Judge for Conditional<'_> {
    #[inline]
    fn judge(&mut self, route: RouteId) -> Verdict {
        let rule = self.table.routes.get(route.0 as usize);
        let verdict = rule.map_or(Verdict::Fails, |rule| rule.judge(self.view));
        self.method_only |= verdict == Verdict::MethodOnly;
        verdict
    }
}

/// Takes none, and notes the methods of those that fail on nothing else.
struct Collector<'a> {
    table: &'a Table,
    view: &'a View<'a>,
    methods: Vec<Method>,
}

impl Judge for Collector<'_> {
    fn judge(&mut self, route: RouteId) -> Verdict {
        if let Some(rule) = self.table.rule(route)
            && rule.judge(self.view) == Verdict::MethodOnly
        {
            self.methods.extend_from_slice(rule.conditions.methods());
        }
        Verdict::Fails
    }
}

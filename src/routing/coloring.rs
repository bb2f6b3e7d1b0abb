//! Which color a request has: the one it carries, if its sender is believed, else the one that
//! the rules give it.

use super::conditions::Clause;
use super::selector::Selected;
use super::shares::Shares;
use super::signed::Keys;
use super::table::InvalidRegex;
use super::{ColorId, ServiceId, VersionId, View};
use crate::config::Config;
use crate::config::color::{Fallback, Unknown};
use crate::config::selector::{ColorSource, Selector, SelectorFor};
use crate::config::units::Percent;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The colors of a configuration, ready to be told apart.
#[derive(Debug)]
pub struct Coloring {
    sources: Vec<SelectorFor<ColorSource>>,
    unknown: Unknown,
    names: FxHashMap<Box<[u8]>, ColorId>,
    /// More conditions first, then by the color's name: the first that holds gives the color.
    rules: Vec<(Clause, ColorId)>,
    /// By [`ColorId`].
    colors: Vec<Versions>,
    shares: Option<Shares>,
    keys: Keys,
    /// Whether others than `keys` may sign too.
    signers: bool,
    /// By [`ColorId`].
    expired: Box<[AtomicBool]>,
}

/// What a color means for each service it names.
#[derive(Debug)]
struct Versions {
    by_service: FxHashMap<ServiceId, VersionId>,
    fallback: Fallback,
}

/// What a request carries that names a color.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Nothing, or nothing that is believed.
    Nothing,
    Known(ColorId),
    /// A name that is not configured.
    Unknown,
}

impl Coloring {
    pub fn build(config: &Config) -> Result<Self, InvalidRegex> {
        let mut rules = Vec::new();
        for (index, (name, color)) in config.colors.iter().enumerate() {
            for when in &color.when {
                let fail = |source| InvalidRegex {
                    name: name.clone(),
                    source,
                };
                rules.push((Clause::build(when).map_err(fail)?, ColorId(index as u16)));
            }
        }
        rules.sort_by_key(|(clause, color)| (std::cmp::Reverse(clause.count()), *color));
        let id = |index: usize| ColorId(index as u16);
        let names = config.colors.keys().enumerate();
        Ok(Self {
            sources: config.coloring.sources.clone(),
            unknown: config.coloring.unknown,
            names: names
                .map(|(index, name)| (name.as_bytes().into(), id(index)))
                .collect(),
            rules,
            shares: Shares::build(config),
            keys: Keys::build(config),
            signers: !config.coloring.signers.is_empty(),
            expired: config
                .colors
                .iter()
                .map(|_| AtomicBool::new(false))
                .collect(),
            colors: config
                .colors
                .values()
                .map(|color| Versions::build(config, color))
                .collect(),
        })
    }

    /// The color of a request.
    ///
    /// # Errors
    /// When it carries one that is not configured, and that is to be refused.
    #[inline]
    pub fn color(&self, view: &View) -> Result<Option<ColorId>, UnknownColor> {
        if view.vouched.is_some() {
            return Ok(view.vouched);
        }
        if view.trusted || view.claims.is_some() {
            match self.carried(view, view.trusted) {
                Carried::Known(color) => return Ok(Some(color)),
                Carried::Unknown if self.unknown == Unknown::Reject => return Err(UnknownColor),
                // The caller has spoken, if in words we do not know: no rule overrides it.
                Carried::Unknown => return Ok(None),
                Carried::Nothing => {}
            }
        }
        let mut rules = self.rules.iter();
        let given = match rules.find(|(clause, color)| clause.holds(view) && !self.expired(*color))
        {
            Some((_, color)) => return Ok(Some(*color)),
            None => self.shares.as_ref().and_then(|shares| shares.color(view)),
        };
        Ok(given.filter(|color| !self.expired(*color)))
    }

    /// Whether a color is past its end.
    #[inline]
    pub fn expired(&self, color: ColorId) -> bool {
        let expired = self.expired.get(usize::from(color.0));
        expired.is_some_and(|expired| expired.load(Relaxed))
    }

    /// Notes that a color is past its end, or is not.
    pub fn expire(&self, color: ColorId, over: bool) {
        if let Some(expired) = self.expired.get(usize::from(color.0)) {
            expired.store(over, Relaxed);
        }
    }

    /// Whether anybody may sign colors.
    pub fn signs(&self) -> bool {
        self.signers || !self.keys.is_empty()
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn sources(&self) -> &[SelectorFor<ColorSource>] {
        &self.sources
    }

    /// The color of a name.
    pub fn named(&self, name: &[u8]) -> Option<ColorId> {
        self.names.get(name).copied()
    }

    /// The shares of colors, if any has one.
    pub fn shares(&self) -> Option<&Shares> {
        self.shares.as_ref()
    }

    /// The bucket of a request that neither carries a color nor meets a rule.
    pub fn bucket(&self, view: &View) -> Option<String> {
        let shares = self.shares.as_ref()?;
        let ruled = self.rules.iter().any(|(clause, _)| clause.holds(view));
        (!ruled).then(|| shares.describe(view))
    }

    /// What a request carries: the first source that is present counts. What a stranger says
    /// himself (`words`) does not; what an issuer has signed does.
    fn carried(&self, view: &View, words: bool) -> Carried {
        match self.source(view, words) {
            None => Carried::Nothing,
            Some((_, name)) => match self.names.get(&*name) {
                Some(color) => Carried::Known(*color),
                None => Carried::Unknown,
            },
        }
    }

    fn source<'v>(&self, view: &View<'v>, words: bool) -> Option<(&Selector, Selected<'v>)> {
        let request = view.selectable();
        let believed = |source: &&SelectorFor<ColorSource>| words || source.claim().is_some();
        let mut sources = self.sources.iter().filter(believed);
        sources.find_map(|source| Some((&**source, source.value(&request)?)))
    }

    /// Where the color of a request came from, in words.
    pub fn origin(&self, view: &View, color: ColorId) -> String {
        if view.vouched.is_some() {
            return "a signature that is sound".to_owned();
        }
        let source = self.source(view, view.trusted);
        let source = source.filter(|(_, name)| self.names.get(&**name) == Some(&color));
        match source {
            Some((source, _)) => source.to_string(),
            None => match (&self.shares, self.bucket(view)) {
                (Some(shares), Some(bucket)) => {
                    let share = shares.percent(color).unwrap_or(Percent(0));
                    format!("the color's share of {share}: {bucket}")
                }
                _ => "a rule of the color".to_owned(),
            },
        }
    }

    /// Whether the request carries a color that is not believed.
    pub fn disbelieved(&self, view: &View) -> bool {
        !view.trusted && self.carried(view, true) != Carried::Nothing
    }

    /// Returns what happens when the color's version of a service cannot serve.
    pub fn fallback(&self, color: ColorId) -> Option<Fallback> {
        let color = self.colors.get(usize::from(color.0))?;
        Some(color.fallback)
    }

    /// Returns the version that a color names for a service, if it names one.
    #[inline]
    pub fn version(&self, color: ColorId, service: ServiceId) -> Option<VersionId> {
        let color = self.colors.get(usize::from(color.0))?;
        color.by_service.get(&service).copied()
    }
}

/// The request carries a color that is not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownColor;

impl Versions {
    fn build(config: &Config, color: &crate::config::color::Color) -> Self {
        let by_service = color.versions.iter().filter_map(|(service, version)| {
            let id = config.services.keys().position(|name| name == service)?;
            let versions = &config.services.get(service)?.versions;
            let version = versions.keys().position(|name| name == version)?;
            Some((ServiceId(id as u32), VersionId(version as u16)))
        });
        Self {
            by_service: by_service.collect(),
            fallback: color.fallback,
        }
    }
}

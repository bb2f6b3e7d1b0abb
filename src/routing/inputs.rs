//! What of a request its decision looks at: named by the configuration, written to the access
//! log, so that the same request can be decided again by another configuration.

use crate::config::Config;
use crate::config::selector::Selector;
use http::HeaderName;
use std::collections::BTreeSet;

/// Most names of each kind; what is beyond is not written.
const NAMES_MAX: usize = 64;

/// A name that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<N> {
    pub name: N,
    /// Its values are not written as they are.
    pub secret: bool,
    /// A color may stand there.
    pub source: bool,
}

/// The names of everything that is looked at, beside method, host, path and address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    pub headers: Vec<Input<HeaderName>>,
    pub cookies: Vec<Input<String>>,
    /// Members of the baggage that may carry a color.
    pub baggage: Vec<Input<String>>,
    /// Keys of the query.
    pub query: Vec<Input<String>>,
    pub claims: Vec<String>,
}

impl Inputs {
    /// Whether nothing more is looked at.
    pub const fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.cookies.is_empty()
            && self.baggage.is_empty()
            && self.query.is_empty()
            && self.claims.is_empty()
    }

    /// Those of a configuration; `secret` says whose values are.
    pub fn of(config: &Config, secret: impl Fn(&str) -> bool) -> Self {
        let mut headers: BTreeSet<&str> = BTreeSet::new();
        let (mut cookies, mut baggage) = (BTreeSet::new(), BTreeSet::new());
        let (mut query, mut claims) = (BTreeSet::new(), BTreeSet::new());
        for route in config.routes.values() {
            let names = route.matches.headers.iter();
            headers.extend(names.map(|(name, _)| name.as_str()));
            query.extend(route.matches.query.iter().map(|(key, _)| key.as_str()));
        }
        for when in config.colors.values().flat_map(|color| &color.when) {
            headers.extend(when.header.iter().map(|(name, _)| name.as_str()));
            cookies.extend(when.cookie.iter().map(|(name, _)| name.as_str()));
            claims.extend(when.jwt.iter().map(|(claim, _)| claim));
        }
        let sources = match config.colors.is_empty() {
            true => &[],
            false => config.coloring.sources.as_slice(),
        };
        for source in sources {
            match &**source {
                Selector::Header(name) => drop(headers.insert(name.as_str())),
                Selector::Cookie(name) => drop(cookies.insert(name)),
                Selector::Baggage(key) => drop(baggage.insert(key.as_str())),
                Selector::Query(key) => drop(query.insert(key)),
                Selector::Claim(claim) => drop(claims.insert(claim)),
                // No source of colors; a test holds that none is left out.
                _ => {}
            }
        }
        let input = |name: &str, source: bool| Input {
            name: name.to_owned(),
            secret: secret(name),
            source,
        };
        let texts = |names: BTreeSet<&str>, is_source: &dyn Fn(&str) -> bool| {
            let names = names.into_iter().take(NAMES_MAX);
            names.map(|name| input(name, is_source(name))).collect()
        };
        let is_source =
            |wanted: &dyn Fn(&Selector) -> bool| sources.iter().any(|source| wanted(source));
        Self {
            headers: headers
                .into_iter()
                .take(NAMES_MAX)
                .filter_map(|name| {
                    let of_color = |source: &Selector| source.header().is_some_and(|h| h == name);
                    Some(Input {
                        name: name.parse().ok()?,
                        secret: secret(name),
                        source: is_source(&of_color),
                    })
                })
                .collect(),
            cookies: texts(cookies, &|name| {
                is_source(&|source| matches!(source, Selector::Cookie(known) if known == name))
            }),
            baggage: texts(baggage, &|_| true),
            query: texts(query, &|name| {
                is_source(&|source| matches!(source, Selector::Query(known) if known == name))
            }),
            claims: claims.into_iter().take(NAMES_MAX).cloned().collect(),
        }
    }
}

//! What of a request its decision looks at: named by the configuration, written to the access
//! log, so that the same request can be decided again by another configuration.

use crate::config::Config;
use crate::config::color::Source;
use http::HeaderName;
use std::collections::BTreeSet;

/// Most names of each kind; what is beyond is not written.
const NAMES_MAX: usize = 64;

/// The names of everything that is looked at, beside method, host, path and address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    pub headers: Vec<HeaderName>,
    pub cookies: Vec<String>,
    /// Members of the baggage that may carry a color.
    pub baggage: Vec<String>,
    /// Keys of the query.
    pub query: Vec<String>,
    pub claims: Vec<String>,
}

impl Inputs {
    pub fn of(config: &Config) -> Self {
        let mut headers: BTreeSet<&str> = BTreeSet::new();
        let (mut cookies, mut baggage) = (BTreeSet::new(), BTreeSet::new());
        let (mut query, mut claims) = (BTreeSet::new(), BTreeSet::new());
        for route in config.routes.values() {
            let names = route.matches.headers.iter();
            headers.extend(names.map(|(name, _)| name.as_str()));
            query.extend(route.matches.query.iter().map(|(key, _)| key));
        }
        for when in config.colors.values().flat_map(|color| &color.when) {
            headers.extend(when.header.iter().map(|(name, _)| name.as_str()));
            cookies.extend(when.cookie.iter().map(|(name, _)| name));
            claims.extend(when.jwt.iter().map(|(claim, _)| claim));
        }
        for source in config
            .coloring
            .sources
            .iter()
            .filter(|_| !config.colors.is_empty())
        {
            match source {
                Source::Header => drop(headers.insert(config.coloring.header.as_str())),
                Source::Cookie(name) => drop(cookies.insert(name)),
                Source::Baggage(key) => drop(baggage.insert(key)),
                Source::Query(key) => drop(query.insert(key)),
                Source::Jwt(claim) => drop(claims.insert(claim)),
            }
        }
        let some = |names: BTreeSet<&String>| names.into_iter().take(NAMES_MAX).cloned().collect();
        Self {
            headers: headers
                .into_iter()
                .take(NAMES_MAX)
                .filter_map(|name| name.parse().ok())
                .collect(),
            cookies: some(cookies),
            baggage: some(baggage),
            query: some(query),
            claims: some(claims),
        }
    }
}

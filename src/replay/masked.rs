//! Takes masks off again where they hide what a configuration names: a request that met a condition
//! on a secret meets it when it is decided again. Whatever nobody names stays masked.

use crate::config::Config;
use crate::config::matches::ValueMatch;
use crate::config::selector::Selector;
use crate::telemetry::redact::{MASK, mask};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Values by what stands for them.
#[derive(Debug, Default)]
pub struct Masked(FxHashMap<String, String>);

impl Masked {
    pub fn of<'c>(configs: impl Iterator<Item = &'c Config>) -> Self {
        let mut known = Self::default();
        for config in configs {
            for route in config.routes.values() {
                for (name, value) in &route.matches.headers {
                    known.learn(name.as_str(), value);
                }
                for (name, value) in &route.matches.query {
                    known.learn(name, value);
                }
            }
            for when in config.colors.values().flat_map(|color| &color.when) {
                for (name, value) in &when.header {
                    known.learn(name.as_str(), value);
                }
                for (name, value) in &when.cookie {
                    known.learn(name, value);
                }
            }
            for source in &config.coloring.sources {
                let name = match &**source {
                    // Never masked for their names.
                    Selector::Baggage(_) | Selector::Claim(_) => continue,
                    source => source.argument(),
                };
                let Some(name) = name else { continue };
                for color in config.colors.keys() {
                    known.value(name, color);
                }
            }
        }
        known
    }

    fn learn(&mut self, name: &str, value: &ValueMatch) {
        if let ValueMatch::OneOf(values) = value {
            for value in values {
                self.value(name, value);
            }
        }
    }

    fn value(&mut self, name: &str, value: &str) {
        self.0
            .insert(mask(name, value.as_bytes()), value.to_owned());
    }

    /// The value that stands behind another, or that one itself.
    pub fn behind<'v>(&'v self, value: &'v str) -> &'v str {
        if !value.starts_with(MASK) {
            return value;
        }
        self.0.get(value).map_or(value, String::as_str)
    }

    /// The same for a query, whose values are encoded.
    pub fn behind_query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        if !query.contains(MASK) {
            return Cow::Borrowed(query);
        }
        let pairs = query.split('&').map(|pair| {
            let known = pair.split_once('=').and_then(|(name, masked)| {
                let value = utf8_percent_encode(self.0.get(masked)?, NON_ALPHANUMERIC);
                Some(format!("{name}={value}"))
            });
            known.map_or(Cow::Borrowed(pair), Cow::Owned)
        });
        let pairs: Vec<Cow<str>> = pairs.collect();
        Cow::Owned(pairs.join("&"))
    }
}

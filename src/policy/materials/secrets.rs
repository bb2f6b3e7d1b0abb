//! Secrets that sign colors or open collectors: here it is only found out whether they can be used.

use super::report::Table;
use crate::config::Config;
use crate::config::admin::Secret;
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Placed;
use crate::config::traces::{HeaderText, Headers};
use crate::routing::signed::KEY_MIN;

/// A secret that cannot be used.
pub(super) struct Unusable<'c> {
    pub table: Table<'c>,
    pub why: String,
    /// Whether the live configuration names the same one.
    pub in_use: bool,
    /// What it means that it cannot be used.
    pub meaning: &'static str,
    help: Option<&'static str>,
}

impl Unusable<'_> {
    pub fn unusable(&self) -> Diagnostic {
        let diagnostic = self.table.unusable(&self.why);
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

/// Finds the secrets that cannot be used. `before` is the live configuration.
pub(super) fn unusable<'c>(config: &'c Config, before: Option<&Config>) -> Vec<Unusable<'c>> {
    let known = before.map(|before| &before.coloring.keys);
    let keys = config.coloring.keys.iter().filter_map(|(id, secret)| {
        let same = |known: &Vec<(String, Placed<Secret>)>| {
            let mut known = known.iter();
            known.any(|(name, place)| name == id && place.value == secret.value)
        };
        color_key(id, secret, known.is_some_and(same))
    });
    let known: Vec<_> = before.into_iter().flat_map(collectors).collect();
    let headers = collectors(config).flat_map(|(key, headers)| {
        let unusable = headers.iter().filter(|(_, text)| text.value().is_none());
        unusable.map(move |header| (key, header))
    });
    let headers = headers.map(|(key, header)| {
        let mut known = known.iter().filter(|(known, _)| *known == key);
        let in_use = known.any(|(_, headers)| headers.contains(header));
        collector_header(key, header, in_use)
    });
    keys.chain(headers).collect()
}

/// A secret that signs colors, and is not there or too short.
fn color_key<'c>(id: &str, secret: &'c Placed<Secret>, in_use: bool) -> Option<Unusable<'c>> {
    let why = match secret.value.text().map(|text| text.len()) {
        None => "the secret is not there".to_owned(),
        Some(length) if length < KEY_MIN => {
            format!("the secret has {length} bytes, and needs {KEY_MIN}")
        }
        Some(_) => return None,
    };
    Some(Unusable {
        table: Table::new(format!("coloring.keys.{id}"), &secret.at),
        why,
        in_use,
        meaning: "colors that it has signed are not believed until it is there again",
        help: Some("such as openssl rand -base64 32 makes"),
    })
}

fn collector_header<'c>(
    key: &str,
    (name, _): &(http::HeaderName, HeaderText),
    in_use: bool,
) -> Unusable<'c> {
    Unusable {
        table: Table::nowhere(format!("telemetry.{key}.headers.{name}")),
        why: "it is not there, or is no value of a header".to_owned(),
        in_use,
        meaning: "the collector is sent everything without this header",
        help: None,
    }
}

/// Headers for collectors, by the key of their table.
fn collectors(config: &Config) -> impl Iterator<Item = (&'static str, &Headers)> {
    let telemetry = &config.telemetry;
    let traces = telemetry.traces.iter().map(|of| ("traces", &of.headers));
    let metrics = telemetry.metrics.iter().map(|of| ("metrics", &of.headers));
    traces.chain(metrics)
}

//! What the configuration names outside itself and policies cannot do without: keys, secrets,
//! lists. Read when a configuration is checked, so that a broken file never replaces a good one.

use super::auth::Consumers;
use super::jwt::{KeySet, Materials as Jwt, UnusableKeys, revoked::Revoked};
use crate::config::admin::Secret;
use crate::config::diagnostic::Diagnostic;
use crate::config::jwt::{self as config, Keys};
use crate::config::reader::Placed;
use crate::config::tls::VersionTls;
use crate::config::traces::Headers;
use crate::config::{Config, Name, Place};
use crate::plugin::Plugins;
use crate::tls::{Certified, ListenerTls, UpstreamTls};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Shortest secret that signs colors.
const COLOR_KEY_MIN: usize = 16;

/// Everything, by the name of its table.
#[derive(Debug, Default)]
pub struct Materials {
    pub jwt: BTreeMap<Name, Jwt>,
    pub api_keys: BTreeMap<Name, Consumers>,
    /// By listener.
    pub listeners: BTreeMap<Name, ListenerTls>,
    /// By service and version.
    pub upstreams: BTreeMap<(Name, Name), Arc<UpstreamTls>>,
    /// What can be used and is not right all the same.
    pub warnings: Vec<Diagnostic>,
    /// Made, and not started.
    pub plugins: Plugins,
}

impl Materials {
    /// Reads all of it.
    ///
    /// # Errors
    /// Whatever cannot be used, all at once.
    pub fn read(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut read = Self::default();
        let mut problems = Vec::new();
        let mut problem = |table: &str, at: &Place, error: &dyn std::fmt::Display| {
            problems.push(match table.ends_with(".tls") {
                true => unusable(table, at, error)
                    .help("`tyrian dev-cert` makes certificates to try things out"),
                false => unusable(table, at, error),
            });
        };
        let mut wrong_keys = Vec::new();
        for (name, jwt) in &config.jwt {
            let table = format!("jwt.{name}");
            let keys =
                keys(jwt).map_err(|error| wrong_keys.push(unusable_keys(&table, jwt, &error)));
            let revoked = jwt
                .revoked
                .as_deref()
                .map_or(Ok(Revoked::default()), Revoked::from_file);
            let revoked = revoked.map_err(|error| problem(&table, &jwt.at, &error));
            if let (Ok(keys), Ok(revoked)) = (keys, revoked) {
                read.jwt.insert(name.clone(), Jwt { keys, revoked });
            }
        }
        for (name, keys) in &config.api_keys {
            match super::auth::consumers(keys) {
                Ok(consumers) => {
                    let doubt = consumers.is_empty().then(|| without_keys(name, &keys.at));
                    read.warnings.extend(doubt);
                    read.api_keys.insert(name.clone(), consumers);
                }
                Err(error) => problem(&format!("api_keys.{name}"), &keys.at, &error),
            }
        }
        for (name, listener) in &config.listeners {
            let Some(tls) = &listener.tls else { continue };
            match ListenerTls::read(listener, tls) {
                Ok(usable) => {
                    read.warnings
                        .extend(doubts(&usable.certificates, &listener.at));
                    read.listeners.insert(name.clone(), usable);
                }
                Err(error) => {
                    let table = format!("listeners.{name}.tls");
                    problem(&table, &listener.at, &error);
                }
            }
        }
        for (key, at, tls) in upstreams(config) {
            match UpstreamTls::read(tls) {
                Ok(usable) => drop(read.upstreams.insert(key, Arc::new(usable))),
                Err(error) => {
                    let table = format!("services.{}.versions.{}", key.0, key.1);
                    problem(&table, at, &error);
                }
            }
        }
        match Plugins::make(config) {
            Ok(plugins) => read.plugins = plugins,
            Err(wrong) => problems.extend(wrong),
        }
        problems.extend(wrong_keys);
        problems.extend(unusable_secrets(config));
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }
}

/// What a table names cannot be used.
fn unusable(table: &str, at: &Place, error: &dyn std::fmt::Display) -> Diagnostic {
    let message = format!("`{table}` cannot be put to work: {error}");
    Diagnostic::error("TY0504", message).at(&at.spot(), "needed here")
}

fn unusable_keys(table: &str, jwt: &config::Jwt, error: &UnusableKeys) -> Diagnostic {
    let diagnostic = unusable(table, &jwt.at, error);
    match error.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

fn without_keys(name: &Name, at: &Place) -> Diagnostic {
    let message = format!("`api_keys.{name}` has a file without keys");
    let diagnostic = Diagnostic::warning("TY0327", message).at(&at.spot(), "nobody has a key");
    diagnostic.help("one `CONSUMER:SHA256` per line: printf %s KEY | sha256sum")
}

/// A secret that signs colors, and is not there or too short.
fn unusable_color_key(id: &str, secret: &Placed<Secret>) -> Option<Diagnostic> {
    let why = match secret.value.text().map(|text| text.len()) {
        None => "the secret is not there".to_owned(),
        Some(length) if length < COLOR_KEY_MIN => {
            format!("the secret has {length} bytes, and needs {COLOR_KEY_MIN}")
        }
        Some(_) => return None,
    };
    let diagnostic = unusable(&format!("coloring.keys.{id}"), &secret.at, &why);
    Some(diagnostic.help("such as openssl rand -base64 32 makes"))
}

/// What names a secret that is not there, or of no use.
fn unusable_secrets(config: &Config) -> impl Iterator<Item = Diagnostic> {
    let keys = config.coloring.keys.iter();
    let keys = keys.filter_map(|(id, secret)| unusable_color_key(id, secret));
    let headers = collectors(config).flat_map(|(key, headers)| {
        let unusable = headers.iter().filter(|(_, text)| text.value().is_none());
        unusable.map(move |(name, _)| {
            let key = format!("telemetry.{key}.headers.{name}");
            let message = format!(
                "`{key}` cannot be put to work: it is not there, or is no value of a header"
            );
            Diagnostic::error("TY0504", message)
        })
    });
    keys.chain(headers)
}

/// Headers for collectors, by the key of their table.
fn collectors(config: &Config) -> impl Iterator<Item = (&str, &Headers)> {
    let telemetry = &config.telemetry;
    let traces = telemetry.traces.iter().map(|of| ("traces", &of.headers));
    let metrics = telemetry.metrics.iter().map(|of| ("metrics", &of.headers));
    traces.chain(metrics)
}

/// A version that is reached by TLS, and its place.
type Reached<'c> = ((Name, Name), &'c Place, &'c VersionTls);

fn upstreams(config: &Config) -> Vec<Reached<'_>> {
    let mut reached = Vec::new();
    for (service, of) in &config.services {
        for (name, version) in &of.versions {
            if let Some(tls) = &version.tls {
                reached.push(((service.clone(), name.clone()), &version.at, tls));
            }
        }
    }
    reached
}

/// How long before its end a certificate is warned about, in seconds.
const EXPIRES_SOON: i64 = 7 * 24 * 3600;

/// Certificates that are not valid now, or not for long, or whose chain has a gap. Clients may
/// refuse them; not serving at all would be no better.
fn doubts(certificates: &[Certified], at: &Place) -> Vec<Diagnostic> {
    let now = jiff::Timestamp::now().as_second();
    let doubt = |certificate: &Certified| {
        let file = &certificate.file;
        let what = match certificate {
            one if one.not_after <= now => format!("the certificate in {file} has expired"),
            one if one.not_before > now => format!("the certificate in {file} is not valid yet"),
            one if one.not_after <= now + EXPIRES_SOON => {
                format!("the certificate in {file} expires within a week")
            }
            one if !one.chained => {
                format!("the chain in {file} has a gap: leaf first, then who issued it")
            }
            _ => return None,
        };
        Some(Diagnostic::warning("TY0330", what).at(&at.spot(), "shown by this listener"))
    };
    certificates.iter().filter_map(doubt).collect()
}

/// The keys of a provider; `None`: they are fetched.
fn keys(jwt: &config::Jwt) -> Result<Option<KeySet>, UnusableKeys> {
    match &jwt.keys {
        Keys::Url(_) => Ok(None),
        Keys::File(path) => {
            let keys = KeySet::from_file(path)?;
            keys.covering(&jwt.algorithms).map(Some)
        }
        Keys::Pem(path) => KeySet::from_pem(path, &jwt.algorithms).map(Some),
        Keys::Hmac(secret) => {
            let secret = secret.text().ok_or(UnusableKeys::NoSecret)?;
            KeySet::from_secret(&secret, &jwt.algorithms).map(Some)
        }
    }
}

//! What the configuration names outside itself and policies cannot do without: keys, secrets,
//! lists. Read when a configuration is checked, so that a broken file never replaces a good one.

use super::auth::Consumers;
use super::jwt::{KeySet, Materials as Jwt, UnusableKeys, revoked::Revoked};
use crate::config::diagnostic::Diagnostic;
use crate::config::jwt::{self as config, Keys};
use crate::config::{Config, Name, Place};
use crate::plugin::Plugins;
use std::collections::BTreeMap;

/// Shortest secret that signs colors.
const COLOR_KEY_MIN: usize = 16;

/// Everything, by the name of its table.
#[derive(Debug, Default)]
pub struct Materials {
    pub jwt: BTreeMap<Name, Jwt>,
    pub api_keys: BTreeMap<Name, Consumers>,
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
            let message = format!("`{table}` cannot be put to work: {error}");
            problems.push(Diagnostic::error("TY0504", message).at(&at.spot(), "needed here"));
        };
        for (name, jwt) in &config.jwt {
            let table = format!("jwt.{name}");
            let keys = keys(jwt).map_err(|error| problem(&table, &jwt.at, &error));
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
                Ok(consumers) => drop(read.api_keys.insert(name.clone(), consumers)),
                Err(error) => problem(&format!("api_keys.{name}"), &keys.at, &error),
            }
        }
        match Plugins::make(config) {
            Ok(plugins) => read.plugins = plugins,
            Err(wrong) => problems.extend(wrong),
        }
        for (id, secret) in &config.coloring.keys {
            let long_enough = |secret: String| secret.len() >= COLOR_KEY_MIN;
            if !secret.text().is_some_and(long_enough) {
                let message = format!(
                    "`coloring.keys.{id}` cannot be put to work: it is not there, or has fewer than {COLOR_KEY_MIN} characters"
                );
                problems.push(Diagnostic::error("TY0504", message));
            }
        }
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }
}

/// The keys of a provider; `None`: they are fetched.
fn keys(jwt: &config::Jwt) -> Result<Option<KeySet>, UnusableKeys> {
    match &jwt.keys {
        Keys::Url(_) => Ok(None),
        Keys::File(path) => KeySet::from_file(path).map(Some),
        Keys::Pem(path) => KeySet::from_pem(path, &jwt.algorithms).map(Some),
        Keys::Hmac(secret) => {
            let secret = secret.text().ok_or(UnusableKeys::NoSecret)?;
            KeySet::from_secret(secret.as_bytes()).map(Some)
        }
    }
}

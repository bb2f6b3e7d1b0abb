//! What the configuration names outside itself and policies cannot do without: keys, secrets,
//! lists, certificates. Read when a configuration is checked.
//!
//! A file that cannot be used never replaces a good one. Where the live generation has read the
//! same file before, what it held then goes on, and the verdict says so: a change elsewhere does
//! not wait for it. docs/operations/files.md has the table of what that means for each file.

mod in_use;
mod report;
mod secrets;
mod stale;

pub use in_use::InUse;
pub use stale::Stale;

use super::auth::Consumers;
use super::held::Held;
use super::jwt::{KeySet, Materials as Jwt, UnusableKeys, revoked::Revoked};
use crate::config::auth::ApiKeys;
use crate::config::diagnostic::Diagnostic;
use crate::config::jwt::{self as config, KeyPlace, Keys, KeysAtHand};
use crate::config::listener::Listener;
use crate::config::tls::{Tls, VersionTls};
use crate::config::{Config, Name, Place};
use crate::plugin::Plugins;
use crate::tls::{ListenerTls, UpstreamTls};
use report::Table;
use stale::Meaning;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Everything, by the name of its table.
#[derive(Debug, Default)]
pub struct Materials {
    pub jwt: BTreeMap<Name, Jwt>,
    pub api_keys: BTreeMap<Name, Held<Consumers>>,
    /// By listener.
    pub listeners: BTreeMap<Name, ListenerTls>,
    /// By service and version.
    pub upstreams: BTreeMap<(Name, Name), Arc<UpstreamTls>>,
    /// What can be used and is not right all the same.
    pub warnings: Vec<Diagnostic>,
    /// What cannot be read anew: what it held before is in force.
    pub stale: Vec<Stale>,
    /// Made, and not started.
    pub plugins: Plugins,
}

impl Materials {
    /// Reads all of it. Where a file cannot be used, what is in use of it goes on.
    ///
    /// # Errors
    /// What cannot be used and is not in use, all at once, and the warnings with it.
    pub fn read(config: &Config, in_use: Option<&InUse>) -> Result<Self, Vec<Diagnostic>> {
        let mut reading = Reading {
            in_use,
            read: Self::default(),
            problems: Vec::new(),
        };
        for (name, jwt) in &config.jwt {
            reading.provider(name, jwt);
        }
        for (name, keys) in &config.api_keys {
            reading.api_keys(name, keys);
        }
        for (name, listener) in &config.listeners {
            if let Some(tls) = &listener.tls {
                reading.listener(name, listener, tls);
            }
        }
        for (key, at, tls) in upstreams(config) {
            reading.upstream(key, at, tls);
        }
        match Plugins::make(config) {
            Ok(plugins) => reading.read.plugins = plugins,
            Err(wrong) => reading.problems.extend(wrong),
        }
        reading.secrets(config);
        if reading.problems.is_empty() {
            return Ok(reading.read);
        }
        reading.problems.append(&mut reading.read.warnings);
        Err(reading.problems)
    }
}

/// What has been read so far, and what is wrong with it.
struct Reading<'a> {
    in_use: Option<&'a InUse<'a>>,
    read: Materials,
    problems: Vec<Diagnostic>,
}

impl Reading<'_> {
    /// Notes that something goes on as it was, and what that means.
    fn stale(&mut self, table: &Table, why: &dyn std::fmt::Display, meaning: Meaning) {
        let warning = table.stale(why).help(meaning.words(jiff::Timestamp::now()));
        let what = warning.message.clone();
        self.read.stale.push(Stale { what, meaning });
        self.read.warnings.push(warning);
    }

    fn provider(&mut self, name: &Name, jwt: &config::Jwt) {
        let table = Table::new(format!("jwt.{name}"), &jwt.at);
        let keys = match &jwt.keys {
            Keys::Url(_) => Some(None),
            Keys::AtHand(place) => self.keys(&table, name, jwt, place).map(Some),
        };
        let revoked = match jwt.revoked.as_deref() {
            None => Some(Arc::default()),
            Some(path) => self.revoked(&table, name, path),
        };
        if let (Some(keys), Some(revoked)) = (keys, revoked) {
            self.read.jwt.insert(name.clone(), Jwt { keys, revoked });
        }
    }

    fn keys(
        &mut self,
        table: &Table,
        name: &Name,
        jwt: &config::Jwt,
        config: &KeysAtHand,
    ) -> Option<Held<KeySet>> {
        let why = match keys(&config.place, &jwt.algorithms) {
            Ok(keys) => {
                let uncovered = keys.uncovered(&jwt.algorithms);
                let missing = uncovered.map(|names| table.without_keys(&names));
                self.read.warnings.extend(missing);
                return Some(Held::Read(Arc::new(keys)));
            }
            Err(why) => why,
        };
        let provider = self.in_use.and_then(|in_use| in_use.provider(name));
        let last = provider.and_then(|provider| provider.last_keys(jwt));
        match &last {
            Some(last) => self.stale(table, &why, Meaning::of_keys(last, config.max_stale)),
            None => self.problems.push(table.unusable_keys(&why)),
        }
        last
    }

    fn revoked(&mut self, table: &Table, name: &Name, path: &Path) -> Option<Arc<Revoked>> {
        let provider = self.in_use.and_then(|in_use| in_use.provider(name));
        let last = provider.and_then(|provider| provider.last_revoked(path));
        match Revoked::from_file(path) {
            Ok((revoked, remarks)) => {
                self.read.warnings.extend(table.remarks(path, &remarks));
                let had = last.map_or(0, |last| last.len());
                let emptied = revoked.is_empty() && had > 0;
                let warning = emptied.then(|| table.revokes_nothing(path, had));
                self.read.warnings.extend(warning);
                return Some(Arc::new(revoked));
            }
            Err(why) => match &last {
                Some(_) => {
                    let meaning = "the last list that could be read is in force";
                    self.stale(table, &why, Meaning::Fixed(meaning));
                }
                None => self.problems.push(table.unusable(&why)),
            },
        }
        last
    }

    fn api_keys(&mut self, name: &Name, config: &ApiKeys) {
        let table = Table::new(format!("api_keys.{name}"), &config.at);
        let consumers = match super::auth::consumers(config) {
            Ok((consumers, remarks)) => {
                let none = consumers.is_empty().then(|| table.without_consumers());
                self.read.warnings.extend(none);
                let remarks = table.remarks(&config.file, &remarks);
                self.read.warnings.extend(remarks);
                Some(Held::Read(Arc::new(consumers)))
            }
            Err(why) => {
                let known = self.in_use.and_then(|in_use| in_use.api_keys(name));
                let last = known.and_then(|known| known.last_good(config));
                match &last {
                    Some(last) => {
                        self.stale(&table, &why, Meaning::of_keys(last, config.max_stale));
                    }
                    None => self.problems.push(table.unusable(&why)),
                }
                last
            }
        };
        if let Some(consumers) = consumers {
            self.read.api_keys.insert(name.clone(), consumers);
        }
    }

    fn listener(&mut self, name: &Name, listener: &Listener, tls: &Tls) {
        let table = Table::new(format!("listeners.{name}.tls"), &listener.at);
        let before = self.in_use.and_then(|in_use| in_use.listener(name));
        match ListenerTls::read(listener, tls, before.as_ref()) {
            Ok((usable, kept)) => {
                let doubts = report::doubts(&usable.certificates, &listener.at);
                self.read.warnings.extend(doubts);
                for why in kept {
                    let meaning = "the last good certificates, authorities and revocations are in \
                                   force";
                    self.stale(&table, &why, Meaning::Fixed(meaning));
                }
                self.read.listeners.insert(name.clone(), usable);
            }
            Err(why) => self.problems.push(table.unusable(&why)),
        }
    }

    fn upstream(&mut self, key: (Name, Name), at: &Place, tls: &VersionTls) {
        let table = Table::new(format!("services.{}.versions.{}", key.0, key.1), at);
        let usable = match UpstreamTls::read(tls) {
            Ok(usable) => Some(Arc::new(usable)),
            Err(why) => {
                let last = self.in_use.and_then(|in_use| in_use.upstream(&key, tls));
                match &last {
                    Some(_) => {
                        let meaning = "its last good authorities and certificate are in force";
                        self.stale(&table, &why, Meaning::Fixed(meaning));
                    }
                    None => self.problems.push(table.unusable(&why)),
                }
                last
            }
        };
        if let Some(usable) = usable {
            self.read.upstreams.insert(key, usable);
        }
    }

    /// Secrets that are read elsewhere. Of one that cannot be used and has been in use, nothing
    /// goes on: what it signed is not believed, what it opened stays shut.
    fn secrets(&mut self, config: &Config) {
        let before = self.in_use.map(|in_use| in_use.config);
        for secret in secrets::unusable(config, before) {
            match secret.in_use {
                true => self.stale(&secret.table, &secret.why, Meaning::Fixed(secret.meaning)),
                false => self.problems.push(secret.unusable()),
            }
        }
    }
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

/// The keys of a provider that are on this machine.
fn keys(place: &KeyPlace, algorithms: &[config::Algorithm]) -> Result<KeySet, UnusableKeys> {
    match place {
        KeyPlace::File(path) => KeySet::from_file(path),
        KeyPlace::Pem(path) => KeySet::from_pem(path, algorithms),
        KeyPlace::Hmac(secret) => {
            let secret = secret.text().ok_or(UnusableKeys::NoSecret)?;
            KeySet::from_secret(&secret, algorithms)
        }
    }
}

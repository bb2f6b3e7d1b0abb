//! API keys by hash: who holds one, from a file that is watched.

use crate::config::Name;
use crate::config::auth as config;
use crate::policy::jwt::Verified;
use crate::policy::lines::{self, Unreadable};
use crate::reason::Reason;
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longest key, in bytes.
const KEY_MAX: usize = 512;

/// Consumers by the hash of their key. Keys are random and long, so a fast hash is enough; looking
/// one up by hash tells nothing about the others.
pub type Consumers = HashMap<[u8; 32], Arc<Verified>>;

/// API keys of one table. Survives reloads that leave it unchanged.
#[derive(Debug)]
pub struct ApiKeys {
    pub name: Name,
    pub config: config::ApiKeys,
    consumers: ArcSwap<Consumers>,
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    /// What the log says of a key that nobody holds.
    pub unknown: Arc<str>,
}

/// Reads the consumers of a table.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn consumers(config: &config::ApiKeys) -> Result<Consumers, Unreadable> {
    let mut consumers = Consumers::new();
    let line = "`CONSUMER:SHA256`, the hash as 64 hex digits, of one consumer only";
    lines::read(&config.file, line, |line| {
        let (consumer, hash) = line.rsplit_once(':')?;
        let identity = identity(config, consumer.trim())?;
        let hash = decode(hash.trim())?;
        // One key of two consumers would say that it is whoever stands last.
        let known = consumers
            .get(&hash)
            .map(|known: &Arc<Verified>| &known.logged);
        known
            .is_none_or(|known| *known == identity.logged)
            .then_some(())?;
        consumers.insert(hash, Arc::new(identity));
        Some(())
    })?;
    Ok(consumers)
}

fn identity(config: &config::ApiKeys, consumer: &str) -> Option<Verified> {
    let value = HeaderValue::from_str(consumer)
        .ok()
        .filter(|value| !value.is_empty())?;
    let mut claims = crate::routing::claims::Claims::new();
    claims.insert("sub".to_owned(), consumer.into());
    Some(Verified {
        claims,
        forward: config
            .forward
            .iter()
            .map(|header| (header.clone(), value.clone()))
            .collect(),
        logged: vec![("consumer".to_owned(), consumer.to_owned())],
        expires: u64::MAX,
    })
}

fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl ApiKeys {
    /// Builds a table; one that is unchanged goes on with the consumers just read.
    pub fn build(
        name: &Name,
        config: &config::ApiKeys,
        consumers: Consumers,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            previous.consumers.store(Arc::new(consumers));
            return previous.clone();
        }
        Arc::new(Self {
            name: name.clone(),
            config: config.clone(),
            consumers: ArcSwap::from_pointee(consumers),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: format!("nobody in `api_keys.{name}` holds this key").into(),
        })
    }

    /// Who holds the request's key; `None`: it has none.
    pub fn who(&self, headers: &HeaderMap) -> Option<Result<Arc<Verified>, Reason>> {
        let mut keys = headers.get_all(&self.config.header).iter();
        let key = keys.next()?.as_bytes();
        let known = match (key.len() <= KEY_MAX, keys.next()) {
            (true, None) => self
                .consumers
                .load()
                .get(Sha256::digest(key).as_slice())
                .cloned(),
            _ => None,
        };
        let counter = if known.is_some() {
            &self.accepted
        } else {
            &self.refused
        };
        counter.fetch_add(1, Relaxed);
        Some(known.ok_or(Reason::ApiKey))
    }
}

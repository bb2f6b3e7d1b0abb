//! API keys by hash: who holds one, from a file that is watched.

use crate::config::Name;
use crate::config::auth as config;
use crate::policy::held::{Held, Lost, now};
use crate::policy::jwt::Verified;
use crate::policy::lines::{self, Line, Remarks, Unreadable};
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
    lost: Lost,
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    /// Details for the log: no consumer holds the key, or all keys are too old.
    unknown: Arc<str>,
    stale: Arc<str>,
}

/// The result of looking up a key.
#[derive(Debug)]
pub enum Found {
    Consumer(Arc<Verified>),
    /// No consumer holds the key.
    Unknown,
    /// The file could not be used for longer than `max_stale`, so no key is accepted.
    Stale,
}

/// What a line may be.
const LINE: &str = "`CONSUMER:SHA256`, the hash as 64 hex digits, of one consumer only";

/// Reads the consumers of a table. A line that is not understood is passed over, and told in the
/// remarks.
///
/// # Errors
/// When the file cannot be read, or is not such a list at all.
pub fn consumers(config: &config::ApiKeys) -> Result<(Consumers, Remarks), Unreadable> {
    let mut consumers = Consumers::new();
    let remarks = lines::read(&config.file, |line| {
        let Some((hash, identity)) = consumer(config, line) else {
            return Line::Odd(LINE);
        };
        match consumers.entry(hash) {
            Entry::Vacant(place) => drop(place.insert(Arc::new(identity))),
            // One key of two consumers would not say whose it is: it stays that of the first.
            Entry::Occupied(known) if known.get().logged != identity.logged => {
                return Line::Odd(LINE);
            }
            Entry::Occupied(_) => {}
        }
        Line::Taken
    })?;
    Ok((consumers, remarks))
}

/// The consumer of a line, by the hash of its key.
fn consumer(config: &config::ApiKeys, line: &str) -> Option<([u8; 32], Verified)> {
    let (consumer, hash) = line.rsplit_once(':')?;
    Some((decode(hash.trim())?, identity(config, consumer.trim())?))
}

/// Who holds the key among these headers: `None`: there is none, or an empty one; `Some(None)`: no consumer.
pub fn holder(
    config: &config::ApiKeys,
    consumers: &Consumers,
    headers: &HeaderMap,
) -> Option<Option<Arc<Verified>>> {
    let mut keys = headers.get_all(&config.header).iter();
    let key = keys.next()?.as_bytes();
    Some(match (key.len() <= KEY_MAX, keys.next()) {
        (_, None) if key.is_empty() => return None,
        (true, None) => consumers.get(Sha256::digest(key).as_slice()).cloned(),
        _ => None,
    })
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
        consumers: Held<Consumers>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            previous.take(consumers);
            return previous.clone();
        }
        let keys = Self {
            name: name.clone(),
            config: config.clone(),
            consumers: ArcSwap::default(),
            lost: Lost::default(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: format!("no consumer of `api_keys.{name}` holds this key").into(),
            stale: format!(
                "the keys of `api_keys.{name}` are older than `max_stale`, so none is accepted"
            )
            .into(),
        };
        keys.take(consumers);
        Arc::new(keys)
    }

    fn take(&self, consumers: Held<Consumers>) {
        match consumers {
            Held::Read(consumers) => {
                self.consumers.store(consumers);
                self.lost.clear();
            }
            Held::Kept { last, lost } => {
                self.consumers.store(last);
                self.lost.set(lost);
            }
        }
    }

    /// What goes on for a table of which the file cannot be used; `None`: this one's is another
    /// file, or says something else of consumers.
    pub fn last_good(&self, config: &config::ApiKeys) -> Option<Held<Consumers>> {
        let same = self.config.file == config.file && self.config.forward == config.forward;
        same.then(|| Held::Kept {
            last: self.consumers.load_full(),
            lost: self.lost.since().unwrap_or_else(now),
        })
    }

    /// Whether the file could not be used for longer than `max_stale`.
    pub fn is_stale(&self) -> bool {
        self.lost.is_over(self.config.max_stale, now)
    }

    /// Returns how long ago the file was last good, in seconds; `None`: it is good.
    pub fn lost_for(&self) -> Option<u64> {
        let since = self.lost.since()?;
        Some(now().saturating_sub(since))
    }

    /// Returns how many keys it has.
    pub fn size(&self) -> usize {
        self.consumers.load().len()
    }

    /// Writes to the log, once each time, that the keys are no longer accepted.
    pub fn sweep(&self) {
        if self.lost.newly_over(self.is_stale()) {
            tracing::error!(
                api_keys = %self.name,
                "API keys are older than `max_stale` and no longer accepted; requests are refused"
            );
        }
    }

    /// Looks up the consumer of the request's key, without counting it; `None`: it has no key.
    pub fn look_up(&self, headers: &HeaderMap) -> Option<Found> {
        let found = holder(&self.config, &self.consumers.load(), headers)?;
        Some(match found {
            _ if self.is_stale() => Found::Stale,
            Some(consumer) => Found::Consumer(consumer),
            None => Found::Unknown,
        })
    }

    /// Returns the consumer of the request's key; `None`: it has no key.
    ///
    /// # Errors
    /// Why the key is refused, in words for the log.
    pub fn who(&self, headers: &HeaderMap) -> Option<Result<Arc<Verified>, &Arc<str>>> {
        let known = match self.look_up(headers)? {
            Found::Consumer(consumer) => Ok(consumer),
            Found::Unknown => Err(&self.unknown),
            Found::Stale => Err(&self.stale),
        };
        let counter = match known {
            Ok(_) => &self.accepted,
            Err(_) => &self.refused,
        };
        counter.fetch_add(1, Relaxed);
        Some(known)
    }
}

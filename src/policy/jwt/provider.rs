//! One provider: its keys, its verdicts, and what is counted about them.

use super::cache::Cache;
use super::claims::{self, Fault};
use super::keys::{self, KeySet};
use super::results::Results;
use super::revoked::Revoked;
use super::state::State;
use super::token::{Parts, decoded};
use super::{TOKEN_MAX, crypto, fetch};
use crate::config::Name;
use crate::config::jwt::{Jwt, KeyPlace, Keys, KeysByUrl};
use crate::config::policy::Mode;
use crate::policy::held::{Held, now};
use crate::reason::Reason;
use crate::routing::claims::Claims;
use crate::state::Folder;
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::Algorithm;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Longest a request waits for keys that are being fetched.
const KEYS_WAIT: Duration = Duration::from_secs(2);
/// Shortest pause between two fetches that unknown keys ask for.
pub(super) const ASK_PAUSE: u64 = 10;

/// A token that was verified.
#[derive(Debug)]
pub struct Verified {
    pub claims: Claims,
    /// Claims that go up, as headers.
    pub forward: Vec<(HeaderName, HeaderValue)>,
    /// What the access log shows of it: field and value.
    pub logged: Vec<(String, String)>,
    /// Seconds since 1970.
    pub expires: u64,
}

/// What a provider's table names outside the configuration.
#[derive(Debug)]
pub struct Materials {
    /// `None`: they are fetched.
    pub keys: Option<Held<KeySet>>,
    pub revoked: Arc<Revoked>,
}

/// A token provider. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct Provider {
    pub name: Name,
    pub config: Jwt,
    pub results: Results,
    pub(super) algorithms: Vec<Algorithm>,
    /// What the log says of claims that are missing.
    words: Vec<Arc<str>>,
    pub(super) state: State,
    pub(super) revoked: ArcSwap<Revoked>,
    pub(super) cache: Cache,
    /// Tokens that bring a color. Apart from the others, since they say nothing of who asks.
    pub(super) colors: Cache,
}

/// Whether one of the keys that a token is held against has signed it.
pub(super) fn signed_by_any(parts: &Parts, keys: &KeySet, algorithm: Algorithm) -> bool {
    let message = parts.message.as_bytes();
    let mut candidates = keys.candidates(parts.header.kid.as_deref(), algorithm);
    candidates.any(|key| crypto::verify(parts.signature, message, key, algorithm))
}

impl Provider {
    /// Builds a provider; one with the same table goes on with fresh materials.
    pub fn build(
        name: &Name,
        config: &Jwt,
        materials: Materials,
        previous: Option<&Arc<Self>>,
        stash: Option<&Folder>,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            previous.take(materials);
            return previous.clone();
        }
        let provider = Arc::new(Self {
            name: name.clone(),
            config: config.clone(),
            results: Results::default(),
            algorithms: config
                .algorithms
                .iter()
                .map(|allowed| keys::algorithm(*allowed))
                .collect(),
            words: claims::words(config),
            state: State::default(),
            revoked: ArcSwap::default(),
            cache: Cache::default(),
            colors: Cache::default(),
        });
        provider.take(materials);
        if let Keys::Url(source) = &config.keys {
            if let Some(previous) = previous {
                provider.take_over(previous, source);
            }
            fetch::spawn(&provider, source.clone(), stash);
        }
        provider
    }

    /// Goes on with the keys that a provider of the same issuer has fetched from the same place:
    /// another table is no reason to be without keys until the next fetch.
    fn take_over(&self, previous: &Self, source: &KeysByUrl) {
        let known = match &previous.config.keys {
            Keys::Url(known) => (&known.url, &known.ca, &previous.config.issuer),
            Keys::AtHand(_) => return,
        };
        if known != (&source.url, &source.ca, &self.config.issuer) {
            return;
        }
        if let Some(keys) = previous.state.keys.load_full() {
            self.put(keys);
            let fetched = previous.state.fetched.load(Relaxed);
            self.state.fetched.store(fetched, Relaxed);
        }
    }

    fn take(&self, materials: Materials) {
        match materials.keys {
            None => {}
            Some(Held::Read(keys)) => self.put(keys),
            Some(Held::Kept { last, lost }) => self.keep(last, lost),
        }
        self.revoked.store(materials.revoked);
    }

    /// New keys are in force; verdicts of the old ones are forgotten.
    pub(super) fn renew(&self, keys: KeySet) {
        self.put(Arc::new(keys));
    }

    fn put(&self, keys: Arc<KeySet>) {
        self.state.keys.store(Some(keys));
        self.state.generation.fetch_add(1, Relaxed);
        self.state.fetched.store(now(), Relaxed);
        self.state.lost.clear();
    }

    /// Goes on with the last good keys of a file that cannot be used.
    fn keep(&self, last: Arc<KeySet>, lost: u64) {
        let known = self.state.keys.load();
        if !known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &last))
        {
            self.put(last);
        }
        self.state.lost.set(lost);
    }

    /// Returns the last good keys for a table of which the file cannot be used; `None`: this
    /// provider's are from another place, or were found good for other algorithms.
    pub fn last_keys(&self, config: &Jwt) -> Option<Held<KeySet>> {
        let (Keys::AtHand(known), Keys::AtHand(wanted)) = (&self.config.keys, &config.keys) else {
            return None;
        };
        // A set may have keys for any algorithm; one key or secret has to fit them all.
        let fits =
            matches!(known.place, KeyPlace::File(_)) || self.config.algorithms == config.algorithms;
        if known.place != wanted.place || !fits {
            return None;
        }
        Some(Held::Kept {
            last: self.state.keys.load_full()?,
            lost: self.state.lost.since().unwrap_or_else(now),
        })
    }

    /// Returns the list in force if it is from this file.
    pub fn last_revoked(&self, path: &Path) -> Option<Arc<Revoked>> {
        let same = self.config.revoked.as_deref() == Some(path);
        same.then(|| self.revoked.load_full())
    }

    /// Whether an unverified issuer is this provider's; only to choose whom to ask.
    pub fn issues(&self, token: &str) -> bool {
        #[derive(serde::Deserialize)]
        struct Issuer {
            iss: String,
        }
        let payload = token.split('.').nth(1).unwrap_or("");
        decoded::<Issuer>(payload).is_ok_and(|found| found.iss == self.config.issuer)
    }

    /// Verifies a token, or remembers that it was.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Fault> {
        let result = self.judge(token).await;
        if let Err(fault) = &result {
            self.results.refused.add(fault.reason);
        }
        result
    }

    /// Whether refusals refuse.
    pub fn enforces(&self) -> bool {
        self.config.mode == Mode::Enforce
    }

    async fn judge(&self, token: &str) -> Result<Arc<Verified>, Fault> {
        if token.len() > TOKEN_MAX {
            let told = "it is longer than any token may be";
            return Err(Fault::telling(Reason::JwtMalformed, told));
        }
        let now = now();
        let generation = self.state.generation.load(Relaxed);
        let known = match self.is_stale(now) {
            true => None,
            false => self.cache.get(token, generation, now),
        };
        let verified = match known {
            Some(verified) => {
                self.results.cached.fetch_add(1, Relaxed);
                verified
            }
            None => {
                let verified = Arc::new(self.examine(token, now).await?);
                self.results.verified.fetch_add(1, Relaxed);
                let generation = self.state.generation.load(Relaxed);
                self.cache.put(token, verified.clone(), generation, now);
                verified
            }
        };
        let revoked = self.revoked.load();
        if !revoked.is_empty() && revoked.lists(&verified) {
            return Err(Fault::telling(Reason::JwtBadClaims, "it is revoked"));
        }
        Ok(verified)
    }

    async fn examine(&self, token: &str, now: u64) -> Result<Verified, Fault> {
        let parts = Parts::of(token)?;
        if parts.is_color() {
            // It goes around in links: who has it is nobody by it.
            let told = "it brings a color, and is nobody's identity";
            return Err(Fault::telling(Reason::JwtBadClaims, told));
        }
        let algorithm = Algorithm::from_str(&parts.header.alg).map_err(|_| Reason::JwtAlgorithm)?;
        if !self.algorithms.contains(&algorithm) {
            return Err(Reason::JwtAlgorithm.into());
        }
        let id = parts.header.kid.as_deref();
        let mut keys = self.keys(now);
        let fits = |keys: &Arc<KeySet>| keys.knows(id, algorithm);
        if !keys.as_ref().is_some_and(fits) {
            self.ask_for_keys(now).await;
            keys = self.keys(now);
        }
        let Some(keys) = keys.filter(fits) else {
            return Err(self.without_key());
        };
        if !signed_by_any(&parts, &keys, algorithm) {
            return Err(Reason::JwtBadSignature.into());
        }
        let claims: Claims = decoded(parts.payload)?;
        let expires = claims::check(&claims, &self.config, &self.words, now)?;
        Ok(Verified {
            forward: self.forward(&claims),
            logged: self.logged(&claims),
            claims,
            expires,
        })
    }

    /// Whether keys could not be had anew for so long that they are no longer believed.
    pub(super) fn is_stale(&self, now: u64) -> bool {
        match &self.config.keys {
            Keys::Url(source) => {
                let age = now.saturating_sub(self.state.fetched.load(Relaxed));
                age > source.max_stale.as_secs()
            }
            Keys::AtHand(keys) => self.state.lost.is_over(keys.max_stale, || now),
        }
    }

    /// The keys, unless they are too old to be believed.
    pub(super) fn keys(&self, now: u64) -> Option<Arc<KeySet>> {
        match self.is_stale(now) {
            true => None,
            false => self.state.keys.load_full(),
        }
    }

    /// Asks for fresh keys, but not too often. Returns whether it did.
    pub(super) fn want_keys(&self, now: u64) -> bool {
        let due = now.saturating_sub(self.state.asked.load(Relaxed)) >= ASK_PAUSE;
        let wanted = due && self.config.keys.are_fetched();
        if wanted {
            self.state.wanted.notify_one();
        }
        wanted
    }

    /// Asks for fresh keys, and waits a little for the answer. While there have been none yet, it
    /// also waits for a fetch that is under way; never for one that is only planned.
    async fn ask_for_keys(&self, now: u64) {
        if !self.config.keys.are_fetched() {
            return;
        }
        // Registered first, so that an answer that comes at once is not missed.
        let ended = self.state.ended.notified();
        let under_way = self.state.never_had() && self.state.next.load(Relaxed) == 0;
        if !self.want_keys(now) && !under_way {
            return;
        }
        let _ = tokio::time::timeout(KEYS_WAIT, ended).await;
    }

    /// Why no key is found for a token: either the set has none for it, or there has not been any
    /// set yet, which says nothing about the token.
    fn without_key(&self) -> Fault {
        match self.state.never_had() {
            true => Fault::telling(Reason::JwtKeysUnavailable, "no keys have been fetched yet"),
            false => Reason::JwtUnknownKey.into(),
        }
    }

    /// Seconds until the next fetch of keys begins, at least one: as planned, or earlier, since a
    /// token whose key is not known asks for one.
    pub fn keys_expected_in(&self) -> u64 {
        let may_be_asked = self.state.asked.load(Relaxed) + ASK_PAUSE;
        let next = self.state.next.load(Relaxed).min(may_be_asked);
        next.saturating_sub(now()).max(1)
    }

    fn forward(&self, claims: &Claims) -> Vec<(HeaderName, HeaderValue)> {
        let forwarded = self.config.forward.iter().filter_map(|(claim, header)| {
            let values = crate::routing::claims::values(claims, claim);
            let joined = values.join(",");
            // What cannot be a header value is left out, never half sent.
            let value = HeaderValue::from_str(&joined)
                .ok()
                .filter(|_| !values.is_empty())?;
            Some((header.clone(), value))
        });
        forwarded.collect()
    }

    fn logged(&self, claims: &Claims) -> Vec<(String, String)> {
        let named = self.config.log.iter();
        let named = named.map(|claim| (claim, crate::routing::claims::values(claims, claim)));
        named
            .filter(|(_, values)| !values.is_empty())
            .map(|(claim, values)| (format!("jwt.{claim}"), values.join(",")))
            .collect()
    }

    /// How many fetches have failed in a row; `None`: keys are at hand, and not fetched.
    pub fn failed_fetches(&self) -> Option<u64> {
        let fetched = self.config.keys.are_fetched();
        fetched.then(|| self.state.failures.load(Relaxed))
    }

    /// Age of keys in seconds: of fetched ones since they were fetched, `None` while there are
    /// none; of those at hand since their file was last good, `None` while it is.
    pub fn keys_age(&self) -> Option<u64> {
        let since = match &self.config.keys {
            Keys::Url(_) => Some(self.state.fetched.load(Relaxed)).filter(|fetched| *fetched > 0),
            Keys::AtHand(_) => self.state.lost.since(),
        };
        since.map(|since| now().saturating_sub(since))
    }

    /// Since when fetched keys are too old to be accepted, in seconds since 1970; `None`: they are
    /// accepted, or there are none yet.
    pub fn stale_since(&self) -> Option<u64> {
        let Keys::Url(source) = &self.config.keys else {
            return None;
        };
        let stale = !self.state.never_had() && self.is_stale(now());
        let end = || self.state.fetched.load(Relaxed) + source.max_stale.as_secs();
        stale.then(end)
    }

    /// Names of the accepted algorithms that none of the keys at hand is for; `None`: there is a
    /// key for each, or there are no keys yet.
    pub fn uncovered(&self) -> Option<String> {
        let keys = self.state.keys.load_full()?;
        keys.uncovered(&self.config.algorithms)
    }

    /// How many keys, and how many tokens are remembered.
    pub fn sizes(&self) -> (usize, usize) {
        let keys = self.state.keys.load().as_ref().map_or(0, |keys| keys.len());
        (keys, self.cache.len() + self.colors.len())
    }

    /// Forgets verdicts that no longer hold, and tells once when keys are no longer believed.
    pub fn sweep(&self) {
        let stale = self.is_stale(now()) && !self.state.never_had();
        if self.state.lost.newly_over(stale) {
            tracing::error!(provider = %self.name, "keys are older than `max_stale` and no longer believed; tokens are refused");
        }
        for cache in [&self.cache, &self.colors] {
            cache.sweep(self.state.generation.load(Relaxed), now());
        }
    }
}

//! Verified tokens, so that the next request with the same token costs a look and a comparison.

use super::provider::Verified;
use dashmap::{DashMap, Entry};
use rustc_hash::FxBuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use twox_hash::XxHash64;

/// Most tokens of one provider that are remembered.
const TOKENS_MAX: usize = 20_000;
/// Most bytes of them together.
const BYTES_MAX: usize = 32 << 20;
/// Longest a verdict is believed, in seconds.
const LIFE: u64 = 60;

/// Verified tokens. Only tokens that were verified get in, so strangers cannot fill it.
///
/// **Invariant:** a verdict is of the very token that is asked about. The hash, of which nobody
/// promises that a forger cannot meet it, only says where to look; all bytes are compared.
#[derive(Debug)]
pub struct Cache {
    /// By hash; of two tokens that meet, the later one stays.
    tokens: DashMap<u64, Kept, FxBuildHasher>,
    /// Of the hash, so that nobody outside knows which tokens meet.
    seed: u64,
    bytes: AtomicUsize,
}

struct Kept {
    token: Box<str>,
    verified: Arc<Verified>,
    /// Seconds since 1970.
    until: u64,
    /// Of the keys that verified it.
    keys: u64,
}

impl std::fmt::Debug for Kept {
    /// A token is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tokens: DashMap::default(),
            seed: fastrand::u64(..),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Cache {
    fn place(&self, token: &str) -> u64 {
        XxHash64::oneshot(self.seed, token.as_bytes())
    }

    /// The verdict on a token, if it still holds.
    pub fn get(&self, token: &str, keys: u64, now: u64) -> Option<Arc<Verified>> {
        let kept = self.tokens.get(&self.place(token))?;
        let holds = kept.keys == keys && now < kept.until && *kept.token == *token;
        holds.then(|| kept.verified.clone())
    }

    pub fn put(&self, token: &str, verified: Arc<Verified>, keys: u64, now: u64) {
        let full = self.bytes.load(Relaxed) + token.len() > BYTES_MAX;
        if full || self.tokens.len() >= TOKENS_MAX {
            return; // verified again next time; the sweep makes room, off the hot path
        }
        let kept = Kept {
            until: verified.expires.min(now + LIFE),
            token: token.into(),
            verified,
            keys,
        };
        self.bytes.fetch_add(token.len(), Relaxed);
        match self.tokens.entry(self.place(token)) {
            Entry::Vacant(place) => drop(place.insert(kept)),
            Entry::Occupied(mut place) => self.forget(&place.insert(kept)),
        }
    }

    fn forget(&self, kept: &Kept) {
        self.bytes.fetch_sub(kept.token.len(), Relaxed);
    }

    /// Forgets verdicts that no longer hold.
    pub fn sweep(&self, keys: u64, now: u64) {
        self.tokens.retain(|_, kept| {
            let holds = kept.keys == keys && now < kept.until;
            if !holds {
                self.forget(kept);
            }
            holds
        });
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Cache, LIFE, Verified};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    fn verified(expires: u64) -> Arc<Verified> {
        Arc::new(Verified {
            claims: serde_json::Map::new(),
            forward: Vec::new(),
            logged: Vec::new(),
            expires,
        })
    }

    #[test]
    fn a_verdict_is_of_its_token_its_keys_and_its_time() {
        let cache = Cache::default();
        cache.put("a.b.c", verified(1_000), 1, 100);
        assert!(cache.get("a.b.c", 1, 100 + LIFE - 1).is_some());
        assert!(cache.get("a.b.c", 1, 100 + LIFE).is_none());
        assert!(cache.get("a.b.c", 2, 100).is_none());
        assert!(cache.get("a.b.d", 1, 100).is_none());
        // A token that another one's hash leads to is not that one.
        let place = cache.place("a.b.x");
        let (_, kept) = cache.tokens.remove(&cache.place("a.b.c")).unwrap();
        cache.tokens.insert(place, kept);
        assert!(cache.get("a.b.x", 1, 100).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_comes_back() {
        let cache = Cache::default();
        let long = |n: usize| format!("{n}.{}", "x".repeat(8_000));
        for n in 0..5_000 {
            cache.put(&long(n), verified(1_000), 1, 100);
        }
        let kept = cache.bytes.load(Relaxed);
        assert!(kept <= BYTES_MAX && kept > BYTES_MAX - 10_000, "{kept}");
        // Verified once more under other keys: the same place.
        cache.put("short", verified(1_000), 1, 100);
        cache.put("short", verified(1_000), 2, 100);
        assert!(cache.get("short", 2, 100).is_some());
        cache.sweep(2, 100);
        assert_eq!((cache.len(), cache.bytes.load(Relaxed)), (1, 5));
        cache.sweep(3, 100);
        assert_eq!((cache.len(), cache.bytes.load(Relaxed)), (0, 0));
    }
}

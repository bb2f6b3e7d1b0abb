//! Verified tokens by hash, so that the next request with the same token costs a hash.

use super::provider::Verified;
use dashmap::DashMap;
use rustc_hash::FxBuildHasher;
use std::sync::Arc;

/// Most tokens of one provider that are remembered.
const TOKENS_MAX: usize = 20_000;
/// Longest a verdict is believed, in seconds.
const LIFE: u64 = 60;

/// SHA-256 of a token.
pub type Hash = [u8; 32];

/// Verified tokens. Only tokens that were verified get in, so strangers cannot fill it.
#[derive(Debug, Default)]
pub struct Cache {
    tokens: DashMap<Hash, Kept, FxBuildHasher>,
}

#[derive(Debug)]
struct Kept {
    verified: Arc<Verified>,
    /// Seconds since 1970.
    until: u64,
    /// Of the keys that verified it.
    keys: u64,
}

impl Cache {
    /// The verdict on a token, if it still holds.
    pub fn get(&self, hash: &Hash, keys: u64, now: u64) -> Option<Arc<Verified>> {
        let kept = self.tokens.get(hash)?;
        (kept.keys == keys && now < kept.until).then(|| kept.verified.clone())
    }

    pub fn put(&self, hash: Hash, verified: Arc<Verified>, keys: u64, now: u64) {
        if self.tokens.len() >= TOKENS_MAX {
            return; // verified again next time; the sweep makes room, off the road
        }
        let until = verified.expires.min(now + LIFE);
        self.tokens.insert(
            hash,
            Kept {
                verified,
                until,
                keys,
            },
        );
    }

    /// Forgets verdicts that no longer hold.
    pub fn sweep(&self, keys: u64, now: u64) {
        self.tokens
            .retain(|_, kept| kept.keys == keys && now < kept.until);
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }
}

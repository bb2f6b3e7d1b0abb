//! Whose bucket a request takes from.

use crate::config::selector::{LimitKey, SelectorFor};
use crate::routing::selector::Selectable;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

/// Secret to the process, so that clients cannot make two keys meet.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Returns the hash of a key, and whether the request has all parts of it.
pub fn key_of(parts: &[SelectorFor<LimitKey>], request: &Selectable) -> (u64, bool) {
    let mut hasher = SECRET.build_hasher();
    let mut whole = true;
    for part in parts {
        let value = part.value(request);
        // With its length, so that parts cannot run into each other.
        value.as_deref().hash(&mut hasher);
        whole &= value.is_some();
    }
    (hasher.finish(), whole)
}

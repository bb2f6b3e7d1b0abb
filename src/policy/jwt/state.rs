//! The keys of a provider and their life.

use super::keys::KeySet;
use crate::policy::held::Lost;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// The keys and their life.
#[derive(Debug, Default)]
pub(super) struct State {
    pub keys: ArcSwapOption<KeySet>,
    /// Grows with each set, so that cached verdicts die with their keys.
    pub generation: AtomicU64,
    /// Seconds since 1970; 0: never.
    pub fetched: AtomicU64,
    /// Since when the file of keys at hand cannot be used.
    pub lost: Lost,
    /// Fetches that have failed since the last one that did not.
    pub failures: AtomicU64,
    /// When a fetch last began, in seconds since 1970.
    pub asked: AtomicU64,
    /// When the next fetch begins unless it is asked for earlier, in seconds since 1970; 0: one is
    /// under way.
    pub next: AtomicU64,
    /// A token named a key that is not known.
    pub wanted: Notify,
    /// A fetch has ended, one way or the other.
    pub ended: Notify,
}

impl State {
    /// Whether there has never been a set of keys.
    pub fn never_had(&self) -> bool {
        self.fetched.load(Relaxed) == 0
    }
}

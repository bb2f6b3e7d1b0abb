//! The connections to one endpoint, and the requests that wait for a stream on one of them.
//!
//! All of it is under one lock that is held for a few instructions, twice a request. A stream that
//! ends goes straight to the request that has waited longest. What changes the outlook otherwise (a
//! connection has gone, an attempt has failed, SETTINGS have come) sends all that wait back to
//! [`Group::next`], where each decides anew.

use super::STREAMS_MAX;
use super::claim::{Attempt, Lease, Turn};
use super::link::{Link, Slot};
use dashmap::DashMap;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Connections to one endpoint, those being made included.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// How soon a connection that was in use is looked at again, where idle ones live shorter.
const IDLE_CHECK_MIN: Duration = Duration::from_secs(1);

pub(super) type Groups = DashMap<u64, Arc<Group>, FxBuildHasher>;

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// Connections being made.
    attempts: usize,
    /// Streams that a new connection will carry, by the last one that said; 1 after a failure, so
    /// that requests do not wait for each other's failures.
    expected: Option<usize>,
    waiting: VecDeque<oneshot::Sender<Lease>>,
    /// Requests that wait, or have been sent back to decide anew and have not done so yet.
    turns: usize,
    idle: Duration,
}

pub(super) struct Group {
    key: u64,
    groups: Weak<Groups>,
    state: Mutex<State>,
}

/// What a request does next.
pub(super) enum Next {
    Take(Lease),
    Connect(Attempt),
    Wait(Turn),
}

impl Group {
    pub(super) fn new(key: u64, groups: Weak<Groups>) -> Arc<Self> {
        Arc::new(Self {
            key,
            groups,
            state: Mutex::default(),
        })
    }

    /// Decides for a request that wants a stream. One that is not `patient` does not wait for
    /// another one's connection.
    pub(super) fn next(self: &Arc<Self>, idle: Duration, patient: bool) -> Next {
        let mut state = self.state.lock();
        state.idle = idle;
        // While streams are free, no request waits for one: see `grant`.
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.has_room()) {
            slot.active += 1;
            return Next::Take(Lease::new(self, &slot.link));
        }
        let may_connect = state.may_connect();
        if may_connect && (!patient || state.is_short()) {
            state.attempts += 1;
            return Next::Connect(Attempt::new(self));
        }
        let (sender, granted) = oneshot::channel();
        state.waiting.push_back(sender);
        state.turns += 1;
        Next::Wait(Turn::new(self, granted, may_connect))
    }

    /// Takes a connection out, so that it gets no more streams; those that it has go on.
    pub(super) fn retire(self: &Arc<Self>, link: &Arc<Link>) {
        let mut state = self.state.lock();
        let Some(at) = state.position(link) else {
            return;
        };
        let slot = state.slots.remove(at);
        state.waiting.clear();
        drop(state);
        // Not under the lock: the last reference tells the connection to close.
        drop(slot);
        self.sweep();
    }

    /// Notes how many streams the upstream allows on a connection, which may have changed.
    pub(super) fn settle(self: &Arc<Self>, link: &Arc<Link>, limit: usize) {
        let mut state = self.state.lock();
        link.set_limit(limit);
        state.expected = Some(limit.min(STREAMS_MAX));
        self.grant(&mut state);
        // Those that are left now know how many connections they need.
        state.waiting.clear();
    }

    /// Takes a connection out if it has been idle for long enough; else returns when to look again.
    pub(super) fn expire(self: &Arc<Self>, link: &Arc<Link>) -> Option<Duration> {
        let state = self.state.lock();
        let idle = state.idle;
        let slot = state
            .slots
            .iter()
            .find(|slot| Arc::ptr_eq(&slot.link, link));
        let left = match slot {
            Some(slot) if slot.active == 0 => idle.saturating_sub(slot.idle_since.elapsed()),
            _ => idle.max(IDLE_CHECK_MIN),
        };
        drop(state);
        if left.is_zero() {
            // A request may have taken a stream meanwhile: it ends as on any retired connection.
            self.retire(link);
            return None;
        }
        Some(left)
    }

    /// Hands free streams to the requests that have waited longest.
    fn grant(self: &Arc<Self>, state: &mut State) {
        while let Some(slot) = state.slots.iter_mut().find(|slot| slot.has_room()) {
            let Some(first) = state.waiting.pop_front() else {
                return;
            };
            match first.send(Lease::new(self, &slot.link)) {
                Ok(()) => slot.active += 1,
                // That request waits no longer.
                Err(lease) => lease.forget(),
            }
        }
    }

    /// Takes a stream back.
    pub(super) fn release(self: &Arc<Self>, link: &Arc<Link>) {
        let mut state = self.state.lock();
        let Some(slot) = state
            .slots
            .iter_mut()
            .find(|slot| Arc::ptr_eq(&slot.link, link))
        else {
            return;
        };
        slot.active = slot.active.saturating_sub(1);
        if slot.active == 0 {
            slot.idle_since = Instant::now();
        }
        self.grant(&mut state);
    }

    /// Adds a connection, with its first stream in use.
    pub(super) fn join(&self, link: Arc<Link>) {
        let mut state = self.state.lock();
        state.attempts = state.attempts.saturating_sub(1);
        state.slots.push(Slot {
            link,
            active: 1,
            idle_since: Instant::now(),
        });
    }

    /// Notes that an attempt has come to nothing, as a failure or because its request has left.
    pub(super) fn give_up(self: &Arc<Self>, failed: bool) {
        let mut state = self.state.lock();
        state.attempts = state.attempts.saturating_sub(1);
        if failed {
            state.expected = Some(1);
        }
        state.waiting.clear();
        drop(state);
        self.sweep();
    }

    /// Notes that a request waits no longer; `left`: before its turn.
    pub(super) fn leave(self: &Arc<Self>, left: bool) {
        let mut state = self.state.lock();
        state.turns = state.turns.saturating_sub(1);
        if left {
            // All are looked at, but only for a request that has left.
            state.waiting.retain(|waiting| !waiting.is_closed());
        }
        drop(state);
        self.sweep();
    }

    /// Drops the group once nothing is in it. A request that has just found it goes on with it on
    /// its own, which costs one connection at most.
    fn sweep(self: &Arc<Self>) {
        if let Some(groups) = self.groups.upgrade() {
            groups.remove_if(&self.key, |_, group| {
                Arc::ptr_eq(group, self) && group.is_empty()
            });
        }
    }

    fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.slots.is_empty() && state.attempts == 0 && state.turns == 0
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        let active = state.slots.iter().map(|slot| slot.active).sum();
        (state.slots.len(), active, state.waiting.len())
    }
}

impl State {
    fn position(&self, link: &Arc<Link>) -> Option<usize> {
        let mut slots = self.slots.iter();
        slots.position(|slot| Arc::ptr_eq(&slot.link, link))
    }

    /// Whether another connection is allowed and of use: an upstream that allows no streams will
    /// not allow them on another connection either.
    fn may_connect(&self) -> bool {
        let allowed = self.slots.len() + self.attempts < CONNECTIONS_MAX;
        allowed && (self.slots.is_empty() || self.expected != Some(0))
    }

    /// Whether the connections on their way are too few for the requests that wait, and one more.
    /// Each of them carries a stream already, or will carry that of the request that makes it.
    fn is_short(&self) -> bool {
        let unsettled = self.slots.iter().filter(|slot| !slot.is_settled()).count();
        let further = self.expected.unwrap_or(STREAMS_MAX).saturating_sub(1);
        (self.attempts + unsettled) * further < self.waiting.len() + 1
    }
}

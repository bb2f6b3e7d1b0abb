//! One endpoint: where it is, whether it may be tried, how many requests it has.

use crate::config::Name;
use crate::config::service as config;
use arc_swap::ArcSwapOption;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// An endpoint as a snapshot sees it; its state may be shared with other generations.
#[derive(Debug)]
pub struct Endpoint {
    /// As written: `host:port`.
    pub address: Name,
    pub weight: u16,
    pub state: Arc<EndpointState>,
}

impl Endpoint {
    pub(super) fn build(config: &config::Endpoint, previous: Option<&Self>) -> Self {
        let state = previous.map_or_else(
            || Arc::new(EndpointState::new(&config.address)),
            |endpoint| endpoint.state.clone(),
        );
        Self {
            address: config.address.clone(),
            weight: config.weight.max(1),
            state,
        }
    }
}

/// What is learnt about an endpoint while serving.
#[derive(Debug)]
pub struct EndpointState {
    /// `host:port`, kept for resolving a name again.
    pub address: Name,
    target: Target,
    down: AtomicBool,
    in_flight: AtomicU32,
    /// Connection attempts that failed.
    connect_failures: AtomicU64,
}

#[derive(Debug)]
enum Target {
    Address(SocketAddr),
    /// A DNS name, resolved in the background; empty until the first answer.
    Name(ArcSwapOption<SocketAddr>),
}

impl EndpointState {
    fn new(address: &Name) -> Self {
        let target = match address.parse() {
            Ok(address) => Target::Address(address),
            Err(_) => Target::Name(ArcSwapOption::empty()),
        };
        Self {
            address: address.clone(),
            target,
            down: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            connect_failures: AtomicU64::new(0),
        }
    }

    /// Where to connect; `None` while a name has not been resolved.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match &self.target {
            Target::Address(address) => Some(*address),
            Target::Name(resolved) => resolved.load().as_deref().copied(),
        }
    }

    /// Whether the address is a name that wants resolving.
    pub fn is_name(&self) -> bool {
        matches!(self.target, Target::Name(_))
    }

    /// The answer of a resolver. A name that stops resolving keeps its last address: the endpoint
    /// may well be there while DNS is not.
    pub(super) fn resolved(&self, address: SocketAddr) {
        if let Target::Name(slot) = &self.target {
            slot.store(Some(Arc::new(address)));
        }
    }

    /// Whether the endpoint may be tried.
    pub fn available(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
            && !matches!(&self.target, Target::Name(slot) if slot.load().is_none())
    }

    /// Takes the endpoint out until a probe reaches it. Returns whether it was in before.
    pub fn mark_down(&self) -> bool {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
        !self.down.swap(true, Ordering::AcqRel)
    }

    pub(super) fn mark_up(&self) {
        self.down.store(false, Ordering::Release);
    }

    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a try as in flight until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

/// A try in flight; counts down when dropped.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

//! One endpoint: where it is, whether it may be tried, how many requests it has.

#[cfg(test)]
mod tests;
mod trouble;

pub use trouble::{Trouble, Troubles};

use super::balance::stable_hash;
use super::cause::EjectionCause;
use super::clock;
use super::endpoint_set::{Member, Rules};
use super::ewma::Latency;
use super::health::{self, Checking};
use super::series::UpstreamSeries;
use super::side_client::SideClient;
use crate::config::Name;
use crate::config::upkeep::Health as Checks;
use crate::counts::Counts;
use crate::tls::UpstreamTls;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// An endpoint as a snapshot sees it; its state may be shared with other generations.
#[derive(Debug)]
pub struct Endpoint {
    /// `host:port` with an IP address, or `unix:/path`.
    pub address: Name,
    pub weight: u16,
    pub member: Member,
    pub state: Arc<EndpointState>,
    /// Sends requests beside traffic.
    pub(super) side_client: Arc<SideClient>,
    /// The checks in progress, and what they were told.
    checks: Option<Arc<Checked>>,
}

/// Checks in progress, and what they go by.
#[derive(Debug)]
struct Checked {
    rules: Arc<Checks>,
    tls: Option<Arc<UpstreamTls>>,
    _checking: Checking,
}

impl Checked {
    fn goes_by(&self, rules: &Arc<Checks>, tls: Option<&Arc<UpstreamTls>>) -> bool {
        let same = match (&self.tls, tls) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same && self.rules == *rules
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

impl Endpoint {
    /// Builds an endpoint; the state and the checks of `previous` go on where they can.
    pub(super) fn build(rules: &Rules, member: &Member, previous: Option<&Self>) -> Self {
        let tls = rules.tls.as_ref();
        let state = previous.map_or_else(
            || Arc::new(EndpointState::new(&rules.owner, member)),
            |endpoint| endpoint.state.clone(),
        );
        let (http, idle) = (rules.http, rules.idle);
        let client = previous.map(|endpoint| endpoint.side_client.clone());
        let side_client = client
            .filter(|client| client.goes_by(tls, http, idle))
            .unwrap_or_else(|| Arc::new(SideClient::new(state.clone(), tls.cloned(), http, idle)));
        let before = previous.and_then(|endpoint| endpoint.checks.clone());
        let checks = rules.checks.as_ref().map(|checks| match before {
            Some(before) if before.goes_by(checks, tls) => before,
            _ => Arc::new(Checked {
                rules: checks.clone(),
                tls: tls.cloned(),
                _checking: health::spawn(&state, checks, tls),
            }),
        });
        Self {
            address: member.address.clone(),
            weight: member.weight,
            member: member.clone(),
            state,
            side_client,
            checks,
        }
    }

    /// Whether it is to get requests at all: one of weight 0 is checked and gets none.
    pub const fn is_wanted(&self) -> bool {
        self.weight > 0
    }

    /// Whether it may be tried.
    pub fn serves(&self) -> bool {
        self.is_wanted() && self.state.available()
    }
}

/// The version that an endpoint belongs to, for the log and the counters.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub service: Name,
    pub version: Name,
    pub series: Arc<UpstreamSeries>,
}

impl Endpoint {
    /// Whether active checks ask it.
    pub fn is_checked(&self) -> bool {
        self.checks.is_some()
    }
}

/// What active checks have found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Not checked, or assumed to be well until a check says otherwise.
    Assumed = 0,
    Healthy = 1,
    Unhealthy = 2,
    /// New among checked siblings: not used before its first check has passed.
    Awaited = 3,
}

impl Health {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Assumed,
            1 => Self::Healthy,
            2 => Self::Unhealthy,
            _ => Self::Awaited,
        }
    }

    /// Returns the word for it in logs and in the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assumed => "assumed",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Awaited => "awaited",
        }
    }
}

/// The serial of the next endpoint.
static SERIALS: AtomicU64 = AtomicU64::new(1);

/// What is learnt about an endpoint while serving.
#[derive(Debug)]
pub struct EndpointState {
    /// Differs from that of every other endpoint of this process.
    serial: u64,
    /// What a sticky cookie says instead of the address.
    id: u64,
    /// `host:port` with an IP address, or `unix:/path`.
    pub address: Name,
    /// What its `Host` says, where that is a name.
    authority: Option<Name>,
    of: Owner,
    target: Target,
    /// Refuses connections; a probe brings it back.
    down: AtomicBool,
    health: AtomicU8,
    /// Taken out by hand.
    drained: AtomicBool,
    in_flight: AtomicU32,
    /// Connection attempts that failed.
    connect_failures: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    /// When an ejection ends, in milliseconds of the process's clock; 0: it is not ejected.
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    /// When it came back, in milliseconds of the process's clock; 0: it was never away.
    returned_at: AtomicU64,
    /// What it says of its own load, in thousandths.
    reported_load: AtomicU32,
    /// Ejections by the last failure before each.
    pub ejected_by: Counts<EjectionCause>,
    troubles: Mutex<Troubles>,
    pub latency: Latency,
}

#[derive(Debug)]
enum Target {
    Address(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
    /// Nothing that could be connected to.
    Nowhere,
}

impl EndpointState {
    fn new(of: &Owner, member: &Member) -> Self {
        let address = &member.address;
        let target = match (address.strip_prefix("unix:"), address.parse()) {
            (Some(path), _) => Target::Unix(path.into()),
            (None, Ok(address)) => Target::Address(address),
            (None, Err(_)) => Target::Nowhere,
        };
        Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            id: stable_hash(&[address.as_bytes(), b"sticky"]),
            address: address.clone(),
            authority: member.authority.clone(),
            of: of.clone(),
            target,
            down: AtomicBool::new(false),
            health: AtomicU8::new(Health::Assumed as u8),
            drained: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            connect_failures: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            returned_at: AtomicU64::new(0),
            reported_load: AtomicU32::new(0),
            ejected_by: Counts::default(),
            troubles: Mutex::default(),
            latency: Latency::default(),
        }
    }

    /// Returns service, version and address, for the log.
    pub(super) fn names(&self) -> (&str, &str, &str) {
        (&self.of.service, &self.of.version, &self.address)
    }

    /// Returns a number that no other endpoint of this process has.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Returns what a sticky cookie says instead of the address; the same in every process.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the counters of the version it belongs to.
    pub fn series(&self) -> &UpstreamSeries {
        &self.of.series
    }

    /// Where to connect.
    pub fn place(&self) -> Option<Address<'_>> {
        match &self.target {
            Target::Address(address) => Some(Address::Tcp(*address)),
            Target::Unix(path) => Some(Address::Unix(path)),
            Target::Nowhere => None,
        }
    }

    /// The host as written, for names in TLS.
    pub fn host(&self) -> &str {
        let named = self.authority.as_ref().unwrap_or(&self.address);
        let host = named.rsplit_once(':').map_or("", |(host, _)| host);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match self.target {
            Target::Unix(_) => "localhost",
            _ => bare.unwrap_or(host),
        }
    }

    /// What its `Host` fields say: a path is no host (RFC 9110, section 7.2).
    pub fn authority(&self) -> &str {
        match self.target {
            Target::Unix(_) => self.host(),
            _ => self.authority.as_ref().unwrap_or(&self.address),
        }
    }

    /// Whether its name is this one.
    pub(super) fn is_named(&self, authority: Option<&Name>) -> bool {
        self.authority.as_ref() == authority
    }

    /// Whether the endpoint may be tried.
    pub fn available(&self) -> bool {
        self.reachable() && self.is_well() && !self.is_ejected()
    }

    /// Whether it may be tried when health is not to be believed.
    pub fn reachable(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
            && !self.drained.load(Ordering::Relaxed)
            && !matches!(self.target, Target::Nowhere)
    }

    fn is_well(&self) -> bool {
        matches!(self.health(), Health::Assumed | Health::Healthy)
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub fn health(&self) -> Health {
        Health::of(self.health.load(Ordering::Relaxed))
    }

    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Counts an answer that was well or not. Returns how many failures there were in a row.
    pub fn judge(&self, failed: bool) -> u32 {
        if failed {
            return self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        }
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        0
    }

    pub fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// What it says of its load, 0 to 1.
    pub fn report_load(&self, load: f32) {
        self.reported_load
            .store((load.clamp(0.0, 1.0) * 1000.0) as u32, Ordering::Relaxed);
    }

    pub fn reported_load(&self) -> f32 {
        self.reported_load.load(Ordering::Relaxed) as f32 / 1000.0
    }

    /// The share of its turns that it takes, 0.1 to 1: less while it warms up after a return, and
    /// less the busier it says it is.
    pub fn slow_start_weight(&self, slow_start: Option<Duration>) -> f32 {
        let busy = 1.0 - 0.9 * self.reported_load();
        let returned = self.returned_at.load(Ordering::Relaxed);
        let Some(window) = slow_start.filter(|_| returned != 0) else {
            return busy;
        };
        let since = clock::millis().saturating_sub(returned) as f32;
        let warm = (since / window.as_millis().max(1) as f32).clamp(0.1, 1.0);
        busy.min(warm)
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a try as in flight until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            endpoint: self.clone(),
            counts: true,
        }
    }
}

/// A try at an endpoint; counts as in flight until it has ended, or is dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<EndpointState>,
    counts: bool,
}

impl InFlight {
    /// Returns the endpoint, also once the try has ended.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.endpoint
    }

    /// Ends the try.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.counts, false) {
            self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end();
    }
}

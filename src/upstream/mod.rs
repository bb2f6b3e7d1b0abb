//! Services, their versions and endpoints: who may get a request, and what is known of them.
//!
//! What is learnt while serving (health, requests in flight, durations) lives in `Arc`s that a
//! reload hands on to the next snapshot when their identity (service, version, address) stays.

pub mod balance;
mod build;
pub mod cause;
mod clock;
pub mod endpoint;
mod errands;
pub mod ewma;
pub mod health;
mod outliers;
pub mod probe;
mod reach;
pub mod resolve;
mod retry;
mod series;

pub use build::{Carried, Surroundings};
pub use cause::Cause;
pub use endpoint::{Address, Endpoint, EndpointState, Health, InFlight, Trouble, Troubles};
pub use errands::{Errand, Errands};
pub use retry::Budget;
pub use series::UpstreamSeries;

use crate::config::limit::KeyPart;
use crate::config::service::{Retry as RetryRules, Timeouts, UpstreamHttp};
use crate::config::units::Percent;
use crate::config::upkeep::{Outliers, Sticky};
use crate::config::{Name, Place};
use crate::policy::FixedAnswer;
use crate::policy::adaptive::Adaptive;
use crate::policy::breaker::Breaker;
use crate::policy::in_flight::Cap;
use crate::policy::last_good::LastGood;
use crate::telemetry::series::Durations;
use crate::telemetry::series::LabelId;
use crate::tls::UpstreamTls;
use balance::Balancer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// One service, ready to serve. Versions are in name order.
#[derive(Debug)]
pub struct Service {
    pub name: Name,
    pub versions: Vec<Version>,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    pub at: Place,
    pub hash: Option<KeyPart>,
    pub sticky: Option<Sticky>,
    pub cap: Option<Arc<Cap>>,
    pub adaptive: Option<Arc<Adaptive>>,
    pub budget: Arc<Budget>,
    /// Answers that its breaker may serve while it is open, and how old they may be.
    pub last_good: Option<(Arc<LastGood>, Duration)>,
    /// The answer that its breaker gives while it is open.
    pub breaker_answer: Option<FixedAnswer>,
    pub reported_load: bool,
    /// Whether calls of gRPC may rest within their bodies.
    pub grpc: bool,
    pub pool_idle: Duration,
    pub series: Arc<ServiceSeries>,
}

/// What is counted per service.
#[derive(Debug, Default)]
pub struct ServiceSeries {
    retries: AtomicU64,
}

impl ServiceSeries {
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }
}

/// What is counted of a version's pool of connections.
#[derive(Debug, Default)]
pub struct PoolSeries {
    /// Connections that were made for a try.
    pub made: AtomicU64,
    /// Kept ones that took another try; streams of HTTP/2 among them.
    pub reused: AtomicU64,
    /// Kept ones that their upstream had closed meanwhile.
    pub stale: AtomicU64,
}

/// One version of a service.
#[derive(Debug)]
pub struct Version {
    pub name: Name,
    /// `service/version` for metrics.
    pub label: LabelId,
    pub endpoints: Vec<Endpoint>,
    pub breaker: Option<Arc<Breaker>>,
    pub tls: Option<Arc<UpstreamTls>>,
    /// The protocol towards its endpoints.
    pub http: UpstreamHttp,
    balancer: Balancer,
    upkeep: Upkeep,
    /// By endpoint.
    errands: Vec<Arc<Errands>>,
    /// Durations of tries.
    pub series: Arc<Durations>,
    pub pool: Arc<PoolSeries>,
    /// Bytes, failed connections, checks.
    pub counters: Arc<UpstreamSeries>,
}

/// How the endpoints of a version are kept well.
#[derive(Debug)]
struct Upkeep {
    outliers: Option<Outliers>,
    slow_start: Option<Duration>,
    panic_threshold: Percent,
}

impl Service {
    pub fn version_named(&self, name: &str) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.name.as_ref() == name)
    }
}

impl Version {
    fn endpoint_at(&self, address: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.address.as_ref() == address)
    }

    /// Whether at least one endpoint may be tried.
    pub fn available(&self) -> bool {
        self.endpoints.iter().any(Endpoint::serves)
            || (self.panics() && self.wanted().any(|e| e.state.reachable()))
    }

    /// Whether the breaker is open, and would refuse.
    pub fn broken(&self) -> bool {
        self.breaker
            .as_ref()
            .is_some_and(|breaker| breaker.refuses(Instant::now()))
    }

    /// Whether so few endpoints are well that it is more likely the checks that are not.
    fn panics(&self) -> bool {
        let Percent(threshold) = self.upkeep.panic_threshold;
        if threshold == 0 {
            return false;
        }
        let well = self.endpoints.iter().filter(|endpoint| endpoint.serves());
        well.count() * 10_000 < usize::from(threshold) * self.wanted().count()
    }

    /// Endpoints that are to get requests, well or not.
    fn wanted(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.is_wanted())
    }

    /// Whether the balancer asks for a hash of the request.
    pub fn hashes(&self) -> bool {
        self.balancer.hashes()
    }

    /// The endpoint for the next try: available, and not among those tried already.
    pub fn pick(&self, tried: &[usize], hash: u64) -> Option<(usize, &Endpoint)> {
        let panics = self.panics();
        let eligible = |index: usize| {
            !tried.contains(&index)
                && self.endpoints.get(index).is_some_and(|endpoint| {
                    endpoint.state.available() || (panics && endpoint.state.reachable())
                })
        };
        let mut index = self.balancer.pick(&self.endpoints, hash, &eligible)?;
        if self.declines(index) {
            let others = |other: usize| other != index && eligible(other);
            index = self
                .balancer
                .pick(&self.endpoints, hash, &others)
                .unwrap_or(index);
        }
        self.endpoints.get(index).map(|endpoint| (index, endpoint))
    }

    /// Errands to any endpoint that may be tried.
    pub fn errands(&self) -> Option<&Arc<Errands>> {
        let (index, _) = self.pick(&[], fastrand::u64(..))?;
        self.errands.get(index)
    }

    /// Whether an endpoint that warms up, or is busy, lets this turn pass.
    fn declines(&self, index: usize) -> bool {
        let Some(endpoint) = self.endpoints.get(index) else {
            return false;
        };
        let appetite = endpoint.state.appetite(self.upkeep.slow_start);
        appetite < 1.0 && fastrand::f32() >= appetite
    }

    /// The endpoint of a sticky client, if it may be tried.
    pub fn sticky(&self, id: u64, tried: &[usize]) -> Option<(usize, &Endpoint)> {
        let mut endpoints = self.endpoints.iter().enumerate();
        endpoints.find(|(index, endpoint)| {
            endpoint.id() == id && !tried.contains(index) && endpoint.serves()
        })
    }
}

impl Endpoint {
    /// What a sticky cookie says instead of the address.
    pub fn id(&self) -> u64 {
        balance::stable_hash(&[self.address.as_bytes(), b"sticky"])
    }
}

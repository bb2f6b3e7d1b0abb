//! Services, their versions and endpoints: who may get a request, and what is known of them.
//!
//! What is learnt while serving (health, requests in flight, durations) lives in `Arc`s that a
//! reload hands on to the next snapshot when their identity (service, version, address) stays.

pub mod balance;
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

pub use cause::Cause;
pub use endpoint::{Address, Endpoint, EndpointState, Health, InFlight, Trouble, Troubles};
pub use errands::{Errand, Errands};
pub use retry::Budget;
pub use series::UpstreamSeries;

use crate::config::limit::KeyPart;
use crate::config::service::{self as config, Retry as RetryRules, Timeouts, UpstreamHttp};
use crate::config::units::Percent;
use crate::config::upkeep::{Outliers, Sticky};
use crate::config::{Name, Place};
use crate::policy::adaptive::Adaptive;
use crate::policy::breaker::Breaker;
use crate::policy::in_flight::Cap;
use crate::policy::last_good::LastGood;
use crate::telemetry::series::Durations;
use crate::telemetry::series::LabelId;
use crate::tls::UpstreamTls;
use balance::Balancer;
use endpoint::Owner;
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

/// What a service is built in, besides its own table.
pub struct Surroundings<'a> {
    /// The breaker it names.
    pub breaker: Option<&'a crate::config::breaker::Breaker>,
    pub label: &'a dyn Fn(&Arc<str>) -> LabelId,
    /// TLS towards its versions.
    pub tls: &'a dyn Fn(&Name) -> Option<Arc<UpstreamTls>>,
}

/// How the endpoints of a version are kept well.
#[derive(Debug)]
struct Upkeep {
    outliers: Option<Outliers>,
    slow_start: Option<Duration>,
    panic_threshold: Percent,
}

/// How much of the previous generation's state was taken over.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// Endpoints that keep their health and their requests in flight.
    pub kept: usize,
    /// What starts anew, and why.
    pub reset: Vec<String>,
}

impl Service {
    /// Builds a service; endpoints that `previous` had at the same place keep their state.
    pub fn build(
        name: &Name,
        config: &config::Service,
        previous: Option<&Self>,
        surroundings: &Surroundings,
        carried: &mut Carried,
    ) -> Self {
        let versions = config.versions.iter().map(|(version_name, version)| {
            let before = previous.and_then(|service| service.version_named(version_name));
            Version::build(
                name,
                version_name,
                version,
                config,
                before,
                surroundings,
                carried,
            )
        });
        Self {
            name: name.clone(),
            versions: versions.collect(),
            timeouts: config.timeouts,
            retry: config.retry.clone(),
            at: config.at.clone(),
            hash: config.hash.clone(),
            sticky: config.sticky.clone(),
            cap: config
                .max_in_flight
                .map(|cap| Cap::build(cap, previous.and_then(|service| service.cap.as_ref()))),
            adaptive: config.adaptive.as_ref().map(|adaptive| {
                Adaptive::build(
                    adaptive,
                    previous.and_then(|service| service.adaptive.as_ref()),
                )
            }),
            budget: previous
                .map(|service| service.budget.clone())
                .unwrap_or_default(),
            last_good: match surroundings
                .breaker
                .and_then(|breaker| breaker.fallback.as_ref())
            {
                Some(crate::config::breaker::Fallback::Cached(age)) => {
                    let kept = previous.and_then(|service| service.last_good.as_ref());
                    Some((kept.map(|(kept, _)| kept.clone()).unwrap_or_default(), *age))
                }
                _ => None,
            },
            reported_load: config.reported_load,
            grpc: config.grpc,
            pool_idle: config.pool_idle,
            series: previous
                .map(|service| service.series.clone())
                .unwrap_or_default(),
        }
    }

    pub fn version_named(&self, name: &str) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.name.as_ref() == name)
    }
}

impl Version {
    fn build(
        service: &Name,
        name: &Name,
        config: &config::Version,
        of: &config::Service,
        previous: Option<&Self>,
        surroundings: &Surroundings,
        carried: &mut Carried,
    ) -> Self {
        let checks = of.health.clone().map(Arc::new);
        let tls = (surroundings.tls)(name);
        let counters = previous.map(|version| version.counters.clone());
        let owner = Owner {
            service: service.clone(),
            version: name.clone(),
            series: counters.unwrap_or_default(),
        };
        let endpoints: Vec<Endpoint> = config
            .endpoints
            .iter()
            .map(|endpoint| {
                let before = previous.and_then(|version| version.endpoint_at(&endpoint.address));
                match before {
                    Some(_) => carried.kept += 1,
                    None if previous.is_some() => carried.reset.push(format!(
                        "endpoint {service}/{name} {}: new",
                        endpoint.address
                    )),
                    None => {}
                }
                let built =
                    Endpoint::build(&owner, endpoint, checks.as_ref(), tls.as_ref(), before);
                if of.health.is_some() && before.is_none() && previous.is_some() {
                    built.state.found(Health::Awaited);
                } else if of.health.is_none() {
                    built.state.found(Health::Assumed);
                }
                built
            })
            .collect();
        let before = previous.and_then(|version| version.breaker.as_ref());
        let breaker = surroundings.breaker.map(|config| match before {
            Some(kept) if kept.config == *config => kept.clone(),
            _ => {
                if before.is_some() {
                    carried
                        .reset
                        .push(format!("breaker of {service}/{name}: its table changed"));
                }
                Arc::new(Breaker::new(service, name, config, Instant::now()))
            }
        });
        let errands = endpoints.iter().map(|endpoint| {
            let (state, tls) = (endpoint.state.clone(), tls.clone());
            Arc::new(Errands::new(state, tls, config.http, of.pool_idle))
        });
        Self {
            name: name.clone(),
            errands: errands.collect(),
            label: (surroundings.label)(&Arc::from(format!("{service}/{name}"))),
            tls,
            http: config.http,
            balancer: Balancer::build(of.balance, &endpoints),
            endpoints,
            breaker,
            upkeep: Upkeep {
                outliers: of.outliers.clone(),
                slow_start: of.slow_start,
                panic_threshold: of.panic_threshold,
            },
            pool: previous
                .map(|version| version.pool.clone())
                .unwrap_or_default(),
            series: previous
                .map(|version| version.series.clone())
                .unwrap_or_default(),
            counters: owner.series,
        }
    }

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

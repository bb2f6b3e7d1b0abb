//! Services, their versions and endpoints: who may get a request, and what is known of them.
//!
//! What is learnt while serving (health, requests in flight, durations) lives in `Arc`s that a
//! reload hands on to the next snapshot when their identity (service, version, address) stays.

pub mod balance;
mod build;
pub mod cause;
mod clock;
pub mod endpoint;
mod endpoint_set;
pub mod ewma;
pub mod health;
mod outliers;
pub mod probe;
mod reach;
mod retry;
mod series;
mod side_client;

pub use build::{Carried, Surroundings};
pub use cause::Cause;
pub use endpoint::{Address, Endpoint, EndpointState, Health, InFlight, Trouble, Troubles};
pub use endpoint_set::{EndpointSet, Member};
pub use retry::Budget;
pub use series::{PoolSeries, ServiceSeries, UpstreamSeries};
pub use side_client::{SideClient, SideRequest};

use crate::config::selector::{HashKey, SelectorFor};
use crate::config::service::{Retry as RetryRules, Timeouts, UpstreamHttp};
use crate::config::upkeep::{Outliers, Sticky};
use crate::config::{Name, Place};
use crate::policy::FixedAnswer;
use crate::policy::adaptive::Adaptive;
use crate::policy::breaker::Breaker;
use crate::policy::in_flight::Cap;
use crate::policy::last_good::LastGood;
use crate::telemetry::metrics::labels::LabelId;
use crate::telemetry::metrics::series::Durations;
use crate::tls::UpstreamTls;
use arc_swap::{ArcSwap, Guard};
use endpoint_set::Rules;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One service, ready to serve. Versions are in name order.
#[derive(Debug)]
pub struct Service {
    pub name: Name,
    pub versions: Vec<Version>,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    pub at: Place,
    pub hash: Option<SelectorFor<HashKey>>,
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

/// One version of a service.
#[derive(Debug)]
pub struct Version {
    pub name: Name,
    /// `service/version` for metrics.
    pub label: LabelId,
    pub breaker: Option<Arc<Breaker>>,
    pub tls: Option<Arc<UpstreamTls>>,
    /// The protocol towards its endpoints.
    pub http: UpstreamHttp,
    /// Whether a source names its endpoints.
    pub is_discovered: bool,
    rules: Rules,
    outliers: Option<Outliers>,
    set: ArcSwap<EndpointSet>,
    /// Durations of tries.
    pub series: Arc<Durations>,
    pub pool: Arc<PoolSeries>,
    /// Bytes, failed connections, checks.
    pub counters: Arc<UpstreamSeries>,
}

impl Service {
    pub fn version_named(&self, name: &str) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.name.as_ref() == name)
    }
}

impl Version {
    /// Returns its endpoints as they are now.
    pub fn set(&self) -> Guard<Arc<EndpointSet>> {
        self.set.load()
    }

    /// Replaces its endpoints while it serves. Those that stay, by their address, keep their state;
    /// those that go finish what they have. Takes a while where there are thousands.
    pub fn replace(&self, wanted: &[Member]) -> Carried {
        let mut carried = Carried::default();
        let before = self.set.load_full();
        let set = EndpointSet::build(&self.rules, wanted, Some(&before), &mut carried);
        self.set.store(Arc::new(set));
        carried
    }

    /// Whether at least one endpoint may be tried.
    pub fn available(&self) -> bool {
        self.set().available()
    }

    /// Whether the breaker is open, and would refuse.
    pub fn broken(&self) -> bool {
        self.breaker
            .as_ref()
            .is_some_and(|breaker| breaker.refuses(Instant::now()))
    }

    /// Returns the client beside traffic of any endpoint that may be tried.
    pub fn side_client(&self) -> Option<Arc<SideClient>> {
        self.set().side_client()
    }
}

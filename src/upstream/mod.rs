//! Services, their versions and endpoints: who may get a request, and what is known of them.
//!
//! What is learnt while serving (health, requests in flight, durations) lives in `Arc`s that a
//! reload hands on to the next snapshot when their identity (service, version, address) stays.

pub mod balance;
pub mod endpoint;
pub mod probe;
pub mod resolve;

pub use endpoint::{Endpoint, EndpointState, InFlight};

use crate::config::service::{self as config, Retry, Timeouts};
use crate::config::{Name, Place};
use crate::telemetry::histogram::HttpHistogram;
use crate::telemetry::series::LabelId;
use balance::Balancer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One service, ready to serve. Versions are in name order.
#[derive(Debug)]
pub struct Service {
    pub name: Name,
    pub versions: Vec<Version>,
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub at: Place,
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

/// One version of a service.
#[derive(Debug)]
pub struct Version {
    pub name: Name,
    /// `service/version` for metrics.
    pub label: LabelId,
    pub endpoints: Vec<Endpoint>,
    balancer: Balancer,
    /// Durations of tries.
    pub series: Arc<HttpHistogram>,
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
        label: &dyn Fn(&Arc<str>) -> LabelId,
        carried: &mut Carried,
    ) -> Self {
        let versions = config.versions.iter().map(|(version_name, version)| {
            let before = previous.and_then(|service| service.version_named(version_name));
            let label = label(&Arc::from(format!("{name}/{version_name}")));
            Version::build(
                name,
                version_name,
                version,
                config.balance,
                before,
                label,
                carried,
            )
        });
        Self {
            name: name.clone(),
            versions: versions.collect(),
            timeouts: config.timeouts,
            retry: config.retry.clone(),
            at: config.at.clone(),
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
        service: &str,
        name: &Name,
        config: &config::Version,
        balance: config::Balance,
        previous: Option<&Self>,
        label: LabelId,
        carried: &mut Carried,
    ) -> Self {
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
                Endpoint::build(endpoint, before)
            })
            .collect();
        Self {
            name: name.clone(),
            label,
            balancer: Balancer::build(balance, &endpoints),
            endpoints,
            series: previous
                .map(|version| version.series.clone())
                .unwrap_or_default(),
        }
    }

    fn endpoint_at(&self, address: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.address.as_ref() == address)
    }

    /// Whether at least one endpoint may be tried.
    pub fn available(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.state.available())
    }

    /// The endpoint for the next try: available, and not among those tried already.
    pub fn pick(&self, tried: &[usize]) -> Option<(usize, &Endpoint)> {
        let eligible = |index: usize| {
            !tried.contains(&index)
                && self
                    .endpoints
                    .get(index)
                    .is_some_and(|endpoint| endpoint.state.available())
        };
        let index = self.balancer.pick(&self.endpoints, &eligible)?;
        self.endpoints.get(index).map(|endpoint| (index, endpoint))
    }
}

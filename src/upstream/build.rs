//! Services and their versions, built from a configuration; what the previous generation knows of
//! them goes on.

use super::endpoint::Owner;
use super::endpoint_set::{EndpointSet, Member, Rules};
use super::{Service, Version};
use crate::config::Name;
use crate::config::breaker::{Breaker as BreakerRules, Fallback};
use crate::config::service as config;
use crate::policy::FixedAnswer;
use crate::policy::adaptive::Adaptive;
use crate::policy::breaker::Breaker;
use crate::policy::in_flight::Cap;
use crate::telemetry::metrics::labels::LabelId;
use crate::tls::UpstreamTls;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Instant;

/// What a service is built in, besides its own table.
pub struct Surroundings<'a> {
    /// The breaker it names.
    pub breaker: Option<&'a BreakerRules>,
    pub label: &'a dyn Fn(&Arc<str>) -> LabelId,
    /// TLS towards its versions.
    pub tls: &'a dyn Fn(&Name) -> Option<Arc<UpstreamTls>>,
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
        let breaker = surroundings.breaker;
        let fallback = breaker.and_then(|breaker| breaker.fallback.as_ref());
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
            last_good: match fallback {
                Some(Fallback::Cached(age)) => {
                    let kept = previous.and_then(|service| service.last_good.as_ref());
                    Some((kept.map(|(kept, _)| kept.clone()).unwrap_or_default(), *age))
                }
                _ => None,
            },
            breaker_answer: match fallback {
                Some(Fallback::Fixed { status, text }) => Some(FixedAnswer::text(*status, text)),
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
        let counters = previous.map(|version| version.counters.clone());
        let owner = Owner {
            service: service.clone(),
            version: name.clone(),
            series: counters.unwrap_or_default(),
        };
        let breaker = surroundings
            .breaker
            .map(|config| breaker(&owner, config, previous, carried));
        let rules = Rules {
            checks: of.health.clone().map(Arc::new),
            tls: (surroundings.tls)(name),
            http: config.http,
            idle: of.pool_idle,
            balance: of.balance,
            slow_start: of.slow_start,
            panic_threshold: of.panic_threshold,
            owner,
        };
        let before = previous.map(|version| version.set.load_full());
        let given = config.endpoints.iter().filter_map(Member::given);
        let given: Vec<Member> = given.collect();
        // What a source names follows before this generation goes live.
        let is_discovered = given.len() < config.endpoints.len() || config.discover.is_some();
        let set = match before {
            Some(before) if is_discovered => before.again(&rules),
            before => EndpointSet::build(&rules, &given, before.as_deref(), carried),
        };
        Self {
            name: name.clone(),
            label: (surroundings.label)(&Arc::from(format!("{service}/{name}"))),
            tls: rules.tls.clone(),
            http: config.http,
            set: ArcSwap::from_pointee(set),
            breaker,
            outliers: of.outliers.clone(),
            pool: previous
                .map(|version| version.pool.clone())
                .unwrap_or_default(),
            series: previous
                .map(|version| version.series.clone())
                .unwrap_or_default(),
            counters: rules.owner.series.clone(),
            is_discovered,
            rules,
        }
    }
}

/// Builds the breaker of a version. The previous one goes on unless its table changed.
fn breaker(
    owner: &Owner,
    config: &BreakerRules,
    previous: Option<&Version>,
    carried: &mut Carried,
) -> Arc<Breaker> {
    let Owner {
        service, version, ..
    } = owner;
    match previous.and_then(|version| version.breaker.as_ref()) {
        Some(kept) if kept.config == *config => return kept.clone(),
        Some(_) => {
            let reset = format!("breaker of {service}/{version}: its table changed");
            carried.reset.push(reset);
        }
        None => {}
    }
    Arc::new(Breaker::new(service, version, config, Instant::now()))
}

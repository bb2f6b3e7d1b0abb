//! What is counted of services, their versions and endpoints, and the metrics of it.

use super::cause::Kind;
use super::{EndpointState, Version};
use crate::counts::Counts;
use crate::telemetry::metrics::histogram::HTTP_BOUNDS;
use crate::telemetry::metrics::{Distribution, Family, Number, Points};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted of a service.
#[derive(Debug, Default)]
pub struct ServiceSeries {
    retries: AtomicU64,
}

impl ServiceSeries {
    /// Its metrics, by service.
    pub const METRICS: &[Family<Self>] = &[Family::counter(
        "tyrian_retries_total",
        "Tries after the first one",
        |series, points| points.add(&series.retries),
    )];

    /// Counts a try after the first one.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Returns the tries after the first one.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }
}

impl Version {
    /// Its metrics, by service and version.
    pub const METRICS: &[Family<Self>] = &[
        Family::histogram(
            "http_client_request_duration_seconds",
            "Time of one try, from choosing an endpoint to the end of its answer",
            |version, points| {
                let (counts, sum_us) = version.series.conventional();
                let exemplars = version.series.exemplars();
                let value = Distribution {
                    bounds: &HTTP_BOUNDS,
                    counts: &counts,
                    sum_us,
                    exemplars: exemplars.as_slice(),
                };
                points.histogram(&[], &value);
            },
        ),
        Family::counter(
            "tyrian_pool_connections_total",
            "Connections that tries were given: new ones, kept ones, kept ones that were closed \
             meanwhile",
            |version, points| {
                let PoolSeries {
                    made,
                    reused,
                    stale,
                } = version.pool.as_ref();
                let states = [("new", made), ("reused", reused), ("stale", stale)];
                points.each("state", states);
            },
        ),
        Family::counter(
            "tyrian_upstream_request_bytes_total",
            "Bytes of request bodies sent to endpoints; each try counts",
            |version, points| points.add(&version.counters.sent),
        ),
        Family::counter(
            "tyrian_upstream_response_bytes_total",
            "Bytes of response bodies received from endpoints",
            |version, points| points.add(&version.counters.received),
        ),
        Family::counter(
            "tyrian_upstream_connect_failures_total",
            "Connections to endpoints that a try asked for and did not get",
            |version, points| {
                let failures = version.counters.connect_failures.iter();
                let failures = failures.filter(|(kind, _)| kind.is_about_connecting());
                points.each("cause", failures.map(|(kind, count)| (kind.name(), count)));
            },
        ),
        Family::counter(
            "tyrian_health_checks_total",
            "Active health checks by their result: passed, or why not",
            |version, points| {
                if version.set().is_checked() {
                    points.each("result", version.counters.checks());
                }
            },
        ),
        Family::gauge(
            "tyrian_discovery_endpoints",
            "Endpoints of the version that a source names",
            Version::by_source,
        ),
        Family::gauge(
            "tyrian_endpoint_healthy",
            "Whether the endpoint may be tried",
            |version, points| version.by_endpoint(points, EndpointState::available),
        ),
        Family::gauge(
            "tyrian_endpoint_in_flight",
            "Tries in flight",
            |version, points| version.by_endpoint(points, EndpointState::in_flight),
        ),
        Family::counter(
            "tyrian_endpoint_ejections_total",
            "Ejections of endpoints, by the last failure before each",
            |version, points| {
                let set = version.set();
                for endpoint in set.endpoints().iter().filter(|_| version.ejects()) {
                    let address = ("endpoint", endpoint.address.as_ref());
                    for (cause, count) in endpoint.state.ejected_by.iter() {
                        points.with(&[address, ("cause", cause.name())], count);
                    }
                }
            },
        ),
    ];

    /// Counts its endpoints by the source that names them.
    fn by_source(&self, points: &mut Points<'_>) {
        let set = self.set();
        let sources = set.endpoints().iter();
        let mut counts = BTreeMap::<&str, u64>::new();
        for source in sources.filter_map(|endpoint| endpoint.member.source.as_deref()) {
            *counts.entry(source).or_default() += 1;
        }
        points.each("source", counts);
    }

    fn by_endpoint<V: Number>(&self, points: &mut Points<'_>, of: fn(&EndpointState) -> V) {
        let set = self.set();
        let endpoints = set.endpoints().iter();
        let values = endpoints.map(|one| (one.address.as_ref(), of(&one.state)));
        points.each("endpoint", values);
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

/// Counters of a version. They go on over reloads for as long as the version keeps its name.
#[derive(Debug, Default)]
pub struct UpstreamSeries {
    /// Bytes of bodies sent to its endpoints; each try counts.
    pub sent: AtomicU64,
    /// Bytes of bodies received from its endpoints.
    pub received: AtomicU64,
    /// Connection attempts of traffic that failed.
    pub connect_failures: Counts<Kind>,
    /// Active checks that passed.
    passed: AtomicU64,
    /// Active checks that failed.
    failed: Counts<Kind>,
}

impl UpstreamSeries {
    /// Counts an active check by its result.
    pub fn checked(&self, result: Result<(), super::Cause>) {
        match result {
            Ok(()) => drop(self.passed.fetch_add(1, Relaxed)),
            Err(cause) => self.failed.add(cause.kind),
        }
    }

    /// Returns active checks by their result: `passed`, or the kind of the failure.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let failed = self.failed.iter().map(|(kind, count)| (kind.name(), count));
        std::iter::once(("passed", self.passed.load(Relaxed))).chain(failed)
    }
}

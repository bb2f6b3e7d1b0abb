//! What one request carries along the road: facts and decisions, never services.

use super::facts::Facts;
use crate::config::Name;
use crate::reason::Reason;
use crate::routing::{ColorId, Decision, RouteId, ServiceId, VersionId};
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::Metrics;
use crate::upstream::{InFlight, Service, Version};
use http::HeaderValue;
use smallvec::SmallVec;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// One request, from its head to its log line.
#[derive(Debug)]
pub struct Journey {
    /// The generation this request belongs to, to its end.
    pub snapshot: Arc<Snapshot>,
    pub started: Instant,
    pub client: Client,
    pub request_id: Option<HeaderValue>,
    /// The normalised path when it differs from the one in the head.
    pub path: Option<String>,
    pub decision: Option<Decision>,
    pub attempt: Attempt,
    pub refusal: Option<Refusal>,
    /// When the whole exchange must be over.
    pub deadline: Option<Instant>,
    /// Bytes of request body so far.
    pub body_bytes: u64,
    /// The answer is a stream without an end of its own, so only silence ends it.
    pub endless: bool,
    active: Active,
}

/// Who sent the request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The rightmost address that nobody trusted vouches for.
    pub ip: IpAddr,
    pub trusted: bool,
    pub listener: Name,
}

/// Where the request is being sent, and has been.
#[derive(Debug, Default)]
pub struct Attempt {
    pub target: Option<(ServiceId, VersionId)>,
    /// Endpoints of the target's version that this request has tried.
    pub tried: SmallVec<[usize; 4]>,
    /// Tries in all, over all versions.
    pub number: u8,
    pub endpoint: Option<usize>,
    pub in_flight: Option<InFlight>,
    pub since: Option<Instant>,
    /// Time spent waiting for upstreams, over all tries.
    pub upstream_time: Duration,
    pub connect_failed: bool,
}

/// Why the request was not served, and what the client is told beyond the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub status: u16,
    pub detail: &'static str,
}

impl Refusal {
    pub fn new(reason: Reason, detail: &'static str) -> Self {
        Self {
            reason,
            status: reason.status(),
            detail,
        }
    }
}

impl Journey {
    pub fn begin(snapshot: Arc<Snapshot>, metrics: &Arc<Metrics>) -> Self {
        Self {
            snapshot,
            started: Instant::now(),
            client: Client {
                ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                trusted: false,
                listener: Name::from(""),
            },
            request_id: None,
            path: None,
            decision: None,
            attempt: Attempt::default(),
            refusal: None,
            deadline: None,
            body_bytes: 0,
            endless: false,
            active: Active::enter(metrics),
        }
    }

    /// Takes over what is known of the connection.
    pub fn arrived_by(&mut self, facts: &Facts) {
        let trusted = self.snapshot.trusts(&facts.listener, facts.ip());
        self.client = Client {
            ip: facts.ip(),
            trusted,
            listener: facts.listener.clone(),
        };
    }

    pub fn route_id(&self) -> Option<RouteId> {
        self.decision.and_then(|decision| decision.route)
    }

    pub fn route(&self) -> Option<&Route> {
        self.snapshot.route(self.route_id()?)
    }

    pub fn service(&self) -> Option<&Arc<Service>> {
        self.snapshot.service(self.attempt.target?.0)
    }

    pub fn version(&self) -> Option<&Version> {
        let (service, version) = self.attempt.target?;
        self.snapshot.version(service, version)
    }

    /// The color the request asked for or was given.
    pub fn requested_color(&self) -> Option<ColorId> {
        self.decision.and_then(|decision| decision.color.requested)
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.active.0
    }

    /// Notes the first reason; later ones follow from it.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// The current try is over: its time counts, its endpoint is free.
    pub fn end_try(&mut self) {
        self.attempt.in_flight = None;
        if let Some(since) = self.attempt.since.take() {
            let took = since.elapsed();
            self.attempt.upstream_time += took;
            if let Some(version) = self.version() {
                version.series.observe(took);
            }
        }
    }
}

/// Counts a request as active until it is dropped, however it ends.
#[derive(Debug)]
struct Active(Arc<Metrics>);

impl Active {
    fn enter(metrics: &Arc<Metrics>) -> Self {
        metrics.active.fetch_add(1, Relaxed);
        Self(metrics.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

//! What one request carries along the road: facts and decisions, never services.

use super::bytes::BodyCounts;
use super::compress::Encoder;
use super::facts::Facts;
use super::grpc::{self, Bridge, Call};
use super::mirror::Mirroring;
use super::plugins::Hooks;
pub use super::refused::Refusal;
use super::trail::Trail;
use crate::config::Name;
use crate::config::breaker::Failures;
use crate::policy::breaker::{Outcome, Permit};
use crate::policy::in_flight::Place;
use crate::policy::jwt::Verified;
use crate::policy::last_good::Reading;
use crate::routing::{ColorId, Decision, Fallbacks, RouteId, ServiceId, VersionId};
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::Metrics;
use crate::telemetry::series::RouteSeries;
use crate::tls::Identity as Certificate;
use crate::upstream::cause::{Cause, Kind};
use crate::upstream::{Endpoint, InFlight, Service, Version};
use http::{HeaderMap, HeaderValue};
use pingora::http::ResponseHeader;
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
    /// Who the client is by its certificate.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether that goes up.
    pub forwards_certificate: bool,
    pub request_id: Option<HeaderValue>,
    /// The client speaks gRPC, or what browsers have for it.
    pub call: Option<Call>,
    /// The client came by TLS, to us or, as a trusted proxy says, to it.
    pub secure: bool,
    /// The normalised host.
    pub host: Host,
    /// The normalised path when it differs from the one in the head.
    pub path: Option<String>,
    /// The color that a sound signature has brought.
    pub vouched: Option<ColorId>,
    /// Keeps a color that a link has brought.
    pub set_color: Option<HeaderValue>,
    pub decision: Option<Decision>,
    pub attempt: Attempt,
    /// What its trace will say.
    pub trail: Trail,
    /// Who it is, by a verified token, a key, or a service that was asked.
    pub identity: Option<Arc<Verified>>,
    /// Held until the request has ended.
    pub places: Places,
    /// States of limits that every answer tells.
    pub readings: SmallVec<[(HeaderValue, HeaderValue); 1]>,
    pub mirroring: Mirroring,
    /// An answer that is kept for worse times, as far as it has come.
    pub keeping: Option<Reading>,
    /// The answer leaves compressed.
    pub encoder: Option<Box<Encoder>>,
    /// The client speaks gRPC-Web, its upstream gRPC.
    pub bridge: Option<Box<Bridge>>,
    /// What the route's plugins keep.
    pub hooks: Hooks,
    pub refusal: Option<Refusal>,
    /// When the whole exchange must be over.
    pub deadline: Option<Instant>,
    /// Bytes of request body so far.
    pub body_bytes: u64,
    /// How much of all bodies has been counted.
    pub body_counts: BodyCounts,
    /// The answer is a stream without an end of its own, so only silence ends it.
    pub endless: bool,
    /// When the try, or once that has answered, the exchange must be over.
    pub until: Option<Instant>,
    /// The answer has no content, by its status.
    pub bare: bool,
    /// On its way to an upstream: from here on the core closes the connection where it fails.
    pub proxied: bool,
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

/// A host in normal form.
#[derive(Debug)]
pub enum Host {
    /// So much of what the head names: all but a port, mostly.
    Sent(usize),
    /// Another spelling.
    Other(String),
}

/// Where the request is being sent, and has been.
#[derive(Debug, Default)]
pub struct Attempt {
    pub target: Option<(ServiceId, VersionId)>,
    /// Endpoints of the target's version that this request has tried.
    pub tried: SmallVec<[usize; 4]>,
    /// Tries in all, over all versions.
    pub number: u8,
    /// An upstream has said once that it had not looked at the request.
    pub unseen: bool,
    pub endpoint: Option<usize>,
    pub in_flight: Option<InFlight>,
    /// What the hashing balancers go by; the same for all tries.
    pub hash: Option<u64>,
    /// The endpoint that a sticky client was given before.
    pub sticky: Option<u64>,
    pub permit: Option<Permit>,
    /// How the try ended, as far as that is known.
    pub verdict: Option<Ended>,
    /// What the answer says of itself, where it is gRPC.
    pub grpc: Option<u8>,
    /// How long the head of the answer took.
    pub head_took: Option<Duration>,
    /// Whether the next try follows a failure of the upstream's, and waits a little.
    pub backs_off: bool,
    pub since: Option<Instant>,
    /// Time spent waiting for upstreams, over all tries.
    pub upstream_time: Duration,
    /// The other versions that it may still meet.
    pub fallbacks: Fallbacks,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a head of an answer; gRPC may say more in it.
    Answered {
        status: u16,
        grpc: Option<u8>,
    },
    /// No connection, or one that broke.
    Broken(Kind),
    TimedOut,
}

/// What a request holds until it has ended.
#[derive(Debug, Default)]
pub struct Places {
    pub of_route: Option<Place>,
    pub of_service: Option<Place>,
    pub adaptive: Option<Place>,
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
            certificate: None,
            forwards_certificate: true,
            request_id: None,
            call: None,
            secure: false,
            host: Host::Sent(0),
            path: None,
            vouched: None,
            set_color: None,
            decision: None,
            attempt: Attempt::default(),
            trail: Trail::default(),
            identity: None,
            places: Places::default(),
            readings: SmallVec::new(),
            mirroring: Mirroring::default(),
            keeping: None,
            encoder: None,
            bridge: None,
            hooks: Hooks::default(),
            refusal: None,
            deadline: None,
            body_bytes: 0,
            body_counts: BodyCounts::default(),
            endless: false,
            until: None,
            bare: false,
            proxied: false,
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
        self.secure = facts.secured.is_some();
        if let Some(secured) = &facts.secured {
            self.certificate.clone_from(&secured.client);
            self.forwards_certificate = secured.client.is_none() || secured.forwards;
        }
    }

    /// How the client came, by trust.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// What cookies of ours say where the client came by TLS: they go nowhere without.
    pub fn cookie_secure(&self) -> &'static str {
        if self.secure { "; Secure" } else { "" }
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

    /// The endpoint of the current or last try.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.version()?.endpoints.get(self.attempt.endpoint?)
    }

    /// The color the request asked for or was given.
    pub fn requested_color(&self) -> Option<ColorId> {
        self.decision.and_then(|decision| decision.color.requested)
    }

    /// The counters of its route, or of what no route took.
    pub fn route_series(&self) -> &RouteSeries {
        self.route()
            .map_or(&self.metrics().unrouted, |route| &route.series)
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.active.0
    }

    /// Notes the first reason; later ones follow from it.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// The head of an answer has come.
    pub fn answered(&mut self, head: &ResponseHeader) {
        let grpc = grpc::status(&head.headers);
        let status = head.status.as_u16();
        self.attempt.verdict = Some(Ended::Answered { status, grpc });
        self.attempt.grpc = grpc;
        self.trail.answered(status, self.attempt.verdict);
        let took = self.attempt.since.map(|since| since.elapsed());
        self.attempt.head_took = took;
        if let (Some(in_flight), Some(took)) = (&self.attempt.in_flight, took) {
            in_flight.endpoint().latency.observe(took);
        }
        let permit = self.attempt.permit.as_ref();
        let verdict = self.attempt.verdict;
        if verdict.is_some_and(|verdict| permit.is_some_and(|p| verdict.fails(p.failures()))) {
            // A bad head is bad news at once: the next request must not have to outrun this body.
            self.judge(took.unwrap_or_default(), Instant::now());
        }
    }

    /// The answer has ended with trailers, where gRPC says how it went.
    pub fn ended_with(&mut self, trailers: &HeaderMap) {
        let said = grpc::status(trailers);
        if let (Some(Ended::Answered { grpc, .. }), Some(said)) = (&mut self.attempt.verdict, said)
        {
            *grpc = Some(said);
        }
        if said.is_some() {
            self.attempt.grpc = said;
        }
    }

    /// Counts the connection that a try was given.
    pub fn connected(&self, reused: bool, stale: bool) {
        if let Some(version) = self.version() {
            let count = match (reused, stale) {
                (_, true) => &version.pool.stale,
                (true, false) => &version.pool.reused,
                (false, false) => &version.pool.made,
            };
            count.fetch_add(1, Relaxed);
        }
    }

    /// The current try is over: its time counts, its endpoint is free, and whoever judges
    /// upstreams is told how it ended. A try without an end (the client left) is not judged.
    pub fn end_try(&mut self) {
        self.attempt.in_flight = None;
        let Some(since) = self.attempt.since.take() else {
            self.attempt.permit = None;
            return;
        };
        let now = Instant::now();
        let took = now.saturating_duration_since(since);
        self.attempt.upstream_time += took;
        self.settle_try();
        self.trail.ended(took, self.attempt.verdict);
        let head_took = self.attempt.head_took.take();
        if let Some(version) = self.version() {
            version.series.observe(took);
        }
        // Of a stream, only the wait for its head says anything about the upstream.
        let judged = match head_took {
            Some(head_took) if self.endless => head_took,
            _ => took,
        };
        self.judge(judged, now);
        let adaptive = self.service().and_then(|service| service.adaptive.as_ref());
        if let (Some(adaptive), Some(took)) = (adaptive, head_took) {
            adaptive.observe(took);
        }
    }

    /// Tells the breaker and the watch over endpoints how the try ended; once, if it is known.
    fn judge(&mut self, took: Duration, now: Instant) {
        let permit = self.attempt.permit.take();
        let Some(verdict) = self.attempt.verdict.take() else {
            return;
        };
        if let Some(permit) = permit {
            let failed = verdict.fails(permit.failures());
            permit.record(Outcome { failed, took }, now);
        }
        if let (Some(index), Some(version)) = (self.attempt.endpoint, self.version()) {
            version.judge(index, verdict.fault());
        }
    }
}

impl Ended {
    fn fails(self, failures: &Failures) -> bool {
        match self {
            Self::Answered { status, grpc } => {
                failures.status(status) || grpc.is_some_and(|grpc| failures.grpc.contains(&grpc))
            }
            Self::Broken(_) => failures.resets,
            Self::TimedOut => failures.timeouts,
        }
    }

    /// Why the endpoint is to blame, if it is.
    fn fault(self) -> Option<Cause> {
        match self {
            Self::Answered { status, .. } if status >= 500 => Some(Cause::http(status)),
            Self::Answered { grpc, .. } => grpc.filter(|grpc| *grpc == 14).map(Cause::grpc),
            Self::Broken(kind) => Some(kind.into()),
            Self::TimedOut => Some(Kind::Timeout.into()),
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

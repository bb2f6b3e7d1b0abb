//! What one request carries through the exchange: facts and decisions.

use super::byte_counts::BodyCounts;
use super::deadline::Deadlines;
use super::tries::{Attempt, Ended, RequestTrace};
use crate::config::Name;
use crate::edge::filters::grpc::{self, Call};
use crate::edge::filters::mirror::Mirroring;
use crate::edge::filters::plugins::Hooks;
use crate::edge::rejection::Rejection;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::policy::breaker::Outcome;
use crate::policy::in_flight::Place;
use crate::policy::jwt::Verified;
use crate::routing::{ColorId, Decision, RouteId, rewrite};
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::series::RouteSeries;
use crate::tls::Identity as Certificate;
use crate::upstream::{EndpointState, Service, Version};
use http::{HeaderMap, HeaderValue, StatusCode};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// One request, from its head to its log line.
#[derive(Debug)]
pub struct RequestContext {
    /// The generation that serves this request to its end.
    pub snapshot: Arc<Snapshot>,
    pub started: Instant,
    pub client: Client,
    /// The client's certificate.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether the certificate's fields go to the upstream.
    pub forwards_certificate: bool,
    pub request_id: Option<HeaderValue>,
    /// The request is a call of gRPC or gRPC-Web.
    pub call: Option<Call>,
    /// The client came by TLS, to the gateway or, as a trusted proxy says, to that proxy.
    pub secure: bool,
    /// The normalised host.
    pub host: Host,
    /// The normalised path where it differs from the one in the head.
    pub path: Option<String>,
    /// The color of a valid signature.
    pub vouched: Option<ColorId>,
    /// The cookie that keeps a color which came by a link.
    pub set_color: Option<HeaderValue>,
    pub decision: Option<Decision>,
    pub attempt: Attempt,
    pub trace: RequestTrace,
    /// The client's identity, by a verified token, an API key, or a service that was asked.
    pub identity: Option<Arc<Verified>>,
    /// Held until the request has ended.
    pub places: Places,
    /// States of limits that every answer shows.
    pub readings: SmallVec<[(HeaderValue, HeaderValue); 1]>,
    pub mirroring: Mirroring,
    /// State of the route's plugins.
    pub hooks: Hooks,
    /// Why the request was not served, for the log.
    pub rejection: Option<Rejection>,
    /// When the whole exchange must be over.
    pub deadlines: Deadlines,
    pub body_counts: BodyCounts,
    /// The answer is a stream without an end of its own: only silence ends it.
    pub endless: bool,
    /// The final answer that was sent to the client.
    pub answer: Option<Answer>,
    active: Active,
}

/// The client that sent the request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The rightmost address that no trusted proxy has.
    pub ip: IpAddr,
    pub trusted: bool,
    pub listener: Name,
}

/// A host in normal form.
#[derive(Debug)]
pub enum Host {
    /// So many bytes of the host in the head: all but a port, mostly.
    Sent(usize),
    /// Another spelling.
    Other(String),
}

/// What the client was told in the head of the final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// The status of a call of gRPC, where the head has one.
    pub grpc: Option<u8>,
}

impl Answer {
    /// Takes what the log needs from a head.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            status,
            grpc: grpc::status(headers),
        }
    }
}

/// What a request holds until it has ended.
#[derive(Debug, Default)]
pub struct Places {
    pub of_route: Option<Place>,
    pub of_service: Option<Place>,
    pub adaptive: Option<Place>,
}

impl RequestContext {
    /// Begins a request that came by this connection.
    pub fn begin(
        snapshot: Arc<Snapshot>,
        metrics: &Arc<Metrics>,
        connection: &ConnectionInfo,
    ) -> Self {
        let trusted = snapshot.trusts(&connection.listener, connection.ip());
        let secured = connection.secured.as_ref();
        let certificate = secured.and_then(|secured| secured.client.clone());
        Self {
            snapshot,
            started: Instant::now(),
            client: Client {
                ip: connection.ip(),
                trusted,
                listener: connection.listener.clone(),
            },
            forwards_certificate: certificate.is_none()
                || secured.is_some_and(|secured| secured.forwards),
            certificate,
            request_id: None,
            call: None,
            secure: secured.is_some(),
            host: Host::Sent(0),
            path: None,
            vouched: None,
            set_color: None,
            decision: None,
            attempt: Attempt::default(),
            trace: RequestTrace::default(),
            identity: None,
            places: Places::default(),
            readings: SmallVec::new(),
            mirroring: Mirroring::default(),
            hooks: Hooks::default(),
            rejection: None,
            deadlines: Deadlines::default(),
            body_counts: BodyCounts::default(),
            endless: false,
            answer: None,
            active: Active::enter(metrics),
        }
    }

    /// The scheme by which the client came, by trust.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The attribute of the gateway's cookies where the client came by TLS.
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
    pub fn endpoint(&self) -> Option<&Arc<EndpointState>> {
        self.attempt.endpoint()
    }

    /// The color that the request asked for or was given.
    pub fn requested_color(&self) -> Option<ColorId> {
        self.decision.and_then(|decision| decision.color.requested)
    }

    /// Returns a path as the route has upstreams see it.
    pub fn upstream_path<'p>(&'p self, path: &'p str) -> Cow<'p, str> {
        match self.route().and_then(|route| route.rewrite.as_deref()) {
            Some((rewrite, matched)) => rewrite::upstream_path(rewrite, matched, path),
            None => Cow::Borrowed(path),
        }
    }

    /// The counters of its route, or of requests without one.
    pub fn route_series(&self) -> &RouteSeries {
        self.route()
            .map_or(&self.metrics().unrouted, |route| &route.series)
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.active.0
    }

    /// Notes the head of the upstream's answer.
    pub fn answered(&mut self, status: u16, headers: &HeaderMap) {
        let grpc = grpc::status(headers);
        self.attempt.verdict = Some(Ended::Answered { status, grpc });
        self.attempt.grpc = grpc;
        self.trace.answered(status, self.attempt.verdict);
        let took = self.attempt.since.map(|since| since.elapsed());
        self.attempt.head_took = took;
        if let (Some(endpoint), Some(took)) = (self.endpoint(), took) {
            endpoint.latency.observe(took);
        }
        let permit = self.attempt.permit.as_ref();
        let verdict = self.attempt.verdict;
        if verdict.is_some_and(|verdict| permit.is_some_and(|p| verdict.fails(p.failures()))) {
            // A failure that the head shows is judged at once: the next request must not have to
            // outrun this body.
            self.judge(took.unwrap_or_default(), Instant::now());
        }
    }

    /// Notes the trailers of the upstream's answer, where gRPC says how a call went.
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

    /// Ends the current try: its time counts, its endpoint is free, and the breaker and the watch
    /// over endpoints learn how it ended. A try without a verdict (the client left) is not judged.
    pub fn end_try(&mut self) {
        if let Some(in_flight) = &mut self.attempt.in_flight {
            in_flight.end();
        }
        let Some(since) = self.attempt.since.take() else {
            self.attempt.permit = None;
            return;
        };
        let now = Instant::now();
        let took = now.saturating_duration_since(since);
        self.attempt.upstream_time += took;
        self.settle_try();
        self.trace.ended(took, self.attempt.verdict);
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
        if let (Some(endpoint), Some(version)) = (self.endpoint(), self.version()) {
            version.judge(endpoint, verdict.fault());
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

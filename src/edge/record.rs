//! The end of the road: metrics by handles that the snapshot prepared, and the facts for the access
//! log and whoever watches.

use super::admit;
use super::connection::Server;
use super::context::{Journey, Refusal};
use super::facts::Facts;
use super::grpc;
use super::inputs;
use super::plugins;
use super::trail;
use crate::snapshot::Ended;
use crate::telemetry::exchange::Exchange;
use crate::telemetry::json::string_field;
use crate::telemetry::series::{CodeLabel, Key, LabelId, MethodLabel};
use crate::telemetry::trace::context::Hex;
use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::time::Duration;

/// Room for what a decision has looked at, in bytes; more is found where it is needed.
const INPUTS: usize = 256;

/// Counts and logs a request that has ended.
pub fn request(session: &Session, journey: &mut Journey) {
    journey.end_try();
    let took = journey.started.elapsed();
    let status = status(session, journey);
    let traced = trail::wanted(journey, status, took);
    count(session, journey, status, took, traced);
    plugins::log(journey, status, took);
    let kept = &journey.metrics().recent;
    kept.remember(|out| recent(out, session, journey));
    let log = &journey.snapshot.access_log;
    let logged = log.enabled() && journey.route().is_none_or(|route| route.logged);
    let tap = &journey.metrics().tap;
    let tapped = tap.is_open();
    if logged || tapped || traced {
        let journey = &*journey;
        let mut inputs = Vec::new();
        if tapped || (logged && log.is_json()) {
            if !journey.snapshot.inputs.is_empty() {
                inputs.reserve(INPUTS);
            }
            inputs::fields(&mut inputs, session.req_header(), journey);
            for (field, value) in &journey.hooks.logged {
                string_field(&mut inputs, field, value);
            }
        }
        let asked = Asked {
            inputs: &inputs,
            agents: tapped || traced || log.tells_agents(),
        };
        gathered(session, journey, (status, took), &asked, |exchange| {
            if logged {
                log.tell(exchange);
            }
            if tapped {
                tap.show(exchange, log.redact());
            }
            if traced {
                trail::tell(session, journey, exchange);
            }
        });
    }
}

/// The status the client got, or the one that stands for why it got none.
fn status(session: &Session, journey: &Journey) -> u16 {
    match (session.response_written(), &journey.refusal) {
        (Some(head), _) => head.status.as_u16(),
        (None, Some(refusal)) => refusal.status,
        (None, None) => 0,
    }
}

fn count(session: &Session, journey: &Journey, status: u16, took: Duration, traced: bool) {
    let metrics = journey.metrics();
    let route = journey.route();
    let series = journey.route_series();
    journey.settle_exchange(session.body_bytes_sent());
    let color = journey
        .requested_color()
        .and_then(|id| journey.snapshot.color(id));
    let key = Key {
        version: journey
            .version()
            .map_or(LabelId(0), |version| version.label),
        color: color.map_or(LabelId(0), |color| color.label),
        method: MethodLabel::new(&session.req_header().method),
        code: CodeLabel::new(status),
    };
    let counted = series.series(key);
    counted.duration.observe(took);
    if let Some(context) = journey.trail.context.filter(|_| traced) {
        counted.duration.traced(context.trace, took);
    }
    if let Some(refusal) = &journey.refusal {
        series.refusals.add(refusal.reason);
    }
    if let Some(grpc) = journey.attempt.grpc {
        counted.said_grpc(grpc);
    }
    let watched = route.map_or(&[][..], |route| &route.watched);
    if let Some(decision) = journey.decision.filter(|_| !watched.is_empty()) {
        let ended = Ended {
            decision,
            version: journey.attempt.target.map(|(_, version)| version),
            status,
            grpc: journey.attempt.grpc,
            refused: journey.refusal.as_ref().map(|refusal| refusal.reason),
            took: (!journey.endless).then_some(took),
        };
        for watched in watched {
            watched.observe(&ended);
        }
    }
    metrics
        .overhead
        .observe(took.saturating_sub(journey.attempt.upstream_time));
}

/// The status of a call of gRPC as its client was told it: in a head (of trailers alone, or of a
/// refusal), else in trailers.
fn grpc_status(session: &Session, journey: &Journey) -> Option<u8> {
    let head = session.response_written();
    let told = head.and_then(|head| grpc::status(&head.headers));
    told.or(journey.attempt.grpc)
}

/// Method, host and path in normal form.
fn asked(out: &mut Vec<u8>, head: &RequestHeader, journey: &Journey) {
    string_field(out, "method", head.method.as_str());
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let field = || head.headers.get(header::HOST)?.to_str().ok();
    string_field(out, "host", authority.or_else(field).unwrap_or(""));
    string_field(out, "path", admit::path(head, journey));
}

/// A request as its decision saw it.
fn recent(out: &mut Vec<u8>, session: &Session, journey: &Journey) {
    use std::io::Write;
    let head = session.req_header();
    asked(out, head, journey);
    out.extend_from_slice(b",\"client\":\"");
    let _ = write!(out, "{}\"", journey.client.ip);
    if let Some(trace) = trail::trace_id(&head.headers, journey) {
        string_field(out, "trace_id", trace.as_str());
    }
    inputs::fields(out, head, journey);
    out.push(b'}');
}

/// What only some want to hear of.
struct Asked<'a> {
    inputs: &'a [u8],
    /// User agent and referer.
    agents: bool,
}

/// Hands over the facts of an exchange, borrowed for as long as `tell` takes.
fn gathered(
    session: &Session,
    journey: &Journey,
    (status, took): (u16, Duration),
    asked: &Asked,
    tell: impl FnOnce(&Exchange),
) {
    let head = session.req_header();
    let header = |name: &HeaderName| text(head.headers.get(name));
    let agent = |name: &HeaderName| if asked.agents { header(name) } else { "" };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let name = |id| journey.snapshot.color(id).map(|color| color.name.as_ref());
    let colors = journey.decision.as_ref().map(|decision| &decision.color);
    let version = journey.service().zip(journey.version());
    let route = journey.route();
    let refusal = journey.refusal.as_ref();
    let trace = trail::trace_id(&head.headers, journey);
    tell(&Exchange {
        method: head.method.as_str(),
        host: authority.unwrap_or_else(|| header(&header::HOST)),
        path: admit::path(head, journey),
        query: head.uri.query().unwrap_or_default(),
        protocol: protocol(head.version),
        scheme: Facts::of(session.digest()).map_or("http", Facts::scheme),
        user_agent: agent(&header::USER_AGENT),
        referer: agent(&header::REFERER),
        listener: &journey.client.listener,
        client_cert: journey
            .certificate
            .as_ref()
            .map_or("", |certificate| certificate.name()),
        generation: journey.snapshot.generation,
        route: route.map_or("", |route| &route.name),
        claims: journey
            .identity
            .as_ref()
            .map_or(&[], |identity| &identity.logged),
        service: version.map_or("", |(service, _)| &service.name),
        version: version.map_or("", |(_, version)| &version.name),
        endpoint: journey.endpoint().map_or("", |endpoint| &endpoint.address),
        tries: journey.attempt.number,
        grpc_status: grpc_status(session, journey),
        color_requested: colors.and_then(|c| name(c.requested?)).unwrap_or(""),
        color_served: colors.and_then(|c| name(c.served?)).unwrap_or(""),
        color_reason: colors.and_then(|c| c.reason).map_or("", |r| r.name()),
        reason: refusal.map_or("", |refusal| refusal.reason.name()),
        detail: refusal.map_or("", Refusal::told),
        request_id: text(journey.request_id.as_ref()),
        trace_id: trace.as_ref().map_or("", Hex::as_str),
        bytes_in: journey.body_bytes,
        bytes_out: session.body_bytes_sent() as u64,
        duration: took,
        upstream: journey.attempt.upstream_time,
        inputs: asked.inputs,
        ..Exchange::new(journey.client.ip, status)
    });
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Tells of a refusal that was made before there was a request.
pub fn without_request(server: &Server, facts: &Facts, refusal: &Refusal, id: &HeaderValue) {
    let snapshot = server.current.load();
    let exchange = Exchange {
        listener: &facts.listener,
        generation: snapshot.generation,
        reason: refusal.reason.name(),
        detail: refusal.detail,
        request_id: text(Some(id)),
        ..Exchange::new(facts.ip(), refusal.status)
    };
    if snapshot.access_log.enabled() {
        snapshot.access_log.tell(&exchange);
    }
    if server.metrics.tap.is_open() {
        let redact = snapshot.access_log.redact();
        server.metrics.tap.show(&exchange, redact);
    }
}

//! The end of an exchange: metrics by handles that the snapshot prepared, and the facts for the
//! access log, the tap and the trace.

use super::admission;
use super::context::RequestContext;
use super::decision_inputs as inputs;
use super::shared::Shared;
use super::trace;
use crate::edge::http1::refuse::Refusals;
use crate::edge::http1::request_head::Refused;
use crate::edge::rejection::Rejection;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::snapshot as watched;
use crate::telemetry::exchange::Exchange;
use crate::telemetry::json::string_field;
use crate::telemetry::metrics::labels::{CodeLabel, LabelId, MethodLabel};
use crate::telemetry::metrics::series::Key;
use crate::telemetry::trace::context::Hex;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Version, header};
use std::time::Duration;

/// Room for what a decision has looked at, in bytes; more is found where it is needed.
const INPUTS: usize = 256;

/// Counts and logs a request that has ended.
pub fn finish(head: &Parts, connection: &ConnectionInfo, context: &mut RequestContext) {
    if context.rejection.is_none() {
        context.mirroring.ended(context.attempt.grpc);
    }
    context.end_try();
    context.settle_exchange();
    let took = context.started.elapsed();
    let status = status(context);
    let traced = trace::wanted(context, status, took);
    count(head, context, status, took, traced);
    tell_plugins(context, status, took);
    let kept = &context.metrics().recent;
    kept.remember(|out| recent(out, head, context));
    let log = &context.snapshot.access_log;
    let logged = log.enabled() && context.route().is_none_or(|route| route.logged);
    let tap = &context.metrics().tap;
    let tapped = tap.is_open();
    if logged || tapped || traced {
        let context = &*context;
        let mut inputs = Vec::new();
        if tapped || (logged && log.is_json()) {
            if !context.snapshot.inputs.is_empty() {
                inputs.reserve(INPUTS);
            }
            inputs::fields(&mut inputs, head, context);
            for (field, value) in &context.hooks.logged {
                string_field(&mut inputs, field, value);
            }
        }
        let asked = Asked {
            inputs: &inputs,
            agents: tapped || traced || log.tells_agents(),
        };
        let ended = Ended { status, took };
        gathered(head, connection, context, &ended, &asked, |exchange| {
            if logged {
                log.tell(exchange);
            }
            if tapped {
                tap.show(exchange, log.redact());
            }
            if traced {
                trace::tell(head, context, exchange);
            }
        });
    }
}

/// How an exchange has ended.
struct Ended {
    status: u16,
    took: Duration,
}

/// The status that the client got, or the one that stands for why it got none.
fn status(context: &RequestContext) -> u16 {
    match (context.answer, &context.rejection) {
        (Some(answer), _) => answer.status.as_u16(),
        (None, Some(rejection)) => rejection.status,
        (None, None) => 0,
    }
}

fn tell_plugins(context: &mut RequestContext, status: u16, took: Duration) {
    if context.hooks.is_empty() {
        return;
    }
    let route = context.decision.and_then(|decision| decision.route);
    if let Some(route) = route.and_then(|id| context.snapshot.route(id)) {
        context.hooks.log(route, status, took);
    }
}

fn count(head: &Parts, context: &RequestContext, status: u16, took: Duration, traced: bool) {
    let metrics = context.metrics();
    let route = context.route();
    let series = context.route_series();
    let color = context
        .requested_color()
        .and_then(|id| context.snapshot.color(id));
    let key = Key {
        version: context
            .version()
            .map_or(LabelId(0), |version| version.label),
        color: color.map_or(LabelId(0), |color| color.label),
        method: MethodLabel::new(&head.method),
        code: CodeLabel::new(status),
    };
    let counted = series.series(key);
    counted.duration.observe(took);
    if let Some(context) = context.trace.context.filter(|_| traced) {
        counted.duration.traced(context.trace, took);
    }
    if let Some(rejection) = &context.rejection {
        series.refusals.add(rejection.reason);
    }
    if let Some(grpc) = context.attempt.grpc {
        counted.said_grpc(grpc);
    }
    let watched = route.map_or(&[][..], |route| &route.watched);
    if let Some(decision) = context.decision.filter(|_| !watched.is_empty()) {
        let ended = watched::Ended {
            decision,
            version: context.attempt.target.map(|(_, version)| version),
            status,
            grpc: context.attempt.grpc,
            refused: context.rejection.as_ref().map(|rejection| rejection.reason),
            took: (!context.endless).then_some(took),
        };
        for watched in watched {
            watched.observe(&ended);
        }
    }
    metrics
        .overhead
        .observe(took.saturating_sub(context.attempt.upstream_time));
}

/// The status of a call of gRPC as its client was told it: in a head (of trailers alone, or of a
/// rejection), else in trailers.
fn grpc_status(context: &RequestContext) -> Option<u8> {
    let told = context.answer.and_then(|answer| answer.grpc);
    told.or(context.attempt.grpc)
}

/// Method, host and path in normal form.
fn asked(out: &mut Vec<u8>, head: &Parts, context: &RequestContext) {
    string_field(out, "method", head.method.as_str());
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let field = || head.headers.get(header::HOST)?.to_str().ok();
    string_field(out, "host", authority.or_else(field).unwrap_or(""));
    string_field(out, "path", admission::path(head, context));
}

/// A request as its decision saw it.
fn recent(out: &mut Vec<u8>, head: &Parts, context: &RequestContext) {
    use std::io::Write;
    asked(out, head, context);
    out.extend_from_slice(b",\"client\":\"");
    let _ = write!(out, "{}\"", context.client.ip);
    if let Some(trace) = trace::trace_id(&head.headers, context) {
        string_field(out, "trace_id", trace.as_str());
    }
    inputs::fields(out, head, context);
    out.push(b'}');
}

/// Facts that only some readers want.
struct Asked<'a> {
    inputs: &'a [u8],
    /// User agent and referer.
    agents: bool,
}

/// Hands over the facts of an exchange, borrowed for as long as `tell` takes.
fn gathered(
    head: &Parts,
    connection: &ConnectionInfo,
    context: &RequestContext,
    ended: &Ended,
    asked: &Asked,
    tell: impl FnOnce(&Exchange),
) {
    let header = |name: &HeaderName| text(head.headers.get(name));
    let agent = |name: &HeaderName| if asked.agents { header(name) } else { "" };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let name = |id| context.snapshot.color(id).map(|color| color.name.as_ref());
    let colors = context.decision.as_ref().map(|decision| &decision.color);
    let version = context.service().zip(context.version());
    let route = context.route();
    let rejection = context.rejection.as_ref();
    let trace = trace::trace_id(&head.headers, context);
    tell(&Exchange {
        method: head.method.as_str(),
        host: authority.unwrap_or_else(|| header(&header::HOST)),
        path: admission::path(head, context),
        query: head.uri.query().unwrap_or_default(),
        protocol: protocol(head.version),
        scheme: connection.scheme(),
        user_agent: agent(&header::USER_AGENT),
        referer: agent(&header::REFERER),
        listener: &context.client.listener,
        client_cert: context
            .certificate
            .as_ref()
            .map_or("", |certificate| certificate.name()),
        generation: context.snapshot.generation,
        route: route.map_or("", |route| &route.name),
        claims: context
            .identity
            .as_ref()
            .map_or(&[], |identity| &identity.logged),
        service: version.map_or("", |(service, _)| &service.name),
        version: version.map_or("", |(_, version)| &version.name),
        endpoint: context.endpoint().map_or("", |endpoint| &*endpoint.address),
        tries: context.attempt.number,
        grpc_status: grpc_status(context),
        color_requested: colors.and_then(|c| name(c.requested?)).unwrap_or(""),
        color_served: colors.and_then(|c| name(c.served?)).unwrap_or(""),
        color_reason: colors.and_then(|c| c.reason).map_or("", |r| r.name()),
        reason: rejection.map_or("", |rejection| rejection.reason.name()),
        detail: rejection.map_or("", Rejection::told),
        request_id: text(context.request_id.as_ref()),
        trace_id: trace.as_ref().map_or("", Hex::as_str),
        bytes_in: context.body_counts.request.total,
        bytes_out: context.body_counts.response.total,
        duration: ended.took,
        upstream: context.attempt.upstream_time,
        inputs: asked.inputs,
        ..Exchange::new(context.client.ip, ended.status)
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

impl Refusals for Shared {
    /// Counts and logs a rejection that was made before there was a request.
    fn record(&self, connection: &ConnectionInfo, refused: &Refused, id: &HeaderValue) {
        self.metrics.unrouted.refusals.add(refused.reason);
        let snapshot = self.current.load();
        let exchange = Exchange {
            listener: &connection.listener,
            generation: snapshot.generation,
            reason: refused.reason.name(),
            detail: refused.detail,
            request_id: text(Some(id)),
            ..Exchange::new(connection.ip(), refused.status)
        };
        if snapshot.access_log.enabled() {
            snapshot.access_log.tell(&exchange);
        }
        if self.metrics.tap.is_open() {
            let redact = snapshot.access_log.redact();
            self.metrics.tap.show(&exchange, redact);
        }
    }
}

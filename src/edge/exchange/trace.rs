//! The trace of a request: ids from the start, a few facts of each try, and spans at the end where
//! the request is sampled. Nothing here allocates before that.

use super::context::RequestContext;
use super::tries::{Ended, Step};
use crate::config::traces::Propagator;
use crate::routing::FallbackReason;
use crate::snapshot::grpc_fails;
use crate::telemetry::exchange::Exchange;
use crate::telemetry::trace::context::{self as ids, Hex};
use crate::telemetry::trace::{
    Context as TraceContext, End, Id, Traced, Tracer, Try, spans, state,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::time::Duration;

/// Takes up the trace of a request.
pub fn begin(headers: &HeaderMap, context: &mut RequestContext) {
    if let Some(tracer) = &context.snapshot.tracer {
        context.trace.context = Some(tracer.begin(headers, context.client.trusted));
    }
}

/// Who decides about traces, and the one of this request.
fn traced(context: &RequestContext) -> Option<(&Tracer, &TraceContext)> {
    let tracer = context.snapshot.tracer.as_deref()?;
    Some((tracer, context.trace.context.as_ref()?))
}

/// Whether the request was drawn; what upstreams are told.
fn sampled(tracer: &Tracer, own: &TraceContext, context: &RequestContext) -> bool {
    let route = context.route_id().map(|route| route.0);
    own.sampled(tracer.share(route))
}

/// The trace that log lines and refusals name: the request's own, else what its client says.
pub fn trace_id(headers: &HeaderMap, context: &RequestContext) -> Option<Hex<32>> {
    let own = context.trace.context.map(|own| own.trace);
    let id = own.or_else(|| ids::w3c(headers)?.ids.map(|(trace, _)| trace));
    id.map(Id::hex)
}

/// Tells the upstream which trace it is part of, in every way that is configured.
pub fn outgoing(headers: &mut HeaderMap, context: &RequestContext) {
    let Some((tracer, own)) = traced(context) else {
        return;
    };
    let sampled = sampled(tracer, own, context);
    let span = context.trace.steps.last();
    let span = span.map_or(own.span, |step| step.span);
    for by in &tracer.setup.propagate {
        match by {
            Propagator::Tracecontext => {
                // Without its traceparent it belongs to nothing.
                let stays = own.arrived && state::is_sound(headers);
                if !stays {
                    headers.remove(&state::TRACESTATE);
                }
                let value = ids::traceparent(own.trace, span, sampled);
                headers.insert(&ids::TRACEPARENT, value);
            }
            Propagator::Baggage => {}
            Propagator::B3 => {
                let value = ids::b3_field(own.trace, span, sampled);
                headers.insert(&ids::B3, value);
            }
            Propagator::B3Multi => {
                let decision = HeaderValue::from_static(if sampled { "1" } else { "0" });
                let fields = [
                    (&ids::B3_TRACE, ids::field(own.trace.hex())),
                    (&ids::B3_SPAN, ids::field(span.hex())),
                    (&ids::B3_PARENT, ids::field(own.span.hex())),
                    (&ids::B3_SAMPLED, decision),
                ];
                for (name, value) in fields {
                    headers.insert(name, value);
                }
                headers.remove(&ids::B3_FLAGS);
            }
        }
    }
}

/// Whether the client got a failure. gRPC says so elsewhere than in the status.
fn failed(context: &RequestContext, status: u16) -> bool {
    let rejected = context.rejection.as_ref();
    let last = context.trace.steps.last();
    let grpc = last.and_then(|step| grpc(step.ended));
    status >= 500
        || rejected.is_some_and(|rejection| rejection.status >= 500)
        || grpc.is_some_and(grpc_fails)
}

fn grpc(ended: Option<Ended>) -> Option<u8> {
    match ended {
        Some(Ended::Answered { grpc, .. }) => grpc,
        Some(Ended::Broken(_) | Ended::TimedOut) | None => None,
    }
}

/// Whether the request leaves spans: it was drawn, or it is worth it.
pub fn wanted(context: &RequestContext, status: u16, took: Duration) -> bool {
    let Some((tracer, own)) = traced(context) else {
        return false;
    };
    let color = context.decision.and_then(|decision| decision.color.reason);
    let end = End {
        failed: failed(context, status),
        took: (!context.endless).then_some(took),
        fell_back: matches!(
            color,
            Some(FallbackReason::Unhealthy | FallbackReason::Breaker)
        ),
    };
    sampled(tracer, own, context) || tracer.keeps(end)
}

/// Hands the spans of a request over, and makes its tries examples of how long they take.
pub fn tell(head: &Parts, context: &RequestContext, exchange: &Exchange) {
    let Some((tracer, own)) = traced(context) else {
        return;
    };
    let steps = context.trace.steps.iter();
    let tries = steps.map(|step| told(step, context, own));
    let tries: SmallVec<[Try; 2]> = tries.collect();
    let members = match own.arrived {
        true => state::members(&head.headers),
        false => Cow::Borrowed(""),
    };
    let traced = Traced {
        context: *own,
        sampled: sampled(tracer, own, context),
        failed: failed(context, exchange.status),
        state: &members,
        upstream_path: &context.upstream_path(exchange.path),
        tries: &tries,
        value_max: tracer.setup.value_max,
    };
    let write = |out: &mut Vec<u8>| spans(out, exchange, &traced);
    tracer.exporter.put(1 + tries.len(), write);
}

/// A try with names in place of numbers.
fn told<'c>(step: &'c Step, context: &'c RequestContext, own: &TraceContext) -> Try<'c> {
    let snapshot = &context.snapshot;
    let service = step
        .target
        .and_then(|(service, _)| snapshot.service(service));
    let version = step
        .target
        .and_then(|(service, version)| snapshot.version(service, version));
    let began = step.began.saturating_duration_since(context.started);
    let took = step.took.unwrap_or_else(|| step.began.elapsed());
    if let Some(version) = version {
        version.series.traced(own.trace, took);
    }
    Try {
        span: step.span,
        began,
        took,
        service: service.map_or("", |service| &service.name),
        version: version.map_or("", |version| &version.name),
        endpoint: step.endpoint.as_ref().map_or("", |known| &*known.address),
        scheme: match version.is_some_and(|version| version.tls.is_some()) {
            true => "https",
            false => "http",
        },
        status: step.status,
        grpc: grpc(step.ended),
        trouble: match step.ended {
            Some(Ended::Broken(_)) => "connection",
            Some(Ended::TimedOut) => "timeout",
            Some(Ended::Answered { .. }) | None => "",
        },
    }
}

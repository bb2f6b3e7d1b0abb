//! What a request leaves for its trace: ids from the start, a few facts of each try, and spans at the
//! end, if anybody wants them. Nothing here allocates before that.

use super::context::{Attempt, Ended, Journey};
use super::forward;
use crate::config::traces::Propagator;
use crate::routing::{FallbackReason, ServiceId, VersionId};
use crate::telemetry::exchange::Exchange;
use crate::telemetry::trace::context::{self, Hex};
use crate::telemetry::trace::{Context, End, Id, SpanId, Traced, Tracer, Try, spans, state};
use http::{HeaderMap, HeaderValue};
use pingora::proxy::Session;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The ids of a request, and its tries so far.
#[derive(Debug, Default)]
pub struct Trail {
    /// `None`: this generation traces nothing, or the request has not been looked at.
    pub context: Option<Context>,
    steps: SmallVec<[Step; 2]>,
}

/// One try.
#[derive(Debug)]
struct Step {
    span: SpanId,
    began: Instant,
    took: Option<Duration>,
    target: Option<(ServiceId, VersionId)>,
    endpoint: Option<usize>,
    status: u16,
    ended: Option<Ended>,
}

impl Trail {
    /// Notes a try that begins.
    pub fn tries(&mut self, began: Instant, attempt: &Attempt) {
        if self.context.is_some() {
            self.steps.push(Step {
                span: SpanId::fresh(),
                began,
                took: None,
                target: attempt.target,
                endpoint: attempt.endpoint,
                status: 0,
                ended: None,
            });
        }
    }

    /// Notes the head of its answer.
    pub fn answered(&mut self, status: u16, ended: Option<Ended>) {
        if let Some(step) = self.steps.last_mut() {
            step.status = status;
            step.ended = ended;
        }
    }

    /// Notes its end; what is known of it by now counts more than what the head said.
    pub fn ended(&mut self, took: Duration, ended: Option<Ended>) {
        if let Some(step) = self.steps.last_mut() {
            step.took = Some(took);
            step.ended = ended.or(step.ended);
        }
    }
}

/// Takes up the trace of a request.
pub fn begin(headers: &HeaderMap, journey: &mut Journey) {
    if let Some(tracer) = &journey.snapshot.tracer {
        journey.trail.context = Some(tracer.begin(headers, journey.client.trusted));
    }
}

/// Who decides about traces, and the one of this request.
fn traced(journey: &Journey) -> Option<(&Tracer, &Context)> {
    let tracer = journey.snapshot.tracer.as_deref()?;
    Some((tracer, journey.trail.context.as_ref()?))
}

/// Whether the request was drawn; what upstreams are told.
fn sampled(tracer: &Tracer, context: &Context, journey: &Journey) -> bool {
    let route = journey.route_id().map(|route| route.0);
    context.sampled(tracer.share(route))
}

/// The trace that log lines and refusals name: the request's own, else what its client says.
pub fn trace_id(headers: &HeaderMap, journey: &Journey) -> Option<Hex<32>> {
    let own = journey.trail.context.map(|context| context.trace);
    let id = own.or_else(|| context::w3c(headers)?.ids.map(|(trace, _)| trace));
    id.map(Id::hex)
}

/// Tells the upstream which trace it is part of, in every way that is configured.
pub fn outgoing(headers: &mut HeaderMap, journey: &Journey) {
    let Some((tracer, context)) = traced(journey) else {
        return;
    };
    let sampled = sampled(tracer, context, journey);
    let span = journey.trail.steps.last();
    let span = span.map_or(context.span, |step| step.span);
    for by in &tracer.setup.propagate {
        match by {
            Propagator::Tracecontext => {
                // Without its traceparent it belongs to nothing.
                let stays = context.arrived && state::is_sound(headers);
                if !stays {
                    headers.remove(&state::TRACESTATE);
                }
                let value = context::traceparent(context.trace, span, sampled);
                headers.insert(&context::TRACEPARENT, value);
            }
            Propagator::Baggage => {}
            Propagator::B3 => {
                let value = context::b3_field(context.trace, span, sampled);
                headers.insert(&context::B3, value);
            }
            Propagator::B3Multi => {
                let decision = HeaderValue::from_static(if sampled { "1" } else { "0" });
                let fields = [
                    (&context::B3_TRACE, context::field(context.trace.hex())),
                    (&context::B3_SPAN, context::field(span.hex())),
                    (&context::B3_PARENT, context::field(context.span.hex())),
                    (&context::B3_SAMPLED, decision),
                ];
                for (name, value) in fields {
                    headers.insert(name, value);
                }
                headers.remove(&context::B3_FLAGS);
            }
        }
    }
}

/// Statuses of gRPC that are the server's fault, by OpenTelemetry's conventions.
const GRPC_FAILURES: [u8; 6] = [2, 4, 12, 13, 14, 15];

/// Whether the client got a failure. gRPC says so elsewhere than in the status.
fn failed(journey: &Journey, status: u16) -> bool {
    let refused = journey.refusal.as_ref();
    let last = journey.trail.steps.last();
    let grpc = last.and_then(|step| grpc(step.ended));
    status >= 500
        || refused.is_some_and(|refusal| refusal.status >= 500)
        || grpc.is_some_and(|grpc| GRPC_FAILURES.contains(&grpc))
}

fn grpc(ended: Option<Ended>) -> Option<u8> {
    match ended {
        Some(Ended::Answered { grpc, .. }) => grpc,
        Some(Ended::Broken(_) | Ended::TimedOut) | None => None,
    }
}

/// Whether the request leaves spans: it was drawn, or it is worth it.
pub fn wanted(journey: &Journey, status: u16, took: Duration) -> bool {
    let Some((tracer, context)) = traced(journey) else {
        return false;
    };
    let color = journey.decision.and_then(|decision| decision.color.reason);
    let end = End {
        failed: failed(journey, status),
        took: (!journey.endless).then_some(took),
        fell_back: matches!(
            color,
            Some(FallbackReason::Unhealthy | FallbackReason::Breaker)
        ),
    };
    sampled(tracer, context, journey) || tracer.keeps(end)
}

/// Hands the spans of a request over, and makes its tries examples of how long they take.
pub fn tell(session: &Session, journey: &Journey, exchange: &Exchange) {
    let Some((tracer, context)) = traced(journey) else {
        return;
    };
    let steps = journey.trail.steps.iter();
    let tries = steps.map(|step| told(step, journey, context));
    let tries: SmallVec<[Try; 2]> = tries.collect();
    let members = match context.arrived {
        true => state::members(&session.req_header().headers),
        false => Cow::Borrowed(""),
    };
    let traced = Traced {
        context: *context,
        sampled: sampled(tracer, context, journey),
        failed: failed(journey, exchange.status),
        state: &members,
        upstream_path: &forward::rewritten(exchange.path, journey),
        tries: &tries,
        value_max: tracer.setup.value_max,
    };
    let write = |out: &mut Vec<u8>| spans(out, exchange, &traced);
    tracer.exporter.put(1 + tries.len(), write);
}

/// A try with names in place of numbers.
fn told<'j>(step: &Step, journey: &'j Journey, context: &Context) -> Try<'j> {
    let snapshot = &journey.snapshot;
    let service = step
        .target
        .and_then(|(service, _)| snapshot.service(service));
    let version = step
        .target
        .and_then(|(service, version)| snapshot.version(service, version));
    let endpoint = version
        .zip(step.endpoint)
        .and_then(|(version, index)| version.endpoints.get(index));
    let began = step.began.saturating_duration_since(journey.started);
    let took = step.took.unwrap_or_else(|| step.began.elapsed());
    if let Some(version) = version {
        version.series.traced(context.trace, took);
    }
    Try {
        span: step.span,
        began,
        took,
        service: service.map_or("", |service| &service.name),
        version: version.map_or("", |version| &version.name),
        endpoint: endpoint.map_or("", |endpoint| &endpoint.address),
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

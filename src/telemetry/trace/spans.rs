//! The spans of one request, by the semantic conventions for HTTP: one of the server's kind for the
//! whole, one of the client's kind for each try.

use super::{Context, SpanId};
use crate::telemetry::exchange::Exchange;
use crate::telemetry::series::METHODS;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::time::Duration;

/// Longest `tracestate` that is told on.
const STATE_MAX: usize = 512;

/// One try at an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Try<'t> {
    pub span: SpanId,
    /// How long after the request.
    pub began: Duration,
    pub took: Duration,
    pub service: &'t str,
    pub version: &'t str,
    pub endpoint: &'t str,
    pub scheme: &'static str,
    /// 0: no head of an answer came.
    pub status: u16,
    /// What gRPC says in place of it.
    pub grpc: Option<u8>,
    /// What went wrong, if that is known.
    pub trouble: &'static str,
}

/// What spans need besides the exchange.
#[derive(Debug, Clone, Copy)]
pub struct Traced<'t> {
    pub context: Context,
    /// What the head decided, which upstreams have been told.
    pub sampled: bool,
    pub scheme: &'static str,
    /// The client got a failure, by HTTP or by gRPC.
    pub failed: bool,
    pub state: &'t str,
    pub tries: &'t [Try<'t>],
    /// Longest value of an attribute, in bytes.
    pub value_max: usize,
}

/// All spans of a request, its own first.
pub fn spans(exchange: &Exchange, traced: &Traced) -> impl Iterator<Item = Span> {
    let end = u64::try_from(exchange.time.as_nanosecond()).unwrap_or(0);
    let start = end.saturating_sub(nanos(exchange.duration));
    let tries = traced.tries.iter().enumerate();
    let tries = tries.map(move |(index, one)| client(exchange, traced, one, index, start));
    std::iter::once(server(exchange, traced, (start, end))).chain(tries)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// `HTTP` stands for methods that nobody registered (semantic conventions, name of a span).
fn method(exchange: &Exchange) -> (&'static str, &'static str) {
    let known = METHODS
        .iter()
        .skip(1)
        .find(|name| **name == exchange.method);
    known.map_or(("_OTHER", "HTTP"), |known| (known, known))
}

fn server(exchange: &Exchange, traced: &Traced, (start, end): (u64, u64)) -> Span {
    let mut told = Attributes::new(traced.value_max);
    let (known, name) = method(exchange);
    told.text("http.request.method", known);
    if known != exchange.method {
        told.text("http.request.method_original", exchange.method);
    }
    told.text("url.scheme", traced.scheme);
    told.text("url.path", exchange.path);
    told.text("http.route", exchange.route);
    if exchange.status != 0 {
        told.number("http.response.status_code", exchange.status.into());
    }
    let grpc = traced.tries.last().and_then(|last| last.grpc);
    if let Some(grpc) = grpc {
        told.number("rpc.grpc.status_code", grpc.into());
    }
    told.place("server.address", "server.port", exchange.host);
    told.text("client.address", &exchange.client.to_string());
    let version = exchange.protocol.strip_prefix("HTTP/").unwrap_or("");
    told.text("network.protocol.name", "http");
    told.text("network.protocol.version", version.trim_end_matches(".0"));
    told.text("user_agent.original", exchange.user_agent);
    told.number("http.request.body.size", exchange.bytes_in);
    told.number("http.response.body.size", exchange.bytes_out);
    told.text("tyrian.route", exchange.route);
    told.text("tyrian.service", exchange.service);
    told.text("tyrian.version", exchange.version);
    told.text("tyrian.color.requested", exchange.color_requested);
    told.text("tyrian.color.served", exchange.color_served);
    told.text("tyrian.color.reason", exchange.color_reason);
    told.text("tyrian.reason", exchange.reason);
    told.text("tyrian.detail", exchange.detail);
    told.text("tyrian.request_id", exchange.request_id);
    told.text("tyrian.listener", exchange.listener);
    told.number("tyrian.generation", exchange.generation);
    if !exchange.service.is_empty() {
        told.number("tyrian.tries", exchange.tries.into());
    }
    if traced.failed {
        told.text(
            "error.type",
            &trouble(exchange.reason, exchange.status, grpc),
        );
    }
    let context = &traced.context;
    Span {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: context.span.to_bytes().to_vec(),
        trace_state: cut(traced.state, STATE_MAX).to_owned(),
        parent_span_id: context
            .parent
            .map_or_else(Vec::new, |id| id.to_bytes().to_vec()),
        flags: flags(traced.sampled, context.parent.is_some()),
        name: match exchange.route {
            "" => name.to_owned(),
            route => format!("{name} {route}"),
        },
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: told.all,
        status: traced.failed.then(|| status(exchange.reason)),
        ..Span::default()
    }
}

fn client(exchange: &Exchange, traced: &Traced, one: &Try, index: usize, start: u64) -> Span {
    let mut told = Attributes::new(traced.value_max);
    let (known, name) = method(exchange);
    told.text("http.request.method", known);
    if known != exchange.method {
        told.text("http.request.method_original", exchange.method);
    }
    told.place("server.address", "server.port", one.endpoint);
    // A rewrite may have changed the path; what was asked for finds the request again.
    let url = format!("{}://{}{}", one.scheme, one.endpoint, exchange.path);
    told.text("url.full", &url);
    if one.status != 0 {
        told.number("http.response.status_code", one.status.into());
    }
    if let Some(grpc) = one.grpc {
        told.number("rpc.grpc.status_code", grpc.into());
    }
    if index > 0 {
        told.number("http.request.resend_count", index as u64);
    }
    told.text("tyrian.service", one.service);
    told.text("tyrian.version", one.version);
    told.text("tyrian.endpoint", one.endpoint);
    told.text("tyrian.color.served", exchange.color_served);
    let refused = one.status >= 400 || one.grpc.is_some_and(|grpc| grpc != 0);
    let failed = refused || one.status == 0 || !one.trouble.is_empty();
    if failed {
        told.text("error.type", &trouble(one.trouble, one.status, one.grpc));
    }
    let context = &traced.context;
    let begin = start.saturating_add(nanos(one.began));
    Span {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: one.span.to_bytes().to_vec(),
        trace_state: cut(traced.state, STATE_MAX).to_owned(),
        parent_span_id: context.span.to_bytes().to_vec(),
        flags: flags(traced.sampled, false),
        name: name.to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: begin.saturating_add(nanos(one.took)),
        attributes: told.all,
        status: failed.then(|| status(one.trouble)),
        ..Span::default()
    }
}

/// The W3C flags, and whether the parent is somebody else's.
fn flags(sampled: bool, remote: bool) -> u32 {
    const KNOWN: u32 = 0x100;
    const REMOTE: u32 = 0x200;
    u32::from(sampled) | KNOWN | if remote { REMOTE } else { 0 }
}

/// What `error.type` says: the word for it, else the status, gRPC's before that of HTTP.
fn trouble(word: &str, status: u16, grpc: Option<u8>) -> String {
    match (word, status, grpc) {
        ("", 0, _) => "cancelled".to_owned(),
        ("", _, Some(grpc)) if grpc != 0 => grpc.to_string(),
        ("", status, _) => status.to_string(),
        (word, ..) => word.to_owned(),
    }
}

fn status(why: &str) -> Status {
    Status {
        message: why.to_owned(),
        code: StatusCode::Error.into(),
    }
}

/// Attributes as they grow; what is empty is left out.
struct Attributes {
    all: Vec<KeyValue>,
    value_max: usize,
}

impl Attributes {
    fn new(value_max: usize) -> Self {
        Self {
            all: Vec::with_capacity(32),
            value_max,
        }
    }

    fn add(&mut self, key: &str, value: Value) {
        self.all.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            let text = cut(text, self.value_max).to_owned();
            self.add(key, Value::StringValue(text));
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.add(key, Value::IntValue(number));
    }

    /// `host:port`, as two attributes.
    fn place(&mut self, host_key: &str, port_key: &str, place: &str) {
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => (host, port.parse().ok()),
            _ => (place, None),
        };
        self.text(host_key, host.trim_start_matches('[').trim_end_matches(']'));
        if let Some(port) = port {
            self.number(port_key, port);
        }
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

//! The spans of one request, by the semantic conventions for HTTP: one of the server's kind for the
//! whole, one of the client's kind for each try. They are written as they will be sent.

use super::{Context, SpanId};
use crate::telemetry::exchange::Exchange;
use crate::telemetry::metrics::labels::METHODS;
use crate::telemetry::otel::exporter::SPANS;
use crate::telemetry::otel::protobuf::{bytes, fixed32, fixed64, head, message, number};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::encoding::encoded_len_varint;
use std::borrow::Cow;
use std::time::Duration;

/// Longest `tracestate` that spans tell.
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
    /// The client got a failure, by HTTP or by gRPC.
    pub failed: bool,
    /// As it came, sound.
    pub state: &'t str,
    /// What upstreams were asked for, after a rewrite.
    pub upstream_path: &'t str,
    pub tries: &'t [Try<'t>],
    /// Longest value of an attribute, in bytes.
    pub value_max: usize,
}

/// Fields of `Span` (opentelemetry/proto/trace/v1/trace.proto).
mod field {
    pub const TRACE_ID: u32 = 1;
    pub const SPAN_ID: u32 = 2;
    pub const TRACE_STATE: u32 = 3;
    pub const PARENT: u32 = 4;
    pub const NAME: u32 = 5;
    pub const KIND: u32 = 6;
    pub const START: u32 = 7;
    pub const END: u32 = 8;
    pub const ATTRIBUTES: u32 = 9;
    pub const STATUS: u32 = 15;
    pub const FLAGS: u32 = 16;
}

/// Appends all spans of a request, its own first.
pub fn spans(out: &mut Vec<u8>, exchange: &Exchange, traced: &Traced) {
    let end = u64::try_from(exchange.time.as_nanosecond()).unwrap_or(0);
    let start = end.saturating_sub(nanos(exchange.duration));
    message(out, SPANS, |out| {
        server(out, exchange, traced, (start, end));
    });
    for (index, one) in traced.tries.iter().enumerate() {
        message(out, SPANS, |out| {
            client(out, exchange, traced, one, index, start);
        });
    }
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

fn server(out: &mut Vec<u8>, exchange: &Exchange, traced: &Traced, (start, end): (u64, u64)) {
    let (known, name) = method(exchange);
    let context = &traced.context;
    begin(out, traced, context.span, SpanKind::Server, (start, end));
    if let Some(parent) = context.parent {
        bytes(out, field::PARENT, &parent.to_bytes());
    }
    let flags = flags(traced.sampled, context.parent.is_some());
    fixed32(out, field::FLAGS, flags);
    match exchange.route {
        "" => bytes(out, field::NAME, name.as_bytes()),
        route => {
            head(out, field::NAME, name.len() + 1 + route.len());
            for part in [name, " ", route] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    let mut told = Attributes {
        out,
        value_max: traced.value_max,
    };
    told.text("http.request.method", known);
    if known != exchange.method {
        told.text("http.request.method_original", exchange.method);
    }
    told.text("url.scheme", exchange.scheme);
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
    // By the conventions 2 and 3 have no minor version; 1 has.
    told.text(
        "network.protocol.version",
        match version {
            "2.0" => "2",
            version => version,
        },
    );
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
        let trouble = trouble(exchange.reason, exchange.status, grpc);
        told.text("error.type", &trouble);
        status(told.out, exchange.reason);
    }
}

fn client(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    traced: &Traced,
    one: &Try,
    index: usize,
    start: u64,
) {
    let (known, name) = method(exchange);
    let start = start.saturating_add(nanos(one.began));
    let end = start.saturating_add(nanos(one.took));
    begin(out, traced, one.span, SpanKind::Client, (start, end));
    bytes(out, field::PARENT, &traced.context.span.to_bytes());
    fixed32(out, field::FLAGS, flags(traced.sampled, false));
    bytes(out, field::NAME, name.as_bytes());
    let mut told = Attributes {
        out,
        value_max: traced.value_max,
    };
    told.text("http.request.method", known);
    if known != exchange.method {
        told.text("http.request.method_original", exchange.method);
    }
    told.place("server.address", "server.port", one.endpoint);
    told.texts(
        "url.full",
        &[one.scheme, "://", one.endpoint, traced.upstream_path],
    );
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
    if refused || one.status == 0 || !one.trouble.is_empty() {
        told.text("error.type", &trouble(one.trouble, one.status, one.grpc));
        status(told.out, one.trouble);
    }
}

/// What all spans have.
fn begin(
    out: &mut Vec<u8>,
    traced: &Traced,
    span: SpanId,
    kind: SpanKind,
    (start, end): (u64, u64),
) {
    bytes(out, field::TRACE_ID, &traced.context.trace.to_bytes());
    bytes(out, field::SPAN_ID, &span.to_bytes());
    if !traced.state.is_empty() {
        let state = whole_members(traced.state);
        bytes(out, field::TRACE_STATE, state.as_bytes());
    }
    number(out, field::KIND, kind as u64);
    fixed64(out, field::START, start);
    fixed64(out, field::END, end);
}

/// The W3C flags, and whether the parent is somebody else's.
fn flags(sampled: bool, remote: bool) -> u32 {
    const KNOWN: u32 = 0x100;
    const REMOTE: u32 = 0x200;
    u32::from(sampled) | KNOWN | if remote { REMOTE } else { 0 }
}

/// What `error.type` says: the word for it, else the status, gRPC's before that of HTTP.
fn trouble(word: &str, status: u16, grpc: Option<u8>) -> Cow<'_, str> {
    match (word, status, grpc) {
        ("", 0, _) => "cancelled".into(),
        ("", _, Some(grpc)) if grpc != 0 => grpc.to_string().into(),
        ("", status, _) => status.to_string().into(),
        (word, ..) => word.into(),
    }
}

fn status(out: &mut Vec<u8>, why: &str) {
    message(out, field::STATUS, |out| {
        bytes(out, 2, why.as_bytes());
        number(out, 3, StatusCode::Error as u64);
    });
}

/// Appends attributes; what is empty is left out.
struct Attributes<'o> {
    out: &'o mut Vec<u8>,
    value_max: usize,
}

impl Attributes<'_> {
    /// Opens a `KeyValue` whose `AnyValue` has so many bytes.
    fn open(&mut self, key: &str, any: usize) {
        // A field is its key, of one byte for the first fifteen, its length, and its bytes.
        let field = |size: usize| 1 + encoded_len_varint(size as u64) + size;
        let out = &mut *self.out;
        head(out, field::ATTRIBUTES, field(key.len()) + field(any));
        bytes(out, 1, key.as_bytes());
        head(out, 2, any);
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.texts(key, &[text]);
        }
    }

    /// One text in several pieces.
    fn texts(&mut self, key: &str, pieces: &[&str]) {
        let mut left = self.value_max;
        let kept = |piece: &&str| {
            let kept = cut(piece, left).len();
            // What is behind a cut goes too.
            left = if kept < piece.len() { 0 } else { left - kept };
            kept
        };
        let size: usize = pieces.iter().map(kept).sum();
        self.open(key, 1 + encoded_len_varint(size as u64) + size);
        head(self.out, 1, size);
        let end = self.out.len() + size;
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.truncate(end);
    }

    fn number(&mut self, key: &str, value: u64) {
        let value = value.min(i64::MAX as u64);
        self.open(key, 1 + encoded_len_varint(value));
        number(self.out, 3, value);
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

/// As many members of a `tracestate` as there is room for, the latest first, as they stand.
fn whole_members(state: &str) -> &str {
    match state.get(..=STATE_MAX).map(|room| room.rfind(',')) {
        None => state,
        Some(end) => cut(state, end.unwrap_or(0)),
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

//! Answers to rejections: a problem document, or trailers alone where the client speaks gRPC.

use super::admission;
use super::context::RequestContext;
use super::direct_response::OwnAnswer;
use super::trace;
use crate::edge::filters::grpc;
use crate::edge::problem::{PROBLEM, problem, proxy_status};
use crate::edge::rejection::Rejection;
use crate::reason::{Reason, grpc as status};
use crate::telemetry::trace::context::Hex;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};

static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Words the answer to a rejection.
pub fn answer(head: &Parts, context: &RequestContext, rejection: &Rejection) -> OwnAnswer {
    if let Some(kind) = grpc::refused_as(&head.headers) {
        return trailers_only(rejection, kind);
    }
    let id = context.request_id.as_ref();
    let trace = trace::trace_id(&head.headers, context);
    let trace = trace.as_ref().map(Hex::as_str);
    let more = rejection.more.as_deref();
    let own = more.and_then(|more| more.body.as_ref());
    let body = match own {
        None => problem(rejection, id, trace).into(),
        Some(own) => completed(own, rejection, id, trace).map_or_else(|| own.clone(), Bytes::from),
    };
    let mut answer = OwnAnswer::new(rejection.status, body);
    let headers = &mut answer.headers;
    headers.reserve(8);
    if own.is_none() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    }
    for (name, value) in more.into_iter().flat_map(|more| &more.headers) {
        headers.append(name.clone(), value.clone());
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // Behind those of proxies that are nearer to the origin (RFC 9209, section 2).
    let known = HeaderValue::from_static(proxy_status(rejection));
    headers.append(PROXY_STATUS.clone(), known);
    if rejection.status == 405 {
        allow(headers, head, context);
    }
    answer
}

/// Completes a problem document of a plugin's own with the members that all have. `None`: it is
/// none.
fn completed(
    body: &[u8],
    rejection: &Rejection,
    id: Option<&HeaderValue>,
    trace: Option<&str>,
) -> Option<Vec<u8>> {
    let headers = &rejection.more.as_ref()?.headers;
    let is_problem =
        |(name, value): &(_, HeaderValue)| *name == header::CONTENT_TYPE && value == PROBLEM;
    if rejection.reason != Reason::Plugin || !headers.iter().any(is_problem) {
        return None;
    }
    let mut document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    document.insert("reason".to_owned(), rejection.reason.name().into());
    let id = id.and_then(|id| id.to_str().ok());
    for (name, value) in [("request_id", id), ("trace_id", trace)] {
        if let Some(value) = value {
            document.insert(name.to_owned(), value.into());
        }
    }
    let mut body = serde_json::to_vec(&document).ok()?;
    body.push(b'\n');
    Some(body)
}

/// Returns an answer of trailers alone, with HTTP 200: gRPC clients read trailers, not statuses.
fn trailers_only(rejection: &Rejection, kind: HeaderValue) -> OwnAnswer {
    let mut answer = OwnAnswer::new(200, Bytes::new());
    let fields = [
        ("grpc-status", grpc_status(rejection)),
        ("grpc-message", rejection.reason.name()),
        ("proxy-status", proxy_status(rejection)),
    ];
    answer.headers.insert(header::CONTENT_TYPE, kind);
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        answer.headers.insert(HeaderName::from_static(name), value);
    }
    let headers = rejection.more.iter().flat_map(|more| &more.headers);
    for (name, value) in headers.filter(|(name, _)| IN_TRAILERS.contains(name)) {
        answer.headers.append(name.clone(), value.clone());
    }
    answer.is_trailers_only = true;
    answer
}

/// Fields of a rejection that clients of gRPC get too: when to come again, and with what.
const IN_TRAILERS: [HeaderName; 4] = [
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
];

/// gRPC's own table of HTTP statuses, for answers whose status is not the gateway's choice.
const fn grpc_status_of(http: u16) -> &'static str {
    match http {
        400 => status::INTERNAL,
        401 => status::UNAUTHENTICATED,
        403 => status::PERMISSION_DENIED,
        404 => status::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => status::UNAVAILABLE,
        _ => status::UNKNOWN,
    }
}

/// Returns the gRPC status of a rejection: that of its reason, but where a plugin or a service that
/// was asked has chosen the HTTP status.
const fn grpc_status(rejection: &Rejection) -> &'static str {
    match rejection.reason {
        Reason::Plugin => grpc_status_of(rejection.status),
        Reason::AuthDenied if rejection.status == 401 => status::UNAUTHENTICATED,
        reason => reason.grpc_status(),
    }
}

fn allow(headers: &mut HeaderMap, head: &Parts, context: &RequestContext) {
    let methods = admission::allowed_methods(head, context);
    if !methods.is_empty()
        && let Ok(methods) = HeaderValue::try_from(methods)
    {
        headers.insert(header::ALLOW, methods);
    }
}

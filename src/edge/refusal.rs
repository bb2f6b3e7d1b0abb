//! The only place that words a refusal: reason to status, problem+json, `Proxy-Status`, gRPC status.

use super::context::{Journey, Refusal};
use super::head::Refused;
use super::{answer, grpc, returning, trail};
use crate::reason::{Reason, grpc as status};
use crate::telemetry::trace::context::Hex;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Answers the request with a refusal.
pub async fn write(session: &mut Session, journey: &Journey, refusal: &Refusal) -> Result<()> {
    if let Some(kind) = grpc::refused_as(&session.req_header().headers) {
        return trailers_only(session, journey, refusal, kind).await;
    }
    let id = journey.request_id.as_ref();
    let trace = trail::trace_id(&session.req_header().headers, journey);
    let trace = trace.as_ref().map(Hex::as_str);
    let more = refusal.more.as_deref();
    let own = more.and_then(|more| more.body.as_ref());
    let body = match own {
        None => problem(refusal, id, trace).into(),
        Some(own) => completed(own, refusal, id, trace).map_or_else(|| own.clone(), Bytes::from),
    };
    let mut head = ResponseHeader::build(refusal.status, Some(12))?;
    if own.is_none() {
        head.insert_header(header::CONTENT_TYPE, PROBLEM)?;
    }
    for (name, value) in more.into_iter().flat_map(|more| &more.headers) {
        head.append_header(name.clone(), value.clone())?;
    }
    if !head.headers.contains_key(header::CACHE_CONTROL) {
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
    }
    // After those of whoever was nearer to the origin (RFC 9209, section 2).
    head.append_header("proxy-status", proxy_status(refusal))?;
    if refusal.status == 405 {
        allow(&mut head, session, journey)?;
    }
    returning::stamp(&mut head, journey)?;
    // 204 has no body, and says nothing about its length (RFC 9110, section 8.6).
    if refusal.status != 204 {
        head.set_content_length(body.len())?;
    }
    answer::write(session, head, body).await
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self {
            reason: refused.reason,
            status: refused.status,
            detail: refused.detail,
            told: None,
            more: None,
        }
    }
}

/// RFC 9457, with the members that the contract names.
pub fn problem(refusal: &Refusal, id: Option<&HeaderValue>, trace: Option<&str>) -> String {
    let status = StatusCode::from_u16(refusal.status).ok();
    let title = status
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let mut body = String::with_capacity(256);
    let _ = write!(
        body,
        r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}","reason":"{}""#,
        refusal.status,
        refusal.detail,
        refusal.reason.name(),
    );
    // Ids are visible ASCII, but a trusted peer's may hold a quote or a backslash.
    let mut member = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(body, r#","{name}":"{value}""#);
    };
    if let Some(id) = id.and_then(|id| id.to_str().ok()) {
        member("request_id", id);
    }
    if let Some(trace) = trace {
        member("trace_id", trace);
    }
    body.push_str("}\n");
    body
}

const PROBLEM: &str = "application/problem+json";

/// A problem document of a plugin's own, with the members that all of ours have. `None`: it is none.
fn completed(
    body: &[u8],
    refusal: &Refusal,
    id: Option<&HeaderValue>,
    trace: Option<&str>,
) -> Option<Vec<u8>> {
    let headers = &refusal.more.as_ref()?.headers;
    let is_problem =
        |(name, value): &(_, HeaderValue)| *name == header::CONTENT_TYPE && value == PROBLEM;
    if refusal.reason != Reason::Plugin || !headers.iter().any(is_problem) {
        return None;
    }
    let mut document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    document.insert("reason".to_owned(), refusal.reason.name().into());
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

/// RFC 9209: who refused, and what kind of failure it was.
pub fn proxy_status(refusal: &Refusal) -> &'static str {
    let known_as = refusal.more.as_deref().and_then(|more| more.error);
    known_as.unwrap_or_else(|| refusal.reason.proxy_status())
}

/// gRPC clients read trailers, not statuses: an answer of trailers alone, with HTTP 200.
async fn trailers_only(
    session: &mut Session,
    journey: &Journey,
    refusal: &Refusal,
    kind: HeaderValue,
) -> Result<()> {
    let mut head = ResponseHeader::build(200, Some(6))?;
    head.insert_header(header::CONTENT_TYPE, kind)?;
    head.insert_header("grpc-status", grpc_status(refusal))?;
    head.insert_header("grpc-message", refusal.reason.name())?;
    head.insert_header("proxy-status", proxy_status(refusal))?;
    let headers = refusal.more.iter().flat_map(|more| &more.headers);
    for (name, value) in headers.filter(|(name, _)| IN_TRAILERS.contains(name)) {
        head.append_header(name.clone(), value.clone())?;
    }
    if session.req_header().version != http::Version::HTTP_2 {
        head.set_content_length(0)?;
    }
    returning::stamp(&mut head, journey)?;
    answer::write(session, head, Bytes::new()).await
}

/// What a refusal tells clients of gRPC too: when to come again, and with what.
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

/// Returns the gRPC status of a refusal: that of its reason, but where a plugin or a service that
/// was asked has chosen the HTTP status.
const fn grpc_status(refusal: &Refusal) -> &'static str {
    match refusal.reason {
        Reason::Plugin => grpc_status_of(refusal.status),
        Reason::AuthDenied if refusal.status == 401 => status::UNAUTHENTICATED,
        reason => reason.grpc_status(),
    }
}

fn allow(head: &mut ResponseHeader, session: &Session, journey: &Journey) -> Result<()> {
    let methods = super::admit::allowed_methods(session.req_header(), journey);
    if !methods.is_empty() {
        head.insert_header(header::ALLOW, methods)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::problem;
    use crate::edge::context::Refusal;
    use crate::reason::Reason;
    use http::HeaderValue;

    #[test]
    fn every_reason_makes_a_well_formed_document() {
        for reason in Reason::ALL {
            let refusal = Refusal::new(reason, "because");
            let id = HeaderValue::from_static("a\"b\\c");
            let text = problem(
                &refusal,
                Some(&id),
                Some("0af7651916cd43dd8448eb211c80319c"),
            );
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["reason"], reason.name());
            assert_eq!(document["status"], reason.status());
            assert_eq!(document["request_id"], "a\"b\\c");
        }
    }
}

//! How long an exchange may take: until when the client's stream, which is polled all the while, is
//! to end it.

use super::context::Journey;
use super::facts::Facts;
use super::grpc;
use http::{HeaderMap, StatusCode, header};
use pingora::proxy::Session;
use std::time::Instant;

/// Lets the client's stream end the exchange in time.
pub fn deadline(session: &Session, deadline: Option<Instant>) {
    if let Some(facts) = Facts::of(session.digest()) {
        facts.set_deadline(deadline);
    }
}

/// Whether both sides may rest in turn, so that a body that does not end is no fault of its sender's.
fn is_call(session: &Session) -> bool {
    grpc::is_grpc(&session.req_header().headers)
}

/// Where only silence ends a try: it counts from when the upstream has the whole request, or, where
/// both sides rest in turn, from the start.
pub fn wait(session: &Session, journey: &Journey, sent: bool) {
    if !journey.patient {
        return;
    }
    let service = journey.service();
    let bounded = service.is_some_and(|service| service.retry.per_try.is_some());
    let answered = session.response_written().is_some();
    if answered || !bounded && (sent || is_call(session)) {
        silence(session, journey);
    }
}

/// What has no end of its own may go on for as long as it is not silent for too long.
pub fn silence(session: &Session, journey: &Journey) {
    let limit = journey.route().map(|route| route.idle_timeout);
    deadline(session, limit.map(|limit| Instant::now() + limit));
}

/// Streams and upgrades have no end to wait for: only silence ends them.
pub fn is_endless(status: StatusCode, headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let kind = kind.unwrap_or_default();
    status == StatusCode::SWITCHING_PROTOCOLS
        || kind.starts_with(b"text/event-stream")
        || kind.starts_with(b"application/grpc")
}

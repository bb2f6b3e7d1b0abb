//! How long an exchange may take: until when the client's stream, which is polled all the while, is
//! to end it.

use super::context::Journey;
use super::facts::Facts;
use super::grpc::Call;
use super::{peer, target};
use http::{HeaderMap, StatusCode, header};
use pingora::proxy::Session;
use std::time::Instant;

/// A try begins: it must be over, or have answered, in time.
pub fn begin(session: &mut Session, journey: &mut Journey) {
    journey.patient = peer::is_patient(session, journey);
    journey.until = target::try_deadline(journey);
    until(session, journey.until);
    let sent = session.is_body_done();
    sends(session, journey, sent);
}

/// A part of the request goes up. Silence counts from when the upstream has all of it, or, where both
/// sides rest in turn, from the start.
pub fn sends(session: &Session, journey: &Journey, sent: bool) {
    let rests = || journey.call == Some(Call::Grpc) || session.response_written().is_some();
    if journey.patient && (sent || rests()) {
        silence(session, journey);
    }
}

/// What one try may take ends with the head of its answer; of streams, what the whole may take too.
pub fn answered(session: &Session, journey: &mut Journey) {
    journey.until = journey.deadline.filter(|_| !journey.endless);
    match journey.endless || journey.patient {
        true => silence(session, journey),
        false => until(session, journey.until),
    }
}

/// A part of the answer has come. Returns whether there was time for it.
pub fn answers(session: &Session, journey: &Journey) -> bool {
    if journey.endless || journey.patient {
        silence(session, journey);
    }
    journey.until.is_none_or(|at| at > Instant::now())
}

/// No longer than this is either side silent.
fn silence(session: &Session, journey: &Journey) {
    let limit = journey.route().map(|route| route.idle_timeout);
    let silent = limit.map(|limit| Instant::now() + limit);
    until(session, [silent, journey.until].into_iter().flatten().min());
}

/// Lets the client's stream end the exchange in time.
fn until(session: &Session, deadline: Option<Instant>) {
    if let Some(facts) = Facts::of(session.digest()) {
        facts.set_deadline(deadline);
    }
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

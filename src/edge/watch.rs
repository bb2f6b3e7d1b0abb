//! How long an exchange may take: until when the client's stream, which is polled while anything is
//! waited for but an upstream that takes no body (`peer`), is to end it.

use super::context::Journey;
use super::facts::Facts;
use super::grpc::Call;
use super::target;
use http::{HeaderMap, StatusCode, header};
use pingora::proxy::Session;
use std::time::{Duration, Instant};

/// A try begins: it must be over, or have answered, in time.
pub fn begin(session: &mut Session, journey: &mut Journey) {
    let sent = session.is_body_done();
    journey.until = target::try_deadline(journey);
    let patience = patience(journey).filter(|_| sent || rests(session, journey));
    if let Some(facts) = Facts::of(session.digest()) {
        facts.set_limits(journey.until, patience);
    }
}

/// A part of the request goes up. Silence counts from when the upstream has all of it, or, where both
/// sides rest in turn, from the start.
pub fn sends(session: &Session, journey: &Journey, sent: bool) {
    if (sent || rests(session, journey))
        && let Some(facts) = Facts::of(session.digest())
    {
        facts.set_patience(patience(journey));
    }
}

/// Whether both sides may rest in turn.
fn rests(session: &Session, journey: &Journey) -> bool {
    journey.call == Some(Call::Grpc) || session.response_written().is_some()
}

/// What one try may take ends with the head of its answer; of streams, what the whole may take too.
pub fn answered(session: &Session, journey: &mut Journey) {
    journey.until = journey.deadline.filter(|_| !journey.endless);
    if let Some(facts) = Facts::of(session.digest()) {
        facts.set_limits(journey.until, patience(journey));
    }
}

/// A part of the answer has come. Returns whether there was time for it.
pub fn answers(session: &Session, journey: &Journey) -> bool {
    hears(session);
    journey.until.is_none_or(|at| at > Instant::now())
}

/// The upstream is not silent.
pub fn hears(session: &Session) {
    if let Some(facts) = Facts::of(session.digest()) {
        facts.hears();
    }
}

/// How long the upstream may be silent.
fn patience(journey: &Journey) -> Option<Duration> {
    journey.route().map(|route| route.idle_timeout)
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

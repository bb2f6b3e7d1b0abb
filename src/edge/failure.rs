//! What went wrong, told as a reason; and whether another try may mend it.

use super::context::{Ended, Journey, Refusal};
use super::pace::TOO_SLOW;
use super::returning::is_interim;
use crate::config::service::{RetryOn, UpstreamHttp};
use crate::reason::Reason;
use crate::upstream::cause::Kind;
use crate::upstream::probe;
use http::Version;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};
use std::time::Instant;

/// A connection could not be made: takes the endpoint out, and asks for another try if one is
/// left. No byte of the request has been sent, so any method may be tried again.
pub fn on_connect(journey: &mut Journey, error: &mut Error) {
    if let Some(in_flight) = journey.attempt.in_flight.take() {
        let kind = unreached(error);
        let endpoint = in_flight.endpoint();
        endpoint.series().connect_failures.add(kind);
        if is_the_endpoints_fault(error) {
            probe::take_out(endpoint, kind.into());
            journey.attempt.verdict = Some(Ended::Broken(kind));
        }
    }
    journey.end_try();
    // Another endpoint is asked at once: waiting would help nobody.
    let retry = may_retry(journey, RetryOn::Connect);
    if !retry {
        let nobody = journey.version().is_none_or(|version| !version.available());
        journey.refuse(match nobody {
            true => Refusal::new(Reason::NoHealthyEndpoint, "no healthy endpoint is left"),
            false => unreachable(error),
        });
    }
    error.set_retry(retry);
}

/// Why there is no connection (RFC 9209, section 2.3).
fn unreachable(error: &Error) -> Refusal {
    let refusal = Refusal::new(Reason::UpstreamConnect, "the upstream cannot be reached");
    match error.etype() {
        ErrorType::ConnectTimedout => refusal.known_as("tyrian; error=connection_timeout"),
        ErrorType::ConnectNoRoute => refusal.known_as("tyrian; error=destination_ip_unroutable"),
        ErrorType::TLSHandshakeFailure if is_about_certificate(error) => {
            refusal.known_as("tyrian; error=tls_certificate_error")
        }
        ErrorType::TLSHandshakeFailure if said(error).contains("received fatal alert") => {
            refusal.known_as("tyrian; error=tls_alert_received")
        }
        ErrorType::InvalidCert => refusal.known_as("tyrian; error=tls_certificate_error"),
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout => {
            refusal.known_as("tyrian; error=tls_protocol_error")
        }
        _ => refusal,
    }
}

/// Whether an upstream that must speak HTTP/2 does. Where it negotiates nothing, the core takes it for
/// one of HTTP/1.
pub fn speaks_as_told(head: &RequestHeader, journey: &Journey) -> bool {
    let http = journey.version().map(|version| version.http);
    head.version == Version::HTTP_2 || !matches!(http, Some(UpstreamHttp::H2 | UpstreamHttp::H2c))
}

/// Why no connection came about, for the log and the metrics.
fn unreached(error: &Error) -> Kind {
    match error.etype() {
        ErrorType::ConnectRefused => Kind::ConnectRefused,
        ErrorType::ConnectTimedout => Kind::ConnectTimeout,
        ErrorType::ConnectNoRoute => Kind::Unreachable,
        ErrorType::TLSHandshakeFailure if is_about_certificate(error) => Kind::Certificate,
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout => Kind::Tls,
        ErrorType::InvalidCert => Kind::Certificate,
        _ => Kind::ConnectError,
    }
}

/// What a failure says beyond its kind. All that the core keeps of its library's error is the text.
fn said(error: &Error) -> &str {
    let context = error.context.as_ref();
    context.map_or("", |context| context.as_str())
}

/// Whether a TLS handshake failed because of the upstream's certificate.
fn is_about_certificate(error: &Error) -> bool {
    said(error).contains("invalid peer certificate")
}

/// Whether the configuration and the budget of the service have another try for this cause; it is
/// counted if so.
fn may_retry(journey: &mut Journey, cause: RetryOn) -> bool {
    let Some(service) = journey.service().cloned() else {
        return false;
    };
    let rules = &service.retry;
    if !rules.on.contains(&cause) || journey.attempt.number >= rules.attempts.0 {
        return false;
    }
    // A connection that could not be made has cost the upstream nothing.
    if cause != RetryOn::Connect && !service.budget.take() {
        return false;
    }
    service.series.retried();
    true
}

/// Whether sending the request once more does no harm: its method is idempotent (RFC 9110, section
/// 9.2.2), all of it is still at hand, and nothing has been answered.
fn may_repeat(session: &mut Session, journey: &Journey) -> bool {
    session.req_header().method.is_idempotent() && is_at_hand(session, journey)
}

/// Whether all of a request is still here, and nothing has been answered.
fn is_at_hand(session: &mut Session, journey: &Journey) -> bool {
    let unanswered = session.response_written().is_none_or(is_interim);
    unanswered && journey.refusal.is_none() && !session.as_ref().retry_buffer_truncated()
}

/// What HTTP/2 says of a failure, if it does.
fn h2(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref::<h2::Error>()
}

/// Whether the upstream says that it has not looked at the request, so that any may be sent once more
/// (RFC 9113, section 8.7).
fn unseen(error: &Error) -> bool {
    let refused = |error: &h2::Error| {
        error.is_remote()
            && (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    };
    h2(error).is_some_and(refused)
}

/// Whether the connection ended, which a kept one may have done before the request came. Anything
/// else is an answer, if a bad one.
fn is_cut(error: &Error) -> bool {
    let kinds = [
        ErrorType::ConnectionClosed,
        ErrorType::ReadError,
        ErrorType::WriteError,
    ];
    kinds.contains(error.etype()) && h2(error).is_none_or(h2::Error::is_io)
}

/// The upstream's answer is one that a retry may mend. Returns whether there is one.
pub fn on_status(session: &mut Session, journey: &mut Journey, status: u16) -> bool {
    let cause = match status {
        502 => RetryOn::BadGateway,
        503 => RetryOn::Unavailable,
        504 => RetryOn::GatewayTimeout,
        _ => return false,
    };
    let retry = may_repeat(session, journey) && may_retry(journey, cause);
    journey.attempt.backs_off |= retry;
    retry
}

/// The answer was thrown away for another try.
pub const ANOTHER_TRY: ErrorType = ErrorType::new("AnotherTry");

/// Running out of local ports or descriptors says nothing about the endpoint.
fn is_the_endpoints_fault(error: &Error) -> bool {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::ConnectRefused | ErrorType::ConnectNoRoute => true,
        ErrorType::ConnectError => {
            let local = error
                .root_cause()
                .downcast_ref::<std::io::Error>()
                .is_some_and(|cause| {
                    matches!(
                        cause.raw_os_error(),
                        Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS)
                    )
                });
            !local
        }
        _ => false,
    }
}

/// An exchange failed on a connection that stood. A kept connection may have been closed before
/// the upstream saw anything (RFC 9112, section 9.3.1), so it is replaced for free; any other
/// repeat is the configuration's choice.
pub fn on_exchange(session: &mut Session, journey: &mut Journey, error: &mut Error, reused: bool) {
    let late = cause(error) == Some(std::io::ErrorKind::TimedOut);
    let timeout = matches!(
        error.etype(),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout
    );
    let upstream = *error.esource() == ErrorSource::Upstream;
    let free = journey.attempt.number < MAX_TRIES;
    let retry = match error.etype() {
        kind if *kind == STALE => free && replaced(journey),
        kind if *kind == ANOTHER_TRY => true,
        _ if late || (upstream && timeout) => {
            // A client that is slow to send its body says nothing about the upstream.
            let sent = session.is_body_empty() || session.is_body_done();
            journey.attempt.verdict = sent.then_some(Ended::TimedOut);
            !is_over(journey)
                && may_repeat(session, journey)
                && may_retry(journey, RetryOn::Timeout)
        }
        _ if unseen(error) && is_at_hand(session, journey) && !journey.attempt.unseen => {
            journey.attempt.unseen = true;
            replaced(journey)
        }
        _ if upstream && reused && free && is_cut(error) && may_repeat(session, journey) => {
            replaced(journey)
        }
        _ if upstream => {
            if journey.refusal.is_none() {
                journey.attempt.verdict = Some(Ended::Broken(Kind::Reset));
            }
            may_repeat(session, journey) && may_retry(journey, RetryOn::Reset)
        }
        _ => {
            // The client's own doing says nothing about the upstream.
            journey.attempt.verdict = None;
            false
        }
    };
    let fresh = !matches!(error.etype(), kind if *kind == STALE);
    journey.attempt.backs_off |= retry && fresh && !reused;
    journey.end_try();
    error.set_retry(retry);
}

/// Whether there is no time left for the whole of a request.
fn is_over(journey: &Journey) -> bool {
    journey
        .deadline
        .is_some_and(|deadline| deadline <= Instant::now())
}

/// The same endpoint may be tried again, over a fresh connection; nothing is held against it.
fn replaced(journey: &mut Journey) -> bool {
    journey.attempt.verdict = None;
    journey.attempt.may_repeat();
    if let Some(service) = journey.service() {
        service.series.retried();
    }
    true
}

/// The kind of the I/O error at the root, if it is one of our streams'. What the kernel says (a peer
/// that stopped answering) has a number; what our stream says, none.
fn cause(error: &Error) -> Option<std::io::ErrorKind> {
    let cause = error.root_cause().downcast_ref::<std::io::Error>()?;
    cause.raw_os_error().is_none().then(|| cause.kind())
}

/// A kept connection that the upstream has closed, or has sent something on unasked. Nothing has
/// been sent on it yet, so any request may go to another one.
pub const STALE: ErrorType = ErrorType::new("StaleConnection");

/// Whether losing the request to a stale connection costs nothing but another try, so that the look
/// ahead of it can be spared: [`on_exchange`] replaces the connection for free.
pub fn is_harmless(session: &mut Session) -> bool {
    session.req_header().method.is_idempotent() && session.is_body_empty()
}

/// Whether a kept connection is as it was left: open, with nothing to read. What it would have to
/// say was not asked for, and would be taken for the answer to the next request.
pub fn is_quiet(fd: std::os::fd::RawFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(fd, &mut [0; 1], flags) == Err(Errno::EAGAIN)
}

/// Tries over all, whatever the configuration says: every pooled connection may be stale.
pub const MAX_TRIES: u8 = 16;

/// The reason behind an error that ended a request.
pub fn reason(journey: &Journey, error: &Error) -> Refusal {
    if let Some(refusal) = &journey.refusal {
        return refusal.clone();
    }
    match error.esource() {
        ErrorSource::Upstream
            if h2(error).is_some_and(|error| error.is_remote() || error.is_io()) =>
        {
            Refusal::new(Reason::UpstreamReset, "the upstream ended the stream")
        }
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Downstream => downstream(journey, error),
        ErrorSource::Internal | ErrorSource::Unset => {
            Refusal::new(Reason::InternalError, "the gateway failed")
        }
    }
}

/// Whether the client's connection is sound after an error that is not its own, so that another
/// request may come by it.
pub fn keeps_client(session: &Session, error: &Error, reason: Reason) -> bool {
    let own = matches!(reason, Reason::ClientClosed | Reason::InternalError);
    *error.esource() != ErrorSource::Downstream && !own && !session.is_upgrade_req()
}

fn upstream(kind: &ErrorType) -> Refusal {
    match kind {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            Refusal::new(Reason::UpstreamTimeout, "the upstream took too long")
        }
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            Refusal::new(Reason::UpstreamReset, "the upstream closed the connection")
        }
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError
        | ErrorType::BindError => {
            Refusal::new(Reason::UpstreamConnect, "the upstream cannot be reached")
        }
        _ => Refusal::new(
            Reason::UpstreamProtocol,
            "the upstream's answer is malformed",
        ),
    }
}

fn downstream(journey: &Journey, error: &Error) -> Refusal {
    use std::io::ErrorKind::{InvalidData, TimedOut};
    let cause = cause(error);
    match error.etype() {
        // Said by the client's stream, which watches over the whole exchange, and the upstream's silence.
        _ if cause == Some(TimedOut) => {
            let what = match is_over(journey) && !journey.endless {
                true => "the request took too long",
                false => "the upstream took too long",
            };
            Refusal::new(Reason::UpstreamTimeout, what)
        }
        _ if cause == Some(InvalidData) => {
            Refusal::new(Reason::BadRequest, "the request body is malformed")
        }
        _ if cause == Some(TOO_SLOW) => {
            Refusal::new(Reason::RequestTimeout, "the request body comes too slowly")
        }
        ErrorType::ReadTimedout => {
            Refusal::new(Reason::RequestTimeout, "the request body took too long")
        }
        ErrorType::InvalidHTTPHeader => {
            Refusal::new(Reason::BadRequest, "the request is malformed")
        }
        _ => Refusal::new(Reason::ClientClosed, "the client went away"),
    }
}

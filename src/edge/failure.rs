//! What went wrong, told as a reason; and whether another try may mend it.

use super::context::{Journey, Refusal};
use crate::config::service::RetryOn;
use crate::reason::Reason;
use crate::upstream::probe;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

/// A connection could not be made: takes the endpoint out, and asks for another try if one is
/// left. No byte of the request has been sent, so any method may be tried again.
pub fn on_connect(journey: &mut Journey, error: &mut Error) {
    journey.attempt.connect_failed = true;
    if let Some(in_flight) = journey.attempt.in_flight.take()
        && is_the_endpoints_fault(error)
    {
        probe::take_out(in_flight.endpoint(), error.etype().as_str());
    }
    journey.end_try();
    let retry = journey.service().is_some_and(|service| {
        service.retry.on.contains(&RetryOn::Connect)
            && journey.attempt.number < service.retry.attempts.0
    });
    if retry {
        if let Some(service) = journey.service() {
            service.series.retried();
        }
    } else {
        let nobody = journey.version().is_none_or(|version| !version.available());
        journey.refuse(match (nobody, error.etype()) {
            (true, _) => Refusal::new(Reason::NoHealthyEndpoint, "no healthy endpoint is left"),
            (false, _) => Refusal::new(Reason::UpstreamConnect, "the upstream cannot be reached"),
        });
    }
    error.set_retry(retry);
}

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

/// An exchange failed on a connection that stood. Repeating is safe only where the request was
/// idempotent, is still at hand in full, and the connection was an old one that the upstream may
/// have closed before it saw anything (RFC 9112, section 9.3.1).
pub fn on_exchange(session: &mut Session, journey: &mut Journey, error: &mut Error, reused: bool) {
    let answered = session.response_written().is_some();
    let stale = error.etype() == &STALE;
    let safe = reused
        && !answered
        && session.req_header().method.is_idempotent()
        && !session.as_ref().retry_buffer_truncated()
        && *error.esource() == ErrorSource::Upstream
        && !matches!(
            error.etype(),
            ErrorType::ReadTimedout | ErrorType::WriteTimedout
        )
        && journey.refusal.is_none();
    let retry = (stale || safe) && journey.attempt.number < MAX_TRIES;
    journey.end_try();
    if retry {
        journey.attempt.may_repeat();
        if let Some(service) = journey.service() {
            service.series.retried();
        }
    }
    error.set_retry(retry);
}

/// A kept connection that the upstream has closed, or has sent something on unasked. Nothing has
/// been sent on it yet, so any request may go to another one.
pub const STALE: ErrorType = ErrorType::new("StaleConnection");

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
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Downstream => downstream(error),
        ErrorSource::Internal | ErrorSource::Unset => {
            Refusal::new(Reason::InternalError, "the gateway failed")
        }
    }
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

fn downstream(error: &Error) -> Refusal {
    use std::io::{Error as IoError, ErrorKind::InvalidData, ErrorKind::TimedOut};
    let cause = error.root_cause().downcast_ref::<IoError>();
    // What the kernel says (a peer that stopped answering) has a number; what our stream says, none.
    let ours = cause.filter(|cause| cause.raw_os_error().is_none());
    let cause = ours.map(IoError::kind);
    match error.etype() {
        // Said by the client's stream, which watches over the deadline of the whole exchange.
        _ if cause == Some(TimedOut) => {
            Refusal::new(Reason::UpstreamTimeout, "the request took too long")
        }
        _ if cause == Some(InvalidData) => {
            Refusal::new(Reason::BadRequest, "the request body is malformed")
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

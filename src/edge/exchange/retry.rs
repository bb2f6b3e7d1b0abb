//! What follows from a try that failed: another one, or a rejection.

use super::clock::unless_gone;
use super::context::RequestContext;
use super::deadline::{Awaited, Deadline};
use super::failure::Failure;
use super::request_body::Upload;
use super::tries::Ended;
use crate::config::service::RetryOn;
use crate::edge::message::{Downstream, Request, UpstreamError};
use crate::edge::rejection::Rejection;
use crate::edge::transport::ConnectError;
use crate::reason::Reason;
use crate::upstream::cause::Kind;
use crate::upstream::probe;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// Tries over all, whatever the configuration says: every kept connection may have been closed.
const TRIES_MAX: u8 = 16;
/// Longest pause before a try.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// Waits for a connection no longer than the exchange may take.
pub async fn within<T>(
    deadline: Option<Deadline>,
    connecting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match deadline {
        None => connecting.await,
        Some(deadline) => match timeout_at(deadline.at.into(), connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                let late = deadline.limit.passed(Awaited::Upstream, false);
                Err(Failure::Late(late))
            }
        },
    }
}

/// Whether another try may mend an answer with this status; it is counted then.
pub fn may_mend(
    request: &Request,
    upload: &Upload,
    context: &mut RequestContext,
    status: u16,
) -> bool {
    let cause = match status {
        502 => RetryOn::BadGateway,
        503 => RetryOn::Unavailable,
        504 => RetryOn::GatewayTimeout,
        _ => return false,
    };
    may_repeat(request, upload, context) && take_retry(context, cause)
}

/// Ends a try that failed. Returns the pause before another one.
///
/// # Errors
/// The rejection to answer with, where there is no other try.
pub fn after(
    failure: Failure,
    request: &Request,
    upload: &Upload,
    context: &mut RequestContext,
) -> Result<Option<Duration>, Rejection> {
    let (free, again) = match &failure {
        Failure::Connect(error) => {
            connect_failed(context, *error);
            // Another endpoint is asked at once: a pause would help nothing.
            (true, take_retry(context, RetryOn::Connect))
        }
        Failure::Reused if may_repeat(request, upload, context) && is_free(context) => {
            count_stale(context);
            (true, replaced(context))
        }
        Failure::Upstream(UpstreamError::Unprocessed)
            if is_at_hand(upload, context) && !context.attempt.unprocessed =>
        {
            context.attempt.unprocessed = true;
            (true, replaced(context))
        }
        Failure::Reused | Failure::Upstream(_) => {
            context.attempt.verdict = Some(Ended::Broken(Kind::Reset));
            let repeats = may_repeat(request, upload, context);
            (false, repeats && take_retry(context, RetryOn::Reset))
        }
        Failure::Status => (false, true),
        Failure::Late(late) if late.is_upstreams_fault() => {
            context.attempt.verdict = Some(Ended::TimedOut);
            let is_over = context.deadlines.passed(Instant::now()).is_some();
            let repeats = !is_over && may_repeat(request, upload, context);
            (false, repeats && take_retry(context, RetryOn::Timeout))
        }
        Failure::Late(_) | Failure::Rejected(_) | Failure::Client(_) => {
            // What the client does says nothing about the upstream.
            context.attempt.verdict = None;
            (false, false)
        }
    };
    context.end_try();
    match again {
        true if free => Ok(None),
        true => Ok(backoff(context)),
        false => Err(rejection(failure, context)),
    }
}

/// Takes an endpoint out to which no connection could be made. No byte of the request has been
/// sent, so any method may be tried again.
fn connect_failed(context: &mut RequestContext, error: ConnectError) {
    let Some(in_flight) = &mut context.attempt.in_flight else {
        return;
    };
    in_flight.end();
    let (kind, endpoint) = (error.kind(), in_flight.endpoint());
    endpoint.series().connect_failures.add(kind);
    if error.is_endpoints_fault() {
        probe::take_out(endpoint, kind.into());
        context.attempt.verdict = Some(Ended::Broken(kind));
    }
}

/// Whether the configuration and the budget of the service have another try for this cause; it is
/// counted then.
fn take_retry(context: &RequestContext, cause: RetryOn) -> bool {
    let Some(service) = context.service() else {
        return false;
    };
    let rules = &service.retry;
    if !rules.on.contains(&cause) || context.attempt.number >= rules.attempts.0 {
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
fn may_repeat(request: &Request, upload: &Upload, context: &RequestContext) -> bool {
    request.head.method.is_idempotent() && is_at_hand(upload, context)
}

fn is_at_hand(upload: &Upload, context: &RequestContext) -> bool {
    upload.is_at_hand() && context.answer.is_none()
}

/// Whether another connection may be had for free.
fn is_free(context: &RequestContext) -> bool {
    context.attempt.number < TRIES_MAX
}

fn count_stale(context: &RequestContext) {
    if let Some(version) = context.version() {
        let stale = &version.pool.stale;
        stale.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Lets the same endpoint be tried again, over another connection; nothing is held against it.
fn replaced(context: &mut RequestContext) -> bool {
    context.attempt.verdict = None;
    context.attempt.may_repeat();
    if let Some(service) = context.service() {
        service.series.retried();
    }
    true
}

/// Returns the pause before the next try: full jitter over a doubling span.
fn backoff(context: &RequestContext) -> Option<Duration> {
    let first = context.service()?.retry.backoff;
    let doublings = u32::from(context.attempt.number.saturating_sub(1)).min(8);
    let span = (first * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    Some(span.mul_f64(fastrand::f64()))
}

/// Waits before another try, unless the client leaves.
///
/// # Errors
/// When the client has left.
pub async fn pause<D: Downstream>(downstream: &mut D, pause: Duration) -> Result<(), Rejection> {
    let waited = unless_gone(downstream, tokio::time::sleep(pause)).await;
    waited.map_err(|_| Reason::ClientClosed.into())
}

/// Words the rejection that follows from a failure.
fn rejection(failure: Failure, context: &RequestContext) -> Rejection {
    match failure {
        Failure::Rejected(rejection) => rejection,
        Failure::Connect(error) => {
            let gone = context.version().is_none_or(|version| !version.available());
            if gone {
                return Reason::NoHealthyEndpoint.into();
            }
            let rejection = Rejection::from(Reason::UpstreamConnect);
            match error.proxy_status() {
                Some(known) => rejection.known_as(known),
                None => rejection,
            }
        }
        Failure::Reused | Failure::Upstream(UpstreamError::Closed) => {
            let what = "the upstream closed the connection";
            Rejection::new(Reason::UpstreamReset, what)
        }
        Failure::Upstream(UpstreamError::Reset | UpstreamError::Unprocessed) => {
            Rejection::new(Reason::UpstreamReset, "the upstream ended the stream")
        }
        Failure::Upstream(UpstreamError::Malformed(what)) => {
            Rejection::new(Reason::UpstreamProtocol, what)
        }
        Failure::Status => Reason::InternalError.into(),
        Failure::Late(late) => late.into(),
        Failure::Client(error) => error.into(),
    }
}

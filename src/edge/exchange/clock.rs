//! How long an exchange may take: one deadline over all, one for each try, and limits of silence
//! for both sides. All of them share the connection's timer.

use super::deadline::{Awaited, Deadline, Late};
use crate::edge::message::{ClientError, ClientLimits, Downstream};
use crate::edge::transport::body_rate::BodyRate;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Since when something is waited for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait(Option<Instant>);

impl Wait {
    /// Goes on, begins anew where something has `moved`, or ends.
    pub fn update(&mut self, waits: bool, moved: bool) {
        if !waits {
            self.0 = None;
        } else if moved || self.0.is_none() {
            self.0 = Some(Instant::now());
        }
    }

    fn ends(self, limit: Option<Duration>) -> Option<Instant> {
        self.0?.checked_add(limit?)
    }
}

/// The times of one exchange.
#[derive(Debug)]
pub struct Clock {
    /// When the try, or once it has answered, the exchange must be over.
    pub until: Option<Deadline>,
    /// Longest silence of the upstream.
    pub idle: Option<Duration>,
    pub upstream: Wait,
    /// Longest wait for a part of the request's body; `None`: the client may rest.
    pub body_limit: Option<Duration>,
    pub body: Wait,
    pub rate: BodyRate,
    /// Longest time in which the client takes nothing.
    write_limit: Duration,
    pub client: Wait,
}

impl Clock {
    /// Begins with the client's limits alone.
    pub fn new(limits: &ClientLimits) -> Self {
        Self {
            until: None,
            idle: None,
            upstream: Wait::default(),
            body_limit: Some(limits.body_wait),
            body: Wait::default(),
            rate: BodyRate::new(limits.min_body_rate),
            write_limit: limits.write_wait,
            client: Wait::default(),
        }
    }

    /// The client may rest within its body, as in a call of gRPC or a WebSocket.
    pub fn lets_client_rest(&mut self) {
        self.body_limit = None;
        self.rate = BodyRate::default();
    }

    /// Ready once a time is up.
    pub fn poll_late<D: Downstream>(
        &mut self,
        downstream: &mut D,
        cx: &mut Context<'_>,
    ) -> Poll<Late> {
        if self.rate.is_too_slow() {
            return Poll::Ready(Late::BodyRate);
        }
        let until = self.until.map(|until| {
            let late = until.limit.passed(self.awaits(), self.body_limit.is_none());
            (until.at, late)
        });
        let ends = [
            (self.upstream.ends(self.idle), Late::Upstream),
            (self.body.ends(self.body_limit), Late::Body),
            (self.client.ends(Some(self.write_limit)), Late::Client),
        ];
        let ends = ends.into_iter().filter_map(|(at, late)| Some((at?, late)));
        let Some((at, late)) = until.into_iter().chain(ends).min_by_key(|(at, _)| *at) else {
            return Poll::Pending;
        };
        ready!(downstream.timer().poll_passed(cx, at));
        Poll::Ready(late)
    }

    /// What the exchange waits for. A client that has to take something comes first: nothing else
    /// goes on until it has.
    const fn awaits(&self) -> Awaited {
        match (self.client.0, self.body.0) {
            (Some(_), _) => Awaited::Client,
            (None, Some(_)) => Awaited::Body,
            (None, None) => Awaited::Upstream,
        }
    }
}

/// Waits until the client has taken what is queued.
///
/// # Errors
/// When the client has left, or takes nothing for its limit.
pub async fn flush<D: Downstream>(
    downstream: &mut D,
    limits: &ClientLimits,
) -> Result<(), ClientError> {
    let mut until = None;
    poll_fn(|cx| {
        if let Poll::Ready(flushed) = downstream.poll_flush(cx) {
            return Poll::Ready(flushed);
        }
        let until = *until.get_or_insert_with(|| Instant::now() + limits.write_wait);
        ready!(downstream.timer().poll_passed(cx, until));
        Poll::Ready(Err(ClientError::Gone))
    })
    .await
}

/// Waits for `work` unless the client leaves first.
///
/// # Errors
/// When the client has left.
pub async fn unless_gone<D: Downstream, T>(
    downstream: &mut D,
    work: impl Future<Output = T>,
) -> Result<T, ClientError> {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        downstream.poll_gone(cx).map(Err)
    })
    .await
}

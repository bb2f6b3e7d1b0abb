//! The body of a request on its way to the upstream: read from the client, kept for another try as
//! far as it is small, and shown to the filters.

use super::context::RequestContext;
use super::trailers;
use crate::edge::filters::grpc::Bridge;
use crate::edge::headers::{content_length, elements};
use crate::edge::message::{ClientError, Downstream, Frame, Length, Request};
use crate::edge::rejection::Rejection;
use crate::reason::Reason;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version, header};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Bytes of a body, and parts of it, that are kept for another try.
const REPLAY_MAX: usize = 64 * 1024;
const REPLAY_PARTS_MAX: usize = 64;

/// A request's body, over all tries.
#[derive(Debug)]
pub struct Upload {
    /// How the body is framed towards the client.
    length: Length,
    kept: SmallVec<[Bytes; 2]>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    /// More has come than is kept: there is no other try.
    truncated: bool,
    /// The client has sent all.
    read: bool,
    /// The client was asked for the body, if it waits for that.
    asked: bool,
    /// That was by an answer of 100 of the gateway's own.
    continued: bool,
    /// The next kept part that this try sends.
    next: usize,
    /// This try has sent all.
    sent: bool,
}

/// A part of a body, or its end.
#[derive(Debug)]
pub enum Part {
    /// `last`: nothing follows.
    Data {
        data: Bytes,
        last: bool,
    },
    End(Option<HeaderMap>),
}

impl Upload {
    /// Begins with nothing read.
    pub fn new(length: Length) -> Self {
        Self {
            length,
            kept: SmallVec::new(),
            kept_bytes: 0,
            trailers: None,
            truncated: false,
            asked: false,
            continued: false,
            read: length == Length::None,
            next: 0,
            sent: false,
        }
    }

    /// Begins another try: what was kept is sent again.
    pub fn restart(&mut self) {
        self.next = 0;
        self.sent = self.length == Length::None;
    }

    /// The client and the upstream have switched protocols: what the client sends now is no body.
    pub fn switch(&mut self) {
        self.length = Length::Unknown;
        (self.read, self.sent, self.truncated) = (false, false, true);
    }

    /// Whether this try has sent all of the body.
    pub const fn is_sent(&self) -> bool {
        self.sent
    }

    /// Whether all that has been read can be sent once more.
    pub const fn is_at_hand(&self) -> bool {
        !self.truncated
    }

    /// Whether the gateway has asked the client for the body, so that an upstream's 100 says nothing
    /// new.
    pub const fn is_continued(&self) -> bool {
        self.continued
    }

    /// Whether the request has no body at all.
    pub fn is_empty(&self) -> bool {
        self.length == Length::None
    }

    /// Returns the next part for this try. What comes from the client for the first time is
    /// counted.
    pub fn poll_part<D: Downstream>(
        &mut self,
        downstream: &mut D,
        context: &mut RequestContext,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Part, ClientError>> {
        if let Some(data) = self.kept.get(self.next) {
            self.next += 1;
            let last = self.read && self.trailers.is_none() && self.next == self.kept.len();
            let data = data.clone();
            return Poll::Ready(Ok(Part::Data { data, last }));
        }
        if self.read {
            return Poll::Ready(Ok(Part::End(self.trailers.clone())));
        }
        match ready!(downstream.poll_frame(cx))? {
            Some(Frame::Data(data)) => {
                context.count_request_in(data.len());
                self.read = downstream.is_read();
                self.keep(&data);
                let last = self.read;
                Poll::Ready(Ok(Part::Data { data, last }))
            }
            Some(Frame::Trailers(mut trailers)) => {
                self.read = true;
                trailers::clean_request(&mut trailers, context);
                self.trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
                Poll::Ready(Ok(Part::End(self.trailers.clone())))
            }
            None => {
                self.read = true;
                Poll::Ready(Ok(Part::End(None)))
            }
        }
    }

    /// Asks a client that waits for it to send the body, once (RFC 9110, section 10.1.1).
    ///
    /// # Errors
    /// When the client has left.
    pub fn expect_continue<D: Downstream>(
        &mut self,
        request: &Request,
        downstream: &mut D,
    ) -> Result<(), ClientError> {
        if std::mem::replace(&mut self.asked, true) || self.read {
            return Ok(());
        }
        let head = &request.head;
        let waits = elements(&head.headers, &header::EXPECT)
            .any(|what| what.eq_ignore_ascii_case(b"100-continue"));
        // HTTP/1.0 has no such thing.
        if head.version == Version::HTTP_10 || !waits {
            return Ok(());
        }
        self.continued = true;
        let (mut interim, ()) = Response::new(()).into_parts();
        interim.status = StatusCode::CONTINUE;
        downstream.send_interim(interim)
    }

    /// Marks the body as sent to its end in this try.
    pub fn ends(&mut self) {
        self.sent = true;
    }

    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes += data.len();
        self.truncated |= self.kept_bytes > REPLAY_MAX || self.kept.len() >= REPLAY_PARTS_MAX;
        match self.truncated {
            true => self.kept.clear(),
            false => self.kept.push(data.clone()),
        }
        self.next = self.kept.len();
    }
}

/// Waits for the end of a request that says that it has no body, since an upstream would take its
/// head for the whole request. Returns its length; one that ends in trailers has a body of 0 bytes.
///
/// # Errors
/// When it does not end in time, is malformed, or its client has left.
pub async fn whole<D: Downstream>(
    request: &Request,
    downstream: &mut D,
) -> Result<Length, Rejection> {
    if request.body != Length::None {
        return Ok(request.body);
    }
    let mut until = None;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = downstream.poll_whole(cx) {
            return Poll::Ready(match ended? {
                true => Ok(Length::Exact(0)),
                false => Ok(Length::None),
            });
        }
        let until = *until.get_or_insert_with(|| Instant::now() + request.limits.head_wait);
        ready!(downstream.timer().poll_passed(cx, until));
        let what = "the request has no body and does not end";
        Poll::Ready(Err(Rejection::new(Reason::RequestTimeout, what)))
    })
    .await
}

/// Shows a part of the body to the filters, which may change it.
///
/// # Errors
/// The rejection to answer with.
pub fn filter(
    context: &mut RequestContext,
    bridge: Option<&mut Bridge>,
    body: &mut Option<Bytes>,
    end: bool,
) -> Result<(), Rejection> {
    if let Some(bridge) = bridge {
        let decoded = bridge.request_piece(body, end);
        decoded.map_err(|_| Rejection::new(Reason::BadRequest, "the body is not base64"))?;
    }
    let snapshot = &context.snapshot;
    let route = context.decision.and_then(|decision| decision.route);
    let Some(route) = route.and_then(|id| snapshot.route(id)) else {
        return Ok(());
    };
    let max = route.body_max;
    if max.is_some_and(|max| context.body_counts.request.total > max) {
        return Err(Reason::BodyTooLarge.into());
    }
    match context.hooks.is_empty() {
        true => Ok(()),
        false => context.hooks.request_body(route, body, end),
    }
}

/// Rejects a body that is announced too large before a byte of it is read.
///
/// # Errors
/// The rejection to answer with.
pub fn check_length(headers: &HeaderMap, context: &RequestContext) -> Result<(), Rejection> {
    let max = context.route().and_then(|route| route.body_max);
    match (max, content_length(headers)) {
        (Some(max), Some(length)) if max < length => Err(Reason::BodyTooLarge.into()),
        _ => Ok(()),
    }
}

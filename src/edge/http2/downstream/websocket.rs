//! WebSockets over HTTP/2 (RFC 8441): a request for one becomes the request that HTTP/1.1 has for it,
//! and both sides are told when the process leaves.

use crate::edge::drain::{Drain, Phase};
use crate::edge::websocket::{Frames, GOING_AWAY, GOING_AWAY_MASKED};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderValue, Method, StatusCode, header, request, response};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Makes an extended CONNECT the request that offers the same over HTTP/1.1 (RFC 6455, section 4.1).
/// Its key is new, since HTTP/2 has none.
pub fn offer(head: &mut request::Parts) {
    head.method = Method::GET;
    head.extensions.remove::<Protocol>();
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let headers = &mut head.headers;
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

/// Makes the answer that switches over HTTP/1.1 that of HTTP/2 (RFC 8441, section 5).
pub fn accept(head: &mut response::Parts) {
    head.status = StatusCode::OK;
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
}

/// Follows the frames of both directions, so that both sides get a close with 1001 ("going away")
/// where a frame ends, instead of a stream that breaks off.
pub struct Goodbye {
    to_client: Frames,
    to_upstream: Frames,
    leaves: Pin<Box<dyn Future<Output = ()> + Send>>,
    leaving: bool,
    /// The client has been told: it gets nothing more.
    told: bool,
    /// What the upstream is told still.
    rest: &'static [u8],
    /// Waits to tell the upstream, once the client has been told.
    waits: Option<Waker>,
}

impl Goodbye {
    pub fn new(drain: &Drain) -> Self {
        Self {
            to_client: Frames::default(),
            to_upstream: Frames::default(),
            leaves: Box::pin(drain.reaches(Phase::Over)),
            leaving: false,
            told: false,
            rest: &GOING_AWAY_MASKED,
            waits: None,
        }
    }

    /// Whether the process leaves.
    pub fn poll_leaving(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.leaving && self.leaves.as_mut().poll(cx) == Poll::Ready(()) {
            self.leaving = true;
            if !self.to_upstream.at_boundary() {
                self.rest = &[];
            }
        }
        if self.leaving && !self.told {
            self.waits = Some(cx.waker().clone());
        }
        self.leaving
    }

    /// Returns the close for the client, once it is due.
    pub fn for_client(&mut self) -> Option<Bytes> {
        if !self.leaving || self.told || !self.to_client.at_boundary() {
            return None;
        }
        self.told = true;
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
        Some(Bytes::from_static(&GOING_AWAY))
    }

    /// Whether the client has been told, so that the upstream gets nothing of it any more.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Returns the close for the upstream, once.
    pub fn for_upstream(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| Bytes::from_static(rest))
    }

    /// Bytes for the client are on their way. Returns whether they may go out.
    pub fn passes_to_client(&mut self, data: &[u8]) -> bool {
        if !self.told {
            self.to_client.follow(data);
        }
        !self.told
    }

    /// Bytes for the upstream are on their way.
    pub fn passes_to_upstream(&mut self, data: &[u8]) {
        self.to_upstream.follow(data);
    }
}

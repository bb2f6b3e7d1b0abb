//! The pump of one try: passes the request's body to the upstream and the answer to the client,
//! both at once, in one task. It reads from one side only what the other takes, and ends when a
//! time is up, when the client leaves, or when the answer has been sent.

use super::clock::Clock;
use super::context::RequestContext;
use super::failure::Failure;
use super::request_body::{self, Part, Upload};
use super::response_body::ResponseFilters;
use super::upstream::UpstreamStream;
use crate::edge::filters::grpc::Bridge;
use crate::edge::message::{Downstream, Frame, Length, Upstream};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use std::future::poll_fn;
use std::task::{Context, Poll};

/// What a pump works on.
pub struct Pump<'p, D> {
    pub downstream: &'p mut D,
    pub upstream: &'p mut UpstreamStream,
    pub upload: &'p mut Upload,
    pub context: &'p mut RequestContext,
    pub clock: &'p mut Clock,
    pub bridge: Option<Box<Bridge>>,
    /// Both sides may rest in turn (gRPC, WebSocket): silence counts from the start, not only from
    /// when the upstream has the whole request.
    pub rests: bool,
    pub downloading: Downloading,
}

/// What the way to the upstream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uploading {
    Done,
    Client,
    Upstream,
}

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downloading {
    Upstream,
    /// The client has to take what it was sent first.
    Client,
    Done,
}

impl<D: Downstream> Pump<'_, D> {
    /// Sends the request until a head of the answer has come.
    ///
    /// # Errors
    /// Whatever has ended the try.
    pub async fn head(&mut self) -> Result<(response::Parts, Length), Failure> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    /// Passes bodies on until the answer has been sent, and behind an early answer of success the
    /// rest of the request, for as long as the upstream reads it. `tunnel`: what passes is another
    /// protocol, whose end is that of the upstream's side. The client's end is passed on, and waits
    /// for the upstream's.
    ///
    /// # Errors
    /// Whatever has ended the try.
    pub async fn bodies(
        &mut self,
        filters: &mut ResponseFilters,
        tunnel: bool,
    ) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_bodies(filters, tunnel, cx)).await
    }

    /// Waits for the end of an answer whose status has no content. Over HTTP/2 there may be some
    /// all the same (RFC 9113, section 8.1.1), and then the answer is malformed.
    ///
    /// # Errors
    /// Whatever has ended the try.
    pub async fn ends_bare(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(frame) = self.upstream.poll_frame(cx) {
                    match frame? {
                        Some(Frame::Trailers(_)) => continue,
                        None => return Poll::Ready(Ok(())),
                        Some(Frame::Data(_)) => {
                            let what = "the answer has content that its status has not";
                            return Poll::Ready(Err(Failure::malformed(what)));
                        }
                    }
                }
                // The upstream may wait for the rest of the request.
                let (uploading, went) = self.poll_upload_beside(cx)?;
                if uploading != Uploading::Client {
                    self.poll_gone(cx)?;
                }
                self.clock.upstream.update(true, went);
                return self.poll_late(cx).map(Err);
            }
        })
        .await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Length), Failure>> {
        let before = self.upstream.taken();
        let (uploading, mut moved) = self.poll_upload(cx)?;
        let blocked = self.upstream.poll_flush(cx)?.is_pending();
        if let Poll::Ready(head) = self.upstream.poll_head(cx) {
            return Poll::Ready(head.map_err(Failure::Upstream));
        }
        moved |= self.upstream.taken() != before;
        if uploading != Uploading::Client {
            self.poll_gone(cx)?;
        }
        // Interim answers leave as they come; a client that takes none is not waited for.
        let _ = self.downstream.poll_flush(cx)?;
        let waits = blocked || self.rests || uploading != Uploading::Client;
        self.clock.upstream.update(waits, moved);
        self.poll_late(cx).map(Err)
    }

    fn poll_bodies(
        &mut self,
        filters: &mut ResponseFilters,
        tunnel: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let before = (self.downstream.taken(), self.upstream.taken());
        let came = self.poll_download(filters, cx)?;
        let (uploading, went) = match tunnel {
            true => self.poll_upload(cx)?,
            false => self.poll_upload_beside(cx)?,
        };
        let flushing_up = self.upstream.poll_flush(cx);
        let flushing = self.downstream.poll_flush(cx)?;
        let answered = self.downloading == Downloading::Done && flushing.is_ready();
        let sent = uploading == Uploading::Done && !matches!(flushing_up, Poll::Pending);
        if answered && (tunnel || sent || !self.may_go_on(cx)) {
            return Poll::Ready(Ok(()));
        }
        if answered {
            // The limits of the whole and of a try end with the answer. What a client has sent before
            // it closed goes up.
            self.clock.until = None;
        } else if uploading != Uploading::Client {
            self.poll_gone(cx)?;
        }
        let stalled = flushing.is_pending() || self.downloading == Downloading::Client;
        let taken = self.downstream.taken() != before.0;
        self.clock.client.update(stalled, taken);
        let went = went || self.upstream.taken() != before.1;
        let listens = self.downloading == Downloading::Upstream && !stalled;
        let waits = listens || answered && uploading != Uploading::Client;
        self.clock.upstream.update(waits, came || went);
        self.poll_late(cx).map(Err)
    }

    /// Whether an answer of this status wants the rest of the request. One of another class than
    /// success has refused the request, or sends its client elsewhere: the rest is of no use. The
    /// status of a call of gRPC ends it, in both directions.
    pub fn wants_rest(&self, status: StatusCode) -> bool {
        status.is_success() && self.context.call.is_none()
    }

    /// Whether the rest of the request goes on behind the whole answer.
    fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        let status = self.context.answer.as_ref().map(|answer| answer.status);
        let wanted = status.is_some_and(|status| self.wants_rest(status));
        wanted && self.upstream.poll_refuses(cx).is_pending()
    }

    /// Passes on more of the request's body beside an answer. One that goes on does not need the
    /// rest of the request, so an upstream that takes no more ends the upload alone.
    fn poll_upload_beside(&mut self, cx: &mut Context<'_>) -> Result<(Uploading, bool), Failure> {
        match self.poll_upload(cx) {
            Err(Failure::Upstream(_)) => {
                self.clock.body.update(false, false);
                Ok((Uploading::Done, false))
            }
            uploading => uploading,
        }
    }

    /// Passes on as much of the request's body as the upstream takes. Returns what it waits for,
    /// and whether anything went.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(Uploading, bool), Failure> {
        let mut moved = false;
        while !self.upload.is_sent() {
            if self.upstream.poll_ready(cx)?.is_pending() {
                self.clock.body.update(false, false);
                return Ok((Uploading::Upstream, moved));
            }
            let part = self.upload.poll_part(self.downstream, self.context, cx);
            let Poll::Ready(part) = part else {
                self.clock.rate.waits();
                // While an answer comes, only its end is waited for.
                let answers = self.context.answer.is_some();
                let waits = !answers || self.downloading == Downloading::Done;
                self.clock.body.update(waits, moved);
                return Ok((Uploading::Client, moved));
            };
            self.pass_up(part?)?;
            moved = true;
        }
        self.clock.body.update(false, false);
        Ok((Uploading::Done, moved))
    }

    fn pass_up(&mut self, part: Part) -> Result<(), Failure> {
        let (mut data, end, trailers) = match part {
            Part::Data { data, last } => (Some(data), last, None),
            Part::End(trailers) => (None, true, trailers),
        };
        self.clock.rate.got(data.as_ref().map_or(0, Bytes::len));
        request_body::filter(self.context, self.bridge.as_deref_mut(), &mut data, end)
            .map_err(Failure::Rejected)?;
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            self.context.count_request_out(data.len());
            self.context.mirror_data(&data);
            self.upstream.send_data(data)?;
        }
        if end {
            self.upload.ends();
            self.context.mirror_ends();
            self.upstream.send_end(trailers)?;
        }
        Ok(())
    }

    /// Passes on as much of the answer as the client takes. Returns whether anything came.
    fn poll_download(
        &mut self,
        filters: &mut ResponseFilters,
        cx: &mut Context<'_>,
    ) -> Result<bool, Failure> {
        let mut moved = false;
        while self.downloading != Downloading::Done {
            if self.downstream.poll_ready(cx)?.is_pending() {
                self.downloading = Downloading::Client;
                break;
            }
            self.downloading = Downloading::Upstream;
            let Poll::Ready(frame) = self.upstream.poll_frame(cx) else {
                break;
            };
            moved = true;
            match frame? {
                Some(Frame::Data(data)) => self.pass_down(filters, Some(data), false)?,
                Some(Frame::Trailers(trailers)) => {
                    self.pass_down(filters, None, true)?;
                    self.end_down(filters, Some(trailers))?;
                    self.downloading = Downloading::Done;
                }
                None => {
                    self.pass_down(filters, None, true)?;
                    self.end_down(filters, None)?;
                    self.downloading = Downloading::Done;
                }
            }
        }
        Ok(moved)
    }

    fn pass_down(
        &mut self,
        filters: &mut ResponseFilters,
        mut data: Option<Bytes>,
        end: bool,
    ) -> Result<(), Failure> {
        filters
            .data(self.context, self.bridge.as_deref(), &mut data, end)
            .map_err(Failure::Rejected)?;
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            self.context.count_response_out(data.len());
            self.downstream.send_data(data)?;
        }
        Ok(())
    }

    fn end_down(
        &mut self,
        filters: &ResponseFilters,
        trailers: Option<HeaderMap>,
    ) -> Result<(), Failure> {
        let (last, trailers) = filters.trailers(self.context, self.bridge.as_deref(), trailers);
        if let Some(last) = last {
            self.context.count_response_out(last.len());
            self.downstream.send_data(last)?;
        }
        self.downstream.send_end(trailers)?;
        Ok(())
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        match self.downstream.poll_gone(cx) {
            Poll::Ready(error) => Err(Failure::Client(error)),
            Poll::Pending => Ok(()),
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.clock.poll_late(self.downstream, cx).map(Failure::Late)
    }
}

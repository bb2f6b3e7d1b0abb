//! Reading from a client: heads, then exactly the bytes of each request's body.
//!
//! Bytes behind the end of a request stay in [`Input::ahead`] until the next one begins.

use super::super::chunked::Decoder;
use crate::edge::http1::request_head::Body;
use crate::edge::message::{ClientError, Frame};
use crate::edge::transport::socket::Socket;
use bytes::{BufMut, BytesMut};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Most bytes of heads that are read at once.
const HEAD_READ: usize = 4 * 1024;
/// Bytes of a body that are read at once: at first, and while reads fill the room.
const BODY_READ_MIN: usize = 8 * 1024;
const BODY_READ_MAX: usize = 64 * 1024;
/// Room below which a buffer is not read into any more.
const ROOM_MIN: usize = 1024;
/// Largest rest of a body that is read off so that the connection can be kept.
const DRAINABLE: u64 = 64 * 1024;

/// What is left to read of a request.
#[derive(Debug)]
enum Rest {
    None,
    Length(u64),
    Chunked(Decoder),
    /// The connection has switched protocols: everything until its end.
    Raw,
    /// The request breaks off.
    Broken(ClientError),
}

/// What a client sends.
#[derive(Debug)]
pub struct Input {
    /// Read from the socket, and not yet taken.
    pub ahead: BytesMut,
    rest: Rest,
    /// How much the next read of a body may bring.
    room: usize,
    /// The kernel is known to have bytes that nothing reads for now.
    waits: bool,
    /// The client waits to be asked for the body (RFC 9110, section 10.1.1).
    expects: bool,
}

impl Input {
    pub fn new(ahead: BytesMut) -> Self {
        Self {
            ahead,
            rest: Rest::None,
            room: BODY_READ_MIN,
            waits: false,
            expects: false,
        }
    }

    /// Begins to read the body of a request whose head has been taken.
    pub fn begin(&mut self, body: Body, expects: bool) {
        self.rest = match body {
            Body::None => Rest::None,
            Body::Length(length) => Rest::Length(length),
            Body::Chunked => Rest::Chunked(Decoder::default()),
        };
        self.room = BODY_READ_MIN;
        self.expects = expects && body != Body::None;
    }

    /// The client has been asked for the body.
    pub fn asked(&mut self) {
        self.expects = false;
    }

    /// Everything that follows belongs to another protocol.
    pub fn switch(&mut self) {
        self.rest = Rest::Raw;
    }

    /// Whether nothing of the request is left to read.
    pub fn is_read(&self) -> bool {
        matches!(self.rest, Rest::None | Rest::Length(0))
    }

    /// Whether the rest of the body is known to be small. A client that waits to be asked for it
    /// may never send it.
    pub fn is_drainable(&self) -> bool {
        match &self.rest {
            _ if self.expects && self.ahead.is_empty() => false,
            Rest::None => true,
            Rest::Length(left) => *left <= DRAINABLE,
            Rest::Chunked(decoder) => {
                let small = self.ahead.len() as u64 <= DRAINABLE;
                // Looks for the end in a copy, since the body may still be read.
                small && matches!(decoder.clone().follow(&self.ahead), Ok(Some(_)))
            }
            Rest::Raw | Rest::Broken(_) => false,
        }
    }

    /// Frees buffers that a quiet connection does not need.
    pub fn rest(&mut self) {
        self.rest = Rest::None;
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }

    /// Reads more of a head into `ahead`; 0: the client has closed. The bytes go by way of the
    /// stack, so that a connection that waits holds no buffer.
    pub fn poll_head(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); HEAD_READ];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(socket).poll_read(cx, &mut buf))?;
        self.waits = false;
        self.ahead.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Returns the next part of the body.
    pub fn poll_frame(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, ClientError>> {
        let frame = match &self.rest {
            Rest::None | Rest::Length(0) => return Poll::Ready(Ok(None)),
            Rest::Broken(error) => return Poll::Ready(Err(*error)),
            Rest::Length(left) => {
                let left = *left;
                ready!(self.poll_length(socket, cx, left))
            }
            Rest::Chunked(_) => ready!(self.poll_chunked(socket, cx)),
            Rest::Raw => ready!(self.poll_raw(socket, cx)),
        };
        if let Err(error) = &frame {
            self.rest = Rest::Broken(*error);
        }
        Poll::Ready(frame)
    }

    fn poll_length(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        left: u64,
    ) -> Poll<Result<Option<Frame>, ClientError>> {
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        if self.ahead.is_empty() && ready!(self.poll_fill(socket, cx, limit))? == 0 {
            return Poll::Ready(Err(ClientError::Gone));
        }
        let data = self.ahead.split_to(self.ahead.len().min(limit)).freeze();
        self.rest = Rest::Length(left.saturating_sub(data.len() as u64));
        Poll::Ready(Ok(Some(Frame::Data(data))))
    }

    fn poll_chunked(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, ClientError>> {
        loop {
            let Rest::Chunked(decoder) = &mut self.rest else {
                return Poll::Ready(Ok(None));
            };
            let data = decoder.next(&mut self.ahead);
            if let Some(data) = data.map_err(|_| ClientError::Malformed)? {
                return Poll::Ready(Ok(Some(Frame::Data(data))));
            }
            if decoder.is_done() {
                let trailers = decoder.trailers().map_err(|_| ClientError::Malformed)?;
                self.rest = Rest::None;
                let trailers = (!trailers.is_empty()).then_some(Frame::Trailers(trailers));
                return Poll::Ready(Ok(trailers));
            }
            if ready!(self.poll_fill(socket, cx, usize::MAX))? == 0 {
                return Poll::Ready(Err(ClientError::Gone));
            }
        }
    }

    fn poll_raw(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, ClientError>> {
        if self.ahead.is_empty() && ready!(self.poll_fill(socket, cx, usize::MAX))? == 0 {
            self.rest = Rest::None;
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Ok(Some(Frame::Data(self.ahead.split().freeze()))))
    }

    /// Reads at most `limit` bytes into `ahead`, which is empty. 0: the client has closed.
    fn poll_fill(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<usize, ClientError>> {
        let room = self.room.min(limit);
        if self.ahead.capacity() < room.min(ROOM_MIN) {
            self.ahead.reserve(room);
        }
        let room = self.ahead.capacity().min(limit);
        let mut part = (&mut self.ahead).limit(room);
        let read = pin!(socket.read_buf(&mut part)).poll(cx);
        let read = ready!(read).map_err(|_| ClientError::Gone)?;
        (self.waits, self.expects) = (false, false);
        if read == room {
            self.room = (self.room * 2).min(BODY_READ_MAX);
        }
        Poll::Ready(Ok(read))
    }

    /// Ready once the client has left. A request that waits behind this one hides that; a body that
    /// is not read for now does not.
    pub fn poll_gone(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<ClientError> {
        if self.ahead.is_empty() && !self.waits {
            match ready!(socket.poll_gone(cx, &mut self.ahead)) {
                Ok(false) => self.waits = self.ahead.is_empty(),
                Ok(true) | Err(_) => return Poll::Ready(ClientError::Gone),
            }
        }
        match self.is_read() {
            true => Poll::Pending,
            false => socket.poll_hung_up(cx).map(|()| ClientError::Gone),
        }
    }
}

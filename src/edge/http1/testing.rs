//! Clients for tests: one end of a pair of sockets.

use super::downstream::Http1Client;
use crate::edge::http1::request_head::{Limits, Scanner};
use crate::edge::message::{ClientError, ClientLimits, Downstream, Frame, Request};
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::drain::Drainer;
use crate::edge::transport::socket::{Socket, Transport};
use bytes::BytesMut;
use http::{HeaderMap, StatusCode, response};
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Limits that no test reaches.
pub const LIMITS_OF_CLIENTS: ClientLimits = ClientLimits {
    head_wait: Duration::from_mins(1),
    body_wait: Duration::from_mins(1),
    min_body_rate: 0,
    write_wait: Duration::from_mins(1),
};

pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A connection between the code under test and a client that a test plays.
pub struct Pair {
    pub near: Http1Client,
    pub far: UnixStream,
    pub drainer: Drainer,
}

pub fn over(transport: impl Into<Transport>) -> (Http1Client, Drainer) {
    let (drainer, drain) = Drainer::new();
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 4711));
    let info = ConnectionInfo::new("web".into(), peer, drain);
    let socket = Socket::Plain(transport.into());
    let client = Http1Client::new(socket, BytesMut::new(), Arc::new(info));
    (client, drainer)
}

impl Pair {
    pub fn new() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        let (near, drainer) = over(near);
        Self { near, far, drainer }
    }

    /// A connection on which the client has sent these bytes, and the request that begins them.
    pub async fn with(bytes: &[u8]) -> (Self, Request) {
        let mut pair = Self::new();
        pair.far.write_all(bytes).await.unwrap();
        let request = begin(&mut pair.near).await;
        (pair, request)
    }

    /// Sends what is queued, and returns what the client has got of it: `until` ends it.
    pub async fn flushed(&mut self, until: &str) -> String {
        poll_fn(|cx| self.near.poll_flush(cx)).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(until.as_bytes()) {
            assert_ne!(self.far.read_buf(&mut got).await.unwrap(), 0, "closed");
        }
        String::from_utf8(got).unwrap()
    }

    /// Ends the exchange. Returns whether the connection is kept, and what the client has got; its
    /// own side is closed.
    pub async fn ended(mut self) -> (bool, String) {
        self.far.shutdown().await.unwrap();
        let kept = self.near.finish().await;
        drop(self.near);
        let mut got = String::new();
        self.far.read_to_string(&mut got).await.unwrap();
        (kept, got)
    }
}

/// Waits for a request.
pub async fn begin(client: &mut Http1Client) -> Request {
    let limits = Limits {
        bytes: 64 * 1024,
        fields: 100,
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let found = Scanner::default().scan(client.ahead(), limits).unwrap();
        if let Some(head) = found {
            return client.begin(&head, LIMITS_OF_CLIENTS).unwrap();
        }
        let read = poll_fn(|cx| client.poll_ahead(cx, deadline)).await;
        assert_ne!(read.unwrap(), 0, "closed");
    }
}

/// A head of this status with these fields.
pub fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        head.headers.append(*name, value.parse().unwrap());
    }
    head
}

/// Reads a body to its end: its data, and its trailers.
pub async fn body(
    client: &mut impl Downstream,
) -> Result<(Vec<u8>, Option<HeaderMap>), ClientError> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| client.poll_frame(cx)).await? {
        match frame {
            Frame::Data(part) => data.extend_from_slice(&part),
            Frame::Trailers(fields) => trailers = Some(fields),
        }
    }
    Ok((data, trailers))
}

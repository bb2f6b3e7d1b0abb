//! Exchanges with servers in memory.

mod fields;
mod life;
mod pool;
mod stream;
mod upload;

use super::{Http2Pool, Http2Upstream};
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::uri::Scheme;
use http::{Request, Response, StatusCode, request, response};
use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::DuplexStream;

const KEY: u64 = 7;
const IDLE: Duration = Duration::from_mins(1);

type Server = Connection<DuplexStream, Bytes>;
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// Both ends of a transport that holds so much in each direction.
fn transport() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(64 * 1024)
}

/// A stream on a connection of its own, and the server's end of that.
async fn pair(settings: &Builder) -> (Http2Upstream, Server) {
    let (ours, theirs) = transport();
    let pool = Http2Pool::default();
    let stream = pool.stream(KEY, Scheme::HTTP, IDLE, || async {
        Ok::<_, Infallible>(ours)
    });
    let (stream, server) = tokio::join!(stream, settings.handshake(theirs));
    let (stream, reused) = stream.unwrap();
    assert!(!reused);
    (stream, server.unwrap())
}

/// Runs the server's end while a stream is served.
fn run(mut server: Server) {
    tokio::spawn(async move { while server.accept().await.is_some() {} });
}

async fn accept(server: &mut Server) -> Asked {
    server.accept().await.unwrap().unwrap()
}

fn ask(method: &str) -> request::Parts {
    let request = Request::builder().method(method).uri("/a?b");
    let request = request.header("host", "a.example").body(());
    request.unwrap().into_parts().0
}

/// Sends a head, and takes it as the server's end.
async fn begin(settings: &Builder, method: &str, body: Length) -> (Http2Upstream, Asked, Server) {
    let (mut stream, mut server) = pair(settings).await;
    stream.send_head(&ask(method), body).unwrap();
    flush(&mut stream).await.unwrap();
    let asked = accept(&mut server).await;
    (stream, asked, server)
}

/// As [`begin`], with the server's end running.
async fn exchange(method: &str, body: Length) -> (Http2Upstream, Asked) {
    let (stream, asked, server) = begin(&Builder::new(), method, body).await;
    run(server);
    (stream, asked)
}

fn ok() -> Response<()> {
    Response::new(())
}

fn answer(respond: &mut SendResponse<Bytes>, head: Response<()>) -> SendStream<Bytes> {
    respond.send_response(head, false).unwrap()
}

async fn head(stream: &mut Http2Upstream) -> Result<(response::Parts, Length), UpstreamError> {
    poll_fn(|cx| stream.poll_head(cx)).await
}

async fn status(stream: &mut Http2Upstream) -> Result<StatusCode, UpstreamError> {
    head(stream).await.map(|(head, _)| head.status)
}

async fn frame(stream: &mut Http2Upstream) -> Result<Option<Frame>, UpstreamError> {
    poll_fn(|cx| stream.poll_frame(cx)).await
}

async fn flush(stream: &mut Http2Upstream) -> Result<(), UpstreamError> {
    poll_fn(|cx| stream.poll_flush(cx)).await
}

/// Reads an answer's body to its end.
async fn body(stream: &mut Http2Upstream) -> Result<Vec<u8>, UpstreamError> {
    let mut whole = Vec::new();
    while let Some(frame) = frame(stream).await? {
        match frame {
            Frame::Data(data) => whole.extend_from_slice(&data),
            Frame::Trailers(trailers) => panic!("{trailers:?}"),
        }
    }
    Ok(whole)
}

/// Reads a request's body to its end, at the server's end.
async fn read(body: &mut RecvStream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        whole.extend_from_slice(&data);
    }
    whole
}

//! How connections end, and what they are used for till then.

use super::{IDLE, KEY, Server, accept, answer, ask, body, ok, run, status, transport};
use crate::edge::http2::upstream::{Http2Pool, Http2Upstream};
use crate::edge::message::{Length, Upstream, UpstreamError};
use h2::server::Builder;
use http::StatusCode;
use http::uri::Scheme;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A pool with one connection of which the test has the server's end.
async fn connected(pool: &Http2Pool, idle: Duration) -> (Http2Upstream, Server) {
    let (ours, theirs) = transport();
    let stream = pool.stream(KEY, Scheme::HTTP, idle, || ready(Ok::<_, Infallible>(ours)));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(100);
    let (stream, server) = tokio::join!(stream, builder.handshake(theirs));
    (stream.unwrap().0, server.unwrap())
}

async fn pooled(pool: &Http2Pool) -> Http2Upstream {
    let stream = pool.stream(KEY, Scheme::HTTP, IDLE, pending::<Result<DuplexStream, ()>>);
    let (stream, reused) = stream.await.unwrap();
    assert!(reused);
    stream
}

async fn until_gone(pool: &Http2Pool) {
    while pool.counts(KEY).is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let pool = Http2Pool::default();
    let (stream, mut server) = connected(&pool, IDLE).await;
    let (sender, mut ended) = mpsc::channel(1);
    tokio::spawn(async move { sender.send(server.accept().await.is_none()).await });
    sleep(IDLE * 3).await;
    assert!(ended.try_recv().is_err(), "it has a stream");
    drop(stream);
    sleep(IDLE / 2).await;
    drop(pooled(&pool).await);
    sleep(IDLE * 9 / 10).await;
    assert!(ended.try_recv().is_err(), "it was used meanwhile");
    assert_eq!(ended.recv().await, Some(true));
    assert_eq!(pool.counts(KEY), None);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_read_is_left_in_the_end() {
    let pool = Http2Pool::default();
    let (ours, theirs) = tokio::io::duplex(64);
    let connect = || ready(Ok::<_, Infallible>(ours));
    let stream = pool.stream(KEY, Scheme::HTTP, IDLE, connect).await.unwrap();
    drop((stream, pool));
    let (mut read, _write) = tokio::io::split(theirs);
    // The transport is full of what came first: it ends although nothing is read till then.
    sleep(Duration::from_mins(1)).await;
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut read, &mut rest)
        .await
        .unwrap();
    assert!(rest.len() <= 64);
}

#[tokio::test]
async fn a_connection_that_ends_leaves_at_once() {
    let pool = Http2Pool::default();
    let (stream, server) = connected(&pool, IDLE).await;
    drop(stream);
    drop(server);
    until_gone(&pool).await;
}

#[tokio::test]
async fn after_goaway_no_stream_begins_and_those_there_go_on() {
    let pool = Http2Pool::default();
    let (mut stream, mut server) = connected(&pool, IDLE).await;
    stream.send_head(&ask("GET"), Length::None).unwrap();
    let (_, mut respond) = accept(&mut server).await;
    server.graceful_shutdown();
    run(server);
    until_gone(&pool).await;
    answer(&mut respond, ok())
        .send_data("whole".into(), true)
        .unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    assert_eq!(body(&mut stream).await.unwrap(), b"whole");
}

#[tokio::test]
async fn a_stream_taken_before_goaway_is_unprocessed() {
    let pool = Http2Pool::default();
    let (first, mut server) = connected(&pool, IDLE).await;
    server.abrupt_shutdown(h2::Reason::NO_ERROR);
    run(server);
    until_gone(&pool).await;
    let mut stream = first;
    let sent = stream.send_head(&ask("GET"), Length::None);
    assert_eq!(sent, Err(UpstreamError::Unprocessed));
}

#[tokio::test]
async fn a_connection_under_suspicion_gets_no_more_streams() {
    let pool = Http2Pool::default();
    let (mut stream, mut server) = connected(&pool, IDLE).await;
    stream.send_head(&ask("GET"), Length::None).unwrap();
    let (_, mut respond) = accept(&mut server).await;
    run(server);
    let other = pooled(&pool).await;
    other.suspect();
    drop(other);
    let (_another, _server) = connected(&pool, IDLE).await;
    answer(&mut respond, ok())
        .send_data("whole".into(), true)
        .unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_dropped_pool_closes_its_connections() {
    let pool = Http2Pool::default();
    let (stream, mut server) = connected(&pool, IDLE).await;
    drop((stream, pool));
    // It may have closed before the server's first frames came.
    let ended = server.accept().await;
    assert!(ended.is_none_or(|ended| ended.is_err_and(|error| error.is_io())));
}

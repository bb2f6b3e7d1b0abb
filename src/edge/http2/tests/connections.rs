//! Connections: their bounds, and their ends.

use super::super::connection::turn_away;
use super::service::Event;
use super::{Setup, get, within};
use crate::edge::message::ClientError;
use crate::edge::transport::drain::Phase;
use crate::edge::transport::socket::{Socket, Transport};
use crate::snapshot::ListenerSettings;
use h2::Reason;
use http::{HeaderValue, Request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[tokio::test]
async fn refused_heads_are_served_and_malformed_ones_are_not() {
    let (mut client, mut server) = Setup::new().connect().await;
    let other = Request::get("http://a.example/").header("host", "b.example");
    let (answer, _) = client.send(other.body(()).unwrap(), true).await;
    assert!(matches!(server.event().await, Event::Refused(400)));
    assert_eq!(within(answer).await.unwrap().status(), 400);
    let padded = || {
        let mut request = get("/");
        let value = HeaderValue::from_static("x ");
        request.headers_mut().insert("x", value);
        request
    };
    // One more than a connection may have.
    for nth in 0..=100 {
        let (answer, _) = client.send(padded(), true).await;
        let error = within(answer).await.unwrap_err();
        let reason = match nth {
            100 => continue, // its reset may be lost in the farewell
            _ => Reason::PROTOCOL_ERROR,
        };
        assert_eq!(error.reason(), Some(reason), "{nth}");
    }
    let reason = within(client.task).await.unwrap();
    assert_eq!(reason, Some(Reason::ENHANCE_YOUR_CALM));
    within(server.task).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let mut setup = Setup::new();
    setup.listener.clients.idle_timeout = Duration::from_millis(500);
    let (mut client, mut server) = setup.connect().await;
    let answer = client.get("/wait").await;
    server.event().await;
    assert!(!server.task.is_finished());
    drop(answer);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
    within(server.task).await.unwrap();
    assert_eq!(within(client.task).await.unwrap(), None, "a graceful end");
}

#[tokio::test]
async fn streams_in_flight_end_though_the_listener_drains() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (answer, mut body) = client.send(super::post("/parts", None), false).await;
    server.event().await;
    server.drainer.tell(Phase::Announced);
    client.settle().await;
    super::write(&mut body, super::pattern(10), true).await;
    assert_eq!(server.event().await.data().len(), 10);
    assert_eq!(within(answer).await.unwrap().status(), 200);
    drop(client.requests);
    within(server.task).await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let mut setup = Setup::new().window(16 << 20);
    setup.client.initial_connection_window_size(16 << 20);
    setup.listener.clients.write_timeout = Duration::from_millis(100);
    let (mut client, mut server) = setup.connect().await;
    let (_answer, _body) = client.send(get("/large"), true).await;
    server.event().await;
    client.rests.notify_one();
    loop {
        match server.event().await {
            Event::Queued => {}
            event => break assert_eq!(event.failed(), ClientError::Gone),
        }
    }
    within(server.task).await.unwrap();
    assert!(!client.task.is_finished());
}

#[tokio::test]
async fn a_flood_is_ended_with_its_reason() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let server = Setup::new().serves(theirs);
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    ours.write_all(&preface).await.unwrap();
    let _ = ours.write_all(&settings.repeat(1000)).await;
    let mut read = Vec::new();
    // What the server has left unread makes its close a reset.
    while matches!(within(ours.read_buf(&mut read)).await, Ok(1..)) {}
    let farewell = [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &[0; 7], &[11]].concat();
    assert!(read.windows(farewell.len()).any(|seen| seen == farewell));
    within(server.task).await.unwrap();
}

#[tokio::test]
async fn what_only_begins_as_the_preface_is_turned_away() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let settings = ListenerSettings::new(&Setup::new().listener, None, None);
    let socket = Socket::Plain(Transport::from(theirs));
    let server = tokio::spawn(async move { turn_away(socket, &settings).await });
    let mut read = Vec::new();
    within(ours.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read.last(), Some(&1), "a protocol error");
    drop(ours);
    within(server).await.unwrap();
}

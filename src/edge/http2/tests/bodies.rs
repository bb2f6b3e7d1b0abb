//! Bodies of requests.

use super::service::Event;
use super::{Setup, pattern, post, read, within, write};
use crate::config::listener::Window;
use crate::edge::message::{ClientError, Length};
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use std::future::poll_fn;

async fn length_of(server: &mut super::Server) -> Length {
    match server.event().await {
        Event::Request(_, length) => length,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let (mut client, mut server) = Setup::new().window(10_000).connect().await;
    let (answer, mut body) = client.send(post("/echo", None), false).await;
    let sent = pattern(1 << 20);
    let data = sent.clone();
    let upload = tokio::spawn(async move {
        write(&mut body, data, false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", "abc".parse().unwrap());
        body.send_trailers(trailers).unwrap();
    });
    let mut answer = within(answer).await.unwrap().into_body();
    assert!(read(&mut answer).await.unwrap() == sent);
    let trailers = within(answer.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["checksum"], "abc");
    within(upload).await.unwrap();
    assert_eq!(length_of(&mut server).await, Length::Unknown);
    assert!(matches!(server.event().await, Event::Sent(sent) if sent == 1 << 20));
}

#[tokio::test]
async fn lengths_are_those_of_the_head() {
    let (mut client, mut server) = Setup::new().connect().await;
    let _ = within(client.get("/it").await).await.unwrap();
    assert_eq!(length_of(&mut server).await, Length::None);
    server.event().await;
    let (_, _body) = client.send(post("/it", Some(5)), false).await;
    assert_eq!(length_of(&mut server).await, Length::Exact(5));
}

#[tokio::test]
async fn the_last_part_waits_for_the_end() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (answer, mut body) = client.send(post("/parts", Some(10)), false).await;
    assert_eq!(length_of(&mut server).await, Length::Exact(10));
    write(&mut body, Bytes::from_static(b"0123"), false).await;
    assert_eq!(server.event().await.data(), "0123");
    write(&mut body, Bytes::from_static(b"456789"), false).await;
    client.settle().await;
    assert!(server.events.try_recv().is_err(), "more may come");
    body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(server.event().await.data(), "456789");
    assert!(matches!(server.event().await, Event::End));
    assert_eq!(within(answer).await.unwrap().status(), 200);
}

#[tokio::test]
async fn trailers_follow_a_body_of_known_length() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (_answer, mut body) = client.send(post("/parts", Some(3)), false).await;
    length_of(&mut server).await;
    write(&mut body, Bytes::from_static(b"abc"), false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "1".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    assert_eq!(server.event().await.data(), "abc");
    assert!(matches!(server.event().await, Event::Trailers(trailers) if trailers["x"] == "1"));
    assert!(matches!(server.event().await, Event::End));
}

#[tokio::test]
async fn bodies_of_another_length_are_malformed() {
    for sent in ["123456", "1234"] {
        let (mut client, mut server) = Setup::new().connect().await;
        let (answer, mut body) = client.send(post("/parts", Some(5)), false).await;
        length_of(&mut server).await;
        body.send_data(Bytes::from_static(sent.as_bytes()), true)
            .unwrap();
        assert_eq!(
            server.event().await.failed(),
            ClientError::Malformed,
            "{sent}"
        );
        let error = within(answer).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    }
}

#[tokio::test]
async fn a_malformed_body_is_told_from_a_client_that_leaves() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (_answer, mut body) = client.send(post("/wait", Some(5)), false).await;
    length_of(&mut server).await;
    body.send_data(Bytes::from_static(b"123456"), true).unwrap();
    assert_eq!(server.event().await.failed(), ClientError::Malformed);
}

#[tokio::test]
async fn a_body_that_is_reset_fails() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (_answer, mut body) = client.send(post("/parts", None), false).await;
    length_of(&mut server).await;
    write(&mut body, Bytes::from_static(b"0123"), false).await;
    assert_eq!(server.event().await.data(), "0123");
    body.send_reset(Reason::CANCEL);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
}

#[tokio::test]
async fn the_window_opens_when_the_next_part_is_asked_for() {
    const WINDOW: usize = 16 << 10; // one frame
    let mut setup = Setup::new();
    setup.listener.http2.stream_window = Window(WINDOW as u32);
    let (mut client, mut server) = setup.connect().await;
    let (_answer, mut body) = client.send(post("/hold", None), false).await;
    length_of(&mut server).await;
    write(&mut body, pattern(WINDOW), false).await;
    assert_eq!(server.event().await.data().len(), WINDOW);
    body.reserve_capacity(1);
    client.settle().await;
    assert_eq!(body.capacity(), 0, "the part is still held");
    server.gate.notify_one();
    let room = within(poll_fn(|cx| body.poll_capacity(cx))).await;
    assert_eq!(room.unwrap().unwrap(), 1);
}

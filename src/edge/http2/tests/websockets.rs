//! WebSockets by extended CONNECT (RFC 8441).

use super::service::Event;
use super::{Client, Server, Setup, read, within, write};
use crate::edge::message::{ClientError, Length};
use crate::edge::transport::drain::Phase;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Version};

fn connect(protocol: Option<&'static str>, path: &str) -> Request<()> {
    let mut request = Request::connect(format!("http://a.example{path}"))
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13");
    if let Some(protocol) = protocol {
        request = request.extension(Protocol::from_static(protocol));
    }
    request.body(()).unwrap()
}

async fn open() -> (Client, Server, SendStream<Bytes>, RecvStream) {
    let (mut client, mut server) = Setup::new().connect().await;
    assert!(client.requests.is_extended_connect_protocol_enabled());
    let (answer, body) = client
        .send(connect(Some("websocket"), "/ws?a=b"), false)
        .await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let fields = answer.headers();
    assert_eq!(fields["sec-websocket-protocol"], "chat");
    assert_eq!(fields.len(), 2, "only a date besides: {fields:?}");
    let Event::Request(head, length) = server.event().await else {
        panic!("no request");
    };
    assert_eq!(length, Length::None);
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.uri, "http://a.example/ws?a=b");
    assert_eq!(head.headers["connection"], "upgrade");
    assert_eq!(head.headers["upgrade"], "websocket");
    assert_eq!(head.headers["sec-websocket-version"], "13");
    let key = STANDARD.decode(&head.headers["sec-websocket-key"]).unwrap();
    assert_eq!(key.len(), 16);
    (client, server, body, answer.into_body())
}

/// A frame with a short payload, masked with zeros.
fn masked(text: &str) -> Bytes {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame.into()
}

#[tokio::test]
async fn bytes_go_both_ways_until_both_sides_end() {
    let (_client, mut server, mut up, mut down) = open().await;
    for text in ["one", "two"] {
        write(&mut up, masked(text), false).await;
        assert_eq!(server.event().await.data(), masked(text));
        assert_eq!(within(down.data()).await.unwrap().unwrap(), masked(text));
    }
    up.send_data(Bytes::new(), true).unwrap();
    assert!(matches!(server.event().await, Event::End));
    assert_eq!(read(&mut down).await.unwrap(), b"");
    assert!(matches!(server.event().await, Event::Sent(18)));
}

#[tokio::test]
async fn a_client_that_resets_ends_it() {
    let (_client, mut server, mut up, _down) = open().await;
    up.send_reset(Reason::CANCEL);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
}

#[tokio::test]
async fn both_sides_are_told_when_the_process_leaves() {
    let (_client, mut server, _up, mut down) = open().await;
    server.drainer.tell(Phase::Over);
    assert_eq!(
        server.event().await.data(),
        &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9][..]
    );
    assert!(matches!(server.event().await, Event::End));
    assert_eq!(read(&mut down).await.unwrap(), [0x88, 2, 3, 0xe9]);
}

#[tokio::test]
async fn no_frame_is_cut_by_the_farewell() {
    let (_client, mut server, mut up, mut down) = open().await;
    let frame = masked("split");
    write(&mut up, frame.slice(..7), false).await;
    assert_eq!(server.event().await.data(), frame.slice(..7));
    assert_eq!(
        within(down.data()).await.unwrap().unwrap(),
        frame.slice(..7)
    );
    server.drainer.tell(Phase::Over);
    write(&mut up, frame.slice(7..), false).await;
    assert_eq!(server.event().await.data(), frame.slice(7..));
    // The echo has ended the frame for the client. To the upstream, a frame was on its way when the
    // process left.
    assert!(matches!(server.event().await, Event::End));
    let rest = [&frame[7..], &[0x88, 2, 3, 0xe9]].concat();
    assert_eq!(read(&mut down).await.unwrap(), rest);
}

#[tokio::test]
async fn an_offer_that_is_not_taken_is_answered_as_any_request() {
    let (mut client, _server) = Setup::new().connect().await;
    let (answer, _body) = client
        .send(connect(Some("websocket"), "/other"), false)
        .await;
    let mut answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(read(answer.body_mut()).await.unwrap(), b"/other");
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (answer, _body) = client.send(connect(Some("connect-udp"), "/"), false).await;
    assert!(matches!(server.event().await, Event::Refused(405)));
    assert_eq!(within(answer).await.unwrap().status(), 405);
    let plain = Request::connect("a.example:80").body(()).unwrap();
    let (answer, _body) = client.send(plain, false).await;
    assert!(matches!(server.event().await, Event::Refused(405)));
    assert_eq!(within(answer).await.unwrap().status(), 405);
}

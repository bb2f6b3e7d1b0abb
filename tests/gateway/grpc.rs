//! gRPC through the gateway, by clients and servers that others have written.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, BufMut};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::tokio_stream::{self, Stream, StreamExt};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages are their bytes.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Says what it is told, or ends as it is told.
#[derive(Clone)]
struct Echo {
    /// It ends so whatever it is told.
    sour: bool,
}

type Answers = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

impl tonic::server::StreamingService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let sour = self.sour;
        Box::pin(async move {
            let said = request
                .into_inner()
                .map(move |message| match message?.as_slice() {
                    told if sour || told == b"fail" => Err(Status::data_loss("as asked")),
                    other => Ok(other.to_vec()),
                });
            Ok(Response::new(Box::pin(said) as Answers))
        })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "t.Echo";
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async { Ok(tonic::server::Grpc::new(Raw).streaming(echo, request).await) })
    }
}

fn server() -> SocketAddr {
    server_of(Echo { sour: false })
}

/// A server on a runtime of its own.
fn server_of(echo: Echo) -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let socket = tokio::net::TcpListener::from_std(socket).unwrap();
            let incoming = tonic::transport::server::TcpIncoming::from(socket);
            Server::builder()
                .add_service(echo)
                .serve_with_incoming(incoming)
                .await
        })
    });
    address
}

fn config(upstream: SocketAddr) -> String {
    format!(
        "{}[services.a.versions.v1]\nendpoints = [\"{upstream}\"]\nhttp = \"h2c\"\n\
         [routes.echo]\nmatch = {{ path = \"/t.Echo/*\" }}\nservice = \"a\"\n\
         [limits.none]\nrate = \"1/h\"\nburst = 1\nkey = \"route\"\n\
         [routes.limited]\nmatch = {{ path = \"/t.Echo/Limited\" }}\nservice = \"a\"\nlimits = [\"none\"]\n",
        listeners("")
    )
}

fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/t.Echo/{method}").parse().unwrap()
}

async fn client(gateway: &Gateway) -> Grpc<Channel> {
    let address = format!("http://{}", gateway.address("web"));
    let channel = Channel::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    client
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn calls_of_every_kind_by_tonic() {
    let mut gateway = Gateway::start(&config(server()));
    runtime().block_on(async {
        let mut client = client(&gateway).await;
        let sent = vec![7; 1 << 20];
        let answer = client
            .unary(Request::new(sent.clone()), path("Unary"), Raw)
            .await;
        assert_eq!(answer.unwrap().into_inner(), sent);
        let messages: Vec<Vec<u8>> = (0..2000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let stream = tokio_stream::iter(messages.clone());
        client.ready().await.unwrap();
        let answer = client
            .streaming(Request::new(stream), path("Bidi"), Raw)
            .await;
        let answers: Vec<_> = answer
            .unwrap()
            .into_inner()
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(answers, messages);
        // A failure half way keeps what came before it.
        let stream = tokio_stream::iter(vec![b"one".to_vec(), b"fail".to_vec()]);
        client.ready().await.unwrap();
        let answer = client
            .streaming(Request::new(stream), path("Bidi"), Raw)
            .await;
        let mut answers = answer.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap(), b"one");
        let ended = answers.message().await.unwrap_err();
        assert_eq!(
            (ended.code(), ended.message()),
            (Code::DataLoss, "as asked")
        );
    });
    let of = "route=\"echo\",service=\"a\",version=\"v1\",color=\"\"";
    // The log has the status, from trailers.
    let ended = |status: u8| move |line: &serde_json::Value| line["grpc_status"] == status;
    assert_eq!(gateway.logged(ended(0))["status"], 200);
    assert_eq!(gateway.logged(ended(15))["route"], "echo");
    for (status, calls) in [("0", 2.0), ("15", 1.0)] {
        let name = format!("tyrian_grpc_responses_total{{{of},grpc_status=\"{status}\"}}");
        gateway.counts(&name, calls);
    }
    gateway.counts(&format!("tyrian_requests_total{{{of},code=\"200\"}}"), 3.0);
}

#[test]
fn a_mirror_that_fails_in_the_words_of_grpc_is_told() {
    let (sweet, sour) = (server(), server_of(Echo { sour: true }));
    let text = format!(
        "{}[services.a]\ndefault = \"v1\"\n\
         [services.a.versions]\nv1 = {{ endpoints = [\"{sweet}\"], http = \"h2c\" }}\n\
         v2 = {{ endpoints = [\"{sour}\"], http = \"h2c\" }}\n\
         [routes.echo]\nmatch = {{ path = \"/t.Echo/*\" }}\nservice = \"a\"\n\
         mirror = {{ service = \"a\", version = \"v2\", compare = {{}} }}\n",
        listeners("")
    );
    let mut gateway = Gateway::start(&text);
    runtime().block_on(async {
        let mut client = client(&gateway).await;
        let answer = client.unary(Request::new(b"x".to_vec()), path("Unary"), Raw);
        assert_eq!(answer.await.unwrap().into_inner(), b"x");
    });
    let mut found = serde_json::Value::Null;
    gateway.wait_for("the comparison", |gateway| {
        let (_, mirrors) = gateway.api("GET", "/v1/mirrors", "");
        found = mirrors["mirrors"][0]["compared"].clone();
        found["copies"] == 1
    });
    let rows = found["differ"].as_array().unwrap();
    let differ = |what| &rows.iter().find(|row| row["what"] == what).unwrap()["copies"];
    assert_eq!(
        (differ("status"), differ("grpc-status")),
        (&0.into(), &1.into())
    );
    assert_eq!(found["examples"][0]["differs"][0], "grpc-status 0 → 15");
}

#[test]
fn a_stream_outlives_reloads() {
    let text = config(server());
    let gateway = Gateway::start(&text);
    runtime().block_on(async {
        let mut client = client(&gateway).await;
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
        send.send(b"begin".to_vec()).await.unwrap();
        let answer = client
            .streaming(Request::new(requests), path("Bidi"), Raw)
            .await;
        let mut answers = answer.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap(), b"begin");
        for round in 0..20_u8 {
            gateway.write_config(&format!("{text}# {round}\n[server]\nthreads = {round}\n"));
            assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
            send.send(vec![round]).await.unwrap();
            assert_eq!(answers.message().await.unwrap().unwrap(), [round]);
        }
        drop(send);
        assert!(answers.message().await.unwrap().is_none());
    });
}

#[test]
fn refusals_are_statuses_of_grpc() {
    let mut gateway = Gateway::start(&config(server()));
    let mut tap = crate::eyes::Events::of(&gateway, "/v1/tap?reason=any");
    tap.next("open", |_| true);
    runtime().block_on(async {
        let mut client = client(&gateway).await;
        let mut codes = Vec::new();
        for method in ["Limited", "Limited"] {
            client.ready().await.unwrap();
            let answer = client
                .unary(Request::new(b"x".to_vec()), path(method), Raw)
                .await;
            codes.push(answer.err().map(|status| status.code()));
        }
        assert_eq!(codes, [None, Some(Code::ResourceExhausted)]);
        client.ready().await.unwrap();
        let nowhere = "/t.Nobody/X".parse().unwrap();
        let answer = client
            .unary(Request::new(b"x".to_vec()), nowhere, Raw)
            .await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
        for (reason, status) in [("rate_limited", 8), ("no_route", 12)] {
            let line = gateway.logged(|line| line["reason"] == reason);
            assert_eq!(line["grpc_status"], status, "{line}");
            let seen = tap.next("request", |seen| seen["reason"] == reason);
            assert_eq!(seen["grpc_status"], status, "{seen}");
        }
        // Nobody answers: the client's own deadline ends it, on both sides.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Gateway::start(&config(silent.local_addr().unwrap()));
        let mut client = self::client(&gateway).await;
        let mut request = Request::new(b"x".to_vec());
        request.set_timeout(Duration::from_millis(300));
        let answer = client.unary(request, path("Unary"), Raw).await;
        let code = answer.unwrap_err().code();
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Cancelled),
            "{code:?}"
        );
        gateway.counts("http_server_active_requests", 0.0);
    });
}

#[test]
fn browsers_speak_grpc_web() {
    let gateway = Gateway::start(&config(server()));
    let message = b"\0\0\0\0\x05hello";
    let call = |kind: &str, body: &[u8]| {
        let head = format!(
            "POST /t.Echo/Unary HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Connection::to(gateway.address("web")).exchange(&[head.as_bytes(), body].concat())
    };
    let answer = call("application/grpc-web+proto", message);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/grpc-web+proto")
    );
    let (said, trailers) = answer.body.split_at(message.len());
    assert_eq!(said, message);
    assert_eq!(trailers[0], 0x80);
    assert!(String::from_utf8_lossy(trailers).contains("grpc-status: 0\r\n"));
    let answer = call(
        "application/grpc-web-text",
        BASE64_STANDARD.encode(message).as_bytes(),
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/grpc-web-text")
    );
    let mut decoded = Vec::new();
    for four in answer.body.chunks(4) {
        BASE64_STANDARD.decode_vec(four, &mut decoded).unwrap();
    }
    assert!(decoded.starts_with(message) && decoded[message.len()] == 0x80);
    let answer = call("application/grpc-web-text", b"no base64!!!");
    assert_eq!(
        answer.header("grpc-status").or(Some("3")),
        Some("3"),
        "{}",
        answer.text()
    );
}

#[test]
fn calls_of_every_kind_by_the_reference_implementation() {
    let mut script = Command::new("/usr/bin/python3")
        .arg("tests/clients/grpc_calls.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut stdout = BufReader::new(script.stdout.take().unwrap());
    stdout.read_line(&mut port).unwrap();
    let backend = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
    let text = config(backend).replace("/t.Echo/*", "/*");
    let gateway = Gateway::start(&text);
    writeln!(script.stdin.take().unwrap(), "{}", gateway.address("web")).unwrap();
    let output = script.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", gateway.log());
}

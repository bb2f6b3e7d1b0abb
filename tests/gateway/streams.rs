//! HTTP/2 on both sides of the gateway: what becomes of streams that end early, late, or wrong.

use crate::gateway::Gateway;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Longest wait for what must happen; shorter than any limit that is not set here.
const SOON: Duration = Duration::from_secs(15);

/// What an upstream was asked.
#[derive(Debug, Clone, Default)]
struct Seen {
    path: String,
    authority: String,
    fields: HeaderMap,
    body: Vec<u8>,
    /// How the gateway has ended the stream, where it did.
    reset: Option<Reason>,
}

/// An upstream that speaks HTTP/2 with prior knowledge, and answers by path.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub fn start() -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let told = seen.clone();
        std::thread::spawn(move || {
            run(async move {
                let socket = TcpListener::from_std(socket).unwrap();
                while let Ok((stream, _)) = socket.accept().await {
                    tokio::spawn(serve(stream, told.clone()));
                }
            });
        });
        Self { address, seen }
    }

    fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        let wanted = seen.iter().filter(|seen| seen.path == path);
        wanted.cloned().collect()
    }

    /// Waits until a request for this path has ended somehow.
    fn wait(&self, path: &str) -> Seen {
        for _ in 0..1500 {
            if let Some(seen) = self.seen(path).pop() {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody asked for {path}");
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, seen.clone()));
    }
}

/// All of a body, or how it was cut off.
async fn read(body: &mut RecvStream) -> (Vec<u8>, Option<Reason>) {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
                whole.extend_from_slice(&piece);
            }
            Err(error) => return (whole, error.reason()),
        }
    }
    (whole, None)
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let early = matches!(path.as_str(), "/breaks" | "/reset");
    let (read, reset) = if early {
        Default::default()
    } else {
        read(&mut body).await
    };
    let authority = head.uri.authority().map(ToString::to_string);
    let first = {
        let mut seen = seen.lock().unwrap();
        seen.push(Seen {
            path: path.clone(),
            authority: authority.unwrap_or_default(),
            fields: head.headers,
            body: read.clone(),
            reset,
        });
        seen.iter().filter(|seen| seen.path == path).count() == 1
    };
    if reset.is_some() {
        return;
    }
    let mut head = Response::new(());
    match path.as_str() {
        "/never" => {
            let reason = poll_fn(|cx| respond.poll_reset(cx)).await.ok();
            let mut seen = seen.lock().unwrap();
            let own = seen.iter_mut().rfind(|seen| seen.path == path).unwrap();
            own.reset = reason;
            return;
        }
        "/reset" => return respond.send_reset(Reason::INTERNAL_ERROR),
        "/unseen" if first => return respond.send_reset(Reason::REFUSED_STREAM),
        "/white" => {
            let value = HeaderValue::from_bytes(b"a ").unwrap();
            head.headers_mut().insert("x-white", value);
        }
        "/bare" => *head.status_mut() = StatusCode::NO_CONTENT,
        _ => {}
    }
    let Ok(mut writer) = respond.send_response(head, false) else {
        return;
    };
    if path == "/breaks" {
        let _ = writer.send_data("half".into(), false);
        sleep(Duration::from_millis(100)).await;
        return writer.send_reset(Reason::INTERNAL_ERROR);
    }
    let said = if read.is_empty() {
        b"ok".to_vec()
    } else {
        read
    };
    let _ = writer.send_data(said.into(), true);
}

/// What a client got.
#[derive(Debug, Default)]
struct Got {
    status: u16,
    interim: Vec<u16>,
    fields: HeaderMap,
    body: Vec<u8>,
    reset: Option<Reason>,
}

impl Got {
    fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn reason(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A body that comes in pieces, with a pause before each.
struct Body<'a> {
    pieces: &'a [&'a str],
    pause: Duration,
    ends: bool,
}

const NONE: Body<'static> = Body {
    pieces: &[],
    pause: Duration::ZERO,
    ends: true,
};

async fn ask(gateway: &Gateway, request: Request<()>, body: Body<'_>) -> Got {
    let stream = TcpStream::connect(gateway.address("web")).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let whole = body.pieces.is_empty() && body.ends;
    let (answer, mut writer) = send.send_request(request, whole).unwrap();
    let reading = async {
        let mut got = Got::default();
        let mut answer = answer;
        while let Some(Ok(interim)) = poll_fn(|cx| answer.poll_informational(cx)).await {
            got.interim.push(interim.status().as_u16());
        }
        match answer.await {
            Ok(answer) => {
                let (head, mut body) = answer.into_parts();
                (got.status, got.fields) = (head.status.as_u16(), head.headers);
                (got.body, got.reset) = read(&mut body).await;
            }
            Err(error) => got.reset = error.reason(),
        }
        got
    };
    let writing = async {
        for (at, piece) in body.pieces.iter().enumerate() {
            sleep(body.pause).await;
            let ends = body.ends && at + 1 == body.pieces.len();
            if writer
                .send_data(Bytes::copy_from_slice(piece.as_bytes()), ends)
                .is_err()
            {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let got = async {
        tokio::select! {
            got = reading => got,
            () = writing => unreachable!("it never ends"),
        }
    };
    let got = timeout(SOON, got).await.expect("an answer");
    connection.abort();
    got
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://a.example{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

fn gateway(origin: &Origin, clients: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ {clients} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\nhttp = \"h2c\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n{more}",
        origin.address
    ))
}

#[test]
fn a_body_that_is_refused_ends_both_streams_at_once() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "body = { max = \"8B\" }\n");
    let body = Body {
        pieces: &["0123456789"],
        ends: false,
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/two"), body));
    assert_eq!((got.status, got.reason().as_str()), (413, "body_too_large"));
    assert_eq!(origin.wait("/two").reset, Some(Reason::CANCEL));
    let mut old = gateway.connect();
    let answer = old.exchange(
        b"POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
    );
    assert_eq!(answer.status, 413);
    assert_eq!(origin.wait("/one").reset, Some(Reason::CANCEL));
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn an_old_client_is_served_by_new_upstreams() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let mut old = gateway.connect();
    let answer = old.exchange(b"GET /old HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(origin.wait("/old").authority, origin.address.to_string());
}

#[test]
fn an_upload_may_take_longer_than_silence_may() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "timeouts = { idle = \"400ms\" }\n");
    let slow = |pieces| Body {
        pieces,
        pause: Duration::from_millis(150),
        ends: true,
    };
    let pieces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let got = run(ask(&gateway, request(Method::POST, "/two"), slow(&pieces)));
    assert_eq!((got.status, got.body.as_slice()), (200, &b"abcdefgh"[..]));
    let mut one = gateway.connect();
    one.send(b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for piece in pieces {
        std::thread::sleep(Duration::from_millis(150));
        one.send(piece.as_bytes());
    }
    let answer = one.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcdefgh"));
    // Once it is there, the upstream's silence counts.
    let got = run(ask(&gateway, request(Method::POST, "/never"), slow(&["a"])));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (504, "upstream_timeout")
    );
    let got = run(ask(&gateway, request(Method::GET, "/never"), NONE));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (504, "upstream_timeout")
    );
}

#[test]
fn a_body_that_does_not_come_is_the_clients_fault() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "idle_timeout = \"400ms\"", "");
    let body = Body {
        pieces: &["a"],
        ends: false,
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/never"), body));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (408, "request_timeout")
    );
}

#[test]
fn interim_answers_reach_clients() {
    let (origin, upstream) = (Origin::start(), crate::upstream::Upstream::start("v1"));
    let hints = format!(
        "[services.b.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.hints]\nmatch = {{ path = \"/hints\" }}\nservice = \"b\"\n",
        upstream.address
    );
    let gateway = gateway(&origin, "", &hints);
    upstream.say(Some(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ));
    let got = run(ask(&gateway, request(Method::GET, "/hints"), NONE));
    assert_eq!((got.interim.as_slice(), got.status), (&[103][..], 200));
    let mut expects = request(Method::POST, "/two");
    let value = HeaderValue::from_static("100-continue");
    expects.headers_mut().insert("expect", value);
    let body = Body {
        pieces: &["hi"],
        pause: Duration::from_millis(200),
        ends: true,
    };
    let got = run(ask(&gateway, expects, body));
    assert_eq!((got.interim.as_slice(), got.status), (&[100][..], 200));
    assert!(!origin.wait("/two").fields.contains_key("expect"));
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let got = run(ask(&gateway, request(Method::GET, "/breaks"), NONE));
    assert_eq!((got.status, got.reset), (200, Some(Reason::INTERNAL_ERROR)));
}

#[test]
fn malformed_answers_are_not_passed_on() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let got = run(ask(&gateway, request(Method::GET, "/white"), NONE));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (502, "upstream_protocol")
    );
    let got = run(ask(&gateway, request(Method::GET, "/bare"), NONE));
    assert!(
        got.body.is_empty() || got.reason() == "upstream_protocol",
        "{got:?}"
    );
    assert!(
        got.status == 502 || got.reset == Some(Reason::INTERNAL_ERROR),
        "{got:?}"
    );
}

#[test]
fn a_stream_that_is_reset_is_not_asked_again_and_again() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let get = |path| run(ask(&gateway, request(Method::GET, path), NONE));
    assert_eq!(get("/warm").status, 200);
    let got = get("/reset");
    assert_eq!((got.status, got.reason().as_str()), (502, "upstream_reset"));
    assert_eq!(origin.seen("/reset").len(), 1);
    // One that was not looked at is, whatever its method.
    let body = Body {
        pieces: &["hi"],
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/unseen"), body));
    assert_eq!((got.status, got.body.as_slice()), (200, &b"hi"[..]));
    assert_eq!(origin.seen("/unseen").len(), 2);
}

#[test]
fn what_a_call_takes_goes_up() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let mut call = request(Method::POST, "/call");
    let value = HeaderValue::from_static("trailers");
    call.headers_mut().insert("te", value);
    let got = run(ask(&gateway, call, NONE));
    assert_eq!((got.status, got.field("x-white")), (200, ""));
    assert_eq!(origin.wait("/call").fields["te"], "trailers");
}

#[test]
fn refusals_of_calls_from_browsers_are_in_their_words() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let call = |path: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text+proto\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        gateway.connect().exchange(request.as_bytes())
    };
    // An incomplete end is not the end of a message.
    let answer = call("/call", "AAAAAAVoZWxsb");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("grpc-status"), Some("3"));
    assert_eq!(answer.header("grpc-message"), Some("bad_request"));
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/grpc-web-text+proto"));
    assert!(answer.body.is_empty());
}

//! An upstream that speaks HTTP/2 with prior knowledge, and a client that says what it gets of it.

use crate::gateway::Gateway;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
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
pub struct Seen {
    path: String,
    pub authority: String,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    /// How the gateway has ended the stream, where it did.
    pub reset: Option<Reason>,
}

/// The upstream, which answers by path.
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

    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        let wanted = seen.iter().filter(|seen| seen.path == path);
        wanted.cloned().collect()
    }

    /// Waits until a request for this path has ended somehow.
    pub fn wait(&self, path: &str) -> Seen {
        for _ in 0..1500 {
            if let Some(seen) = self.seen(path).pop() {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody asked for {path}");
    }
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
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
        "/trailers" => return with_trailers(respond, head),
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

/// Answers with text, and with fields behind it.
fn with_trailers(mut respond: h2::server::SendResponse<Bytes>, mut head: Response<()>) {
    let kind = HeaderValue::from_static("text/plain");
    head.headers_mut().insert("content-type", kind);
    let Ok(mut writer) = respond.send_response(head, false) else {
        return;
    };
    let _ = writer.send_data("said".into(), false);
    let mut trailers = HeaderMap::new();
    for name in ["content-digest", "x-other"] {
        trailers.insert(name, HeaderValue::from_static("x"));
    }
    let _ = writer.send_trailers(trailers);
}

/// What a client got.
#[derive(Debug, Default)]
pub struct Got {
    pub status: u16,
    pub interim: Vec<u16>,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    pub reset: Option<Reason>,
}

impl Got {
    pub fn reason(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// A body that comes in pieces, with a pause before each.
pub struct Body<'a> {
    pub pieces: &'a [&'a str],
    pub pause: Duration,
    pub ends: bool,
}

pub const NONE: Body<'static> = Body {
    pieces: &[],
    pause: Duration::ZERO,
    ends: true,
};

/// Asks on a connection of its own.
pub async fn ask(gateway: &Gateway, request: Request<()>, body: Body<'_>) -> Got {
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
                let trailers = body.trailers().await.unwrap_or_default();
                got.trailers = trailers.unwrap_or_default();
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

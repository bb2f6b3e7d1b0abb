//! HTTP/2 clients against services that stand in for the exchange.

mod answers;
mod bodies;
mod connections;
mod service;
mod websockets;

use super::connection::serve;
use crate::config::Place;
use crate::config::listener::{Bind, Clients, Http2, Listener, Protocol, Tcp};
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::drain::Drainer;
use crate::edge::transport::socket::{Socket, Transport};
use crate::snapshot::ListenerSettings;
use crate::telemetry::Metrics;
use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::Request;
use service::{Event, Service};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, yield_now};

/// A test that hangs fails after so long.
const HANGS: Duration = Duration::from_mins(1);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, future).await.unwrap()
}

/// What a test sets of a connection.
struct Setup {
    listener: Listener,
    client: Builder,
}

impl Setup {
    fn new() -> Self {
        let mut client = Builder::new();
        client.initial_max_send_streams(100);
        let listener = Listener {
            bind: Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            http: vec![Protocol::H2c],
            clients: Clients::default(),
            tls: None,
            http2: Http2::default(),
            tcp: Tcp::default(),
            at: Place::default(),
        };
        Self { listener, client }
    }

    /// A window of so many bytes for each answer.
    fn window(mut self, bytes: u32) -> Self {
        self.client.initial_window_size(bytes);
        self
    }

    fn serves(&self, socket: UnixStream) -> Server {
        let settings = ListenerSettings::new(&self.listener, None, None);
        let (drainer, drain) = Drainer::new();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let info = Arc::new(ConnectionInfo::new("it".into(), peer, drain));
        let (sender, events) = unbounded_channel();
        let gate = Arc::new(Notify::new());
        let service = Arc::new(Service {
            events: sender,
            gate: gate.clone(),
        });
        let metrics = Arc::new(Metrics::default());
        let counts = metrics.clone();
        let task = tokio::spawn(async move {
            let socket = Socket::Plain(Transport::from(socket));
            let ahead = BytesMut::new();
            serve(&service, socket, ahead, &info, &settings, &counts).await;
        });
        Server {
            events,
            gate,
            drainer,
            metrics,
            task,
        }
    }

    async fn connect(self) -> (Client, Server) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = self.serves(theirs);
        let shaken = within(self.client.handshake::<_, Bytes>(ours)).await;
        let (requests, mut connection) = shaken.unwrap();
        let pings = connection.ping_pong().unwrap();
        let rests = Arc::new(Notify::new());
        let stop = rests.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                ended = &mut connection => ended.err().and_then(|error| error.reason()),
                () = stop.notified() => {
                    // Open, and taking nothing.
                    std::future::pending::<()>().await;
                    drop(connection);
                    None
                }
            }
        });
        let mut client = Client {
            requests,
            pings,
            rests,
            task,
        };
        client.settle().await; // the server's settings have come
        (client, server)
    }
}

/// What the server's side shows.
struct Server {
    events: UnboundedReceiver<Event>,
    /// Lets the services that wait for it go on.
    gate: Arc<Notify>,
    drainer: Drainer,
    metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Server {
    async fn event(&mut self) -> Event {
        within(self.events.recv()).await.unwrap()
    }
}

struct Client {
    requests: SendRequest<Bytes>,
    pings: PingPong,
    /// Makes the client take nothing any more.
    rests: Arc<Notify>,
    /// Ends with the connection, and returns why.
    task: JoinHandle<Option<h2::Reason>>,
}

impl Client {
    /// Waits until the server has seen all that was sent, and had time to act on it.
    async fn settle(&mut self) {
        for _ in 0..2 {
            within(self.pings.ping(Ping::opaque())).await.unwrap();
            for _ in 0..50 {
                yield_now().await;
            }
        }
    }

    /// Sends a head; the body follows if there is one.
    async fn send(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = within(self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, end).unwrap()
    }

    async fn get(&mut self, path: &str) -> ResponseFuture {
        self.send(get(path), true).await.0
    }
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a.example{path}"))
        .body(())
        .unwrap()
}

fn post(path: &str, length: Option<u64>) -> Request<()> {
    let mut request = Request::post(format!("http://a.example{path}"));
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    request.body(()).unwrap()
}

/// Reads a body to its end, and gives room for more.
async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = within(body.data()).await {
        let part = part?;
        bytes.extend_from_slice(&part);
        body.flow_control().release_capacity(part.len()).unwrap();
    }
    Ok(bytes)
}

/// Sends all of a body, as the window allows.
async fn write(body: &mut SendStream<Bytes>, mut data: Bytes, end: bool) {
    while !data.is_empty() {
        body.reserve_capacity(data.len());
        let room = within(std::future::poll_fn(|cx| body.poll_capacity(cx))).await;
        let part = data.split_to(room.unwrap().unwrap().min(data.len()));
        body.send_data(part, end && data.is_empty()).unwrap();
    }
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

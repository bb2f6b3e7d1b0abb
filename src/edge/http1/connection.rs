//! One client connection from accept to close: reads each head under its own deadline, refuses
//! malformed ones, and hands the others to the handler one at a time.

use super::downstream::Http1Client;
use super::next::{Next, next};
use super::refuse::{Refusals, refuse};
use crate::config::Name;
use crate::edge::message::Handler;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::drain::{Drain, Phase};
use crate::edge::transport::handshake::{Arrived, receive};
use crate::edge::transport::socket::{Socket, Transport};
use crate::edge::transport::waiting::Waiting;
use crate::snapshot::{Current, ListenerSettings};
use bytes::BytesMut;
use futures::future::maybe_done;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

/// What every connection of a listener needs.
#[derive(Debug)]
pub struct Server<H> {
    pub current: Current,
    pub handler: Arc<H>,
    /// How far the listener is on its way out.
    pub drain: Drain,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
            handler: self.handler.clone(),
            drain: self.drain.clone(),
        }
    }
}

/// A connection whose client speaks HTTP/2.
#[derive(Debug)]
pub struct ForHttp2 {
    pub socket: Socket,
    /// Read off the socket already; the preface, unless ALPN has chosen HTTP/2.
    pub ahead: BytesMut,
    pub info: Arc<ConnectionInfo>,
    pub settings: Arc<ListenerSettings>,
    /// The first bytes only begin as the preface does: the client is turned away.
    pub wrong: bool,
}

/// Serves a connection until either side ends it, or until it is known to be one of HTTP/2.
/// `settings` count until the live snapshot has others, and go on to count where it has none: the
/// listener was closed.
pub async fn serve<H: Handler + Refusals>(
    server: &Server<H>,
    listener: &Name,
    settings: Arc<ListenerSettings>,
    transport: Transport,
    peer: SocketAddr,
    mut waiting: Waiting,
) -> Option<ForHttp2> {
    let mut over = pin!(maybe_done(server.drain.reaches(Phase::Over)));
    let begun = {
        // Boxed: it is large, and over with the first request.
        let begin = Box::pin(begin(
            server,
            listener,
            &settings,
            transport,
            peer,
            over.as_mut(),
        ));
        tokio::select! {
            biased;
            begun = begin => begun,
            () = waiting.gives_way() => {
                settings.series.cut("gave_way");
                None
            }
        }
    };
    drop(waiting);
    let (client, found) = begun?;
    let handler = &*server.handler;
    let fresh = || server.current.load().listener(listener);
    exchanges(handler, client, found, settings, fresh, over).await
}

/// Serves one request after the other. `fresh` returns the settings as they are now.
async fn exchanges<H: Handler + Refusals>(
    handler: &H,
    mut client: Http1Client,
    mut found: Next,
    mut settings: Arc<ListenerSettings>,
    fresh: impl Fn() -> Option<Arc<ListenerSettings>>,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> Option<ForHttp2> {
    let info = client.info().clone();
    loop {
        let (refused, to_head) = match found {
            Next::Request(head) => {
                let to_head = is_to_head(client.ahead());
                match client.begin(&head, (&*settings).into()) {
                    Ok(mut request) => {
                        // Boxed, so that a quiet connection does not hold room for an exchange.
                        let exchange = handler.serve(&mut request, &mut client, &info);
                        Box::pin(exchange).await;
                        if !client.finish().await {
                            return None;
                        }
                        if let Some(fresh) = fresh() {
                            settings = fresh;
                        }
                        found = next(&mut client, &settings, false, over.as_mut()).await;
                        continue;
                    }
                    Err(refused) => (refused, to_head),
                }
            }
            Next::H2 => return Some(client.for_http2(settings, false)),
            Next::NotH2 => return Some(client.for_http2(settings, true)),
            Next::Refused(refused) => (refused, is_to_head(client.ahead())),
            Next::Closed => return None,
        };
        // Boxed, since it is rare, and the task would hold room for it all the time.
        Box::pin(refuse(handler, &mut client, &info, refused, to_head)).await;
        return None;
    }
}

/// Brings a connection to its first request. `None`: it ended before.
async fn begin<H>(
    server: &Server<H>,
    listener: &Name,
    settings: &ListenerSettings,
    transport: Transport,
    peer: SocketAddr,
    over: Pin<&mut impl Future<Output = ()>>,
) -> Option<(Http1Client, Next)> {
    let arrived = receive(listener, settings, transport, peer, server.drain.clone()).await?;
    let Arrived { socket, info, h2 } = arrived;
    let mut client = Http1Client::new(socket, BytesMut::new(), Arc::new(info));
    let found = match h2 {
        true => Next::H2,
        false => next(&mut client, settings, true, over).await,
    };
    Some((client, found))
}

impl Http1Client {
    fn for_http2(self, settings: Arc<ListenerSettings>, wrong: bool) -> ForHttp2 {
        let info = self.info().clone();
        let (socket, ahead) = self.into_parts();
        ForHttp2 {
            socket,
            ahead,
            info,
            settings,
            wrong,
        }
    }
}

/// Whether these are the first bytes of a request for a head alone.
fn is_to_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

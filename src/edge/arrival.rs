//! From an accepted socket to a connection ready for HTTP: who is behind it (PROXY protocol), and
//! TLS, both within the listener's time.

use super::connection::Server;
use super::facts::{Facts, Secured};
use super::proxy_protocol;
use super::socket::{Socket, Transport};
use crate::config::Name;
use crate::snapshot::{ListenerSettings, ListenerTlsSettings};
use crate::tls::Identity;
use rustls::ProtocolVersion;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A connection that has arrived.
pub struct Arrived {
    pub socket: Socket,
    pub facts: Facts,
    /// Whether ALPN has chosen HTTP/2.
    pub h2: bool,
}

/// Brings a connection to the point where HTTP begins. `None`: it was cut, and counted by why.
pub async fn receive(
    server: &Server,
    name: &Name,
    settings: &ListenerSettings,
    mut transport: Transport,
    mut peer: SocketAddr,
) -> Option<Arrived> {
    if settings.proxy_protocol && settings.trusts(peer.ip().to_canonical()) {
        let header = timeout(
            settings.header_timeout,
            proxy_protocol::read(&mut transport),
        );
        match header.await {
            Ok(Ok(client)) => peer = client.unwrap_or(peer),
            Ok(Err(_)) | Err(_) => {
                server.metrics.cut("proxy_protocol");
                return None;
            }
        }
    }
    let mut facts = Facts::new(name.clone(), peer);
    let Some(tls) = &settings.tls else {
        let socket = Socket::Plain(transport);
        return Some(Arrived {
            socket,
            facts,
            h2: false,
        });
    };
    let stream = handshake(server, tls, transport).await?;
    let (_, session) = stream.get_ref();
    let h2 = session.alpn_protocol() == Some(b"h2");
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    facts.secured = Some(Secured {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        server_name: session.server_name().map(Box::from),
        client: leaf.and_then(Identity::of).map(Arc::new),
        forwards: tls.of.forwards,
    });
    Some(Arrived {
        socket: Socket::Tls(Box::new(stream)),
        facts,
        h2,
    })
}

async fn handshake(
    server: &Server,
    tls: &ListenerTlsSettings,
    transport: Transport,
) -> Option<TlsStream<Transport>> {
    let shaken = timeout(tls.timeout, async {
        // Handshakes are the dearest thing a stranger can ask for; beyond so many at once they
        // wait in line instead of taking the cores from everybody.
        let _turn = tls.turns.acquire().await;
        TlsAcceptor::from(tls.of.config.clone())
            .accept(transport)
            .await
    });
    match shaken.await {
        Ok(Ok(stream)) => {
            server.metrics.shaken();
            Some(stream)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            server.metrics.cut("tls_handshake");
            None
        }
        Err(_) => {
            server.metrics.cut("tls_timeout");
            None
        }
    }
}

//! From an accepted socket to a connection ready for HTTP: who is behind it (PROXY protocol), and
//! TLS, both within the listener's time.

use super::connection_info::{ConnectionInfo, Secured};
use super::drain::Drain;
use super::socket::{Socket, Transport};
use super::{hello, proxy_protocol};
use crate::config::Name;
use crate::routing::selector::network_of;
use crate::snapshot::{ListenerSeries, ListenerSettings};
use crate::tls::Identity;
use crate::tls::handshake::{Cause, Failed};
use jiff::Timestamp;
use rustls::ProtocolVersion;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// A connection that has arrived.
pub struct Arrived {
    pub socket: Socket,
    pub info: ConnectionInfo,
    /// Whether ALPN has chosen HTTP/2.
    pub h2: bool,
}

/// Brings a connection to the point where HTTP begins. `None`: it was cut, and counted by why.
pub async fn receive(
    name: &Name,
    settings: &ListenerSettings,
    mut transport: Transport,
    mut peer: SocketAddr,
    drain: Drain,
) -> Option<Arrived> {
    let since = Instant::now();
    if settings.proxy_protocol && settings.trusts(peer.ip().to_canonical()) {
        let header = timeout(settings.header_timeout, async {
            hello::speaks(&drain, &transport, since).await?;
            proxy_protocol::read(&mut transport).await
        });
        match header.await {
            Ok(Ok(client)) => peer = client.unwrap_or(peer),
            Ok(Err(_)) | Err(_) => {
                settings.series.cut("proxy_protocol");
                return None;
            }
        }
    }
    let mut info = ConnectionInfo::new(name.clone(), peer, drain.clone());
    info.write_timeout = settings.write_timeout;
    info.min_body_rate = settings.min_body_rate;
    let Some(tls) = &settings.tls else {
        let socket = Socket::Plain(transport);
        return Some(Arrived {
            socket,
            info,
            h2: false,
        });
    };
    let ip = info.ip();
    let sharer = (!settings.trusts(ip)).then(|| network_of(ip));
    let shaken = hello::shake(&drain, tls, transport, sharer, since);
    let shaken = timeout(tls.timeout, shaken).await;
    let stream = count(&settings.series, &info, shaken)?;
    let (_, session) = stream.get_ref();
    let h2 = session.alpn_protocol() == Some(b"h2");
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    info.secured = Some(Secured {
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
        info,
        h2,
    })
}

/// Counts what a handshake has come to. `None`: it failed.
fn count(
    series: &ListenerSeries,
    info: &ConnectionInfo,
    shaken: Result<Result<TlsStream<Transport>, Failed>, Elapsed>,
) -> Option<TlsStream<Transport>> {
    match shaken {
        Ok(Ok(stream)) => {
            series.shaken();
            Some(stream)
        }
        Ok(Err(failed)) => {
            series.cut("tls_handshake");
            series.failures.add(failed.cause);
            tell(series, info, &failed);
            None
        }
        Err(_) => {
            series.cut("tls_timeout");
            series.failures.add(Cause::Timeout);
            None
        }
    }
}

/// Longest name of a refused certificate in the log, in characters.
const NAME_MAX: usize = 200;

/// Writes to the log why a handshake failed. That a client certificate was refused is something to
/// look into, so it stands at INFO, but strangers can cause it: so many lines a second at most.
fn tell(series: &ListenerSeries, info: &ConnectionInfo, failed: &Failed) {
    let (cause, error) = (failed.cause.name(), &failed.error);
    let (listener, client) = (&*info.listener, info.ip());
    if !failed.cause.is_about_client() {
        tracing::debug!(listener, %client, cause, %error, "TLS handshake failed");
        return;
    }
    let Some(suppressed) = series.refused.admit(Timestamp::now()) else {
        return;
    };
    let certificate = failed.leaf.as_ref().and_then(Identity::of);
    let certificate = certificate.map(|identity| {
        let name = identity.name().chars().take(NAME_MAX);
        name.collect::<String>()
    });
    tracing::info!(
        listener, %client, certificate, cause, suppressed, "client certificate refused"
    );
}

//! Connections that the gateway makes to endpoints for itself: probes and checks.

use super::endpoint::{Address, EndpointState};
use crate::tls::UpstreamTls;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Bytes both ways.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Connects to an endpoint.
pub async fn connect(endpoint: &EndpointState) -> io::Result<Box<dyn Bytes>> {
    match endpoint.place() {
        Some(Address::Tcp(address)) => Ok(Box::new(TcpStream::connect(address).await?)),
        Some(Address::Unix(path)) => Ok(Box::new(UnixStream::connect(path).await?)),
        None => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// Connects as traffic would: with TLS if the version has it, under the same rules.
pub async fn connect_as_traffic(
    endpoint: &EndpointState,
    tls: Option<&UpstreamTls>,
    alpn: &'static [u8],
) -> io::Result<Box<dyn Bytes>> {
    let stream = connect(endpoint).await?;
    match tls {
        None => Ok(stream),
        Some(tls) => Ok(Box::new(tls.connect(endpoint.host(), alpn, stream).await?)),
    }
}

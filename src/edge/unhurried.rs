//! Connections to upstreams that may change protocols.
//!
//! The core watches such an upstream and the end of the request in one race, and ends the exchange
//! when the request ends after the protocols have changed (pingora-proxy 0.9.1, proxy_h1.rs:330).
//! The request's end is there first, but the order in which both are looked at is random: an
//! upstream that says 101 at once would win now and then, and the client would lose what it was
//! just given. So what follows a write is seen one turn later than it could be.

use super::socket::Transport;
use async_trait::async_trait;
use pingora::ErrorType::{ConnectError, ConnectTimedout};
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::{TcpKeepalive, set_tcp_keepalive};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, OrErr, Result};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Keeps these connections apart from others in the core's pool.
pub const GROUP: u64 = 1 << 63;

/// Connects within so long.
#[derive(Debug)]
pub struct Connector(pub Duration);

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let connecting = async {
            match address {
                SocketAddr::Inet(address) => TcpStream::connect(address).await.map(Into::into),
                SocketAddr::Unix(address) => match address.as_pathname() {
                    Some(path) => UnixStream::connect(path).await.map(Into::into),
                    None => Err(io::ErrorKind::InvalidInput.into()),
                },
            }
        };
        let transport = match timeout(self.0, connecting).await {
            Ok(connected) => connected.or_err(ConnectError, "cannot connect")?,
            Err(_) => return Err(Error::explain(ConnectTimedout, "connecting took too long")),
        };
        let wrote = false;
        let socket = Unhurried { transport, wrote };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

#[derive(Debug)]
struct Unhurried {
    transport: Transport,
    /// Something has been written since the last look at what there is to read.
    wrote: bool,
}

impl AsyncRead for Unhurried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unhurried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl VirtualSocket for Unhurried {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        let Some(stream) = self.transport.tcp() else {
            return Ok(());
        };
        match option {
            VirtualSockOpt::NoDelay => stream.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => keep_alive(stream, &keepalive),
            _ => Ok(()),
        }
    }
}

fn keep_alive(stream: &TcpStream, keepalive: &TcpKeepalive) -> io::Result<()> {
    set_tcp_keepalive(stream, keepalive).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::Unhurried;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn what_follows_a_write_is_seen_a_turn_later() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Unhurried {
            transport: near.into(),
            wrote: false,
        };
        for _ in 0..100 {
            socket.write_all(b"?").await.unwrap();
            far.write_all(b"!").await.unwrap();
            tokio::select! {
                biased;
                _ = socket.read_u8() => panic!("it was looked at first"),
                () = std::future::ready(()) => {}
            }
            assert_eq!(socket.read_u8().await.unwrap(), b'!');
            assert_eq!(far.read_u8().await.unwrap(), b'?');
        }
    }
}

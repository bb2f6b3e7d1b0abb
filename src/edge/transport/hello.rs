//! The first words of a client: waits for them, and makes handshakes in turns.

use super::drain::Drain;
use super::socket::Transport;
use crate::snapshot::ListenerTlsSettings;
use crate::tls::handshake::{Cause, Failed, accept};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// Longest time for which a handshake holds its turn: its costly part is done by then.
const TURN: Duration = Duration::from_millis(100);
/// The type of records that carry handshakes, and the longest record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
const RECORD_MAX: usize = 16 * 1024;
/// Bytes there is room for when a client's first message is read; it may be longer.
const HELLO_ROOM: usize = 1024;

/// Waits until the client has sent something, or its end.
///
/// # Errors
/// `TimedOut` where the listener ends first.
pub async fn speaks(drain: &Drain, transport: &Transport, since: Instant) -> io::Result<()> {
    tokio::select! {
        ready = transport.readable() => ready,
        () = drain.gives_up(since) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Shakes hands with a client. Handshakes are the dearest thing that a stranger can ask for, so
/// they are begun in turns. A client that says nothing has none: not before its first message is
/// whole, and not for long after it was answered.
///
/// # Errors
/// Why it failed.
pub async fn shake(
    drain: &Drain,
    tls: &ListenerTlsSettings,
    mut transport: Transport,
    sharer: Option<IpAddr>,
    since: Instant,
) -> Result<TlsStream<Transport>, Failed> {
    read_hello(drain, &mut transport, since)
        .await
        .map_err(unheard)?;
    let turn = tls.turns.take(sharer).await;
    let mut shaking = pin!(accept(tls.of.config.clone(), transport));
    if let Ok(shaken) = timeout(TURN, &mut shaking).await {
        return shaken;
    }
    drop(turn);
    shaking.await
}

async fn read_hello(drain: &Drain, transport: &mut Transport, since: Instant) -> io::Result<()> {
    speaks(drain, transport, since).await?;
    transport.ahead.reserve(HELLO_ROOM);
    while !is_whole(&transport.ahead) {
        if transport.read_ahead().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The client has not sent a whole message.
fn unheard(error: io::Error) -> Failed {
    let cause = match error.kind() {
        io::ErrorKind::TimedOut => Cause::Timeout,
        _ => Cause::Closed,
    };
    Failed {
        cause,
        error,
        leaf: None,
    }
}

/// Whether these bytes are a whole record, or cannot become the first one of a handshake (RFC
/// 8446, section 5.1).
fn is_whole(bytes: &[u8]) -> bool {
    let Some((&[kind, _, _, high, low], rest)) = bytes.split_first_chunk() else {
        return bytes.first().is_some_and(|kind| *kind != HANDSHAKE);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    kind != HANDSHAKE || length > RECORD_MAX || rest.len() >= length
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_record_is_whole_when_its_length_is_there() {
        assert!(!is_whole(b""));
        assert!(!is_whole(b"\x16\x03\x01\x00"));
        assert!(!is_whole(b"\x16\x03\x01\x00\x02a"));
        assert!(is_whole(b"\x16\x03\x01\x00\x02ab"));
        assert!(is_whole(b"\x16\x03\x01\x00\x02abc"));
        // What is no handshake is for the library to refuse.
        assert!(is_whole(b"G") && is_whole(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(is_whole(b"\x16\x03\x01\xff\xff"));
    }
}

//! The PROXY protocol, versions 1 and 2: who is behind a load balancer that is believed.
//!
//! A trusted peer must send the header, whole and well-formed, before anything else; nobody else
//! is read for one. (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>)

use super::socket::{Transport, advance};
use ppp::{PartialResult, v1, v2};
use std::io;
use std::net::SocketAddr;

/// Longest header: version 1 ends at 107 bytes; version 2 may carry fields behind the addresses.
const HEADER_MAX: usize = 4096;

/// Longest header of version 1, and how it starts.
const LINE_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";

/// Reads the header off the front of a connection. `None`: the balancer speaks for itself (a
/// health check), so the address of the socket counts.
///
/// # Errors
/// When there is none, or it is malformed or too long, or the peer closes.
pub async fn read(transport: &mut Transport) -> io::Result<Option<SocketAddr>> {
    loop {
        if !transport.ahead.is_empty()
            && let Some((length, client)) = parse(&transport.ahead)?
        {
            advance(&mut transport.ahead, length);
            return Ok(client);
        }
        if transport.ahead.len() >= HEADER_MAX {
            return Err(malformed());
        }
        if transport.read_ahead().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "malformed PROXY protocol header",
    )
}

/// The length of the header and the client it names; `None`: there is more to come.
///
/// # Errors
/// When these bytes are not the beginning of a header.
pub fn parse(bytes: &[u8]) -> io::Result<Option<(usize, Option<SocketAddr>)>> {
    match bytes.first() {
        None => Ok(None),
        Some(b'\r') => binary(bytes),
        Some(_) => line(bytes),
    }
}

/// Version 1: one line of text, looked at once it is whole.
fn line(bytes: &[u8]) -> io::Result<Option<(usize, Option<SocketAddr>)>> {
    let known = bytes.len().min(LINE_START.len());
    if bytes.get(..known) != LINE_START.get(..known) {
        return Err(malformed());
    }
    let Some(end) = memchr::memchr(b'\n', bytes.get(..LINE_MAX.min(bytes.len())).unwrap_or(&[]))
    else {
        return if bytes.len() < LINE_MAX {
            Ok(None)
        } else {
            Err(malformed())
        };
    };
    let whole = bytes.get(..=end).unwrap_or(bytes);
    let header = v1::Header::try_from(whole).map_err(|_| malformed())?;
    let client = match header.addresses {
        v1::Addresses::Tcp4(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Tcp6(tcp) => Some((tcp.source_address, tcp.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Some((whole.len(), client)))
}

/// Version 2: a binary header with its length in it.
fn binary(bytes: &[u8]) -> io::Result<Option<(usize, Option<SocketAddr>)>> {
    let parsed = v2::Header::try_from(bytes);
    if parsed.is_incomplete() {
        return Ok(None);
    }
    let header = parsed.map_err(|_| malformed())?;
    let client = match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (_, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
    };
    Ok(Some((header.len(), client)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nGET /";
        let (length, client) = parse(line).unwrap().unwrap();
        assert_eq!(length, line.len() - 5);
        assert_eq!(client, Some("192.0.2.7:4711".parse().unwrap()));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n";
        let (_, client) = parse(line).unwrap().unwrap();
        assert_eq!(client, Some("[2001:db8::1]:4711".parse().unwrap()));
        let mut addresses = vec![192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 187];
        addresses.extend([4, 0, 1, 0]); // a field behind the addresses is skipped
        let header = v2(1, 0x11, &addresses);
        let (length, client) = parse(&header).unwrap().unwrap();
        assert_eq!(length, header.len());
        assert_eq!(client, Some("192.0.2.7:4711".parse().unwrap()));
    }

    #[test]
    fn a_balancer_may_speak_for_itself() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\n").unwrap(), Some((15, None)));
        assert_eq!(parse(&v2(0, 0, &[])).unwrap(), Some((16, None)));
    }

    #[test]
    fn a_part_is_waited_for_and_anything_else_refused() {
        let whole = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
        for end in 1..whole.len() {
            assert_eq!(parse(&whole[..end]).unwrap(), None, "{end}");
        }
        let whole = v2(1, 0x11, &[0; 12]);
        for end in 1..whole.len() {
            assert_eq!(parse(&whole[..end]).unwrap(), None, "{end}");
        }
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 300.0.2.7 198.51.100.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 99999\r\n",
            b"PROXY TCP9 192.0.2.7 198.51.100.1 4711 443\r\n",
            b"\r\n\r\n\0\r\nQUIT\x0a\x31\x11\0\x0c............",
        ] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}

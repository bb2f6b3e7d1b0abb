//! The normal form of a host: lower case, without port and trailing dot.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Longest host name (RFC 1035).
const LEN_MAX: usize = 255;

/// The authority is not `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host with an optional port")]
pub struct HostError;

/// Takes an authority (a `Host` field or `:authority`) to the form that routes are matched by.
/// An empty authority stays empty.
///
/// # Errors
/// For anything but a registered name or address with an optional port (RFC 3986, section 3.2.2,
/// without user information and percent-encoding).
pub fn normalise_host(authority: &str) -> Result<Cow<'_, str>, HostError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostError)?;
        address.parse::<Ipv6Addr>().map_err(|_| HostError)?;
        check_port(port)?;
        let host = authority.get(..address.len() + 2).ok_or(HostError)?;
        let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        return Ok(lower(host, is_lower));
    }
    if authority.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    let (end, is_lower) = plain(authority.as_bytes()).ok_or(HostError)?;
    let (host, port) = authority.split_at(end);
    check_port(port)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > LEN_MAX {
        return Err(HostError);
    }
    Ok(lower(host, is_lower))
}

fn lower(host: &str, is_lower: bool) -> Cow<'_, str> {
    match is_lower {
        true => Cow::Borrowed(host),
        false => Cow::Owned(host.to_ascii_lowercase()),
    }
}

/// Where a name ends and a port may begin, and whether it has no upper case; one pass, since every
/// request pays for it. `None` when it holds anything that names do not, or an empty label other than
/// the last.
fn plain(authority: &[u8]) -> Option<(usize, bool)> {
    let mut before = Kind::Dot;
    let mut is_lower = true;
    for (at, byte) in authority.iter().enumerate() {
        let kind = Kind::of(*byte);
        match kind {
            Kind::Name => {}
            Kind::Upper => is_lower = false,
            Kind::Dot if before != Kind::Dot => {}
            Kind::Colon => return Some((at, is_lower)),
            Kind::Dot | Kind::Other => return None,
        }
        before = kind;
    }
    Some((authority.len(), is_lower))
}

/// Empty, or `:` and a port number; `:` alone is allowed by RFC 3986 and means the default.
fn check_port(port: &str) -> Result<(), HostError> {
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() {
            Ok(())
        } else {
            Err(HostError)
        };
    };
    let sound = digits.is_empty()
        || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    if sound { Ok(()) } else { Err(HostError) }
}

/// What a byte of an authority is. Letters, digits, hyphen, underscore and tilde are what names are made
/// of in practice: the sub-delims that RFC 3986 also allows mean something to one parser or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Upper,
    Dot,
    Colon,
    Other,
}

impl Kind {
    const fn of(byte: u8) -> Self {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => Self::Name,
            b'A'..=b'Z' => Self::Upper,
            b'.' => Self::Dot,
            b':' => Self::Colon,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalise_host;

    #[test]
    fn port_case_and_trailing_dot_do_not_matter() {
        for (raw, host) in [
            ("a.example", "a.example"),
            ("A.Example:8080", "a.example"),
            ("a.example.", "a.example"),
            ("a:", "a"),
            ("", ""),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("a_b-c", "a_b-c"),
        ] {
            assert_eq!(normalise_host(raw).as_deref(), Ok(host), "{raw}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for raw in [
            "u@a", "a b", "a:b", "a:65536", "a:1:2", "a..b", ".a", ".", "[::1", "[x]", "[::1]x",
            "a/b", "a%41", "a,b", "a\\b", "::1", ":80", "\u{e9}",
        ] {
            assert!(normalise_host(raw).is_err(), "{raw}");
        }
    }
}

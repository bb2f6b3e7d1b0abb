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
    let (host, port) = match authority.strip_prefix('[') {
        None => match plain(authority.as_bytes()) {
            Some(end) => authority.split_at(end),
            None => return Err(HostError),
        },
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(HostError)?;
            address.parse::<Ipv6Addr>().map_err(|_| HostError)?;
            (authority.get(..address.len() + 2).ok_or(HostError)?, after)
        }
    };
    check_port(port)?;
    if host.starts_with('[') {
        return Ok(lower(host));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if authority.is_empty() {
        return Ok(Cow::Borrowed(""));
    }
    if host.is_empty() || host.len() > LEN_MAX {
        return Err(HostError);
    }
    Ok(lower(host))
}

/// Where a name ends and a port may begin; one pass, since every request pays for it. `None` when
/// it holds anything that names do not, or an empty label other than the last.
fn plain(authority: &[u8]) -> Option<usize> {
    let mut before = b'.';
    for (at, byte) in authority.iter().enumerate() {
        match byte {
            b':' => return Some(at),
            b'.' if before == b'.' => return None,
            byte if !is_name(*byte) => return None,
            _ => before = *byte,
        }
    }
    Some(authority.len())
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

/// Letters, digits, hyphen and underscore: what hosts are made of in practice. The sub-delims that
/// RFC 3986 also allows mean something to one parser or another.
const fn is_name(byte: u8) -> bool {
    /// A bit for each, since every request's host is read byte by byte.
    const NAMES: u128 = {
        let (mut names, mut byte) = (0, 0);
        while byte < 128_u8 {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                names |= 1 << byte;
            }
            byte += 1;
        }
        names
    };
    byte < 128 && NAMES >> byte & 1 == 1
}

fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
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

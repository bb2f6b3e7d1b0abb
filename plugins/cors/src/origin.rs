//! Origins: a scheme, a host and a port (RFC 6454, section 4), compared part by part.

use std::net::Ipv6Addr;

/// An origin as a browser sends it (RFC 6454, section 6.2), in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'o> {
    scheme: &'o str,
    host: &'o str,
    /// The scheme's own where none is said; `None`: the scheme has none.
    port: Option<u16>,
}

impl<'o> Origin<'o> {
    /// Reads an origin. Anything beside the three parts makes it none: a user, a path, a query, a
    /// fragment, an encoded or foreign character in the host. So is `null`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'o str) -> Result<Self, &'static str> {
        let (scheme, authority) = split(text)?;
        let (host, port) = host_and_port(authority)?;
        let sound = match host.strip_prefix('[') {
            Some(address) => address
                .strip_suffix(']')
                .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
            None => is_host(host),
        };
        match sound {
            true => Ok(Self {
                scheme,
                host,
                port: effective(scheme, port)?,
            }),
            false => Err(why_no_host(authority)),
        }
    }

    fn is_at(self, scheme: &str, port: Option<u16>) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme) && self.port == port
    }
}

/// An origin that the configuration lets in.
#[derive(Debug)]
pub struct Known {
    scheme: String,
    /// In lower case.
    host: String,
    port: Option<u16>,
    /// Any host that ends in `host`, with labels before it.
    below: bool,
}

impl Known {
    /// Reads `https://app.example`, or `https://*.app.example` for all hosts below one.
    ///
    /// # Errors
    /// What is wrong with it, in words for the configuration's author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` is no origin, such as https://app.example: {why}");
        let (scheme, authority) = split(text).map_err(wrong)?;
        let (origin, below) = match authority.strip_prefix('*') {
            None => (text.to_owned(), false),
            Some(rest) => match rest.strip_prefix('.') {
                Some(parent) => (format!("{scheme}://{parent}"), true),
                None => return Err(format!("`{text}`: `*` stands for whole labels")),
            },
        };
        let origin = Origin::parse(&origin).map_err(wrong)?;
        if below && origin.host.starts_with('[') {
            return Err(wrong("there is nothing below an address"));
        }
        let dot = if below { "." } else { "" };
        Ok(Self {
            scheme: origin.scheme.to_ascii_lowercase(),
            host: format!("{dot}{}", origin.host.to_ascii_lowercase()),
            port: origin.port,
            below,
        })
    }

    /// Whether it lets in this one.
    pub fn admits(&self, origin: Origin<'_>) -> bool {
        let (own, host) = (self.host.as_bytes(), origin.host.as_bytes());
        let end = match self.below {
            false => Some(host),
            true => host
                .len()
                .checked_sub(own.len())
                .filter(|label| *label > 0)
                .and_then(|at| host.get(at..)),
        };
        origin.is_at(&self.scheme, self.port)
            && end.is_some_and(|end| end.eq_ignore_ascii_case(own))
    }
}

/// Scheme and authority.
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    if text == "null" {
        return Err("`null` is sent by every sandboxed page, so it would let in all of them");
    }
    let (scheme, authority) = text.split_once("://").ok_or("its scheme is missing")?;
    let mut bytes = scheme.bytes();
    let sound = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    match sound {
        true => Ok((scheme, authority)),
        false => Err("its scheme is malformed"),
    }
}

/// Host and port; colons within brackets are an address's.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let behind = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = authority.get(behind..).and_then(|rest| rest.find(':'));
    let Some((host, rest)) = colon.and_then(|colon| authority.split_at_checked(behind + colon))
    else {
        return Ok((authority, None));
    };
    let digits = rest.strip_prefix(':').unwrap_or(rest);
    let sound = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse().ok().filter(|_| sound) {
        Some(port) => Ok((host, Some(port))),
        None if authority.contains(['@', '/', '?', '#']) => Err(why_no_host(authority)),
        None => Err("its port is no number from 1 to 65535"),
    }
}

/// A name of labels, or an address of version 4.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(sound)
    };
    host.split('.').all(label)
}

fn effective(scheme: &str, port: Option<u16>) -> Result<Option<u16>, &'static str> {
    let usual = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];
    let own = usual
        .iter()
        .find(|(name, _)| scheme.eq_ignore_ascii_case(name));
    match own {
        _ if scheme.eq_ignore_ascii_case("file") => Err("the origin of files is `null`"),
        own => Ok(port.or(own.map(|(_, port)| *port))),
    }
}

fn why_no_host(authority: &str) -> &'static str {
    match () {
        () if authority.contains('/') => "it has a path, and origins have none",
        () if authority.contains('@') => "it names a user, and origins have none",
        () if authority.contains(['?', '#']) => {
            "it has a query or a fragment, and origins have none"
        }
        () if authority.contains('*') => "`*` stands for whole labels, at the start alone",
        () if !authority.is_ascii() => "browsers send such names in Punycode (`xn--…`)",
        () => "its host is malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Origin};

    fn admits(known: &str, origin: &str) -> bool {
        let known = Known::parse(known).unwrap();
        Origin::parse(origin).is_ok_and(|origin| known.admits(origin))
    }

    #[test]
    fn parts_are_compared_and_a_port_that_is_not_said_is_the_schemes() {
        for (known, origin, wanted) in [
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://app.example:443", true),
            ("https://app.example:443", "https://app.example", true),
            ("https://App.Example", "https://app.example", true),
            ("https://app.example", "HTTPS://APP.EXAMPLE", true),
            ("http://app.example:8080", "http://app.example:8080", true),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example:8443", "https://app.example", false),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "http://app.example:443", false),
            ("https://app.example", "https://app.example.", false),
            ("http://[::1]:3000", "http://[::1]:3000", true),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("https://*.app.example", "https://a.app.example", true),
            ("https://*.app.example", "https://a.b.app.example", true),
            ("https://*.app.example", "https://a.app.example:443", true),
            (
                "https://*.app.example:8443",
                "https://a.app.example:8443",
                true,
            ),
            ("https://*.app.example", "https://a.app.example:8443", false),
            ("https://*.app.example", "https://app.example", false),
            ("https://*.app.example", "https://.app.example", false),
            ("https://*.app.example", "https://evilapp.example", false),
            ("https://*.app.example", "http://a.app.example", false),
        ] {
            assert_eq!(admits(known, origin), wanted, "{known} {origin}");
        }
    }

    #[test]
    fn what_has_more_than_three_parts_is_no_origin() {
        for host in [
            "evil?.app.example",
            "a#.app.example",
            "a\\.app.example",
            "a%2e.app.example",
            "a%.app.example",
            "evil/.app.example",
            "evil:80.app.example",
            "evil:.app.example",
            "evil@a.app.example",
            "u:p@a.app.example",
            "a .app.example",
            "a\t.app.example",
            "a,b.app.example",
            "*.app.example",
            "[::1].app.example",
            "a..app.example",
            "ä.app.example",
            "a.app.example/",
            "a.app.example?",
            "a.app.example#",
            "a.app.example:",
            "a.app.example:0",
            "a.app.example:0443",
            "a.app.example:+443",
            "a.app.example:99999",
            "a.app.example, https://b.app.example",
            "",
        ] {
            let origin = format!("https://{host}");
            assert!(!admits("https://*.app.example", &origin), "{origin}");
            assert!(Origin::parse(&origin).is_err(), "{origin}");
        }
        for text in [
            "null",
            "",
            "a.app.example",
            "://a",
            "1x://a",
            "file://",
            "//a.app.example",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_origin_in_a_configuration_says_why() {
        for (text, why) in [
            ("app.example", "scheme is missing"),
            ("null", "sandboxed"),
            ("https://app.example/", "has a path"),
            ("https://app.example/login", "has a path"),
            ("https://ada@app.example", "names a user"),
            ("https://app.example?a", "a query or a fragment"),
            ("https://app.example:x", "its port"),
            ("https://*app.example", "whole labels"),
            ("https://*", "whole labels"),
            ("https://a.*.example", "at the start alone"),
            ("https://bücher.example", "Punycode"),
            ("https://*.[::1]", "below an address"),
            ("https://", "malformed"),
            ("https://a b", "malformed"),
        ] {
            let error = Known::parse(text).unwrap_err();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}

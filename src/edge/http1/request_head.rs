//! The one strict policy for HTTP/1 request heads: a head is taken whole and unambiguous, or
//! refused.
//!
//! It runs on the raw bytes before anything else parses them, so nothing behind it has to guess:
//! what passes has one meaning for every parser (RFC 9112, smuggling included). Refused: bare CR
//! or LF, obs-fold, white space around names, control characters, more than one `Host`, none in
//! HTTP/1.1, any doubt about the length of the body, and targets with characters that a URI
//! cannot have.

use crate::edge::rejection::Rejection;
use crate::reason::Reason;
use crate::routing::client_fields::is_token;
use crate::routing::host::normalise_host;

/// Empty lines before a request line that are forgiven (RFC 9112, section 2.2, asks for one).
const LEADING_BLANK_LINES_MAX: usize = 2;
/// Longest method; the registered ones end at 17 characters.
const METHOD_LEN_MAX: usize = 32;
/// Longest target, and longest name of a field, that a parser behind this one takes.
const TARGET_LEN_MAX: usize = 65_534;
const NAME_LEN_MAX: usize = 1024;

/// How much of a head is acceptable.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes, the final empty line included.
    pub bytes: usize,
    pub fields: usize,
}

/// A complete, acceptable head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Where the request line starts (after forgiven empty lines).
    pub start: usize,
    /// Just past the final empty line.
    pub end: usize,
    pub body: Body,
    /// The client offers to speak WebSocket, so bytes after the answer's head may not be HTTP.
    pub websocket: bool,
    /// Sound, but not for parsers behind this one: see `canonical`.
    pub rewrite: bool,
    /// HTTP/1.1, or HTTP/1.0 otherwise.
    pub http11: bool,
    /// The target is absolute, of the scheme `https`.
    pub https: bool,
}

/// How the body is framed (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    /// Overrides the reason's status where the RFC names a better one.
    pub status: u16,
    pub detail: &'static str,
}

impl Refused {
    const LONG_TARGET: Self = Self {
        reason: Reason::HeadersTooLarge,
        status: 414,
        detail: "the request target is too long",
    };
    pub const BAD_HOST: Self = Self::bad("the host is malformed");
    const LONG_METHOD: Self = Self::with_status(501, "no method is that long");

    pub const fn bad(detail: &'static str) -> Self {
        Self {
            reason: Reason::BadRequest,
            status: 400,
            detail,
        }
    }

    const fn with_status(status: u16, detail: &'static str) -> Self {
        Self {
            reason: Reason::BadRequest,
            status,
            detail,
        }
    }

    pub const fn too_large(detail: &'static str) -> Self {
        Self {
            reason: Reason::HeadersTooLarge,
            status: 431,
            detail,
        }
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self {
            status: refused.status,
            ..Self::new(refused.reason, refused.detail)
        }
    }
}

/// Reads a head as it arrives; lines are judged once, when they are complete.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Everything before this has been judged.
    line_start: usize,
    /// No line feed before this.
    searched: usize,
    start: usize,
    blank_lines: usize,
    request_line: bool,
    fields: usize,
    facts: Facts,
}

#[derive(Debug, Default)]
struct Facts {
    http11: bool,
    connect: bool,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    get: bool,
    /// `Upgrade` is there, and is WebSocket's.
    upgrade: Option<bool>,
    /// `Connection` names `Upgrade`.
    upgrades: bool,
    connections: usize,
    /// The target is not in origin-form, or has what a URI cannot have.
    odd_target: bool,
    https: bool,
}

impl Scanner {
    /// Looks at all bytes that have arrived so far. `None`: the head goes on.
    ///
    /// # Errors
    /// As soon as it is certain that the head is not acceptable.
    pub fn scan(&mut self, bytes: &[u8], limits: Limits) -> Result<Option<Head>, Refused> {
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.searched..).unwrap_or(&[])) {
            let line_feed = self.searched + found;
            let line = bytes.get(self.line_start..line_feed).unwrap_or(&[]);
            let end = line_feed + 1;
            if end > limits.bytes {
                return Err(self.too_large());
            }
            let Some((b'\r', line)) = line.split_last() else {
                return Err(Refused::bad("a line of the head does not end in CR LF"));
            };
            (self.line_start, self.searched) = (end, end);
            if self.take_line(line, end, limits)? {
                return self.finish(end).map(Some);
            }
        }
        self.searched = bytes.len();
        if bytes.len() >= limits.bytes {
            return Err(self.too_large());
        }
        if !self.request_line {
            plausible_start(bytes.get(self.line_start..).unwrap_or(&[]))?;
        }
        Ok(None)
    }

    /// What is too large: the target, if nothing else has come yet (RFC 9112, section 3).
    fn too_large(&self) -> Refused {
        match self.request_line {
            true => Refused::too_large("the request head is too large"),
            false => Refused::LONG_TARGET,
        }
    }

    /// Judges one line; true when it ends the head.
    fn take_line(&mut self, line: &[u8], end: usize, limits: Limits) -> Result<bool, Refused> {
        if !self.request_line {
            if line.is_empty() {
                self.blank_lines += 1;
                self.start = end;
                if self.blank_lines > LEADING_BLANK_LINES_MAX {
                    return Err(Refused::bad("empty lines before the request line"));
                }
                return Ok(false);
            }
            self.facts.request_line(line)?;
            self.request_line = true;
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(Refused::too_large("the request has too many header fields"));
        }
        self.facts.field(line)?;
        Ok(false)
    }

    fn finish(&self, end: usize) -> Result<Head, Refused> {
        let facts = &self.facts;
        if facts.connect {
            return Err(Refused {
                reason: Reason::MethodNotAllowed,
                status: 405,
                detail: "CONNECT is not served here",
            });
        }
        if facts.http11 && facts.hosts == 0 {
            return Err(Refused::bad("an HTTP/1.1 request needs a Host field"));
        }
        let body = match (facts.length, facts.chunked) {
            (Some(_), true) => {
                return Err(Refused::bad(
                    "both Content-Length and Transfer-Encoding are given",
                ));
            }
            (None, true) if !facts.http11 => {
                return Err(Refused::bad("Transfer-Encoding does not exist in HTTP/1.0"));
            }
            (None, true) => Body::Chunked,
            (Some(0) | None, false) => Body::None,
            (Some(length), false) => Body::Length(length),
        };
        let (start, http11) = (self.start, facts.http11);
        let websocket = facts.get && http11 && facts.upgrades && facts.upgrade == Some(true);
        let idle_upgrade = facts.upgrade.is_some() && !websocket;
        Ok(Head {
            start,
            end,
            body,
            websocket,
            rewrite: facts.odd_target || facts.connections > 1 || idle_upgrade,
            http11,
            https: facts.https,
        })
    }
}

/// Refuses at once what can never become a request line, such as a TLS record on a plain port.
fn plausible_start(begin: &[u8]) -> Result<(), Refused> {
    let method = begin.split(|byte| *byte == b' ').next().unwrap_or(&[]);
    let plausible = method.iter().all(|byte| is_token(*byte) || *byte == b'\r');
    match plausible {
        true if method.len() > METHOD_LEN_MAX => Err(Refused::LONG_METHOD),
        true => Ok(()),
        false => Err(Refused::bad("this is not the start of an HTTP request")),
    }
}

impl Facts {
    fn request_line(&mut self, line: &[u8]) -> Result<(), Refused> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::bad(
                "the request line is not METHOD SP TARGET SP VERSION",
            ));
        };
        if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
            return Err(Refused::bad("the method is not a token"));
        }
        if method.len() > METHOD_LEN_MAX {
            return Err(Refused::LONG_METHOD);
        }
        self.http11 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refused::with_status(
                    505,
                    "this HTTP version is not served here",
                ));
            }
            _ => return Err(Refused::bad("the HTTP version is malformed")),
        };
        self.connect = method == b"CONNECT";
        self.get = method == b"GET";
        judge_target(method, target)?;
        self.https = target
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"https://"));
        self.odd_target = !matches!(target, [b'/' | b'*', ..]) || any(target, is_encoded);
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refused> {
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Refused::bad("a header field name is malformed"));
        }
        if name.len() > NAME_LEN_MAX {
            return Err(Refused::too_large("a header field name is too long"));
        }
        let value = value.get(1..).unwrap_or(&[]);
        if any(value, |byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
            return Err(Refused::bad("a header field value has a control character"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value.trim_ascii()),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                let websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket");
                self.upgrade = Some(websocket && self.upgrade.is_none());
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connections += 1;
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.upgrades |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, host: &[u8]) -> Result<(), Refused> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(Refused::bad("more than one Host field"));
        }
        match is_host(host) {
            true => Ok(()),
            false => Err(Refused::BAD_HOST),
        }
    }

    /// Exactly one, decimal digits only: lists and repetitions, though the RFC lets a recipient
    /// collapse equal ones, are what smugglers send.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        let digits = value.trim_ascii();
        let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        match length {
            Some(length) if all_digits && self.length.is_none() => {
                self.length = Some(length);
                Ok(())
            }
            _ => Err(Refused::bad("Content-Length is malformed or repeated")),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refused> {
        let coding = value.trim_ascii();
        if self.chunked || !coding.eq_ignore_ascii_case(b"chunked") {
            let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or(&[]);
            if !self.chunked
                && coding.len() > 7
                && last.trim_ascii().eq_ignore_ascii_case(b"chunked")
            {
                // Well-formed, but a coding that nobody here can take off (RFC 9112, section 6.1).
                return Err(Refused::with_status(
                    501,
                    "only the chunked transfer coding is served",
                ));
            }
            return Err(Refused::bad("Transfer-Encoding is not exactly chunked"));
        }
        self.chunked = true;
        Ok(())
    }
}

/// Origin-form, absolute-form with http(s), or `*` with OPTIONS (RFC 9112, section 3.2).
fn judge_target(method: &[u8], target: &[u8]) -> Result<(), Refused> {
    let foul = |byte| matches!(byte, 0..=0x20 | b'#' | 0x7f);
    // In normal form an odd byte takes three.
    if target.len() > TARGET_LEN_MAX / 3 {
        let odd = target.iter().filter(|byte| !byte.is_ascii_alphanumeric());
        let odd = odd.filter(|byte| !b"/-._~%:@!$&'()*+,;=?".contains(byte));
        if target.len() + 2 * odd.count() > TARGET_LEN_MAX {
            return Err(Refused::LONG_TARGET);
        }
    }
    if target.is_empty() || any(target, foul) {
        return Err(Refused::bad(
            "the request target has a character that a URI cannot have",
        ));
    }
    let absolute = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let fits = match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => method == b"CONNECT" || absolute(b"http://") || absolute(b"https://"),
    };
    if fits {
        Ok(())
    } else {
        Err(Refused::bad("the request target is malformed"))
    }
}

/// Whether any byte is of a kind. All are looked at, many at once: texts are long, and hardly ever
/// bad.
fn any(text: &[u8], kind: impl Fn(u8) -> bool) -> bool {
    text.iter().fold(false, |found, byte| found | kind(*byte))
}

/// Whether a `Host` is empty or `host[:port]`, by the rules that routing goes by.
pub fn is_host(host: &[u8]) -> bool {
    let text = std::str::from_utf8(host);
    host.is_empty() || text.is_ok_and(|host| normalise_host(host).is_ok())
}

/// Whether a byte that clients send in targets, though a URI cannot have it, has to be encoded.
pub const fn is_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

#[cfg(test)]
#[path = "request_head_tests.rs"]
mod tests;

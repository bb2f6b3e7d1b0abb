//! gRPC: deadlines that clients set, and the bridge for browsers (gRPC-Web).
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, PROTOCOL-WEB.md)

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, Instant};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Marks the frame that carries trailers in a gRPC-Web body.
const TRAILERS: u8 = 0x80;
/// How the media type of gRPC-Web begins.
const WEB: &[u8] = b"application/grpc-web";
/// Largest number of a timeout: eight digits.
const TIMEOUT_MAX: u128 = 99_999_999;
/// Largest trailers that are put into a body. The status of the call and its message come first, so
/// that they are among them.
const TRAILERS_MAX: usize = 64 * 1024;

/// A call, in either of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Grpc,
    /// As browsers make it.
    Web,
}

/// Whether a request is a call, by its content type.
pub fn call(headers: &HeaderMap) -> Option<Call> {
    let kind = headers.get(CONTENT_TYPE)?.as_bytes();
    let format = after(kind, b"application/grpc")?;
    match format {
        [] | [b'+' | b';' | b' ' | b'\t', ..] => Some(Call::Grpc),
        _ => after(format, b"-web").map(|_| Call::Web),
    }
}

/// What follows the beginning of a media type, which has no case (RFC 9110, section 8.3.1).
fn after<'t>(kind: &'t [u8], beginning: &[u8]) -> Option<&'t [u8]> {
    let (own, rest) = kind.split_at_checked(beginning.len())?;
    own.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// Whether a content type is that of gRPC itself (not of gRPC-Web).
pub fn is_grpc(headers: &HeaderMap) -> bool {
    call(headers) == Some(Call::Grpc)
}

/// The content type of a rejection, where the client wants to be told in the words of gRPC.
pub fn refused_as(headers: &HeaderMap) -> Option<HeaderValue> {
    match call(headers)? {
        Call::Grpc => Some(HeaderValue::from_static("application/grpc")),
        // What a browser speaks is answered in its own words, too.
        Call::Web => headers.get(CONTENT_TYPE).cloned(),
    }
}

/// How a call has ended, as a head or trailers say.
pub fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get(&GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// How long a caller will wait; `None`: it does not say, or not well.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // At most eight digits, by the protocol.
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Tells the upstream what is left of the caller's time.
pub fn pass_deadline(headers: &mut HeaderMap, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    if let Ok(value) = HeaderValue::try_from(written(left)) {
        headers.insert(GRPC_TIMEOUT.clone(), value);
    }
}

/// Writes a time in the finest unit, from milliseconds, in which it has no more digits than the
/// protocol allows; what it has beyond that unit is dropped. At least one millisecond.
fn written(time: Duration) -> String {
    let seconds = u128::from(time.as_secs());
    let units = [
        (time.as_millis().max(1), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
    ];
    let fits = units.iter().find(|(number, _)| *number <= TIMEOUT_MAX);
    let hours = ((seconds / 3600).min(TIMEOUT_MAX), 'H');
    let (number, unit) = fits.unwrap_or(&hours);
    format!("{number}{unit}")
}

/// A gRPC-Web exchange that is plain gRPC towards the upstream.
#[derive(Debug)]
pub struct Bridge {
    /// What is left of the subtype: `+proto`, …
    format: String,
    /// The request's body is base64.
    request_text: bool,
    /// So is the answer's.
    answer_text: bool,
    /// Base64 that has not come to four letters yet.
    pending: BytesMut,
    /// Whether the answer turned out to be gRPC.
    bridging: bool,
}

impl Bridge {
    /// Begins a bridge: makes the head of a gRPC-Web request that of a gRPC request. `None`: the
    /// content type is not that of gRPC-Web.
    pub fn begin(headers: &mut HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        let rest = after(kind, WEB)?;
        let text = after(rest, b"-text");
        let format = std::str::from_utf8(text.unwrap_or(rest)).unwrap_or_default();
        let wants = headers.get(ACCEPT).map(HeaderValue::as_bytes);
        let wants = wants.and_then(|wants| after(wants, WEB));
        let wants_text = wants.and_then(|wants| after(wants, b"-text")).is_some();
        let bridge = Self {
            format: format.to_owned(),
            request_text: text.is_some(),
            answer_text: text.is_some() || wants_text,
            pending: BytesMut::new(),
            bridging: false,
        };
        let kind = HeaderValue::try_from(format!("application/grpc{}", bridge.format)).ok()?;
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.remove(&CONTENT_LENGTH);
        Some(bridge)
    }

    /// Whether the answer is gRPC, so that its body is bridged.
    pub const fn is_bridging(&self) -> bool {
        self.bridging
    }

    /// A piece of the request; `end`: the last one.
    ///
    /// # Errors
    /// When it is not the base64 that it says it is.
    pub fn request_piece(
        &mut self,
        body: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), base64::DecodeError> {
        let Some(piece) = body.take_if(|_| self.request_text) else {
            return match self.pending.len() {
                left if left > 0 && end => Err(base64::DecodeError::InvalidLength(left)),
                _ => Ok(()),
            };
        };
        self.pending.extend_from_slice(&piece);
        let whole = self.pending.len() / 4 * 4;
        let mut decoded = Vec::with_capacity(whole / 4 * 3);
        // Messages may be padded one by one, so each four letters stand for themselves.
        for four in self.pending.split_to(whole).chunks(4) {
            BASE64.decode_vec(four, &mut decoded)?;
        }
        if end && !self.pending.is_empty() {
            return Err(base64::DecodeError::InvalidLength(self.pending.len()));
        }
        *body = Some(decoded.into());
        Ok(())
    }

    /// Makes the head of a gRPC answer that of a gRPC-Web answer.
    pub fn answer_head(&mut self, headers: &mut HeaderMap) {
        if !is_grpc(headers) {
            return;
        }
        let text = if self.answer_text { "-text" } else { "" };
        let kind = format!("application/grpc-web{text}{}", self.format);
        if let Ok(kind) = HeaderValue::try_from(kind) {
            headers.insert(CONTENT_TYPE, kind);
            headers.remove(&CONTENT_LENGTH);
            self.bridging = true;
        }
    }

    /// A piece of the answer.
    pub fn answer_piece(&self, body: &mut Option<Bytes>) {
        if self.bridging
            && self.answer_text
            && let Some(piece) = body
        {
            *piece = BASE64.encode(&piece).into();
        }
    }

    /// Trailers, as the last frame of the body.
    pub fn trailers(&self, trailers: &HeaderMap) -> Option<Bytes> {
        if !self.bridging {
            return None;
        }
        let mut lines = BytesMut::new();
        let first = [&GRPC_STATUS, &GRPC_MESSAGE];
        let told = first.map(|name| {
            trailers
                .get_all(name)
                .iter()
                .map(move |value| (name, value))
        });
        let others = trailers.iter().filter(|(name, _)| !first.contains(name));
        for (name, value) in told.into_iter().flatten().chain(others) {
            let length = name.as_str().len() + value.len() + 4;
            if lines.len() + length > TRAILERS_MAX {
                continue;
            }
            lines.put_slice(name.as_str().as_bytes());
            lines.put_slice(b": ");
            lines.put_slice(value.as_bytes());
            lines.put_slice(b"\r\n");
        }
        let mut frame = BytesMut::with_capacity(lines.len() + 5);
        frame.put_u8(TRAILERS);
        frame.put_u32(lines.len() as u32);
        frame.put_slice(&lines);
        match self.answer_text {
            true => Some(BASE64.encode(&frame).into()),
            false => Some(frame.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, call, timeout, written};
    use http::HeaderMap;
    use std::time::Duration;

    #[test]
    fn timeouts_have_a_unit_and_eight_digits_at_most() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout(&headers)
        };
        assert_eq!(of("1S"), Some(Duration::from_secs(1)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(of("2H"), Some(Duration::from_hours(2)));
        for wrong in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", "1 S"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_timeout_is_written_in_a_unit_that_fits() {
        for (time, text) in [
            (Duration::ZERO, "1m"),
            (Duration::from_micros(2999), "2m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_hours(48), "172800S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_mins(100_000_000), "1666666H"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(written(time), text);
        }
    }

    #[test]
    fn a_call_is_told_by_its_content_type() {
        for (kind, told) in [
            ("application/grpc", Some(Call::Grpc)),
            ("application/grpc+proto", Some(Call::Grpc)),
            ("application/grpc; charset=utf-8", Some(Call::Grpc)),
            ("application/grpc-web", Some(Call::Web)),
            ("application/grpc-web-text+proto", Some(Call::Web)),
            ("APPLICATION/gRPC", Some(Call::Grpc)),
            ("Application/GRPC-Web-Text", Some(Call::Web)),
            ("application/grpcs", None),
            ("application/grpc-other", None),
            ("text/plain", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", kind.parse().unwrap());
            assert_eq!(call(&headers), told, "{kind}");
        }
    }
}

//! Decodes the chunked transfer coding (RFC 9112, section 7.1), strictly.
//!
//! A size has 1 to 16 hexadecimal digits, lines of sizes end in CR LF, extensions and trailers are
//! bounded. Chunks are slices of the buffer they came in.

use super::request::is_framing;
use crate::edge::message::Frame;
use bytes::{Buf, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};
use memchr::memchr;

/// Longest line of a size, its extensions included.
const LINE_MAX: usize = 1024;
/// Most digits of a size, and the largest one: what other servers count with signed numbers.
const DIGITS_MAX: usize = 16;
const SIZE_MAX: u64 = i64::MAX as u64;
/// Most bytes of trailers, and most of their fields.
const TRAILERS_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 128;

/// Where the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// So many bytes of the chunk are left.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    Trailers,
    End,
}

/// A body in the coding.
#[derive(Debug)]
pub struct Decoder {
    at: At,
}

/// What the buffer has next.
#[derive(Debug)]
pub enum Step {
    Frame(Frame),
    /// More has to be read first.
    More,
    End,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: At::Size }
    }
}

impl Decoder {
    /// Takes the next frame off the buffer.
    ///
    /// # Errors
    /// When the coding does not allow what is there.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, &'static str> {
        loop {
            let next = match self.at {
                At::Size => take_size(buffer)?.map(|size| match size {
                    0 => At::Trailers,
                    size => At::Data(size),
                }),
                At::Data(left) if !buffer.is_empty() => {
                    let taken = left.min(buffer.len() as u64);
                    self.at = match left - taken {
                        0 => At::DataEnd,
                        left => At::Data(left),
                    };
                    let data = buffer.split_to(taken as usize).freeze();
                    return Ok(Step::Frame(Frame::Data(data)));
                }
                At::Data(_) => None,
                At::DataEnd => take_line_end(buffer)?.then_some(At::Size),
                At::Trailers => match take_trailers(buffer)? {
                    Some(trailers) if !trailers.is_empty() => {
                        self.at = At::End;
                        return Ok(Step::Frame(Frame::Trailers(trailers)));
                    }
                    trailers => trailers.map(|_| At::End),
                },
                At::End => return Ok(Step::End),
            };
            match next {
                Some(next) => self.at = next,
                None => return Ok(Step::More),
            }
        }
    }
}

/// Takes a line with a size, if all of it is there.
fn take_size(buffer: &mut BytesMut) -> Result<Option<u64>, &'static str> {
    let visible = buffer.get(..buffer.len().min(LINE_MAX)).unwrap_or(&[]);
    let Some(end) = memchr(b'\n', visible) else {
        return match visible.len() {
            LINE_MAX => Err("a chunk of the answer has a line that is too long"),
            _ => Ok(None),
        };
    };
    let line = visible.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let size = line.and_then(size).ok_or(MALFORMED_SIZE)?;
    buffer.advance(end + 1);
    Ok(Some(size))
}

const MALFORMED_SIZE: &str = "a chunk of the answer has a malformed size";

/// Reads the size of a line; extensions are checked and ignored.
fn size(line: &[u8]) -> Option<u64> {
    let is_digit = |byte: &&u8| byte.is_ascii_hexdigit();
    let (digits, rest) = line.split_at(line.iter().take_while(is_digit).count());
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let allowed = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !matches!(rest.first(), None | Some(b';')) || !rest.iter().all(allowed) {
        return None;
    }
    let size = digits.iter().try_fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    });
    size.filter(|size| *size <= SIZE_MAX)
}

/// Takes the line end behind a chunk. Returns whether it is there.
fn take_line_end(buffer: &mut BytesMut) -> Result<bool, &'static str> {
    let there = buffer.get(..2).unwrap_or(buffer);
    if !b"\r\n".starts_with(there) {
        return Err("a chunk of the answer does not end where it should");
    }
    if there.len() < 2 {
        return Ok(false);
    }
    buffer.advance(2);
    Ok(true)
}

/// Takes the trailers, if all of them are there.
fn take_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, &'static str> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let visible = buffer.get(..buffer.len().min(TRAILERS_MAX)).unwrap_or(&[]);
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let (length, fields) = match httparse::parse_headers(visible, &mut fields) {
        Ok(Status::Complete(parsed)) => parsed,
        Ok(Status::Partial) if visible.len() < TRAILERS_MAX => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err("the answer has too many trailers");
        }
        Err(_) => return Err(MALFORMED_TRAILER),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| MALFORMED_TRAILER)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| MALFORMED_TRAILER)?;
        // Fields of framing have no meaning behind a body (RFC 9110, section 6.5.1).
        if !is_framing(&name) {
            trailers.append(name, value);
        }
    }
    buffer.advance(length);
    Ok(Some(trailers))
}

const MALFORMED_TRAILER: &str = "a trailer of the answer is malformed";

#[cfg(test)]
mod tests {
    use super::{Decoder, LINE_MAX, Step, TRAILERS_MAX};
    use crate::edge::message::Frame;
    use bytes::BytesMut;

    /// Content, trailers, and how many bytes are left over.
    type Decoded = (Vec<u8>, String, usize);

    /// Decodes in pieces of this size. Returns `None` if the end is missing.
    fn decode(coded: &[u8], piece: usize) -> Result<Option<Decoded>, &'static str> {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::new();
        let (mut content, mut trailers) = (Vec::new(), String::new());
        let mut pieces = coded.chunks(piece);
        loop {
            match decoder.step(&mut buffer)? {
                Step::Frame(Frame::Data(data)) => content.extend_from_slice(&data),
                Step::Frame(Frame::Trailers(fields)) => {
                    for (name, value) in &fields {
                        trailers += &format!("{name}={};", value.to_str().unwrap());
                    }
                }
                Step::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Ok(None),
                },
                Step::End => {
                    let left = buffer.len() + pieces.map(<[u8]>::len).sum::<usize>();
                    return Ok(Some((content, trailers, left)));
                }
            }
        }
    }

    #[test]
    fn well_formed_bodies_are_decoded_however_they_come() {
        for (coded, content, trailers, left) in [
            ("0\r\n\r\n", "", "", 0),
            ("5\r\nhello\r\n0\r\n\r\nHTTP", "hello", "", 4),
            (
                "003\r\nabc\r\nA ; a=\"b\"\r\n0123456789\r\n00\r\n\r\n",
                "abc0123456789",
                "",
                0,
            ),
            (
                "1\r\na\r\n0\r\nA: 1\r\nb:2 \r\nA: 3\r\n\r\n!",
                "a",
                "a=1;a=3;b=2;",
                1,
            ),
            ("0\r\nContent-Length: 4\r\n\r\n", "", "", 0),
        ] {
            for piece in 1..=coded.len() {
                let decoded = decode(coded.as_bytes(), piece).unwrap().unwrap();
                assert_eq!(
                    decoded,
                    (content.into(), trailers.into(), left),
                    "{coded:?}"
                );
            }
        }
    }

    #[test]
    fn malformed_bodies_are_refused_however_they_come() {
        for coded in [
            "\r\n\r\n",
            "g\r\n",
            "-1\r\n",
            "0x1\r\na\r\n",
            " 1\r\na\r\n",
            "1\na\r\n",
            "1 2\r\n",
            "1\r\nab\r\n",
            "1\r\na\n\n",
            "1\r\na\r\r",
            "00000000000000001\r\na\r\n",
            "8000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "1;\x01\r\n",
            "1;a\r\r\na",
            "0\r\n folded\r\n\r\n",
            "0\r\nA : 1\r\n\r\n",
            "0\r\nA\r\n\r\n",
            "0\r\nA: \x01\r\n\r\n",
            ";a\r\n",
        ] {
            for piece in 1..=coded.len() {
                assert!(
                    decode(coded.as_bytes(), piece).is_err(),
                    "{coded:?} in {piece}"
                );
            }
        }
    }

    #[test]
    fn a_body_without_its_end_is_not_over() {
        let coded = "5\r\nhello\r\n0\r\nA: 1\r\n\r\n";
        for end in 0..coded.len() {
            let cut = coded.as_bytes().get(..end).unwrap();
            assert_eq!(decode(cut, 3), Ok(None), "{end}");
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        for size in [LINE_MAX - 4, LINE_MAX - 3] {
            let coded = format!("0;{}\r\n\r\n", "a".repeat(size));
            assert_eq!(decode(coded.as_bytes(), 100).is_ok(), size == LINE_MAX - 4);
        }
        assert!(decode(&[b'1'; LINE_MAX], LINE_MAX).is_err());
        for size in [TRAILERS_MAX - 6, TRAILERS_MAX - 5] {
            let coded = format!("0\r\na:{}\r\n\r\n", "a".repeat(size));
            let decoded = decode(coded.as_bytes(), coded.len());
            assert_eq!(decoded.is_ok(), size == TRAILERS_MAX - 6, "{size}");
        }
        let coded = format!("0\r\n{}\r\n", "a: 1\r\n".repeat(200));
        assert!(decode(coded.as_bytes(), coded.len()).is_err());
    }
}

//! The head of an answer, read into slices of the buffer that it came in.

use super::framing::{Body, Framing};
use super::request::Asked;
use crate::edge::message::Length;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version, response};
use httparse::{Header, ParserConfig, Status};
use memchr::memchr_iter;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Most bytes of a head.
const HEAD_MAX: usize = 256 * 1024;
/// Most fields of a head.
const FIELDS_MAX: usize = 256;
/// Fields of a usual head: so many are read without an allocation.
const FIELDS_USUAL: usize = 24;

/// An answer's head, and what it says of what follows.
#[derive(Debug)]
pub struct Head {
    pub parts: response::Parts,
    pub length: Length,
    pub body: Body,
    /// The upstream keeps its connection open behind this answer.
    pub keeps: bool,
}

/// Reads heads; remembers how far it has looked for the end of an incomplete one.
#[derive(Debug, Default)]
pub struct Reader {
    looked: usize,
}

/// A name, and where its value is.
type Line = (HeaderName, Range<usize>);
type Lines = SmallVec<[Line; FIELDS_USUAL]>;

impl Reader {
    /// Takes the next head off the buffer, if all of it is there.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(
        &mut self,
        buffer: &mut BytesMut,
        asked: Asked,
    ) -> Result<Option<Head>, &'static str> {
        // What comes in tiny pieces is not parsed for each piece.
        if self.looked > 0 && !ends_after(buffer, self.looked) {
            return self.incomplete(buffer);
        }
        self.parse(buffer, asked)
    }

    /// Reads what is left when the connection has ended: garbage is told from a cut head.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn finish(&mut self, buffer: &mut BytesMut, asked: Asked) -> Result<(), &'static str> {
        self.parse(buffer, asked).map(drop)
    }

    fn parse(&mut self, buffer: &mut BytesMut, asked: Asked) -> Result<Option<Head>, &'static str> {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut []);
        let mut config = ParserConfig::default();
        // White space before a colon is removed, as it must be (RFC 9112, section 5.1).
        config.allow_spaces_after_header_name_in_responses(true);
        let parsed = config.parse_response_with_uninit_headers(&mut answer, buffer, &mut fields);
        let length = match parsed.map_err(describe)? {
            Status::Complete(length) if length <= HEAD_MAX => length,
            Status::Complete(_) => return Err(TOO_LARGE),
            Status::Partial => return self.incomplete(buffer),
        };
        let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or("the answer has no valid status")?;
        let version = match answer.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        let mut framing = Framing::new(version);
        let lines = lines(buffer, answer.headers, &mut framing)?;
        self.looked = 0;
        let body = framing.body(status, asked)?;
        let headers = fields_of(&buffer.split_to(length).freeze(), lines)?;
        Ok(Some(build(status, version, headers, &framing, body)))
    }

    fn incomplete(&mut self, buffer: &BytesMut) -> Result<Option<Head>, &'static str> {
        if buffer.len() >= HEAD_MAX {
            return Err(TOO_LARGE);
        }
        self.looked = buffer.len();
        Ok(None)
    }
}

const TOO_LARGE: &str = "the head of the answer is too large";

/// Whether an empty line ends behind the first `looked` bytes.
fn ends_after(buffer: &[u8], looked: usize) -> bool {
    let new = buffer.get(looked..).unwrap_or(&[]);
    memchr_iter(b'\n', new).any(|at| {
        let line = buffer.get(..looked + at).unwrap_or(&[]);
        line.ends_with(b"\n") || line.ends_with(b"\n\r")
    })
}

fn describe(error: httparse::Error) -> &'static str {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => "the answer has too many fields",
        Error::Version => "the answer is not of HTTP/1",
        Error::Status => "the status line of the answer is malformed",
        Error::HeaderName | Error::HeaderValue => "a field of the answer is malformed",
        Error::NewLine | Error::Token => "the head of the answer is malformed",
    }
}

/// Returns names and places of values, and notes what the fields say about framing.
fn lines(
    buffer: &[u8],
    fields: &[Header<'_>],
    framing: &mut Framing,
) -> Result<Lines, &'static str> {
    let base = buffer.as_ptr().addr();
    let mut lines = Lines::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| "the answer has a field with a malformed name")?;
        framing.note(&name, field.value)?;
        let start = match field.value.is_empty() {
            // An empty value need not lie in the buffer.
            true => 0,
            false => field.value.as_ptr().addr() - base,
        };
        lines.push((name, start..start + field.value.len()));
    }
    Ok(lines)
}

/// Builds the fields. Their values share the memory of the head.
fn fields_of(head: &Bytes, lines: Lines) -> Result<HeaderMap, &'static str> {
    let mut fields = HeaderMap::with_capacity(lines.len());
    for (name, place) in lines {
        let value = HeaderValue::from_maybe_shared(head.slice(place))
            .map_err(|_| "the answer has a field with a malformed value")?;
        fields.append(name, value);
    }
    Ok(fields)
}

fn build(
    status: StatusCode,
    version: Version,
    mut headers: HeaderMap,
    framing: &Framing,
    (length, body): (Length, Body),
) -> Head {
    if framing.has_coding() {
        headers.remove(TRANSFER_ENCODING);
    }
    let bare = status.is_informational() || status == StatusCode::NO_CONTENT;
    match framing.length() {
        // These have no content and no length (RFC 9110, section 8.6).
        Some(_) if bare => drop(headers.remove(CONTENT_LENGTH)),
        Some(length) if framing.repeats_length() => {
            // Passed on as one valid field (RFC 9112, section 6.3).
            headers.insert(CONTENT_LENGTH, length.into());
        }
        _ => {}
    }
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = version;
    parts.headers = headers;
    let keeps = framing.keeps() && !matches!(body, Body::UntilClose | Body::Raw);
    Head {
        parts,
        length,
        body,
        keeps,
    }
}

#[cfg(test)]
mod tests;

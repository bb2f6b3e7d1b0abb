//! The answer to one request: its head, and how the end of its body is told (RFC 9112, section 6).

use super::super::output::Output;
use crate::edge::date;
use crate::edge::headers::may_not_trail;
use crate::edge::message::Length;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, Version, header, response};
use std::fmt::Write;

/// What may be written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No final head has been queued.
    Head,
    /// Nothing: the answer has no content, whatever is said of its length.
    Bare,
    /// So many bytes.
    Length(u64),
    Chunked,
    /// Bytes whose end is that of the connection.
    Close,
    /// Bytes of the protocol that was switched to.
    Raw,
    /// The answer is whole.
    Ended,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    stage: Stage,
    /// The request was of HTTP/1.0.
    old: bool,
    /// The request was for a head alone.
    to_head: bool,
}

impl Answer {
    pub fn new(version: Version, to_head: bool) -> Self {
        Self {
            stage: Stage::Head,
            old: version == Version::HTTP_10,
            to_head,
        }
    }

    /// Whether the final head is still to come.
    pub fn is_due(&self) -> bool {
        self.stage == Stage::Head
    }

    /// Whether the client can tell that it has the whole answer, once it has been flushed.
    pub fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Bare | Stage::Length(0) | Stage::Ended)
    }

    /// Whether a close would be taken for the end of the answer.
    pub fn ends_by_close(&self) -> bool {
        self.stage == Stage::Close
    }

    /// Queues an interim head.
    pub fn interim(&self, output: &mut Output, head: &response::Parts) {
        if self.old || !self.is_due() {
            return;
        }
        let out = output.small();
        status_line(out, head.status);
        fields(out, &head.headers, is_of_framing);
        out.put_slice(b"\r\n");
    }

    /// Queues the head of the answer. `keeps`: whether the connection is kept, if the end of the
    /// answer can be told without its close. Returns whether it is kept.
    pub fn head(
        &mut self,
        output: &mut Output,
        head: &response::Parts,
        length: Length,
        keeps: bool,
    ) -> bool {
        let no_content = matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        self.stage = match length {
            _ if no_content || self.to_head => Stage::Bare,
            Length::None => Stage::Ended,
            Length::Exact(length) => Stage::Length(length),
            Length::Unknown if self.old => Stage::Close,
            Length::Unknown => Stage::Chunked,
        };
        let keeps = keeps && self.stage != Stage::Close;
        let out = output.small();
        status_line(out, head.status);
        fields(out, &head.headers, is_of_framing);
        if !head.headers.contains_key(header::DATE) {
            for part in [&b"Date: "[..], &date::now(), b"\r\n"] {
                out.put_slice(part);
            }
        }
        self.framing(out, head, length);
        out.put_slice(match keeps {
            true => b"Connection: keep-alive\r\n\r\n",
            false => b"Connection: close\r\n\r\n",
        });
        keeps
    }

    /// Writes the field that says how long the body is.
    fn framing(&self, out: &mut BytesMut, head: &response::Parts, length: Length) {
        let length = match (self.stage, length) {
            (Stage::Chunked, _) => return out.put_slice(b"Transfer-Encoding: chunked\r\n"),
            (Stage::Length(length), _) => length,
            (Stage::Ended, _) => 0,
            // RFC 9110, section 8.6: 204 says nothing, the others what the content would have been.
            (Stage::Bare, length) if head.status != StatusCode::NO_CONTENT => {
                if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
                    return field(out, &header::CONTENT_LENGTH, length.as_bytes());
                }
                match length {
                    Length::Exact(length) if self.to_head => length,
                    _ => return,
                }
            }
            _ => return,
        };
        let mut digits = itoa::Buffer::new();
        field(
            out,
            &header::CONTENT_LENGTH,
            digits.format(length).as_bytes(),
        );
    }

    /// Queues the head that switches protocols (RFC 9110, section 15.2.2).
    pub fn switch(&mut self, output: &mut Output, head: &response::Parts) {
        let out = output.small();
        status_line(out, StatusCode::SWITCHING_PROTOCOLS);
        if !head.headers.contains_key(header::CONNECTION) {
            out.put_slice(b"Connection: Upgrade\r\n");
        }
        let is_of_body =
            |name: &HeaderName| matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING);
        fields(out, &head.headers, is_of_body);
        out.put_slice(b"\r\n");
        self.stage = Stage::Raw;
    }

    /// Queues a part of the body. Returns whether there was room for it: where there was not, the
    /// connection cannot be kept.
    pub fn data(&mut self, output: &mut Output, mut data: Bytes) -> bool {
        let length = data.len() as u64;
        match &mut self.stage {
            Stage::Head | Stage::Bare | Stage::Ended => return true,
            Stage::Length(left) => {
                let own = length.min(*left);
                data.truncate(own as usize);
                *left -= own;
                output.push(data);
                return own == length;
            }
            // An empty chunk would end the body.
            Stage::Chunked if length == 0 => return true,
            Stage::Chunked => {
                let _ = write!(output.small(), "{length:x}\r\n");
                output.push(data);
                output.small().put_slice(b"\r\n");
            }
            Stage::Close | Stage::Raw => output.push(data),
        }
        true
    }

    /// Queues the end of the answer. Returns whether it may end here.
    pub fn end(&mut self, output: &mut Output, trailers: Option<&HeaderMap>) -> bool {
        match self.stage {
            Stage::Head => return false,
            Stage::Length(left) if left > 0 => return false,
            Stage::Chunked => {
                let out = output.small();
                out.put_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    fields(out, trailers, may_not_trail);
                }
                out.put_slice(b"\r\n");
            }
            Stage::Raw => output.end(),
            Stage::Bare | Stage::Length(_) | Stage::Close | Stage::Ended => {}
        }
        self.stage = Stage::Ended;
        true
    }
}

/// Whether a field is about the connection or the framing, and so not a part of the answer.
fn is_of_framing(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION | header::CONTENT_LENGTH | header::TRANSFER_ENCODING
    )
}

fn status_line(out: &mut BytesMut, status: StatusCode) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
}

/// Writes all fields but those that are left out.
fn fields(out: &mut BytesMut, headers: &HeaderMap, is_left_out: impl Fn(&HeaderName) -> bool) {
    for (name, value) in headers {
        if !is_left_out(name) {
            field(out, name, value.as_bytes());
        }
    }
}

fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    let start = out.len();
    out.put_slice(name);
    capitalise(out.get_mut(start..).unwrap_or_default());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Spells a name as most servers do, for clients that compare it byte by byte.
fn capitalise(name: &mut [u8]) {
    let mut first = true;
    for byte in name {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

//! Where an answer ends (RFC 9112, section 6.3), and whether its connection goes on behind it.

use super::chunked::Decoder;
use super::request::{Asked, has_token};
use crate::edge::message::Length;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{StatusCode, Version};

/// What follows a head.
#[derive(Debug)]
pub enum Body {
    /// Another head: this one was interim.
    Head,
    /// So many bytes.
    Exact(u64),
    Chunked(Decoder),
    UntilClose,
    /// Another protocol.
    Raw,
}

/// What the fields of a head say about framing.
#[derive(Debug)]
pub struct Framing {
    version: Version,
    length: Option<u64>,
    /// The length is a list, or has more than one line.
    repeats: bool,
    /// There is a transfer coding; whether it is `chunked` and nothing else.
    coding: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Framing {
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            length: None,
            repeats: false,
            coding: None,
            close: false,
            keep_alive: false,
        }
    }

    /// Takes note of a field.
    ///
    /// # Errors
    /// When a length is malformed, or differs from another one.
    pub fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), &'static str> {
        if *name == CONTENT_LENGTH {
            for item in value.split(|byte| *byte == b',') {
                self.note_length(item.trim_ascii())?;
            }
        } else if *name == TRANSFER_ENCODING {
            let chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.coding = Some(chunked && self.coding.is_none());
        } else if *name == CONNECTION {
            self.close |= has_token(value, "close");
            self.keep_alive |= has_token(value, "keep-alive");
        }
        Ok(())
    }

    fn note_length(&mut self, digits: &[u8]) -> Result<(), &'static str> {
        let length = decimal(digits).ok_or("the answer has a malformed content length")?;
        if self.length.is_some_and(|other| other != length) {
            return Err("the answer has different content lengths");
        }
        self.repeats |= self.length.is_some();
        self.length = Some(length);
        Ok(())
    }

    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    pub const fn repeats_length(&self) -> bool {
        self.repeats
    }

    pub const fn has_coding(&self) -> bool {
        self.coding.is_some()
    }

    /// Whether the connection goes on behind the answer (RFC 9112, section 9.3).
    pub fn keeps(&self) -> bool {
        !self.close && (self.version != Version::HTTP_10 || self.keep_alive)
    }

    /// Returns how much content the answer has.
    ///
    /// # Errors
    /// When the head contradicts itself, or has what was not asked for.
    pub fn body(&self, status: StatusCode, asked: Asked) -> Result<(Length, Body), &'static str> {
        match status {
            StatusCode::SWITCHING_PROTOCOLS if !asked.upgrade => {
                return Err("the answer switches to a protocol that was not asked for");
            }
            StatusCode::SWITCHING_PROTOCOLS => return Ok((Length::None, Body::Raw)),
            status if status.is_informational() => return Ok((Length::None, Body::Head)),
            _ => {}
        }
        self.check()?;
        let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match (self.coding, self.length) {
            _ if bare || asked.head => (Length::None, Body::Exact(0)),
            (Some(_), _) => (Length::Unknown, Body::Chunked(Decoder::default())),
            (None, Some(length)) => (Length::Exact(length), Body::Exact(length)),
            (None, None) => (Length::Unknown, Body::UntilClose),
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        match self.coding {
            None => Ok(()),
            Some(_) if self.length.is_some() => {
                Err("the answer has both a content length and a transfer coding")
            }
            // No version before 1.1 knows codings (RFC 9112, section 6.1).
            Some(_) if self.version == Version::HTTP_10 => {
                Err("the answer of HTTP/1.0 has a transfer coding")
            }
            Some(true) => Ok(()),
            Some(false) => Err("the answer has a transfer coding that was not asked for"),
        }
    }
}

/// Reads digits and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

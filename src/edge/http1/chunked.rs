//! Decodes the chunked transfer coding of a request body (RFC 9112, section 7.1).
//!
//! It is strict: sizes are 1 to 16 hex digits, far below what an `u64` holds, lines end in CR LF,
//! trailer lines are fields as those of a head are, extensions and trailers are bounded. The end is
//! found to the byte, since the bytes behind it belong to the next request.

use super::trailers;
use crate::routing::client_fields::is_token;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

/// Longest chunk-size line. Extensions are ignored, and bounded.
const LINE_MAX: u32 = 1024;
/// Largest chunk. Many parsers take sizes for signed numbers.
const SIZE_MAX: u64 = i64::MAX as u64 / 2;
/// Most bytes of trailer fields.
const TRAILER_MAX: usize = 16 * 1024;
/// Most trailer fields.
const TRAILER_FIELDS_MAX: usize = 100;

/// Where in the coding the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// White space behind a size, which only an extension may follow.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    /// In the name of a field, which its colon follows at once (RFC 9112, section 5.1).
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// A body being decoded.
#[derive(Debug, Clone)]
pub struct Decoder {
    at: At,
    size: u64,
    digits: u8,
    line: u32,
    /// The trailer fields so far, each with a line feed behind it.
    trailer: Vec<u8>,
}

/// The body is not what the coding allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Default for Decoder {
    fn default() -> Self {
        Self {
            at: At::Size,
            size: 0,
            digits: 0,
            line: 0,
            trailer: Vec::new(),
        }
    }
}

impl Decoder {
    /// Takes the next data off the front of `bytes`, and the framing before it. `None`: there is no
    /// more data in these bytes.
    ///
    /// # Errors
    /// On the first byte that the coding does not allow.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let framing = self.framing(bytes)?;
        bytes.advance(framing);
        if self.at != At::Data || bytes.is_empty() {
            return Ok(None);
        }
        let taken = self.data(bytes.len());
        Ok(Some(bytes.split_to(taken).freeze()))
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Returns the trailer fields, without those that a trailer must not have.
    ///
    /// # Errors
    /// When there are too many.
    pub fn trailers(&self) -> Result<HeaderMap, Malformed> {
        trailers::parse(&self.trailer, TRAILER_FIELDS_MAX).ok_or(Malformed)
    }

    /// Looks at the next bytes; `Some(n)`: the body ended after `n` of them.
    ///
    /// # Errors
    /// On the first byte that the coding does not allow.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut rest = bytes;
        loop {
            let framing = self.framing(rest)?;
            rest = rest.get(framing..).unwrap_or(&[]);
            match self.at {
                At::Done => return Ok(Some(bytes.len() - rest.len())),
                At::Data if !rest.is_empty() => {
                    let taken = self.data(rest.len());
                    rest = rest.get(taken..).unwrap_or(&[]);
                }
                _ => return Ok(None),
            }
        }
    }

    /// Counts what is data of the next bytes.
    fn data(&mut self, available: usize) -> usize {
        let taken = self.size.min(available as u64);
        self.size -= taken;
        if self.size == 0 {
            self.at = At::DataCr;
        }
        taken as usize
    }

    /// Reads up to the next data, or to the end. Returns how many bytes that were.
    fn framing(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        for (read, byte) in bytes.iter().enumerate() {
            if matches!(self.at, At::Data | At::Done) {
                return Ok(read);
            }
            self.at = self.step(*byte)?;
        }
        Ok(bytes.len())
    }

    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b' ' | b'\t') if self.digits > 0 => Ok(At::Space),
            (At::Size, b';') if self.digits > 0 => Ok(At::Extension),
            (At::Space, b' ' | b'\t') => self.longer(At::Space),
            (At::Space, b';') => Ok(At::Extension),
            (At::Space, b'\r') => Ok(At::SizeLf),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.longer(At::Extension),
            (At::SizeLf, b'\n') => Ok(self.after_size()),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::Trailer, b'\r') => Ok(At::EndLf),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => {
                self.trailer.push(b'\n');
                Ok(At::Trailer)
            }
            (At::EndLf, b'\n') => Ok(At::Done),
            // A line that starts with white space would fold into the one before.
            (At::Trailer | At::TrailerName, byte) if is_token(byte) => {
                self.trails(byte, At::TrailerName)
            }
            (At::TrailerName, b':') | (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trails(byte, At::TrailerValue)
            }
            _ => Err(Malformed),
        }
    }

    /// One more byte of a line that is ignored.
    fn longer(&mut self, at: At) -> Result<At, Malformed> {
        self.line += 1;
        if self.line > LINE_MAX {
            Err(Malformed)
        } else {
            Ok(at)
        }
    }

    /// One more byte of a trailer field.
    fn trails(&mut self, byte: u8, at: At) -> Result<At, Malformed> {
        if self.trailer.len() >= TRAILER_MAX {
            return Err(Malformed);
        }
        self.trailer.push(byte);
        Ok(at)
    }

    fn digit(&mut self, byte: u8) -> Result<At, Malformed> {
        let value = (byte as char).to_digit(16).ok_or(Malformed)?;
        self.digits += 1;
        self.size = (self.size << 4) | u64::from(value);
        // Zeros in front count too: other parsers differ in how many they take.
        if self.digits > 16 || self.size > SIZE_MAX {
            return Err(Malformed);
        }
        Ok(At::Size)
    }

    fn after_size(&mut self) -> At {
        (self.digits, self.line) = (0, 0);
        if self.size == 0 {
            At::Trailer
        } else {
            At::Data
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Malformed};
    use bytes::BytesMut;

    fn end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        Decoder::default().follow(bytes)
    }

    #[test]
    fn the_end_is_found_to_the_byte() {
        let body = b"5\r\nhello\r\n0\r\n\r\n";
        let mut more = body.to_vec();
        more.extend_from_slice(b"GET /");
        assert_eq!(end(&more), Ok(Some(body.len())));
        let trailed = b"A;x=y\r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\n";
        assert_eq!(end(trailed), Ok(Some(trailed.len())));
    }

    #[test]
    fn byte_by_byte_gives_the_same_end() {
        let body = b"3;ext\r\nabc\r\n00\r\nX: y\r\n\r\n";
        let mut decoder = Decoder::default();
        for (index, byte) in body.iter().enumerate() {
            let ended = decoder.follow(&[*byte]).unwrap();
            assert_eq!(ended.is_some(), index + 1 == body.len(), "byte {index}");
        }
    }

    #[test]
    fn what_the_coding_does_not_allow_is_refused() {
        for bad in [
            &b"zz\r\n"[..],
            b"-1\r\n",
            b"+1\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"\r\n",
            b"5\nhello",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"1FFFFFFFFFFFFFFFF\r\n",
            b"5;a\0b\r\n",
            b"5 xyz\r\n",
            b"5 6\r\n",
            b"FFFFFFFFFFFFFFFF\r\n",
            b"8000000000000000\r\n",
            b"00000000000000005\r\n",
            b"0\r\n folded\r\n",
            b"0\r\nA: b\n",
            b"0\r\nno colon\r\n",
            b"0\r\nA\r\n",
            b"0\r\nA : b\r\n",
            b"0\r\nA\t: b\r\n",
            b"0\r\n: b\r\n",
            b"0\r\nA(b): c\r\n",
            b"0\r\nA\xe9: b\r\n",
            b"0\r\nA: b\r\n c\r\n",
            b"0\r\nA: b\0\r\n",
            b"0\r\nA: b\x7f\r\n",
            b"0\r\nA: b\rc\r\n",
            b"0\r\n\n",
        ] {
            assert_eq!(end(bad), Err(Malformed), "{}", bad.escape_ascii());
        }
        let long = [&b"5;"[..], &vec![b'a'; 2000]].concat();
        assert_eq!(end(&long), Err(Malformed));
        let trailers = [&b"0\r\n"[..], &b"A: b\r\n".repeat(5000)].concat();
        assert_eq!(end(&trailers), Err(Malformed));
    }

    #[test]
    fn extensions_and_trailers_of_the_grammar_pass() {
        for body in [
            &b"1;a=b\r\nx\r\n0;c\r\n\r\n"[..],
            b"1 ; a = \"b; c\\\" d\" ;e\r\nx\r\n0\r\n\r\n",
            b"0\r\nA:\r\nB:c\r\nC: d e \r\nX!#$%&'*+-.^_`|~9: \xe9\tf\r\n\r\n",
        ] {
            assert_eq!(end(body), Ok(Some(body.len())), "{}", body.escape_ascii());
        }
    }

    /// Decodes a body that arrives in pieces of this size: its data, and what is left behind it.
    fn decoded(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, Decoder) {
        let (mut decoder, mut ahead, mut data) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            ahead.extend_from_slice(piece);
            while let Some(part) = decoder.next(&mut ahead).unwrap() {
                data.extend_from_slice(&part);
            }
        }
        (data, ahead.to_vec(), decoder)
    }

    #[test]
    fn data_and_trailers_are_decoded_however_they_arrive() {
        let body = b"5;x=\"y\"\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\
                     X-Sum: 1\r\nHost: evil\r\nx-sum:  2 \r\nX-Empty:\r\n\r\nGET /";
        for piece in 1..body.len() {
            let (data, rest, decoder) = decoded(body, piece);
            assert_eq!(data, b"hello world", "{piece}");
            assert_eq!(rest, b"GET /", "{piece}");
            assert!(decoder.is_done());
            let trailers = decoder.trailers().unwrap();
            let sums: Vec<_> = trailers.get_all("x-sum").iter().collect();
            assert_eq!(sums, ["1", "2"]);
            assert_eq!((trailers.get("host"), trailers.len()), (None, 3));
        }
    }

    #[test]
    fn data_is_not_copied() {
        let mut bytes = BytesMut::from(&b"3\r\nabc\r\n"[..]);
        let at = bytes[3..].as_ptr();
        let data = Decoder::default().next(&mut bytes).unwrap().unwrap();
        assert_eq!((data.as_ptr(), &data[..]), (at, &b"abc"[..]));
    }

    #[test]
    fn trailer_fields_are_bounded_in_number() {
        let with = |fields| [&b"0\r\n"[..], &b"a:\r\n".repeat(fields), b"\r\n"].concat();
        assert!(decoded(&with(100), 4096).2.trailers().is_ok());
        assert_eq!(
            decoded(&with(101), 4096).2.trailers().err(),
            Some(Malformed)
        );
    }
}

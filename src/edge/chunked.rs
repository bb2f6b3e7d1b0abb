//! Follows the chunked transfer coding of a request body (RFC 9112, section 7.1), so that the
//! connection knows where the body ends and nothing but well-formed chunks goes any further.
//!
//! It decodes nothing: the proxy behind it does. What it adds is strictness (sizes are 1 to 16 hex
//! digits, far below what an `u64` holds, lines end in CR LF, trailer lines are fields as those of a
//! head are, extensions and trailers are bounded) and the exact end, past which bytes belong to the
//! next request.

use crate::routing::client_fields::is_token;

/// Longest chunk-size line, extensions included: they mean nothing to us, and floods hide there.
const LINE_MAX: u32 = 1024;
/// Largest chunk. Parsers behind this one take sizes for signed numbers.
const SIZE_MAX: u64 = i64::MAX as u64 / 2;
/// Most bytes of trailer fields.
const TRAILER_MAX: u32 = 16 * 1024;

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

/// A body being followed.
#[derive(Debug)]
pub struct Follower {
    at: At,
    size: u64,
    digits: u8,
    line: u32,
    trailer: u32,
}

/// The body is not what the coding allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Default for Follower {
    fn default() -> Self {
        Self {
            at: At::Size,
            size: 0,
            digits: 0,
            line: 0,
            trailer: 0,
        }
    }
}

impl Follower {
    /// Takes the next bytes; `Some(n)`: the body ended after `n` of them.
    ///
    /// # Errors
    /// On the first byte that the coding does not allow.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.at == At::Done {
                return Ok(Some(bytes.len() - rest.len()));
            }
            if self.at == At::Data {
                let taken = self.size.min(rest.len() as u64);
                self.size -= taken;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                rest = rest.get(taken as usize..).unwrap_or(&[]);
                continue;
            }
            self.at = self.step(*byte)?;
            rest = after;
        }
        Ok((self.at == At::Done).then_some(bytes.len()))
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
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            (At::EndLf, b'\n') => Ok(At::Done),
            // A line that starts with white space would fold into the one before.
            (At::Trailer | At::TrailerName, byte) if is_token(byte) => self.trails(At::TrailerName),
            (At::TrailerName, b':') | (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trails(At::TrailerValue)
            }
            _ => Err(Malformed),
        }
    }

    /// One more byte of a line that is none of our business.
    fn longer(&mut self, at: At) -> Result<At, Malformed> {
        self.line += 1;
        if self.line > LINE_MAX {
            Err(Malformed)
        } else {
            Ok(at)
        }
    }

    /// One more byte of a trailer field.
    fn trails(&mut self, at: At) -> Result<At, Malformed> {
        self.trailer += 1;
        match self.trailer > TRAILER_MAX {
            true => Err(Malformed),
            false => Ok(at),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<At, Malformed> {
        let value = (byte as char).to_digit(16).ok_or(Malformed)?;
        self.digits += 1;
        self.size = (self.size << 4) | u64::from(value);
        // Zeros in front count too: who needs more than sixteen digits has something to hide.
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
    use super::{Follower, Malformed};

    fn end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        Follower::default().follow(bytes)
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
        let mut follower = Follower::default();
        for (index, byte) in body.iter().enumerate() {
            let ended = follower.follow(&[*byte]).unwrap();
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
}

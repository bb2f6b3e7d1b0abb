//! What is kept of an answer to compare it with another: numbers, never the answer itself.

use crate::config::mirror::Compare;
use http::HeaderMap;
use smallvec::SmallVec;
use std::hash::Hasher;
use std::time::Duration;
use twox_hash::XxHash64;

/// Bytes of a body that are looked at.
pub const BODY_MAX: u64 = 1 << 20;

/// An answer, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// What gRPC says of itself, in the head or behind the body.
    pub grpc: Option<u8>,
    /// Hashes of the fields that are compared, in the configuration's order.
    pub headers: SmallVec<[u64; 4]>,
    /// Hash of the body; `None`: it is not compared, or a stream without an end.
    pub body: Option<u64>,
    /// Time to its head.
    pub took: Duration,
}

/// An answer that is being read.
#[derive(Debug)]
pub struct Reading {
    answer: Answer,
    body: Option<XxHash64>,
    read: u64,
}

impl Reading {
    /// The head has come. `endless`: the body is a stream, which nobody waits for.
    pub fn begin(
        compare: &Compare,
        status: u16,
        headers: &HeaderMap,
        took: Duration,
        endless: bool,
    ) -> Self {
        let hashes = compare.headers.iter().map(|name| {
            let mut hasher = XxHash64::with_seed(0);
            for value in headers.get_all(name) {
                hasher.write(value.as_bytes());
                hasher.write(b"\n");
            }
            hasher.finish()
        });
        Self {
            answer: Answer {
                status,
                grpc: None,
                headers: hashes.collect(),
                body: None,
                took,
            },
            body: (compare.body && !endless).then(|| XxHash64::with_seed(0)),
            read: 0,
        }
    }

    /// A part of the body; returns whether more of it would be looked at.
    pub fn more(&mut self, chunk: &[u8]) -> bool {
        let left = usize::try_from(BODY_MAX - self.read).unwrap_or(usize::MAX);
        let seen = chunk.get(..left).unwrap_or(chunk);
        if let Some(hasher) = &mut self.body {
            hasher.write(seen);
        }
        self.read += seen.len() as u64;
        self.read < BODY_MAX
    }

    /// It is over, with this status of gRPC if it has one.
    pub fn end(self, grpc: Option<u8>) -> Answer {
        let body = self.body.map(|hasher| hasher.finish());
        Answer {
            grpc,
            body,
            ..self.answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_MAX, Reading};
    use crate::config::mirror::Compare;
    use crate::config::units::Percent;
    use http::HeaderMap;
    use std::time::Duration;

    fn hash(chunks: &[&[u8]]) -> Option<u64> {
        let compare = Compare {
            headers: Vec::new(),
            body: true,
            noise: Percent(0),
        };
        let took = Duration::from_millis(1);
        let mut reading = Reading::begin(&compare, 200, &HeaderMap::new(), took, false);
        for chunk in chunks {
            reading.more(chunk);
        }
        reading.end(None).body
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        assert_eq!(hash(&[b"hel", b"lo"]), hash(&[b"hello"]));
        assert_ne!(hash(&[b"hello"]), hash(&[b"hallo"]));
        let large = vec![7; BODY_MAX as usize];
        assert_eq!(hash(&[&large, b"x"]), hash(&[&large[1..], b"\x07y"]));
        assert_ne!(hash(&[&large[1..], b"x"]), hash(&[&large]));
    }
}

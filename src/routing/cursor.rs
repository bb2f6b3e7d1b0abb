//! A place on the way along a path, and what follows it: as bytes, and the first of them as one number,
//! by which most segments are told apart.

/// Bytes in a word.
pub const WORD: usize = 8;

/// The start of a segment, or the end of the path.
#[derive(Debug, Clone)]
pub struct Cursor<'p> {
    path: &'p [u8],
    /// Past the end once there is no segment any more.
    at: usize,
}

impl<'p> Cursor<'p> {
    /// Behind the first slash; `None`: the path does not begin with one.
    pub fn of(path: &'p str) -> Option<Self> {
        let path = path.as_bytes();
        (path.first() == Some(&b'/')).then_some(Self { path, at: 1 })
    }

    /// The segment that begins here and all that follow; `None` at the end.
    #[inline]
    pub fn rest(&self) -> Option<&'p [u8]> {
        self.path.get(self.at..)
    }

    /// The first bytes of the rest, and zeros behind it.
    #[inline]
    pub fn word(&self, rest: &[u8]) -> u64 {
        if let Some(first) = rest.first_chunk() {
            return u64::from_le_bytes(*first);
        }
        match self.path.last_chunk() {
            // What is left is the end of the path: the bytes before it are shifted out.
            Some(last) if !rest.is_empty() => {
                u64::from_le_bytes(*last) >> (8 * (WORD - rest.len()))
            }
            _ => word(rest),
        }
    }

    /// Goes on behind a segment of this length, and the slash that ends it.
    #[inline]
    pub fn pass(&mut self, segment: usize) {
        self.at += segment + 1;
    }
}

/// The first segment of what is left.
#[inline]
pub fn segment(rest: &[u8]) -> &[u8] {
    let slash = rest.iter().position(|byte| *byte == b'/');
    slash.and_then(|slash| rest.get(..slash)).unwrap_or(rest)
}

/// The first bytes of a text, and zeros behind it.
pub fn word(text: &[u8]) -> u64 {
    let first = text.iter().take(WORD).rev();
    first.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Cursor, segment, word};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_meets_what_stands_between_slashes(path in "/[/a-cé.]{0,40}") {
            let mut cursor = Cursor::of(&path).unwrap();
            for expected in path.split('/').skip(1) {
                let rest = cursor.rest().unwrap();
                prop_assert_eq!(segment(rest), expected.as_bytes());
                prop_assert_eq!(cursor.word(rest), word(rest));
                cursor.pass(expected.len());
            }
            prop_assert_eq!(cursor.rest(), None);
        }
    }
}

//! The segments of a path, each with its first bytes as one number: most are told apart by that, and
//! found without looking at single bytes.

/// Bytes in a [`Segment::word`].
pub const WORD: usize = 8;
/// One in every byte.
const ONES: u64 = u64::MAX / 0xff;

/// What stands between two slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'p> {
    pub text: &'p [u8],
    /// All bytes of a text that is no longer than [`WORD`], the first ones of any other.
    pub word: u64,
}

impl<'p> Segment<'p> {
    /// The whole of a text.
    pub fn of(text: &'p [u8]) -> Self {
        let word = match text.first_chunk() {
            Some(first) => u64::from_le_bytes(*first),
            None => short(text),
        };
        Self { text, word }
    }

    /// Whether this is the text that a word was taken of.
    #[inline]
    pub fn is(&self, word: u64, text: &[u8]) -> bool {
        self.word == word
            && self.text.len() == text.len()
            && (text.len() <= WORD || self.text == text)
    }
}

/// A path on the way through its segments.
#[derive(Debug, Clone)]
pub struct Segments<'p> {
    path: &'p [u8],
    /// Where the next segment begins; past the end once there is none.
    at: usize,
}

impl<'p> Segments<'p> {
    /// Those behind the first slash; `None`: it does not begin with one.
    pub fn of(path: &'p str) -> Option<Self> {
        let path = path.as_bytes();
        (path.first() == Some(&b'/')).then_some(Self { path, at: 1 })
    }

    /// The first bytes of what is left, and zeros behind it.
    #[inline]
    fn word(&self, rest: &[u8]) -> u64 {
        if let Some(first) = rest.first_chunk() {
            return u64::from_le_bytes(*first);
        }
        match self.path.last_chunk() {
            // What is left is the end of the path: the bytes before it are shifted out.
            Some(last) if !rest.is_empty() => {
                u64::from_le_bytes(*last) >> (8 * (WORD - rest.len()))
            }
            _ => short(rest),
        }
    }
}

impl<'p> Iterator for Segments<'p> {
    type Item = Segment<'p>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'p>> {
        let rest = self.path.get(self.at..)?;
        let word = self.word(rest);
        // A byte that is a slash is zero here, and alone turns its highest bit on, up to the first.
        let zeros = word ^ (ONES * b'/' as u64);
        let slashes = zeros.wrapping_sub(ONES) & !zeros & (ONES << 7);
        let length = match slashes.trailing_zeros() as usize / 8 {
            WORD.. => longer(rest),
            length => length,
        };
        let text = rest.get(..length)?;
        self.at += length + 1;
        let word = match length {
            0..WORD => word & ((1 << (8 * length)) - 1),
            _ => word,
        };
        Some(Segment { text, word })
    }
}

/// The length of a segment that does not end within the first bytes of what is left.
fn longer(rest: &[u8]) -> usize {
    let beyond = rest.get(WORD..).unwrap_or(&[]);
    let slash = beyond.iter().position(|byte| *byte == b'/');
    slash.map_or(rest.len(), |slash| WORD + slash)
}

fn short(text: &[u8]) -> u64 {
    let bytes = text.iter().rev();
    bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Segment, Segments};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_are_what_stands_between_slashes(path in "/[/a-c\\x00é.]{0,40}") {
            let expected: Vec<&str> = path.split('/').skip(1).collect();
            let found: Vec<Segment> = Segments::of(&path).unwrap().collect();
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                prop_assert_eq!(*found, Segment::of(expected.as_bytes()));
                prop_assert_eq!(found.text, expected.as_bytes());
            }
        }

        #[test]
        fn a_segment_is_its_own_text_and_no_other(one in "[ab\\x00]{0,10}", other in "[ab\\x00]{0,10}") {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            let same = Segment::of(one).is(Segment::of(other).word, other);
            prop_assert_eq!(same, one == other);
        }
    }
}

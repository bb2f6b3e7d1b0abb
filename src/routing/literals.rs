//! The literal segments that may follow a place in the trie. Most places have a few, where comparing
//! costs less than looking for the segment's end and hashing it; those with many hash.

use super::cursor::{Cursor, WORD, segment, word};
use rustc_hash::FxHashMap;

/// Most segments that are compared one after another.
const FEW_MAX: usize = 8;

/// What follows each literal.
#[derive(Debug)]
pub struct Literals(Kind);

#[derive(Debug)]
enum Kind {
    Few(Vec<Literal>),
    Many(FxHashMap<Box<[u8]>, u32>),
}

#[derive(Debug)]
struct Literal {
    /// The first bytes of the text, and which bits of a word these are.
    word: u64,
    mask: u64,
    text: Box<[u8]>,
    child: u32,
}

impl Default for Literals {
    fn default() -> Self {
        Self(Kind::Few(Vec::new()))
    }
}

impl Literals {
    /// What follows the segment here, and how long that is.
    #[inline]
    pub fn get(&self, at: &Cursor, rest: &[u8]) -> Option<(u32, usize)> {
        match &self.0 {
            Kind::Few(few) => {
                let word = at.word(rest);
                let mut begins = few
                    .iter()
                    .filter(|literal| (literal.word ^ word) & literal.mask == 0);
                let whole = |literal: &&Literal| {
                    let length = literal.text.len();
                    // Text never holds what stands for bytes that are not there.
                    (length <= WORD || rest.starts_with(&literal.text))
                        && matches!(rest.get(length), None | Some(b'/'))
                };
                let found = begins.find(whole)?;
                Some((found.child, found.text.len()))
            }
            Kind::Many(many) => {
                let segment = segment(rest);
                Some((*many.get(segment)?, segment.len()))
            }
        }
    }

    /// What follows this literal; `child` from now on, if nothing did.
    pub fn get_or_insert(&mut self, text: &str, child: u32) -> u32 {
        let text = text.as_bytes();
        let few = match &mut self.0 {
            Kind::Many(many) => return *many.entry(text.into()).or_insert(child),
            Kind::Few(few) => few,
        };
        if let Some(known) = few.iter().find(|known| *known.text == *text) {
            return known.child;
        }
        if few.len() < FEW_MAX {
            few.push(Literal {
                word: word(text),
                mask: word(&vec![0xff; text.len()]),
                text: text.into(),
                child,
            });
        } else {
            let few = std::mem::take(few).into_iter();
            let mut many: FxHashMap<_, _> = few.map(|known| (known.text, known.child)).collect();
            many.insert(text.into(), child);
            self.0 = Kind::Many(many);
        }
        child
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW_MAX, Literals};
    use crate::routing::cursor::Cursor;

    #[test]
    fn few_and_many_are_found_by_their_whole_text() {
        let names = [
            "",
            "a",
            "ab",
            "aba",
            "abba",
            "abcba",
            "abc-cba",
            "users",
            "users-of-old",
            "users-of",
            "users-of-new",
        ];
        let more = (0..FEW_MAX * 2).map(|number| format!("segment-{number}"));
        let names: Vec<String> = names.map(String::from).into_iter().chain(more).collect();
        let mut literals = Literals::default();
        let get = |literals: &Literals, name: &str, behind: &str| {
            let path = format!("/{name}{behind}");
            let cursor = Cursor::of(&path).unwrap();
            literals.get(&cursor, cursor.rest().unwrap())
        };
        for (number, name) in names.iter().enumerate() {
            assert_eq!(get(&literals, name, ""), None, "{name} of {number}");
            for again in [number, names.len()] {
                let child = literals.get_or_insert(name, again as u32);
                assert_eq!(child, number as u32);
            }
            for (known, name) in names.iter().enumerate().take(number + 1) {
                let wanted = Some((known as u32, name.len()));
                for behind in ["", "/", "/more/of/it"] {
                    assert_eq!(get(&literals, name, behind), wanted, "{name} of {number}");
                }
                assert_ne!(get(&literals, name, "x"), wanted, "{name} of {number}");
            }
        }
    }
}

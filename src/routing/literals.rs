//! The literal segments that may follow a place in the trie. Most places have a few, where comparing
//! costs less than hashing; those with many hash.

use rustc_hash::FxHashMap;

/// Most segments that are compared one after another.
const FEW_MAX: usize = 8;

/// Bytes that are compared at once.
const WORD: usize = 8;

/// What follows each literal.
#[derive(Debug)]
pub struct Literals(Kind);

#[derive(Debug)]
enum Kind {
    Few(Vec<Literal>),
    Many(FxHashMap<Box<str>, u32>),
}

#[derive(Debug)]
struct Literal {
    word: u64,
    text: Box<str>,
    child: u32,
}

impl Default for Literals {
    fn default() -> Self {
        Self(Kind::Few(Vec::new()))
    }
}

impl Literals {
    #[inline]
    pub fn get(&self, segment: &str) -> Option<u32> {
        match &self.0 {
            Kind::Few(few) if few.is_empty() => None,
            Kind::Few(few) => {
                let word = word(segment);
                let same = |literal: &&Literal| {
                    literal.word == word
                        && literal.text.len() == segment.len()
                        && (segment.len() <= WORD || *literal.text == *segment)
                };
                few.iter().find(same).map(|literal| literal.child)
            }
            Kind::Many(many) => many.get(segment).copied(),
        }
    }

    /// What follows this literal; `child` from now on, if nothing did.
    pub fn get_or_insert(&mut self, segment: &str, child: u32) -> u32 {
        if let Some(known) = self.get(segment) {
            return known;
        }
        match &mut self.0 {
            Kind::Few(few) if few.len() < FEW_MAX => few.push(Literal {
                word: word(segment),
                text: segment.into(),
                child,
            }),
            Kind::Few(few) => {
                let few = std::mem::take(few).into_iter();
                let mut many: FxHashMap<_, _> =
                    few.map(|known| (known.text, known.child)).collect();
                many.insert(segment.into(), child);
                self.0 = Kind::Many(many);
            }
            Kind::Many(many) => drop(many.insert(segment.into(), child)),
        }
        child
    }
}

/// All bytes of a text that is no longer than [`WORD`], the first ones of any other. Texts of other
/// lengths may have the same.
#[inline]
fn word(text: &str) -> u64 {
    let bytes = text.as_bytes();
    if let Some(first) = bytes.first_chunk::<WORD>() {
        return u64::from_ne_bytes(*first);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
        return u64::from(first) << 32 | u64::from(last);
    }
    bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{FEW_MAX, Literals};

    #[test]
    fn few_and_many_are_found_by_their_whole_text() {
        let names = [
            "",
            "a",
            "\0a",
            "users",
            "users-of-old",
            "users-of-new",
            "usersofo",
        ];
        let more = (0..FEW_MAX * 2).map(|number| format!("segment-{number}"));
        let names: Vec<String> = names.map(String::from).into_iter().chain(more).collect();
        let mut literals = Literals::default();
        for (number, name) in names.iter().enumerate() {
            assert_eq!(literals.get(name), None, "{name} of {number}");
            for again in [number, names.len()] {
                let child = literals.get_or_insert(name, again as u32);
                assert_eq!(child, number as u32);
            }
            for (known, name) in names.iter().enumerate().take(number + 1) {
                assert_eq!(literals.get(name), Some(known as u32), "{name} of {number}");
            }
        }
    }
}

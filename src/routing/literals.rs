//! The literal segments that may follow a place in the trie. Most places have a few, where comparing
//! costs less than hashing; those with many hash.

use super::segments::Segment;
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
    word: u64,
    text: Box<[u8]>,
    child: u32,
}

impl Default for Literals {
    fn default() -> Self {
        Self(Kind::Few(Vec::new()))
    }
}

impl Literals {
    #[inline]
    pub fn get(&self, segment: &Segment) -> Option<u32> {
        match &self.0 {
            Kind::Few(few) => {
                let same = |literal: &&Literal| segment.is(literal.word, &literal.text);
                few.iter().find(same).map(|literal| literal.child)
            }
            Kind::Many(many) => many.get(segment.text).copied(),
        }
    }

    /// What follows this literal; `child` from now on, if nothing did.
    pub fn get_or_insert(&mut self, text: &str, child: u32) -> u32 {
        let segment = Segment::of(text.as_bytes());
        if let Some(known) = self.get(&segment) {
            return known;
        }
        match &mut self.0 {
            Kind::Few(few) if few.len() < FEW_MAX => few.push(Literal {
                word: segment.word,
                text: segment.text.into(),
                child,
            }),
            Kind::Few(few) => {
                let few = std::mem::take(few).into_iter();
                let mut many: FxHashMap<_, _> =
                    few.map(|known| (known.text, known.child)).collect();
                many.insert(segment.text.into(), child);
                self.0 = Kind::Many(many);
            }
            Kind::Many(many) => drop(many.insert(segment.text.into(), child)),
        }
        child
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW_MAX, Literals};
    use crate::routing::segments::Segment;

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
            assert_eq!(
                literals.get(&Segment::of(name.as_bytes())),
                None,
                "{name} of {number}"
            );
            for again in [number, names.len()] {
                let child = literals.get_or_insert(name, again as u32);
                assert_eq!(child, number as u32);
            }
            for (known, name) in names.iter().enumerate().take(number + 1) {
                let found = literals.get(&Segment::of(name.as_bytes()));
                assert_eq!(found, Some(known as u32), "{name} of {number}");
            }
        }
    }
}

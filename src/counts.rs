//! Closed sets of label values, and counters by them: the series of a metric exist from the start,
//! and clients can add none.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A closed set of words that are values of one label.
pub trait LabelValue: Copy + 'static {
    /// Every value, in the order of the enum.
    const ALL: &'static [Self];

    /// Returns the place of this value in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// Defines an enum of label values: each variant behind its word.
macro_rules! label_values {
    (
        $(#[$meta:meta])*
        pub enum $Name:ident { $($(#[$note:meta])* $word:literal => $Variant:ident,)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name { $($(#[$note])* $Variant,)* }

        impl $Name {
            /// Returns the label value for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $word,)* }
            }
        }

        impl $crate::counts::LabelValue for $Name {
            const ALL: &'static [Self] = &[$(Self::$Variant,)*];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use label_values;

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counts<K>(Box<[AtomicU64]>, PhantomData<K>);

impl<K: LabelValue> Default for Counts<K> {
    fn default() -> Self {
        let counts = K::ALL.iter().map(|_| AtomicU64::new(0));
        Self(counts.collect(), PhantomData)
    }
}

impl<K: LabelValue> Counts<K> {
    /// Counts one.
    pub fn add(&self, value: K) {
        self.add_many(value, 1);
    }

    /// Counts so many.
    pub fn add_many(&self, value: K, many: u64) {
        if let Some(count) = self.0.get(value.index()) {
            count.fetch_add(many, Relaxed);
        }
    }

    /// Returns each value and its count.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        K::ALL.iter().copied().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, LabelValue};

    label_values! {
        /// A set for the test.
        pub enum Size { "small" => Small, "large" => Large, "very_large" => VeryLarge, }
    }

    #[test]
    fn each_value_has_its_own_count() {
        let counts = Counts::default();
        for size in [Size::Large, Size::VeryLarge, Size::Large] {
            counts.add(size);
        }
        let seen: Vec<_> = counts.iter().map(|(size, n)| (size.name(), n)).collect();
        assert_eq!(seen, [("small", 0), ("large", 2), ("very_large", 1)]);
        let indexes = Size::ALL.iter().map(|size| size.index());
        assert!(indexes.eq(0..Size::ALL.len()));
    }
}

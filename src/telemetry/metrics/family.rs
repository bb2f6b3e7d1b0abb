//! A family of metrics: its name, help and type, and how its points are read from what it counts.
//! Encoders write families and points in their format.

use super::exemplars::Exemplars;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The name of a label and its value.
pub type Label<'a> = (&'static str, &'a str);

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    /// A gauge in the text formats; in OTLP a sum that may fall.
    UpDown,
    Histogram,
}

/// What all points of a family have in common.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// The name of its samples: that of a counter ends in `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: FamilyKind,
}

/// A family that counts something about `T`, declared as a constant beside `T`.
#[derive(Debug)]
pub struct Family<T: ?Sized> {
    pub descriptor: Descriptor,
    read: Read<T>,
}

/// Reads the points of a family.
pub type Read<T> = fn(&T, &mut Points<'_>);

impl<T: ?Sized> Family<T> {
    /// Declares a counter; its name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str, read: Read<T>) -> Self {
        Self::new(FamilyKind::Counter, name, help, read)
    }

    /// Declares a gauge.
    pub const fn gauge(name: &'static str, help: &'static str, read: Read<T>) -> Self {
        Self::new(FamilyKind::Gauge, name, help, read)
    }

    /// Declares a histogram.
    pub const fn histogram(name: &'static str, help: &'static str, read: Read<T>) -> Self {
        Self::new(FamilyKind::Histogram, name, help, read)
    }

    /// Declares a gauge that OTLP has as a sum.
    pub const fn up_down(name: &'static str, help: &'static str, read: Read<T>) -> Self {
        Self::new(FamilyKind::UpDown, name, help, read)
    }

    const fn new(kind: FamilyKind, name: &'static str, help: &'static str, read: Read<T>) -> Self {
        let descriptor = Descriptor { name, help, kind };
        Self { descriptor, read }
    }
}

/// The counts of a histogram.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    /// Upper bounds in seconds, without `+Inf`.
    pub bounds: &'static [f64],
    /// By bucket, not cumulative; the last one is that of `+Inf`.
    pub counts: &'a [u64],
    /// In microseconds.
    pub sum_us: u64,
    /// Examples of its buckets, for formats that have them.
    pub exemplars: &'a [&'a Exemplars],
}

impl<'a> Distribution<'a> {
    /// Makes one without exemplars.
    pub const fn new(bounds: &'static [f64], counts: &'a [u64], sum_us: u64) -> Self {
        Self {
            bounds,
            counts,
            sum_us,
            exemplars: &[],
        }
    }

    /// Returns how many observations it has.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of its observations in seconds.
    pub fn sum(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }
}

/// A format of metrics. Points follow the family that they belong to.
pub trait MetricEncoder {
    /// Begins a family.
    fn family(&mut self, family: &Descriptor);

    /// Writes a point of a counter or a gauge.
    fn number(&mut self, labels: &[Label<'_>], value: f64);

    /// Writes a point of a histogram.
    fn histogram(&mut self, labels: &[Label<'_>], value: &Distribution<'_>);
}

/// Encodes the families of each owner. The labels of an owner stand before those of its points.
pub fn encode<'o, T: ?Sized + 'o, const N: usize>(
    encoder: &mut dyn MetricEncoder,
    families: &[Family<T>],
    owners: impl IntoIterator<Item = ([Label<'o>; N], &'o T), IntoIter: Clone>,
) {
    let owners = owners.into_iter();
    for family in families {
        encoder.family(&family.descriptor);
        for (labels, owner) in owners.clone() {
            let mut points = Points {
                encoder: &mut *encoder,
                owner: &labels,
            };
            (family.read)(owner, &mut points);
        }
    }
}

/// Takes the points of one family and one owner.
pub struct Points<'p> {
    encoder: &'p mut dyn MetricEncoder,
    owner: &'p [Label<'p>],
}

impl Points<'_> {
    /// Adds the point that has the labels of its owner alone.
    pub fn add(&mut self, value: impl Number) {
        self.with(&[], value);
    }

    /// Adds that point if there is a value.
    pub fn maybe(&mut self, value: Option<impl Number>) {
        if let Some(value) = value {
            self.add(value);
        }
    }

    /// Adds a point with more labels.
    pub fn with(&mut self, more: &[Label<'_>], value: impl Number) {
        let labels = labels(self.owner, more);
        self.encoder.number(&labels, value.number());
    }

    /// Adds a point for each value of one more label.
    pub fn each<'w, V: Number>(
        &mut self,
        label: &'static str,
        values: impl IntoIterator<Item = (&'w str, V)>,
    ) {
        for (word, value) in values {
            self.with(&[(label, word)], value);
        }
    }

    /// Adds a histogram with more labels.
    pub fn histogram(&mut self, more: &[Label<'_>], value: &Distribution<'_>) {
        let labels = labels(self.owner, more);
        self.encoder.histogram(&labels, value);
    }
}

fn labels<'l>(owner: &[Label<'l>], more: &[Label<'l>]) -> SmallVec<[Label<'l>; 6]> {
    owner.iter().chain(more).copied().collect()
}

/// What the value of a point may be read from. Counts above 2⁵³ lose their last digits, as they do
/// in every store of time series.
pub trait Number {
    /// Returns the value.
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($Int:ty)*) => {
        $(impl Number for $Int {
            fn number(self) -> f64 {
                self as f64
            }
        })*
    };
}
numbers!(f64 i64 u64 usize u32 u8);

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for &AtomicU64 {
    fn number(self) -> f64 {
        self.load(Relaxed) as f64
    }
}

//! Metrics as values: families are declared beside what they count, and an encoder writes what a
//! scrape reads of them. Counters are handles; nothing is formatted before somebody scrapes.

pub mod exemplars;
mod family;
mod global;
pub mod histogram;
pub mod labels;
pub mod process;
pub mod routes;
pub mod series;
mod text;

pub use family::{
    Descriptor, Distribution, Family, FamilyKind, Label, MetricEncoder, Number, Points, encode,
};
pub use global::Metrics;
pub use text::TextEncoder;

#[cfg(test)]
mod tests;

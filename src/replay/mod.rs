//! Recorded requests, decided again: what another configuration would change, before it does.
//! No traffic is sent. The decision is the one that serves traffic, with every endpoint up.

mod line;
mod masked;
mod read;
mod render;
mod report;
mod side;
#[cfg(test)]
mod tests;

pub use read::{Lines, open};
pub use render::{html, table};
pub use report::{Group, Outcome, Replay, Report};
pub use side::Side;

//! What a route or service may enforce, one folder each. State that outlives a reload sits behind
//! `Arc`s; what acts on it takes time as an argument, so that tests need no sleep.

pub mod adaptive;
pub mod auth;
pub mod breaker;
mod fixed_answer;
pub mod held;
pub mod in_flight;
pub mod jwt;
pub mod last_good;
pub mod limit;
mod lines;
mod materials;
pub mod mirror;
pub mod overload;

pub use fixed_answer::FixedAnswer;
pub use materials::{InUse, Materials, Stale};

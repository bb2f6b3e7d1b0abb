//! Black box: the real binary on real sockets, one file per promise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod breaking;
mod client;
mod coloring;
mod faults;
mod forwarding;
mod gateway;
mod identity;
mod limits;
mod malformed;
mod observe;
mod plugins;
mod process;
mod reload;
mod replay;
mod rollouts;
mod shares;
mod signed;
mod tokens;
mod upkeep;
mod upstream;

//! Black box: the real binary on real sockets, one file per promise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod admin;
mod ambiguous_paths;
mod breaking;
mod certificates;
mod challenges;
mod client;
mod coded;
mod collector;
mod coloring;
mod conformance;
mod counting;
mod crowds;
mod curl;
mod demo;
mod deployed;
mod discovery;
mod edges;
mod exchange;
mod explained;
mod exporting;
mod eyes;
mod faults;
mod files;
mod forwarding;
mod gateway;
mod grpc;
mod h2;
mod heads;
mod identity;
mod inventory;
mod issuers;
mod kept;
mod key_files;
mod leaving;
mod lengths;
mod limits;
mod malformed;
mod messages;
mod mirrors;
mod observe;
mod oracles;
mod origin;
mod paths;
mod plugin_crate;
mod plugins;
mod process;
mod reaching;
mod redirects;
mod refusals;
mod reload;
mod replay;
mod resting;
mod rollouts;
mod secrecy;
mod selftests;
mod shares;
mod shorts;
mod signed;
mod silence;
mod state;
mod strangers;
mod streams;
mod tokens;
mod traces;
mod troubles;
mod upkeep;
mod upstream;
mod websockets;
mod weights;

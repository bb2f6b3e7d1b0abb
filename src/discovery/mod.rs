//! Where endpoints come from while the gateway serves.
//!
//! - `source` is what each kind of source implements; `dns`, `srv` and `file` are sources.
//! - `feed` asks one source on its schedule, for all versions that use it, and keeps its last answer.
//! - `follower` makes the endpoints of one version of its feeds, and puts them to work.
//! - `hold` decides which removals are believed.
//! - `registry` finds feeds by name, over reloads.

mod dns;
mod feed;
mod file;
mod follower;
mod hold;
mod metrics;
mod registry;
mod source;
mod srv;

pub use feed::Feed;
pub use registry::{Discovery, Followed};
pub use source::Failure;

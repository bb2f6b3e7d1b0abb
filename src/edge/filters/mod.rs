//! Filters: values that transform heads and parts of bodies on their way, or look at them.

pub mod compress;
pub mod grpc;
pub mod mirror;
pub mod plugins;
pub mod stale_response;

//! Connections to upstreams: how they are made, kept and found again.

pub mod connect_error;
pub mod connector;
pub mod peer;
mod pool;

//! Tyrian: an API gateway for the cluster edge that dyes requests with a color and sends them to
//! the service version of that color.

pub mod config;
pub mod edge;
pub mod reason;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;

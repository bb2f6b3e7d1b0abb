//! Tyrian: an API gateway for the cluster edge that dyes requests with a color and sends them to
//! the service version of that color.

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod edge;
pub mod live;
pub mod outbound;
pub mod policy;
pub mod question;
pub mod reason;
pub mod replay;
pub mod rollout;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;

//! Tyrian: an API gateway for the cluster edge that dyes requests with a color and sends them to
//! the service version of that color.

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod edge;
pub mod fuzz;
pub mod live;
pub mod outbound;
pub mod policy;
pub mod question;
pub mod reason;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod sockets;
pub mod telemetry;
pub mod tls;
pub mod upstream;

//! What carries HTTP: accepted sockets and their handshakes, connections to upstreams, and the
//! timers and rates of both.

pub mod body_rate;
mod connect_error;
pub mod connection_info;
mod connector;
pub mod drain;
pub mod handshake;
mod hello;
mod peer;
mod pool;
pub mod proxy_protocol;
pub mod socket;
pub mod timer;
pub mod waiting;
pub mod websocket;

pub use connect_error::ConnectError;
pub use connector::{Connector, selected_h2};
pub use peer::Peer;

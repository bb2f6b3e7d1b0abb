//! Connections, requests and answers, by layer: `exchange` is what becomes of a request, `http1`
//! and `http2` speak the protocols on both sides of it, `filters` transform what passes, and
//! `transport` carries it.
//!
//! Nothing outside `edge/transport`, `edge/exchange/upstream.rs` and `tls/upstream.rs` names a type
//! of Pingora.

mod date;
mod exchange;
mod filters;
pub mod fuzz;
mod headers;
mod http1;
mod http2;
pub mod listener;
mod message;
mod problem;
mod rejection;
mod request_id;
mod transport;

pub use exchange::{Connections, Shared};
pub use listener::Server;
pub use transport::drain::{Drain, Drainer, Phase};

//! Where Pingora lives: connections, heads, and the road a request takes.
//!
//! Nothing outside `edge`, `server` and `tls/upstream.rs` names a Pingora type.

mod admit;
mod answer;
mod arrival;
mod beside;
mod bytes;
mod canonical;
mod compress;
mod connection;
#[allow(dead_code, reason = "the exchange that uses it is being written")]
mod connection_info;
mod context;
mod drain;
mod facts;
mod failure;
mod fields;
mod flood;
mod forward;
mod frames;
pub mod fuzz;
#[allow(dead_code, reason = "the exchange that uses it is being written")]
mod goodbye;
mod grpc;
mod head;
mod hello;
#[allow(dead_code, reason = "the exchange that uses it is being written")]
mod http1;
mod http2;
mod http2_connection;
mod http2_head;
mod inputs;
pub mod listener;
#[allow(dead_code, reason = "the exchange that uses it is being written")]
mod message;
mod mirror;
mod next;
mod old;
mod pace;
mod peer;
mod plain_answer;
mod plugins;
mod policies;
mod proxy_protocol;
mod record;
mod refusal;
mod refused;
mod request_id;
mod respond;
mod returning;
mod road;
mod socket;
mod stream;
mod target;
mod timer;
mod trail;
#[allow(dead_code, reason = "the exchange that uses it is being written")]
mod transport;
mod unhurried;
mod uploads;
mod waiting;
mod watch;
mod websocket;
mod wire;

pub use connection::Server;
pub use drain::{Drain, Drainer, Phase};
pub use road::Road;

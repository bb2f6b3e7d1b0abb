//! Where Pingora lives: connections, heads, and the road a request takes.
//!
//! Nothing outside `edge` and `server` names a Pingora type.

mod admit;
mod beside;
mod canonical;
mod chunked;
mod connection;
mod context;
mod facts;
mod failure;
mod forward;
mod head;
mod inputs;
pub mod listener;
mod plain_answer;
mod plugins;
mod policies;
mod record;
mod refusal;
mod request_id;
mod respond;
mod road;
mod target;
mod wire;

pub use connection::Server;
pub use road::Road;

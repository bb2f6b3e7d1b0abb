//! The exchange: what becomes of a request, whatever protocol brought it.

mod admission;
mod attempt;
mod byte_counts;
mod clock;
mod context;
mod deadline;
mod decision_inputs;
mod direct_response;
mod endpoint_selection;
mod error_response;
mod failure;
mod log;
mod metering;
mod mirroring;
mod plugin_heads;
mod policies;
mod pump;
mod request_body;
mod request_headers;
mod response_body;
mod response_headers;
mod retry;
mod serve;
mod shared;
mod trace;
mod trailers;
mod tries;
mod upstream;

pub use shared::Shared;
pub use upstream::Connections;

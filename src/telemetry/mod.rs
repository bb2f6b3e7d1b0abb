//! What is counted and written about traffic. Uses only `config`, `counts`, `reason` and
//! `outbound`; used by all.

pub mod access_log;
pub mod exchange;
pub mod json;
pub mod lines;
pub mod metrics;
pub mod otel;
pub mod rates;
pub mod recent;
pub mod redact;
mod stamp;
mod syslog;
pub mod tap;
pub mod throttle;
pub mod trace;
pub mod watch;

pub use metrics::Metrics;

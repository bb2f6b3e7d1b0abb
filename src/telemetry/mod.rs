//! What is counted and written about traffic. Uses only `config` and `reason`; used by all.

pub mod access_log;
pub mod encode;
pub mod exchange;
pub mod histogram;
pub mod json;
pub mod lines;
pub mod metrics;
pub mod process;
pub mod rates;
pub mod recent;
mod redact;
pub mod series;
mod syslog;
pub mod tap;
pub mod watch;

pub use metrics::Metrics;

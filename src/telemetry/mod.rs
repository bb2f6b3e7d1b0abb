//! What is counted and written about traffic. Uses only `config` and `reason`; used by all.

pub mod access_log;
pub mod encode;
pub mod histogram;
pub mod metrics;
pub mod process;
pub mod recent;
pub mod series;
pub mod watch;

pub use metrics::Metrics;

//! `[telemetry]`: what is written about traffic.

use super::access_log::AccessLog;
use super::policy::Traces;
use super::reader::Later;
use crate::table;

table! {
    /// What is written about traffic.
    pub struct Telemetry {
        /// The name this gateway has in traces and metrics.
        "service_name" => service_name: String = ("tyrian".to_owned()) "\"tyrian\"",
        /// Traces.
        "traces" => traces: Later<Traces> = (Later::default()),
        /// One line per request.
        "access_log" => access_log: AccessLog = (AccessLog::default()) "{ format = \"json\", path = \"-\" }",
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: "tyrian".to_owned(),
            traces: Later::default(),
            access_log: AccessLog::default(),
        }
    }
}

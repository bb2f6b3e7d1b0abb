//! `[telemetry]`: what is written about traffic.

use super::access_log::AccessLog;
use super::traces::{Push, Traces};
use crate::table;

table! {
    /// What is written about traffic.
    pub struct Telemetry {
        /// The name this gateway has in traces and metrics.
        "service_name" => service_name: String = ("tyrian".to_owned()) "\"tyrian\"",
        /// Traces, to an OpenTelemetry collector.
        "traces" => traces: Option<Traces> = none "none, unless `OTEL_*` variables name a collector",
        /// Metrics pushed to an OpenTelemetry collector.
        "metrics" => metrics: Option<Push> = none "only scraped",
        /// One line per request.
        "access_log" => access_log: AccessLog = (AccessLog::default()) "{ format = \"json\", path = \"-\" }",
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: "tyrian".to_owned(),
            traces: None,
            metrics: None,
            access_log: AccessLog::default(),
        }
    }
}

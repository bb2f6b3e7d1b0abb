//! `[telemetry]`: what is written about traffic.

use super::Name;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    pub service_name: String,
    pub access_log: AccessLog,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    pub path: LogPath,
    /// Routes that are not logged.
    pub skip: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LogPath {
    /// `-`
    Stdout,
    File(PathBuf),
    /// `off`
    Off,
}

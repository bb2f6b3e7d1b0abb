//! `[admin]`: the write API and the read-only port of probes and metrics.

use std::net::SocketAddr;

#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// `None`: `bind = "off"`.
    pub bind: Option<SocketAddr>,
    pub token: Secret,
    /// `None`: `metrics = "off"`.
    pub metrics: Option<SocketAddr>,
    /// Whether the file has an `[admin]` table; an implicit admin that finds its port taken is
    /// a warning, not a failure to start.
    pub explicit: bool,
}

/// Where a secret comes from. Never its value: that is read when it is used.
#[derive(Debug, Clone, PartialEq)]
pub enum Secret {
    File(std::path::PathBuf),
    Env(String),
    /// A systemd credential below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// No token was configured: `admin.token` in the state directory, made at first start (0600).
    StateFile,
}

//! `[services.NAME]`: upstreams, their versions and endpoints.

use super::{Name, Place};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The version of uncolored traffic (may be left out when there is only one version).
    pub default: Name,
    pub balance: Balance,
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub versions: BTreeMap<Name, Version>,
    pub at: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    /// Smooth weighted round-robin.
    Weighted,
    /// The less loaded of two random endpoints.
    P2c,
    LeastRequest,
}

/// `None` means: not set here, the wider level or the default counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timeouts {
    /// One TCP connection attempt. Default 1s.
    pub connect: Option<Duration>,
    /// The whole exchange, all tries, to the end of the answer (streams and upgrades only to its
    /// head). Default: none.
    pub request: Option<Duration>,
    /// Longest silence of the upstream. Default 60s.
    pub idle: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Tries in all, the first one included (1 to 10, default 3).
    pub attempts: u8,
    pub on: Vec<RetryOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    Connect,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub endpoints: Vec<Endpoint>,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// `host:port`, host an IP address (v6 in brackets) or a DNS name.
    pub address: Name,
    /// 1 to 1000.
    pub weight: u16,
}

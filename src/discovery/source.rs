//! What a source of endpoints implements.

use crate::config::Name;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;

/// An endpoint as a source names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// `host:port`, host an IP address or a name, or `unix:/path`. Of a DNS name the address alone:
    /// the port is that of the version that asks.
    pub address: Name,
    /// The name under which the address was found, with the port: what `Host` and TLS say.
    pub authority: Option<Name>,
    /// 0 to 1000.
    pub weight: u16,
    pub labels: BTreeMap<Name, Name>,
}

impl Entry {
    /// An entry of weight 1 without labels.
    pub fn new(address: impl Into<Name>) -> Self {
        Self {
            address: address.into(),
            authority: None,
            weight: 1,
            labels: BTreeMap::new(),
        }
    }
}

/// Largest weight of an endpoint.
pub const WEIGHT_MAX: u16 = 1000;

/// What a source says.
#[derive(Debug)]
pub struct Answer {
    pub entries: Vec<Entry>,
    /// Entries that were left out since they cannot be read.
    pub malformed: usize,
    /// How long until the source is to be asked again.
    pub again: Duration,
}

/// Why a source says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Unreachable,
    Timeout,
    /// It does not answer this gateway, or not this question.
    Refused,
    Servfail,
    Malformed,
}

impl Failure {
    pub const ALL: [Self; 5] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Refused,
        Self::Servfail,
        Self::Malformed,
    ];

    /// Returns the word for it in metrics and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Servfail => "servfail",
            Self::Malformed => "malformed",
        }
    }
}

/// Where endpoints are registered.
pub trait Source: Send {
    /// Asks for all endpoints, or waits until they have changed. An answer without entries says that
    /// there are none; a failure says nothing.
    fn ask(&mut self) -> BoxFuture<'_, Result<Answer, Failure>>;
}

//! The way to an OpenTelemetry collector: what the environment and the configuration say about it,
//! the queue of spans, and the protocol.
//!
//! The messages and the gRPC client are OpenTelemetry's own (`opentelemetry-proto`). Its SDK is not
//! used: it makes spans as they happen, so a request that nobody traces would pay for them and a
//! decision at the end would come too late; and its metrics cannot be filled from counters that are
//! there already.

pub mod client;
pub mod delivery;
pub mod environment;
pub mod exporter;
pub mod metrics;
pub mod protobuf;
pub mod resource;
pub mod setup;
pub mod target;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why something did not reach the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// More came than could be sent.
    QueueFull,
    /// No connection, or one that broke, or an answer that says to try later; until time was up.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The collector did not want it.
    Rejected,
}

impl Loss {
    pub const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::Unreachable,
        Self::Timeout,
        Self::Rejected,
    ];

    /// As metrics and the log say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
        }
    }
}

/// What became of spans and pushes.
#[derive(Debug, Default)]
pub struct Counters {
    exported: AtomicU64,
    lost: [AtomicU64; Loss::ALL.len()],
}

impl Counters {
    pub fn sent(&self, count: u64) {
        self.exported.fetch_add(count, Relaxed);
    }

    pub fn lose(&self, why: Loss, count: u64) {
        if let Some(counter) = self.lost.get(why as usize) {
            counter.fetch_add(count, Relaxed);
        }
    }

    pub fn exported(&self) -> u64 {
        self.exported.load(Relaxed)
    }

    pub fn lost(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL
            .iter()
            .zip(&self.lost)
            .map(|(why, count)| (*why, count.load(Relaxed)))
    }
}

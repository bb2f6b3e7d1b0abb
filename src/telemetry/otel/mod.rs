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

use crate::counts::{Counts, label_values};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

label_values! {
    /// Why something did not reach the collector; the words are those of metrics and the log.
    pub enum Loss {
        /// More came than could be sent.
        "queue_full" => QueueFull,
        /// No connection, or one that broke, or an answer that says to try later; until time was up.
        "unreachable" => Unreachable,
        /// No answer in time.
        "timeout" => Timeout,
        /// The collector did not want it.
        "rejected" => Rejected,
    }
}

/// What became of spans and pushes.
#[derive(Debug, Default)]
pub struct Counters {
    exported: AtomicU64,
    lost: Counts<Loss>,
}

impl Counters {
    /// Counts what the collector has taken.
    pub fn sent(&self, count: u64) {
        self.exported.fetch_add(count, Relaxed);
    }

    /// Counts what did not reach the collector.
    pub fn lose(&self, why: Loss, count: u64) {
        self.lost.add_many(why, count);
    }

    /// Returns how many the collector has taken.
    pub fn exported(&self) -> u64 {
        self.exported.load(Relaxed)
    }

    /// Returns how many did not reach the collector, by cause.
    pub fn lost(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        self.lost.iter()
    }
}

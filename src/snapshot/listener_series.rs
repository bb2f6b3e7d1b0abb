//! What is counted of one listener's connections.

use crate::counts::Counts;
use crate::telemetry::throttle::Throttle;
use crate::tls::handshake::Cause;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Most log lines a second about refused client certificates, for each listener.
const REFUSED_LINES: u32 = 5;

/// Counters of a listener. They go on over reloads for as long as the listener keeps its name.
#[derive(Debug)]
pub struct ListenerSeries {
    /// Connections that are open now.
    pub open: AtomicI64,
    /// Connections cut by the gateway, by why.
    cut: Mutex<BTreeMap<&'static str, u64>>,
    handshakes: AtomicU64,
    /// TLS handshakes that failed.
    pub failures: Counts<Cause>,
    /// For log lines about refused client certificates.
    pub refused: Throttle,
}

impl Default for ListenerSeries {
    fn default() -> Self {
        Self {
            open: AtomicI64::new(0),
            cut: Mutex::default(),
            handshakes: AtomicU64::new(0),
            failures: Counts::default(),
            refused: Throttle::new(REFUSED_LINES),
        }
    }
}

impl ListenerSeries {
    /// Counts a client connection as cut. Rare by nature, and `why` is one of the code's own words,
    /// so a lock and a small map do.
    pub fn cut(&self, why: &'static str) {
        *self.cut.lock().entry(why).or_default() += 1;
    }

    /// Returns connections cut, by why.
    pub fn cuts(&self) -> BTreeMap<&'static str, u64> {
        self.cut.lock().clone()
    }

    /// Counts a TLS handshake that succeeded.
    pub fn shaken(&self) {
        self.handshakes.fetch_add(1, Relaxed);
    }

    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Relaxed)
    }
}

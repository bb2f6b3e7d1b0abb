//! What is counted of one listener's connections and certificates, and the metrics of it.

use super::ListenerSettings;
use crate::counts::Counts;
use crate::telemetry::metrics::Family;
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

    /// Counts a TLS handshake that succeeded.
    pub fn shaken(&self) {
        self.handshakes.fetch_add(1, Relaxed);
    }
}

impl ListenerSettings {
    /// Its metrics, by listener.
    pub const METRICS: &[Family<Self>] = &[
        Family::gauge(
            "tyrian_connections",
            "Client connections open now",
            |listener, points| points.add(listener.series.open.load(Relaxed).max(0)),
        ),
        Family::counter(
            "tyrian_connections_cut_total",
            "Client connections cut by the gateway",
            |listener, points| {
                let cut = listener.series.cut.lock().clone();
                points.each("reason", cut);
            },
        ),
        Family::counter(
            "tyrian_tls_handshakes_total",
            "TLS handshakes with clients that came to a good end",
            |listener, points| {
                if listener.tls.is_some() {
                    points.add(&listener.series.handshakes);
                }
            },
        ),
        Family::counter(
            "tyrian_tls_handshake_failures_total",
            "TLS handshakes with clients that failed",
            |listener, points| {
                if listener.tls.is_some() {
                    let failures = listener.series.failures.iter();
                    points.each(
                        "cause",
                        failures.map(|(cause, count)| (cause.name(), count)),
                    );
                }
            },
        ),
        Family::gauge(
            "tyrian_certificate_expiry_seconds",
            "When the certificate expires, in seconds since 1970",
            |listener, points| {
                let tls = listener.tls.iter();
                for shown in tls.flat_map(|tls| &tls.of.certificates) {
                    points.with(&[("file", &shown.file)], shown.not_after);
                }
            },
        ),
    ];
}

//! What a scrape tells of listeners: connections, handshakes.

use super::{ListenerSeries, Snapshot};
use crate::config::Name;
use crate::telemetry::encode::family;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::{Counter, Gauge};
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The counters of a snapshot's listeners, shared; and whether each has TLS.
#[derive(Debug)]
pub struct ListenerState(Vec<(Name, Arc<ListenerSeries>, bool)>);

impl ListenerState {
    pub fn of(snapshot: &Snapshot) -> Self {
        let listeners = snapshot.listeners();
        let series = listeners.map(|(name, listener)| {
            (
                name.clone(),
                listener.series.clone(),
                listener.tls.is_some(),
            )
        });
        Self(series.collect())
    }

    pub fn encode(&self, encoder: &mut DescriptorEncoder) -> Result {
        let (mut open, mut cut) = (Vec::new(), Vec::new());
        let (mut shaken, mut failed) = (Vec::new(), Vec::new());
        let cuts: Vec<_> = self.0.iter().map(|(_, series, _)| series.cuts()).collect();
        for ((name, series, tls), cuts) in self.0.iter().zip(&cuts) {
            let name = ("listener", name.as_ref());
            open.push(([name], series.open.load(Relaxed).max(0) as f64));
            let cuts = cuts.iter();
            cut.extend(cuts.map(|(why, times)| ([name, ("reason", *why)], *times as f64)));
            if *tls {
                shaken.push(([name], series.handshakes() as f64));
                let failures = series.failures.iter();
                failed.extend(
                    failures.map(|(cause, times)| ([name, ("cause", cause.name())], times as f64)),
                );
            }
        }
        let help = "Client connections open now";
        family(encoder, "tyrian_connections", help, Gauge, &open)?;
        let help = "Client connections cut by the gateway";
        family(encoder, "tyrian_connections_cut", help, Counter, &cut)?;
        let help = "TLS handshakes with clients that came to a good end";
        family(encoder, "tyrian_tls_handshakes", help, Counter, &shaken)?;
        let help = "TLS handshakes with clients that failed";
        let name = "tyrian_tls_handshake_failures";
        family(encoder, name, help, Counter, &failed)
    }
}

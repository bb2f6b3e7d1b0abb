//! `/metrics`: the state of this generation and of the process, in the Prometheus text format.

use super::listener_metrics::ListenerState;
use super::plugins::ONE_IN;
use super::policy_metrics::PolicyState;
use super::rollout_series::{self, RolloutsSeries};
use super::{Hosted, ListenerSettings, Snapshot, upstream_metrics};
use crate::config::Name;
use crate::telemetry::encode::{self, NamedSeries, family, histogram};
use crate::telemetry::exemplars::{self, Known};
use crate::telemetry::histogram::{HTTP_BOUNDS, OVERHEAD_BOUNDS};
use crate::telemetry::{Metrics, encode::process, encode::process_wide};
use crate::upstream::Service;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Everything a scrape shows.
#[derive(Debug)]
struct Exposition {
    routes: Vec<NamedSeries>,
    services: Vec<Arc<Service>>,
    policies: PolicyState,
    /// Colors and their shares.
    shares: Vec<(Name, f64)>,
    plugins: Vec<Arc<Hosted>>,
    metrics: Arc<Metrics>,
    /// Listener, file and end of each certificate.
    certificates: Vec<(String, String, i64)>,
    listeners: ListenerState,
    events: RolloutsSeries,
}

impl Snapshot {
    /// The text of a scrape, in OpenMetrics.
    pub fn expose(&self, metrics: &Arc<Metrics>) -> String {
        let routes = self
            .routes
            .iter()
            .map(|route| (route.name.clone(), route.series.clone()));
        let exposition = Exposition {
            routes: routes.collect(),
            services: self.services.clone(),
            policies: PolicyState::of(self),
            plugins: self.plugins.values().cloned().collect(),
            shares: self
                .shares()
                .map(|(name, share)| (name, share.ratio()))
                .collect(),
            metrics: metrics.clone(),
            certificates: self.certificates().collect(),
            listeners: ListenerState::of(self),
            events: self.rollouts.clone(),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exposition));
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.clear(); // writing to a string does not fail
        }
        text
    }
}

impl Snapshot {
    /// The same with exemplars, as OpenMetrics has them.
    pub fn expose_annotated(&self, metrics: &Arc<Metrics>) -> String {
        let routes = self.routes.iter();
        let routes = routes.map(|route| (route.name.as_ref(), route.series.as_ref()));
        let unrouted = std::iter::once(("", &metrics.unrouted));
        let versions = self.services.iter().flat_map(|service| {
            let versions = service.versions.iter();
            versions.map(|version| {
                let names = [service.name.as_ref(), version.name.as_ref()];
                (names, version.series.as_ref())
            })
        });
        let known = Known {
            routes: routes.chain(unrouted),
            versions,
        };
        exemplars::annotated(&self.expose(metrics), known)
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result {
        encode::routes(&mut encoder, &self.metrics, &self.routes)?;
        self.tries(&mut encoder)?;
        self.retries(&mut encoder)?;
        self.pools(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        upstream_metrics::encode(&mut encoder, &self.services)?;
        self.listeners.encode(&mut encoder)?;
        self.certificates(&mut encoder)?;
        self.policies.encode(&mut encoder)?;
        self.rollouts(&mut encoder)?;
        rollout_series::encode(&mut encoder, &self.events)?;
        self.plugins(&mut encoder)?;
        process_wide(&mut encoder, &self.metrics)?;
        process(&mut encoder)
    }
}

impl Snapshot {
    /// Listener, file and end (seconds since 1970) of each certificate that clients are shown.
    pub fn certificates(&self) -> impl Iterator<Item = (String, String, i64)> {
        let tls = |(name, listener): (&Name, &Arc<ListenerSettings>)| {
            let shown = listener.tls.iter().flat_map(|tls| &tls.of.certificates);
            shown
                .map(|one| (name.to_string(), one.file.clone(), one.not_after))
                .collect::<Vec<_>>()
        };
        self.listeners().flat_map(tls)
    }
}

impl Exposition {
    fn certificates(&self, encoder: &mut DescriptorEncoder) -> Result {
        let rows: Vec<_> = self
            .certificates
            .iter()
            .map(|(listener, file, end)| {
                let labels = [("listener", listener.as_str()), ("file", file.as_str())];
                (labels, *end as f64)
            })
            .collect();
        let help = "When the certificate expires, in seconds since 1970";
        let name = "tyrian_certificate_expiry_seconds";
        family(encoder, name, help, MetricType::Gauge, &rows)
    }

    fn tries(&self, encoder: &mut DescriptorEncoder) -> Result {
        let help = "Time of one try, from choosing an endpoint to the end of its answer";
        let name = "http_client_request_duration_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for service in &self.services {
            for version in &service.versions {
                let labels = [
                    ("service", service.name.as_ref()),
                    ("version", version.name.as_ref()),
                ];
                histogram(
                    &mut metric.encode_family(&labels)?,
                    &HTTP_BOUNDS,
                    version.series.conventional(),
                )?;
            }
        }
        Ok(())
    }

    fn plugins(&self, encoder: &mut DescriptorEncoder) -> Result {
        let mut failures = Vec::new();
        for hosted in &self.plugins {
            let series = &hosted.series;
            for (kind, count) in [
                ("panic", &series.panics),
                ("failure", &series.failures),
                ("over_budget", &series.over_budget),
            ] {
                let labels = [("plugin", hosted.name.as_ref()), ("kind", kind)];
                failures.push((labels, count.load(Relaxed) as f64));
            }
        }
        let help = "Calls of plugins that panicked, failed, or took longer than their budget";
        let name = "tyrian_plugin_trouble";
        family(encoder, name, help, MetricType::Counter, &failures)?;
        let help = format!(
            "Time of calls of a plugin; without a budget one in {ONE_IN} is timed, and counts as all"
        );
        let name = "tyrian_plugin_seconds";
        let mut metric = encoder.encode_descriptor(name, &help, None, MetricType::Histogram)?;
        for hosted in &self.plugins {
            let labels = [("plugin", hosted.name.as_ref())];
            let took = &hosted.series.took;
            histogram(
                &mut metric.encode_family(&labels)?,
                &OVERHEAD_BOUNDS,
                took.read(),
            )?;
        }
        Ok(())
    }

    fn rollouts(&self, encoder: &mut DescriptorEncoder) -> Result {
        let shares = self.shares.iter();
        let rows: Vec<_> = shares
            .map(|(name, share)| ([("color", name.as_ref())], *share))
            .collect();
        let help = "Share of uncolored traffic that gets the color, 0 to 1";
        family(
            encoder,
            "tyrian_rollout_share",
            help,
            MetricType::Gauge,
            &rows,
        )
    }

    fn retries(&self, encoder: &mut DescriptorEncoder) -> Result {
        let rows: Vec<_> = self
            .services
            .iter()
            .map(|service| {
                (
                    [("service", service.name.as_ref())],
                    service.series.retries() as f64,
                )
            })
            .collect();
        let help = "Tries after the first one";
        family(encoder, "tyrian_retries", help, MetricType::Counter, &rows)
    }

    fn pools(&self, encoder: &mut DescriptorEncoder) -> Result {
        let mut rows = Vec::new();
        for service in &self.services {
            for version in &service.versions {
                let pool = &version.pool;
                for (state, count) in [
                    ("new", &pool.made),
                    ("reused", &pool.reused),
                    ("stale", &pool.stale),
                ] {
                    let labels = [
                        ("service", service.name.as_ref()),
                        ("version", version.name.as_ref()),
                        ("state", state),
                    ];
                    rows.push((labels, count.load(Relaxed) as f64));
                }
            }
        }
        let help = "Connections that tries were given: new ones, kept ones, kept ones that were \
                    closed meanwhile";
        let name = "tyrian_pool_connections";
        family(encoder, name, help, MetricType::Counter, &rows)
    }

    fn endpoints(&self, encoder: &mut DescriptorEncoder) -> Result {
        let mut healthy = Vec::new();
        let mut in_flight = Vec::new();
        let versions = self.services.iter().flat_map(|service| {
            let versions = service.versions.iter();
            versions.map(move |version| (&*service.name, &*version.name, version.set()))
        });
        let versions: Vec<_> = versions.collect();
        for (service, version, set) in &versions {
            for endpoint in set.endpoints() {
                let labels = [
                    ("service", *service),
                    ("version", *version),
                    ("endpoint", endpoint.address.as_ref()),
                ];
                healthy.push((labels, f64::from(u8::from(endpoint.state.available()))));
                in_flight.push((labels, f64::from(endpoint.state.in_flight())));
            }
        }
        let help = "Whether the endpoint may be tried";
        family(
            encoder,
            "tyrian_endpoint_healthy",
            help,
            MetricType::Gauge,
            &healthy,
        )?;
        let help = "Tries in flight";
        family(
            encoder,
            "tyrian_endpoint_in_flight",
            help,
            MetricType::Gauge,
            &in_flight,
        )
    }
}

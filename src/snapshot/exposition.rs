//! What a scrape reads: the metrics of this generation and of the process.

use super::listener::ListenerSettings;
use super::plugins::PluginSeries;
use super::{Snapshot, rollout_series};
use crate::config::Name;
use crate::discovery::Feed;
use crate::policy::Stale;
use crate::policy::adaptive::Adaptive;
use crate::policy::auth::Authority;
use crate::policy::breaker::Breaker;
use crate::policy::in_flight::Cap;
use crate::policy::jwt::Provider;
use crate::policy::limit::Limiter;
use crate::policy::mirror::Mirror;
use crate::policy::overload::Overload;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::process::Process;
use crate::telemetry::metrics::{Label, MetricEncoder, encode, routes};
use crate::upstream::{ServiceSeries, Version};
use std::sync::Arc;

/// Gives each value its name as a label.
fn named<'a, T: 'a>(
    label: &'static str,
    all: impl Iterator<Item = (&'a Name, &'a Arc<T>)> + Clone,
) -> impl Iterator<Item = ([Label<'a>; 1], &'a T)> + Clone {
    all.map(move |(name, of)| ([(label, name.as_ref())], of.as_ref()))
}

impl Snapshot {
    /// Encodes all metrics.
    pub fn scrape(&self, metrics: &Metrics, encoder: &mut dyn MetricEncoder) {
        let routes = self.routes.iter();
        let routes = routes.map(|route| (route.name.as_ref(), route.series.as_ref()));
        routes::encode(encoder, metrics, routes);
        self.scrape_services(encoder);
        let feeds = self.discovery.feeds();
        let feeds = feeds
            .iter()
            .map(|feed| ([("source", feed.name().as_ref())], feed.as_ref()));
        encode(encoder, Feed::METRICS, feeds);
        let listeners = named("listener", self.listeners.iter());
        encode(encoder, ListenerSettings::METRICS, listeners);
        self.scrape_policies(encoder);
        let shares: Vec<_> = self.shares().collect();
        let shares = shares.iter();
        let shares = shares.map(|(color, share)| ([("color", color.as_ref())], share));
        encode(encoder, rollout_series::SHARES, shares);
        let events = named("rollout", self.rollouts.iter());
        encode(encoder, rollout_series::EVENTS, events);
        let plugins = self.plugins.values();
        let plugins = plugins.map(|of| ([("plugin", of.name.as_ref())], of.series.as_ref()));
        encode(encoder, PluginSeries::METRICS, plugins);
        encode(encoder, Metrics::METRICS, [([], metrics)]);
        encode(encoder, Process::METRICS, [([], &Process::read())]);
    }

    fn scrape_services(&self, encoder: &mut dyn MetricEncoder) {
        let services = self.services.iter().map(|service| {
            let name = ("service", service.name.as_ref());
            (name, service)
        });
        let versions = services.clone().flat_map(|(name, service)| {
            let versions = service.versions.iter();
            versions.map(move |version| ([name, ("version", version.name.as_ref())], version))
        });
        let breakers = versions.clone();
        let breakers = breakers.filter_map(|(of, version)| Some((of, version.breaker.as_deref()?)));
        let adaptive = services.clone();
        let adaptive =
            adaptive.filter_map(|(name, service)| Some(([name], service.adaptive.as_deref()?)));
        let series = services.map(|(name, service)| ([name], service.series.as_ref()));
        encode(encoder, ServiceSeries::METRICS, series);
        encode(encoder, Version::METRICS, versions);
        encode(encoder, Breaker::METRICS, breakers);
        encode(encoder, Adaptive::METRICS, adaptive);
    }

    fn scrape_policies(&self, encoder: &mut dyn MetricEncoder) {
        let limiters = named("limit", self.limiters.iter());
        encode(encoder, Limiter::METRICS, limiters);
        let authorities = self.authorities.iter();
        let authorities = authorities.map(|(name, of)| ([("provider", name.as_ref())], of));
        let providers = authorities.clone().filter_map(|(name, of)| match of {
            Authority::Jwt(provider) => Some((name, provider.as_ref())),
            Authority::ApiKeys(_) | Authority::Forward(_) => None,
        });
        encode(encoder, Provider::METRICS, providers);
        encode(encoder, Authority::METRICS, authorities);
        encode(encoder, Stale::METRICS, [([], self.stale.as_slice())]);
        let services = self.services.iter();
        let services = services.filter_map(|service| {
            let labels = [("scope", "service"), ("name", service.name.as_ref())];
            Some((labels, service.cap.as_deref()?))
        });
        let routes = self.routes.iter();
        let capped = routes.clone().filter_map(|route| {
            let labels = [("scope", "route"), ("name", route.name.as_ref())];
            Some((labels, route.cap.as_deref()?))
        });
        encode(encoder, Cap::METRICS, services.chain(capped));
        let mirrors = routes
            .filter_map(|route| Some(([("route", route.name.as_ref())], route.mirror.as_deref()?)));
        encode(encoder, Mirror::METRICS, mirrors);
        encode(encoder, Overload::METRICS, [([], self.overload.as_ref())]);
    }

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

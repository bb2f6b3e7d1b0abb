//! What a scrape tells of upstreams beside tries: bytes, failed connections, checks, ejections.

use crate::telemetry::encode::family;
use crate::upstream::{Service, Version};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::Counter;
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Each version with the labels that name it.
fn versions(
    services: &[Arc<Service>],
) -> impl Iterator<Item = ([(&'static str, &str); 2], &Version)> {
    services.iter().flat_map(|service| {
        service.versions.iter().map(|version| {
            let service = ("service", service.name.as_ref());
            ([service, ("version", version.name.as_ref())], version)
        })
    })
}

pub fn encode(encoder: &mut DescriptorEncoder, services: &[Arc<Service>]) -> Result {
    bytes(encoder, services)?;
    connect_failures(encoder, services)?;
    checks(encoder, services)?;
    ejections(encoder, services)
}

fn bytes(encoder: &mut DescriptorEncoder, services: &[Arc<Service>]) -> Result {
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for (of, version) in versions(services) {
        sent.push((of, version.counters.sent.load(Relaxed) as f64));
        received.push((of, version.counters.received.load(Relaxed) as f64));
    }
    let help = "Bytes of request bodies sent to endpoints; each try counts";
    family(
        encoder,
        "tyrian_upstream_request_bytes",
        help,
        Counter,
        &sent,
    )?;
    let help = "Bytes of response bodies received from endpoints";
    let name = "tyrian_upstream_response_bytes";
    family(encoder, name, help, Counter, &received)
}

fn connect_failures(encoder: &mut DescriptorEncoder, services: &[Arc<Service>]) -> Result {
    let mut rows = Vec::new();
    for ([service, version], of) in versions(services) {
        let failures = of.counters.connect_failures.iter();
        let failures = failures.filter(|(kind, _)| kind.is_about_connecting());
        rows.extend(
            failures
                .map(|(kind, count)| ([service, version, ("cause", kind.name())], count as f64)),
        );
    }
    let help = "Connections to endpoints that a try asked for and did not get";
    let name = "tyrian_upstream_connect_failures";
    family(encoder, name, help, Counter, &rows)
}

/// Only of versions whose endpoints are checked.
fn checks(encoder: &mut DescriptorEncoder, services: &[Arc<Service>]) -> Result {
    let mut rows = Vec::new();
    for ([service, version], of) in versions(services).filter(|(_, of)| of.set().is_checked()) {
        let checks = of.counters.checks();
        rows.extend(
            checks.map(|(result, count)| ([service, version, ("result", result)], count as f64)),
        );
    }
    let help = "Active health checks by their result: passed, or why not";
    family(encoder, "tyrian_health_checks", help, Counter, &rows)
}

/// Only of versions whose endpoints may be ejected.
fn ejections(encoder: &mut DescriptorEncoder, services: &[Arc<Service>]) -> Result {
    let mut rows = Vec::new();
    let versions = versions(services).filter(|(_, of)| of.ejects());
    let versions: Vec<_> = versions.map(|(labels, of)| (labels, of.set())).collect();
    for ([service, version], set) in &versions {
        for endpoint in set.endpoints() {
            let name = ("endpoint", endpoint.address.as_ref());
            let causes = endpoint.state.ejected_by.iter();
            rows.extend(causes.map(|(cause, count)| {
                let cause = ("cause", cause.name());
                ([*service, *version, name, cause], count as f64)
            }));
        }
    }
    let help = "Ejections of endpoints, by the last failure before each";
    let name = "tyrian_endpoint_ejections";
    family(encoder, name, help, Counter, &rows)
}

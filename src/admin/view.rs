//! The live state as JSON: what the API shows of routes, services and colors.

use super::Admin;
use crate::config::{Config, Name, Place};
use crate::live::Source;
use crate::routing::explain::describe;
use crate::snapshot::Snapshot;
use serde_json::{Value, json};

pub async fn status(admin: &Admin) -> Value {
    let snapshot = admin.live.current.load_full();
    let loaded = admin.live.loaded().await;
    let path = match admin.live.source() {
        Source::Path(path) => path.display().to_string(),
        Source::Text(_) => "command line".to_owned(),
    };
    let down = down(&snapshot);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation": snapshot.generation,
        "uptime_s": admin.started.elapsed().as_secs(),
        "draining": admin.is_draining(),
        "config": {
            "path": path,
            "hash": crate::live::hex(&loaded.hash),
            "last_reload_successful": admin.live.metrics.last_reload_successful(),
            "rolled_back_to": admin.live.rolled_back_to().await,
        },
        "listeners": admin.addresses.iter().map(|(name, address)| {
            json!({ "name": name, "address": address.to_string() })
        }).collect::<Vec<_>>(),
        "routes": snapshot.routes.len(),
        "services": snapshot.services.len(),
        "colors": snapshot.colors.len(),
        "endpoints_down": down,
        "warnings": loaded.render_json().get("diagnostics"),
    })
}

fn down(snapshot: &Snapshot) -> Vec<String> {
    let versions = snapshot.services.iter().flat_map(|service| {
        service
            .versions
            .iter()
            .map(move |version| (service, version))
    });
    versions
        .flat_map(|(service, version)| {
            let down = version
                .endpoints
                .iter()
                .filter(|endpoint| !endpoint.state.available());
            down.map(move |endpoint| {
                format!("{}/{} {}", service.name, version.name, endpoint.address)
            })
        })
        .collect()
}

/// `file:line`.
fn place(at: &Place) -> String {
    format!("{}:{}", at.file, at.line)
}

pub fn routes(config: &Config) -> Value {
    let one = |(name, route): (&Name, &crate::config::route::Route)| {
        json!({
            "name": &**name,
            "match": describe(route),
            "target": target(route),
            "priority": route.priority,
            "at": place(&route.at),
        })
    };
    json!({ "routes": config.routes.iter().map(one).collect::<Vec<_>>() })
}

fn target(route: &crate::config::route::Route) -> String {
    use crate::config::route::Target;
    match &route.target {
        Target::Service(name) => format!("service {name}"),
        Target::Respond { status, .. } => format!("respond {status}"),
        Target::Redirect {
            status, location, ..
        } => format!("redirect {status} {location}"),
    }
}

pub fn services(snapshot: &Snapshot) -> Value {
    let endpoint = |endpoint: &crate::upstream::Endpoint| {
        json!({
            "address": &*endpoint.address,
            "weight": endpoint.weight,
            "healthy": endpoint.state.available(),
            "in_flight": endpoint.state.in_flight(),
            "connect_failures": endpoint.state.connect_failures(),
        })
    };
    let version = |version: &crate::upstream::Version| {
        json!({
            "name": &*version.name,
            "available": version.available(),
            "endpoints": version.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        })
    };
    let service = |service: &std::sync::Arc<crate::upstream::Service>| {
        let config = snapshot.config.services.get(&service.name);
        json!({
            "name": &*service.name,
            "default": config.map(|config| config.default.to_string()),
            "versions": service.versions.iter().map(version).collect::<Vec<_>>(),
            "retries": service.series.retries(),
            "at": place(&service.at),
        })
    };
    json!({ "services": snapshot.services.iter().map(service).collect::<Vec<_>>() })
}

pub fn colors(config: &Config) -> Value {
    let one = |(name, color): (&Name, &crate::config::color::Color)| {
        let versions: std::collections::BTreeMap<&str, &str> = color
            .versions
            .iter()
            .map(|(service, version)| (&**service, &**version))
            .collect();
        json!({
            "name": &**name,
            "rules": color.when.len(),
            "versions": versions,
            "fallback": format!("{:?}", color.fallback).to_lowercase(),
            "hex": color.hex,
            "at": place(&color.at),
        })
    };
    json!({
        "header": config.coloring.header.as_str(),
        "colors": config.colors.iter().map(one).collect::<Vec<_>>(),
    })
}

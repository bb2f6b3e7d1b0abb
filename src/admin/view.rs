//! The live state as JSON: what the API shows of routes, services and colors.

use super::Admin;
use super::auth::Role;
use super::troubles::{cause, since};
use super::{findings, troubles};
use crate::config::{Config, Name, Place};
use crate::live::Source;
use crate::policy::auth::Authority;
use crate::policy::in_flight::Cap;
use crate::policy::limit::Limiter;
use crate::routing::explain::describe;
use crate::snapshot::Snapshot;
use crate::state::Folder;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub async fn status(admin: &Admin, role: Role) -> Value {
    let snapshot = admin.live.current.load_full();
    let loaded = admin.live.loaded().await;
    let path = match admin.live.source() {
        Source::Path(path) => path.display().to_string(),
        Source::Text(_) => "command line".to_owned(),
    };
    let out = troubles::endpoints_out(&snapshot);
    let down: Vec<String> = out.iter().map(troubles::Out::name).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "role": role.name(),
        "generation": snapshot.generation,
        "uptime_s": admin.started.elapsed().as_secs(),
        "draining": admin.is_draining(),
        "state": state(admin.live.folder()),
        "config": {
            "path": path,
            "hash": crate::live::hex(&loaded.hash),
            "last_reload_successful": admin.live.metrics.last_reload_successful(),
            "rolled_back_to": admin.live.rolled_back_to().await,
            "applied": admin.live.is_applied_text().await,
            "rejected": admin.live.rejected().as_deref(),
            "trial": admin.live.trial(),
        },
        "listeners": admin.serving.addresses().into_iter().map(|(name, address)| {
            json!({ "name": name, "address": address })
        }).collect::<Vec<_>>(),
        "routes": snapshot.routes.len(),
        "services": snapshot.services.len(),
        "colors": snapshot.colors.len(),
        "endpoints_down": down,
        "endpoints_out": out,
        "breakers": troubles::breakers(&snapshot),
        "expiring": crate::config::expiry::all(&snapshot.config).map(|expiring| json!({
            "kind": expiring.kind,
            "name": expiring.name,
            "expires": expiring.expires.to_string(),
            "at": place(expiring.at),
        })).collect::<Vec<_>>(),
        "shares": admin.live.rollouts.list(&snapshot),
        "findings": findings::all(&snapshot, &admin.live.metrics),
        "warnings": loaded.render_json().get("diagnostics"),
    })
}

/// Where the state is, and whether this process writes there.
fn state(folder: Option<&Folder>) -> Value {
    json!({
        "directory": folder.map(|folder| folder.path().display().to_string()),
        "instance": folder.map(|folder| folder.instance().as_str()),
        "read_only": folder.is_none_or(|folder| !folder.is_writable()),
        "reason": folder.map_or(Some("there is no state directory"), Folder::read_only),
    })
}

/// `file:line`.
pub fn place(at: &Place) -> String {
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
    let ages = snapshot.discovery.ages();
    let endpoint = |endpoint: &crate::upstream::Endpoint| {
        let troubles = endpoint.state.troubles();
        json!({
            "address": &*endpoint.address,
            "name": endpoint.member.authority.as_deref(),
            "source": endpoint.member.source.as_deref(),
            "zone": endpoint.member.zone.as_deref(),
            "weight": endpoint.weight,
            "healthy": endpoint.state.available(),
            "health": endpoint.state.health().name(),
            "unhealthy_since": since(troubles.unhealthy),
            "unhealthy_cause": cause(troubles.unhealthy),
            "down": endpoint.state.is_down(),
            "down_since": since(troubles.unreachable),
            "down_cause": cause(troubles.unreachable),
            "ejected": troubles.ejected.is_some(),
            "ejected_since": since(troubles.ejected.map(|(trouble, _)| trouble)),
            "ejected_cause": cause(troubles.ejected.map(|(trouble, _)| trouble)),
            "ejected_until": troubles.ejected.map(|(_, until)| until.to_string()),
            "ejections": endpoint.state.ejections(),
            "drained": endpoint.state.is_drained(),
            "drained_since": troubles.drained.map(|since| since.to_string()),
            "latency_ms": endpoint.state.latency.now() / 1e6,
            "reported_load": endpoint.state.reported_load(),
            "in_flight": endpoint.state.in_flight(),
            "connect_failures": endpoint.state.connect_failures(),
        })
    };
    let version = |version: &crate::upstream::Version| {
        let set = version.set();
        let sources = set.endpoints().iter();
        let sources = sources.filter_map(|endpoint| endpoint.member.source.as_ref());
        let age = sources.filter_map(|source| ages.get(source)).max();
        json!({
            "name": &*version.name,
            "available": version.available(),
            "source_age": age.map(Duration::as_secs_f64),
            "breaker": version.breaker.as_ref().map(|breaker| troubles::breaker(breaker)),
            "endpoints": set.endpoints().iter().map(endpoint).collect::<Vec<_>>(),
        })
    };
    let service = |service: &Arc<crate::upstream::Service>| {
        let config = snapshot.config.services.get(&service.name);
        json!({
            "name": &*service.name,
            "default": config.map(|config| config.default.to_string()),
            "versions": service.versions.iter().map(version).collect::<Vec<_>>(),
            "retries": service.series.retries(),
            "retries_refused": service.budget.exhausted.load(Relaxed),
            "in_flight": service.cap.as_ref().map(|cap| places(cap)),
            "adaptive": service.adaptive.as_ref().map(|adaptive| {
                let (limit, in_flight, refused) = adaptive.state();
                json!({ "limit": limit, "in_flight": in_flight, "refused": refused })
            }),
            "at": place(&service.at),
        })
    };
    json!({ "services": snapshot.services.iter().map(service).collect::<Vec<_>>() })
}

fn places(cap: &Cap) -> Value {
    let (max, taken, waiting, refused) = cap.state();
    json!({ "max": max, "taken": taken, "waiting": waiting, "refused": refused })
}

/// Limits, and who knows clients.
pub fn limits(snapshot: &Snapshot) -> Value {
    let limit = |(name, limiter): (&Name, &Arc<Limiter>)| {
        let (keys, evicted, crowded) = limiter.sizes();
        let config = &limiter.config;
        let key: Vec<String> = config.key.iter().map(ToString::to_string).collect();
        json!({
            "name": &**name,
            "rate": format!("{}/{:?}", config.rate.count, config.rate.per),
            "burst": config.burst,
            "key": key,
            "mode": config.mode.to_string(),
            "keys": keys,
            "max_keys": config.max_keys,
            "evicted": evicted,
            "crowded": crowded,
            "allowed": limiter.series.allowed.load(Relaxed),
            "limited": limiter.series.limited.load(Relaxed),
            "reported": limiter.series.reported.load(Relaxed),
            "at": snapshot.config.limits.get(name).map(|limit| place(&limit.at)),
        })
    };
    let provider = |(name, authority): (&Name, &Authority)| match authority {
        Authority::Jwt(provider) => {
            let (keys, cached) = provider.sizes();
            let results: std::collections::BTreeMap<_, _> = provider.results.iter().collect();
            json!({
                "name": &**name,
                "kind": "jwt",
                "issuer": provider.config.issuer,
                "keys": keys,
                "keys_age_s": provider.keys_age(),
                "failed_fetches": provider.failed_fetches(),
                "cached_tokens": cached,
                "results": results,
            })
        }
        Authority::ApiKeys(keys) => json!({
            "name": &**name,
            "kind": "api_keys",
            "accepted": keys.accepted.load(Relaxed),
            "refused": keys.refused.load(Relaxed),
        }),
        Authority::Forward(service) => json!({
            "name": &**name,
            "kind": "forward_auth",
            "allowed": service.allowed.load(Relaxed),
            "denied": service.denied.load(Relaxed),
            "failed": service.failed.load(Relaxed),
        }),
    };
    json!({
        "limits": snapshot.limiters.iter().map(limit).collect::<Vec<_>>(),
        "providers": snapshot.authorities.iter().map(provider).collect::<Vec<_>>(),
    })
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
            "share": color.share.as_ref().map(|share| json!({
                "percent": share.percent,
                "sticky": share.sticky.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })),
            "at": place(&color.at),
        })
    };
    json!({
        "header": config.coloring.header.as_str(),
        "colors": config.colors.iter().map(one).collect::<Vec<_>>(),
    })
}

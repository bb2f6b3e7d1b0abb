//! What an operator may do by hand: hold a breaker, take an endpoint out.

use super::Admin;
use super::api::Problem;
use super::audit::Deed;
use crate::policy::breaker::Phase;
use crate::upstream::{Service, Version};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// What was done, and how it is now.
type Done = (Extension<Deed>, Json<Value>);

/// `{ "state": "open" | "closed" | "half-open" }`: open until told otherwise, closed, or let it
/// find out by itself.
pub async fn breaker(
    State(admin): State<Admin>,
    Path((service, version)): Path<(String, String)>,
    body: Bytes,
) -> Result<Done, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct To {
        state: String,
    }
    let to: To = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
    let phase = match to.state.as_str() {
        "open" => Phase::Open,
        "closed" => Phase::Closed,
        "half-open" => Phase::HalfOpen,
        _ => return Err(bad(&"`state` is one of open, closed, half-open")),
    };
    let found = find(&admin, &service)?;
    let breaker = found
        .version_named(&version)
        .and_then(|version| version.breaker.as_ref());
    let breaker = breaker.ok_or_else(|| missing(&format!("breaker of {service}/{version}")))?;
    breaker.hold(phase, Instant::now());
    let now = json!({ "state": breaker.phase().name(), "held": breaker.held() });
    let deed = Deed(format!("breaker of {service}/{version}: {}", to.state));
    Ok((Extension(deed), Json(now)))
}

/// `{ "drained": true | false }`
pub async fn endpoint(
    State(admin): State<Admin>,
    Path((service, version, address)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<Done, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct To {
        drained: bool,
    }
    let to: To = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
    let found = find(&admin, &service)?;
    let set = found.version_named(&version).map(Version::set);
    // A name stands for all of its addresses.
    let named = set.as_ref().map(|set| set.named(&address).count());
    if named.unwrap_or(0) == 0 {
        return Err(missing(&format!("endpoint {address}")));
    }
    for endpoint in set.iter().flat_map(|set| set.named(&address)) {
        endpoint.state.drain(to.drained);
    }
    let now = json!({ "address": address, "drained": to.drained });
    let deed = Deed(format!(
        "endpoint {address} of {service}/{version}: drained {}",
        to.drained
    ));
    Ok((Extension(deed), Json(now)))
}

fn find(admin: &Admin, service: &str) -> Result<Arc<Service>, Problem> {
    let snapshot = admin.live.current.load();
    let found = snapshot.service_named(service);
    found
        .cloned()
        .ok_or_else(|| missing(&format!("service {service}")))
}

fn bad(why: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why.to_string())
}

fn missing(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
}

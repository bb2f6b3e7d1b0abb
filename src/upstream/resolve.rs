//! Endpoints given by name: resolved in the background, never while a request waits.

use super::{EndpointState, Service};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often names are resolved again. The system resolver tells no TTL.
const EVERY: Duration = Duration::from_secs(10);
/// How soon a name that has no address yet is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Resolves the names among these services' endpoints until all of them are gone.
pub fn spawn<'a>(services: impl IntoIterator<Item = &'a Arc<Service>>) {
    let mut names: HashMap<Arc<str>, Vec<Weak<EndpointState>>> = HashMap::new();
    let versions = services.into_iter().flat_map(|service| &service.versions);
    for version in versions {
        let set = version.set();
        let endpoints = set.endpoints().iter();
        for endpoint in endpoints.filter(|endpoint| endpoint.state.is_name()) {
            let users = names.entry(endpoint.address.clone()).or_default();
            users.push(Arc::downgrade(&endpoint.state));
        }
    }
    for (name, users) in names {
        tokio::spawn(keep_resolved(name, users));
    }
}

async fn keep_resolved(name: Arc<str>, users: Vec<Weak<EndpointState>>) {
    loop {
        let live: Vec<_> = users.iter().filter_map(Weak::upgrade).collect();
        if live.is_empty() {
            return;
        }
        let found = lookup(&name).await;
        for (index, endpoint) in live.iter().enumerate() {
            // Endpoints that share a name are spread over its addresses.
            if let Some(address) = found.get(index % found.len().max(1)) {
                endpoint.resolved(*address);
            }
        }
        drop(live);
        tokio::time::sleep(if found.is_empty() { RETRY } else { EVERY }).await;
    }
}

async fn lookup(name: &str) -> Vec<SocketAddr> {
    match tokio::net::lookup_host(name).await {
        Ok(found) => {
            let mut found: Vec<_> = found.collect();
            found.sort_unstable();
            found.dedup();
            found
        }
        Err(error) => {
            tracing::warn!(name, %error, "endpoint name does not resolve");
            Vec::new()
        }
    }
}

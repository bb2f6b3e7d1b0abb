//! `/v1/listeners` and `/v1/certificates`: where clients connect, and what they are shown there.

use super::Admin;
use super::findings::CERTIFICATE;
use super::view::place;
use crate::config::listener::Listener;
use crate::config::tls::Tls;
use crate::snapshot::Snapshot;
use crate::tls::Certified;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// `GET /v1/listeners`
pub async fn listeners(State(admin): State<Admin>) -> Json<Value> {
    let snapshot = admin.live.current.load_full();
    Json(all(&snapshot, &admin.serving.connections()))
}

/// `open` holds bound addresses and open connections, by listener.
fn all(snapshot: &Snapshot, open: &BTreeMap<String, (String, u32)>) -> Value {
    let listeners = snapshot.config.listeners.iter();
    let one = |(name, config): (&crate::config::Name, &Listener)| {
        let bound = open.get(&**name);
        json!({
            "name": &**name,
            "bind": config.bind.to_string(),
            "address": bound.map(|(address, _)| address),
            "protocols": config.http.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tls": config.tls.as_ref().map(tls),
            "proxy_protocol": config.clients.proxy_protocol,
            "trust": config.clients.trust.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "connections": bound.map_or(0, |(_, connections)| *connections),
            "max_connections": config.clients.max_connections,
            "max_connections_per_ip": config.clients.max_connections_per_ip,
            "at": place(&config.at),
        })
    };
    json!({ "listeners": listeners.map(one).collect::<Vec<_>>() })
}

fn tls(config: &Tls) -> Value {
    json!({
        "min_version": config.min_version.to_string(),
        "client_auth": config.client_auth.as_ref().map(|asked| asked.mode.to_string()),
        "certificates": config.certs.0.len(),
    })
}

/// `GET /v1/certificates`
pub async fn certificates(State(admin): State<Admin>) -> Json<Value> {
    let snapshot = admin.live.current.load_full();
    let now = jiff::Timestamp::now().as_second();
    let listeners = snapshot.listeners();
    let shown = listeners.flat_map(|(name, listener)| {
        let certificates = listener.tls.iter().flat_map(|tls| &tls.of.certificates);
        certificates.map(move |one| certificate(name, one, now))
    });
    Json(json!({ "certificates": shown.collect::<Vec<_>>(), "warn_s": CERTIFICATE }))
}

fn certificate(listener: &str, one: &Certified, now: i64) -> Value {
    let time = |second| {
        jiff::Timestamp::from_second(second)
            .map(|time| time.to_string())
            .ok()
    };
    let leaf = one.key.cert.first();
    json!({
        "listener": listener,
        "names": one.names,
        "subject": one.subject,
        "issuer": one.issuer,
        "not_before": time(one.not_before),
        "not_after": time(one.not_after),
        "state": state(one.not_before, one.not_after, now),
        "chained": one.chained,
        "sha256": leaf.map(|leaf| crate::live::hex(&Sha256::digest(leaf))),
        "file": one.file,
    })
}

/// Returns how a certificate with this validity stands. All are seconds since 1970.
fn state(not_before: i64, not_after: i64, now: i64) -> &'static str {
    match not_after - now {
        left if left <= 0 => "expired",
        _ if now < not_before => "not-yet-valid",
        left if left < CERTIFICATE => "expiring",
        _ => "valid",
    }
}

#[cfg(test)]
mod tests {
    use super::{CERTIFICATE, state};

    #[test]
    fn a_certificate_is_named_before_it_ends() {
        let end = 10 * CERTIFICATE;
        assert_eq!(state(0, end, end - CERTIFICATE), "valid");
        assert_eq!(state(0, end, end - CERTIFICATE + 1), "expiring");
        assert_eq!(state(0, end, end), "expired");
        assert_eq!(state(100, end, 99), "not-yet-valid");
        assert_eq!(state(100, 50, 60), "expired");
    }
}

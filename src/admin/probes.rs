//! `/livez`, `/readyz`, `/healthz` and `/metrics`: no token, no secrets, read only.

use super::Admin;
use crate::config::jwt::Keys;
use crate::discovery::Feed;
use crate::policy::auth::{ApiKeys, Authority};
use crate::policy::jwt::Provider;
use crate::telemetry::metrics::TextEncoder;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::time::Duration;

pub fn router() -> Router<Admin> {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Longest wait for first answers of the sources of endpoints.
const DISCOVERY_WAIT: Duration = Duration::from_secs(5);

/// Ready is: a configuration is live, the listeners are bound, the sources of endpoints have answered
/// once or been waited for, nothing drains. A sick upstream does not make the edge unready.
async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let draining = admin.is_draining();
    let waits =
        admin.started.elapsed() < DISCOVERY_WAIT && admin.live.current.load().discovery.waits();
    let status = if draining || waits {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let word = match () {
        () if draining => "draining\n",
        () if waits => "waiting for endpoints\n",
        () => "ok\n",
    };
    if !verbose {
        return (status, word).into_response();
    }
    let snapshot = admin.live.current.load();
    let generation = snapshot.generation;
    let listeners = admin.serving.addresses().len();
    let mark = if draining { "✗" } else { "✓" };
    let mut text = format!(
        "✓ configuration: generation {generation} is live\n\
         ✓ listeners: {listeners} bound\n\
         {mark} draining: {draining}\n"
    );
    for feed in snapshot.discovery.feeds() {
        text.push_str(&endpoints(&feed));
    }
    for authority in snapshot.authorities.values() {
        match authority {
            Authority::Jwt(provider) => text.push_str(&keys(provider)),
            Authority::ApiKeys(keys) => text.push_str(&api_keys(keys)),
            Authority::Forward(_) => {}
        }
    }
    (status, text).into_response()
}

/// A line about a source of endpoints. The last ones stay while it fails.
fn endpoints(feed: &Feed) -> String {
    let name = feed.name();
    let Some(latest) = feed.latest() else {
        return format!("✗ endpoints {name}: no answer yet\n");
    };
    let (count, age) = (latest.entries.len(), latest.at.elapsed().as_secs());
    match feed.is_failing() {
        true => format!("✓ endpoints {name}: {count}, of {age} s ago: stale, and still used\n"),
        false => format!("✓ endpoints {name}: {count}\n"),
    }
}

/// A line about the keys of a token provider. Without them its tokens are refused, but the edge is
/// no less ready: other routes do not wait for an issuer.
fn keys(provider: &Provider) -> String {
    let (name, (count, _)) = (&provider.name, provider.sizes());
    let keys = counted(count);
    let Keys::Url(source) = &provider.config.keys else {
        let age = provider.keys_age();
        let stale = age.is_some_and(|age| age >= provider.config.keys.max_stale().as_secs());
        return of_file(&format!("jwt {name}: {keys}"), age, stale);
    };
    match provider.keys_age() {
        None => format!("✗ jwt {name}: no keys yet\n"),
        Some(age) if age > source.max_stale.as_secs() => {
            format!("✗ jwt {name}: {keys}, fetched {age} s ago: no longer accepted\n")
        }
        Some(age) if count == 0 => {
            format!("✗ jwt {name}: a set without keys, fetched {age} s ago: tokens are refused\n")
        }
        Some(age) if age > source.refresh.as_secs() => {
            format!("✓ jwt {name}: {keys}, fetched {age} s ago: stale, and still believed\n")
        }
        Some(age) => format!("✓ jwt {name}: {keys}, fetched {age} s ago\n"),
    }
}

/// A line about the API keys of a table.
fn api_keys(table: &ApiKeys) -> String {
    let keys = counted(table.size());
    let what = format!("api_keys {}: {keys}", table.name);
    of_file(&what, table.lost_for(), table.is_stale())
}

fn counted(keys: usize) -> String {
    match keys {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    }
}

/// A line about keys of a file: `lost` seconds ago it was last good; `None`: it is.
fn of_file(what: &str, lost: Option<u64>, stale: bool) -> String {
    match lost {
        None => format!("✓ {what}\n"),
        Some(age) if stale => format!("✗ {what}, lost {age} s ago: too stale to be believed\n"),
        Some(age) => format!("✓ {what}, lost {age} s ago, and still believed\n"),
    }
}

/// OpenMetrics for those who ask for it, which has exemplars; the classic text for all others.
async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept = accept.filter_map(|accept| accept.to_str().ok());
    let snapshot = admin.live.current.load_full();
    let (kind, mut text) = match prefers_openmetrics(accept) {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            TextEncoder::openmetrics(),
        ),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            TextEncoder::classic(),
        ),
    };
    snapshot.scrape(&admin.live.metrics, &mut text);
    ([(header::CONTENT_TYPE, kind)], text.finish()).into_response()
}

/// Whether OpenMetrics is asked for, and nothing else is rather (RFC 9110, section 12.5.1).
fn prefers_openmetrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut openmetrics, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|accept| accept.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or("").to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        match kind.as_str() {
            "application/openmetrics-text" => openmetrics = openmetrics.max(quality),
            "text/plain" | "text/*" | "*/*" => plain = plain.max(quality),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= plain
}

#[cfg(test)]
mod tests {
    use super::prefers_openmetrics;

    #[test]
    fn openmetrics_is_for_those_who_rather_have_it() {
        for (accept, wanted) in [
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0, */*", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
            ("application/openmetrics-text;q=0", false),
            (
                "application/openmetrics-text;q=0.4, text/plain;q=0.5",
                false,
            ),
            (
                "text/plain;q=0.5, application/openmetrics-text; q=never",
                false,
            ),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(
                prefers_openmetrics([accept].into_iter()),
                wanted,
                "{accept}"
            );
        }
    }
}

//! `/livez`, `/readyz`, `/healthz` and `/metrics`: no token, no secrets, read only.

use super::Admin;
use crate::telemetry::classic::classic;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub fn router() -> Router<Admin> {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Ready is: a configuration is live, the listeners are bound, nothing drains. A sick upstream
/// does not make the edge unready.
async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let draining = admin.is_draining();
    let status = if draining {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let word = if draining { "draining\n" } else { "ok\n" };
    if !verbose {
        return (status, word).into_response();
    }
    let generation = admin.live.current.load().generation;
    let listeners = admin.serving.addresses().len();
    let mark = if draining { "✗" } else { "✓" };
    let text = format!(
        "✓ configuration: generation {generation} is live\n\
         ✓ listeners: {listeners} bound\n\
         {mark} draining: {draining}\n"
    );
    (status, text).into_response()
}

/// OpenMetrics for those who ask for it, which has exemplars; the classic text for all others.
async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter();
    let mut accept = accept.filter_map(|accept| accept.to_str().ok());
    let snapshot = admin.live.current.load_full();
    let (kind, text) = match accept.any(|accept| accept.contains("application/openmetrics-text")) {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            snapshot.expose_annotated(&admin.live.metrics),
        ),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            classic(&snapshot.expose(&admin.live.metrics)),
        ),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

//! `GET /v1/tap`: single requests as they end, those that match the query.

use super::Admin;
use super::api::Problem;
use super::stream::{event, sse};
use crate::telemetry::tap::{MAX_RPS, Spoken, WATCHERS_MAX, Watching};
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::Event;
use futures::{StreamExt, stream};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// Requests a second, unless asked for otherwise.
const USUAL_RPS: u32 = 100;
/// How often a watcher is told what it has missed.
const TELL_LOST: Duration = Duration::from_secs(1);

/// `GET /v1/tap`
pub async fn watch(
    State(admin): State<Admin>,
    query: Result<Query<Spoken>, QueryRejection>,
) -> Result<Response, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Query(spoken) = query.map_err(|error| bad(error.body_text()))?;
    let max_rps = spoken.max_rps.unwrap_or(USUAL_RPS).clamp(1, MAX_RPS);
    let filter = spoken.parse().map_err(bad)?;
    let watching = Watching::begin(&admin.live.metrics, filter, max_rps).ok_or_else(|| {
        let detail = format!("{WATCHERS_MAX} watchers are the most");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let open = event("open", &json!({ "max_rps": max_rps }));
    let state = (watching, (0, 0), tokio::time::interval(TELL_LOST));
    let requests = stream::unfold(state, async |(mut watching, mut told, mut clock)| {
        loop {
            tokio::select! {
                line = watching.next() => {
                    let event = Event::default().event("request").data(&*line?);
                    return Some((Ok(event), (watching, told, clock)));
                }
                _ = clock.tick() => {
                    let lost = watching.lost();
                    if lost != told {
                        told = lost;
                        let (over_pace, queue_full) = lost;
                        let lost = json!({ "over_pace": over_pace, "queue_full": queue_full });
                        return Some((Ok(event("lost", &lost)), (watching, told, clock)));
                    }
                }
            }
        }
    });
    Ok(sse(
        stream::iter([Ok::<_, Infallible>(open)]).chain(requests)
    ))
}

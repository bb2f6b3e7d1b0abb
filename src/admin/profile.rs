//! `/debug/pprof`: where the time goes, for `go tool pprof` and for eyes.

mod flame;

use super::Admin;
use super::api::Problem;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pprof::protos::Message;
use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest profile.
const SECONDS_MAX: u64 = 60;
/// Unless asked for otherwise.
const SECONDS: u64 = 10;
/// Samples a second of CPU time; a prime, so as not to march in step with anything.
const FREQUENCY: i32 = 99;

/// One profile at a time: there is one timer in the process.
static FREE: Semaphore = Semaphore::const_new(1);

/// What a profile is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    seconds: Option<u64>,
    #[serde(default)]
    format: Format,
}

/// How a profile is told.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// For `go tool pprof`.
    #[default]
    Protobuf,
    /// A picture.
    Svg,
}

/// `GET /debug/pprof/profile?seconds=10&format=protobuf|svg`
pub async fn cpu(
    State(_): State<Admin>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    };
    let Query(wanted) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let seconds = wanted.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let detail = format!("`seconds` is from 1 to {SECONDS_MAX}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let _place = FREE
        .try_acquire()
        .map_err(|_| Problem::new(StatusCode::CONFLICT, "another profile is being taken"))?;
    let guard = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()
        .map_err(|error| failed(&error))?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let told = tokio::task::spawn_blocking(move || tell(&guard, wanted.format)).await;
    let (kind, bytes) = told
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// Names what was seen; that takes a while, and a thread that may block.
fn tell(guard: &ProfilerGuard, format: Format) -> pprof::Result<(&'static str, Vec<u8>)> {
    let report: Report = guard.report().build()?;
    Ok(match format {
        Format::Protobuf => ("application/octet-stream", report.pprof()?.encode_to_vec()),
        Format::Svg => ("image/svg+xml", flame::draw(&report).into_bytes()),
    })
}

/// `GET /debug/pprof/heap`
pub async fn heap() -> Problem {
    let detail = "the allocator (mimalloc) keeps no samples; see `process_resident_memory_bytes`, \
                  or run under heaptrack";
    Problem::new(StatusCode::NOT_IMPLEMENTED, detail)
}

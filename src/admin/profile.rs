//! `/debug/pprof`: where the time and the memory go, for `go tool pprof` and for eyes.

mod flame;
#[cfg(feature = "heap-profiles")]
mod heap;

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
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest profile.
const SECONDS_MAX: u64 = 60;
/// Unless asked for otherwise.
const SECONDS: u64 = 10;
/// Samples a second of CPU time; a prime, so as not to march in step with anything.
const FREQUENCY: i32 = 99;

/// One profile at a time: there is one timer in the process, and one allocator.
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

impl Format {
    const fn kind(self) -> &'static str {
        match self {
            Self::Protobuf => "application/octet-stream",
            Self::Svg => "image/svg+xml",
        }
    }
}

type Asked = Result<Query<Wanted>, QueryRejection>;

/// What is asked for, if that can be had now.
fn begin(asked: Asked) -> Result<(Duration, Format, SemaphorePermit<'static>), Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Query(wanted) = asked.map_err(|error| bad(error.body_text()))?;
    let seconds = wanted.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(bad(format!("`seconds` is from 1 to {SECONDS_MAX}")));
    }
    let place = FREE
        .try_acquire()
        .map_err(|_| Problem::new(StatusCode::CONFLICT, "another profile is being taken"))?;
    Ok((Duration::from_secs(seconds), wanted.format, place))
}

/// The answer that `tell` makes on a thread that may block: naming what was seen takes a while.
async fn told<E: std::fmt::Display + Send + 'static>(
    format: Format,
    tell: impl FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
) -> Result<Response, Problem> {
    let told = tokio::task::spawn_blocking(tell).await;
    let bytes = told
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, format.kind())], bytes).into_response())
}

fn failed(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// `GET /debug/pprof/profile?seconds=10&format=protobuf|svg`
pub async fn cpu(State(_): State<Admin>, asked: Asked) -> Result<Response, Problem> {
    let (length, format, _place) = begin(asked)?;
    let guard = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()
        .map_err(|error| failed(&error))?;
    tokio::time::sleep(length).await;
    told(format, move || tell(&guard, format)).await
}

fn tell(guard: &ProfilerGuard, format: Format) -> pprof::Result<Vec<u8>> {
    let report: Report = guard.report().build()?;
    Ok(match format {
        Format::Protobuf => report.pprof()?.encode_to_vec(),
        Format::Svg => {
            let stacks = report.data.iter().map(|(stack, samples)| {
                let thread = std::iter::once(stack.thread_name.clone());
                let frames = stack.frames.iter().rev().flatten();
                let names = thread.chain(frames.map(ToString::to_string));
                (names.collect(), u64::try_from(*samples).unwrap_or(0))
            });
            flame::draw("samples", stacks).into_bytes()
        }
    })
}

/// `GET /debug/pprof/heap?seconds=10&format=protobuf|svg`
#[cfg(feature = "heap-profiles")]
pub async fn heap(State(_): State<Admin>, asked: Asked) -> Result<Response, Problem> {
    let (length, format, _place) = begin(asked)?;
    let Some(sampling) = heap::Sampling::begin(length).await else {
        let detail = "the allocator was told to keep no samples (`opt.prof` is false)";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    };
    told(format, move || sampling.tell(format)).await
}

/// `GET /debug/pprof/heap`
#[cfg(not(feature = "heap-profiles"))]
pub async fn heap() -> Problem {
    let detail = "the allocator of this binary (mimalloc) keeps no samples: build it with \
                  `--features heap-profiles`, or run it under heaptrack";
    Problem::new(StatusCode::NOT_IMPLEMENTED, detail)
}

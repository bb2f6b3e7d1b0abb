//! `GET /v1/stream`: what the gateway does, one frame a second, to whoever listens.

use super::Admin;
use super::api::Problem;
use super::troubles;
use crate::config::Name;
use crate::live::Live;
use crate::telemetry::rates::{Frame, Rates, WINDOW_S};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::MissedTickBehavior;

/// Listeners at the same time.
const LISTENERS_MAX: usize = 32;
/// Frames that wait for a slow listener; older ones are lost to it, and it is told.
const WAITING_MAX: usize = 8;
/// Seconds of totals that a new listener is told first.
const HISTORY: usize = 300;
/// Colors in one entry of the history, the busiest first.
const HISTORY_COLORS: usize = 16;
/// Between two frames.
const PACE: Duration = Duration::from_secs(1);

/// Makes the frames and hands them out.
#[derive(Debug)]
pub struct Hub {
    frames: broadcast::Sender<Arc<str>>,
    history: Mutex<VecDeque<Value>>,
    places: Arc<Semaphore>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            frames: broadcast::channel(WAITING_MAX).0,
            history: Mutex::default(),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
        }
    }
}

impl Hub {
    /// Makes one frame a second. Ends with the process.
    pub async fn run(&self, admin: &Admin) {
        let live = &admin.live;
        let mut rates = Rates::default();
        let mut reloads = live.metrics.reloads();
        let mut moved = 0;
        let mut clock = tokio::time::interval(PACE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        for number in 0_u64.. {
            clock.tick().await;
            let passed = last.elapsed();
            last = Instant::now();
            let snapshot = live.current.load_full();
            let routes = snapshot.routes.iter();
            let frame = rates.tick(
                &live.metrics,
                routes.map(|route| (&route.name, route.series.as_ref())),
                passed,
            );
            let mut events = events(live, &mut reloads).await;
            events.extend(moves(live, &mut moved));
            let events = Value::from(events);
            let time = jiff::Timestamp::now().as_millisecond();
            self.remember(time, &frame, &events);
            if self.frames.receiver_count() == 0 {
                continue;
            }
            let mut told = serde_json::to_value(frame).unwrap_or_default();
            if let Value::Object(told) = &mut told {
                told.insert("t".into(), time.into());
                told.insert("number".into(), number.into());
                told.insert("window_s".into(), WINDOW_S.into());
                told.insert("generation".into(), snapshot.generation.into());
                told.insert("draining".into(), admin.is_draining().into());
                told.insert("breakers".into(), troubles::breakers(&snapshot));
                told.insert("events".into(), events);
            }
            let _ = self.frames.send(told.to_string().into());
        }
    }

    fn remember(&self, time: i64, frame: &Frame, events: &Value) {
        let now = &frame.total.now;
        let mut colors: Vec<_> = frame.colors.iter().collect();
        colors.sort_by(|a, b| b.1.window.rps.total_cmp(&a.1.window.rps));
        let colors = colors.into_iter().take(HISTORY_COLORS);
        let colors: serde_json::Map<_, _> = colors
            .map(|(name, measured)| (name.clone(), json!(measured.now)))
            .collect();
        let entry = json!({
            "t": time,
            "total": now,
            "overhead": frame.overhead,
            "colors": colors,
            "events": events,
        });
        let mut history = self.history.lock();
        if history.len() >= HISTORY {
            history.pop_front();
        }
        history.push_back(entry);
    }
}

/// What has become of the configuration since the last frame.
async fn events(live: &Live, before: &mut (u64, u64)) -> Vec<Value> {
    let now = live.metrics.reloads();
    let (applied, rejected) = (now.0 > before.0, now.1 > before.1);
    *before = now;
    let mut events = Vec::new();
    if applied && let Some(entry) = live.history().await.first() {
        events.push(json!({
            "kind": "applied",
            "generation": entry.generation,
            "trigger": entry.trigger,
            "time": entry.time,
            "changes": entry.changes.len(),
        }));
    }
    if rejected && let Some(rejected) = live.rejected() {
        events.push(json!({
            "kind": "rejected",
            "generation": live.current.load().generation,
            "trigger": rejected.trigger,
            "time": rejected.time,
        }));
    }
    events
}

/// What has become of rollouts since the last frame; `seen` is the number of the last event.
fn moves(live: &Live, seen: &mut u64) -> Vec<Value> {
    let (number, events) = live.rollouts.events_after(*seen);
    *seen = number;
    let one = |(color, event): (Name, crate::rollout::Event)| {
        json!({
            "kind": "rollout",
            "color": &*color,
            "what": event.kind.name(),
            "from": event.from,
            "to": event.to,
            "reason": event.reason,
            "time": event.time,
        })
    };
    events.into_iter().map(one).collect()
}

/// `GET /v1/stream`
pub async fn listen(State(admin): State<Admin>) -> Result<Response, Problem> {
    let hub = &admin.stream;
    let place = hub.places.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{LISTENERS_MAX} listeners are the most");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let frames = hub.frames.subscribe();
    let history: Vec<Value> = hub.history.lock().iter().cloned().collect();
    let first = event("history", &Value::from(history));
    Ok(sse(stream::iter([Ok(first)]).chain(follow(frames, place))))
}

fn follow(
    frames: broadcast::Receiver<Arc<str>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((frames, place), async |(mut frames, place)| {
        let event = match frames.recv().await {
            Ok(frame) => Event::default().event("frame").data(&*frame),
            Err(RecvError::Lagged(lost)) => event("lost", &json!({ "frames": lost })),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (frames, place)))
    })
}

/// An event with JSON in it.
pub fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// An answer of events, which nothing on its way may keep or gather.
pub fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    (headers, Sse::new(events).keep_alive(alive)).into_response()
}

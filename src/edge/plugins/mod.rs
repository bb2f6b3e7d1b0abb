//! Runs the hooks of a route's plugins, in the order in which it lists them. A panic or a failure
//! costs this request at most, as the plugin's `on_error` says; nobody else notices.

mod heads;

pub use heads::{early, request_head};

use super::context::{Journey, Refusal};
use super::fields::DIGESTS;
use crate::config::plugin::OnError;
use crate::plugin::Phases;
use crate::reason::Reason;
use crate::snapshot::{Hosted, Route};
use bytes::Bytes;
use http::{HeaderName, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tyrian_plugin::{Body, Change, Fields, Flow, Log, Response, State};

/// What plugins keep of a request. Nothing is allocated on routes without any.
#[derive(Debug, Default)]
pub struct Hooks {
    /// By place in the route's list.
    states: Vec<State>,
    /// Which of them run for this request, by bit.
    on: u64,
    /// The request's body gets another length.
    resized: bool,
    /// Fields for the access log.
    pub logged: Vec<(String, String)>,
}

/// Most plugins of a route that run.
pub const PLUGINS_MAX: usize = 64;

/// A body that a plugin gives another length goes up without one.
///
/// # Errors
/// Never in practice: the value is sound.
pub fn resize(head: &mut RequestHeader, journey: &Journey) -> pingora::Result<()> {
    let resized = journey.hooks.resized && head.remove_header(&header::CONTENT_LENGTH).is_some();
    match resized && head.version == Version::HTTP_11 {
        true => head.insert_header(header::TRANSFER_ENCODING, "chunked"),
        false => Ok(()),
    }
}

/// The same of an answer whose length a plugin has taken off.
///
/// # Errors
/// Never in practice: the value is sound.
pub fn resize_answer(
    asked: &RequestHeader,
    head: &mut ResponseHeader,
    journey: &Journey,
) -> pingora::Result<()> {
    let bare = asked.method == Method::HEAD || matches!(head.status.as_u16(), 100..200 | 204 | 304);
    let framed = |name| head.headers.contains_key(name);
    let open = || !framed(header::CONTENT_LENGTH) && !framed(header::TRANSFER_ENCODING);
    match journey.hooks.on != 0 && !bare && asked.version == Version::HTTP_11 && open() {
        true => head.insert_header(header::TRANSFER_ENCODING, "chunked"),
        false => Ok(()),
    }
}

/// A chunk of the request's body.
///
/// # Errors
/// The answer of a plugin, or what its failure leads to.
pub fn request_body(
    journey: &mut Journey,
    body: &mut Option<Bytes>,
    end: bool,
) -> Result<(), Refusal> {
    bodies(journey, body, end, Phases::REQUEST_BODY)
}

/// A chunk of the answer's body.
///
/// # Errors
/// What breaks the answer off.
pub fn response_body(
    journey: &mut Journey,
    body: &mut Option<Bytes>,
    end: bool,
) -> Result<(), Refusal> {
    bodies(journey, body, end, Phases::RESPONSE_BODY)
}

fn bodies(
    journey: &mut Journey,
    chunk: &mut Option<Bytes>,
    end: bool,
    phase: Phases,
) -> Result<(), Refusal> {
    if journey.hooks.on == 0 {
        return Ok(());
    }
    let snapshot = journey.snapshot.clone();
    let Some(route) = journey.route_id().and_then(|id| snapshot.route(id)) else {
        return Ok(());
    };
    for (index, hosted) in running(route, journey.hooks.on, phase) {
        let Some(state) = journey.hooks.states.get_mut(index) else {
            continue;
        };
        let mut body = Body {
            chunk: &mut *chunk,
            end,
        };
        let flow = hosted.call(|instance| match phase == Phases::REQUEST_BODY {
            true => instance.request_body(&mut body, state),
            false => instance.response_body(&mut body, state),
        });
        if let Step::Stop(refusal) = settle(hosted, flow) {
            return Err(refusal);
        }
    }
    Ok(())
}

/// The head of an answer, the upstream's or the gateway's own.
pub fn response_head(head: &mut ResponseHeader, journey: &Journey) {
    if journey.hooks.on == 0 || head.status.is_informational() {
        return;
    }
    let Some(route) = journey.route() else { return };
    let color = journey.requested_color();
    let color = color.and_then(|id| journey.snapshot.color(id));
    for (index, hosted) in running(route, journey.hooks.on, Phases::RESPONSE_HEAD) {
        let Some(state) = journey.hooks.states.get(index) else {
            continue;
        };
        let mut response = Response {
            status: head.status,
            route: &route.name,
            color: color.map(|color| color.name.as_ref()),
            fields: Fields::new(&head.headers),
        };
        let flow = hosted.call(|instance| instance.response_head(&mut response, state));
        let changes = response.fields.into_changes();
        // It is too late for another answer: whatever it says, this one goes on.
        let _ = settle(hosted, flow);
        if is_resized(&changes) {
            for name in &DIGESTS {
                head.remove_header(name);
            }
        }
        for change in changes {
            match change {
                Change::Set(name, value) if is_open(&name) => {
                    let _ = head.insert_header(name, value);
                }
                Change::Add(name, value) if is_open(&name) => {
                    let _ = head.append_header(name, value);
                }
                // A body of another length says so by having none.
                Change::Remove(name) if is_open(&name) || name == header::CONTENT_LENGTH => {
                    head.remove_header(&name);
                }
                _ => {}
            }
        }
    }
}

/// The request is over.
pub fn log(journey: &mut Journey, status: u16, took: Duration) {
    if journey.hooks.on == 0 {
        return;
    }
    let snapshot = journey.snapshot.clone();
    let Some(route) = journey.route_id().and_then(|id| snapshot.route(id)) else {
        return;
    };
    for (index, hosted) in running(route, journey.hooks.on, Phases::LOG) {
        let Some(state) = journey.hooks.states.get_mut(index) else {
            continue;
        };
        let mut log = Log {
            status,
            took,
            route: &route.name,
            fields: Vec::new(),
        };
        hosted.call(|instance| {
            instance.log(&mut log, state);
            Flow::Continue
        });
        let fields = log.fields.into_iter();
        let named = fields.map(|(name, value)| (format!("{}_{name}", hosted.name), value));
        journey.hooks.logged.extend(named);
    }
}

fn running(
    route: &Route,
    on: u64,
    phase: Phases,
) -> impl Iterator<Item = (usize, &std::sync::Arc<Hosted>)> {
    let all = route.plugins.iter().take(PLUGINS_MAX).enumerate();
    all.filter(move |(index, hosted)| on & (1 << index) != 0 && hosted.phases.has(phase))
}

/// What the road does next.
enum Step {
    GoOn,
    Wait(Duration),
    Stop(Refusal),
}

fn settle(hosted: &Hosted, flow: Flow) -> Step {
    match flow {
        Flow::Continue => Step::GoOn,
        Flow::Delay(delay) => Step::Wait(delay),
        Flow::Answer(answer) => {
            let refusal = Refusal::new(Reason::Plugin, "a plugin has answered");
            let refusal = refusal.telling(&hosted.answered);
            let status = answer.status.as_u16();
            Step::Stop(refusal.answering(status, answer.headers, answer.body))
        }
        Flow::Wait(_) => settle(hosted, Flow::Fail("it waits where it cannot".to_owned())),
        Flow::Fail(why) => {
            hosted.series.failures.fetch_add(1, Relaxed);
            tracing::warn!(plugin = %hosted.name, why, "a plugin has failed");
            match hosted.on_error {
                OnError::Skip => Step::GoOn,
                OnError::Refuse => {
                    let refusal = Refusal::new(Reason::InternalError, "a plugin has failed");
                    Step::Stop(refusal.telling(&hosted.failed))
                }
            }
        }
    }
}

/// Whether a plugin gives the body other bytes, which it says by taking off their length.
fn is_resized(changes: &[Change]) -> bool {
    changes.contains(&Change::Remove(header::CONTENT_LENGTH))
}

/// Fields that say how a message is framed are not a plugin's to change.
fn is_open(name: &HeaderName) -> bool {
    *name != header::CONTENT_LENGTH
        && *name != header::TRANSFER_ENCODING
        && *name != header::CONNECTION
        && *name != header::UPGRADE
}

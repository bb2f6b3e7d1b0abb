//! Runs the hooks of a route's plugins, in the order in which it lists them. A panic or a failure
//! costs this request at most, as the plugin's `on_error` says.

use crate::config::plugin::OnError;
use crate::edge::headers::DIGESTS;
use crate::edge::rejection::Rejection;
use crate::plugin::Phases;
use crate::reason::Reason;
use crate::snapshot::{Hosted, Route};
use bytes::Bytes;
use http::{HeaderName, header, request, response};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tyrian_plugin::{Body, Change, Fields, Flow, Log, Response, State};

/// State of a route's plugins for one request. Nothing is allocated on routes without any.
#[derive(Debug, Default)]
pub struct Hooks {
    /// By place in the route's list.
    pub states: Vec<State>,
    /// Which of them run for this request, by bit.
    pub on: u64,
    /// A plugin changes the length of the request's body.
    pub resized: bool,
    /// Fields for the access log.
    pub logged: Vec<(String, String)>,
}

/// Most plugins of a route that run.
pub const PLUGINS_MAX: usize = 64;

impl Hooks {
    /// Whether no plugin runs for this request.
    pub const fn is_empty(&self) -> bool {
        self.on == 0
    }

    /// Shows a part of the request's body to the plugins, which may change it.
    ///
    /// # Errors
    /// The answer of a plugin, or what its failure leads to.
    pub fn request_body(
        &mut self,
        route: &Route,
        body: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Rejection> {
        self.bodies(route, body, end, Phases::REQUEST_BODY)
    }

    /// Shows a part of the answer's body to the plugins, which may change it.
    ///
    /// # Errors
    /// What breaks the answer off.
    pub fn response_body(
        &mut self,
        route: &Route,
        body: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Rejection> {
        self.bodies(route, body, end, Phases::RESPONSE_BODY)
    }

    fn bodies(
        &mut self,
        route: &Route,
        chunk: &mut Option<Bytes>,
        end: bool,
        phase: Phases,
    ) -> Result<(), Rejection> {
        for (index, hosted) in running(route, self.on, phase) {
            let Some(state) = self.states.get_mut(index) else {
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
            if let Step::Stop(rejection) = settle(hosted, flow) {
                return Err(rejection);
            }
        }
        Ok(())
    }

    /// Shows the head of an answer, the upstream's or the gateway's own, to the plugins.
    pub fn response_head(&self, route: &Route, color: Option<&str>, head: &mut response::Parts) {
        for (index, hosted) in running(route, self.on, Phases::RESPONSE_HEAD) {
            let Some(state) = self.states.get(index) else {
                continue;
            };
            let mut response = Response {
                status: head.status,
                route: &route.name,
                color,
                fields: Fields::new(&head.headers),
            };
            let flow = hosted.call(|instance| instance.response_head(&mut response, state));
            let changes = response.fields.into_changes();
            // It is too late for another answer: this one goes on, whatever the hook returns.
            let _ = settle(hosted, flow);
            change_answer(head, changes);
        }
    }

    /// Tells the plugins that the request is over.
    pub fn log(&mut self, route: &Route, status: u16, took: Duration) {
        for (index, hosted) in running(route, self.on, Phases::LOG) {
            let Some(state) = self.states.get_mut(index) else {
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
            self.logged.extend(named);
        }
    }
}

/// Makes the changes of a plugin to the head of a request.
pub fn change_request(head: &mut request::Parts, changes: Vec<Change>) {
    let open = |name: &HeaderName| is_open(name) && *name != header::HOST;
    let headers = &mut head.headers;
    if is_resized(&changes) {
        for name in &DIGESTS {
            headers.remove(name);
        }
    }
    for change in changes {
        match change {
            Change::Set(name, value) if open(&name) => drop(headers.insert(name, value)),
            Change::Add(name, value) if open(&name) => drop(headers.append(name, value)),
            Change::Remove(name) if open(&name) => drop(headers.remove(&name)),
            _ => {}
        }
    }
}

fn change_answer(head: &mut response::Parts, changes: Vec<Change>) {
    let headers = &mut head.headers;
    if is_resized(&changes) {
        for name in &DIGESTS {
            headers.remove(name);
        }
    }
    for change in changes {
        match change {
            Change::Set(name, value) if is_open(&name) => drop(headers.insert(name, value)),
            Change::Add(name, value) if is_open(&name) => drop(headers.append(name, value)),
            // A plugin that changes the length of the body removes its field.
            Change::Remove(name) if is_open(&name) || name == header::CONTENT_LENGTH => {
                headers.remove(&name);
            }
            _ => {}
        }
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

/// What follows a hook.
pub enum Step {
    GoOn,
    Wait(Duration),
    Stop(Rejection),
}

/// Returns what follows from the result of a hook.
pub fn settle(hosted: &Hosted, flow: Flow) -> Step {
    match flow {
        Flow::Continue => Step::GoOn,
        Flow::Delay(delay) => Step::Wait(delay),
        Flow::Answer(answer) => {
            let rejection = Rejection::new(Reason::Plugin, "a plugin has answered");
            let rejection = rejection.telling(&hosted.answered);
            let status = answer.status.as_u16();
            Step::Stop(rejection.answering(status, answer.headers, answer.body))
        }
        Flow::Wait(_) => settle(hosted, Flow::Fail("it waits where it cannot".to_owned())),
        Flow::Fail(why) => {
            hosted.series.failures.fetch_add(1, Relaxed);
            tracing::warn!(plugin = %hosted.name, why, "a plugin has failed");
            match hosted.on_error {
                OnError::Skip => Step::GoOn,
                OnError::Refuse => {
                    let rejection = Rejection::new(Reason::InternalError, "a plugin has failed");
                    Step::Stop(rejection.telling(&hosted.failed))
                }
            }
        }
    }
}

/// Whether a plugin changes the bytes of the body, which it says by removing their length.
pub fn is_resized(changes: &[Change]) -> bool {
    changes.contains(&Change::Remove(header::CONTENT_LENGTH))
}

/// Fields that say how a message is framed are not a plugin's to change.
fn is_open(name: &HeaderName) -> bool {
    *name != header::CONTENT_LENGTH
        && *name != header::TRANSFER_ENCODING
        && *name != header::CONNECTION
        && *name != header::UPGRADE
}

//! The two phases of a request's head, in which a plugin may wait.

use super::{PLUGINS_MAX, Step, is_open, is_resized, settle};
use crate::edge::admit::{self, Found};
use crate::edge::context::{Journey, Refusal};
use crate::edge::fields::DIGESTS;
use crate::edge::policies;
use crate::plugin::Phases;
use crate::routing::{ColorId, Decision, Outcome, RouteId, View};
use crate::snapshot::{Hosted, Route};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;
use tyrian_plugin::{Change, Flow, Request, State, Then, Waiting};

/// Longest delay that a plugin may ask for.
const DELAY_MAX: Duration = Duration::from_mins(1);
/// Longest wait of a plugin for what it asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Before anybody is asked who it is.
///
/// # Errors
/// The answer of a plugin, or what its failure leads to.
pub async fn early(
    session: &mut Session,
    journey: &mut Journey,
    found: &Found,
) -> Result<(), Refusal> {
    let route = match found {
        Found::Decided(decision) => decision.route,
        Found::Guarded(route) => Some(*route),
    };
    let Some(route) = route.filter(|id| has_plugins(journey, *id)) else {
        return Ok(());
    };
    // The answer of a plugin is the route's.
    journey.decision = Some(match found {
        Found::Decided(decision) => *decision,
        Found::Guarded(route) => policies::undecided(Some(*route)),
    });
    heads(session, journey, route, Phases::EARLY)
        .await
        .map(drop)
}

/// After all policies have let the request pass. Returns what becomes of it: a plugin may have
/// given it another color.
///
/// # Errors
/// The answer of a plugin, or what its failure leads to.
pub async fn request_head(
    session: &mut Session,
    journey: &mut Journey,
    outcome: Outcome,
) -> Result<Outcome, Refusal> {
    let route = journey.route_id().filter(|id| has_plugins(journey, *id));
    let Some(route) = route.filter(|_| !matches!(outcome, Outcome::Refuse(_))) else {
        return Ok(outcome);
    };
    if !heads(session, journey, route, Phases::REQUEST_HEAD).await? {
        return Ok(outcome);
    }
    let decision: Decision = admit::dye(session.req_header(), journey, route);
    journey.decision = Some(decision);
    Ok(decision.outcome)
}

fn has_plugins(journey: &Journey, route: RouteId) -> bool {
    let route = journey.snapshot.route(route);
    route.is_some_and(|route| !route.plugins.is_empty())
}

/// What a hook has come to.
struct Looked {
    flow: Flow,
    /// The color that it gives the request.
    color: Option<ColorId>,
    changes: Vec<Change>,
}

/// Runs one of the two phases of a request's head. Returns whether its color has changed.
async fn heads(
    session: &mut Session,
    journey: &mut Journey,
    id: RouteId,
    phase: Phases,
) -> Result<bool, Refusal> {
    let snapshot = journey.snapshot.clone();
    let Some(route) = snapshot.route(id) else {
        return Ok(false);
    };
    let mut hooks = std::mem::take(&mut journey.hooks);
    hooks
        .states
        .resize_with(route.plugins.len(), State::default);
    hooks.on = 0;
    let mut recolored = false;
    let mut refusal = None;
    let plugins = route.plugins.iter().take(PLUGINS_MAX).enumerate();
    for ((index, hosted), state) in plugins.zip(&mut hooks.states) {
        let turn = Turn {
            route,
            hosted,
            phase,
        };
        let Some(end) = turn.take(session, journey, state).await else {
            continue;
        };
        hooks.on |= 1 << index;
        hooks.resized |= end.resized;
        recolored |= end.recolored;
        match end.step {
            Step::GoOn => {}
            Step::Wait(delay) => tokio::time::sleep(delay.min(DELAY_MAX)).await,
            Step::Stop(stop) => {
                refusal = Some(stop);
                break;
            }
        }
    }
    journey.hooks = hooks;
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(recolored),
    }
}

/// A plugin's turn at the head of a request.
struct Turn<'t> {
    route: &'t Route,
    hosted: &'t Hosted,
    phase: Phases,
}

/// How a turn ends.
struct Ended {
    step: Step,
    recolored: bool,
    resized: bool,
}

impl Turn<'_> {
    /// Calls the hook, and what it goes on with after each wait. `None`: the plugin's `when` leaves
    /// this request out.
    async fn take(
        &self,
        session: &mut Session,
        journey: &mut Journey,
        state: &mut State,
    ) -> Option<Ended> {
        let view = admit::view(session.req_header(), journey);
        if !self.hosted.wants(&view) {
            return None;
        }
        let mut ended = Ended {
            step: Step::GoOn,
            recolored: false,
            resized: false,
        };
        if !self.hosted.phases.has(self.phase) {
            return Some(ended);
        }
        let mut looked = self.look(&view, journey, |request| {
            self.hosted
                .call(|instance| match self.phase == Phases::EARLY {
                    true => instance.early(request, state),
                    false => instance.request_head(request, state),
                })
        });
        loop {
            ended.resized |= is_resized(&looked.changes);
            change_request(session.req_header_mut(), looked.changes);
            if looked.color.is_some() {
                journey.vouched = looked.color;
                ended.recolored = true;
            }
            let Flow::Wait(waiting) = looked.flow else {
                ended.step = settle(self.hosted, looked.flow);
                return Some(ended);
            };
            let then = match wait(self.hosted, waiting).await {
                Ok(then) => then,
                Err(why) => {
                    ended.step = settle(self.hosted, Flow::Fail(why));
                    return Some(ended);
                }
            };
            let view = admit::view(session.req_header(), journey);
            looked = self.look(&view, journey, |request| {
                self.hosted.call(|_| then(request, state))
            });
        }
    }

    /// Shows the request to a hook.
    fn look(
        &self,
        view: &View,
        journey: &Journey,
        hook: impl FnOnce(&mut Request) -> Flow,
    ) -> Looked {
        let color = journey.requested_color();
        let color = color.and_then(|id| journey.snapshot.color(id));
        let mut request = Request::new(view.method, view.path, view.headers);
        request.host = view.host;
        request.query = view.query;
        request.client = view.client;
        request.route = &self.route.name;
        request.color = color.map(|color| color.name.as_ref());
        request.claims = view.claims;
        let flow = hook(&mut request);
        let wanted = request.recolored();
        Looked {
            flow,
            color: wanted.and_then(|name| journey.snapshot.table.color_named(name)),
            changes: request.fields.into_changes(),
        }
    }
}

/// Waits for what a plugin asks for; whoever panics or takes too long has failed.
async fn wait(hosted: &Hosted, waiting: Waiting) -> Result<Then, String> {
    let waiting = AssertUnwindSafe(waiting.into_future()).catch_unwind();
    match timeout(WAIT_MAX, waiting).await {
        Ok(Ok(then)) => Ok(then),
        Ok(Err(_)) => {
            hosted.series.panics.fetch_add(1, Relaxed);
            Err("it panicked while it waited".to_owned())
        }
        Err(_) => Err(format!("it waited longer than {WAIT_MAX:?}")),
    }
}

fn change_request(head: &mut RequestHeader, changes: Vec<Change>) {
    let open = |name: &HeaderName| is_open(name) && *name != header::HOST;
    if is_resized(&changes) {
        for name in &DIGESTS {
            head.remove_header(name);
        }
    }
    for change in changes {
        let _: Option<HeaderValue> = match change {
            Change::Set(name, value) if open(&name) => {
                let _ = head.insert_header(name, value);
                None
            }
            Change::Add(name, value) if open(&name) => {
                let _ = head.append_header(name, value);
                None
            }
            Change::Remove(name) if open(&name) => head.remove_header(&name),
            _ => None,
        };
    }
}

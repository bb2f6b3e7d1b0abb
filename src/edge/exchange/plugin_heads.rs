//! The two phases of a request's head, in which a plugin may wait.

use super::admission::{self, Found};
use super::context::RequestContext;
use super::policies;
use crate::edge::filters::plugins::{PLUGINS_MAX, Step, change_request, is_resized, settle};
use crate::edge::rejection::Rejection;
use crate::plugin::Phases;
use crate::routing::{ColorId, Decision, Outcome, RouteId, View};
use crate::snapshot::{Hosted, Route};
use futures::FutureExt;
use http::request::Parts;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;
use tyrian_plugin::{Change, Flow, Request, State, Then, Waiting};

/// Longest delay that a plugin may ask for.
const DELAY_MAX: Duration = Duration::from_mins(1);
/// Longest wait of a plugin for what it asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Runs the phase before authentication.
///
/// # Errors
/// The answer of a plugin, or what its failure leads to.
pub async fn early(
    head: &mut Parts,
    context: &mut RequestContext,
    found: &Found,
) -> Result<(), Rejection> {
    let route = match found {
        Found::Decided(decision) => decision.route,
        Found::Guarded(route) => Some(*route),
    };
    let Some(route) = route.filter(|id| has_plugins(context, *id)) else {
        return Ok(());
    };
    // The answer of a plugin is the route's.
    context.decision = Some(match found {
        Found::Decided(decision) => *decision,
        Found::Guarded(route) => policies::undecided(Some(*route)),
    });
    heads(head, context, route, Phases::EARLY).await.map(drop)
}

/// After all policies have let the request pass. Returns what becomes of it: a plugin may have
/// given it another color.
///
/// # Errors
/// The answer of a plugin, or what its failure leads to.
pub async fn request_head(
    head: &mut Parts,
    context: &mut RequestContext,
    outcome: Outcome,
) -> Result<Outcome, Rejection> {
    let route = context.route_id().filter(|id| has_plugins(context, *id));
    let Some(route) = route.filter(|_| !matches!(outcome, Outcome::Refuse(_))) else {
        return Ok(outcome);
    };
    if !heads(head, context, route, Phases::REQUEST_HEAD).await? {
        return Ok(outcome);
    }
    let decision: Decision = admission::dye(head, context, route);
    context.decision = Some(decision);
    Ok(decision.outcome)
}

fn has_plugins(context: &RequestContext, route: RouteId) -> bool {
    let route = context.snapshot.route(route);
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
    head: &mut Parts,
    context: &mut RequestContext,
    id: RouteId,
    phase: Phases,
) -> Result<bool, Rejection> {
    let snapshot = context.snapshot.clone();
    let Some(route) = snapshot.route(id) else {
        return Ok(false);
    };
    let mut hooks = std::mem::take(&mut context.hooks);
    hooks
        .states
        .resize_with(route.plugins.len(), State::default);
    hooks.on = 0;
    let mut recolored = false;
    let mut rejection = None;
    let plugins = route.plugins.iter().take(PLUGINS_MAX).enumerate();
    for ((index, hosted), state) in plugins.zip(&mut hooks.states) {
        let turn = Turn {
            route,
            hosted,
            phase,
        };
        let Some(end) = turn.take(head, context, state).await else {
            continue;
        };
        hooks.on |= 1 << index;
        hooks.resized |= end.resized;
        recolored |= end.recolored;
        match end.step {
            Step::GoOn => {}
            Step::Wait(delay) => tokio::time::sleep(delay.min(DELAY_MAX)).await,
            Step::Stop(stop) => {
                rejection = Some(stop);
                break;
            }
        }
    }
    context.hooks = hooks;
    match rejection {
        Some(rejection) => Err(rejection),
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
        head: &mut Parts,
        context: &mut RequestContext,
        state: &mut State,
    ) -> Option<Ended> {
        let view = admission::view(head, context);
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
        let mut looked = self.look(&view, context, |request| {
            self.hosted
                .call(|instance| match self.phase == Phases::EARLY {
                    true => instance.early(request, state),
                    false => instance.request_head(request, state),
                })
        });
        loop {
            ended.resized |= is_resized(&looked.changes);
            change_request(head, looked.changes);
            if looked.color.is_some() {
                context.vouched = looked.color;
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
            let view = admission::view(head, context);
            looked = self.look(&view, context, |request| {
                self.hosted.call(|_| then(request, state))
            });
        }
    }

    /// Shows the request to a hook.
    fn look(
        &self,
        view: &View,
        context: &RequestContext,
        hook: impl FnOnce(&mut Request) -> Flow,
    ) -> Looked {
        let color = context.requested_color();
        let color = color.and_then(|id| context.snapshot.color(id));
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
            color: wanted.and_then(|name| context.snapshot.table.color_named(name)),
            changes: request.fields.into_changes(),
        }
    }
}

/// Waits for what a plugin asks for. A plugin that panics or takes too long has failed.
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

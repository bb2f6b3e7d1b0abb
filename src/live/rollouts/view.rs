//! Shares and rollouts as the API and the webhook tell of them.

use super::window::Window;
use crate::config::Name;
use crate::config::rollout::Rollout;
use crate::config::units::Percent;
use crate::rollout::{Event, Moment, Override, Phase, Sides, State};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest wait for a webhook's answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a webhook is sent.
#[derive(Debug, Clone, Serialize)]
pub struct Post {
    pub color: Name,
    #[serde(flatten)]
    pub event: Event,
    pub dry_run: bool,
    pub met: Met,
}

/// Who has met the color's version.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Met {
    /// Of the users, at most.
    pub share: Percent,
    pub requests: u64,
    pub failures: u64,
}

/// A color's share and rollout, as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    pub color: Name,
    /// What holds.
    pub share: Percent,
    pub file: Percent,
    /// Whether the two differ.
    pub drift: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Override>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Progress>,
}

/// Where a rollout is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    pub steps: Vec<Percent>,
    pub every_s: f64,
    pub dry_run: bool,
    /// When the next step may be taken.
    pub next_at: Option<Moment>,
    pub met: Met,
    /// Requests and failures of both sides in this window.
    pub window: Counts,
    #[serde(flatten)]
    pub state: State,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    pub color_requests: u64,
    pub color_failures: u64,
    pub default_requests: u64,
    pub default_failures: u64,
}

impl Progress {
    /// Where a rollout is, with the window that is open.
    pub fn of(plan: &Rollout, mut state: State, open: Option<&Window>) -> Self {
        let mut window = Counts::default();
        if let Some(open) = open {
            let sides = open.sides();
            state.met(&sides);
            for Sides { color, default } in sides {
                window.color_requests += u64::from(color.requests);
                window.color_failures += u64::from(color.failures);
                window.default_requests += u64::from(default.requests);
                window.default_failures += u64::from(default.failures);
            }
        }
        let running = state.phase == Phase::Running;
        Self {
            steps: plan.steps.clone(),
            every_s: plan.every.as_secs_f64(),
            dry_run: plan.dry_run,
            next_at: running.then(|| state.since.plus(plan.every)),
            met: Met::of(&state),
            window,
            state,
        }
    }
}

impl Met {
    pub fn of(state: &State) -> Self {
        Self {
            share: state.highest,
            requests: state.requests,
            failures: state.failures,
        }
    }
}

/// Posts events one after the other, so that they arrive in order.
pub async fn post_all(mut queue: mpsc::Receiver<(String, Post)>) {
    while let Some((url, post)) = queue.recv().await {
        let sent = async {
            let client = crate::outbound::client(WEBHOOK_TIMEOUT, None)?;
            let body = serde_json::to_vec(&post).map_err(|error| error.to_string())?;
            let kind = http::header::CONTENT_TYPE;
            let sent = client
                .post(&url)
                .header(kind, "application/json")
                .body(body);
            let answer = sent.send().await.map_err(crate::outbound::words)?;
            match answer.status().is_success() {
                true => Ok(()),
                false => Err(format!("it says {}", answer.status())),
            }
        };
        if let Err(error) = sent.await {
            tracing::warn!(color = %post.color, error, "the webhook was not told");
        }
    }
}

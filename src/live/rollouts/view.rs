//! Shares and rollouts as the API and the webhook tell of them.

use super::window::Window;
use crate::config::Name;
use crate::config::rollout::{Guard, Rollout};
use crate::config::units::Percent;
use crate::rollout::{Event, Moment, Numbers, Override, Phase, State};
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
    /// What the guard demands; `None`: time alone decides.
    pub guard: Option<Limits>,
    /// `abort` or `pause`.
    pub on_breach: String,
    /// What both versions have done in the window that is open; all zero between windows.
    pub window: Numbers,
    #[serde(flatten)]
    pub state: State,
}

/// The limits of a guard.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    pub max_error_rate: Option<Percent>,
    pub max_p99_ms: Option<f64>,
    pub worse_than_default: Option<Percent>,
    pub min_requests: u32,
}

impl Limits {
    fn of(guard: &Guard) -> Self {
        Self {
            max_error_rate: guard.max_error_rate,
            max_p99_ms: guard.max_p99.map(|max| max.as_secs_f64() * 1e3),
            worse_than_default: guard.worse_than_default,
            min_requests: guard.min_requests,
        }
    }
}

impl Progress {
    /// Where a rollout is, with the window that is open.
    pub fn of(plan: &Rollout, mut state: State, open: Option<&Window>) -> Self {
        let mut window = Numbers::default();
        if let Some(open) = open {
            state.met(&open.sides());
            window = open.numbers();
        }
        let running = state.phase == Phase::Running;
        Self {
            steps: plan.steps.clone(),
            every_s: plan.every.as_secs_f64(),
            dry_run: plan.dry_run,
            next_at: running.then(|| state.since.plus(plan.every)),
            met: Met::of(&state),
            guard: plan.guard.as_ref().map(Limits::of),
            on_breach: plan.on_breach.to_string(),
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

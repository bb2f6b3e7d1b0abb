//! `/v1/rollouts`: shares and rollouts, to see and to change.

use super::Admin;
use super::api::Problem;
use super::audit::Deed;
use crate::config::units::percent;
use crate::live::rollouts::{Refused, View};
use crate::rollout::Command;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;

pub async fn list(State(admin): State<Admin>) -> Json<Value> {
    let snapshot = admin.live.current.load_full();
    Json(json!({ "rollouts": admin.live.rollouts.list(&snapshot) }))
}

pub async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<View>, Problem> {
    let snapshot = admin.live.current.load_full();
    let view = admin.live.rollouts.view(&snapshot, &name);
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no rollout `{name}`"),
        )
    };
    view.map(Json).ok_or_else(missing)
}

/// `{ "action": "start" | "pause" | "resume" | "promote" | "abort" }`, or
/// `{ "action": "set", "share": "5%" }`, or `{ "action": "clear" }`: the file's share again.
pub async fn act(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(Extension<Deed>, Json<View>), Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let snapshot = admin.live.current.load_full();
    let rollouts = &admin.live.rollouts;
    let deed = Deed(format!("rollout {name}: {wanted}"));
    let done = match wanted {
        Wanted::Set { share } => {
            let share =
                percent(&share).ok_or_else(|| bad(format!("`{share}` is no percentage")))?;
            rollouts.set(&snapshot, &name, Some(share))
        }
        Wanted::Clear => rollouts.set(&snapshot, &name, None),
        Wanted::Start => rollouts.command(&snapshot, &name, Command::Start),
        Wanted::Pause => rollouts.command(&snapshot, &name, Command::Pause),
        Wanted::Resume => rollouts.command(&snapshot, &name, Command::Resume),
        Wanted::Promote => rollouts.command(&snapshot, &name, Command::Promote),
        Wanted::Abort => rollouts.command(&snapshot, &name, Command::Abort),
    };
    let done = done.map(|view| (Extension(deed), Json(view)));
    done.map_err(|refused| match refused {
        Refused::Unknown(why) => Problem::new(StatusCode::NOT_FOUND, why),
        Refused::Conflict(why) => Problem::new(StatusCode::CONFLICT, why),
    })
}

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
enum Wanted {
    Start,
    Pause,
    Resume,
    Promote,
    Abort,
    Set { share: String },
    Clear,
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Set { share } => return write!(out, "set {share}"),
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Clear => "clear",
        })
    }
}

//! `tyrian rollout`

use super::client::{Target, parse};
use super::{Exit, Output, print, print_json};
use serde_json::{Value, json};
use std::fmt::Write;

/// Show and move the shares of colors, without touching the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian rollout status next
  tyrian rollout set next 5%")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: Output,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Where rollouts are, and what they found
    Status { color: Option<String> },
    /// Start a rollout
    Start { color: String },
    /// Stay at this step
    Pause { color: String },
    /// Go on
    Resume { color: String },
    /// Take the next step now
    Promote { color: String },
    /// Share to zero, now
    Abort { color: String },
    /// Set a share by hand; a rollout under way pauses
    Set { color: String, share: String },
    /// The file's share again
    Clear { color: String },
}

pub fn run(args: &Args) -> Exit {
    let (color, body) = match &args.action {
        Action::Status { color } => return status(args, color.as_deref()),
        Action::Start { color } => (color, json!({ "action": "start" })),
        Action::Pause { color } => (color, json!({ "action": "pause" })),
        Action::Resume { color } => (color, json!({ "action": "resume" })),
        Action::Promote { color } => (color, json!({ "action": "promote" })),
        Action::Abort { color } => (color, json!({ "action": "abort" })),
        Action::Set { color, share } => (color, json!({ "action": "set", "share": share })),
        Action::Clear { color } => (color, json!({ "action": "clear" })),
    };
    let answer = args
        .target
        .client()
        .post(&format!("/v1/rollouts/{color}"), &body);
    match answer.and_then(|(status, text)| parse(status, &text)) {
        Ok(view) => show(args, &view),
        Err(failure) => failure.tell(),
    }
}

fn status(args: &Args, color: Option<&str>) -> Exit {
    let path = match color {
        Some(color) => format!("/v1/rollouts/{color}"),
        None => "/v1/rollouts".to_owned(),
    };
    match args.target.client().get_json(&path) {
        Ok(found) => show(args, &found),
        Err(failure) => failure.tell(),
    }
}

fn show(args: &Args, found: &Value) -> Exit {
    if args.output == Output::Json {
        print_json(found);
        return Exit::Ok;
    }
    let views = match found["rollouts"].as_array() {
        Some(all) => all.as_slice(),
        None => std::slice::from_ref(found),
    };
    for view in views {
        print(&(line(view) + "\n"));
        print(&details(&view["rollout"]));
    }
    Exit::Ok
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// A share in a line, with how it differs from the file.
pub fn line(view: &Value) -> String {
    let mut line = format!("{} {}", text(&view["color"]), text(&view["share"]));
    if view["drift"] == true {
        let by = text(&view["set"]["by"]);
        let _ = write!(line, "; {} in the file (set by {by})", text(&view["file"]));
    }
    let rollout = &view["rollout"];
    if let Some(phase) = rollout["phase"].as_str() {
        let dry = if rollout["dry_run"] == true {
            ", dry run"
        } else {
            ""
        };
        let _ = write!(line, "; rollout {phase}{dry}");
    }
    line
}

fn details(rollout: &Value) -> String {
    let mut out = String::new();
    if !rollout.is_object() || rollout["phase"] == "idle" {
        return out;
    }
    let steps = rollout["steps"].as_array().into_iter().flatten().map(text);
    let _ = writeln!(out, "  steps    {}", steps.collect::<Vec<_>>().join(" "));
    let _ = writeln!(out, "  because  {}", text(&rollout["reason"]));
    if let Some(waiting) = rollout["waiting"].as_str() {
        let _ = writeln!(out, "  waits    {waiting}");
    }
    if let Some(next) = rollout["next_at"].as_str() {
        let _ = writeln!(out, "  next     {next}");
    }
    let met = &rollout["met"];
    let _ = writeln!(
        out,
        "  met by   {} of users at most: {} requests, {} failed",
        text(&met["share"]),
        met["requests"],
        met["failures"]
    );
    for event in rollout["events"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {} {} {} → {}: {}",
            text(&event["time"]),
            text(&event["kind"]),
            text(&event["from"]),
            text(&event["to"]),
            text(&event["reason"])
        );
    }
    out
}

//! `tyrian reload`, `status`, `routes`, `healthcheck`: verbs that talk to a running gateway.

use super::client::{Target, parse};
use super::{Exit, Output, print, print_json};
use crate::admin::view;
use crate::live::{self, Source};
use crate::replay::{self, Report};
use serde_json::{Value, json};

/// Talk to the running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian status
  tyrian status -o json")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// List routes: the running gateway's, or with -c those of a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian routes
  tyrian routes -c tyrian.toml -o json")]
pub struct RoutesArgs {
    #[command(flatten)]
    target: Target,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Exit 0 when the local gateway is ready, 1 when it is not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian healthcheck
  tyrian healthcheck --admin 127.0.0.1:9981")]
pub struct HealthArgs {
    #[command(flatten)]
    target: Target,
}

/// Have the running gateway read its configuration again, and print its verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian reload
  tyrian reload --confirm 60s && ./look && tyrian config confirm")]
pub struct ReloadArgs {
    /// Go back after this time, or as soon as a route gets worse, unless `tyrian config confirm`
    #[arg(long, value_name = "TIME")]
    confirm: Option<String>,
    /// Whatever `server.reload_guard` says
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: Target,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub fn reload(args: &ReloadArgs) -> Exit {
    let mut wish = json!({ "force": args.force });
    if let Some(confirm) = &args.confirm {
        wish["confirm"] = confirm.as_str().into();
    }
    let answer = args.target.client().post("/v1/config/reload", &wish);
    let verdict = match answer.and_then(|(status, text)| parse(status, &text)) {
        Ok(verdict) => verdict,
        Err(failure) => return failure.tell(),
    };
    show_verdict(&verdict, args.output)
}

/// Prints a verdict and gives its exit.
pub fn show_verdict(verdict: &Value, output: Output) -> Exit {
    let outcome = verdict["outcome"].as_str().unwrap_or("");
    if output == Output::Json {
        print_json(verdict);
    } else {
        eprint!("{}", verdict["rendered"].as_str().unwrap_or(""));
        let generation = &verdict["generation"];
        match outcome {
            "applied" => print(&format!("generation {generation} is live\n")),
            "unchanged" => print(&format!(
                "nothing has changed; generation {generation} is live\n"
            )),
            _ => print(&format!("refused; still serving generation {generation}\n")),
        }
        print(&changes(&verdict["changes"]));
        print(&replayed(&verdict["replay"]));
        if let Some(until) = verdict["trial"]["until"].as_str() {
            let back = &verdict["trial"]["back_to"];
            print(&format!(
                "on trial: goes back to generation {back} at {until} unless `tyrian config confirm`\n"
            ));
        }
    }
    if outcome == "rejected" {
        Exit::InvalidConfig
    } else {
        Exit::Ok
    }
}

/// What changes for recent requests; empty where that was not asked.
pub fn replayed(report: &Value) -> String {
    let report = serde_json::from_value::<Report>(report.clone());
    report.map_or_else(|_| String::new(), |report| replay::table(&report))
}

/// Changes, one a line.
pub fn changes(changes: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let line = |change: &Value| {
        let key = text(&change["key"]);
        let restart = if change["restart"] == true {
            "  (needs a restart)"
        } else {
            ""
        };
        match (&change["before"], &change["after"]) {
            (Value::Null, after) => format!("  + {key}  {}{restart}\n", text(after)),
            (before, Value::Null) => format!("  - {key}  {}{restart}\n", text(before)),
            (before, after) => format!("  ~ {key}  {} → {}{restart}\n", text(before), text(after)),
        }
    };
    changes
        .as_array()
        .map(|all| all.iter().map(line).collect())
        .unwrap_or_default()
}

/// Warnings and notes about the configuration, and what is wrong around it.
fn worth_a_look(status: &Value) -> Vec<(&str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let list = |name: &str| status[name].as_array().into_iter().flatten();
    let warnings = list("warnings").map(|one| {
        (
            one["severity"].as_str().unwrap_or("warning"),
            format!("{} {}", text(&one["code"]), text(&one["message"])),
        )
    });
    let findings = list("findings").map(|one| ("finding", text(one)));
    warnings.chain(findings).collect()
}

/// Breakers that are not closed, and endpoints that get no requests, with since when and why.
fn out_of_order(status: &Value) -> Vec<(&'static str, String)> {
    let list = |name: &str| status[name].as_array().into_iter().flatten();
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    // Words before a value that may not be known.
    let known = |words: &str, value: &Value| {
        let value = value.as_str().map(|value| format!("{words}{value}"));
        value.unwrap_or_default()
    };
    let breakers = list("breakers").map(|one| {
        let numbers = match one["requests"].as_u64() {
            None | Some(0) => String::new(),
            Some(requests) => format!(
                " ({} failed, {} slow of {requests})",
                one["failed"], one["slow"]
            ),
        };
        let row = format!(
            "{}/{} {}{}{}{numbers}",
            word(&one["service"]),
            word(&one["version"]),
            word(&one["state"]),
            known(" since ", &one["since"]),
            known(": ", &one["cause"]),
        );
        ("breaker", row)
    });
    let endpoints = list("endpoints_out").map(|one| {
        let row = format!(
            "{}/{} {} {}{}{}{}",
            word(&one["service"]),
            word(&one["version"]),
            word(&one["endpoint"]),
            word(&one["state"]),
            known(" since ", &one["since"]),
            known(" until ", &one["until"]),
            known(": ", &one["cause"]),
        );
        ("down", row)
    });
    breakers.chain(endpoints).collect()
}

/// Where the state is, and why the gateway does not write there.
fn kept_in(state: &Value) -> String {
    let directory = state["directory"].as_str();
    let directory = directory.unwrap_or("in memory only").to_owned();
    match state["reason"].as_str() {
        Some(reason) => format!("{directory} (read only: {reason})"),
        None => directory,
    }
}

pub fn status(args: &Args) -> Exit {
    let status = match args.target.client().get_json("/v1/status") {
        Ok(status) => status,
        Err(failure) => return failure.tell(),
    };
    if args.output == Output::Json {
        print_json(&status);
        return Exit::Ok;
    }
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    let mut rows = vec![
        ("version", text(&status["version"])),
        ("generation", text(&status["generation"])),
        ("uptime", format!("{} s", status["uptime_s"])),
        ("config", text(&status["config"]["path"])),
        ("state", kept_in(&status["state"])),
        ("draining", text(&status["draining"])),
        ("routes", text(&status["routes"])),
        ("services", text(&status["services"])),
        ("colors", text(&status["colors"])),
    ];
    if let Some(generation) = status["config"]["rolled_back_to"].as_u64() {
        rows.push((
            "drift",
            format!("rolled back to generation {generation}; the file differs"),
        ));
    }
    if status["config"]["applied"] == true {
        rows.push(("drift", "a text was applied; the file differs".to_owned()));
    }
    if let Some(time) = status["config"]["rejected"]["time"].as_str() {
        let words = format!("what came at {time} was not sound; see `tyrian check`");
        rows.push(("refused", words));
    }
    rows.extend(worth_a_look(&status));
    if let Some(until) = status["config"]["trial"]["until"].as_str() {
        rows.push(("on trial", format!("until {until}; tyrian config confirm")));
    }
    for share in status["shares"].as_array().into_iter().flatten() {
        rows.push(("share", super::rollout::line(share)));
    }
    for expiring in status["expiring"].as_array().into_iter().flatten() {
        let (kind, name) = (text(&expiring["kind"]), text(&expiring["name"]));
        rows.push((
            "expires",
            format!("{kind} {name} {}", text(&expiring["expires"])),
        ));
    }
    for listener in status["listeners"].as_array().into_iter().flatten() {
        rows.push((
            "listener",
            format!("{} {}", text(&listener["name"]), text(&listener["address"])),
        ));
    }
    rows.extend(out_of_order(&status));
    for (name, value) in rows {
        print(&format!(
            "{name:<12} {value}
"
        ));
    }
    Exit::Ok
}

pub fn routes(args: &RoutesArgs) -> Exit {
    let listed = match args.target.config_path() {
        Some(path) => match live::check(&Source::Path(path)) {
            Ok((loaded, ..)) => loaded
                .config
                .map(|config| view::routes(&config))
                .unwrap_or_default(),
            Err(loaded) => {
                eprint!(
                    "{}",
                    loaded.render_human(super::wants_color(&std::io::stderr()))
                );
                return Exit::InvalidConfig;
            }
        },
        None => match args.target.client().get_json("/v1/routes") {
            Ok(listed) => listed,
            Err(failure) => return failure.tell(),
        },
    };
    if args.output == Output::Json {
        print_json(&listed);
        return Exit::Ok;
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for route in listed["routes"].as_array().into_iter().flatten() {
        let (name, matches) = (text(&route["name"]), text(&route["match"]));
        print(&format!(
            "{name:<20} {matches:<40} {:<24} {}\n",
            text(&route["target"]),
            text(&route["at"])
        ));
    }
    Exit::Ok
}

pub fn healthcheck(args: &HealthArgs) -> Exit {
    match args.target.probes().get("/readyz") {
        Ok((200, _)) => Exit::Ok,
        Ok((_, text)) => {
            eprint!("not ready: {text}");
            Exit::Failed
        }
        Err(failure) => {
            failure.tell();
            Exit::Failed
        }
    }
}

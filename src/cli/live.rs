//! `tyrian reload`, `status`, `routes`, `healthcheck`: verbs that talk to a running gateway.

use super::client::{Target, parse};
use super::{Exit, Output, print, print_json};
use crate::admin::view;
use crate::live::{self, Source};
use serde_json::{Value, json};

/// Talk to the running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian reload
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

pub fn reload(args: &Args) -> Exit {
    let answer = args.target.client().post("/v1/config/reload", &json!({}));
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
    }
    if outcome == "rejected" {
        Exit::InvalidConfig
    } else {
        Exit::Ok
    }
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
    for share in status["shares"].as_array().into_iter().flatten() {
        rows.push(("share", super::rollout::line(share)));
    }
    for listener in status["listeners"].as_array().into_iter().flatten() {
        rows.push((
            "listener",
            format!("{} {}", text(&listener["name"]), text(&listener["address"])),
        ));
    }
    for endpoint in status["endpoints_down"].as_array().into_iter().flatten() {
        rows.push(("down", text(endpoint)));
    }
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

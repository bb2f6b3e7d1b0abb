//! `tyrian config`

use super::client::{Target, parse};
use super::live::show_verdict;
use super::{Exit, Output, print, print_json, schema};
use clap::Subcommand;
use serde_json::{Value, json};

/// Show the running configuration, its history, or its schema; roll it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian config show
  tyrian config rollback 12")]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every value that is set, with where it comes from
    Show,
    /// The JSON Schema of the format
    Schema(schema::Args),
    /// The generations that can be returned to
    History,
    /// Keep the generation that `reload --confirm` has put on trial
    Confirm,
    /// Return to a generation
    Rollback {
        /// Its number
        generation: u64,
    },
}

pub fn run(args: &Args) -> Exit {
    let client = args.target.client();
    match &args.what {
        What::Schema(args) => schema::run(args),
        What::Show => match client.get("/v1/config") {
            Ok((_, text)) => {
                print(&text);
                Exit::Ok
            }
            Err(failure) => failure.tell(),
        },
        What::History => match client.get_json("/v1/config/history") {
            Ok(history) => show_history(&history, args.output),
            Err(failure) => failure.tell(),
        },
        What::Confirm => {
            let answer = client.post("/v1/config/confirm", &json!({}));
            match answer.and_then(|(status, text)| parse(status, &text)) {
                Ok(kept) => {
                    print(&format!("generation {} stays\n", kept["generation"]));
                    Exit::Ok
                }
                Err(failure) => failure.tell(),
            }
        }
        What::Rollback { generation } => {
            let answer = client.post("/v1/config/rollback", &json!({ "generation": generation }));
            match answer.and_then(|(status, text)| parse(status, &text)) {
                Ok(verdict) => show_verdict(&verdict, args.output),
                Err(failure) => failure.tell(),
            }
        }
    }
}

fn show_history(history: &Value, output: Output) -> Exit {
    if output == Output::Json {
        print_json(history);
        return Exit::Ok;
    }
    for entry in history["generations"].as_array().into_iter().flatten() {
        let mark = if entry["generation"] == history["current"] {
            "*"
        } else {
            " "
        };
        let changes = entry["changes"].as_array().map_or(0, Vec::len);
        let text = |key: &str| entry[key].as_str().unwrap_or("").to_owned();
        print(&format!(
            "{mark} {:>5}  {}  {:<12} {changes} changes\n",
            entry["generation"],
            text("time"),
            text("trigger"),
        ));
    }
    Exit::Ok
}

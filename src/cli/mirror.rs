//! `tyrian mirror`

use super::client::Target;
use super::{Exit, Output, print, print_json};
use serde_json::Value;
use std::fmt::Write;

/// Compare what mirrors answer with what the originals did.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian mirror
  tyrian mirror cart -o json")]
pub struct Args {
    /// Of this route only
    route: Option<String>,
    #[command(flatten)]
    target: Target,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Exit 1: some answers differ by more than noise.
pub fn run(args: &Args) -> Exit {
    let found = match args.target.client().get_json("/v1/mirrors") {
        Ok(found) => found,
        Err(failure) => return failure.tell(),
    };
    let all = found["mirrors"].as_array();
    let wanted = |mirror: &&Value| {
        let mut route = args.route.iter();
        route.all(|route| mirror["route"] == route.as_str())
    };
    let mirrors: Vec<&Value> = all.into_iter().flatten().filter(wanted).collect();
    if let (Some(route), true) = (&args.route, mirrors.is_empty()) {
        eprintln!("error: route `{route}` has no mirror");
        return Exit::Failed;
    }
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "mirrors": mirrors })),
        Output::Table => mirrors.iter().for_each(|mirror| print(&table(mirror))),
    }
    let rows = mirrors
        .iter()
        .filter_map(|mirror| mirror["compared"]["differ"].as_array());
    match rows.flatten().any(|row| row["beyond_noise"] == true) {
        true => Exit::Failed,
        false => Exit::Ok,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn table(mirror: &Value) -> String {
    let mut out = text(&mirror["route"]).to_owned() + " → " + text(&mirror["service"]);
    if let Some(version) = mirror["version"].as_str() {
        let _ = write!(out, "/{version}");
    }
    let _ = writeln!(
        out,
        "  {} of requests: {} sent, {} failed, {} dropped",
        text(&mirror["percent"]),
        mirror["sent"],
        mirror["failed"],
        mirror["dropped"],
    );
    let compared = &mirror["compared"];
    if compared.is_null() {
        out.push_str("  not compared: add `compare = {}`\n");
        return out;
    }
    let (copies, noise) = (&compared["copies"], &compared["noise"]);
    let _ = writeln!(
        out,
        "  {copies} compared, {noise} of them asked twice, since {}; {} unfinished",
        text(&compared["since"]),
        compared["unfinished"]
    );
    let _ = writeln!(out, "  {:24}{:>18}{:>18}", "differ in", "copies", "noise");
    for row in compared["differ"].as_array().into_iter().flatten() {
        let beyond = match row["beyond_noise"].as_bool() {
            Some(true) => "  beyond noise",
            Some(false) => "",
            None => "  noise unknown",
        };
        let _ = writeln!(
            out,
            "  {:24}{:>18}{:>18}{beyond}",
            text(&row["what"]),
            share(&row["copies"], copies),
            share(&row["noise"], noise),
        );
    }
    for pair in compared["statuses"].as_array().into_iter().flatten() {
        let (original, copy) = (&pair["original"], &pair["copy"]);
        let _ = writeln!(out, "    status {original} → {copy}: {}", pair["count"]);
    }
    for (name, q) in [("median", "p50_ms"), ("p99", "p99_ms")] {
        let of = |side: &str| match compared["latency"][side][q].as_f64() {
            Some(ms) => format!("{ms:.1}ms"),
            None => "unknown".to_owned(),
        };
        let (original, copy) = (of("original"), of("copy"));
        let _ = writeln!(
            out,
            "  {name:24}{copy:>18}{:>18}  original {original}",
            of("noise")
        );
    }
    for example in compared["examples"].as_array().into_iter().flatten() {
        let differs = example["differs"].as_array().into_iter().flatten();
        let differs: Vec<&str> = differs.map(text).collect();
        let _ = writeln!(
            out,
            "    {} {} {}: {}",
            text(&example["at"]),
            text(&example["method"]),
            text(&example["path"]),
            differs.join(", ")
        );
    }
    out
}

fn share(part: &Value, whole: &Value) -> String {
    let of = |value: &Value| value.as_f64().unwrap_or(0.0);
    format!("{part} ({:.2}%)", of(part) * 100.0 / of(whole).max(1.0))
}

//! `tyrian tap`: single requests as they end.

use super::client::Target;
use super::{Exit, print, wants_color};
use crate::config::hidden::{beyond_ascii, is_hidden};
use crate::telemetry::redact::MASK;
use crate::telemetry::tap::Spoken;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::ops::ControlFlow;

/// Watch single requests as they end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Filters are NAME=VALUE: route, service, version, color, status (503, 5xx, >=500), reason (or any),
method, host, path (its beginning). All of them must hold.

Examples:
  tyrian tap color=canary 'status>=500' path=/cart/
  tyrian tap reason=any --max-rps 20 -o curl"
)]
pub struct Args {
    /// What to watch; everything without one
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Most requests a second; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_rps: u32,
    /// End after so many
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// `pretty`, `json` (an object a line), or `curl`: commands that send them again
    #[arg(
        short,
        long,
        value_enum,
        default_value = "pretty",
        hide_possible_values = true
    )]
    output: Form,
    #[command(flatten)]
    target: Target,
}

/// How a request is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A line for people
    Pretty,
    /// One JSON object a line
    Json,
    /// A command that sends it again (without its secrets)
    Curl,
}

pub fn run(args: &Args) -> Exit {
    let path = match query(&args.filters, args.max_rps) {
        Ok(path) => path,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Exit::Usage;
        }
    };
    let client = args.target.client();
    let colored = wants_color(&std::io::stdout());
    let mut left = args.count.unwrap_or(u64::MAX);
    let ended = client.follow(&path, |event, data| {
        match event {
            "open" if args.output == Form::Pretty && std::io::stderr().is_terminal() => {
                eprintln!("watching; Ctrl-C ends it");
            }
            "request" => {
                print(&match args.output {
                    Form::Json => format!("{}\n", beyond_ascii(&data.to_string())),
                    Form::Curl => curl(&data),
                    Form::Pretty => pretty(&data, colored),
                });
                left = left.saturating_sub(1);
            }
            "lost" => eprintln!(
                "not shown so far: {} above --max-rps, {} too fast for this reader",
                data["over_pace"], data["queue_full"]
            ),
            _ => {}
        }
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    match ended {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.tell(),
    }
}

/// The call that a list of filters stands for.
fn query(filters: &[String], max_rps: u32) -> Result<String, String> {
    let mut spoken = serde_json::Map::new();
    for filter in filters {
        let at = filter.find(['=', '<', '>']);
        let (name, rest) = at
            .and_then(|at| filter.split_at_checked(at))
            .ok_or_else(|| format!("`{filter}` is no filter; write NAME=VALUE"))?;
        let value = match rest.strip_prefix('=') {
            Some(value) => value,
            None if name == "status" => rest,
            None => return Err(format!("`{filter}`: only `status` can be compared")),
        };
        if spoken.insert(name.to_owned(), json!(value)).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    let mut path = format!("/v1/tap?max_rps={max_rps}");
    for (name, value) in &spoken {
        let value = value.as_str().unwrap_or("");
        let value =
            percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        let _ = write!(path, "&{name}={value}");
    }
    let spoken: Spoken =
        serde_json::from_value(spoken.into()).map_err(|error| error.to_string())?;
    spoken.parse()?;
    Ok(path)
}

/// A field, as it may stand on a terminal: clients choose paths, and some choose control
/// characters.
fn text(seen: &Value, name: &str) -> String {
    plain(seen[name].as_str().unwrap_or(""))
}

fn plain(text: &str) -> String {
    text.replace(is_hidden, "\u{fffd}")
}

/// The query with its question mark, or nothing.
fn query_of(seen: &Value) -> String {
    match text(seen, "query") {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    }
}

fn pretty(seen: &Value, colored: bool) -> String {
    let paint = |code: &str, text: &str| match colored {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let status = seen["status"].as_u64().unwrap_or(0);
    let ink = match status {
        500.. => "31",
        400.. => "33",
        300.. => "36",
        _ => "32",
    };
    let time = text(seen, "time");
    let time = time.get(11..23).unwrap_or("");
    let mut line = format!(
        "{} {} {} {}{}",
        paint("2", time),
        paint(ink, &format!("{status:>3}")),
        text(seen, "method"),
        text(seen, "host"),
        paint("1", &text(seen, "path")),
    );
    line.push_str(&match query_of(seen) {
        query if query.is_empty() => query,
        query => paint("2", &query),
    });
    if !seen["route"].is_null() {
        let _ = write!(line, "  {}", text(seen, "route"));
    }
    if !seen["service"].is_null() {
        let _ = write!(
            line,
            " → {} {}",
            text(seen, "service"),
            text(seen, "version")
        );
    }
    let (requested, served) = (text(seen, "color_requested"), text(seen, "color_served"));
    if !requested.is_empty() {
        let _ = write!(line, " [{requested}");
        if served != requested {
            let _ = write!(line, ", not served: {}", text(seen, "color_reason"));
        }
        line.push(']');
    }
    if let Some(status) = seen["grpc_status"].as_u64() {
        let _ = write!(line, "  grpc {status}");
    }
    if let Some(reason) = seen["reason"].as_str() {
        let _ = write!(line, "  {}", paint(ink, reason));
        let _ = write!(line, " ({})", text(seen, "detail"));
    }
    if let Some(took) = seen["duration_ms"].as_f64() {
        let _ = write!(line, "  {took:.1} ms");
    }
    if seen["tries"].as_u64() > Some(1) {
        let _ = write!(line, ", {} tries", seen["tries"]);
    }
    line.push('\n');
    line
}

/// A command that sends the request again, through the same gateway.
fn curl(seen: &Value) -> String {
    let method = text(seen, "method");
    let mut line = String::from("curl -i");
    if method != "GET" {
        let _ = write!(line, " -X {}", quoted(&method));
    }
    for (name, value) in decided_by(seen, "headers") {
        let _ = write!(line, " -H {}", quoted(&format!("{name}: {value}")));
    }
    let cookies = decided_by(seen, "cookies").map(|(name, value)| format!("{name}={value}"));
    let cookies: Vec<String> = cookies.collect();
    if !cookies.is_empty() {
        let _ = write!(line, " -b {}", quoted(&cookies.join("; ")));
    }
    let url = format!(
        "{}://{}{}{}",
        seen["scheme"].as_str().unwrap_or("http"),
        text(seen, "host"),
        text(seen, "path"),
        query_of(seen)
    );
    let _ = writeln!(line, " {}", quoted(&url));
    line
}

/// What the decision has looked at, without what is masked: a mask would decide otherwise.
fn decided_by<'s>(seen: &'s Value, kind: &str) -> impl Iterator<Item = (&'s str, String)> {
    let all = seen[kind].as_object().into_iter().flatten();
    let known = all.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let shown = known.filter(|(_, value)| !value.contains(MASK));
    shown.map(|(name, value)| (name, plain(value)))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{curl, pretty, query};
    use crate::config::hidden::is_hidden;
    use serde_json::json;

    fn of(filters: &[&str]) -> Result<String, String> {
        let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
        query(&filters, 50)
    }

    #[test]
    fn filters_become_a_call() {
        assert_eq!(of(&[]).unwrap(), "/v1/tap?max_rps=50");
        let call = of(&["color=canary", "status>=500", "path=/cart/*"]).unwrap();
        assert_eq!(
            call,
            "/v1/tap?max_rps=50&color=canary&path=%2Fcart%2F%2A&status=%3E%3D500"
        );
        for wrong in ["colour=x", "canary", "path>x", "status=never"] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        assert!(of(&["route=a", "route=b"]).is_err());
    }

    #[test]
    fn a_request_is_told_in_a_line() {
        let seen = json!({
            "time": "2026-11-21T10:00:00.123456Z", "status": 503, "method": "POST",
            "host": "a.example", "path": "/it's", "query": "q=1", "route": "cart",
            "service": "shop", "version": "v1", "color_requested": "canary",
            "color_served": "", "color_reason": "breaker", "reason": "breaker_open",
            "detail": "the upstream is being left alone", "duration_ms": 0.412, "tries": 2,
        });
        insta::assert_snapshot!(pretty(&seen, false));
        insta::assert_snapshot!(curl(&seen));
        assert!(pretty(&seen, true).contains("\x1b[31m503"));
        let decided = json!({
            "scheme": "https", "method": "GET", "host": "a.example", "path": "/",
            "headers": { "x-group": "be'ta", "authorization": "***" },
            "cookies": { "side": "new", "seat": "7\n" },
        });
        assert_eq!(
            curl(&decided),
            "curl -i -H 'x-group: be'\\''ta' -b 'seat=7\u{fffd}; side=new' 'https://a.example/'\n"
        );
        let hostile =
            json!({ "status": 400, "path": "/\x1b]0;owned\x07\u{202e}\u{9b}", "query": "\n'; rm" });
        for told in [pretty(&hostile, false), curl(&hostile)] {
            assert_eq!(told.matches(is_hidden).count(), 1, "{told:?}");
        }
    }
}

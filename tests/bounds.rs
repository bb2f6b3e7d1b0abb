//! The schema and the reference name the bounds that the check goes by: both are read, and every
//! bounded key is tried at its bounds and just beyond them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use regex::Regex;
use std::collections::BTreeSet;
use toml::Value;
use tyrian::config::diagnostic::Severity;
use tyrian::config::units::duration;
use tyrian::config::{load_text, reference};

/// A configuration that has every table with a bounded key in it.
const WHOLE: &str = r#"
[listeners.x]
bind = "127.0.0.1:8080"
clients = { max_headers = 100 }
http2 = { max_streams = 100 }
tcp = { backlog = 100 }
tls = { max_handshakes = 100, certs = [{ chain = "a", key = { file = "b" } }] }

[server]
threads = 1
drain = { timeout = "30s" }

[services.x]
breaker = "x"
default = "x"
max_in_flight = { max = 100 }
timeouts = { connect = "1s" }
retry = { attempts = 2 }
adaptive = { min = 10, max = 100 }
health = { path = "/", healthy_after = 2 }
outliers = { consecutive_failures = 5 }
sticky = { cookie = "x" }
pool = { idle = "60s" }
[services.x.versions.x]
endpoints = [{ address = "127.0.0.1:1", weight = 1 }]
[services.mirrored.versions.x]
endpoints = ["127.0.0.1:2"]

[colors.x]
share = { percent = "1%" }
versions = { x = "x" }

[rollouts.x]
steps = ["1%", "5%"]
every = "5m"
guard = { min_requests = 100, max_error_rate = "5%" }

[jwt.x]
issuer = "https://id.example/"
algorithms = ["ES256"]
keys = { jwks_url = "https://id.example/keys", refresh = "10m" }

[forward_auth.asked]
url = "http://127.0.0.1:3/"

[limits.x]
rate = "100/s"

[breakers.x]
trip = { error_rate = "50%", slow = "1s", slow_rate = "50%" }
failures = { resets = true }
fallback = { status = 503 }

[plugins.x]
use = "headers"
config = { request = { set = { x-a = "b" } } }

[routes.x]
match = { path = "/*" }
service = "x"
auth = "x"
plugins = ["x"]
timeouts = { request = "2s" }
limits = [{ name = "x", cost = 1 }]
max_in_flight = { max = 100 }
mirror = { service = "mirrored", percent = "1%" }

[routes.answered]
match = { path = "/answered" }
respond = { status = 200 }

[routes.redirected]
match = { path = "/redirected" }
redirect = { to = "/x" }

[telemetry]
traces = { sample = "1%" }
metrics = { every = "60s" }

[[tests]]
request = "GET http://a.example/x"
expect = { route = "x" }
"#;

/// A key with bounds: where it is, and what it may be at least and at most.
#[derive(Debug, Clone)]
struct Bounded {
    path: Vec<String>,
    about: String,
    least: Option<Value>,
    most: Option<Value>,
    /// Just beyond them.
    below: Option<Value>,
    above: Option<Value>,
}

/// Finds every bounded key of the schema.
fn bounded(schema: &serde_json::Value, path: &[String], about: &str, found: &mut Vec<Bounded>) {
    let about = schema["description"].as_str().unwrap_or(about);
    let more = |name: &str| [path, &[name.to_owned()]].concat();
    if let (Some(least), Some(most)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        found.push(Bounded {
            path: path.to_vec(),
            about: about.to_owned(),
            least: Some(least.into()),
            most: Some(most.into()),
            below: Some((least - 1).into()),
            above: Some((most + 1).into()),
        });
    }
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    if pattern.contains("us|ms|s") {
        found.extend(lasting(path, about));
    }
    for (name, one) in schema["properties"].as_object().into_iter().flatten() {
        bounded(one, &more(name), about, found);
    }
    if schema["additionalProperties"].is_object() {
        bounded(&schema["additionalProperties"], &more("*"), about, found);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        bounded(one, path, about, found);
    }
    if schema["items"].is_object() {
        bounded(&schema["items"], &more("[]"), about, found);
    }
}

/// Bounds of a duration, which are in its description: `At least 1ms.` or `1ms to 60s.`
fn lasting(path: &[String], about: &str) -> Option<Bounded> {
    let words = Regex::new(r"(?:At least (\S+)\.|(\d\S*) to (\d\S*)\.)").unwrap();
    let found = words.captures(about)?;
    let least = duration(found.get(1).or(found.get(2))?.as_str())?;
    let most = found.get(3).and_then(|most| duration(most.as_str()));
    let written = |micros: u128| Value::from(format!("{micros}us"));
    Some(Bounded {
        path: path.to_vec(),
        about: String::new(),
        least: Some(written(least.as_micros())),
        most: most.map(|most| written(most.as_micros())),
        below: Some(written(least.as_micros() - 1)),
        above: most.map(|most| written(most.as_micros() + 1)),
    })
}

/// Sets a value in the whole configuration.
fn with(path: &[String], value: &Value) -> Value {
    let mut whole: Value = toml::from_str(WHOLE).unwrap();
    set(&mut whole, &named(path), value);
    whole
}

fn set(at: &mut Value, path: &[String], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value.clone();
        return;
    };
    if first == "[]" {
        if !at.is_array() {
            *at = Value::Array(vec![Value::Table(toml::Table::new())]);
        }
        return set(&mut at.as_array_mut().unwrap()[0], rest, value);
    }
    // One may be written without its brackets.
    if let Some(one) = at.as_array().map(|all| all[0].clone()) {
        *at = one;
    }
    if !at.is_table() {
        *at = Value::Table(toml::Table::new());
    }
    let table = at.as_table_mut().unwrap();
    let missing = || Value::Table(toml::Table::new());
    set(table.entry(first).or_insert_with(missing), rest, value);
}

/// The path in the whole configuration, with names.
fn named(path: &[String]) -> Vec<String> {
    let name = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["routes", _, "respond", ..] => "answered",
        ["routes", _, "redirect", ..] => "redirected",
        ["forward_auth", ..] => "asked",
        _ => "x",
    };
    let one = |part: &String| if part == "*" { name } else { part }.to_owned();
    path.iter().map(one).collect()
}

/// What is said of a configuration, its places left out.
fn errors(whole: &Value) -> BTreeSet<String> {
    let text = toml::to_string(whole).unwrap();
    let loaded = load_text("whole.toml", &text, &|_| None);
    let found = loaded.diagnostics.iter();
    let errors = found.filter(|found| found.severity == Severity::Error);
    errors.map(|found| found.message.clone()).collect()
}

/// Keys that go with others, which the test sets as well: a value at a bound must not fail for
/// another reason.
fn beside(path: &[String], whole: &mut Value, value: &Value) {
    let name = path.join(".");
    let mut also = |path: &str, value: Value| {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        set(whole, &named(&path), &value);
    };
    match name.as_str() {
        "services.*.adaptive.min" => also("services.*.adaptive.max", u32::MAX.into()),
        "services.*.adaptive.max" => also("services.*.adaptive.min", 1.into()),
        "routes.*.limits.[].cost" | "routes.*.limits.cost" => {
            also("limits.*.burst", u32::MAX.into());
            also("routes.*.limits.name", "x".into());
            also("routes.*.limits.cost", value.clone());
        }
        // A fallback is one thing only.
        "breakers.*.fallback.cached" => also("breakers.*.fallback", only("cached", value)),
        "discovery.*.keep" | "discovery.*.hold" => {
            also("discovery.*.dns", Value::Array(vec!["127.0.0.1:53".into()]));
        }
        // A version that is discovered has no endpoints beside.
        "services.*.versions.*.discover.keep" | "services.*.versions.*.discover.hold" => {
            let key = &name[name.len() - 4..];
            let mut discover = only(key, value);
            if let Value::Table(table) = &mut discover {
                table.insert("dns".into(), "a.b:1".into());
            }
            also("services.*.versions.*", only("discover", &discover));
        }
        "breakers.*.window_requests" => also("breakers.*.trip.min_requests", 1.into()),
        _ => {}
    }
}

fn only(key: &str, value: &Value) -> Value {
    Value::Table(std::iter::once((key.to_owned(), value.clone())).collect())
}

fn told(path: &[String], value: &Value) -> BTreeSet<String> {
    let mut whole = with(path, value);
    beside(path, &mut whole, value);
    errors(&whole)
}

fn refused(path: &[String], value: &Value) -> bool {
    !told(path, value).is_empty()
}

fn all() -> Vec<Bounded> {
    let mut found = Vec::new();
    bounded(&tyrian::plugin::schema(), &[], "", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    found
}

#[test]
fn the_check_goes_by_the_bounds_of_the_schema() {
    let whole: Value = toml::from_str(WHOLE).unwrap();
    assert_eq!(errors(&whole), BTreeSet::new());
    let mut wrong = Vec::new();
    for key in all() {
        for (value, refuses) in [
            (&key.least, false),
            (&key.most, false),
            (&key.below, true),
            (&key.above, true),
        ] {
            let Some(value) = value else { continue };
            if refused(&key.path, value) != refuses {
                let verb = if refuses { "takes" } else { "refuses" };
                wrong.push(format!("{} {verb} {value}", key.path.join(".")));
            }
        }
    }
    assert!(wrong.is_empty(), "the check\n{}", wrong.join("\n"));
}

/// Values out of bounds, some of them beyond the type as well.
fn beyond(least: i64, most: i64) -> Vec<i64> {
    let types = [
        u8::MAX.into(),
        u16::MAX.into(),
        u32::MAX.into(),
        i64::MAX - 1,
    ];
    let above = types.map(|most: i64| most + 1);
    let near = [least - 1, most + 1, -1, i64::MIN];
    let all = near.into_iter().chain(above);
    all.filter(|value| !(least..=most).contains(value))
        .collect()
}

#[test]
fn messages_name_the_bounds_of_the_schema_for_any_value_beyond_them() {
    let words = Regex::new(r"must be (?:between (-?\d+) and (\d+)|at least (\d+))$").unwrap();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for key in all() {
        let number = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_integer);
        let Some((least, most)) = number(&key.least).zip(number(&key.most)) else {
            continue;
        };
        for value in beyond(least, most) {
            let messages = told(&key.path, &value.into());
            if messages.is_empty() {
                wrong.push(format!("{} takes {value}", key.path.join(".")));
            }
            for message in &messages {
                let Some(said) = words.captures(message) else {
                    continue;
                };
                let bound = |group| said.get(group).and_then(|text| text.as_str().parse().ok());
                compared += 1;
                let are = bound(1).or(bound(3)) == Some(least)
                    && bound(2).is_none_or(|said: i64| said == most);
                if !are {
                    let key = key.path.join(".");
                    wrong.push(format!("{key} = {value} ({least} to {most}): {message}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 250, "{compared}");
}

#[test]
fn the_reference_says_the_bounds_once_and_as_the_check_has_them() {
    let words = Regex::new(r"(\d[\d_,]*) to (\d[\d_,]*)\b").unwrap();
    let pages = reference::pages();
    for key in all().iter().filter(|key| !key.about.is_empty()) {
        let (least, most) = (key.least.clone().unwrap(), key.most.clone().unwrap());
        let number = |text: &str| text.replace(['_', ','], "").parse::<i64>().unwrap();
        for said in words.captures_iter(&key.about) {
            let said = (number(&said[1]), number(&said[2]));
            let are = (least.as_integer().unwrap(), most.as_integer().unwrap());
            assert_eq!(said, are, "{}: {}", key.path.join("."), key.about);
        }
        if least == most {
            continue;
        }
        let page = &pages[&format!("{}.md", key.path[0])];
        let said = format!("{least} to {most}");
        let limit =
            [i64::from(u32::MAX), i64::from(i32::MAX)].contains(&most.as_integer().unwrap());
        assert!(
            limit || page.contains(&said),
            "{}: {said}",
            key.path.join(".")
        );
    }
}

//! Plugins: what the bundled ones do on the wire, the life of one's own, and what becomes of one
//! that misbehaves.

use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;
use std::path::{Path, PathBuf};
use std::process::Command;

fn config(upstream: &Upstream, plugins: &str, route: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{}\"]\n\
         versions.v2.endpoints = [\"{}\"]\n[colors.canary]\nversions = {{ shop = \"v2\" }}\n\
         when = [{{ header = {{ x-beta = \"1\" }} }}]\n{plugins}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\nplugins = [{route}]\n\
         [routes.free]\nmatch = {{ path = \"/free\" }}\nservice = \"shop\"\n",
        listeners(""),
        upstream.address,
        upstream.address
    )
}

#[test]
fn bundled_plugins_do_what_they_say() {
    let upstream = Upstream::start("v1");
    let plugins = "[plugins.fields]\nuse = \"headers\"\n\
         config = { request = { set = { x-region = \"${REGION:-north}\", x-color = \"{color}\" } }, response = { remove = [\"server\"] } }\n\
         [plugins.browsers]\nuse = \"cors\"\nconfig = { origins = [\"https://app.example\"] }\n\
         [plugins.office]\nuse = \"ip-filter\"\nconfig = { deny = [\"127.0.0.2/32\"] }\n\
         [plugins.orders]\nuse = \"request-validate\"\nwhen = [{ header = { content-type = \"application/json\" } }]\n\
         config = { schema = { type = \"object\", required = [\"id\"] } }\n";
    let text = config(
        &upstream,
        plugins,
        "\"browsers\", \"office\", \"fields\", \"orders\"",
    );
    let gateway = Gateway::start(&text);
    let answer = gateway.get("/", "Origin: https://app.example\r\nX-Beta: 1\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.header("x-region"), ["north"]);
    assert_eq!(upstream.header("x-color"), ["canary"]);
    assert_eq!(answer.header("server"), None);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example"));
    let seen = upstream.heads().len();
    let preflight = b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\
                      Access-Control-Request-Method: PUT\r\n\r\n";
    let answer = gateway.connect().exchange(preflight);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(upstream.heads().len(), seen, "a preflight goes nowhere");
    for (body, status) in [("{\"id\":1}", 200), ("{}", 422), ("nonsense", 422)] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = gateway.connect().exchange(request.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(status != 200 || answer.text() == body);
    }
    let request = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(
        gateway.connect().exchange(request).text(),
        "no",
        "`when` says json"
    );
}

#[test]
fn what_an_answer_varies_by_is_said_once() {
    let upstream = Upstream::start("v1");
    let plugins = "[plugins.browsers]\nuse = \"cors\"\n\
                   config = { origins = [\"https://*.app.example\"] }\n";
    let gateway = Gateway::start(&config(&upstream, plugins, "\"browsers\""));
    for (said, wanted) in [
        ("Vary: Origin\r\n", &["Origin"][..]),
        ("Vary: accept, oRIGIN\r\n", &["accept, oRIGIN"]),
        ("Vary: *\r\n", &["*"]),
        ("Vary: accept\r\n", &["accept", "origin"]),
        ("", &["origin"]),
    ] {
        upstream.say_ok(said, "said");
        for (origin, allowed) in [
            ("https://a.app.example", true),
            ("https://a.app.example:443", true),
            ("https://evil?.app.example", false),
            ("https://a%2e.app.example", false),
        ] {
            let answer = gateway.get("/", &format!("Origin: {origin}\r\n"));
            let vary = answer.headers.iter().filter(|(name, _)| name == "vary");
            let vary: Vec<&str> = vary.map(|(_, value)| value.as_str()).collect();
            assert_eq!(vary, wanted, "{said}");
            let header = answer.header("access-control-allow-origin");
            assert_eq!(header, allowed.then_some(origin));
        }
    }
}

#[test]
fn bodies_lose_what_they_must_not_carry() {
    let upstream = Upstream::start("v1");
    let plugins = "[plugins.clean]\nuse = \"body-transform\"\n\
         config = { max = 200, request = { remove = [\"admin\"] }, response = { mask = [\"cards.*.no\"] } }\n";
    let gateway = Gateway::start(&config(&upstream, plugins, "\"clean\""));
    let say = |body: &str| {
        upstream.say_ok("Content-Type: application/json\r\nETag: \"1\"\r\n", body);
    };
    say("{\"cards\":[{\"no\":\"4111111111111111\"}],\"ok\":true}");
    let body = "{\"id\":1,\"admin\":true}";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Twice on one connection: its framing must hold.
    let mut connection = gateway.connect();
    for _ in 0..2 {
        let answer = connection.exchange(request.as_bytes());
        assert_eq!(answer.text(), "{\"cards\":[{\"no\":\"***\"}],\"ok\":true}");
        assert_eq!(answer.header("etag"), None);
        assert_eq!(upstream.last_body(), b"{\"id\":1}");
    }
    // What cannot be masked does not get out.
    for unreadable in [
        "{\"cards\":[{\"no\":\"4111\"",
        &format!("\"{}\"", "4111".repeat(60)),
    ] {
        say(unreadable);
        let mut connection = gateway.connect();
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let seen = String::from_utf8_lossy(&connection.rest()).into_owned();
        assert!(!seen.contains("4111"), "{seen}");
    }
    upstream.say_ok("Content-Type: text/plain\r\n", "4111");
    assert_eq!(gateway.get("/", "").text(), "4111");
}

#[test]
fn an_injected_fault_is_one() {
    let upstream = Upstream::start("v1");
    let plugins = "[plugins.day]\nuse = \"inject-fault\"\n\
                   config = { abort = { status = 503, percent = \"100%\" } }\n";
    let mut gateway = Gateway::start(&config(&upstream, plugins, "\"day\""));
    assert_eq!(gateway.get("/", "").status, 503);
    let line = gateway.logged(|line| line["reason"] == "plugin");
    assert_eq!(line["detail"], "plugin `day` has answered");
    assert_eq!(gateway.get("/free", "").status, 200);
    assert!(
        gateway
            .metrics()
            .contains("tyrian_plugin_seconds_count{plugin=\"day\"} 1")
    );
    let call = gateway.get("/", "Content-Type: application/grpc\r\n");
    let status = call.header("grpc-status");
    assert_eq!(
        (call.status, status),
        (200, Some("14")),
        "as 503 is in gRPC"
    );
}

#[test]
fn refusals_of_bundled_plugins_are_problem_documents() {
    let upstream = Upstream::start("v1");
    let plugins = "[plugins.office]\nuse = \"ip-filter\"\nconfig = { deny = [\"127.0.0.0/8\"] }\n";
    let gateway = Gateway::start(&config(&upstream, plugins, "\"office\""));
    let refused = gateway.get("/", "");
    assert_eq!((refused.status, refused.reason().as_str()), (403, "plugin"));
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    let document: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(document["detail"], "this address may not ask");
    assert_eq!(document["status"], 403);
    assert_eq!(
        document["request_id"].as_str(),
        refused.header("x-request-id")
    );
    let call = gateway.get("/", "Content-Type: application/grpc\r\n");
    assert_eq!(call.header("grpc-status"), Some("7"));
}

#[test]
fn every_plugin_sees_the_request_in_normal_form() {
    let upstream = Upstream::start("v1");
    let fields = |name: &str| {
        format!(
            "[plugins.{name}]\nuse = \"headers\"\nwhen = [{{ header = {{ x-want = \"1\" }} }}]\n\
             config = {{ request = {{ set = {{ x-{name} = \"{{host}} {{path}}\" }} }} }}\n"
        )
    };
    let plugins = fields("one") + &fields("two");
    let gateway = Gateway::start(&config(&upstream, &plugins, "\"one\", \"two\""));
    for (target, host, seen) in [
        ("/a/b", "a.example", "a.example /a/b"),
        ("/a?q=1", "a.example.:8080", "a.example /a"),
        ("/x/../%7Ea//b?q=1", "A.Example:8080", "a.example /~a/b"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Want: 1\r\n\r\n");
        assert_eq!(gateway.connect().exchange(request.as_bytes()).status, 200);
        assert_eq!(upstream.header("x-one"), [seen]);
        assert_eq!(upstream.header("x-two"), [seen]);
    }
    gateway.get("/a", "");
    assert!(upstream.header("x-one").is_empty());
}

/// The gateway of `examples/own_plugin.rs`.
fn own() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_tyrian"));
    binary.parent().unwrap().join("examples/own_plugin")
}

fn start(config: &str, notes: &Path) -> Gateway {
    let mut command = Command::new(own());
    command
        .env_clear()
        .env("TYRIAN_LOG_FORMAT", "json")
        .env("PUPPET_NOTES", notes);
    Gateway::start_as(command, config)
}

fn puppet(upstream: &Upstream, more: &str) -> String {
    let plugins =
        format!("[plugins.own]\nuse = \"puppet\"\nconfig = {{ name = \"one\" }}\n{more}\n");
    config(upstream, &plugins, "\"own\"")
}

#[test]
fn a_plugin_of_ones_own_lives_from_start_to_stop_and_does_its_work() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes");
    let read = || std::fs::read_to_string(&notes).unwrap_or_default();
    let mut gateway = start(&puppet(&upstream, ""), &notes);
    assert_eq!(read(), "one starts\n");
    gateway.get("/", "X-Do: recolor\r\n");
    assert_eq!(upstream.header("x-tyrian-color"), ["canary"]);
    gateway.get("/", "X-Do: wait\r\n");
    assert_eq!(upstream.header("x-waited"), ["20ms"]);
    let request = b"POST /echo HTTP/1.1\r\nHost: a\r\nX-Do: shout\r\nContent-Length: 3\r\n\r\nabc";
    let answer = gateway.connect().exchange(request);
    assert_eq!(
        (answer.text().as_str(), answer.header("server")),
        ("ABC", None)
    );
    let line = gateway.logged(|line| line.get("own_shouted").is_some());
    assert_eq!(line["own_shouted"], "3");
    let next = puppet(&upstream, "").replace("\"one\"", "\"two\"");
    gateway.write_config(&next);
    gateway.wait_for("the next one", |_| read().contains("two starts"));
    gateway.wait_for("the end of the first", |_| read().contains("one stops"));
    assert_eq!(read().matches("one stops").count(), 1);
}

#[test]
fn a_plugin_that_panics_costs_its_own_requests_at_most() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    for (more, status) in [("", 500), ("on_error = \"skip\"", 200)] {
        let gateway = start(&puppet(&upstream, more), &dir.path().join("notes"));
        for told in ["panic", "fail", "panic later"] {
            let answer = gateway.get("/", &format!("X-Do: {told}\r\n"));
            assert_eq!(answer.status, status, "{told} {more}");
            assert_eq!(gateway.get("/", "").status, 200);
            assert_eq!(
                gateway.get("/free", &format!("X-Do: {told}\r\n")).status,
                200
            );
        }
        let count = |kind: &str| {
            let name = format!("tyrian_plugin_trouble_total{{plugin=\"own\",kind=\"{kind}\"}}");
            gateway.metric(&name)
        };
        assert_eq!((count("panic"), count("failure")), (Some(2.0), Some(3.0)));
        gateway.may_have_panicked();
    }
}

#[test]
fn what_is_wrong_with_a_plugin_is_shown_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tyrian.toml");
    let upstream = Upstream::start("v1");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let done = Command::new(own())
            .arg("check")
            .arg(&file)
            .output()
            .unwrap();
        String::from_utf8(done.stderr).unwrap()
    };
    let sound = puppet(&upstream, "");
    let wrong_key = check(&sound.replace("name = \"one\"", "name = \"one\", nam = 1"));
    assert!(wrong_key.contains("unknown field `nam`"), "{wrong_key}");
    assert!(
        wrong_key.contains("tyrian plugin schema puppet"),
        "{wrong_key}"
    );
    let refused = check(&sound.replace("\"one\"", "\"\""));
    assert!(refused.contains("`name` must not be empty"), "{refused}");
    let unknown = check(&sound.replace("\"puppet\"", "\"pupet\""));
    assert!(unknown.contains("did you mean `puppet`?"), "{unknown}");
    let fields = "[plugins.fields]\nuse = \"headers\"\n";
    let order = (sound + fields).replace("[\"own\"]", "[\"own\", \"fields\"]");
    let order = check(&order);
    assert!(
        order.contains("`own` before `fields`, which must come first"),
        "{order}"
    );
}

#[test]
fn the_command_line_lists_shows_and_begins_plugins() {
    let run = |words: &[&str]| {
        let done = tyrian().arg("plugin").args(words).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, list) = run(&["list"]);
    assert_eq!((code, list.lines().count()), (Some(0), 6), "{list}");
    let (_, schema) = run(&["schema", "cors"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["origins"].is_object(), "{schema}");
    assert_eq!(run(&["schema", "nobody"]).0, Some(1));
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("greeter");
    let (code, _) = run(&["new", "greeter", "--to", to.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let source = std::fs::read_to_string(to.join("src/lib.rs")).unwrap();
    assert!(source.contains("pub struct Greeter"));
    assert_eq!(run(&["new", "Bad Name"]).0, Some(2));
}

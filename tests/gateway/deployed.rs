//! What `deploy/observability` builds on exists: every metric it names is in a real scrape.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::collections::BTreeSet;
use tyrian::tls::dev::{Authority, Role};

/// Every metric that a text of rules or dashboards names.
fn named(text: &str) -> BTreeSet<&str> {
    let part_of_a_name =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let words = text.split(|letter| !part_of_a_name(letter));
    let starts = ["tyrian_", "process_", "http_server_", "http_client_"];
    words
        .filter(|word| starts.iter().any(|start| word.starts_with(start)))
        .collect()
}

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let names = ["a.example".to_owned()];
    let pair = Authority::new()
        .unwrap()
        .sign(&names, Role::Server)
        .unwrap();
    std::fs::write(dir.path().join("a.pem"), pair.certificate).unwrap();
    std::fs::write(dir.path().join("a.key"), pair.key).unwrap();
    let dir = dir.path().display();
    let text = format!(
        "{}[colors.next]\nversions = {{ app = \"v1\" }}\nshare = {{ percent = \"0%\" }}\n\
         [rollouts.next]\nsteps = [\"100%\"]\nevery = \"1h\"\n\
         [listeners.tls]\nbind = \"127.0.0.1:0\"\n\
         tls = {{ certs = [{{ chain = \"{dir}/a.pem\", key = {{ file = \"{dir}/a.key\" }} }}] }}\n\
         [services.app]\nbreaker = \"b\"\n\
         health = {{ path = \"/\" }}\noutliers = {{ consecutive_failures = 5 }}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [breakers.b]\ntrip = {{ error_rate = \"50%\" }}\n[limits.l]\nrate = \"100/s\"\n\
         [jwt.users]\nissuer = \"https://id.example.com/\"\nalgorithms = [\"HS256\"]\nkeys = {{ hmac = {{ env = \"KEY\" }} }}\n\
         [jwt.others]\nissuer = \"https://id.example.net/\"\nalgorithms = [\"ES256\"]\nkeys = {{ jwks_url = \"http://127.0.0.1:1/\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\nlimits = [\"l\"]\n\
         [routes.guarded]\nmatch = {{ path = \"/guarded\" }}\nservice = \"app\"\nauth = \"users\"\n",
        listeners(""),
        upstream.address
    );
    let gateway = Gateway::start_with(&text, |command| {
        command.env("KEY", "0123456789abcdef0123456789abcdef");
    });
    upstream.say_ok("grpc-status: 0\r\n", "");
    gateway.get("/x", "");
    gateway.get("/guarded", "");
    gateway.counts(
        "tyrian_refusals_total{reason=\"jwt_missing\",route=\"guarded\"}",
        1.0,
    );
    let scrape = gateway.metrics();
    let mut known = 0;
    for file in [
        "deploy/observability/rules.yml",
        "deploy/observability/grafana.json",
        "src/admin/dashboard/pages/now.js",
    ] {
        let text = std::fs::read_to_string(file).unwrap();
        for name in named(&text) {
            let there = scrape.lines().any(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            assert!(there, "{file} names {name}, which no scrape has:\n{scrape}");
            known += 1;
        }
    }
    assert!(known > 20, "{known}");
    let documented = std::fs::read_to_string("docs/reference/metrics.md").unwrap();
    for name in named(&documented) {
        let declared = format!("# TYPE {name} ");
        assert!(scrape.contains(&declared), "{name} is no metric:\n{scrape}");
    }
    let families: Vec<&str> = scrape
        .lines()
        .filter(|line| line.starts_with('#'))
        .collect();
    for family in &families {
        let name = family.split(' ').nth(2).unwrap();
        assert!(
            documented.contains(&format!("`{name}`")),
            "{name} is not documented"
        );
    }
    as_committed("tests/fixtures/metrics.txt", &(families.join("\n") + "\n"));
}

/// Compares with what is committed; `UPDATE=1` writes it anew. Names, types and help stay as they are:
/// others build on them.
fn as_committed(path: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "{path} is stale; run the test with UPDATE=1"
    );
}

/// The words of a file between two marks.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split_once(end).unwrap().0
}

#[test]
fn pipelines_of_logs_name_fields_that_lines_have() {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/app\" }}\nservice = \"app\"\n\
         [telemetry]\ntraces = {{ otlp = \"http://127.0.0.1:1\" }}\n",
        listeners(""),
        upstream.address
    );
    let mut gateway = Gateway::start(&text);
    gateway.get("/app", "");
    gateway.get("/nowhere", "");
    let served = gateway.logged(|line| line["route"] == "all");
    let refused = gateway.logged(|line| line["reason"] == "no_route");
    let there = |name: &str| !served[name].is_null() || !refused[name].is_null();
    let alloy = std::fs::read_to_string("deploy/observability/config.alloy").unwrap();
    let keys = |text: &str| -> Vec<String> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, _)| key.trim().to_owned()).collect()
    };
    let fields = keys(between(&alloy, "expressions = {", "}"));
    assert!(fields.iter().any(|field| field == "trace_id"), "{fields:?}");
    // Only calls of gRPC have it; a test of its own holds that.
    let told = fields.iter().filter(|field| *field != "grpc_status");
    for field in told {
        assert!(there(field), "{field} {refused}");
    }
    for promoted in alloy.split("values = {").skip(1) {
        let names = keys(promoted.split_once('}').unwrap().0);
        assert!(!names.is_empty());
        for name in names {
            assert!(fields.contains(&name), "{name} is taken out of no line");
        }
    }
    let collector = std::fs::read_to_string("deploy/observability/otelcol.yml").unwrap();
    let used = collector.split("attributes.").skip(1);
    for name in used.map(|rest| rest.split([' ', ',', '}']).next().unwrap()) {
        assert!(there(name), "{name}");
    }
}

#[test]
fn pipelines_of_the_collector_are_made_of_parts_that_it_has() {
    let text = std::fs::read_to_string("deploy/observability/otelcol.yml").unwrap();
    let section = |name: &str| -> Vec<String> {
        let (_, rest) = text.split_once(&format!("\n{name}:\n")).unwrap();
        let lines = rest
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
        let keys = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let keys = keys.filter_map(|line| line.trim().split_once(':'));
        keys.map(|(key, _)| key.to_owned()).collect()
    };
    let (_, pipelines) = text.split_once("pipelines:\n").unwrap();
    let mut seen = 0;
    for pipeline in pipelines.lines().filter(|line| line.contains('{')) {
        for kind in ["receivers", "processors", "exporters"] {
            let parts = section(kind);
            for part in between(pipeline, &format!("{kind}: ["), "]").split(',') {
                assert!(
                    parts.contains(&part.trim().to_owned()),
                    "{part} of {parts:?}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 9, "{seen}");
}

//! What `deploy/observability` builds on exists: every metric it names is in a real scrape.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::collections::BTreeSet;

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
    let text = format!(
        "{}[services.app]\nbreaker = \"b\"\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [breakers.b]\ntrip = {{ error_rate = \"50%\" }}\n[limits.l]\nrate = \"100/s\"\n\
         [jwt.users]\nissuer = \"https://id.example.com/\"\nalgorithms = [\"HS256\"]\nkeys = {{ hmac = {{ env = \"KEY\" }} }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\nlimits = [\"l\"]\n\
         [routes.guarded]\nmatch = {{ path = \"/guarded\" }}\nservice = \"app\"\nauth = \"users\"\n",
        listeners(""),
        upstream.address
    );
    let gateway = Gateway::start_with(&text, |command| {
        command.env("KEY", "0123456789abcdef0123456789abcdef");
    });
    gateway.get("/x", "");
    gateway.get("/guarded", "");
    gateway.counts(
        "tyrian_refusals_total{reason=\"jwt_missing\",route=\"guarded\"}",
        1.0,
    );
    let scrape = gateway.metrics();
    let mut known = 0;
    for file in ["rules.yml", "grafana.json"] {
        let text = std::fs::read_to_string(format!("deploy/observability/{file}")).unwrap();
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
}

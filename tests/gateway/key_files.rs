//! Files of API keys: which consumers they give and take away, and how long their keys are accepted
//! once the file is lost.

use crate::client::Connection;
use crate::files::{put, reload, told};
use crate::gateway::Gateway;
use crate::identity::config;
use crate::upstream::Upstream;
use sha2::{Digest, Sha256};

#[test]
fn api_keys_lose_and_keep_their_holders_by_their_lines() {
    let shop = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let line = |name: &str| format!("{name}:{}\n", tyrian::live::hex(&Sha256::digest(name)));
    put(&file, &format!("{}{}", line("acme"), line("bolt")));
    let table = format!("[api_keys.partners]\nfile = {file:?}\nmax_stale = \"1s\"\n");
    let mut gateway = Gateway::start(&config(&shop, "\"partners\"", &table));
    let ask =
        |gateway: &Gateway, key: &str| gateway.get("/", &format!("X-Api-Key: {key}\r\n")).status;
    assert_eq!((ask(&gateway, "acme"), ask(&gateway, "bolt")), (200, 200));
    let torn = format!(
        "{}bolt:12ab\n# two\n{}",
        line("acme"),
        line("acme").replace("acme:", "mallory:")
    );
    put(&file, &torn);
    let verdict = reload(&gateway);
    told(&verdict, "TY0506", "keys:2: passed over");
    told(&verdict, "TY0506", "keys:4: passed over");
    assert_eq!((ask(&gateway, "acme"), ask(&gateway, "bolt")), (200, 401));
    std::fs::remove_file(&file).unwrap();
    told(&reload(&gateway), "TY0505", "api_keys.partners");
    gateway.wait_for("the end of the keys", |gateway| ask(gateway, "acme") == 401);
    keys_are_stale(&mut gateway);
    put(&file, "");
    let verdict = reload(&gateway);
    assert!(!verdict.to_string().contains("TY0505"), "{verdict}");
    assert_eq!(ask(&gateway, "acme"), 401);
    put(&file, &line("acme"));
    reload(&gateway);
    assert_eq!(ask(&gateway, "acme"), 200);
    let text = ready(&gateway);
    assert!(text.contains("✓ api_keys partners: 1 key\n"), "{text}");
}

/// What `/readyz?verbose` says.
fn ready(gateway: &Gateway) -> String {
    let request = b"GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = Connection::to(gateway.address("metrics")).exchange(request);
    assert_eq!(
        answer.status, 200,
        "a lost file makes the edge no less ready"
    );
    answer.text()
}

/// Keys past `max_stale` are refused with the cause, the log says it once, and the probe names it.
fn keys_are_stale(gateway: &mut Gateway) {
    let stale = "the keys of `api_keys.partners` are older than `max_stale`, so none is accepted";
    let line = gateway.logged(|line| line["detail"] == stale);
    assert_eq!(line["reason"], "api_key", "{line}");
    let text = ready(gateway);
    let lost = "✗ api_keys partners: 1 key, lost ";
    assert!(text.contains(lost) && text.contains("too stale"), "{text}");
    let question = r#"{ "url": "/", "headers": { "x-api-key": "acme" } }"#;
    let (_, explained) = gateway.api("POST", "/v1/explain", question);
    assert!(
        explained
            .to_string()
            .contains("its keys are older than `max_stale`"),
        "{explained}"
    );
    let ended = "API keys are older than `max_stale` and no longer accepted";
    gateway.wait_for("the error", |gateway| gateway.log().contains(ended));
    // The sweep looks every second: a second line would be here by then.
    let looked = |gateway: &mut Gateway| {
        ready(gateway).split(lost).nth(1).is_some_and(|rest| {
            let age = rest
                .split(' ')
                .next()
                .and_then(|age| age.parse::<u64>().ok());
            age >= Some(4)
        })
    };
    gateway.wait_for("further looks", looked);
    assert_eq!(gateway.log().matches(ended).count(), 1, "{}", gateway.log());
}

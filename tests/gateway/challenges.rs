//! What those are told who judge credentials, and what they tell: services that are asked, clients
//! that are refused, the log, probes.

use crate::client::Connection;
use crate::gateway::Gateway;
use crate::h2::Client;
use crate::identity::{config, users, with_key_file};
use crate::tokens::Issuer;
use crate::upstream::Upstream;
use serde_json::json;

#[test]
fn whoever_is_asked_judges_what_the_upstream_gets() {
    let (shop, asked) = (Upstream::start("v1"), Upstream::start("asked"));
    let table = format!(
        "[forward_auth.sso]\nurl = \"http://{}/check\"\n",
        asked.address
    );
    let gateway = Gateway::start(&config(&shop, "\"sso\"", &table));
    let judged = |wanted: &str| {
        assert_eq!(asked.header("x-forwarded-uri"), [wanted]);
        let gone_up = shop.last_head();
        assert_eq!(gone_up.split(' ').nth(1), Some(wanted), "{gone_up}");
    };
    for (sent, wanted) in [
        ("/public/%2e%2e/admin", "/admin"),
        ("/public/../admin?a=%2e", "/admin?a=%2e"),
        ("/%61dmin", "/admin"),
        ("/a%2Fb", "/a%2Fb"),
    ] {
        let request = format!("GET {sent} HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n");
        let answer = gateway.connect().exchange(request.as_bytes());
        assert_eq!(answer.status, 200, "{sent}");
        judged(wanted);
        assert_eq!(asked.header("x-forwarded-host"), ["a.example:8080"]);
    }
    let request = "GET http://b.example/public/../admin HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(gateway.connect().exchange(request.as_bytes()).status, 200);
    judged("/admin");
    assert_eq!(asked.header("x-forwarded-host"), ["b.example"]);
    Client::start(&gateway).ask(1, "C.example", "/public/%2e%2e/admin");
    judged("/admin");
    assert_eq!(asked.header("x-forwarded-host"), ["c.example"]);
}

#[test]
fn a_challenge_names_its_realm_and_the_log_the_check() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let more = "require = { tier = [\"gold\"] }\n";
    let (mut gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", more);
    let challenge = |error: &str| format!("Bearer realm=\"users\"{error}");
    let bad = |detail: &str| format!(", error=\"invalid_token\", error_description=\"{detail}\"");
    let claims = "the token's claims are not acceptable";
    let cases = [
        (String::new(), String::new(), "a token is required"),
        (
            "Authorization: Bearer x\r\n".to_owned(),
            bad("the token is malformed"),
            "the token is malformed",
        ),
        (
            issuer.bearer(&json!({ "aud": "other" })),
            bad(claims),
            "`aud` names nobody of `audience`",
        ),
        (
            issuer.bearer(&json!({ "iss": "me" })),
            bad(claims),
            "`iss` is not the provider's `issuer`",
        ),
        (
            issuer.bearer(&json!({ "tier": "tin" })),
            bad(claims),
            "`tier` is not as `require` has it",
        ),
    ];
    for (number, (header, error, told)) in cases.iter().enumerate() {
        let answer = gateway.get(&format!("/{number}"), header);
        let expected = challenge(error);
        assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
        assert!(!answer.text().contains('`'), "the client hears no more");
        let path = format!("/{number}");
        let line = gateway.logged(|line| line["path"] == path.as_str());
        assert_eq!(line["detail"], *told, "{line}");
    }
}

#[test]
fn readiness_says_what_keys_there_are() {
    let (issuer, shop, keys) = (
        Issuer::new("k1"),
        Upstream::start("v1"),
        Upstream::start("keys"),
    );
    keys.say_ok("", &issuer.jwks());
    let url = |address: &dyn std::fmt::Display| format!("{{ jwks_url = \"http://{address}/\" }}");
    let absent = Upstream::start("absent").stop();
    let more = format!(
        "{}{}",
        users(&url(&keys.address)),
        users(&url(&absent))
            .replace("[jwt.users]", "[jwt.lost]")
            .replace("x-user-id", "x-lost-id")
            .replace("id.example", "lost.example")
    );
    let mut gateway = Gateway::start(&config(&shop, "\"users\"", &more));
    gateway.wait_for("the keys", |gateway| {
        let request = b"GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = Connection::to(gateway.address("metrics")).exchange(request);
        assert_eq!(answer.status, 200, "an issuer makes the edge no less ready");
        let text = answer.text();
        assert!(text.contains("✗ jwt lost: no keys yet\n"), "{text}");
        text.contains("✓ jwt users: 1 key, fetched ")
    });
}

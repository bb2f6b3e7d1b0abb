//! Who is let in: tokens, API keys, a service that is asked; and what identity gives and takes.

use crate::gateway::{Gateway, listeners};
use crate::tokens::{Issuer, now};
use crate::upstream::Upstream;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// Routes for everything that wants to know who asks. Provider tables follow in `more`.
pub fn config(shop: &Upstream, auth: &str, more: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{address}\"]\n\
         versions.v2.endpoints = [\"{address}\"]\n\
         [routes.open]\nmatch = {{ path = \"/open\" }}\nservice = \"shop\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\nauth = {auth}\n{more}",
        listeners(""),
        address = shop.address,
    )
}

pub fn users(keys: &str) -> String {
    format!(
        "[jwt.users]\nissuer = \"https://id.example.com/\"\naudience = [\"shop\"]\n\
         algorithms = [\"ES256\"]\nforward = {{ sub = \"x-user-id\" }}\nkeys = {keys}\n"
    )
}

/// A gateway whose issuer's keys are in a file beside its configuration.
pub fn with_key_file(
    issuer: &Issuer,
    shop: &Upstream,
    auth: &str,
    more: &str,
) -> (Gateway, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, issuer.jwks()).unwrap();
    let keys = format!("{{ jwks_file = \"{}\" }}", file.display());
    let more = format!("{}{more}", users(&keys));
    (Gateway::start(&config(shop, auth, &more)), dir)
}

#[test]
fn only_good_tokens_pass_and_only_the_gateway_names_users() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let (gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", "");
    let missing = gateway.get("/", "X-User-Id: mallory\r\n");
    assert_eq!(
        (missing.status, missing.reason().as_str()),
        (401, "jwt_missing")
    );
    let challenge = missing.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer realm=\"users\""));
    assert!(shop.heads().is_empty(), "a refusal sends nothing up");
    let good = gateway.get(
        "/",
        &format!(
            "{}X-User-Id: mallory\r\nX_User_Id: mallory\r\n",
            issuer.bearer(&json!({}))
        ),
    );
    assert_eq!(good.status, 200);
    assert_eq!(shop.header("x-user-id"), ["alice"]);
    assert!(shop.header("x_user_id").is_empty());
    gateway.get("/open", "X-User-Id: mallory\r\n");
    assert!(
        shop.header("x-user-id").is_empty(),
        "also where nobody is asked"
    );
    let expired = gateway.get("/", &issuer.bearer(&json!({ "exp": now() - 100 })));
    assert_eq!(
        (expired.status, expired.reason().as_str()),
        (401, "jwt_expired")
    );
    assert!(
        expired
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );
    let garbage = gateway.get("/", "Authorization: Bearer x.y.z\r\n");
    assert_eq!(
        (garbage.status, garbage.reason().as_str()),
        (401, "jwt_malformed")
    );
    let twice = format!("{0}{0}", issuer.bearer(&json!({})));
    assert_eq!(gateway.get("/", &twice).reason(), "jwt_malformed");
    assert_eq!(
        gateway.metric("tyrian_jwt_verifications_total{provider=\"users\",result=\"jwt_expired\"}"),
        Some(1.0)
    );
}

#[test]
fn optional_means_none_or_a_good_one() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let auth = "{ provider = \"users\", optional = true }";
    let (gateway, _dir) = with_key_file(&issuer, &shop, auth, "");
    for none in ["", "Authorization:\r\n", "Authorization: \r\n"] {
        assert_eq!(gateway.get("/", none).status, 200);
        assert!(shop.header("x-user-id").is_empty());
    }
    assert_eq!(gateway.get("/", &issuer.bearer(&json!({}))).status, 200);
    assert_eq!(shop.header("x-user-id"), ["alice"]);
    let stranger = Issuer::new("k1");
    assert_eq!(
        gateway.get("/", &stranger.bearer(&json!({}))).reason(),
        "jwt_bad_signature"
    );
}

#[test]
fn claims_color_requests_whoever_sends_them() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let more = "[coloring]\nsources = [\"header\", \"jwt:color\"]\n\
                [colors.canary]\nversions = { shop = \"v2\" }\nwhen = [{ jwt = { group = \"beta\" } }]\n";
    let (mut gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", more);
    for (claims, color) in [
        (json!({}), None),
        (json!({ "group": "beta" }), Some("canary")),
        (json!({ "group": ["alpha", "beta"] }), Some("canary")),
        (json!({ "color": "canary" }), Some("canary")),
        (json!({ "group": "betamax" }), None),
    ] {
        let path = format!("/{}", fastrand::u64(..));
        assert_eq!(gateway.get(&path, &issuer.bearer(&claims)).status, 200);
        let line = gateway.logged(|line| line["path"] == path.as_str());
        assert_eq!(line["color_served"].as_str(), color, "{claims}");
        let version = if color.is_some() { "v2" } else { "v1" };
        assert_eq!(line["version"], version, "{claims}");
    }
}

#[test]
fn scopes_that_are_missing_forbid() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let (gateway, _dir) = with_key_file(
        &issuer,
        &shop,
        "\"users\"",
        "require = { scope = [\"shop:write\"] }\n",
    );
    let answer = gateway.get("/", &issuer.bearer(&json!({ "scope": "shop:read" })));
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (403, "jwt_scope")
    );
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"shop:write\""));
    assert_eq!(
        gateway
            .get("/", &issuer.bearer(&json!({ "scope": "a shop:write" })))
            .status,
        200
    );
}

#[test]
fn keys_are_fetched_rotated_and_outlive_their_issuer() {
    let (first, second, shop, issuer) = (
        Issuer::new("k1"),
        Issuer::new("k2"),
        Upstream::start("v1"),
        Upstream::start("issuer"),
    );
    issuer.say_ok("", &first.jwks());
    let keys = format!("{{ jwks_url = \"http://{}/jwks\" }}", issuer.address);
    let text = config(&shop, "\"users\"", &users(&keys));
    let mut gateway = Gateway::start(&text);
    // The very first request may have to wait for the keys, and does.
    assert_eq!(gateway.get("/", &first.bearer(&json!({}))).status, 200);
    // Rotation: a key nobody knows yet is asked for once the pause is over, and never more often.
    issuer.say_ok("", &second.jwks());
    let asked = issuer.heads().len();
    for _ in 0..50 {
        let stranger = Issuer::new("spray");
        assert_eq!(
            gateway.get("/", &stranger.bearer(&json!({}))).reason(),
            "jwt_unknown_key"
        );
    }
    assert!(
        issuer.heads().len() - asked <= 1,
        "a spray of keys hammers the issuer"
    );
    let started = Instant::now();
    while gateway.get("/", &second.bearer(&json!({}))).status != 200 {
        assert!(started.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_ne!(
        gateway.get("/", &first.bearer(&json!({ "n": 1 }))).status,
        200,
        "the old key is gone"
    );
    // A cold start while the issuer is down goes on with the keys on disk.
    issuer.stop();
    gateway.restart();
    assert_eq!(gateway.get("/", &second.bearer(&json!({}))).status, 200);
    let metric = |name: &str| gateway.metric(&format!("{name}{{provider=\"users\"}}"));
    assert!(metric("tyrian_jwt_keys_age_seconds").is_some());
    assert!(metric("tyrian_jwt_failed_fetches") >= Some(1.0));
}

#[test]
fn a_fetched_set_without_keys_and_one_that_is_too_old_are_findings() {
    let (key, shop, issuer) = (
        Issuer::new("k1"),
        Upstream::start("v1"),
        Upstream::start("issuer"),
    );
    issuer.say_ok("", "{\"keys\": []}");
    let keys = format!(
        "{{ jwks_url = \"http://{}/jwks\", max_stale = \"1s\" }}",
        issuer.address
    );
    let mut gateway = Gateway::start(&config(&shop, "\"users\"", &users(&keys)));
    let finding = |gateway: &mut Gateway, words: &str| {
        let (_, status) = gateway.api("GET", "/v1/status", "");
        status["findings"].to_string().contains(words)
    };
    gateway.wait_for("the finding", |gateway| {
        finding(gateway, "users has no key for ")
    });
    gateway.wait_for("the end of the keys", |gateway| {
        finding(gateway, "those at hand are no longer accepted since 2")
    });
    assert_ne!(gateway.get("/", &key.bearer(&json!({}))).status, 200);
}

#[test]
fn an_issuer_that_was_never_there_refuses_in_bounded_time() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let keys = "{ jwks_url = \"http://127.0.0.1:1/jwks\" }";
    let mut gateway = Gateway::start(&config(&shop, "\"users\"", &users(keys)));
    let started = Instant::now();
    assert_eq!(
        gateway.get("/", &issuer.bearer(&json!({}))).reason(),
        "jwt_keys_unavailable"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(gateway.get("/open", "").status, 200);
    gateway.wait_for("the finding", |gateway| {
        let (_, status) = gateway.api("GET", "/v1/status", "");
        let findings = status["findings"].to_string();
        findings.contains("keys of users cannot be fetched") && findings.contains("there are none")
    });
}

#[test]
fn keys_at_hand_do_not_grow_old() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let (gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", "");
    assert_eq!(gateway.get("/", &issuer.bearer(&json!({}))).status, 200);
    let (_, limits) = gateway.api("GET", "/v1/limits", "");
    let users = &limits["providers"][0];
    assert!(users["keys_age_s"].is_null() && users["failed_fetches"].is_null());
    assert!(!gateway.metrics().contains("tyrian_jwt_keys_age_seconds{"));
}

#[test]
fn a_changed_key_file_and_a_revocation_count_at_once() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let revoked = tempfile::NamedTempFile::new().unwrap();
    let more = format!("revoked = {:?}\n", revoked.path());
    let (mut gateway, dir) = with_key_file(&issuer, &shop, "\"users\"", &more);
    let bearer = issuer.bearer(&json!({ "jti": "t1" }));
    assert_eq!(gateway.get("/", &bearer).status, 200);
    std::fs::write(revoked.path(), "jti:t1\n").unwrap();
    gateway.wait_for("the revocation", |gateway| {
        gateway.get("/", &bearer).status == 401
    });
    assert_eq!(
        gateway
            .get("/", &issuer.bearer(&json!({ "jti": "t2" })))
            .status,
        200
    );
    let other = Issuer::new("k1");
    std::fs::write(dir.path().join("jwks.json"), other.jwks()).unwrap();
    gateway.wait_for("the new key", |gateway| {
        gateway.get("/", &other.bearer(&json!({}))).status == 200
    });
    // A broken file never replaces good keys.
    std::fs::write(dir.path().join("jwks.json"), "{").unwrap();
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 200, "{verdict}");
    assert!(
        verdict["rendered"].as_str().unwrap().contains("TY0505"),
        "{verdict}"
    );
    assert_eq!(gateway.get("/", &other.bearer(&json!({}))).status, 200);
}

#[test]
fn two_issuers_are_told_apart() {
    let (ours, theirs, shop) = (Issuer::new("k1"), Issuer::new("k1"), Upstream::start("v1"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("theirs.json");
    std::fs::write(&file, theirs.jwks()).unwrap();
    let more = format!(
        "[jwt.partners]\nissuer = \"https://partner.example.com/\"\nalgorithms = [\"ES256\"]\n\
         forward = {{ sub = \"x-partner\" }}\nkeys = {{ jwks_file = {file:?} }}\n"
    );
    let (gateway, _dir) = with_key_file(&ours, &shop, "[\"users\", \"partners\"]", &more);
    assert_eq!(gateway.get("/", &ours.bearer(&json!({}))).status, 200);
    assert_eq!(shop.header("x-user-id"), ["alice"]);
    let partner = json!({ "iss": "https://partner.example.com/", "sub": "acme" });
    assert_eq!(gateway.get("/", &theirs.bearer(&partner)).status, 200);
    assert_eq!(shop.header("x-partner"), ["acme"]);
    assert_eq!(
        gateway.get("/", &ours.bearer(&partner)).reason(),
        "jwt_bad_signature"
    );
}

#[test]
fn api_keys_name_their_consumer_and_stay_here() {
    let shop = Upstream::start("v1");
    let file = tempfile::NamedTempFile::new().unwrap();
    let hash = tyrian::live::hex(&Sha256::digest("secret-key"));
    std::fs::write(file.path(), format!("# consumers\nacme:{hash}\n")).unwrap();
    let more = format!(
        "[api_keys.partners]\nfile = {:?}\nforward = \"x-consumer\"\n",
        file.path()
    );
    let gateway = Gateway::start(&config(&shop, "\"partners\"", &more));
    let answer = gateway.get("/", "X-Api-Key: secret-key\r\nX-Consumer: evil\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(shop.header("x-consumer"), ["acme"]);
    assert!(shop.header("x-api-key").is_empty());
    for headers in [
        "",
        "X-Api-Key: wrong\r\n",
        "X-Api-Key: secret-key\r\nX-Api-Key: other\r\n",
    ] {
        let answer = gateway.get("/", headers);
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (401, "api_key"),
            "{headers}"
        );
    }
    let optional = "{ provider = \"partners\", optional = true }";
    let gateway = Gateway::start(&config(&shop, optional, &more));
    for (headers, status) in [("X-Api-Key:\r\n", 200), ("X-Api-Key: wrong\r\n", 401)] {
        assert_eq!(gateway.get("/", headers).status, status, "{headers}");
    }
}

#[test]
fn a_service_that_is_asked_decides_and_its_absence_is_configured() {
    let (shop, asked) = (Upstream::start("v1"), Upstream::start("asked"));
    let table = |on_error: &str| {
        format!(
            "[forward_auth.sso]\nurl = \"http://{}/check\"\ntimeout = \"500ms\"\n\
             on_error = \"{on_error}\"\nforward = [\"x-user\"]\n",
            asked.address
        )
    };
    let deny = Gateway::start(&config(&shop, "\"sso\"", &table("deny")));
    let allow = Gateway::start(&config(&shop, "\"sso\"", &table("allow")));
    asked.say_ok("X-User: bob\r\n", "");
    let passed = deny.get("/some/path?q=1", "Cookie: session=1\r\nX-User: mallory\r\n");
    assert_eq!(passed.status, 200);
    assert_eq!(shop.header("x-user"), ["bob"]);
    assert_eq!(asked.header("x-forwarded-uri"), ["/some/path?q=1"]);
    assert_eq!(asked.header("cookie"), ["session=1"]);
    let login =
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nX-Secret: 1\r\nContent-Length: 2\r\n\r\ngo";
    asked.say(Some(login));
    let refused = deny.get("/", "");
    assert_eq!(
        (
            refused.status,
            refused.header("location"),
            refused.text().as_str()
        ),
        (302, Some("/login"), "go")
    );
    assert_eq!(refused.header("x-secret"), None);
    asked.stop();
    let started = Instant::now();
    let down = deny.get("/", "");
    assert_eq!(
        (down.status, down.reason().as_str()),
        (503, "auth_unavailable")
    );
    assert_eq!(allow.get("/", "").status, 200);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(
        deny.metric("tyrian_auth_decisions_total{provider=\"sso\",result=\"failed\"}"),
        Some(1.0)
    );
}

#[test]
fn the_log_names_claims_that_it_is_told_to() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let more = "log = [\"sub\", \"missing\"]\n";
    let (mut gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", more);
    gateway.get(
        "/named",
        &issuer.bearer(&json!({ "email": "a@example.com" })),
    );
    let line = gateway.logged(|line| line["path"] == "/named");
    assert_eq!(line["jwt.sub"], "alice");
    assert!(!line.to_string().contains("example.com"), "{line}");
}

#[test]
fn reporting_counts_and_lets_pass() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let (gateway, _dir) = with_key_file(&issuer, &shop, "\"users\"", "mode = \"report\"\n");
    assert_eq!(gateway.get("/", "").status, 200);
    assert_eq!(
        gateway
            .get("/", &issuer.bearer(&json!({ "exp": 1 })))
            .status,
        200
    );
    assert!(shop.header("x-user-id").is_empty());
    assert_eq!(
        gateway.metric("tyrian_jwt_verifications_total{provider=\"users\",result=\"jwt_expired\"}"),
        Some(1.0)
    );
}

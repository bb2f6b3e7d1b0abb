//! `explain` tells the live state: what it says is what a request meets.

use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TRIP: &str = "trip = { error_rate = \"50%\", min_requests = 1 }\nopen_for = \"60s\"";

fn config(v1: &Upstream, v2: &Upstream, more: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nbreaker = \"b\"\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\nwhen = [{{ header = {{ x-group = \"beta\" }} }}]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n{more}\n",
        listeners(""),
        v1.address,
        v2.address,
    )
}

fn ask(gateway: &Gateway, headers: &Value) -> Value {
    let question = json!({ "url": "http://a.example/", "headers": headers }).to_string();
    let (status, explained) = gateway.api("POST", "/v1/explain", &question);
    assert_eq!(status, 200, "{explained}");
    explained
}

/// What the verb prints.
fn verb(gateway: &Gateway, more: &[&str]) -> String {
    let output = tyrian()
        .args(["explain", "GET http://a.example/", "--state"])
        .arg(gateway.dir.path().join("state"))
        .args(["--admin", &gateway.address("admin").to_string()])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn hold(gateway: &Gateway, version: &str, state: &str) {
    let path = format!("/v1/services/shop/{version}/breaker");
    let body = json!({ "state": state }).to_string();
    assert_eq!(gateway.api("PUT", &path, &body).0, 200);
}

#[test]
fn an_open_breaker_is_told_with_what_it_leads_to() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config(&v1, &v2, &format!("[breakers.b]\n{TRIP}")));
    let well = ask(&gateway, &json!({}));
    assert!(
        well["refusal"].is_null() && well["passed_over"] == json!([]),
        "{well}"
    );
    v1.say_status(500);
    assert_eq!(gateway.get("/", "").status, 500);
    assert_eq!(gateway.get("/", "").reason(), "breaker_open");
    let explained = ask(&gateway, &json!({}));
    assert_eq!(
        explained["refusal"],
        json!({ "status": 503, "reason": "breaker_open" })
    );
    assert_eq!(explained["passed_over"][0]["version"], "v1");
    let why = explained["passed_over"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("its breaker is open for another "), "{why}");
    let text = verb(&gateway, &[]);
    assert!(
        text.contains("✗ passed over      version v1: its breaker is open for"),
        "{text}"
    );
    assert!(text.contains("✗ breaker "), "{text}");
    assert!(
        text.contains("✗ refused          503 breaker_open"),
        "{text}"
    );
    // The color's own version is well.
    let beta = ask(&gateway, &json!({ "x-group": "beta" }));
    assert_eq!(
        (&beta["version"], &beta["refusal"]),
        (&json!("v2"), &Value::Null)
    );
    v1.say(None);
    hold(&gateway, "v1", "closed");
    hold(&gateway, "v2", "open");
    let beta = ask(&gateway, &json!({ "x-group": "beta" }));
    assert_eq!(beta["version"], "v1");
    assert_eq!(beta["color"]["reason"], "breaker");
    assert_eq!(beta["passed_over"][0]["version"], "v2");
    assert_eq!(
        beta["passed_over"][0]["why"],
        "its breaker is held open by hand"
    );
    assert!(beta["refusal"].is_null(), "{beta}");
    let answer = gateway.get("/", "X-Group: beta\r\n");
    assert_eq!(answer.header("x-upstream"), Some("v1"));
}

#[test]
fn a_breaker_names_the_version_that_serves_instead() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let named = format!("[breakers.b]\n{TRIP}\nfallback = {{ version = \"v2\" }}");
    let gateway = Gateway::start(&config(&v1, &v2, &named));
    hold(&gateway, "v1", "open");
    let answer = gateway.get("/", "");
    let explained = ask(&gateway, &json!({}));
    assert_eq!(explained["version"].as_str(), answer.header("x-upstream"));
    assert_eq!(explained["version"], "v2");
    assert_eq!(explained["passed_over"][0]["version"], "v1");
    assert!(explained["refusal"].is_null(), "{explained}");
    hold(&gateway, "v2", "open");
    let answer = gateway.get("/", "");
    let explained = ask(&gateway, &json!({}));
    assert_eq!(
        explained["refusal"]["reason"].as_str(),
        Some(answer.reason().as_str())
    );
    let passed = explained["passed_over"].as_array().unwrap();
    assert_eq!(passed.len(), 2, "{explained}");
    let fixed = format!("[breakers.b]\n{TRIP}\nfallback = {{ status = 429, text = \"later\" }}");
    let gateway = Gateway::start(&config(&v1, &v2, &fixed));
    hold(&gateway, "v1", "open");
    let explained = ask(&gateway, &json!({}));
    assert_eq!(explained["refusal"]["status"], gateway.get("/", "").status);
}

#[test]
fn endpoints_that_get_nothing_are_told_with_the_cause() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, &format!("[breakers.b]\n{TRIP}")));
    let address = v1.address.to_string();
    let drained = format!("/v1/services/shop/v1/endpoints/{address}");
    assert_eq!(gateway.api("PUT", &drained, "{\"drained\":true}").0, 200);
    let explained = ask(&gateway, &json!({}));
    assert_eq!(explained["refusal"]["reason"], "no_healthy_endpoint");
    assert_eq!(gateway.get("/", "").reason(), "no_healthy_endpoint");
    let why = explained["passed_over"][0]["why"].as_str().unwrap();
    assert_eq!(
        why,
        format!("no endpoint is available: {address} is drained by hand")
    );
    // One of two that is out is named beside the other.
    let two = format!("\"{address}\", \"{}\"", v2.address);
    let text = config(&v1, &v2, &format!("[breakers.b]\n{TRIP}"));
    gateway.replace_config(&text.replacen(&format!("\"{address}\""), &two, 1));
    gateway.wait_for("both endpoints", |gateway| {
        ask(gateway, &json!({}))["endpoints"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    });
    let explained = ask(&gateway, &json!({}));
    assert!(explained["refusal"].is_null(), "{explained}");
    assert_eq!(explained["endpoints"][0]["state"], "drained by hand");
    assert_eq!(explained["endpoints"][1]["state"], Value::Null);
    assert!(verb(&gateway, &[]).contains("(1 of 2 healthy)"));
}

#[test]
fn exhausted_limits_and_caps_are_told_and_nothing_is_taken() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let more = format!(
        "limits = [\"few\"]\n[limits.few]\nrate = \"2/h\"\nburst = 2\n\
         key = \"header:x-who\"\n[breakers.b]\n{TRIP}"
    );
    let gateway = Gateway::start(&config(&v1, &v2, &more));
    let who = json!({ "x-who": "me" });
    for _ in 0..5 {
        assert!(
            ask(&gateway, &who)["refusal"].is_null(),
            "asking takes nothing"
        );
    }
    for _ in 0..2 {
        assert_eq!(gateway.get("/", "X-Who: me\r\n").status, 200);
    }
    let explained = ask(&gateway, &who);
    assert_eq!(
        explained["refusal"],
        json!({ "status": 429, "reason": "rate_limited" })
    );
    let policies = explained["policies"].as_array().unwrap();
    let limit = policies
        .iter()
        .find(|policy| policy["name"] == "limit")
        .unwrap();
    assert!(
        limit["value"].as_str().unwrap().contains("exhausted"),
        "{limit}"
    );
    assert_eq!(limit["trouble"], true);
    assert_eq!(gateway.get("/", "X-Who: me\r\n").status, 429);
    assert!(ask(&gateway, &json!({ "x-who": "other" }))["refusal"].is_null());
}

#[test]
fn an_api_key_is_looked_up() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let hash = tyrian::live::hex(&Sha256::digest("good-key"));
    std::fs::write(file.path(), format!("acme:{hash}\n")).unwrap();
    let more = format!(
        "auth = \"partners\"\n[api_keys.partners]\nfile = {:?}\n[breakers.b]\n{TRIP}",
        file.path()
    );
    let gateway = Gateway::start(&config(&v1, &v2, &more));
    let path = gateway.config_file();
    let of_file = ["-c", path.to_str().unwrap()];
    for (key, status) in [(Some("good-key"), 200), (Some("wrong"), 401), (None, 401)] {
        let line = key.map(|key| format!("X-Api-Key: {key}\r\n"));
        assert_eq!(gateway.get("/", &line.unwrap_or_default()).status, status);
        let headers = key.map_or(json!({}), |key| json!({ "x-api-key": key }));
        let explained = ask(&gateway, &headers);
        let refused = explained["refusal"]["status"].as_u64();
        assert_eq!(refused, (status != 200).then_some(401), "{explained}");
        let field = key.map(|key| format!("x-api-key: {key}"));
        let field: Vec<&str> = field.iter().flat_map(|field| ["-H", field]).collect();
        for more in [&field[..], &[&of_file[..], &field].concat()] {
            let text = verb(&gateway, more);
            assert_eq!(text.contains("refused"), status != 200, "{more:?} {text}");
            assert_eq!(
                text.contains("acme, by its API key"),
                status == 200,
                "{text}"
            );
        }
    }
    // Asking is no traffic.
    let (_, limits) = gateway.api("GET", "/v1/limits", "");
    let partners = &limits["providers"][0];
    assert_eq!(
        (&partners["accepted"], &partners["refused"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn a_reason_is_explained_without_a_gateway() {
    let run = |word: &str| {
        let done = tyrian().args(["explain", word]).output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        (done.status.code(), said)
    };
    for (word, status) in [
        ("breaker_open", "503"),
        ("jwt_expired", "401"),
        ("no_route", "404"),
    ] {
        let (code, said) = run(word);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&format!("{word}: {status}\n")), "{said}");
    }
    let (code, said) = run("breaker_opened");
    assert_eq!(code, Some(1));
    assert!(said.contains("did you mean `breaker_open`?"), "{said}");
}

//! Decisions before traffic: logs replayed, recent requests asked, reloads guarded and on trial.

use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;
use std::io::Write;
use std::path::Path;

fn config(v1: &Upstream, v2: &Upstream, more: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nretry = {{ attempts = 1 }}\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [colors.canary]\nwhen = [{{ header = {{ x-group = \"beta\" }}, cookie = {{ side = \"new\" }} }}]\n\
         versions = {{ shop = \"v2\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n{more}",
        listeners("\"127.0.0.0/8\""),
        v1.address,
        v2.address
    )
}

const MORE: &str = "[routes.gone]\nmatch = { path = \"/old/*\" }\nrespond = { status = 410 }\n";

fn ask(gateway: &Gateway) {
    for number in 0..30 {
        let path = ["/a", "/old/b", "/c?debug=1"][number % 3];
        gateway.get(
            path,
            "X-Group: beta\r\nX-Secret: hush\r\nCookie: side=new; session=hush\r\n",
        );
    }
}

fn replay(words: &[&str]) -> (Option<i32>, String) {
    let done = tyrian().arg("replay").args(words).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    (
        done.status.code(),
        text + &String::from_utf8_lossy(&done.stderr),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_log_says_what_another_configuration_would_change() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, ""));
    ask(&gateway);
    gateway.wait_for("the log", |gateway| gateway.access_log().len() == 30);
    let log = gateway.dir.path().join("access.log");
    let old = gateway.config_file();
    let new = gateway.dir.path().join("new.conf");
    std::fs::write(&new, config(&v1, &v2, MORE)).unwrap();
    let (code, said) = replay(&[text(&log), "--config", text(&old)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 of 30 requests change"), "{said}");
    let (code, said) = replay(&[text(&log), "--config", text(&new)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("all [canary] shop/v2 → gone [canary]"),
        "{said}"
    );
    assert!(
        said.contains("GET http://a.example/old/b from 127.0.0.1"),
        "{said}"
    );
    let against = [text(&log), "-c", text(&new), "-a", text(&old), "-o", "json"];
    let (code, said) = replay(&against);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &report["changed"]),
        (Some(1), &10.into()),
        "{report}"
    );
    assert_eq!(report["groups"][0]["after"]["route"], "gone");
    let (_, page) = replay(&[text(&log), "-c", text(&new), "-o", "html"]);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    packed_logs_are_read(&log, &new);
}

fn packed_logs_are_read(log: &Path, new: &Path) {
    let plain = std::fs::read(log).unwrap();
    let gzip = log.with_extension("gz");
    let file = std::fs::File::create(&gzip).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packer.write_all(&plain).unwrap();
    packer.finish().unwrap();
    let zstandard = log.with_extension("zst");
    std::fs::write(&zstandard, zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
    for packed in [gzip, zstandard] {
        let (code, said) = replay(&[text(&packed), "-c", text(new)]);
        assert_eq!(code, Some(1));
        assert!(said.contains("10 of 30 requests change"), "{said}");
    }
    std::fs::write(log, b"\x28\xb5\x2f\xfdbroken").unwrap();
    let (code, said) = replay(&[text(log), "-c", text(new)]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot read"), "{said}");
}

#[test]
fn the_log_keeps_what_the_decision_asks_about_and_nothing_else() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, ""));
    ask(&gateway);
    let line = gateway.logged(|line| line["path"] == "/c");
    assert_eq!(line["headers"], serde_json::json!({ "x-group": "beta" }));
    assert_eq!(line["cookies"], serde_json::json!({ "side": "new" }));
    assert_eq!(line["trusted"], true);
    assert!(
        line.get("matched_query").is_none(),
        "no route asks about the query"
    );
    assert!(!line.to_string().contains("hush"));
}

/// Conditions on what nobody may read in a log.
const SECRETS: &str = "[colors.inner]\nversions = { shop = \"v2\" }\n\
     when = [{ header = { x-api-key = \"hush one\" } }, { cookie = { session = \"hush-two\" } }]\n\
     [routes.inner]\nmatch = { path = \"/*\", query = { token = \"hush three\" } }\nrespond = {}\n";

#[test]
fn secrets_are_masked_and_decide_again_all_the_same() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let before = config(&v1, &v2, SECRETS);
    let mut gateway = Gateway::start(&before);
    for (path, field) in [
        ("/one", "X-Api-Key: hush one\r\n"),
        ("/two", "Cookie: session=hush-two\r\n"),
        ("/three?token=hush%20three", ""),
        ("/four", "X-Api-Key: hush of another\r\n"),
    ] {
        gateway.get(path, field);
    }
    gateway.wait_for("the log", |gateway| gateway.access_log().len() == 4);
    let lines = gateway.access_log();
    for line in &lines {
        assert!(!line.to_string().contains("hush"), "{line}");
    }
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(of("/one")["color_served"], "inner");
    assert_ne!(of("/one")["headers"], of("/four")["headers"], "told apart");
    let log = gateway.dir.path().join("access.log");
    let state = gateway.dir.path().join("state");
    let same = gateway.config_file();
    let by_key = [text(&log), "-c", text(&same), "--state", text(&state)];
    let (code, said) = replay(&by_key);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 of 4 requests change"), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::mode;
    let key = gateway.state_folder().join("mask.key");
    let key = key.metadata().unwrap().permissions();
    assert_eq!(mode(&key) & 0o777, 0o600);
    // What the gateway remembers itself is masked too, and decided again by the same key.
    let body = serde_json::json!({ "text": before }).to_string();
    let (_, verdict) = gateway.api("POST", "/v1/config/check?replay=recent", &body);
    assert_eq!(verdict["replay"]["requests"], 4, "{verdict}");
    assert_eq!(verdict["replay"]["changed"], 0, "{verdict}");
    let after = before.replace("hush one", "another");
    let body = serde_json::json!({ "text": after }).to_string();
    let (_, verdict) = gateway.api("POST", "/v1/config/check?replay=recent", &body);
    assert_eq!(verdict["replay"]["changed"], 1, "{verdict}");
    let report = verdict["replay"].to_string();
    assert!(!report.contains("hush"), "{report}");
}

#[test]
fn recent_requests_are_asked_and_guard_a_reload() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let guarded = "[server]\nreload_guard = { max_changed = \"5%\" }\n";
    let before = config(&v1, &v2, guarded);
    let mut gateway = Gateway::start(&before);
    ask(&gateway);
    gateway.counts(
        "tyrian_requests_total{route=\"all\",service=\"shop\",version=\"v2\",color=\"canary\",code=\"200\"}",
        30.0,
    );
    let after = config(&v1, &v2, &format!("{MORE}{guarded}"));
    let body = serde_json::json!({ "text": after }).to_string();
    let (status, verdict) = gateway.api("POST", "/v1/config/check?replay=recent", &body);
    assert_eq!(status, 200, "{verdict}");
    assert_eq!(verdict["replay"]["changed"], 10, "{verdict}");
    assert_eq!(
        gateway.api("POST", "/v1/config/check?replay=x", &body).0,
        400
    );
    gateway.write_config(&after);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!((status, &verdict["outcome"]), (422, &"rejected".into()));
    let rendered = verdict["rendered"].as_str().unwrap();
    assert!(
        rendered.contains("10 of 30 recent requests (33.33%)"),
        "{rendered}"
    );
    assert_eq!(gateway.get("/old/b", "").status, 200);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", r#"{"force":true}"#);
    assert_eq!((status, &verdict["outcome"]), (200, &"applied".into()));
    assert_eq!(gateway.get("/old/b", "").status, 410);
    gateway.wait_for("the log", |gateway| {
        gateway.log().contains("configuration refused")
    });
}

#[test]
fn an_unconfirmed_reload_goes_back_by_itself_and_a_confirmed_one_stays() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, ""));
    // The watch may be faster; then what it has put to work is on trial.
    gateway.write_config(&config(&v1, &v2, MORE));
    let (_, verdict) = gateway.api("POST", "/v1/config/reload", r#"{"confirm":"1s"}"#);
    assert_eq!(verdict["trial"]["back_to"], 1, "{verdict}");
    gateway.wait_for("the way back", |gateway| {
        gateway.get("/old/b", "").status == 200
    });
    assert_eq!(gateway.api("POST", "/v1/config/confirm", "").0, 409);
    gateway.write_config(&config(&v1, &v2, &format!("{MORE}# again\n")));
    let (_, verdict) = gateway.api("POST", "/v1/config/reload", r#"{"confirm":"60s"}"#);
    assert!(verdict["trial"].is_object(), "{verdict}");
    assert_eq!(gateway.api("POST", "/v1/config/confirm", "").0, 200);
    assert_eq!(gateway.get("/old/b", "").status, 410);
    assert_eq!(
        gateway
            .api("POST", "/v1/config/reload", r#"{"confirm":"0s"}"#)
            .0,
        400
    );
}

#[test]
fn a_reload_on_trial_goes_back_as_soon_as_a_route_gets_worse() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    for says in ["500 No\r\n", "200 OK\r\nGrpc-Status: 14\r\n"] {
        let mut gateway = Gateway::start(&config(&v1, &v2, ""));
        for _ in 0..60 {
            assert_eq!(gateway.get("/", "").status, 200);
        }
        v2.say(Some(&format!("HTTP/1.1 {says}Content-Length: 0\r\n\r\n")));
        let broken = config(&v1, &v2, "").replace("default = \"v1\"", "default = \"v2\"");
        gateway.write_config(&broken);
        let (_, verdict) = gateway.api("POST", "/v1/config/reload", r#"{"confirm":"60s"}"#);
        assert!(verdict["trial"].is_object(), "{verdict}");
        gateway.wait_for("the way back", |gateway| {
            gateway.get("/", "").header("x-upstream") == Some("v1")
        });
        assert!(
            gateway
                .log()
                .contains("route all: 100% of its requests failed")
        );
    }
}

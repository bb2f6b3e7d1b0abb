//! What the admin API lists: listeners, the certificates they show, and who changed what.

use crate::client::Connection;
use crate::gateway::Gateway;
use crate::upstream::Upstream;
use serde_json::Value;
use tyrian::tls::dev::{Authority, Role};

/// Calls without a token that the ring keeps; the answer says so too.
const REFUSED_KEPT: usize = 64;

struct Scene {
    dir: tempfile::TempDir,
    _upstream: Upstream,
    gateway: Gateway,
}

/// A listener in the open and one with TLS.
fn start() -> Scene {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start("v1"));
    let authority = Authority::new().unwrap();
    let names = ["shop.example".to_owned(), "*.shop.example".to_owned()];
    let pair = authority.sign(&names, Role::Server).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("a.pem"), &pair.certificate).unwrap();
    std::fs::write(path("a.key"), &pair.key).unwrap();
    std::fs::write(path("reader"), "only-looking\n").unwrap();
    let gateway = Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\n\
         clients = {{ trust = [\"10.0.0.0/8\"], max_connections = 9 }}\n\
         [listeners.secure]\nbind = \"127.0.0.1:0\"\n\
         tls = {{ certs = [{{ chain = {:?}, key = {{ file = {:?} }} }}], min_version = \"1.3\" }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\nread_token = {{ file = {:?} }}\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        path("a.pem"),
        path("a.key"),
        path("reader"),
        upstream.address,
    ));
    Scene {
        dir,
        _upstream: upstream,
        gateway,
    }
}

/// One of a list, by the value of a field.
fn one<'a>(list: &'a Value, field: &str, value: &str) -> &'a Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|one| one[field] == value).unwrap()
}

fn status(gateway: &Gateway, line: &str, token: &str) -> u16 {
    let address = gateway.address("admin");
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Connection::to(address).exchange(request.as_bytes()).status
}

#[test]
fn listeners_are_listed_with_what_they_speak_and_who_is_connected() {
    let mut scene = start();
    let list = |gateway: &Gateway| gateway.api("GET", "/v1/listeners", "").1;
    let seen = list(&scene.gateway);
    let web = one(&seen["listeners"], "name", "web");
    assert_eq!(web["bind"], "127.0.0.1:0");
    assert_eq!(web["address"], scene.gateway.address("web").to_string());
    assert_eq!(web["protocols"], serde_json::json!(["h1", "h2c"]));
    assert_eq!(web["trust"][0], "10.0.0.0/8");
    assert_eq!(
        (&web["connections"], &web["max_connections"]),
        (&0.into(), &9.into())
    );
    assert_eq!(web["tls"], Value::Null);
    let secure = one(&seen["listeners"], "name", "secure");
    assert_eq!(secure["tls"]["min_version"], "1.3");
    assert_eq!(secure["tls"]["certificates"], 1);

    let kept = [scene.gateway.connect(), scene.gateway.connect()];
    let connected = |gateway: &Gateway, name: &str| {
        one(&list(gateway)["listeners"], "name", name)["connections"].clone()
    };
    scene
        .gateway
        .wait_for("two connections", |gateway| connected(gateway, "web") == 2);
    assert_eq!(connected(&scene.gateway, "secure"), 0);
    drop(kept);
    scene
        .gateway
        .wait_for("no connection", |gateway| connected(gateway, "web") == 0);
}

#[test]
fn certificates_are_listed_with_names_dates_and_issuer_but_no_key() {
    let scene = start();
    let (code, list) = scene.gateway.api("GET", "/v1/certificates", "");
    assert_eq!(code, 200);
    let shown = &list["certificates"][0];
    assert_eq!(shown["listener"], "secure");
    assert_eq!(
        shown["names"],
        serde_json::json!(["shop.example", "*.shop.example"])
    );
    assert!(
        shown["issuer"]
            .as_str()
            .unwrap()
            .contains("Tyrian development CA")
    );
    assert_eq!(shown["state"], "valid");
    let time = |name: &str| {
        shown[name]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    assert!(time("not_before") < jiff::Timestamp::now());
    assert!(time("not_after") > jiff::Timestamp::now());
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    let key = std::fs::read_to_string(scene.dir.path().join("a.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!list.to_string().contains(line) && !list.to_string().contains("a.key"));
}

#[test]
fn the_audit_names_who_did_what_and_holds_no_secret() {
    let scene = start();
    let gateway = &scene.gateway;
    let filter = r#"{"filter": "info,tyrian=debug"}"#;
    assert_eq!(gateway.api("PUT", "/v1/log", filter).0, 200);
    assert_eq!(
        status(gateway, "POST /v1/config/reload", "only-looking"),
        403
    );
    for _ in 0..=REFUSED_KEPT {
        assert_eq!(
            status(gateway, "POST /v1/config/reload?token=s3cr3t", "guessed"),
            401
        );
    }
    let address = gateway.address("admin");
    let request = format!(
        "GET /v1/audit HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer only-looking\r\n\r\n"
    );
    let answer = Connection::to(address).exchange(request.as_bytes());
    assert_eq!(answer.status, 200, "a reader may look");
    let list: Value = serde_json::from_slice(&answer.body).unwrap();
    let entries = list["entries"].as_array().unwrap();
    let done: Vec<_> = entries
        .iter()
        .filter(|entry| !entry["role"].is_null())
        .collect();
    assert_eq!(
        entries.len() - done.len(),
        REFUSED_KEPT,
        "strangers have a ring of their own"
    );
    assert_eq!(list["refused_kept"], REFUSED_KEPT);
    assert_eq!(done.len(), 2, "looking leaves nothing");
    assert_eq!(
        (&done[0]["role"], &done[0]["status"]),
        (&"read".into(), &403.into())
    );
    assert_eq!(done[1]["deed"], "log: info,tyrian=debug");
    assert_eq!(
        (&done[1]["method"], &done[1]["path"]),
        (&"PUT".into(), &"/v1/log".into())
    );
    assert_eq!(done[1]["client"], "127.0.0.1");
    for secret in ["guessed", "s3cr3t", "only-looking", &gateway.token()] {
        assert!(!list.to_string().contains(secret), "{secret}");
    }
    assert_eq!(status(gateway, "GET /v1/audit", "guessed"), 401);
}

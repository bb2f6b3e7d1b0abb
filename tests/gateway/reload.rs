//! Reloads: by every way in, never losing a request, never letting a broken file take over.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn config(upstream: &Upstream, text: &str) -> String {
    format!(
        "{}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n\
         [routes.mark]\nmatch = {{ path = \"/mark\" }}\nrespond = {{ text = \"{text}\" }}\n",
        listeners(""),
        upstream.address
    )
}

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream, "one"));
    (upstream, gateway)
}

fn wait_for_mark(gateway: &mut Gateway, mark: &str) {
    gateway.wait_for(mark, |gateway| gateway.get("/mark", "").text() == mark);
}

#[test]
fn an_edit_goes_live_however_the_file_is_written() {
    let (upstream, mut gateway) = start();
    let file = gateway.config_file();
    gateway.write_config(&config(&upstream, "two"));
    wait_for_mark(&mut gateway, "two");
    let beside = gateway.dir.path().join("new");
    std::fs::write(&beside, config(&upstream, "three")).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    wait_for_mark(&mut gateway, "three");
    gateway.write_config(&config(&upstream, "four"));
    wait_for_mark(&mut gateway, "four");
}

#[test]
fn a_swapped_symlink_is_noticed() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let data = |name: &str, text: &str| {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(
            dir.path().join(name).join("tyrian.toml"),
            config(&upstream, text),
        )
        .unwrap();
    };
    let link = |to: &str| {
        let next = dir.path().join("next");
        std::os::unix::fs::symlink(to, &next).unwrap();
        std::fs::rename(&next, dir.path().join("..data")).unwrap();
    };
    data("..one", "one");
    link("..one");
    std::os::unix::fs::symlink("..data/tyrian.toml", dir.path().join("tyrian.toml")).unwrap();
    let mut gateway = Gateway::start_with("", |command| {
        let path = dir.path().to_owned();
        command.env("TYRIAN_CONFIG", path.join("tyrian.toml"));
        // The file on the command line is the harness's; name ours instead.
        let state = path.join("state");
        *command = {
            let mut other = crate::gateway::tyrian();
            other
                .arg("run")
                .arg("-c")
                .arg(path.join("tyrian.toml"))
                .arg("--state")
                .arg(state);
            other
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped());
            other
        };
    });
    wait_for_mark(&mut gateway, "one");
    data("..two", "two");
    link("..two");
    wait_for_mark(&mut gateway, "two");
}

#[test]
fn signals_and_the_api_reload_and_tell_the_verdict() {
    let (upstream, mut gateway) = start();
    for (signal, mark) in [("HUP", "two"), ("USR2", "three")] {
        gateway.write_config(&config(&upstream, mark));
        gateway.signal(signal);
        wait_for_mark(&mut gateway, mark);
    }
    let changed = config(&upstream, "four").replace(
        "bind = \"127.0.0.1:0\"\nclients",
        "bind = \"127.0.0.1:0\"\ntcp = { backlog = 100 }\nclients",
    );
    gateway.write_config(&changed);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    // The watch may have been faster; then the verdict is in the history.
    assert_eq!(status, 200, "{verdict}");
    wait_for_mark(&mut gateway, "four");
    let (_, history) = gateway.api("GET", "/v1/config/history", "");
    let newest = &history["generations"][0];
    let keys: Vec<&str> = newest["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["key"].as_str().unwrap())
        .collect();
    assert!(keys.contains(&"routes.mark.respond.text"), "{keys:?}");
    let backlog = newest["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["key"] == "listeners.web.tcp.backlog")
        .unwrap();
    assert_eq!(backlog["restart"], true, "a socket is made once");
    assert_eq!(gateway.get("/mark", "").status, 200);
}

#[test]
fn a_broken_file_never_takes_over_and_the_caller_is_told_why() {
    let (upstream, mut gateway) = start();
    let generation = gateway.metric("tyrian_config_generation").unwrap();
    gateway
        .write_config(&config(&upstream, "two").replace("service = \"app\"", "service = \"ap\""));
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!((status, &verdict["outcome"]), (422, &"rejected".into()));
    let found = verdict["diagnostics"].as_array().unwrap();
    assert!(
        found.iter().any(|found| found["code"] == "TY0101"),
        "{verdict}"
    );
    assert!(
        verdict["rendered"]
            .as_str()
            .unwrap()
            .contains("did you mean `app`?")
    );
    assert_eq!(gateway.get("/mark", "").text(), "one");
    assert_eq!(
        gateway.metric("tyrian_config_last_reload_successful"),
        Some(0.0)
    );
    assert_eq!(gateway.metric("tyrian_config_generation"), Some(generation));
    gateway.write_config(&config(&upstream, "three"));
    wait_for_mark(&mut gateway, "three");
    gateway.counts("tyrian_config_last_reload_successful", 1.0);
}

#[test]
fn an_earlier_generation_can_be_returned_to_and_stays() {
    let (upstream, mut gateway) = start();
    let first = gateway.metric("tyrian_config_generation").unwrap();
    gateway.write_config(&config(&upstream, "two"));
    wait_for_mark(&mut gateway, "two");
    let (status, verdict) = gateway.api(
        "POST",
        "/v1/config/rollback",
        &format!("{{\"generation\":{first}}}"),
    );
    assert_eq!((status, &verdict["outcome"]), (200, &"applied".into()));
    assert_eq!(gateway.get("/mark", "").text(), "one");
    let (_, shown) = gateway.api("GET", "/v1/status", "");
    assert_eq!(shown["config"]["rolled_back_to"].as_f64(), Some(first));
    assert_eq!(
        gateway
            .api("POST", "/v1/config/rollback", "{\"generation\":999}")
            .0,
        404
    );
    // Touching the file without changing it does not undo the rollback.
    gateway.write_config(&config(&upstream, "two"));
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(gateway.get("/mark", "").text(), "one");
}

#[test]
fn equal_content_is_no_drift_whatever_the_way_there() {
    let (upstream, mut gateway) = start();
    let first = gateway.metric("tyrian_config_generation").unwrap();
    let drift = |gateway: &Gateway| {
        let (_, status) = gateway.api("GET", "/v1/status", "");
        let config = &status["config"];
        (config["rolled_back_to"].as_f64(), config["applied"] == true)
    };
    let roll_back = |gateway: &Gateway| {
        let body = format!("{{\"generation\":{first}}}");
        let (status, verdict) = gateway.api("POST", "/v1/config/rollback", &body);
        assert_eq!((status, &verdict["outcome"]), (200, &"applied".into()));
    };
    let apply = |gateway: &Gateway, mark: &str| {
        let body = serde_json::json!({ "text": config(&upstream, mark) }).to_string();
        assert_eq!(gateway.api("POST", "/v1/config/apply", &body).0, 200);
    };
    // The text that was returned to is saved; the watch finds it.
    gateway.replace_config(&config(&upstream, "two"));
    wait_for_mark(&mut gateway, "two");
    roll_back(&gateway);
    assert_eq!(drift(&gateway), (Some(first), false));
    gateway.replace_config(&config(&upstream, "one"));
    gateway.wait_for("no drift", |gateway| drift(gateway) == (None, false));
    // A broken file afterwards is refused, and the rollback is not remembered.
    gateway.replace_config("[");
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 422);
    assert_eq!(drift(&gateway), (None, false));
    // An applied text, saved afterwards.
    apply(&gateway, "three");
    assert_eq!(drift(&gateway), (None, true));
    gateway.replace_config(&config(&upstream, "three"));
    gateway.wait_for("no drift", |gateway| drift(gateway) == (None, false));
    // A text, then a rollback, then a text again: each to what the file says.
    gateway.replace_config(&config(&upstream, "one"));
    wait_for_mark(&mut gateway, "one");
    apply(&gateway, "four");
    assert_eq!(drift(&gateway), (None, true));
    roll_back(&gateway);
    assert_eq!(drift(&gateway), (None, false));
    apply(&gateway, "four");
    apply(&gateway, "one");
    assert_eq!(drift(&gateway), (None, false));
    assert_eq!(gateway.get("/mark", "").text(), "one");
}

#[test]
fn a_request_and_a_tunnel_live_through_reloads() {
    let (upstream, mut gateway) = start();
    let mut slow = gateway.connect();
    slow.send(b"GET /drip/30 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut tunnel = gateway.connect();
    assert_eq!(tunnel.offer_websocket("/upgrade").status, 101);
    for mark in ["two", "three", "four"] {
        gateway.write_config(&config(&upstream, mark));
        wait_for_mark(&mut gateway, mark);
        tunnel.send(mark.as_bytes());
        assert_eq!(tunnel.take(mark.len()), mark.as_bytes());
    }
    let answer = slow.answer(false);
    assert!(answer.complete && answer.body.len() == 30);
}

#[test]
fn a_file_that_was_emptied_closes_no_door() {
    let (_upstream, mut gateway) = start();
    gateway.write_config("");
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 422, "{verdict}");
    assert!(verdict.to_string().contains("no listener"), "{verdict}");
    assert_eq!(gateway.get("/mark", "").status, 200);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "{\"force\": true}");
    assert_eq!(status, 200, "{verdict}");
    gateway.wait_for("the end of the listener", |gateway| {
        std::net::TcpStream::connect(gateway.address("web")).is_err()
    });
}

/// Reloads in the storm; more with `RELOADS=1000`.
fn storm() -> usize {
    std::env::var("RELOADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100)
}

#[test]
fn a_storm_of_reloads_half_of_them_broken_loses_no_request() {
    let (upstream, gateway) = start();
    let done = Arc::new(AtomicBool::new(false));
    let address = gateway.address("web");
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let done = done.clone();
            std::thread::spawn(move || {
                let (mut served, mut connection) = (0, Connection::to(address));
                while !done.load(Ordering::SeqCst) {
                    if worker % 2 == 0 {
                        connection = Connection::to(address);
                    }
                    let answer = connection.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(
                        (answer.status, answer.complete),
                        (200, true),
                        "after {served}"
                    );
                    served += 1;
                }
                served
            })
        })
        .collect();
    let breaks: [fn(String) -> String; 5] = [
        |text| text.replace("[routes.all]", "[routes.all"),
        |text| text.replace("service = \"app\"", "service = \"gone\""),
        |text| text.replace("path = \"/*\"", "path = \"*x\""),
        |text| text + "[routes.all2]\nmatch = { path = \"/*\" }\nservice = \"app\"\n",
        |text| text + "[[tests]]\nrequest = \"GET http://a/\"\nexpect = { route = \"mark\" }\n",
    ];
    let before = gateway.resident_kib();
    for round in 0..storm() {
        let good = config(&upstream, &format!("mark {round}"));
        let text = if round % 2 == 0 {
            good
        } else {
            breaks[round / 2 % breaks.len()](good)
        };
        // The last round's watch may be reading: an empty file is a sound configuration of nothing.
        gateway.replace_config(&text);
        let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
        let outcome = verdict["outcome"].as_str().unwrap_or("");
        // The watch sees the same edits, so it may have been first.
        assert!(
            status == if outcome == "rejected" { 422 } else { 200 },
            "{verdict}"
        );
        assert_eq!(outcome == "rejected", round % 2 == 1, "{round}: {verdict}");
        let live = format!("mark {}", round / 2 * 2);
        assert_eq!(gateway.get("/mark", "").text(), live);
    }
    done.store(true, Ordering::SeqCst);
    let served: usize = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .sum();
    assert!(served > storm(), "{served}");
    assert!(
        gateway.resident_kib() < before + 30_000,
        "{before} -> {}",
        gateway.resident_kib()
    );
}

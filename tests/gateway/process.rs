//! The life of the process: exit codes, drain, readiness, the token, the command line.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;

fn config(upstream: &Upstream) -> String {
    format!(
        "{}\n[server]\ndrain = {{ delay = \"300ms\", timeout = \"5s\" }}\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n",
        listeners(""),
        upstream.address
    )
}

fn ready(gateway: &Gateway) -> u16 {
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Connection::to(gateway.address("metrics"))
        .exchange(request.as_bytes())
        .status
}

#[test]
fn told_to_leave_it_turns_unready_ends_what_runs_and_exits_well() {
    for signal in ["TERM", "INT", "QUIT"] {
        let upstream = Upstream::start("v1");
        let mut gateway = Gateway::start(&config(&upstream));
        assert_eq!(ready(&gateway), 200);
        let mut slow = gateway.connect();
        slow.send(b"GET /delay/800 HTTP/1.1\r\nHost: a\r\n\r\n");
        gateway.wait_for("the request", |_| !upstream.heads().is_empty());
        gateway.signal(signal);
        gateway.wait_for("unready", |gateway| ready(gateway) == 503);
        assert_eq!(slow.answer(false).text(), "late");
        assert!(gateway.wait().success(), "{signal}");
        assert_eq!(gateway.access_log().len(), 1, "the log is flushed");
    }
}

#[test]
fn told_twice_it_leaves_at_once() {
    let upstream = Upstream::start("v1");
    let text = config(&upstream).replace("300ms", "30s");
    let mut gateway = Gateway::start(&text);
    gateway.signal("INT");
    gateway.wait_for("unready", |gateway| ready(gateway) == 503);
    gateway.signal("INT");
    assert!(gateway.wait().success());
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tyrian.toml");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        "[routes.a]\nmatch = { path = \"/\" }\nservice = \"x\"\n",
    )
    .unwrap();
    let code = |args: &[&str]| tyrian().args(args).output().unwrap().status.code().unwrap();
    assert_eq!(
        code(&["run", "-c", path, "--state", dir.path().to_str().unwrap()]),
        78
    );
    assert_eq!(code(&["check", path]), 78);
    std::fs::write(
        &file,
        "[routes.a]\nmatch = { path = \"/\" }\nrespond = {}\n",
    )
    .unwrap();
    assert_eq!(code(&["check", path]), 0);
    assert_eq!(code(&["check", "--deny-warnings", path]), 78);
    assert_eq!(code(&["frobnicate"]), 2);
    assert_eq!(code(&["status", "--admin", "127.0.0.1:1"]), 69);
    assert_eq!(code(&["healthcheck", "--admin", "127.0.0.1:1"]), 1);
    assert_eq!(code(&["explain", "TY0101"]), 0);
    assert_eq!(code(&["explain", "TY9999"]), 1);
    assert_eq!(code(&["explain", "breaker_open"]), 0);
    assert_eq!(code(&["explain", "breaker_opn"]), 1);
    assert_eq!(code(&["top", "--admin", "127.0.0.1:1"]), 2, "no terminal");
    for file in ["-c", "--config", "--file"] {
        assert_eq!(code(&["explain", file, path, "GET http://a/"]), 0);
    }
    let tests = "[[tests]]\nrequest = \"GET http://a/\"\nexpect = { status = 404 }\n";
    std::fs::write(
        &file,
        format!("[routes.a]\nmatch = {{ path = \"/\" }}\nrespond = {{}}\n{tests}"),
    )
    .unwrap();
    assert_eq!(code(&["test", path]), 1);
    let why = ["explain", "-c", path, "GET http://a/"];
    assert_eq!(code(&why), 0, "what fails can be looked into");
    assert_eq!(code(&["fmt", "--check", path]), 1);
    assert_eq!(code(&["fmt", path]), 0);
    assert_eq!(code(&["fmt", "--check", path]), 0);
}

#[test]
fn what_cannot_be_put_to_work_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tyrian.toml");
    let text = "[listeners.web]\nbind = \"127.0.0.1:0\"\n[routes.a]\nmatch = { path = \"/\" }\n\
                respond = {}\n[telemetry]\naccess_log = { path = \"/nowhere/at/all\" }\n";
    std::fs::write(&file, text).unwrap();
    let mut run = tyrian();
    run.args(["run", "-c"])
        .arg(&file)
        .env("TYRIAN_STATE", dir.path())
        .env("TYRIAN_LOG", "a=b=c");
    let done = run.env("TYRIAN_LOG_FORMAT", "xml").output().unwrap();
    assert_eq!(done.status.code(), Some(78));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(
        said.contains("cannot open the access log /nowhere/at/all"),
        "{said}"
    );
    assert!(
        said.contains("tyrian.toml:7:23") && said.contains("asked for here"),
        "{said}"
    );
    assert!(said.contains("TYRIAN_LOG=a=b=c is no filter"), "{said}");
    assert!(said.contains("TYRIAN_LOG_FORMAT=xml is neither"), "{said}");
}

#[test]
fn the_api_is_for_who_has_the_token_and_asks_for_us() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream));
    let admin = gateway.address("admin");
    let ask = |host: &str, token: &str| {
        let request = format!(
            "GET /v1/status HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        Connection::to(admin).exchange(request.as_bytes()).status
    };
    let token = gateway.token();
    assert_eq!(ask("localhost", &token), 200);
    assert_eq!(ask("localhost", "wrong"), 401);
    assert_eq!(ask("localhost", ""), 401);
    assert_eq!(ask("rebound.example", &token), 403);
    assert!(!gateway.log().contains(&token));
    for path in [
        "/v1/routes",
        "/v1/services",
        "/v1/colors",
        "/v1/config/history",
    ] {
        assert_eq!(gateway.api("GET", path, "").0, 200, "{path}");
    }
    assert_eq!(
        gateway.api("PUT", "/v1/log", "{\"filter\":\"debug\"}").0,
        200
    );
    assert_eq!(gateway.api("PUT", "/v1/log", "{\"filter\":\"=!\"}").0, 400);
}

#[test]
fn verbs_talk_to_the_running_gateway() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream));
    let admin = gateway.address("admin").to_string();
    let metrics = gateway.address("metrics").to_string();
    let token = gateway.dir.path().join("state/admin.token");
    let run = |args: &[&str]| {
        let output = tyrian()
            .env("TYRIAN_ADMIN_TOKEN_FILE", &token)
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    assert_eq!(run(&["healthcheck", "--admin", &metrics]).0, 0);
    assert!(
        run(&["status", "--admin", &admin])
            .1
            .contains("generation   1")
    );
    assert!(run(&["routes", "--admin", &admin]).1.contains("all"));
    assert!(
        run(&["reload", "--admin", &admin])
            .1
            .contains("nothing has changed")
    );
    assert!(
        run(&["config", "show", "--admin", &admin])
            .1
            .contains("services.app.versions.v1.endpoints")
    );
    assert!(
        run(&["config", "history", "--admin", &admin])
            .1
            .contains('1')
    );
    let file = gateway.config_file();
    assert_eq!(
        run(&["diff", "--admin", &admin, file.to_str().unwrap()]).0,
        0
    );
}

#[test]
fn verbs_find_the_token_where_the_gateway_keeps_its_state() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream));
    let admin = gateway.address("admin").to_string();
    let state = gateway.dir.path().join("state");
    let elsewhere = gateway.dir.path().join("elsewhere");
    let explain = ["explain", "GET http://a/"];
    for verb in [&["config", "show"][..], &explain, &["reload"]] {
        let run = |of: &std::path::Path, flag: bool| {
            let mut command = tyrian();
            command.args(verb).args(["--admin", &admin]);
            match flag {
                true => command.arg("--state").arg(of),
                false => command.env("TYRIAN_STATE", of),
            };
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            (output.status.code().unwrap(), said)
        };
        for flag in [true, false] {
            assert_eq!(run(&state, flag), (0, String::new()), "{verb:?}");
        }
        let (code, said) = run(&elsewhere, true);
        assert_eq!(code, 77, "{verb:?}");
        assert!(said.contains("--state"), "{said}");
        assert!(!elsewhere.exists(), "looking makes nothing");
    }
}

#[test]
fn two_addresses_are_enough_to_serve() {
    let upstream = Upstream::start("v1");
    let to = upstream.address.to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = tyrian()
        .args([
            "run",
            "--from",
            "127.0.0.1:0",
            "--to",
            &to,
            "--state",
            dir.path().to_str().unwrap(),
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child = output.unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let address = lines.find_map(|line| {
        let value: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
        (value["listener"] == "web").then(|| value["address"].as_str().unwrap().parse().unwrap())
    });
    let answer = Connection::to(address.unwrap()).exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer.text(), "v1");
}

#[test]
fn an_online_check_tells_what_is_wrong_around_the_file() {
    let upstream = Upstream::start("v1");
    let issuer = Upstream::start("issuer");
    let keys = include_str!("../config_corpus/files/p256.jwks");
    issuer.say_ok("Content-Type: application/json\r\n", keys);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "x").unwrap();
    let file = dir.path().join("tyrian.toml");
    let text = format!(
        "[listeners.web]\nbind = \"{}\"\nclients = {{ max_connections = 4000000000 }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"off\"\ntoken = {{ file = \"{}\" }}\n\
         [services.app.versions.v1]\nendpoints = [\"{}\", \"127.0.0.1:1\", \"no.such.invalid:80\"]\n\
         [jwt.users]\nissuer = \"i\"\nalgorithms = [\"RS256\"]\n\
         keys = {{ jwks_url = \"http://127.0.0.1:1/jwks.json\" }}\n\
         [jwt.corp]\nissuer = \"c\"\nalgorithms = [\"ES256\", \"RS256\"]\n\
         keys = {{ jwks_url = \"http://{}/jwks.json\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\nauth = [\"users\", \"corp\"]\n\
         [telemetry]\naccess_log = {{ path = \"{}/none/access.log\" }}\n\
         traces = {{ otlp = \"http://127.0.0.1:1\" }}\n",
        taken.local_addr().unwrap(),
        token.display(),
        upstream.address,
        issuer.address,
        dir.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let check = |more: &[&str]| {
        let output = tyrian()
            .arg("check")
            .arg(&file)
            .args(more)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, quiet) = check(&[]);
    assert_eq!(code, Some(0));
    assert!(!quiet.contains("TY051"), "{quiet}");
    let (code, told) = check(&["--online"]);
    assert_eq!(
        code,
        Some(0),
        "the machine that checks need not be the one that serves"
    );
    for part in [
        "listener `web` cannot bind",
        "file descriptors are allowed here",
        "endpoint `127.0.0.1:1`: nobody answers",
        "endpoint `no.such.invalid:80`: its name does not resolve",
        "collector `http://127.0.0.1:1/v1/traces`: nobody answers",
        "keys of `users` cannot be fetched",
        "no key of `corp` at",
        "is one for RS256",
        "others may read the token",
        "the directory of the access log",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(&upstream.address.to_string()), "{told}");
    assert_eq!(check(&["--online", "--deny-warnings"]).0, Some(78));
}

#[test]
fn coverage_lists_what_no_test_meets() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tyrian.toml");
    let text = "[listeners.web]\nbind = \":0\"\n[services.shop]\ndefault = \"v1\"\n\
        versions.v1.endpoints = [\"127.0.0.1:1\"]\nversions.v2.endpoints = [\"127.0.0.1:2\"]\n\
        [colors.canary]\nversions = { shop = \"v2\" }\nwhen = [{ cookie = { side = \"new\" } }]\n\
        [colors.next]\nversions = { shop = \"v2\" }\nshare = { percent = \"1%\" }\n\
        [routes.all]\nmatch = { path = \"/*\" }\nservice = \"shop\"\n\
        [routes.ping]\nmatch = { path = \"/ping\" }\nrespond = {}\n\
        [[tests]]\nrequest = \"GET http://a/\"\ncookies = { side = \"new\" }\n\
        expect = { version = \"v2\", upstream_headers = { x-tyrian-color = \"canary\" } }\n\
        [[tests]]\nrequest = \"GET http://a/\"\ncookies = { side = \"new\" }\nopen = [\"shop/v2\"]\n\
        expect = { color = \"canary\", version = \"v1\" }\n";
    std::fs::write(&file, text).unwrap();
    let done = tyrian()
        .args(["test", "--coverage"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(
        said,
        "2 passed, 0 failed\n1 of 2 routes are met by tests; not: ping\n\
         1 of 2 colors are met by tests; not: next\n"
    );
}

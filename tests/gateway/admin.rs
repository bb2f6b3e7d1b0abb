//! Who may use the admin API, and what it leaves behind.

use crate::client::{Answer, Connection};
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let reader = dir.path().join("reader.token");
    std::fs::write(&reader, "only-looking\n").unwrap();
    let text = format!(
        "{}read_token = {{ file = {:?} }}\nhosts = [\"gateway.internal\"]\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n",
        listeners(""),
        reader.to_str().unwrap(),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    // The token is read at each use: it must outlive this function.
    std::mem::forget(dir);
    (upstream, gateway)
}

/// A call with these headers, and with what stands for `{}` in them.
fn call(gateway: &Gateway, line: &str, headers: &str, body: &str) -> Answer {
    let address = gateway.address("admin");
    let host = match headers.contains("Host:") {
        true => String::new(),
        false => format!("Host: {address}\r\n"),
    };
    let request = format!(
        "{line} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Connection::to(address).exchange(request.as_bytes())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn a_reader_may_look_and_ask_but_change_nothing() {
    let (_upstream, gateway) = start();
    let reader = bearer("only-looking");
    let status = call(&gateway, "GET /v1/status", &reader, "");
    assert_eq!(status.status, 200);
    assert!(status.text().contains("\"role\":\"read\""));
    let question = "{\"url\": \"http://a.example/x\"}";
    assert_eq!(
        call(&gateway, "POST /v1/explain", &reader, question).status,
        200
    );
    assert_eq!(
        call(&gateway, "POST /v1/config/check", &reader, "").status,
        200
    );
    for line in [
        "POST /v1/config/reload",
        "POST /v1/config/apply",
        "PUT /v1/log",
        "PUT /v1/services/app/v1/breaker",
        "GET /debug/pprof/profile?seconds=1",
    ] {
        let answer = call(&gateway, line, &reader, "");
        assert_eq!(answer.status, 403, "{line}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("insufficient_scope")
        );
    }
    assert_eq!(
        call(&gateway, "GET /v1/status", &bearer("nobody"), "").status,
        401
    );
}

#[test]
fn a_page_elsewhere_gets_nothing_whatever_name_it_uses() {
    let (_upstream, gateway) = start();
    let token = bearer(&gateway.token());
    let with = |more: &str| call(&gateway, "GET /v1/status", &format!("{token}{more}"), "").status;
    assert_eq!(with("Host: evil.example\r\n"), 403);
    assert_eq!(with("Host: gateway.internal:9980\r\n"), 200);
    assert_eq!(with("Origin: https://evil.example\r\n"), 403);
    assert_eq!(with("Origin: null\r\n"), 403);
    let address = gateway.address("admin");
    assert_eq!(with(&format!("Origin: http://{address}\r\n")), 200);
    assert_eq!(
        call(&gateway, "GET /", "Host: evil.example\r\n", "").status,
        403
    );
}

#[test]
fn a_write_made_for_another_generation_is_refused() {
    let (_upstream, gateway) = start();
    let token = bearer(&gateway.token());
    let seen = call(&gateway, "GET /v1/config", &token, "");
    let tag = seen.header("etag").unwrap().to_owned();
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let text = text.replace("path = \"/*\"", "path = \"/shop/*\"");
    let for_it = format!("{token}If-Match: {tag}\r\n");
    let applied = call(&gateway, "POST /v1/config/apply", &for_it, &text);
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_ne!(applied.header("etag"), Some(tag.as_str()));
    let late = call(
        &gateway,
        "POST /v1/config/rollback",
        &for_it,
        "{\"generation\": 1}",
    );
    assert_eq!(late.status, 412);
    let any = format!("{token}If-Match: *\r\n");
    let back = call(
        &gateway,
        "POST /v1/config/rollback",
        &any,
        "{\"generation\": 1}",
    );
    assert_eq!(back.status, 200);
}

#[test]
fn an_applied_text_serves_until_the_file_is_read_again() {
    let (_upstream, gateway) = start();
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let token = bearer(&gateway.token());
    let wrong = call(&gateway, "POST /v1/config/apply", &token, "nonsense");
    assert_eq!(wrong.status, 422);
    let told = call(
        &gateway,
        "POST /v1/config/apply?verdict",
        &token,
        "nonsense",
    );
    assert_eq!(told.status, 200, "asked to tell, not to judge");
    assert_eq!(gateway.get("/x", "").status, 200);
    let other = text.replace("path = \"/*\"", "path = \"/shop/*\"");
    assert_eq!(
        call(&gateway, "POST /v1/config/apply", &token, &other).status,
        200
    );
    assert_eq!(gateway.get("/x", "").status, 404);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    assert_eq!(status["config"]["applied"], true);
    let (_, texts) = gateway.api("GET", "/v1/config/history/2", "");
    assert_eq!(texts["files"][0]["text"], other);
    let (_, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(verdict["outcome"], "applied");
    assert_eq!(gateway.get("/x", "").status, 200);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    assert_eq!(status["config"]["applied"], false);
}

#[test]
fn an_applied_text_is_guarded_as_a_reload_is() {
    let (_upstream, gateway) = start();
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let text = text + "[server]\nreload_guard = { max_changed = \"5%\" }\n";
    let token = bearer(&gateway.token());
    let apply = |line: &str, text: &str| {
        let answer = call(&gateway, &format!("POST /v1/config/{line}"), &token, text);
        let body = String::from_utf8(answer.body).unwrap();
        (answer.status, body)
    };
    assert_eq!(apply("apply", &text).0, 200);
    let (status, said) = apply("apply", "");
    assert!(status == 422 && said.contains("no listener"), "{said}");
    for _ in 0..30 {
        assert_eq!(gateway.get("/x", "").status, 200);
    }
    let other = text.replace("path = \"/*\"", "path = \"/shop/*\"");
    let (status, said) = apply("apply", &other);
    assert!(status == 422 && said.contains("reload_guard"), "{said}");
    assert_eq!(gateway.get("/x", "").status, 200);
    assert_eq!(apply("apply?force=soon", &other).0, 400);
    assert_eq!(apply("apply?force", &other).0, 200);
    assert_eq!(gateway.get("/x", "").status, 404);
}

#[test]
fn every_write_leaves_one_line_that_says_who_and_what() {
    let (_upstream, mut gateway) = start();
    gateway.api("GET", "/v1/status", "");
    gateway.api("PUT", "/v1/log", "{\"filter\": \"info\"}");
    let (_, log) = gateway.api("GET", "/v1/log", "");
    assert_eq!(log["filter"], "info");
    let address = gateway.api("GET", "/v1/services", "").1["services"][0]["versions"][0]["endpoints"]
        [0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/services/app/v1/endpoints/{address}");
    gateway.api("PUT", &path, "{\"drained\": true}");
    gateway.api("PUT", "/v1/log", "{\"filter\": \"a=b=c\"}");
    gateway.wait_for("three lines", |gateway| {
        gateway.log().matches("\"message\":\"audit\"").count() == 3
    });
    let log = gateway.log();
    let mut lines = log
        .lines()
        .filter(|line| line.contains("\"message\":\"audit\""));
    let line: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    for (key, value) in [
        ("method", "PUT"),
        ("path", "/v1/log"),
        ("client", "127.0.0.1"),
        ("role", "write"),
        ("deed", "log: info"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(lines.next().unwrap().contains("drained true"));
    assert!(lines.next().unwrap().contains("\"status\":400"));
}

#[test]
fn whoever_is_not_let_in_leaves_a_line_too() {
    let (_upstream, mut gateway) = start();
    let guess = bearer("a guess");
    assert_eq!(call(&gateway, "GET /v1/status", &guess, "").status, 401);
    let reader = bearer("only-looking");
    let reload = call(&gateway, "POST /v1/config/reload", &reader, "");
    assert_eq!(reload.status, 403);
    let token = gateway.token();
    let foreign = format!("Host: evil.example\r\n{}", bearer(&token));
    assert_eq!(call(&gateway, "GET /v1/status", &foreign, "").status, 403);
    gateway.wait_for("three lines", |gateway| {
        gateway.log().matches("\"message\":\"audit\"").count() == 3
    });
    let log = gateway.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("\"message\":\"audit\""));
    let told: Vec<_> = lines
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (
                line["status"].as_u64().unwrap(),
                line["role"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [(401, "-"), (403, "read"), (403, "-")];
    assert_eq!(
        told,
        expected.map(|(status, role)| (status, role.to_owned()))
    );
    assert!(!log.contains("a guess"));
}

#[test]
fn a_profile_is_taken_one_at_a_time() {
    let (_upstream, gateway) = start();
    let token = bearer(&gateway.token());
    let (profile, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            call(
                &gateway,
                "GET /debug/pprof/profile?seconds=2&format=svg",
                &token,
                "",
            )
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let second = call(&gateway, "GET /debug/pprof/profile?seconds=1", &token, "");
        (first.join().unwrap(), second)
    });
    assert_eq!(profile.status, 200, "{}", profile.text());
    assert!(profile.text().starts_with("<svg"));
    assert_eq!(second.status, 409);
    let long = call(
        &gateway,
        "GET /debug/pprof/profile?seconds=3600",
        &token,
        "",
    );
    assert_eq!(long.status, 400);
}

#[cfg(not(feature = "heap-profiles"))]
#[test]
fn a_heap_profile_that_cannot_be_had_says_how_to_get_one() {
    let (_upstream, gateway) = start();
    let token = bearer(&gateway.token());
    let heap = call(&gateway, "GET /debug/pprof/heap", &token, "");
    assert_eq!(heap.status, 501);
    assert!(heap.text().contains("--features heap-profiles"));
}

#[cfg(feature = "heap-profiles")]
#[test]
fn a_heap_profile_tells_who_allocated_what_is_there_still() {
    use pprof::protos::{Message, Profile};
    use std::io::Read;

    let (_upstream, gateway) = start();
    let token = bearer(&gateway.token());
    // Connections that stay, as long as the profile takes.
    let busy = |format: &str| {
        let line = format!("GET /debug/pprof/heap?seconds=1&format={format}");
        std::thread::scope(|scope| {
            let profile = scope.spawn(|| call(&gateway, &line, &token, ""));
            let mut open = Vec::new();
            while !profile.is_finished() {
                let mut connection = Connection::to(gateway.address("web"));
                connection.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                open.push(connection);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            profile.join().unwrap()
        })
    };
    let profile = busy("protobuf");
    assert_eq!(profile.status, 200, "{}", profile.text());
    let mut bytes = Vec::new();
    let mut packed = flate2::read::GzDecoder::new(profile.body.as_slice());
    packed.read_to_end(&mut bytes).unwrap();
    let profile = Profile::decode(bytes.as_slice()).unwrap();
    let kind = profile.sample_type[0].ty as usize;
    assert_eq!(profile.string_table[kind], "inuse_space");
    assert!(profile.sample.iter().any(|sample| sample.value[0] > 0));
    let ours = |name: &String| name.contains("tyrian::");
    assert!(profile.string_table.iter().any(ours), "names are told");
    let picture = busy("svg");
    assert!(picture.text().starts_with("<svg"), "{}", picture.text());
    assert!(picture.text().contains(" bytes, "), "stacks are drawn");
    let long = call(&gateway, "GET /debug/pprof/heap?seconds=61", &token, "");
    assert_eq!(long.status, 400);
}

#[test]
fn the_document_of_the_api_names_every_resource() {
    let (_upstream, gateway) = start();
    let (status, document) = gateway.api("GET", "/v1/openapi.json", "");
    assert_eq!(status, 200);
    let source = std::fs::read_to_string("src/admin/api.rs").unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut routed = 0;
    for part in source.split(".route(").skip(1) {
        let path = part.split('"').nth(1).unwrap();
        assert!(paths.contains_key(path), "{path} is not in the document");
        routed += 1;
    }
    assert_eq!(routed, paths.len(), "the document names what is not there");
}

#[test]
fn the_dashboard_is_served_compressed_and_locked_down() {
    let (_upstream, gateway) = start();
    let page = call(&gateway, "GET /", "", "");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<title>Tyrian</title>"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    let packed = call(
        &gateway,
        "GET /assets/app.js",
        "Accept-Encoding: gzip\r\n",
        "",
    );
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    let tag = packed.header("etag").unwrap();
    let again = format!("If-None-Match: {tag}\r\n");
    assert_eq!(call(&gateway, "GET /assets/app.js", &again, "").status, 304);
    assert_eq!(call(&gateway, "GET /assets/../api.rs", "", "").status, 404);
}

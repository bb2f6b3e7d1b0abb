//! Paths in a file are relative to that file, wherever the process is started.

use crate::client::Connection;
use crate::gateway::{Gateway, tyrian};
use std::path::Path;

/// SHA-256 of `opensesame`.
const HASH: &str = "efd8c17dd9f02aa7eaf6c94a3f05f0d42b4ed0b1f9d1cfe7fb7b3ce8c5d6a5d1";

const MAIN: &str = r#"include = ["conf.d/*.toml"]

[listeners.web]
bind = "127.0.0.1:0"

[listeners.local]
bind = "unix:run/web.sock"

[listeners.tls]
bind = "127.0.0.1:0"
tls = { certs = [{ chain = "tls/a.pem", key = { file = "tls/a.key" } }], client_auth = { ca = "tls/ca.pem" } }

[admin]
bind = "127.0.0.1:0"
metrics = "127.0.0.1:0"
token = { file = "admin.token" }

[telemetry]
access_log = { path = "logs/access.log" }

[routes.all]
match = { path = "/*" }
respond = { text = "main" }
"#;

const KEYS: &str = r#"include = ["../shared/local.toml"]

[api_keys.partners]
file = "keys.txt"

[jwt.users]
issuer = "https://id.example/"
algorithms = ["ES256"]
keys = { pem = "public.pem" }
revoked = "revoked.txt"

[routes.keyed]
match = { path = "/keyed" }
respond = { text = "keyed" }
auth = ["partners", "users"]
"#;

const LOCAL: &str = r#"[services.local.versions.v1]
endpoints = ["unix:../run/web.sock"]

[routes.local]
match = { path = "/local" }
service = "local"
rewrite = { replace_prefix = "/from" }
"#;

/// Writes everything that the configuration names into a directory.
fn write_all(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["conf.d", "shared", "tls", "logs", "run"] {
        std::fs::create_dir(dir.join(directory)).unwrap();
    }
    let made = tyrian()
        .args(["dev-cert", "a.example", "--out"])
        .arg(dir)
        .output();
    assert!(made.unwrap().status.success());
    for (from, to) in [
        ("server.pem", "a.pem"),
        ("server.key", "a.key"),
        ("ca.pem", "ca.pem"),
    ] {
        std::fs::rename(dir.join(from), dir.join("tls").join(to)).unwrap();
    }
    let public = std::fs::read(root.join("tests/config_corpus/files/p256.pub.pem")).unwrap();
    let keys = format!("acme:{HASH}\n");
    for (name, content) in [
        ("admin.token", b"letmein\n".as_slice()),
        ("conf.d/keys.txt", keys.as_bytes()),
        ("conf.d/public.pem", &public),
        ("conf.d/revoked.txt", b"jti:1\n"),
        ("conf.d/keys.toml", KEYS.as_bytes()),
        ("shared/local.toml", LOCAL.as_bytes()),
    ] {
        std::fs::write(dir.join(name), content).unwrap();
    }
}

fn start() -> Gateway {
    Gateway::start_with(MAIN, |command| {
        let config = command.get_args().skip_while(|arg| *arg != "-c").nth(1);
        let dir = Path::new(config.unwrap()).parent().unwrap().to_owned();
        write_all(&dir);
        command.current_dir("/");
    })
}

/// A call of the admin API with the token that the configuration names.
fn api(gateway: &Gateway, line: &str, body: &str) -> String {
    let address = gateway.address("admin");
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer letmein\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Connection::to(address).exchange(request.as_bytes()).text()
}

#[test]
fn a_gateway_that_is_started_elsewhere_finds_its_files() {
    let mut gateway = start();
    assert_eq!(gateway.get("/", "").text(), "main");
    assert_eq!(gateway.get("/keyed", "").status, 401);
    assert!(gateway.dir.path().join("run/web.sock").exists());
    assert_eq!(gateway.get("/local", "").text(), "main", "over the socket");
    let log = gateway.dir.path().join("logs/access.log");
    gateway.wait_for("the log", |_| {
        std::fs::read_to_string(&log).is_ok_and(|text| !text.is_empty())
    });
    let shown = api(&gateway, "GET /v1/config", "");
    let full = gateway.dir.path().join("conf.d/keys.txt");
    assert!(shown.contains(&format!(", {}", full.display())), "{shown}");
}

#[test]
fn a_generation_is_returned_to_with_the_directories_it_had() {
    let mut gateway = start();
    let edited = MAIN.replace("text = \"main\"", "text = \"edited\"");
    gateway.replace_config(&edited);
    gateway.wait_for("the edit", |gateway| {
        gateway.get("/", "").text() == "edited"
    });
    // From here on another process, in another directory.
    gateway.restart();
    let verdict = api(&gateway, "POST /v1/config/rollback", "{\"generation\": 1}");
    assert!(verdict.contains("\"applied\""), "{verdict}");
    assert_eq!(gateway.get("/", "").text(), "main");
    assert_eq!(gateway.get("/keyed", "").status, 401);
    let checked = serde_json::json!({ "text": edited }).to_string();
    let verdict = api(&gateway, "POST /v1/config/check", &checked);
    assert!(verdict.contains("\"acceptable\""), "{verdict}");
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path());
    let main = dir.path().join("tyrian.toml");
    std::fs::write(
        &main,
        MAIN.replace("\"conf.d/*.toml\"", "\"conf.d/keys.toml\""),
    )
    .unwrap();
    for name in [
        "tyrian.toml",
        "conf.d/keys.toml",
        "conf.d/keys.txt",
        "conf.d/public.pem",
        "conf.d/revoked.txt",
        "tls/a.pem",
        "tls/a.key",
        "tls/ca.pem",
    ] {
        let path = dir.path().join(name);
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        for verb in [["check", "-q"], ["run", "-c"]] {
            let mut command = tyrian();
            let command = command.args(verb).arg(&main);
            let output = command
                .env("TYRIAN_STATE", dir.path().join("state"))
                .output();
            let output = output.unwrap();
            assert!(!output.status.success(), "{verb:?}, {name}");
        }
        std::fs::rename(dir.path().join("aside"), &path).unwrap();
    }
}

#[test]
fn a_verdict_names_the_full_path_that_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path());
    std::fs::write(dir.path().join("tyrian.toml"), MAIN).unwrap();
    let check = |from: &Path, file: &str| {
        let output = tyrian()
            .current_dir(from)
            .args(["check", file])
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let beside = dir.path().join("logs");
    assert!(!check(&beside, "../tyrian.toml").contains("error"));
    for missing in [
        "conf.d/keys.txt",
        "conf.d/public.pem",
        "conf.d/revoked.txt",
        "tls/a.pem",
        "tls/ca.pem",
    ] {
        let path = dir.path().join(missing);
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        let report = check(dir.path(), "tyrian.toml");
        assert!(
            report.contains(path.to_str().unwrap()),
            "{missing}:\n{report}"
        );
        std::fs::rename(dir.path().join("aside"), &path).unwrap();
    }
    std::fs::write(dir.path().join("b.toml"), "include = [\"sub/none.toml\"]").unwrap();
    let report = check(dir.path(), "b.toml");
    let full = dir.path().join("sub/none.toml");
    assert!(report.contains(full.to_str().unwrap()), "{report}");
}

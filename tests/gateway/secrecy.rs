//! What a text that comes by the API may see of the machine, and what no message ever shows.

use crate::gateway::{Gateway, tyrian};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Part of every secret. It looks like one: letters and digits without a break.
const MARK: &str = "mark7f3a9c2e5b8d1046";

/// The live configuration, with a file beside it and a variable.
const LIVE: &str = r#"include = ["more.toml", "conf.d/*.toml"]

[listeners.web]
bind = "127.0.0.1:0"

[admin]
bind = "127.0.0.1:0"
metrics = "127.0.0.1:0"
read_token = { file = "reader.token" }

[plugins.tag]
use = "headers"
config = { request = { set = { x-tag = "${TAG}" } } }

[routes.all]
match = { path = "/*" }
respond = { text = "main" }
plugins = ["tag"]
"#;

fn start() -> Gateway {
    let gateway = Gateway::start_with(LIVE, |command| {
        command.env("TAG", format!("tag-{MARK}")).env("OTHER", MARK);
        command.env("ACCESS_TOKEN", MARK);
        let config = command.get_args().skip_while(|arg| *arg != "-c").nth(1);
        let dir = Path::new(config.unwrap()).parent().unwrap().to_owned();
        std::fs::write(dir.join("reader.token"), MARK).unwrap();
        std::fs::write(
            dir.join("more.toml"),
            "[routes.more]\nmatch = { path = \"/more\" }\nrespond = { text = \"more\" }\n",
        )
        .unwrap();
    });
    assert_eq!(gateway.get("/more", "").text(), "more");
    gateway
}

/// What the API says of a text.
fn ask(gateway: &Gateway, what: &str, text: &str) -> Value {
    let body = json!({ "text": text }).to_string();
    let (status, verdict) = gateway.api("POST", &format!("/v1/config/{what}?verdict"), &body);
    assert_eq!(status, 200, "{verdict}");
    verdict
}

fn codes(verdict: &Value) -> Vec<&str> {
    let found = verdict["diagnostics"].as_array().unwrap();
    found
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect()
}

#[test]
fn a_text_by_the_api_sees_what_the_live_configuration_names() {
    let gateway = start();
    let verdict = ask(&gateway, "check", LIVE);
    assert_eq!(verdict["outcome"], "acceptable", "{verdict:#}");
    assert_eq!(verdict["changes"], json!([]), "{verdict:#}");
    let edited = LIVE.replace("text = \"main\"", "text = \"edited\"");
    let verdict = ask(&gateway, "check", &edited);
    assert_eq!(
        verdict["changes"].as_array().unwrap().len(),
        1,
        "{verdict:#}"
    );
    assert_eq!(ask(&gateway, "apply", &edited)["outcome"], "applied");
    assert_eq!(gateway.get("/", "").text(), "edited");
    // What was applied names the same files.
    assert_eq!(gateway.get("/more", "").text(), "more");
    assert_eq!(ask(&gateway, "apply", LIVE)["outcome"], "applied");
    let rolled = gateway.api("POST", "/v1/config/rollback", "{\"generation\": 1}");
    assert_eq!(rolled.1["outcome"], "applied", "{}", rolled.1);
    assert_eq!(ask(&gateway, "check", LIVE)["outcome"], "acceptable");
}

#[test]
fn a_text_by_the_api_sees_nothing_else_of_the_machine() {
    let gateway = start();
    let dir = gateway.dir.path();
    let secret = dir.join("secret.toml");
    std::fs::write(&secret, format!("{MARK} = [\n")).unwrap();
    let pipe = dir.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let new_log = dir.join("new.log");
    let including = |path: &str| LIVE.replacen("include = [", &format!("include = [{path:?}, "), 1);
    let texts = [
        including(secret.to_str().unwrap()),
        including("secret.toml"),
        including("reader.token"),
        including("./more/../more.toml"),
        including("*.toml"),
        including("/**/*.toml"),
        including("/dev/zero"),
        including(pipe.to_str().unwrap()),
        LIVE.replace("text = \"main\"", "text = \"${OTHER}\""),
        LIVE.replace("text = \"main\"", "text = \"${OTHER:-x}\""),
        LIVE.replace("text = \"main\"", "text = \"${PATH}\""),
        LIVE.replace("reader.token", "secret.toml"),
        LIVE.replace("reader.token", "/etc/hostname"),
        LIVE.replace("file = \"reader.token\"", "env = \"ACCESS_TOKEN\""),
        LIVE.replace("file = \"reader.token\"", "credential = \"token\""),
        format!("{LIVE}[server.access_log]\npath = {new_log:?}\n"),
        format!("{LIVE}[telemetry]\naccess_log = {{ path = {new_log:?} }}\n"),
        format!(
            "{LIVE}[jwt.j]\nissuer = \"i\"\nalgorithms = [\"ES256\"]\nkeys = {{ jwks_file = {pipe:?} }}\n"
        ),
        format!("{LIVE}[api_keys.k]\nfile = {pipe:?}\n"),
        // What a test compares with a variable would tell it letter by letter.
        format!(
            "{LIVE}[[tests]]\nrequest = \"GET http://a.example/${{TAG}}\"\nexpect = {{ route = \"all\" }}\n"
        ),
    ];
    for what in ["check", "apply"] {
        for text in &texts {
            let verdict = ask(&gateway, what, text);
            assert_eq!(verdict["outcome"], "rejected", "{text}\n{verdict:#}");
            let unavailable = codes(&verdict).contains(&"TY0508");
            assert!(
                unavailable || text.contains("server.access_log"),
                "{text}\n{verdict:#}"
            );
            assert!(!verdict.to_string().contains(MARK), "{text}\n{verdict:#}");
        }
    }
    assert!(!new_log.exists());
    assert!(!gateway.log().contains(MARK), "{}", gateway.log());
}

#[test]
fn a_variable_that_may_be_used_is_named_and_never_shown() {
    let gateway = start();
    let file = gateway.dir.path().join("beside.toml");
    for (text, message) in [
        ("[limits.l]\nrate = \"${TAG}\"\n", "`${TAG}` is not a rate"),
        (
            "[listeners.x]\nbind = \"${TAG}\"\n",
            "`${TAG}` is not an address",
        ),
        (
            "[services.x]\nbalance = \"${TAG}\"\nversions = {}\n",
            "`${TAG}` is not a value",
        ),
        (
            "[routes.x]\nmatch = { path = \"/x\" }\nservice = \"${TAG}\"\n",
            "service `${TAG}`",
        ),
        (
            "[routes.x]\nmatch = { path = { regex = \"(${TAG}\" } }\nrespond = {}\n",
            "is not a regular",
        ),
        (
            "[routes.x]\nmatch = { path = \"${TAG}\" }\nrespond = {}\n",
            "does not start with a slash",
        ),
    ] {
        std::fs::write(&file, format!("{LIVE}{text}")).unwrap();
        let mut check = tyrian();
        let check = check.env("TAG", format!("tag-{MARK}")).arg("check");
        let output = check.arg(&file).output().unwrap();
        let rendered = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(rendered.contains(message), "{rendered}");
        assert!(!rendered.contains(MARK), "{rendered}");
        // By the API, the variable stays where the live configuration has it.
        let verdict = ask(&gateway, "check", &format!("{LIVE}{text}"));
        assert!(codes(&verdict).contains(&"TY0508"), "{verdict:#}");
        assert!(!verdict.to_string().contains(MARK), "{verdict:#}");
    }
    let shown = shown(&gateway);
    assert!(shown.contains("\"${TAG}\""), "{shown}");
    assert!(!shown.contains(MARK), "{shown}");
}

/// What `config show` prints.
fn shown(gateway: &Gateway) -> String {
    let output = tyrian()
        .args(["config", "show", "--admin"])
        .arg(gateway.address("admin").to_string())
        .arg("--state")
        .arg(gateway.dir.path().join("state"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Every kind of file and variable that holds a secret, each with its content.
fn secrets() -> Vec<(&'static str, String)> {
    let hash = "ab".repeat(32);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----\n");
    let jwks =
        format!("{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"{MARK}\", \"kid\": \"{MARK}\"}}]}}");
    vec![
        ("reader.token", format!("{MARK}\n")),
        ("color.key", format!("{MARK}{MARK}\n")),
        ("hmac.secret", format!("{MARK}{MARK}\n")),
        ("jwks.json", jwks),
        ("public.pem", key.replace("PRIVATE", "PUBLIC")),
        ("keys.txt", format!("{MARK}:{hash}\n")),
        ("revoked.txt", format!("jti:{MARK}\n")),
        ("chain.pem", key.replace("PRIVATE KEY", "CERTIFICATE")),
        ("server.key", key.clone()),
        ("ca.pem", key.replace("PRIVATE KEY", "CERTIFICATE")),
        ("revoked.pem", key.replace("PRIVATE KEY", "X509 CRL")),
        ("collector.token", format!("{MARK}\n")),
    ]
}

/// A configuration that names all of them, and has one secret written in it.
const ALL: &str = r#"[listeners.web]
bind = "127.0.0.1:0"

[listeners.tls]
bind = "127.0.0.1:0"
tls = { certs = [{ chain = "chain.pem", key = { file = "server.key" } }], client_auth = { ca = "ca.pem", crl = "revoked.pem" } }

[admin]
bind = "127.0.0.1:0"
metrics = "127.0.0.1:0"
read_token = { file = "reader.token" }

[coloring]
keys = { k1 = { file = "color.key" }, k2 = { env = "COLOR_KEY" }, open = "OPEN" }

[jwt.shared]
issuer = "https://id.example/"
algorithms = ["HS256"]
keys = { hmac = { file = "hmac.secret" } }
revoked = "revoked.txt"

[jwt.set]
issuer = "https://set.example/"
algorithms = ["ES256"]
keys = { jwks_file = "jwks.json" }

[jwt.one]
issuer = "https://one.example/"
algorithms = ["ES256"]
keys = { pem = "public.pem" }

[api_keys.partners]
file = "keys.txt"

[telemetry.traces]
headers = { x-api-key = { file = "collector.token" }, authorization = { env = "COLLECTOR" } }

[plugins.tag]
use = "headers"
config = { request = { set = { x-tag = "${TAG}" } } }

[services.app.versions.v1]
endpoints = ["${TAG}:80"]

[routes.all]
match = { path = "/${TAG}/*", host = "${TAG}.example" }
respond = { text = "${TAG}", status = 200 }
plugins = ["tag"]
"#;

/// The text with one thing broken in it.
fn broken(text: &str, case: usize) -> String {
    let at = case * text.len() / 100;
    let (before, after) = text.split_at(at);
    let rest = |count: usize| after.get(count..).unwrap_or("");
    match case % 10 {
        0 => format!("{before}{}", rest(1)),
        1 => format!("{before}\"{after}"),
        2 => format!("{before}\n{after}"),
        3 => format!("{before}{}", rest(7)),
        4 => format!("{before}[{after}"),
        5 => format!("{before}={after}"),
        6 => format!("{before}}}{after}"),
        7 => before.to_owned(),
        8 => format!("{before}${{{after}"),
        _ => format!("{before}'''{after}"),
    }
}

/// A secret's file with something wrong about it.
fn damaged(content: &str, case: usize) -> Vec<u8> {
    let half = content.get(..content.len() / 2).unwrap_or(content);
    let text = match case {
        0 => half.to_owned(),
        1 => format!("{content}{content}"),
        2 => format!("{MARK} = {content}"),
        3 => format!("\"{MARK}\""),
        4 => format!("{{\"keys\": \"{MARK}\"}}"),
        5 => format!("-----BEGIN {MARK}\n{content}"),
        6 => content.replace("-----END", &format!("-----{MARK}\n-----END")),
        _ => return [content.as_bytes(), &[0xff, 0]].concat(),
    };
    text.into_bytes()
}

fn variables(command: &mut Command) -> &mut Command {
    let key = format!("{MARK}{MARK}");
    command
        .env("COLOR_KEY", key)
        .env("COLLECTOR", format!("Bearer {MARK}"));
    command.env("TAG", MARK).env("TYRIAN_LOG_FORMAT", "text")
}

/// Checks the file in one of the forms, and has the gateway read it; none may show a secret.
fn nothing_is_shown(gateway: &Gateway, case: usize, what: &str) {
    let form = ["human", "json", "sarif"][case % 3];
    let output = variables(&mut tyrian())
        .args(["check", "--format", form])
        .arg(gateway.config_file())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains(MARK), "{what}, {form}:\n{said}");
    let (_, verdict) = gateway.api("POST", "/v1/config/reload?verdict", "");
    assert!(!verdict.to_string().contains(MARK), "{what}:\n{verdict:#}");
    assert_ne!(verdict["outcome"], "applied", "{what}: not broken");
}

#[test]
fn no_diagnostic_quotes_a_secret_however_files_are_broken() {
    let all = ALL.replace("OPEN", MARK);
    let gateway = Gateway::start_with(&crate::gateway::listeners(""), |command| {
        variables(command);
    });
    let dir = gateway.dir.path();
    for (name, content) in secrets() {
        std::fs::write(dir.join(name), content).unwrap();
    }
    for case in 0..100 {
        std::fs::write(gateway.config_file(), broken(&all, case)).unwrap();
        nothing_is_shown(&gateway, case, &format!("{case}:\n{}", broken(&all, case)));
    }
    // Without the one that is written down, what is wrong in the files themselves is reached.
    std::fs::write(
        gateway.config_file(),
        all.replace(&format!(", open = \"{MARK}\""), ""),
    )
    .unwrap();
    for (name, content) in secrets() {
        for case in 0..8 {
            std::fs::write(dir.join(name), damaged(&content, case)).unwrap();
            nothing_is_shown(&gateway, case, &format!("{name}, {case}"));
        }
        std::fs::remove_file(dir.join(name)).unwrap();
        nothing_is_shown(&gateway, 0, &format!("{name} is gone"));
        std::fs::write(dir.join(name), content).unwrap();
    }
    // A secret in the place of a configuration file.
    std::fs::write(
        gateway.config_file(),
        "include = [\"*.token\", \"*.key\", \"jwks.json\"]",
    )
    .unwrap();
    for case in 0..3 {
        nothing_is_shown(&gateway, case, "included");
    }
    let (_, status) = gateway.api("GET", "/v1/status", "");
    assert!(!status.to_string().contains(MARK), "{status:#}");
    assert!(!gateway.log().contains(MARK), "{}", gateway.log());
}

//! Colors that are signed, kept apart, carried in the baggage, and over.

use crate::eyes::Events;
use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;

fn config(v1: &Upstream, v2: &Upstream, more: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [services.other.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         [routes.other]\nmatch = {{ path = \"/other\" }}\nservice = \"other\"\n{more}",
        listeners(""),
        v1.address,
        v2.address,
        v1.address
    )
}

const SIGNED: &str = "[coloring]\nsources = [\"header\", \"cookie:color\", \"query:tyrian\"]\n\
     keys = { k1 = { env = \"COLOR_KEY\" } }\n\
     [colors.canary]\nversions = { shop = \"v2\" }\n";

const KEY: (&str, &str) = ("COLOR_KEY", "sixteen characters or more");

fn start(text: &str) -> Gateway {
    Gateway::start_with(text, |command| {
        command.env(KEY.0, KEY.1);
    })
}

fn sign(gateway: &Gateway, words: &[&str]) -> String {
    let done = tyrian()
        .env(KEY.0, KEY.1)
        .args(["color", "sign"])
        .args(words)
        .arg("-c")
        .arg(gateway.config_file())
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_signed_color_is_believed_from_a_stranger_wherever_it_stands() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = start(&config(&v1, &v2, SIGNED));
    let token = sign(&gateway, &["canary", "--for", "1h"]);
    assert!(token.starts_with("canary~"), "{token}");
    assert_eq!(
        sign(&gateway, &["canary", "--for", "0s"]),
        "",
        "good for nothing"
    );
    for carried in [
        format!("X-Tyrian-Color: {token}\r\n"),
        format!("Cookie: a=b; color={token}\r\n"),
    ] {
        let answer = gateway.get("/", &carried);
        assert_eq!(answer.header("x-upstream"), Some("v2"), "{carried}");
        assert_eq!(v2.header("x-tyrian-color"), ["canary"]);
    }
    let forged = token.replace("canary", "canarx");
    for wrong in [forged.as_str(), "canary", "canary~9999999999~k1~"] {
        let answer = gateway.get("/", &format!("X-Tyrian-Color: {wrong}\r\n"));
        assert_eq!(answer.header("x-upstream"), Some("v1"), "{wrong}");
    }
    assert_eq!(sign(&gateway, &["nobody"]), "");
}

#[test]
fn a_link_lets_in_and_its_cookie_keeps_it() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = start(&config(&v1, &v2, SIGNED));
    let token = sign(&gateway, &["canary"]);
    let answer = gateway.get(&format!("/?tyrian={token}"), "");
    assert_eq!(answer.header("x-upstream"), Some("v2"));
    let cookie = answer.header("set-cookie").unwrap();
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(pair, format!("color={token}"));
    let answer = gateway.get("/", &format!("Cookie: {pair}\r\n"));
    assert_eq!(answer.header("x-upstream"), Some("v2"));
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn a_signed_color_is_in_no_log_and_on_no_tap() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let more = format!("{SIGNED}[telemetry]\naccess_log = {{ fields = [\"path\", \"query\"] }}\n");
    let mut gateway = start(&config(&v1, &v2, &more));
    let token = sign(&gateway, &["canary"]);
    let other = sign(&gateway, &["canary", "--for", "2h"]);
    let mut tap = Events::of(&gateway, "/v1/tap");
    tap.next("open", |_| true);
    gateway.get(
        &format!("/link?a=1&tyrian={token}&b=2"),
        &format!("Cookie: color={other}\r\n"),
    );
    gateway.get("/header", &format!("X-Tyrian-Color: {token}\r\n"));
    let forged = token.replace("canary", "canarx");
    gateway.get("/forged", &format!("Cookie: color={forged}\r\n"));
    gateway.wait_for("the log", |gateway| gateway.access_log().len() == 3);
    let tag = |token: &str| token.rsplit('~').next().unwrap().to_owned();
    for line in gateway.access_log() {
        let text = line.to_string();
        assert!(
            !text.contains(&tag(&token)) && !text.contains(&tag(&other)),
            "{text}"
        );
    }
    let shown = tap
        .next("request", |shown| shown["path"] == "/link")
        .to_string();
    assert!(!shown.contains(&tag(&token)), "{shown}");
    let line = gateway.logged(|line| line["path"] == "/link");
    assert_eq!(
        (&line["signed"], &line["query"]),
        (&"canary".into(), &"a=1&tyrian=***&b=2".into())
    );
    assert!(
        line.get("matched_query").is_none() && line.get("cookies").is_none(),
        "{line}"
    );
    let forged = gateway.logged(|line| line["path"] == "/forged");
    let value = forged["cookies"]["color"].as_str();
    assert!(value.unwrap().starts_with("***"), "{forged}");
}

#[test]
fn a_token_that_is_over_is_worth_nothing() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = start(&config(&v1, &v2, SIGNED));
    let header = format!(
        "X-Tyrian-Color: {}\r\n",
        sign(&gateway, &["canary", "--for", "1s"])
    );
    gateway.wait_for("its end", |gateway| {
        gateway.get("/", &header).header("x-upstream") == Some("v1")
    });
}

/// A provider whose public key is in a file, and the private one in another.
fn corporate(dir: &std::path::Path) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("public.pem"), key.public_key_pem()).unwrap();
    std::fs::write(dir.join("private.pem"), key.serialize_pem()).unwrap();
    format!(
        "[coloring]\nsources = [\"header\", \"cookie:color\", \"query:tyrian\"]\nsigners = [\"corp\"]\n\
         [jwt.corp]\nissuer = \"https://corp.example\"\nalgorithms = [\"ES256\"]\n\
         keys = {{ pem = \"{}/public.pem\" }}\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\n\
         [routes.staff]\nmatch = {{ path = \"/staff\" }}\nservice = \"shop\"\nauth = \"corp\"\n",
        dir.display()
    )
}

#[test]
fn a_color_that_a_provider_has_signed_is_believed_and_is_no_identity() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&config(&v1, &v2, &corporate(dir.path())));
    let key = dir.path().join("private.pem").display().to_string();
    let by = ["--jwt", "corp", "--private-key", key.as_str()];
    let token = sign(&gateway, &[&["canary", "--for", "1h"], &by[..]].concat());
    assert_eq!(token.split('.').count(), 3, "{token}");
    for _ in 0..2 {
        let answer = gateway.get("/", &format!("X-Tyrian-Color: {token}\r\n"));
        assert_eq!(answer.header("x-upstream"), Some("v2"));
        assert_eq!(v2.header("x-tyrian-color"), ["canary"]);
    }
    let asked = format!("{{\"url\":\"http://a/\",\"headers\":{{\"x-tyrian-color\":\"{token}\"}}}}");
    let (_, explained) = gateway.api("POST", "/v1/explain", &asked);
    assert_eq!(explained["version"], "v2", "{explained}");
    let answer = gateway.get(&format!("/?tyrian={token}"), "");
    assert_eq!(answer.header("x-upstream"), Some("v2"));
    assert!(answer.header("set-cookie").unwrap().contains(&token));
    // It brings a color, and says of nobody who he is.
    let staff = gateway.get("/staff", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(
        (staff.status, staff.reason().as_str()),
        (401, "jwt_bad_claims")
    );
    // Signed by somebody else, or changed.
    let other = tempfile::tempdir().unwrap();
    corporate(other.path());
    let stranger = other.path().join("private.pem").display().to_string();
    let forged = sign(
        &gateway,
        &["canary", "--jwt", "corp", "--private-key", &stranger],
    );
    assert_eq!(forged.split('.').count(), 3);
    let cut = &token[..token.len() - 4];
    for wrong in [forged.as_str(), cut, "a.b.c"] {
        let answer = gateway.get("/", &format!("X-Tyrian-Color: {wrong}\r\n"));
        assert_eq!(answer.header("x-upstream"), Some("v1"), "{wrong}");
    }
    let short = sign(&gateway, &[&["canary", "--for", "1s"], &by[..]].concat());
    let header = format!("X-Tyrian-Color: {short}\r\n");
    gateway.wait_for("its end", |gateway| {
        gateway.get("/", &header).header("x-upstream") == Some("v1")
    });
    assert_eq!(sign(&gateway, &["canary", "--jwt", "nobody"]), "");
    assert_eq!(sign(&gateway, &["canary", "--jwt", "corp"]), "");
}

#[test]
fn an_isolated_color_meets_its_own_versions_or_nobody() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let color = "[colors.lab]\nversions = { shop = \"v2\" }\nfallback = \"isolate\"\n\
                 when = [{ header = { x-lab = \"1\" } }]\n";
    let gateway = Gateway::start(&config(&v1, &v2, color));
    let answer = gateway.get("/", "X-Lab: 1\r\n");
    assert_eq!(answer.header("x-upstream"), Some("v2"));
    let answer = gateway.get("/other", "X-Lab: 1\r\n");
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (503, "no_healthy_endpoint")
    );
    v2.stop();
    assert_eq!(gateway.get("/", "X-Lab: 1\r\n").status, 503);
    assert!(v1.heads().is_empty());
}

#[test]
fn the_baggage_carries_the_color_beside_the_members_of_others() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let color = "[coloring]\nbaggage = \"tyrian-color\"\n\
                 [colors.lab]\nversions = { shop = \"v2\" }\nwhen = [{ header = { x-lab = \"1\" } }]\n";
    let gateway = Gateway::start(&config(&v1, &v2, color));
    gateway.get(
        "/",
        "X-Lab: 1\r\nBaggage: a=1;p=q\r\nBaggage: tyrian-color=forged,b=2\r\n",
    );
    assert_eq!(v2.header("baggage"), ["a=1;p=q,b=2,tyrian-color=lab"]);
    gateway.get("/", "X-Lab: 1\r\n");
    assert_eq!(v2.header("baggage"), ["tyrian-color=lab"]);
    gateway.get("/", "Baggage: tyrian-color=forged\r\n");
    assert!(v1.header("baggage").is_empty(), "nobody else may say it");
    let many: Vec<String> = (0..64).map(|n| format!("k{n}=v")).collect();
    gateway.get("/", &format!("X-Lab: 1\r\nBaggage: {}\r\n", many.join(",")));
    assert_eq!(
        v2.header("baggage"),
        [many.join(",")],
        "theirs stay when there is no room"
    );
}

#[test]
fn what_is_over_does_nothing_and_says_so() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let more = format!(
        "[colors.lab]\nversions = {{ shop = \"v2\" }}\nexpires = \"{soon}\"\n\
         [routes.fair]\nmatch = {{ path = \"/fair\" }}\nrespond = {{ text = \"open\" }}\n\
         expires = \"{soon}\"\n"
    );
    let trusted = listeners("\"127.0.0.0/8\"");
    let text = config(&v1, &v2, &more).replace(&listeners(""), &trusted);
    let mut gateway = Gateway::start(&text);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    assert_eq!(status["expiring"].as_array().unwrap().len(), 2, "{status}");
    assert!(gateway.log().contains("expires soon"));
    gateway.wait_for("its end", |gateway| {
        gateway.get("/fair", "").text() != "open"
    });
    let answer = gateway.get("/", "X-Tyrian-Color: lab\r\n");
    assert_eq!(answer.header("x-upstream"), Some("v1"));
    let line = gateway.logged(|line| line["color_reason"] == "expired");
    assert_eq!(
        (&line["color_requested"], &line["version"]),
        (&"lab".into(), &"v1".into())
    );
}

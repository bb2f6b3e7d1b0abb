//! Files that a configuration names and that are emptied, torn, removed or unreadable: what they
//! take away is taken away, what they held before goes on for as long as it may, and nothing else
//! waits.

use crate::certificates::Scene;
use crate::gateway::{Gateway, listeners};
use crate::identity::{config, users, with_key_file};
use crate::tokens::{Issuer, now};
use crate::upstream::Upstream;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Puts new content in the place of a file, so that it is never read half written.
pub fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Reloads, and returns the verdict. The watch may have been faster: then there is nothing new, and
/// what is wrong with files is told all the same.
pub fn reload(gateway: &Gateway) -> Value {
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 200, "{verdict}");
    verdict
}

pub fn told(verdict: &Value, code: &str, words: &str) {
    let found = verdict["diagnostics"].as_array().unwrap();
    let told = found.iter().any(|found| {
        found["code"] == code && found["severity"] == "warning" && found.to_string().contains(words)
    });
    assert!(told, "no {code} with {words:?} in {verdict}");
}

/// A gateway with one provider, and a route that shows whether a change elsewhere is live.
struct Setup {
    gateway: Gateway,
    issuer: Issuer,
    dir: tempfile::TempDir,
    text: String,
    _shop: Upstream,
}

impl Setup {
    /// `keys` goes on in the table of keys, `more` in that of the provider; `@` is the directory.
    fn new(keys: &str, more: &str) -> Self {
        let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jwks.json"), issuer.jwks()).unwrap();
        std::fs::write(dir.path().join("revoked"), "").unwrap();
        let provider = format!(
            "{}{more}",
            users(&format!("{{ jwks_file = \"@/jwks.json\"{keys} }}"))
        );
        let text = config(&shop, "\"users\"", &provider);
        let text = text.replace('@', &dir.path().display().to_string());
        let gateway = Gateway::start(&format!("{text}{}", mark("one")));
        Self {
            gateway,
            issuer,
            dir,
            text,
            _shop: shop,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The reason of a refusal; empty: it passes. Each token is a new one.
    fn ask(&self) -> String {
        self.ask_as(&json!({ "n": fastrand::u64(..) }))
    }

    fn ask_as(&self, claims: &Value) -> String {
        let answer = self.gateway.get("/", &self.issuer.bearer(claims));
        match answer.status {
            200 => String::new(),
            _ => answer.reason(),
        }
    }

    /// Changes something elsewhere, and waits until it is live.
    fn change_elsewhere(&mut self, text: &str) {
        self.gateway
            .replace_config(&format!("{}{}", self.text, mark(text)));
        let verdict = reload(&self.gateway);
        let live = |gateway: &mut Gateway| gateway.get("/mark", "").text() == text;
        self.gateway.wait_for("the change elsewhere", live);
        assert_ne!(verdict["outcome"], "rejected");
    }
}

fn mark(text: &str) -> String {
    format!("[routes.mark]\nmatch = {{ path = \"/mark\" }}\nrespond = {{ text = \"{text}\" }}\n")
}

#[test]
fn a_set_that_takes_keys_away_applies_down_to_the_last_one() {
    let mut setup = Setup::new("", "");
    assert_eq!(setup.ask(), "");
    let marked = format!("\u{feff}{}", setup.issuer.jwks());
    put(&setup.file("jwks.json"), &marked);
    let verdict = reload(&setup.gateway);
    assert!(!verdict.to_string().contains("TY0505"), "{verdict}");
    assert_eq!(setup.ask(), "");
    let kept = setup.issuer.bearer(&json!({}));
    assert_eq!(setup.gateway.get("/", &kept).status, 200);
    put(&setup.file("jwks.json"), "{\"keys\": []}");
    told(&reload(&setup.gateway), "TY0507", "no key for ES256");
    assert_eq!(setup.ask(), "jwt_unknown_key");
    let remembered = setup.gateway.get("/", &kept);
    assert_eq!(
        remembered.reason(),
        "jwt_unknown_key",
        "a verdict dies with its key"
    );
    setup.change_elsewhere("two");
    // What applies at a reload also does at a start.
    setup.gateway.restart();
    assert_eq!(setup.ask(), "jwt_unknown_key");
    put(&setup.file("jwks.json"), &setup.issuer.jwks());
    reload(&setup.gateway);
    assert_eq!(setup.ask(), "");
}

#[test]
fn a_key_file_that_cannot_be_used_holds_up_nothing_and_its_keys_go_on_for_a_while() {
    let mut setup = Setup::new("", "");
    let file = setup.file("jwks.json");
    let whole = setup.issuer.jwks();
    for how in ["emptied", "half written", "removed", "unreadable"] {
        match how {
            "emptied" => put(&file, ""),
            "half written" => put(&file, &whole[..whole.len() / 2]),
            "removed" => std::fs::remove_file(&file).unwrap(),
            _ => std::fs::create_dir(&file).unwrap(),
        }
        let verdict = reload(&setup.gateway);
        told(
            &verdict,
            "TY0505",
            "the last good keys are accepted until 2",
        );
        told(&verdict, "TY0505", "jwt.users");
        assert_eq!(setup.ask(), "", "{how}");
        setup.change_elsewhere(how);
        assert_eq!(setup.ask(), "", "{how}, and a change elsewhere");
        let again = reload(&setup.gateway);
        assert_eq!(again["outcome"], "unchanged");
        told(&again, "TY0505", "jwt.users");
    }
    assert!(setup.gateway.log().contains("cannot be read anew"));
    assert_eq!(setup.gateway.metric("tyrian_stale_files"), Some(1.0));
    let age = setup
        .gateway
        .metric("tyrian_jwt_keys_age_seconds{provider=\"users\"}");
    assert!(age.is_some());
    let (_, status) = setup.gateway.api("GET", "/v1/status", "");
    assert!(
        status["findings"]
            .to_string()
            .contains("cannot be read anew"),
        "{status}"
    );
    // A change of the provider's own table goes on with the same keys.
    setup.text = setup
        .text
        .replace("audience = [\"shop\"]", "audience = [\"shop\", \"b\"]");
    setup.change_elsewhere("audience");
    assert_eq!(setup.ask_as(&json!({ "aud": "b" })), "");
    // Another file has nothing to go on with.
    let other = setup.text.replace("jwks.json", "other.json");
    setup.gateway.replace_config(&other);
    let (status, verdict) = setup.gateway.api("POST", "/v1/config/reload", "");
    assert!(
        status == 422 && verdict.to_string().contains("TY0504"),
        "{verdict}"
    );
    // Mended, it is good at once; alone, it is refused as ever.
    let checked = |setup: &Setup| {
        let mut check = crate::gateway::tyrian();
        let done = check.arg("check").arg(setup.gateway.config_file()).output();
        done.unwrap()
    };
    setup.change_elsewhere("mended");
    assert_eq!(checked(&setup).status.code(), Some(78));
    std::fs::remove_dir(&file).unwrap();
    put(&file, &whole);
    reload(&setup.gateway);
    assert_eq!(setup.gateway.metric("tyrian_stale_files"), Some(0.0));
    assert_eq!(checked(&setup).status.code(), Some(0));
}

#[test]
fn keys_of_a_lost_file_are_believed_no_longer_than_max_stale() {
    let mut setup = Setup::new(", max_stale = \"1s\"", "");
    let remembered = setup.issuer.bearer(&json!({}));
    assert_eq!(setup.gateway.get("/", &remembered).status, 200);
    std::fs::remove_file(setup.file("jwks.json")).unwrap();
    reload(&setup.gateway);
    setup.gateway.wait_for("the end of the keys", |gateway| {
        gateway.get("/", &remembered).status == 401
    });
    let (_, status) = setup.gateway.api("GET", "/v1/status", "");
    let findings = status["findings"].to_string();
    assert!(
        findings.contains("the last good keys are no longer accepted since 2"),
        "{findings}"
    );
    assert_eq!(setup.ask(), "jwt_unknown_key");
    // A reload does not make them young again.
    setup.change_elsewhere("two");
    told(
        &reload(&setup.gateway),
        "TY0505",
        "no longer accepted since",
    );
    assert_eq!(setup.ask(), "jwt_unknown_key");
    put(&setup.file("jwks.json"), &setup.issuer.jwks());
    reload(&setup.gateway);
    assert_eq!(setup.ask(), "");
}

#[test]
fn odd_lines_of_a_list_are_told_and_the_others_revoke() {
    let mut setup = Setup::new("", "revoked = \"@/revoked\"\n");
    let list = setup.file("revoked");
    let jti = |id: &str| json!({ "jti": id });
    for id in ["a", "b", "c", "d"] {
        assert_eq!(setup.ask_as(&jti(id)), "", "{id}");
    }
    put(
        &list,
        "\u{feff}# why\r\njti:a\r\n\r\njti: b\r\nnonsense\r\njti:c # left\r\n",
    );
    let verdict = reload(&setup.gateway);
    told(&verdict, "TY0506", "revoked:4: ");
    told(&verdict, "TY0506", "revoked:5: passed over");
    assert!(
        !verdict.to_string().contains("nonsense"),
        "a line is not quoted"
    );
    for id in ["a", "b", "c"] {
        assert_eq!(setup.ask_as(&jti(id)), "jwt_bad_claims", "{id}");
    }
    assert_eq!(setup.ask_as(&jti("d")), "");
    // Lines may end with CR alone, and no control character is a part of an id.
    put(&list, "jti:zz\rjti:a\rjti:b\u{b}\0c\r");
    let verdict = reload(&setup.gateway);
    told(&verdict, "TY0506", "revoked:3: passed over");
    assert_eq!(setup.ask_as(&jti("a")), "jwt_bad_claims");
    assert_eq!(setup.ask_as(&jti("b")), "");
    // Lost, it goes on.
    std::fs::remove_file(&list).unwrap();
    told(
        &reload(&setup.gateway),
        "TY0505",
        "the last list that could be read is in force",
    );
    setup.change_elsewhere("two");
    assert_eq!(setup.ask_as(&jti("a")), "jwt_bad_claims");
    put(&list, "\u{0}\u{1}torn");
    told(
        &reload(&setup.gateway),
        "TY0505",
        "the last list that could be read is in force",
    );
    assert_eq!(setup.ask_as(&jti("a")), "jwt_bad_claims");
    // Emptied, it is a list without entries.
    put(&list, "");
    reload(&setup.gateway);
    assert_eq!(setup.ask_as(&jti("a")), "");
    // The watch may have been faster than the reload, so the log is asked.
    let emptied = |line: &str| line.contains("revokes nothing any more") && line.contains("TY0509");
    let warned = |gateway: &mut Gateway| gateway.log().lines().any(emptied);
    setup.gateway.wait_for("the warning", warned);
}

#[test]
fn the_last_good_secret_verifies_after_its_file_is_torn() {
    let (issuer, shop) = (Issuer::new("k1"), Upstream::start("v1"));
    let secret = "0123456789abcdef0123456789abcdef";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    let more = format!(
        "[jwt.shared]\nissuer = \"https://other.example.com/\"\nalgorithms = [\"HS256\"]\n\
         keys = {{ hmac = {{ file = {:?} }} }}\n",
        file.path()
    );
    let (gateway, _dir) = with_key_file(&issuer, &shop, "[\"users\", \"shared\"]", &more);
    let ask = |secret: &str, subject: &str| {
        let claims =
            json!({ "iss": "https://other.example.com/", "sub": subject, "exp": now() + 60 });
        let token = by_secret(secret, &claims);
        gateway
            .get("/", &format!("Authorization: Bearer {token}\r\n"))
            .status
    };
    assert_eq!(ask(secret, "a"), 200);
    put(file.path(), "short");
    told(&reload(&gateway), "TY0505", "jwt.shared");
    assert_eq!((ask(secret, "b"), ask("short", "c")), (200, 401));
    let other = "another secret of thirty-two bytes";
    put(file.path(), other);
    reload(&gateway);
    assert_eq!((ask(secret, "d"), ask(other, "e")), (401, 200));
    // A secret that is too short for what the table asks for now is no file that was torn.
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    gateway.replace_config(&text.replace("HS256", "HS512"));
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert!(
        status == 422 && verdict.to_string().contains("HS512 needs 64"),
        "{verdict}"
    );
    assert_eq!(ask(other, "f"), 200);
}

fn by_secret(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({ "alg": "HS256" })), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn colors_of_a_signing_key_that_is_torn_are_not_believed() {
    let shop = Upstream::start("v1");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sixteen characters or more").unwrap();
    let text = format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{address}\"]\n\
         versions.v2.endpoints = [\"{address}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\n\
         [coloring]\nunknown = \"reject\"\nkeys = {{ k1 = {{ file = {file:?} }} }}\n",
        listeners(""),
        address = shop.address,
        file = file.path(),
    );
    let mut gateway = Gateway::start(&text);
    let mut sign = crate::gateway::tyrian();
    let sign = sign.args(["color", "sign", "canary", "--for", "1h", "-c"]);
    let token = sign.arg(gateway.config_file()).output().unwrap().stdout;
    let token = String::from_utf8(token).unwrap();
    let path = |gateway: &mut Gateway| {
        let path = format!("/{}", fastrand::u64(..));
        gateway.get(&path, &format!("X-Tyrian-Color: {}\r\n", token.trim()));
        let line = gateway.logged(|line| line["path"] == path.as_str());
        line["version"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(path(&mut gateway), "v2");
    put(file.path(), "sixteen");
    let verdict = reload(&gateway);
    told(&verdict, "TY0505", "coloring.keys.k1");
    assert!(!verdict.to_string().contains("sixteen"));
    assert_ne!(path(&mut gateway), "v2");
    put(file.path(), "sixteen characters or more");
    reload(&gateway);
    assert_eq!(path(&mut gateway), "v2");
}

#[test]
fn certificates_and_authorities_that_cannot_be_read_go_on_and_hold_up_nothing() {
    let scene = Scene::new("a.example");
    let text = scene.config(", client_auth = { ca = \"@/ca.pem\", mode = \"optional\" }");
    let gateway = Gateway::start(&text);
    for file in ["a.pem", "a.key", "ca.pem"] {
        let path = scene.dir.path().join(file);
        let whole = std::fs::read_to_string(&path).unwrap();
        for torn in [Some(&whole[..whole.len() / 2]), Some(""), None] {
            match torn {
                Some(torn) => put(&path, torn),
                None => std::fs::remove_file(&path).unwrap(),
            }
            told(&reload(&gateway), "TY0505", "listeners.tls");
            assert!(scene.serves(&gateway), "{file} {torn:?}");
        }
        let mark = format!("/{file}");
        let more =
            format!("[routes.mark]\nmatch = {{ path = {mark:?} }}\nrespond = {{ status = 204 }}\n");
        gateway.replace_config(&format!("{text}{more}"));
        assert_ne!(reload(&gateway)["outcome"], "rejected", "{file}");
        put(&path, &whole);
    }
    reload(&gateway);
    assert_eq!(gateway.metric("tyrian_stale_files"), Some(0.0));
}

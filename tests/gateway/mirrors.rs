//! Mirrors: copies over TLS and HTTP/2, and what of their answers is compared.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use serde_json::Value;
use tyrian::tls::dev::{Authority, Role};

/// Two versions of a shop, the second one mirrored and compared.
fn compared(one: &Upstream, two: &Upstream, compare: &str) -> String {
    format!(
        "{}[services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{}\"]\n\
         versions.v2.endpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         mirror = {{ service = \"shop\", version = \"v2\", compare = {{ {compare} }} }}\n",
        listeners(""),
        one.address,
        two.address,
    )
}

fn report(gateway: &Gateway) -> Value {
    let (status, found) = gateway.api("GET", "/v1/mirrors", "");
    assert_eq!(status, 200);
    found["mirrors"][0]["compared"].clone()
}

fn row<'r>(report: &'r Value, what: &str) -> &'r Value {
    let mut rows = report["differ"].as_array().unwrap().iter();
    rows.find(|row| row["what"] == what).unwrap()
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nsame";

#[test]
fn equal_versions_do_not_differ() {
    let (one, two) = (Upstream::start("v1"), Upstream::start("v2"));
    one.say(Some(ANSWER));
    two.say(Some(ANSWER));
    let compare = "headers = [\"content-type\"], noise = \"100%\"";
    let mut gateway = Gateway::start(&compared(&one, &two, compare));
    for _ in 0..20 {
        assert_eq!(gateway.get("/", "").text(), "same");
    }
    gateway.wait_for("all comparisons", |gateway| report(gateway)["copies"] == 20);
    let report = report(&gateway);
    assert_eq!(report["noise"], 20);
    for row in report["differ"].as_array().unwrap() {
        assert_eq!(
            (&row["copies"], &row["noise"]),
            (&0.into(), &0.into()),
            "{row}"
        );
        assert_eq!(row["beyond_noise"], false);
    }
    assert!(report["latency"]["copy"]["p99_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_version_that_answers_otherwise_is_told_with_numbers_and_examples() {
    let (one, two) = (Upstream::start("v1"), Upstream::start("v2"));
    one.say(Some(ANSWER));
    two.say(Some(
        "HTTP/1.1 418 No\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nelse",
    ));
    let compare = "headers = [\"content-type\"], noise = \"100%\"";
    let mut gateway = Gateway::start(&compared(&one, &two, compare));
    for _ in 0..20 {
        assert_eq!(gateway.get("/cart?token=secret", "").text(), "same");
    }
    gateway.wait_for("all comparisons", |gateway| report(gateway)["copies"] == 20);
    let found = report(&gateway);
    for what in ["anything", "status", "header content-type", "body"] {
        let row = row(&found, what);
        assert_eq!(
            (&row["copies"], &row["noise"]),
            (&20.into(), &0.into()),
            "{row}"
        );
        assert_eq!(row["beyond_noise"], true);
    }
    assert_eq!(
        found["statuses"],
        serde_json::json!([{ "original": 200, "copy": 418, "count": 20 }])
    );
    let example = &found["examples"][0];
    assert_eq!(
        (&example["method"], &example["path"]),
        (&"GET".into(), &"/cart".into())
    );
    assert!(!found.to_string().contains("secret"));
    gateway.counts(
        "tyrian_mirror_differed_total{route=\"all\",of=\"copy\"}",
        20.0,
    );
    gateway.counts(
        "tyrian_mirror_compared_total{route=\"all\",of=\"noise\"}",
        20.0,
    );
    let output = crate::gateway::tyrian()
        .args(["mirror", "all", "--admin"])
        .arg(format!("http://{}", gateway.address("admin")))
        .arg("--token-file")
        .arg(gateway.dir.path().join("state/admin.token"))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("beyond noise") && shown.contains("status 200 → 418: 20"),
        "{shown}"
    );
}

#[test]
fn a_version_is_not_blamed_for_what_differs_by_itself() {
    let (one, two) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&compared(&one, &two, "noise = \"100%\""));
    // The body of an echo is the request's; of POSTs nothing is sent twice to live traffic.
    let post = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for _ in 0..5 {
        assert_eq!(gateway.connect().exchange(post).text(), "hi");
    }
    gateway.wait_for("all comparisons", |gateway| report(gateway)["copies"] == 5);
    assert_eq!(report(&gateway)["noise"], 0);
    assert_eq!(row(&report(&gateway), "body")["copies"], 0);
    assert!(row(&report(&gateway), "body")["beyond_noise"].is_null());
    assert_eq!(one.heads().len(), 5);
}

#[test]
fn refused_originals_are_not_compared() {
    let (one, two) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&compared(&one, &two, ""));
    let mut connection = gateway.connect();
    connection.send(b"GET /half-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    connection.rest();
    two.say_status(200);
    for _ in 0..3 {
        assert_eq!(gateway.get("/", "").text(), "v1");
    }
    gateway.wait_for("the copies", |gateway| report(gateway)["copies"] == 3);
    gateway.wait_for("the refused one", |gateway| {
        report(gateway)["unfinished"] == 1
    });
}

/// A mirror behind TLS, in each protocol that it may speak.
#[test]
fn copies_go_by_tls_and_by_both_versions_of_http() {
    let (shop, shadow) = (Upstream::start("shop"), Upstream::start("shadow"));
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let names = ["shadow.example".to_owned()];
    let pair = authority.sign(&names, Role::Server).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), &authority.certificate).unwrap();
    std::fs::write(path("a.pem"), &pair.certificate).unwrap();
    std::fs::write(path("a.key"), &pair.key).unwrap();
    let behind = Gateway::start(&format!(
        "[listeners.tls]\nbind = \"127.0.0.1:0\"\nclients = {{ trust = [\"127.0.0.1\"] }}\n\
         tls = {{ certs = [{{ chain = \"{}\", key = {{ file = \"{}\" }} }}] }}\n{}\
         [services.shadow]\nversions.v1.endpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shadow\"\n",
        path("a.pem"),
        path("a.key"),
        listeners(""),
        shadow.address,
    ));
    for http in ["h1", "h2", "auto"] {
        let mut gateway = Gateway::start(&format!(
            "{}[services.shop]\nversions.v1.endpoints = [\"{}\"]\n\
             [services.shadow.versions.v1]\nendpoints = [\"{}\"]\nhttp = \"{http}\"\n\
             tls = {{ ca = \"{}\", server_name = \"shadow.example\" }}\n\
             [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
             mirror = {{ service = \"shadow\", compare = {{ body = false }} }}\n",
            listeners(""),
            shop.address,
            behind.address("tls"),
            path("ca.pem"),
        ));
        for _ in 0..3 {
            let request =
                b"POST /echo?q=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello";
            assert_eq!(gateway.connect().exchange(request).text(), "hello");
        }
        gateway.wait_for("the copies", |gateway| report(gateway)["copies"] == 3);
        assert_eq!(row(&report(&gateway), "anything")["copies"], 0, "{http}");
        assert_eq!(shadow.header("host"), ["shop.example"], "{http}");
        assert_eq!(shadow.header("x-tyrian-mirrored"), ["1"]);
        assert_eq!(shadow.last_body(), b"hello");
    }
}

#[test]
fn copies_meet_the_version_of_the_mirror_then_of_the_color_then_the_default_one() {
    let shop = Upstream::start("shop");
    let shadows = [
        Upstream::start("v1"),
        Upstream::start("v2"),
        Upstream::start("v3"),
    ];
    let [v1, v2, v3] = &shadows;
    let mut gateway = Gateway::start(&format!(
        "{}[services.shop]\nversions.v1.endpoints = [\"{}\"]\n\
         [services.shadow]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{}\"]\n\
         versions.v2.endpoints = [\"{}\"]\nversions.v3.endpoints = [\"{}\"]\n\
         [colors.canary]\nversions = {{ shadow = \"v2\" }}\n\
         [colors.other]\nversions = {{ shop = \"v1\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         mirror = {{ service = \"shadow\" }}\n\
         [routes.fixed]\nmatch = {{ path = \"/fixed\" }}\nservice = \"shop\"\n\
         mirror = {{ service = \"shadow\", version = \"v3\" }}\n",
        listeners("\"127.0.0.1\""),
        shop.address,
        v1.address,
        v2.address,
        v3.address,
    ));
    let mut copies = [0; 3];
    for (path, color, meets) in [
        ("/", "", 0),
        ("/", "X-Tyrian-Color: other\r\n", 0),
        ("/", "X-Tyrian-Color: canary\r\n", 1),
        ("/fixed", "X-Tyrian-Color: canary\r\n", 2),
    ] {
        assert_eq!(gateway.get(path, color).status, 200);
        copies[meets] += 1;
        let counts = || [v1, v2, v3].map(|shadow| shadow.heads().len());
        let sent: usize = copies.iter().sum();
        gateway.wait_for("the copy", |_| counts().iter().sum::<usize>() == sent);
        assert_eq!(counts(), copies, "{path} {color}");
    }
}

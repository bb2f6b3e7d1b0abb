//! Colors: who is believed, what goes up and comes back, and what happens when a version is down.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

pub fn config(trust: &str, v1: &Upstream, v2: &Upstream) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [coloring]\nsources = [\"header\", \"cookie:color\", \"baggage:color\"]\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\n\
         when = [{{ header = {{ x-group = \"beta\" }} }}, {{ cookie = {{ side = \"new\" }} }}]\n\
         [colors.strict]\nversions = {{ shop = \"v2\" }}\nfallback = \"fail\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n",
        listeners(trust),
        v1.address,
        v2.address
    )
}

const EVERYONE_HERE: &str = "\"127.0.0.0/8\"";

#[test]
fn a_trusted_client_brings_its_color_and_gets_it_back() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config(EVERYONE_HERE, &v1, &v2));
    for carried in [
        "X-Tyrian-Color: canary\r\n",
        "Cookie: a=b; color=canary\r\n",
        "Baggage: color=canary\r\n",
    ] {
        let answer = gateway.get("/", carried);
        assert_eq!(answer.header("x-upstream"), Some("v2"), "{carried}");
        assert_eq!(answer.header("x-tyrian-color"), Some("canary"));
        assert_eq!(v2.header("x-tyrian-color"), ["canary"]);
    }
    let plain = gateway.get("/", "");
    assert_eq!(plain.header("x-upstream"), Some("v1"));
    assert_eq!(plain.header("x-tyrian-color"), None);
}

#[test]
fn a_stranger_is_not_believed_and_its_claims_go_nowhere() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config("", &v1, &v2));
    let answer = gateway.get(
        "/",
        "X-Tyrian-Color: canary\r\nX_Tyrian_Color: canary\r\nX_Request_Id: mine\r\n\
         Baggage: keep=1,color=canary\r\nX-Request-Id: forged\r\nForwarded: for=1.2.3.4\r\n",
    );
    assert_eq!(answer.header("x-upstream"), Some("v1"));
    assert_eq!(answer.header("x-tyrian-color"), None);
    for gone in [
        "x-tyrian-color",
        "x_tyrian_color",
        "x_request_id",
        "forwarded",
    ] {
        assert!(v1.header(gone).is_empty(), "{gone} went up");
    }
    assert_eq!(v1.header("baggage"), ["keep=1"]);
    let id = v1.header("x-request-id");
    assert!(id.len() == 1 && id[0] != "forged", "{id:?}");
    assert_eq!(answer.header("x-request-id"), Some(id[0].as_str()));
}

#[test]
fn a_rule_dyes_anybody() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config("", &v1, &v2));
    for headers in ["X-Group: beta\r\n", "Cookie: side=new\r\n"] {
        let answer = gateway.get("/", headers);
        assert_eq!(answer.header("x-upstream"), Some("v2"), "{headers}");
        assert_eq!(v2.header("x-tyrian-color"), ["canary"]);
        assert_eq!(
            answer.header("x-tyrian-color"),
            None,
            "strangers are not told"
        );
    }
}

#[test]
fn a_version_that_is_down_falls_back_or_fails_as_its_color_says() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(EVERYONE_HERE, &v1, &v2));
    let v2_address = v2.stop();
    for _ in 0..5 {
        let answer = gateway.get("/", "X-Tyrian-Color: canary\r\n");
        assert_eq!(
            (answer.status, answer.header("x-upstream")),
            (200, Some("v1"))
        );
        assert_eq!(
            v1.header("x-tyrian-color"),
            ["canary"],
            "the next hop may still honour it"
        );
        let strict = gateway.get("/", "X-Tyrian-Color: strict\r\n");
        assert_eq!(
            (strict.status, strict.reason().as_str()),
            (503, "no_healthy_endpoint")
        );
    }
    let line = gateway.logged(|line| line["color_requested"] == "canary");
    assert_eq!(
        (&line["color_reason"], &line["version"]),
        (&"unhealthy".into(), &"v1".into())
    );
    assert!(line.get("color_served").is_none());
    let _v2 = Upstream::start_at("v2", v2_address);
    gateway.wait_for("v2 to be back", |gateway| {
        gateway
            .get("/", "X-Tyrian-Color: strict\r\n")
            .header("x-upstream")
            == Some("v2")
    });
}

#[test]
fn an_unknown_color_is_refused_where_configured() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let text = config(EVERYONE_HERE, &v1, &v2);
    let lenient = Gateway::start(&text);
    assert_eq!(
        lenient
            .get("/", "X-Tyrian-Color: nobody\r\n")
            .header("x-upstream"),
        Some("v1")
    );
    let text = text.replace("[coloring]\n", "[coloring]\nunknown = \"reject\"\n");
    let strict = Gateway::start(&text);
    let answer = strict.get("/", "X-Tyrian-Color: nobody\r\n");
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "color_unknown")
    );
}

#[test]
fn explain_agrees_with_traffic() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config(EVERYONE_HERE, &v1, &v2));
    for (path, name, value) in [
        ("/", "x-tyrian-color", "canary"),
        ("/a//b/../c", "x-tyrian-color", "nobody"),
        ("/x", "x-group", "beta"),
        ("/x?y=z", "x-group", "alpha"),
        ("/", "cookie", "side=new"),
        ("/", "cookie", "color=strict"),
    ] {
        let answer = gateway.get(path, &format!("{name}: {value}\r\n"));
        let question = format!(
            r#"{{"method":"GET","url":"http://a.example{path}","headers":{{"{name}":"{value}"}}}}"#
        );
        let (status, explained) = gateway.api("POST", "/v1/explain", &question);
        assert_eq!(status, 200, "{explained}");
        assert_eq!(
            explained["version"].as_str(),
            answer.header("x-upstream"),
            "{path} {name}: {value}"
        );
        assert_eq!(
            explained["color"]["requested"].as_str(),
            answer.header("x-tyrian-color")
        );
    }
}

#[test]
fn conditions_on_the_host_hold_by_any_protocol() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let text = config("", &v1, &v2).replace("x-group = \"beta\"", "host = \"beta.example\"");
    let gateway = Gateway::start(&text);
    let mut client = crate::h2::Client::start(&gateway);
    assert_eq!(client.ask(1, "beta.example", "/"), "v2");
    assert_eq!(v2.header("host"), ["beta.example"]);
    assert_eq!(client.ask(3, "a.example", "/"), "v1");
    let request = b"GET / HTTP/1.1\r\nHost: beta.example\r\n\r\n";
    assert_eq!(gateway.connect().exchange(request).text(), "v2");
}

//! What clients outside `trust` may not say: the upstream does not hear it, and no condition, key
//! or color goes by it.

use crate::gateway::{Gateway, listeners};
use crate::h2::{Client, END_HEADERS, END_STREAM, HEADERS, frame, request};
use crate::upstream::Upstream;

const OF_PROXIES: [&str; 24] = [
    "CF-Connecting-IP",
    "Client-IP",
    "Forwarded",
    "Proxy",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Internal",
    "X-Envoy-Original-Path",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X_Real_IP",
    "X.Forwarded!Prefix",
];

fn config(clients: &str, upstream: &Upstream) -> String {
    format!(
        "{}[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [limits.by-chain]\nrate = \"1/h\"\nburst = 1\nkey = \"header:x-forwarded-for\"\n\
         [plugins.mark]\nuse = \"headers\"\nconfig = {{ request = {{ set = {{ x-mark = \"1\" }} }} }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\nplugins = [\"mark\"]\n\
         [routes.inner]\nmatch = {{ path = \"/inner\", headers = {{ x-real-ip = \"10.0.0.1\" }} }}\n\
         respond = {{ status = 299, text = \"inner\" }}\n\
         [routes.secure]\nmatch = {{ path = \"/secure\", headers = {{ x-forwarded-proto = \"https\" }} }}\n\
         respond = {{ status = 299, text = \"secure\" }}\n\
         [routes.limited]\nmatch = {{ path = \"/limited\" }}\nservice = \"app\"\nlimits = [\"by-chain\"]\n",
        listeners("").replace("trust = []", clients),
        upstream.address
    )
}

#[test]
fn fields_of_proxies_do_not_pass_from_strangers_in_any_spelling() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config("trust = []", &upstream));
    for name in OF_PROXIES {
        gateway.get("/", &format!("{name}: 10.0.0.1\r\nX-Public: 1\r\n"));
        let seen = upstream.header(&name.to_ascii_lowercase());
        assert!(seen.is_empty(), "{name}: {}", upstream.last_head());
        assert_eq!(upstream.header("x-public"), ["1"]);
    }
    let mut client = Client::start(&gateway);
    let fields = [("x-real-ip", "10.0.0.1"), ("x-original-url", "/admin")];
    client.send(&frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &request(&fields),
    ));
    client.wait(|frame| frame.stream == 1);
    let head = upstream.last_head().to_ascii_lowercase();
    assert!(
        !head.contains("10.0.0.1") && !head.contains("original"),
        "{head}"
    );
}

#[test]
fn trusted_peers_and_kept_fields_pass() {
    let upstream = Upstream::start("v1");
    for clients in [
        "trust = [\"127.0.0.0/8\"]",
        "keep = [\"x-real-ip\", \"x-forwarded-prefix\"]",
    ] {
        let gateway = Gateway::start(&config(clients, &upstream));
        gateway.get("/", "X-Real-IP: 10.0.0.1\r\nX-Forwarded-Prefix: /a\r\n");
        assert_eq!(upstream.header("x-real-ip"), ["10.0.0.1"], "{clients}");
        assert_eq!(upstream.header("x-forwarded-prefix"), ["/a"], "{clients}");
    }
}

#[test]
fn conditions_and_keys_see_what_the_upstream_will_see() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config("trust = []", &upstream));
    assert_eq!(gateway.get("/inner", "X-Real-IP: 10.0.0.1\r\n").status, 200);
    assert_eq!(
        gateway
            .get("/secure", "X-Forwarded-Proto: https\r\n")
            .status,
        200
    );
    let first = gateway.get("/limited", "X-Forwarded-For: 1.1.1.1\r\n");
    let second = gateway.get("/limited", "X-Forwarded-For: 2.2.2.2\r\n");
    assert_eq!((first.status, second.status), (200, 429));
    let (_, explained) = gateway.api(
        "POST",
        "/v1/explain",
        r#"{"url": "/inner", "headers": {"x-real-ip": "10.0.0.1"}}"#,
    );
    assert_eq!(explained["route"]["name"], "all");
    let gateway = Gateway::start(&config("trust = [\"127.0.0.0/8\"]", &upstream));
    assert_eq!(gateway.get("/inner", "X-Real-IP: 10.0.0.1\r\n").status, 299);
    assert_eq!(
        gateway
            .get("/secure", "X-Forwarded-Proto: https\r\n")
            .status,
        299
    );
}

#[test]
fn an_empty_element_does_not_make_the_proxy_the_client() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config("trust = [\"127.0.0.0/8\"]", &upstream));
    for (index, chain) in [
        "203.0.113.9,",
        ", 203.0.113.9 ,,",
        "203.0.113.9\r\nX-Forwarded-For: ",
    ]
    .into_iter()
    .enumerate()
    {
        gateway.get(
            &format!("/{index}"),
            &format!("X-Forwarded-For: {chain}\r\n"),
        );
        let line = gateway.logged(|line| line["path"] == format!("/{index}"));
        assert_eq!(line["client"], "203.0.113.9", "{chain:?}");
        assert_eq!(
            upstream.header("x-forwarded-for"),
            ["203.0.113.9, 127.0.0.1"]
        );
    }
}

#[test]
fn connection_takes_off_nothing_that_the_gateway_sets() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config("trust = []", &upstream));
    gateway.get(
        "/",
        "Connection: x-mark, x-request-id, via, x-private, keep-alive\r\nX-Private: 1\r\n",
    );
    assert_eq!(upstream.header("x-mark"), ["1"]);
    assert_eq!(upstream.header("x-request-id").len(), 1);
    assert_eq!(upstream.header("via"), ["1.1 tyrian"]);
    assert!(upstream.header("x-private").is_empty());
    for named in ["x-forwarded-for", "host", "a,b,c,d,e,f,g,h,i,j", ":path"] {
        let answer = gateway.get("/", &format!("Connection: {named}\r\n"));
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (400, "bad_request"),
            "{named}"
        );
    }
}

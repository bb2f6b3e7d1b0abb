//! Breakers on real upstreams that fail, slow down and recover.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

fn config(v1: &Upstream, v2: &Upstream, breaker: &str) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\nbreaker = \"b\"\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\nwhen = [{{ header = {{ x-group = \"beta\" }} }}]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         [breakers.b]\nopen_for = \"1s\"\nprobes = 2\n{breaker}\n",
        listeners(""),
        v1.address,
        v2.address,
    )
}

const ERRORS: &str = "trip = { error_rate = \"50%\", min_requests = 5 }";

#[test]
fn a_failing_version_is_left_alone_and_comes_back() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, ERRORS));
    v1.say_status(500);
    for _ in 0..5 {
        assert_eq!(
            gateway.get("/", "").status,
            500,
            "the upstream's own answer"
        );
    }
    let sent = v1.heads().len();
    let refused = gateway.get("/", "");
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (503, "breaker_open")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(v1.heads().len(), sent, "nothing is sent while it is open");
    gateway.counts("tyrian_breaker_state{service=\"shop\",version=\"v1\"}", 2.0);
    v1.say(None);
    gateway.wait_for("the breaker to close", |gateway| {
        gateway.get("/", "");
        gateway.metric("tyrian_breaker_state{service=\"shop\",version=\"v1\"}") == Some(0.0)
    });
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn a_color_falls_back_to_the_default_version_while_its_own_is_broken() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config(&v1, &v2, ERRORS));
    v2.say_status(503);
    for _ in 0..5 {
        assert_eq!(gateway.get("/", "X-Group: beta\r\n").status, 503);
    }
    let answer = gateway.get("/after", "X-Group: beta\r\n");
    assert_eq!(
        (answer.status, answer.header("x-upstream")),
        (200, Some("v1"))
    );
    let line = gateway.logged(|line| line["path"] == "/after");
    assert_eq!(
        (
            line["color_requested"].as_str(),
            line["color_reason"].as_str()
        ),
        (Some("canary"), Some("breaker"))
    );
}

#[test]
fn a_color_that_no_version_takes_over_is_told_when_to_come_again() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    for (answer, told) in [
        ("", (503, Some("1"), "breaker_open")),
        (
            "fallback = { status = 200, text = \"later\" }",
            (200, None, "later"),
        ),
    ] {
        let config = config(&v1, &v2, &format!("{ERRORS}\n{answer}"));
        let isolated = "[colors.canary]\nfallback = \"isolate\"";
        let gateway = Gateway::start(&config.replace("[colors.canary]", isolated));
        v2.say_status(503);
        for _ in 0..5 {
            assert_eq!(gateway.get("/", "X-Group: beta\r\n").status, 503);
        }
        v2.say(None);
        let refused = gateway.get("/", "X-Group: beta\r\n");
        let again = refused.header("retry-after");
        assert_eq!((refused.status, again), (told.0, told.1));
        assert!(refused.text().contains(told.2), "{refused:?}");
        assert_eq!(gateway.get("/", "").header("x-upstream"), Some("v1"));
    }
}

#[test]
fn slowness_opens_it_and_errors_of_clients_do_not() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let slow =
        "trip = { slow = \"100ms\", slow_rate = \"80%\", error_rate = \"50%\", min_requests = 4 }";
    let gateway = Gateway::start(&config(&v1, &v2, slow));
    for _ in 0..10 {
        assert_eq!(gateway.get("/status/404", "").status, 404);
    }
    assert_eq!(gateway.get("/", "").status, 200, "4xx is no failure");
    for _ in 0..5 {
        gateway.get("/delay/150", "X-Group: beta\r\n");
    }
    gateway.counts("tyrian_breaker_state{service=\"shop\",version=\"v2\"}", 2.0);
}

#[test]
fn clients_that_leave_open_nothing() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config(&v1, &v2, ERRORS));
    for _ in 0..10 {
        let mut connection = gateway.connect();
        connection.send(b"GET /delay/300 HTTP/1.1\r\nHost: a\r\n\r\n");
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    assert_eq!(gateway.get("/", "").status, 200);
    gateway.counts("tyrian_breaker_state{service=\"shop\",version=\"v1\"}", 0.0);
}

#[test]
fn clients_that_are_slow_to_send_open_nothing() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let text = config(&v1, &v2, ERRORS).replace(
        "breaker = \"b\"",
        "breaker = \"b\"\ntimeouts = { request = \"100ms\" }",
    );
    let gateway = Gateway::start(&text);
    for _ in 0..6 {
        let mut connection = gateway.connect();
        let half = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
        assert_eq!(connection.exchange(half).status, 408);
    }
    gateway.counts("tyrian_breaker_state{service=\"shop\",version=\"v1\"}", 0.0);
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn what_is_said_meanwhile_is_configured() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let with = |fallback: &str| {
        let gateway = Gateway::start(&config(
            &v1,
            &v2,
            &format!("{ERRORS}\nfallback = {fallback}"),
        ));
        v1.say(None);
        assert_eq!(gateway.get("/page", "").text(), "v1");
        v1.say_status(500);
        (0..12).for_each(|_| drop(gateway.get("/", "")));
        gateway
    };
    let fixed = with("{ status = 503, text = \"try later\" }").get("/page", "");
    assert_eq!((fixed.status, fixed.text().as_str()), (503, "try later"));
    assert!(fixed.header("retry-after").is_some());
    assert!(
        fixed
            .header("proxy-status")
            .unwrap()
            .contains("breaker_open")
    );
    let other = with("{ version = \"v2\" }").get("/page", "");
    assert_eq!(
        (other.status, other.header("x-upstream")),
        (200, Some("v2"))
    );
    let gateway = with("{ cached = \"5m\" }");
    let cached = gateway.get("/page", "");
    assert_eq!((cached.status, cached.text().as_str()), (200, "v1"));
    assert!(cached.header("age").is_some());
    assert!(
        cached
            .header("proxy-status")
            .unwrap()
            .contains("breaker_open")
    );
    assert_eq!(
        gateway.get("/page", "Cookie: a=b\r\n").reason(),
        "breaker_open",
        "never for one user"
    );
    assert_eq!(gateway.get("/never-seen", "").reason(), "breaker_open");
}

/// A gateway whose breakers a hand opens, with answers kept meanwhile.
fn keeping(v1: &Upstream, v2: &Upstream, more: &str) -> Gateway {
    let breaker = format!("{ERRORS}\nfallback = {{ cached = \"5m\" }}\n{more}");
    Gateway::start(&config(v1, v2, &breaker))
}

fn open(gateway: &Gateway, version: &str) {
    let path = format!("/v1/services/shop/{version}/breaker");
    assert_eq!(gateway.api("PUT", &path, "{\"state\":\"open\"}").0, 200);
}

#[test]
fn a_kept_answer_is_of_its_host_by_any_protocol() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = keeping(&v1, &v2, "");
    let mut client = crate::h2::Client::start(&gateway);
    v1.say_ok("", "of a");
    assert_eq!(client.ask(1, "a.test", "/page"), "of a");
    open(&gateway, "v1");
    assert_eq!(client.ask(3, "a.test", "/page"), "of a");
    assert!(client.ask(5, "b.test", "/page").contains("breaker_open"));
}

#[test]
fn a_kept_answer_stays_with_its_version_and_color() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = keeping(&v1, &v2, "");
    assert_eq!(gateway.get("/page", "X-Group: beta\r\n").text(), "v2");
    open(&gateway, "v1");
    open(&gateway, "v2");
    assert_eq!(gateway.get("/page", "").reason(), "breaker_open");
}

#[test]
fn what_was_for_one_hop_or_one_user_is_not_kept() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = keeping(&v1, &v2, "");
    for (path, headers) in [
        (
            "/a",
            "Cache-Control: max-age=60\r\nCache-Control: private\r\n",
        ),
        ("/b", "Vary: accept\r\nVary: x-tenant\r\n"),
        ("/c", "Cache-Control: must-revalidate\r\n"),
        ("/d", "Cache-Control: no-cache\r\n"),
    ] {
        v1.say_ok(headers, "once");
        assert_eq!(gateway.get(path, "").text(), "once");
    }
    v1.say_ok(
        "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Tyrian-Color: v1\r\n\
         Age: 7\r\nProxy-Status: origin; error=x\r\nCache-Control: max-age=60\r\nX-Own: 1\r\n",
        "again",
    );
    assert_eq!(gateway.get("/e", "").text(), "again");
    let unkept = gateway.get("/f", "Cache-Control: no-store\r\n");
    assert_eq!(unkept.text(), "again");
    open(&gateway, "v1");
    for path in ["/a", "/b", "/c", "/d", "/f"] {
        assert_eq!(gateway.get(path, "").reason(), "breaker_open", "{path}");
    }
    let kept = gateway.get("/e", "");
    assert_eq!(kept.text(), "again");
    for gone in ["x-hop", "keep-alive", "x-tyrian-color"] {
        assert_eq!(kept.header(gone), None, "{gone}");
    }
    assert_eq!(kept.header("x-own"), Some("1"));
    let age: u64 = kept.header("age").unwrap().parse().unwrap();
    assert!(age >= 7, "{age}");
    let of = |name: &str| -> Vec<&str> {
        let lines = kept.headers.iter().filter(|(key, _)| key == name);
        lines.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of("cache-control"), ["max-age=60"]);
    assert_eq!(of("proxy-status")[0], "origin; error=x");
    assert!(of("proxy-status")[1].starts_with("tyrian; "));
}

#[test]
fn a_hand_opens_and_closes_it() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let gateway = Gateway::start(&config(&v1, &v2, ERRORS));
    let path = "/v1/services/shop/v1/breaker";
    assert_eq!(gateway.api("PUT", path, "{\"state\":\"open\"}").0, 200);
    assert_eq!(gateway.get("/", "").reason(), "breaker_open");
    let (_, services) = gateway.api("GET", "/v1/services", "");
    let breaker = &services["services"][0]["versions"][0]["breaker"];
    assert_eq!(
        (breaker["state"].as_str(), breaker["held"].as_bool()),
        (Some("open"), Some(true))
    );
    assert_eq!(gateway.api("PUT", path, "{\"state\":\"closed\"}").0, 200);
    assert_eq!(gateway.get("/", "").status, 200);
    assert_eq!(gateway.api("PUT", path, "{\"state\":\"ajar\"}").0, 400);
    assert_eq!(
        gateway
            .api(
                "PUT",
                "/v1/services/shop/v9/breaker",
                "{\"state\":\"open\"}"
            )
            .0,
        404
    );
}

//! What keeps upstreams alive: retries within a budget, checks, ejection, stickiness, mirrors.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::time::{Duration, Instant};

fn config(endpoints: &[&Upstream], service: &str, more: &str) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|e| format!("{:?}", e.address.to_string()))
        .collect();
    format!(
        "{}\n[services.shop]\nversions.v1.endpoints = [{}]\n{service}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n{more}",
        listeners(""),
        endpoints.join(", "),
    )
}

fn requests(upstreams: &[&Upstream]) -> usize {
    upstreams
        .iter()
        .map(|upstream| upstream.heads().len())
        .sum()
}

const TURNS: &str = "balance = \"round-robin\"\n";

#[test]
fn a_bad_answer_is_tried_elsewhere_where_that_is_safe() {
    let (sick, well) = (Upstream::start("sick"), Upstream::start("well"));
    let service =
        format!("{TURNS}retry = {{ attempts = 2, on = [\"503\", \"reset\"], budget = \"100%\" }}");
    let gateway = Gateway::start(&config(&[&sick, &well], &service, ""));
    for said in [
        Some("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nno!"),
        Some(""),
    ] {
        sick.say(said);
        for _ in 0..6 {
            let answer = gateway.get("/", "");
            assert_eq!((answer.status, answer.text().as_str()), (200, "well"));
        }
        let posts: Vec<u16> = (0..4)
            .map(|_| {
                let mut connection = gateway.connect();
                let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
                connection.exchange(request).status
            })
            .collect();
        assert!(
            posts.contains(&200) && posts.iter().any(|status| *status >= 502),
            "{posts:?}"
        );
    }
    assert!(
        gateway
            .metric("tyrian_retries_total{service=\"shop\"}")
            .unwrap()
            >= 4.0
    );
}

#[test]
fn an_idempotent_body_is_sent_again_whole() {
    let (sick, well) = (Upstream::start("sick"), Upstream::start("well"));
    let service = format!("{TURNS}retry = {{ attempts = 2, on = [\"503\"], budget = \"100%\" }}");
    let gateway = Gateway::start(&config(&[&sick, &well], &service, ""));
    sick.say_status(503);
    for _ in 0..4 {
        let mut connection = gateway.connect();
        let request = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let answer = connection.exchange(request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
}

/// Requests of the storm.
const OFFERED: usize = 600;

#[test]
fn a_dead_loss_gets_the_load_and_its_budget_and_no_storm() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    one.say_status(503);
    two.say_status(503);
    let service = format!(
        "{TURNS}retry = {{ attempts = 5, on = [\"503\"], budget = \"20%\", backoff = \"1ms\" }}"
    );
    let gateway = Gateway::start(&config(&[&one, &two], &service, ""));
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..OFFERED / 30 {
                    assert_eq!(
                        connection
                            .exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                            .status,
                        503
                    );
                }
            });
        }
    });
    let received = requests(&[&one, &two]);
    assert!(received >= OFFERED, "{received}");
    // Three are there at first.
    assert!(
        received <= OFFERED + OFFERED / 5 + 3,
        "{received} for {OFFERED}"
    );
    let (_, services) = gateway.api("GET", "/v1/services", "");
    assert!(services["services"][0]["retries_refused"].as_u64().unwrap() > 0);
}

#[test]
fn a_slow_try_is_given_up_for_another() {
    let (slow, well) = (Upstream::start("slow"), Upstream::start("well"));
    let service = format!(
        "{TURNS}timeouts = {{ request = \"5s\" }}\nretry = {{ attempts = 2, on = [\"timeout\"], per_try = \"200ms\", budget = \"100%\" }}"
    );
    let gateway = Gateway::start(&config(&[&slow, &well], &service, ""));
    slow.say(Some("HTTP/1.1 200 OK\r\nX-Half: head"));
    let started = Instant::now();
    for _ in 0..4 {
        let answer = gateway.get("/", "");
        assert_eq!((answer.status, answer.text().as_str()), (200, "well"));
    }
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn checks_take_the_sick_out_and_let_them_in_again() {
    let (sick, well) = (Upstream::start("sick"), Upstream::start("well"));
    let service = format!(
        "{TURNS}health = {{ path = \"/healthz\", every = \"100ms\", timeout = \"500ms\", unhealthy_after = 2 }}"
    );
    let mut gateway = Gateway::start(&config(&[&sick, &well], &service, ""));
    sick.say_status(500);
    let healthy = |gateway: &Gateway, upstream: &Upstream| {
        let labels = format!(
            "service=\"shop\",version=\"v1\",endpoint=\"{}\"",
            upstream.address
        );
        gateway.metric(&format!("tyrian_endpoint_healthy{{{labels}}}"))
    };
    gateway.wait_for("the check", |gateway| healthy(gateway, &sick) == Some(0.0));
    for _ in 0..10 {
        assert_eq!(gateway.get("/", "").text(), "well");
    }
    assert_eq!(healthy(&gateway, &well), Some(1.0));
    sick.say(None);
    gateway.wait_for("its return", |gateway| healthy(gateway, &sick) == Some(1.0));
    let names: Vec<String> = (0..10).map(|_| gateway.get("/", "").text()).collect();
    assert!(names.contains(&"sick".to_owned()));
}

#[test]
fn an_endpoint_that_keeps_failing_is_ejected_and_the_last_one_never() {
    let (bad, well) = (Upstream::start("bad"), Upstream::start("well"));
    let service = format!(
        "{TURNS}outliers = {{ consecutive_failures = 3, eject_for = \"60s\", max_ejected = \"100%\" }}"
    );
    let gateway = Gateway::start(&config(&[&bad, &well], &service, ""));
    bad.say_status(500);
    let counted = "tyrian_requests_total{route=\"all\",service=\"shop\",version=\"v1\",color=\"\",code=\"500\"}";
    let mut failed = 0.0;
    let ask = |_| {
        let status = gateway.get("/", "").status;
        if status == 500 {
            failed += 1.0;
            gateway.counts(counted, failed);
        }
        status
    };
    let statuses: Vec<u16> = (0..20).map(ask).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 500).count(),
        3,
        "{statuses:?}"
    );
    well.say_status(500);
    for _ in 0..10 {
        assert_eq!(
            gateway.get("/", "").status,
            500,
            "a sick answer is better than none"
        );
    }
}

#[test]
fn a_sticky_client_stays_where_it_was() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let service = format!("{TURNS}sticky = {{ cookie = \"seat\" }}");
    let gateway = Gateway::start(&config(&[&one, &two], &service, ""));
    for _ in 0..4 {
        let first = gateway.get("/", "");
        let cookie = first
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        for _ in 0..5 {
            let again = gateway.get("/", &format!("Cookie: a=b; {cookie}\r\n"));
            assert_eq!(again.text(), first.text());
            assert_eq!(again.header("set-cookie"), None);
        }
    }
    let forged = gateway.get("/", "Cookie: seat=0000000000000000\r\n");
    assert_eq!(forged.status, 200);
    assert!(forged.header("set-cookie").is_some());
}

#[test]
fn cookies_of_ours_go_nowhere_without_tls_where_the_client_came_by_it() {
    let one = Upstream::start("one");
    let service = "sticky = { cookie = \"seat\" }";
    let stranger = config(&[&one], service, "");
    let trusted = stranger.replace("trust = []", "trust = [\"127.0.0.0/8\"]");
    assert_ne!(stranger, trusted);
    let (stranger, trusted) = (Gateway::start(&stranger), Gateway::start(&trusted));
    for (gateway, said, secure) in [
        (&trusted, "https", true),
        (&trusted, "HTTPS, http", true),
        (&trusted, "http, https", false),
        (&stranger, "https", false),
    ] {
        let answer = gateway.get("/", &format!("X-Forwarded-Proto: {said}\r\n"));
        let cookie = answer.header("set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{said}: {cookie}");
    }
    assert!(
        !trusted
            .get("/", "")
            .header("set-cookie")
            .unwrap()
            .contains("Secure")
    );
}

#[test]
fn hashing_sends_the_same_user_to_the_same_endpoint() {
    let upstreams = ["a", "b", "c", "d"].map(Upstream::start);
    let all: Vec<&Upstream> = upstreams.iter().collect();
    for balance in ["maglev", "ring-hash"] {
        let service = format!("balance = \"{balance}\"\nhash = \"header:x-user\"");
        let gateway = Gateway::start(&config(&all, &service, ""));
        let mut homes = std::collections::BTreeSet::new();
        for user in 0..20 {
            let header = format!("X-User: user-{user}\r\n");
            let home = gateway.get("/", &header).text();
            for _ in 0..3 {
                assert_eq!(gateway.get("/", &header).text(), home);
            }
            homes.insert(home);
        }
        assert!(homes.len() > 1, "{balance}");
    }
}

#[test]
fn a_request_without_its_hash_meets_the_endpoint_of_its_network() {
    let upstreams = ["a", "b", "c", "d"].map(Upstream::start);
    let all: Vec<&Upstream> = upstreams.iter().collect();
    let text = config(&all, "balance = \"maglev\"\nhash = \"header:x-user\"", "");
    let gateway = Gateway::start(&text.replace("trust = []", "trust = [\"127.0.0.0/8\"]"));
    let mut homes = std::collections::BTreeSet::new();
    for network in 0..20 {
        let client = |host: &str| format!("X-Forwarded-For: 2001:db8:0:{network:x}:{host}\r\n");
        let home = gateway.get("/", &client(":1")).text();
        for other in [client("ffff::2"), format!("{}X-User:\r\n", client(":3"))] {
            assert_eq!(gateway.get("/", &other).text(), home, "{other}");
        }
        homes.insert(home);
    }
    assert!(homes.len() > 1, "{homes:?}");
}

#[test]
fn a_mirror_gets_copies_and_never_slows_anybody() {
    let (shop, shadow) = (Upstream::start("v1"), Upstream::start("shadow"));
    let more = format!(
        "mirror = {{ service = \"shadow\" }}\n[services.shadow]\nversions.v1.endpoints = [\"{}\"]\n",
        shadow.address
    );
    let mut gateway = Gateway::start(&config(&[&shop], "", &more));
    let request = b"POST /echo?q=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = gateway.connect().exchange(request);
    assert_eq!(answer.text(), "hello");
    gateway.wait_for("the copy", |_| shadow.last_body() == b"hello");
    assert!(shadow.last_head().starts_with("POST /echo?q=1 "));
    assert_eq!(shadow.header("x-tyrian-mirrored"), ["1"]);
    assert!(shop.header("x-tyrian-mirrored").is_empty());
    let started = Instant::now();
    shadow.say(Some("HTTP/1.1 200 OK\r\nX-Half: head"));
    for _ in 0..10 {
        assert_eq!(gateway.get("/", "").status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    shadow.stop();
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn an_endpoint_is_drained_by_hand() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let gateway = Gateway::start(&config(&[&one, &two], TURNS, ""));
    let path = format!("/v1/services/shop/v1/endpoints/{}", one.address);
    assert_eq!(gateway.api("PUT", &path, "{\"drained\":true}").0, 200);
    for _ in 0..6 {
        assert_eq!(gateway.get("/", "").text(), "two");
    }
    assert_eq!(gateway.api("PUT", &path, "{\"drained\":false}").0, 200);
    let names: Vec<String> = (0..6).map(|_| gateway.get("/", "").text()).collect();
    assert!(names.contains(&"one".to_owned()));
}

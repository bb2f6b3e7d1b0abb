//! Upstreams that misbehave: the right status and reason, in time, and the next request is right.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::time::{Duration, Instant};

fn config(endpoints: &[&Upstream]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|e| format!("\"{}\"", e.address))
        .collect();
    format!(
        "{}\n[services.app]\nbalance = \"round-robin\"\n\
         timeouts = {{ connect = \"500ms\", request = \"1s\", idle = \"1s\" }}\n\
         versions.v1.endpoints = [{}]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n\
         [routes.small]\nmatch = {{ path = \"/echo/small\" }}\nservice = \"app\"\nbody = {{ max = \"10B\" }}\n",
        listeners(""),
        endpoints.join(", ")
    )
}

#[test]
fn each_fault_has_its_reason_and_harms_nobody_else() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    for (path, status, reason) in [
        ("/close", 502, "upstream_reset"),
        ("/half-head", 502, "upstream_reset"),
        ("/garbage", 502, "upstream_protocol"),
        ("/two-lengths", 502, "upstream_protocol"),
        ("/bad-length", 502, "upstream_protocol"),
        ("/switch", 502, "upstream_protocol"),
        ("/huge-head", 502, "upstream_protocol"),
        ("/hang", 504, "upstream_timeout"),
    ] {
        let mut connection = gateway.connect();
        let started = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let answer = connection.exchange(request.as_bytes());
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (status, reason),
            "{path}"
        );
        assert!(
            answer
                .header("proxy-status")
                .unwrap()
                .starts_with("tyrian; error=")
        );
        assert!(started.elapsed() < Duration::from_secs(6), "{path}");
        for _ in 0..3 {
            assert_eq!(gateway.get("/echo", "").status, 200, "after {path}");
        }
    }
}

#[test]
fn a_body_that_breaks_off_never_looks_complete() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    for path in ["/half-body", "/half-chunk"] {
        let answer = gateway.get(path, "");
        assert!(
            answer.status == 502 || !answer.complete,
            "{path}: {answer:?}"
        );
        assert_eq!(gateway.get("/echo", "").status, 200);
    }
}

#[test]
fn an_answer_that_never_ends_is_cut_at_the_deadline() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    let started = Instant::now();
    let answer = gateway.get("/drip/1000", "");
    assert!(!answer.complete);
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_head_that_drips_forever_is_a_timeout() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    let started = Instant::now();
    let answer = gateway.get("/drip-head", "");
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (504, "upstream_timeout")
    );
    assert!(started.elapsed() < Duration::from_secs(6));
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn bytes_behind_an_answer_poison_nothing() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    for _ in 0..10 {
        assert_eq!(gateway.get("/extra", "").text(), "one");
        assert_eq!(gateway.get("/other", "").text(), "v1");
    }
}

#[test]
fn with_everything_down_the_refusal_comes_at_once_and_ends_with_the_outage() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let mut gateway = Gateway::start(&config(&[&one, &two]));
    assert_eq!(gateway.get("/", "").status, 200);
    let (address, _) = (one.stop(), two.stop());
    let started = Instant::now();
    for _ in 0..50 {
        let answer = gateway.get("/", "");
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (503, "no_healthy_endpoint")
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let _again = Upstream::start_at("one", address);
    gateway.wait_for("recovery", |gateway| gateway.get("/", "").status == 200);
}

#[test]
fn losing_one_of_two_endpoints_under_load_fails_no_request() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let gateway = Gateway::start(&config(&[&one, &two]));
    let address = gateway.address("web");
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let done = done.clone();
            std::thread::spawn(move || {
                let mut statuses = Vec::new();
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
                    statuses.push(Connection::to(address).exchange(request).status);
                }
                statuses
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    one.stop();
    std::thread::sleep(Duration::from_millis(700));
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let statuses: Vec<u16> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    assert!(statuses.len() > 20);
    let failed = gateway.access_log().into_iter();
    let failed: Vec<_> = failed.filter(|line| line["status"] != 200).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{failed:?}");
    assert_eq!(
        gateway.get("/", "").header("x-upstream"),
        Some(two.name()),
        "{}",
        gateway.log()
    );
}

#[test]
fn a_post_whose_bytes_have_left_is_never_sent_twice() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    // A first request leaves a pooled connection behind; the second one dies on it.
    assert_eq!(gateway.get("/", "").status, 200);
    let request = "POST /close HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(gateway.connect().exchange(request.as_bytes()).status, 502);
    let posts = upstream
        .heads()
        .iter()
        .filter(|head| head.starts_with("POST"))
        .count();
    assert_eq!(posts, 1);
}

#[test]
fn a_body_over_the_limit_is_refused_whether_announced_or_not() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream]));
    let announced = "POST /echo/small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890";
    let answer = gateway.connect().exchange(announced.as_bytes());
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (413, "body_too_large")
    );
    let chunked = "POST /echo/small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   b\r\n01234567890\r\n0\r\n\r\n";
    let answer = gateway.connect().exchange(chunked.as_bytes());
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (413, "body_too_large")
    );
    let fits = "POST /echo/small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(
        gateway.connect().exchange(fits.as_bytes()).text(),
        "0123456789"
    );
}

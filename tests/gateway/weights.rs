//! An endpoint of weight 0 gets nothing and stays checked, whatever the balancer.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

const BALANCERS: [&str; 7] = [
    "round-robin",
    "weighted",
    "p2c",
    "least-request",
    "ewma",
    "maglev",
    "ring-hash",
];

/// A service for each balancer, with two endpoints of these weights.
fn config(one: (&Upstream, u16), two: (&Upstream, u16), more: &str) -> String {
    let service = |balance: &str| {
        format!(
            "[services.{balance}]\nbalance = \"{balance}\"\nhash = \"header:x-key\"\n\
             health = {{ path = \"/healthz\", every = \"50ms\" }}\n{more}\
             [services.{balance}.versions.v1]\n\
             endpoints = [{{ address = \"{}\", weight = {} }}, {{ address = \"{}\", weight = {} }}]\n\
             [routes.{balance}]\nmatch = {{ path = \"/{balance}\" }}\nservice = \"{balance}\"\n",
            one.0.address, one.1, two.0.address, two.1
        )
    };
    let services = BALANCERS.map(service);
    format!("{}{}", listeners(""), services.concat())
}

/// Requests that an upstream has got, those of checks left out.
fn served(upstream: &Upstream) -> usize {
    let heads = upstream.heads();
    heads
        .iter()
        .filter(|head| !head.contains("/healthz"))
        .count()
}

fn ask(gateway: &Gateway, status: u16) {
    for balance in BALANCERS {
        for key in 0..20 {
            let answer = gateway.get(&format!("/{balance}"), &format!("x-key: {key}\r\n"));
            assert_eq!(answer.status, status, "{balance}");
            if status == 503 {
                assert!(
                    answer.text().contains("no_healthy_endpoint"),
                    "{}",
                    answer.text()
                );
            }
        }
    }
}

#[test]
fn an_endpoint_of_weight_0_gets_nothing_and_stays_checked() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let mut gateway = Gateway::start(&config((&one, 1), (&two, 0), ""));
    gateway.wait_for("checks", |_| {
        two.heads().iter().any(|head| head.contains("/healthz"))
    });
    ask(&gateway, 200);
    assert_eq!((served(&one), served(&two)), (140, 0));
    gateway.replace_config(&config((&one, 1), (&two, 1000), ""));
    gateway.wait_for("its turn", |gateway| {
        ask(gateway, 200);
        served(&two) > 0
    });
    gateway.replace_config(&config((&one, 0), (&two, 0), ""));
    gateway.wait_for("none is left", |gateway| {
        gateway.get("/p2c", "").status == 503
    });
    ask(&gateway, 503);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    let warned = status["warnings"].as_array().unwrap();
    let about = |warning: &serde_json::Value| warning["code"] == "TY0312";
    assert_eq!(
        warned.iter().filter(|one| about(one)).count(),
        BALANCERS.len()
    );
}

#[test]
fn a_sticky_client_leaves_an_endpoint_whose_weight_becomes_0() {
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let sticky = "sticky = { cookie = \"seat\" }\n";
    let mut gateway = Gateway::start(&config((&one, 0), (&two, 1), sticky));
    let answer = gateway.get("/p2c", "");
    let seat = answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let with_seat = format!("Cookie: {seat}\r\n");
    assert_eq!((served(&one), served(&two)), (0, 1));
    gateway.replace_config(&config((&one, 1), (&two, 0), sticky));
    gateway.wait_for("the other one", |gateway| {
        assert_eq!(gateway.get("/p2c", &with_seat).status, 200);
        served(&one) > 0
    });
    let before = served(&two);
    for _ in 0..20 {
        assert_eq!(gateway.get("/p2c", &with_seat).status, 200);
    }
    assert_eq!(served(&two), before);
}

#[test]
fn requests_one_after_the_other_are_shared_by_weight() {
    const REQUESTS: usize = 300;
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let gateway = Gateway::start(&config((&one, 2), (&two, 1), ""));
    for balance in ["weighted", "p2c", "least-request"] {
        let before = (served(&one), served(&two));
        for _ in 0..REQUESTS {
            assert_eq!(gateway.get(&format!("/{balance}"), "").status, 200);
        }
        let (to_one, to_two) = (served(&one) - before.0, served(&two) - before.1);
        assert_eq!(to_one + to_two, REQUESTS, "{balance}");
        // A third of them, give or take five standard deviations.
        assert!((60..=140).contains(&to_two), "{balance}: {to_two}");
    }
}

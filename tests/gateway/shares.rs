//! Shares: users keep their side, growth only adds some, and what is set by hand survives.

use crate::gateway::{Gateway, listeners, tyrian};
use crate::upstream::Upstream;
use std::collections::BTreeSet;

pub fn config(percent: &str, v1: &Upstream, v2: &Upstream) -> String {
    format!(
        "{}\n[services.shop]\ndefault = \"v1\"\n\
         versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
         [colors.next]\nversions = {{ shop = \"v2\" }}\n\
         share = {{ percent = \"{percent}\", sticky = \"cookie:uid\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n",
        listeners(""),
        v1.address,
        v2.address
    )
}

const USERS: u32 = 200;

/// The users that meet v2.
fn met(gateway: &Gateway) -> BTreeSet<u32> {
    let mut connection = gateway.connect();
    let meets = |user: &u32| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: uid=user{user}\r\n\r\n");
        connection.exchange(head.as_bytes()).header("x-upstream") == Some("v2")
    };
    (0..USERS).filter(meets).collect()
}

#[test]
fn users_stay_on_their_side_in_every_process_and_growth_only_adds() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let one = Gateway::start(&config("10%", &v1, &v2));
    let other = Gateway::start(&config("10%", &v1, &v2));
    let small = met(&one);
    assert_eq!(small, met(&other));
    assert!((5..45).contains(&small.len()), "{small:?}");
    let (status, view) = one.api(
        "POST",
        "/v1/rollouts/next",
        r#"{"action":"set","share":"50%"}"#,
    );
    assert_eq!((status, &view["share"]), (200, &"50%".into()), "{view}");
    let large = met(&one);
    assert!(large.is_superset(&small) && (60..140).contains(&large.len()));
    assert_eq!(
        one.metric("tyrian_rollout_share{color=\"next\"}"),
        Some(0.5)
    );
}

#[test]
fn a_share_set_by_hand_is_drift_survives_a_restart_and_yields_to_the_file() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let mut gateway = Gateway::start(&config("0%", &v1, &v2));
    assert!(met(&gateway).is_empty());
    let cli = |gateway: &Gateway, words: &[&str]| {
        let done = tyrian()
            .args(words)
            .args(["--admin", &gateway.address("admin").to_string()])
            .arg("--token-file")
            .arg(gateway.dir.path().join("state/admin.token"))
            .output()
            .unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        (done.status.code(), text)
    };
    let (code, text) = cli(&gateway, &["rollout", "set", "next", "100%"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("next 100%; 0% in the file"), "{text}");
    assert_eq!(met(&gateway).len() as u32, USERS);
    let (_, text) = cli(&gateway, &["status"]);
    assert!(text.contains("next 100%; 0% in the file"), "{text}");
    gateway.restart();
    assert_eq!(met(&gateway).len() as u32, USERS, "kept over a restart");
    gateway.write_config(&config("1%", &v1, &v2));
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    assert_eq!(
        gateway.api("GET", "/v1/rollouts/next", "").1["drift"],
        false
    );
    assert!(met(&gateway).len() < 20, "the file has spoken");
    let (code, _) = cli(&gateway, &["rollout", "set", "nobody", "5%"]);
    assert_eq!(code, Some(1));
}

#[test]
fn shares_of_two_colors_never_exceed_all() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let more = "[colors.other]\nversions = { shop = \"v2\" }\n\
                share = { percent = \"60%\", sticky = \"cookie:uid\" }\n";
    let gateway = Gateway::start(&(config("10%", &v1, &v2) + more));
    let body = r#"{"action":"set","share":"41%"}"#;
    let (status, problem) = gateway.api("POST", "/v1/rollouts/next", body);
    assert_eq!(status, 409, "{problem}");
    let body = r#"{"action":"set","share":"40%"}"#;
    assert_eq!(gateway.api("POST", "/v1/rollouts/next", body).0, 200);
    assert_eq!(met(&gateway).len() as u32, USERS);
}

#[test]
fn a_split_shares_uncolored_traffic_between_versions() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let text = config("0%", &v1, &v2).replace(
        "default = \"v1\"\n",
        "default = \"v1\"\nsplit = { versions = { v2 = \"50%\" }, sticky = \"cookie:uid\" }\n",
    );
    let gateway = Gateway::start(&text);
    let users = met(&gateway);
    assert!((60..140).contains(&users.len()), "{}", users.len());
    assert_eq!(users, met(&gateway));
    assert!(v2.header("x-tyrian-color").is_empty(), "no color is given");
}

#[test]
fn explain_and_tests_know_the_bucket() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let tests = "[[tests]]\nrequest = \"GET http://a/\"\nbucket = 1\n\
                 expect = { version = \"v2\", color = \"next\" }\n";
    let gateway = Gateway::start(&(config("100%", &v1, &v2) + tests));
    let question = r#"{"url":"http://a/","headers":{"cookie":"uid=alice"}}"#;
    let (_, explained) = gateway.api("POST", "/v1/explain", question);
    let origin = explained["color"]["origin"].as_str().unwrap();
    assert!(
        origin.contains("bucket 5966") && origin.contains("share of 100%"),
        "{origin}"
    );
}

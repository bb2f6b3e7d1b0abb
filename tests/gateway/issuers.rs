//! Issuers that do not answer: what clients are told until keys have been there.

use crate::gateway::Gateway;
use crate::identity::{config, users};
use crate::tokens::Issuer;
use crate::upstream::Upstream;
use serde_json::json;

fn by_url(issuer: &Upstream) -> String {
    users(&format!(
        "{{ jwks_url = \"http://{}/jwks\" }}",
        issuer.address
    ))
}

#[test]
fn until_keys_have_been_there_a_token_is_answered_with_503_and_when_to_come_again() {
    let (keys, shop, issuer) = (
        Issuer::new("k1"),
        Upstream::start("v1"),
        Upstream::start("issuer"),
    );
    issuer.say_status(500);
    let mut gateway = Gateway::start(&config(&shop, "\"users\"", &by_url(&issuer)));
    let bearer = keys.bearer(&json!({}));
    let refused = gateway.get("/", &bearer);
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (503, "jwt_keys_unavailable")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(
        refused.header("www-authenticate"),
        None,
        "nothing is wrong with it"
    );
    let grpc = gateway.get("/", &format!("{bearer}Content-Type: application/grpc\r\n"));
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("14")));
    assert!(grpc.header("retry-after").is_some());
    // What would be refused with any keys still is.
    for (headers, reason) in [
        ("", "jwt_missing"),
        ("Authorization: Bearer x.y.z\r\n", "jwt_malformed"),
    ] {
        assert_eq!(gateway.get("/", headers).reason(), reason);
    }
    assert!(shop.heads().is_empty());
    let counted =
        "tyrian_jwt_verifications_total{provider=\"users\",result=\"jwt_keys_unavailable\"}";
    assert_eq!(gateway.metric(counted), Some(2.0));
    issuer.say_ok("", &keys.jwks());
    gateway.wait_for("the keys", |gateway| {
        gateway.get("/", &bearer).status == 200
    });
    // They have been there: from now on a key that is not among them is the token's fault.
    issuer.say_status(500);
    let stranger = Issuer::new("other").bearer(&json!({}));
    let unknown = gateway.get("/", &stranger);
    assert_eq!(
        (unknown.status, unknown.reason().as_str()),
        (401, "jwt_unknown_key")
    );
}

#[test]
fn an_issuer_without_keys_is_one_that_has_answered() {
    let (keys, shop, issuer) = (
        Issuer::new("k1"),
        Upstream::start("v1"),
        Upstream::start("issuer"),
    );
    issuer.say_ok("", "{\"keys\": []}");
    let mut gateway = Gateway::start(&config(&shop, "\"users\"", &by_url(&issuer)));
    let refused = gateway.get("/", &keys.bearer(&json!({})));
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (401, "jwt_unknown_key")
    );
    gateway.wait_for("the warning", |gateway| {
        gateway
            .log()
            .contains("no key of the issuer is for these algorithms")
    });
    assert!(!gateway.log().contains("cannot fetch keys"));
}

//! What claims must say, of tokens that name somebody and of those that bring a color.

use super::tests::{Keys, claims, now, provider, with, without};
use serde_json::{Value, json};

#[test]
fn a_token_that_brings_a_color_keeps_to_its_times_and_its_audience() {
    let keys = Keys::new();
    let provider = provider(&keys, "");
    let color = |claims: Value| {
        let header = json!({ "alg": "ES256", "kid": "e1", "typ": "tyrian-color+jwt" });
        provider.color(&keys.sign(&header, &claims), now())
    };
    let plain = json!({ "iss": "https://id.example.com/", "color": "lab", "exp": now() + 600 });
    let expected = Some(("lab".to_owned(), now() + 600));
    assert_eq!(color(plain.clone()), expected);
    let fraction = with(plain.clone(), "exp", json!(now() as f64 + 600.5));
    assert_eq!(
        color(fraction),
        expected,
        "a NumericDate may have a fraction"
    );
    for (name, value) in [
        ("aud", json!("shop")),
        ("aud", json!(["other", "shop"])),
        ("nbf", json!(now() + 10)),
        ("iat", json!(now() - 10)),
    ] {
        let said = value.to_string();
        assert_eq!(
            color(with(plain.clone(), name, value)),
            expected,
            "{name} {said}"
        );
    }
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(7)),
        ("nbf", json!(now() + 300)),
        ("nbf", json!("soon")),
        ("iat", json!(now() + 300)),
        ("exp", json!(now())),
        ("exp", json!("never")),
        ("iss", json!("https://other.example/")),
    ] {
        let said = value.to_string();
        assert_eq!(
            color(with(plain.clone(), name, value)),
            None,
            "{name} {said}"
        );
    }
    assert_eq!(color(without(plain, "exp")), None);
}

#[tokio::test]
async fn the_log_hears_which_check_failed() {
    let keys = Keys::new();
    let provider = provider(&keys, "max_lifetime = \"1h\"\n");
    for (claims, told) in [
        (
            with(claims(), "aud", json!("x")),
            "`aud` names nobody of `audience`",
        ),
        (
            with(claims(), "iss", json!("x")),
            "`iss` is not the provider's `issuer`",
        ),
        (with(claims(), "exp", json!("x")), "`exp` is no time"),
        (without(claims(), "exp"), "`exp` is missing"),
        (
            with(claims(), "nbf", json!(now() + 300)),
            "`nbf` is in the future",
        ),
        (
            with(claims(), "iat", json!(now() + 300)),
            "`iat` is in the future",
        ),
        (
            without(claims(), "iat"),
            "it lives longer than `max_lifetime`, or has no `iat`",
        ),
        (
            without(claims(), "scope"),
            "`scope` is not as `require` has it",
        ),
    ] {
        let token = keys.sign(&json!({ "alg": "ES256", "kid": "e1" }), &claims);
        let fault = provider.verify(&token).await.unwrap_err();
        assert_eq!(fault.told.as_deref(), Some(told));
    }
}

//! What requests have of every kind of selector.

use super::{Repeated, Selectable, Selected, network_of};
use crate::config::load_text;
use crate::config::selector::{KINDS, Selector, SelectorKind, Use};
use crate::routing::claims::Claims;
use crate::routing::inputs::Inputs;
use http::HeaderMap;
use proptest::prelude::*;
use std::net::IpAddr;

fn selector(text: &str) -> Selector {
    SelectorKind::parse(text).unwrap().1
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// Each kind with what it finds in requests that have one value, several, an empty one, and none.
const FOUND: &[(&str, [Option<&str>; 4])] = &[
    ("ip", [Some("bcde"), Some("bcde"), Some("bcde"), None]),
    ("route", [Some("cart"), Some("cart"), None, None]),
    ("color", [Some("green"), Some("green"), None, None]),
    // Reading a configuration puts the header of the color in its place.
    ("header", [None, None, None, None]),
    ("header:x-a", [Some("h"), Some("h1"), None, None]),
    ("cookie:a", [Some("c"), Some("c1"), None, None]),
    ("query:a", [Some("q q"), Some("q1"), None, None]),
    ("baggage:a", [Some("b b"), Some("b1"), None, None]),
    ("jwt:a", [Some("7"), Some("j1"), None, None]),
];

#[test]
fn every_kind_finds_the_first_value_and_an_empty_one_is_absent() {
    assert_eq!(FOUND.len(), KINDS.len(), "a kind has no row");
    let claims = |text| serde_json::from_str::<Claims>(text).unwrap();
    let one = (
        headers(&[("x-a", "h"), ("cookie", "a=c"), ("baggage", "a=b%20b")]),
        "b=1&a=q+q",
        claims(r#"{"a":7}"#),
    );
    let several = (
        headers(&[
            ("x-a", "h1"),
            ("x-a", "h2"),
            ("cookie", "a=c1; a=c2"),
            ("baggage", "a=b1,a=b2"),
        ]),
        "a=q1&a=q2",
        claims(r#"{"a":["j1","j2"]}"#),
    );
    let empty = (
        headers(&[("x-a", ""), ("cookie", "a="), ("baggage", "a=")]),
        "a=",
        claims(r#"{"a":""}"#),
    );
    let none = (HeaderMap::new(), "", claims("{}"));
    let client: IpAddr = [b'b', b'c', b'd', b'e'].into();
    for (text, found) in FOUND {
        let selector = selector(text);
        for (index, (headers, query, claims)) in [&one, &several, &empty, &none].iter().enumerate()
        {
            let request = Selectable {
                client: (index < 3).then_some(client),
                route: if index < 2 { "cart" } else { "" },
                color: if index < 2 { "green" } else { "" },
                headers,
                query,
                claims: (index < 3).then_some(claims),
            };
            let value = selector.value(&request);
            let found = found[index].map(str::as_bytes);
            assert_eq!(value.as_deref(), found, "{text} in request {index}");
            let several = matches!(selector, Selector::Header(_) | Selector::Query(_));
            match selector.only_value(&request) {
                Err(Repeated) => assert!(several && index == 1, "{text} in request {index}"),
                Ok(value) => assert_eq!(value.as_deref(), found, "{text} in request {index}"),
            }
        }
    }
}

#[test]
fn the_first_text_of_a_claim_counts() {
    for (claim, found) in [
        (r#"{"a":["x","y"]}"#, Some("x")),
        (r#"{"a":[{},null,true,"y"]}"#, Some("true")),
        (r#"{"a":[]}"#, None),
        (r#"{"a":{"b":"x"}}"#, None),
        (r#"{"a":["","y"]}"#, None),
    ] {
        let claims: Claims = serde_json::from_str(claim).unwrap();
        let headers = HeaderMap::new();
        let request = Selectable {
            claims: Some(&claims),
            ..Selectable::of_head(&headers, "")
        };
        let value = selector("jwt:a").value(&request);
        assert_eq!(value.as_deref(), found.map(str::as_bytes), "{claim}");
    }
    let claims: Claims = serde_json::from_str(r#"{"scope":" b a"}"#).unwrap();
    let headers = HeaderMap::new();
    let request = Selectable {
        claims: Some(&claims),
        ..Selectable::of_head(&headers, "")
    };
    let value = selector("jwt:scope").value(&request);
    assert_eq!(value.as_deref(), Some(&b"b"[..]), "a list in one text");
}

#[test]
fn every_source_of_a_color_is_an_input_of_the_decision() {
    for ((text, _), kind) in FOUND.iter().zip(KINDS) {
        if !kind.is_for(Use::ColorSource) {
            continue;
        }
        let config = format!("[coloring]\nsources = [{text:?}]\n[colors.c]\nversions = {{}}");
        let loaded = load_text("test.toml", &config, &|_| None);
        let inputs = Inputs::of(&loaded.config.unwrap(), |_| false);
        assert!(!inputs.is_empty(), "{text}");
    }
}

proptest! {
    #[test]
    fn clients_share_a_key_exactly_when_they_share_a_network(one: IpAddr, other: IpAddr, near: u64) {
        let same = |one, other| Selected::network(one) == Selected::network(other);
        prop_assert_eq!(same(one, other), network_of(one) == network_of(other));
        if let IpAddr::V6(address) = one {
            let near = IpAddr::V6((u128::from(address) ^ u128::from(near)).into());
            prop_assert!(same(one, near));
        }
    }
}

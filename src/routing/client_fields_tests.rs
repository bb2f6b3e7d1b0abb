//! Tests of what becomes of a client's fields.

use super::{Arrival, X_FORWARDED_FOR};
use super::{Own, Peer, client_behind, parse_hop, set_forwarded, strip, strip_named};
use crate::config::selector::{Selector, SelectorFor};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

static COLOR: HeaderName = HeaderName::from_static("x-tyrian-color");
static USER: HeaderName = HeaderName::from_static("x-user-id");

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    headers
}

/// The names that are left of `names`.
fn left(names: &[&'static str], trusted: bool, keep: &[HeaderName]) -> Vec<String> {
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, "1")).collect();
    let mut headers = map(&fields);
    let peer = Peer {
        trusted,
        tells_certificate: trusted,
        keep,
    };
    let own = Own {
        identity: std::slice::from_ref(&USER),
        color: &COLOR,
        sources: &[],
    };
    strip(&mut headers, peer, own);
    let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
    left.sort();
    left
}

#[test]
fn fields_of_proxies_stay_from_trusted_peers_alone() {
    let names = [
        "cf-connecting-ip",
        "client-ip",
        "forwarded",
        "proxy",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-method",
        "x-forwarded-prefix",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-forwarded-tls-client-cert",
        "x-forwarded-tls-client-cert-info",
        "x-forwarded-uri",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
        "x-tyrian-color",
    ];
    assert_eq!(left(&names, false, &[]), Vec::<String>::new());
    assert_eq!(left(&names, true, &[]), names);
}

#[test]
fn what_is_kept_is_kept_in_its_own_spelling() {
    let keep = [HeaderName::from_static("x-real-ip")];
    let names = ["x-real-ip", "x_real_ip", "x-client-ip"];
    assert_eq!(left(&names, false, &keep), ["x-real-ip"]);
}

#[test]
fn other_spellings_of_guarded_names_go_whoever_sends_them() {
    let names = [
        "content_length",
        "x!real!ip",
        "x.forwarded.for",
        "x_request_id",
        "x_tyrian-color",
        "x_user_id",
        "x~real~ip",
    ];
    for trusted in [false, true] {
        assert_eq!(left(&names, trusted, &[]), Vec::<String>::new());
    }
    let names = ["a.b", "x-public", "x_user"];
    assert_eq!(left(&names, false, &[]), names);
}

#[test]
fn what_providers_say_is_taken_off_everyone() {
    for trusted in [false, true] {
        assert_eq!(left(&["x-user-id"], trusted, &[]), Vec::<String>::new());
    }
}

#[test]
fn a_strangers_baggage_loses_its_colors_alone() {
    let mut headers = map(&[("baggage", "color=x,user=1"), ("baggage", "color=y")]);
    let own = Own {
        identity: &[],
        color: &COLOR,
        sources: &[SelectorFor::new(Selector::Baggage("color".into()))],
    };
    let peer = Peer {
        trusted: false,
        tells_certificate: false,
        keep: &[],
    };
    strip(&mut headers, peer, own);
    assert_eq!(headers, map(&[("baggage", "user=1")]));
}

#[test]
fn fields_that_connection_names_go_before_ours_come() {
    for (sent, left) in [
        (
            &[("connection", "x-a, close"), ("x-a", "1"), ("x-b", "2")][..],
            Ok(&[("connection", "close"), ("x-b", "2")][..]),
        ),
        (
            &[("connection", "Upgrade"), ("upgrade", "websocket")],
            Ok(&[("connection", "Upgrade"), ("upgrade", "websocket")]),
        ),
        (&[("connection", "x-a"), ("x-a", "1")], Ok(&[])),
        (
            &[("connection", "content-length"), ("content-length", "3")],
            Ok(&[("content-length", "3")]),
        ),
        (&[("connection", ", ,")], Ok(&[("connection", ", ,")])),
        (&[("connection", "x-forwarded-for")], Err(())),
        (&[("connection", "host")], Err(())),
        (&[("connection", "\"x-forwarded-for\"")], Err(())),
        (&[("connection", ":authority")], Err(())),
        (&[("connection", "a,b,c,d,e,f,g,h,i,j")], Err(())),
    ] {
        let mut headers = map(sent);
        match (strip_named(&mut headers), left) {
            (Ok(()), Ok(left)) => assert_eq!(headers, map(left), "{sent:?}"),
            (found, expected) => {
                assert_eq!(found.is_err(), expected.is_err(), "{sent:?}");
            }
        }
    }
}

#[test]
fn hops_are_addresses_with_or_without_ports() {
    for (hop, expected) in [
        ("1.2.3.4", Some("1.2.3.4")),
        ("1.2.3.4:80", Some("1.2.3.4")),
        ("::1", Some("::1")),
        ("[::1]:443", Some("::1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("[2001:db8::1]", Some("2001:db8::1")),
        ("[2001:db8::1]:443", Some("2001:db8::1")),
        ("::ffff:1.2.3.4", Some("1.2.3.4")),
        ("", None),
        ("unknown", None),
        ("1.2.3.4:x", None),
        ("_hidden", None),
        ("1.2.3", None),
    ] {
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(parse_hop(hop), expected, "{hop}");
    }
}

#[test]
fn empty_elements_are_no_hops() {
    let peer = "10.0.0.1".parse().unwrap();
    for chain in [
        "203.0.113.9",
        "203.0.113.9,",
        ",203.0.113.9 ,, ,",
        " 203.0.113.9\t,10.0.0.2,,",
    ] {
        let headers = map(&[("x-forwarded-for", chain), ("x-forwarded-for", "")]);
        let trusts = |address: std::net::IpAddr| address.to_string().starts_with("10.");
        let client = client_behind(&headers, peer, trusts);
        assert_eq!(client.to_string(), "203.0.113.9", "{chain:?}");
    }
}

#[test]
fn what_is_no_address_ends_the_search_and_hides_no_hop() {
    let peer = "10.0.0.1".parse().unwrap();
    for (lines, expected) in [
        (&[&b"6.6.6.6"[..], b"\xff, 203.0.113.9"][..], "203.0.113.9"),
        (&[b"\xff, 203.0.113.9"], "203.0.113.9"),
        (&[b"6.6.6.6, \xff, 10.0.0.2"], "10.0.0.2"),
        (&[b"6.6.6.6", b"\xff"], "10.0.0.1"),
        (&[b"6.6.6.6, unknown"], "10.0.0.1"),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line).unwrap();
            headers.append(&X_FORWARDED_FOR, line);
        }
        let trusts = |address: std::net::IpAddr| address.to_string().starts_with("10.");
        let client = client_behind(&headers, peer, trusts);
        assert_eq!(client.to_string(), expected, "{lines:?}");
    }
}

proptest! {
    #[test]
    fn a_chain_goes_on_without_empty_elements(
        hops in prop::collection::vec("[ ,]*([0-9]{1,3}(\\.[0-9]{1,3}){3})?[ ,]*", 1..5),
    ) {
        let fields: Vec<_> = hops.iter().map(|hop| ("x-forwarded-for", hop.as_str())).collect();
        let mut headers = map(&fields);
        set_forwarded(&mut headers, Arrival {
            trusted: true,
            peer: HeaderValue::from_static("127.0.0.1"),
            scheme: "http",
            host: None,
        });
        let chain = headers.get(&X_FORWARDED_FOR).unwrap().to_str().unwrap();
        prop_assert!(chain.split(", ").all(|hop| !hop.is_empty() && !hop.contains([' ', ','])));
        prop_assert!(chain.ends_with("127.0.0.1"));
    }
}

#[test]
fn a_color_field_with_an_underscore_is_itself() {
    let color = HeaderName::from_static("team_color");
    for trusted in [false, true] {
        let mut headers = map(&[("team_color", "1"), ("x-public", "1")]);
        let own = Own {
            identity: &[],
            color: &color,
            sources: &[],
        };
        let peer = Peer {
            trusted,
            tells_certificate: false,
            keep: &[],
        };
        strip(&mut headers, peer, own);
        assert_eq!(headers.contains_key(&color), trusted);
        assert!(headers.contains_key("x-public"));
    }
}

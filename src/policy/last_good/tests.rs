//! What is kept, for whom, and for how long.

use super::{Asked, LastGood, Reading, key};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::time::Duration;

const ASKED: Asked = Asked {
    scheme: "http",
    host: "h",
    port: "",
    path: "/",
    query: "",
    route: "all",
    version: "v1",
    color: "",
};

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    lines.iter().map(line).collect()
}

fn keep(kept: &LastGood, path: &str, answer: &[(&'static str, &'static str)]) -> bool {
    keep_asked(kept, path, &HeaderMap::new(), answer)
}

fn keep_asked(
    kept: &LastGood,
    path: &str,
    asked: &HeaderMap,
    answer: &[(&'static str, &'static str)],
) -> bool {
    let key = key(&Method::GET, &Asked { path, ..ASKED }, asked).unwrap();
    let headers = fields(answer);
    let begun = Reading::begin(key, asked, StatusCode::OK, &headers, Duration::ZERO);
    if let Some(mut reading) = begun {
        assert!(reading.more(b"body"));
        kept.keep(reading);
    }
    kept.get(key, Duration::from_mins(1)).is_some()
}

#[test]
fn only_what_is_anybodys_is_kept() {
    let cache = "cache-control";
    let cases: &[(bool, &[(&str, &str)])] = &[
        (true, &[]),
        (true, &[("vary", "Accept-Encoding")]),
        (true, &[("vary", "accept"), ("vary", "accept-language,")]),
        (true, &[(cache, "public, max-age=5")]),
        (
            true,
            &[(cache, "max-age=60, extension=\"private, no-store\"")],
        ),
        (true, &[(cache, "x-private, not-no-store")]),
        (false, &[("set-cookie", "a=b")]),
        (false, &[(cache, "private, max-age=5")]),
        (false, &[(cache, "max-age=60"), (cache, "private")]),
        (false, &[(cache, "max-age=60"), (cache, "No-Store")]),
        (false, &[(cache, "private=\"x-user, x-group\"")]),
        (false, &[(cache, "no-cache")]),
        (false, &[(cache, "max-age=60, no-cache=\"set-cookie\"")]),
        (false, &[(cache, "max-age=60, x=\"never closed")]),
        (false, &[("vary", "Cookie")]),
        (false, &[("vary", "accept"), ("vary", "x-tenant")]),
        (false, &[("vary", "*")]),
    ];
    for (number, (wanted, answer)) in cases.iter().enumerate() {
        let kept = LastGood::default();
        assert_eq!(keep(&kept, "/", answer), *wanted, "{number}: {answer:?}");
    }
}

#[test]
fn what_must_not_be_stale_is_served_while_it_is_fresh() {
    let cache = "cache-control";
    let past = [
        ("date", "Sat, 21 Nov 2026 10:00:00 GMT"),
        (cache, "must-revalidate"),
    ];
    let hour = [&past[..], &[("expires", "Sat, 21 Nov 2026 11:00:00 GMT")]].concat();
    let over = [&past[..], &[("expires", "0")]].concat();
    let cases: &[(bool, &[(&str, &str)])] = &[
        (true, &[(cache, "must-revalidate, max-age=60")]),
        (true, &[(cache, "s-maxage=60")]),
        (true, &[(cache, "max-age=0, s-maxage=60")]),
        (
            true,
            &[(cache, "proxy-revalidate, max-age=60"), ("age", "50")],
        ),
        (true, &hour),
        (true, &[(cache, "max-age=0")]),
        (false, &[(cache, "must-revalidate")]),
        (false, &[(cache, "must-revalidate, max-age=0")]),
        (false, &[(cache, "s-maxage=0, max-age=60")]),
        (false, &[(cache, "s-maxage=60, s-maxage=0")]),
        (false, &[(cache, "s-maxage=soon")]),
        (
            false,
            &[(cache, "proxy-revalidate, max-age=60"), ("age", "60")],
        ),
        (false, &over),
        (false, &[("age", "61")]),
    ];
    for (number, (wanted, answer)) in cases.iter().enumerate() {
        let kept = LastGood::default();
        assert_eq!(keep(&kept, "/", answer), *wanted, "{number}: {answer:?}");
    }
}

#[test]
fn an_answer_is_of_what_was_asked_and_of_who_answered() {
    let other = [
        Asked {
            scheme: "https",
            ..ASKED
        },
        Asked { host: "i", ..ASKED },
        Asked {
            port: "81",
            ..ASKED
        },
        Asked {
            path: "/a",
            ..ASKED
        },
        Asked {
            query: "a",
            ..ASKED
        },
        Asked {
            route: "some",
            ..ASKED
        },
        Asked {
            version: "v2",
            ..ASKED
        },
        Asked {
            color: "lab",
            ..ASKED
        },
    ];
    let none = HeaderMap::new();
    let of = |asked: &Asked| key(&Method::GET, asked, &none).unwrap();
    for asked in &other {
        assert_ne!(of(asked), of(&ASKED), "{asked:?}");
    }
    let by = |lines| key(&Method::GET, &ASKED, &fields(lines)).unwrap();
    assert_ne!(by(&[("accept", "a")]), by(&[("accept-encoding", "a")]));
    assert_ne!(
        by(&[("accept", "a"), ("accept", "b")]),
        by(&[("accept", "a")])
    );
}

#[test]
fn requests_with_credentials_have_no_key_and_some_leave_nothing() {
    let none = HeaderMap::new();
    assert!(key(&Method::POST, &ASKED, &none).is_none());
    for line in [
        ("cookie", "a=b"),
        ("authorization", "Basic x"),
        ("range", "bytes=0-1"),
        ("content-length", "3"),
    ] {
        assert!(
            key(&Method::GET, &ASKED, &fields(&[line])).is_none(),
            "{line:?}"
        );
    }
    let kept = LastGood::default();
    let asked = fields(&[
        ("cache-control", "max-age=0"),
        ("cache-control", "no-store"),
    ]);
    assert!(!keep_asked(&kept, "/", &asked, &[]));
}

#[test]
fn age_is_counted_from_the_origin_and_hops_keep_their_fields() {
    let kept = LastGood::default();
    let key = key(&Method::GET, &ASKED, &HeaderMap::new()).unwrap();
    let answer = fields(&[("age", "30"), ("content-length", "4"), ("x-kept", "1")]);
    let none = HeaderMap::new();
    let waited = Duration::from_secs(5);
    kept.keep(Reading::begin(key, &none, StatusCode::OK, &answer, waited).unwrap());
    let answer = kept.get(key, Duration::from_mins(1)).unwrap();
    assert_eq!(answer.age().as_secs(), 35);
    let names: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["x-kept"]);
    assert!(kept.get(key, Duration::from_secs(34)).is_none());
    assert!(!answer.headers.iter().any(|(name, _)| name == header::AGE));
}

#[test]
fn the_number_of_answers_is_bounded() {
    let kept = LastGood::default();
    for target in 0..super::ANSWERS_MAX + 10 {
        assert!(keep(&kept, &format!("/{target}"), &[]));
    }
    assert_eq!(kept.answers.len(), super::ANSWERS_MAX);
}

//! Buckets, keys and verdicts, with time as an argument.

use super::{Limiter, Verdict, key_of, seconds};
use crate::config::limit::Limit;
use crate::config::load_text;
use crate::config::selector::{Selector, SelectorFor};
use crate::policy::overload::memory_used;
use crate::routing::claims::Claims;
use crate::routing::selector::Selectable;
use governor::clock::FakeRelativeClock;
use http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

fn config(text: &str) -> Limit {
    let loaded = load_text("test.toml", &format!("[limits.x]\n{text}"), &|_| None);
    let config = loaded
        .config
        .as_ref()
        .unwrap_or_else(|| panic!("{}", loaded.render_human(false)));
    config.limits["x"].clone()
}

fn limiter(text: &str, clock: &FakeRelativeClock) -> Limiter<FakeRelativeClock> {
    Limiter::with_clock(&"x".into(), &config(text), clock.clone())
}

fn from(client: &str, headers: &HeaderMap, limiter: &Limiter<FakeRelativeClock>) -> Verdict {
    limiter.check(&facts(client, headers), 1)
}

fn facts<'a>(client: &str, headers: &'a HeaderMap) -> Selectable<'a> {
    let client: IpAddr = client.parse().unwrap();
    Selectable {
        client: Some(client),
        route: "r",
        ..Selectable::of_head(headers, "")
    }
}

fn passes(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Pass(_))
}

#[test]
fn a_bucket_gives_its_burst_and_refills_steadily() {
    let clock = FakeRelativeClock::default();
    let limiter = limiter("rate = \"10/s\"\nburst = 20", &clock);
    let none = HeaderMap::new();
    let passed = (0..30)
        .filter(|_| passes(from("192.0.2.1", &none, &limiter)))
        .count();
    assert_eq!(passed, 20);
    assert!(
        passes(from("192.0.2.2", &none, &limiter)),
        "another key has a bucket of its own"
    );
    let Verdict::Over(reading) = from("192.0.2.1", &none, &limiter) else {
        panic!()
    };
    assert_eq!(reading.reset, Duration::from_millis(100));
    assert_eq!(seconds(reading.reset), 1);
    clock.advance(reading.reset);
    assert!(
        passes(from("192.0.2.1", &none, &limiter)),
        "whoever waits that long passes"
    );
    assert!(!passes(from("192.0.2.1", &none, &limiter)));
    clock.advance(Duration::from_secs(1));
    let passed = (0..30)
        .filter(|_| passes(from("192.0.2.1", &none, &limiter)))
        .count();
    assert_eq!(passed, 10);
}

#[test]
fn cost_counts_and_what_costs_more_than_the_bucket_never_passes() {
    let clock = FakeRelativeClock::default();
    let limiter = limiter("rate = \"10/s\"", &clock);
    let none = HeaderMap::new();
    let facts = facts("192.0.2.1", &none);
    let Verdict::Pass(Some(reading)) = limiter.check(&facts, 4) else {
        panic!()
    };
    assert_eq!(
        (reading.remaining, reading.reset),
        (6, Duration::from_millis(400))
    );
    let Verdict::Over(reading) = limiter.check(&facts, 8) else {
        panic!()
    };
    assert_eq!(
        (reading.remaining, reading.reset),
        (6, Duration::from_millis(200)),
        "what is there is told, for whoever costs less"
    );
    assert!(passes(limiter.check(&facts, 6)));
    assert!(!passes(limiter.check(&facts, 1)));
    clock.advance(Duration::from_secs(10));
    assert!(!passes(limiter.check(&facts, 11)));
}

#[test]
fn missing_parts_do_as_told() {
    let clock = FakeRelativeClock::default();
    let none = HeaderMap::new();
    for (missing, expected) in [
        ("share", [true, false]),
        ("pass", [true, true]),
        ("refuse", [false, false]),
    ] {
        let text = format!("rate = \"1/h\"\nkey = \"header:x-team\"\nmissing = \"{missing}\"");
        let limiter = limiter(&text, &clock);
        let verdicts = [(); 2].map(|()| passes(from("192.0.2.1", &none, &limiter)));
        assert_eq!(verdicts, expected, "{missing}");
    }
}

#[test]
fn a_flood_of_keys_costs_known_keys_nothing() {
    let clock = FakeRelativeClock::default();
    let limiter = limiter(
        "rate = \"1/s\"\nburst = 2\nkey = \"header:x-user\"\nmax_keys = 1000",
        &clock,
    );
    let user = |name: String| {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::try_from(name).unwrap());
        headers
    };
    let honest = user("honest".to_owned());
    assert!(passes(from("192.0.2.1", &honest, &limiter)));
    for spray in 0..100_000 {
        from("192.0.2.1", &user(format!("spray-{spray}")), &limiter);
    }
    let (keys, _, crowded) = limiter.sizes();
    assert!(keys <= 1000 && crowded >= 99_000, "{keys} {crowded}");
    assert!(
        passes(from("192.0.2.1", &honest, &limiter)),
        "it has one left"
    );
    assert!(!passes(from("192.0.2.1", &honest, &limiter)), "and no more");
    clock.advance(Duration::from_secs(3));
    limiter.sweep();
    let (keys, evicted, _) = limiter.sizes();
    assert_eq!(keys, 0);
    assert_eq!(evicted, 1000);
}

/// A million keys at a cap of as many: what they occupy is counted, not guessed. Tests run in
/// processes of their own.
#[test]
fn a_million_keys_stay_small() {
    let clock = FakeRelativeClock::default();
    let limiter = limiter("rate = \"1/h\"\nkey = \"ip\"\nmax_keys = 1000000", &clock);
    let none = HeaderMap::new();
    let before = memory_used();
    assert!(before > 0);
    for number in 0..1_100_000_u32 {
        let client = IpAddr::V4(Ipv4Addr::from(number)).to_string();
        assert!(passes(from(&client, &none, &limiter)) || number >= 1_000_000);
    }
    let (keys, _, crowded) = limiter.sizes();
    assert_eq!((keys, crowded), (1_000_000, 100_000));
    let grown = memory_used().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

#[test]
fn a_changed_rate_starts_from_the_same_share_of_fill() {
    let clock = FakeRelativeClock::default();
    let none = HeaderMap::new();
    let old = limiter("rate = \"10/s\"\nburst = 10", &clock);
    (0..5).for_each(|_| assert!(passes(from("192.0.2.1", &none, &old))));
    clock.advance(Duration::from_millis(1)); // the new one's time begins later
    let new = limiter("rate = \"100/s\"\nburst = 100", &clock);
    new.take_over(&old);
    let passed = (0..200)
        .filter(|_| passes(from("192.0.2.1", &none, &new)))
        .count();
    assert!((50..=51).contains(&passed), "{passed}");
}

#[test]
fn parts_of_a_key_do_not_run_into_each_other() {
    let parts = [
        Selector::Header("x-a".parse().unwrap()),
        Selector::Header("x-b".parse().unwrap()),
    ];
    let parts = parts.map(SelectorFor::new);
    let key = |one: &'static str, two: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static(one));
        headers.insert("x-b", HeaderValue::from_static(two));
        key_of(&parts, &facts("192.0.2.1", &headers)).0
    };
    assert_ne!(key("ab", "c"), key("a", "bc"));
    assert_eq!(key("ab", "c"), key("ab", "c"));
}

#[test]
fn an_ipv6_customer_has_one_bucket() {
    let none = HeaderMap::new();
    let key = |client| key_of(&[SelectorFor::new(Selector::Ip)], &facts(client, &none)).0;
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
}

#[test]
fn claims_make_keys() {
    let parts = [SelectorFor::new(Selector::Claim("sub".to_owned()))];
    let none = HeaderMap::new();
    let claims: Claims = serde_json::from_str(r#"{"sub":"alice"}"#).unwrap();
    let known = Selectable {
        claims: Some(&claims),
        ..facts("192.0.2.1", &none)
    };
    assert!(key_of(&parts, &known).1);
    assert!(!key_of(&parts, &facts("192.0.2.1", &none)).1);
}

#[test]
fn how_long_a_request_would_wait_is_told_and_takes_nothing() {
    let clock = FakeRelativeClock::default();
    let limiter = limiter("rate = \"1/s\"\nburst = 3", &clock);
    let none = HeaderMap::new();
    let facts = facts("192.0.2.1", &none);
    for cost in 1..=3 {
        assert_eq!(limiter.wait(&facts, cost), None, "the bucket is full");
    }
    assert!(limiter.wait(&facts, 4).is_some(), "dearer than the bucket");
    assert!(passes(limiter.check(&facts, 2)));
    for _ in 0..5 {
        assert_eq!(limiter.wait(&facts, 1), None);
        assert_eq!(limiter.wait(&facts, 3), Some(Duration::from_secs(2)));
    }
    assert!(passes(limiter.check(&facts, 1)));
    assert_eq!(limiter.wait(&facts, 1), Some(Duration::from_secs(1)));
    assert!(!passes(limiter.check(&facts, 1)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.wait(&facts, 1), None);
    assert!(passes(limiter.check(&facts, 1)));
}

/// What ten threads get through one bucket is what its table promises; wall-clock time is measured,
/// not asserted.
#[test]
fn threads_on_one_key_get_rate_times_time_and_the_burst() {
    let config = config("rate = \"20000/s\"\nburst = 1000");
    let limiter = Limiter::with_clock(
        &"x".into(),
        &config,
        governor::clock::DefaultClock::default(),
    );
    let none = HeaderMap::new();
    let started = Instant::now();
    let passed: usize = std::thread::scope(|scope| {
        let work = || {
            let mut passed = 0;
            while started.elapsed() < Duration::from_secs(1) {
                passed += usize::from(passes(limiter.check(&facts("192.0.2.1", &none), 1)));
            }
            passed
        };
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let most = 1000.0 + 20_000.0 * started.elapsed().as_secs_f64();
    assert!(passed as f64 <= most + 1.0, "{passed} of at most {most}");
    assert!(passed as f64 >= 0.9 * 21_000.0, "{passed}");
}

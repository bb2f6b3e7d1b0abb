//! What an endpoint remembers, by example.

use super::{EndpointState, Health};
use crate::upstream::cause::Kind;
use crate::upstream::endpoint_set::{Member, Rules};
use crate::upstream::{Cause, Trouble};
use std::time::Duration;

/// One endpoint of `shop/v1`.
fn endpoint() -> EndpointState {
    EndpointState::new(&Rules::plain().owner, &Member::at("127.0.0.1:1", 1))
}

#[test]
fn ejections_grow_and_end() {
    let endpoint = endpoint();
    assert_eq!(endpoint.judge(true), 1);
    assert_eq!(endpoint.judge(true), 2);
    assert_eq!(endpoint.judge(false), 0);
    assert_eq!(
        endpoint.eject(Duration::from_secs(30), Cause::http(503), 5),
        Duration::from_secs(30)
    );
    assert!(!endpoint.available());
    assert_eq!(
        endpoint.eject(Duration::from_secs(30), Cause::http(503), 5),
        Duration::from_mins(1)
    );
    let brief = self::endpoint();
    brief.eject(Duration::ZERO, Cause::http(503), 5);
    assert!(brief.available());
}

#[test]
fn only_what_is_well_and_wanted_is_available() {
    let endpoint = endpoint();
    for (health, available) in [
        (Health::Unhealthy, false),
        (Health::Healthy, true),
        (Health::Awaited, false),
        (Health::Assumed, true),
    ] {
        endpoint.found(health);
        assert_eq!(endpoint.available(), available, "{health:?}");
        assert!(endpoint.reachable());
    }
    endpoint.drain(true);
    assert!(!endpoint.reachable());
}

#[test]
fn busy_and_cold_endpoints_take_fewer_turns() {
    let endpoint = endpoint();
    assert!((endpoint.slow_start_weight(Some(Duration::from_secs(30))) - 1.0).abs() < 0.01);
    endpoint.report_load(0.5);
    assert!((endpoint.slow_start_weight(None) - 0.55).abs() < 0.01);
    endpoint.mark_down(Kind::ConnectRefused.into());
    endpoint.mark_up();
    assert!((endpoint.slow_start_weight(Some(Duration::from_hours(1))) - 0.1).abs() < 0.01);
}

#[test]
fn what_keeps_it_out_is_told_with_its_cause_for_as_long_as_it_does() {
    let endpoint = endpoint();
    let cause = |trouble: Option<Trouble>| trouble.map(|trouble| trouble.cause);
    let refused = Kind::ConnectRefused.into();
    assert!(endpoint.mark_down(refused));
    assert!(!endpoint.mark_down(Kind::Timeout.into()), "it is out");
    assert_eq!(cause(endpoint.troubles().unreachable), Some(refused));
    endpoint.mark_up();
    assert_eq!(endpoint.troubles().unreachable, None);

    endpoint.checked(Health::Unhealthy, Some((Cause::http(500), 3)));
    let first = endpoint.troubles().unhealthy.unwrap();
    endpoint.checked(Health::Unhealthy, Some((Kind::Timeout.into(), 4)));
    let later = endpoint.troubles().unhealthy.unwrap();
    assert_eq!((first.cause, later.since), (Cause::http(500), first.since));
    assert_eq!(
        later.cause,
        Kind::Timeout.into(),
        "that of the latest check"
    );
    endpoint.checked(Health::Healthy, None);
    assert_eq!(endpoint.troubles().unhealthy, None);

    endpoint.eject(Duration::from_secs(30), Cause::grpc(14), 5);
    let (trouble, until) = endpoint.troubles().ejected.unwrap();
    assert_eq!(trouble.cause, Cause::grpc(14));
    assert_eq!(until.as_second() - trouble.since.as_second(), 30);
    let brief = self::endpoint();
    brief.eject(Duration::ZERO, Cause::grpc(14), 5);
    assert_eq!(brief.troubles().ejected, None, "it is over");

    endpoint.drain(true);
    assert!(endpoint.troubles().drained.is_some());
    endpoint.drain(false);
    assert!(endpoint.troubles().drained.is_none());
}

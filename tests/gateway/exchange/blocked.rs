//! Upstreams that stop reading: the exchange ends by its limits, or at once when the client has
//! left, and leaves nothing behind.

use super::caller::{Caller, Kind, Leave};
use super::stub::{Stall, Stalled};
use super::{Case, case, gateway, play};
use crate::gateway::Gateway;
use std::sync::atomic::Ordering::SeqCst;

/// A limit that ends the exchange, the others being far off.
const LIMITS: [(&str, &str); 3] = [
    ("idle", "timeouts = { idle = \"400ms\" }"),
    ("request", "timeouts = { request = \"2s\", idle = \"60s\" }"),
    (
        "per_try",
        "timeouts = { idle = \"60s\" }\nretry = { attempts = 1, per_try = \"2s\" }",
    ),
];

/// No limit ends anything before the guard of a test does.
const NONE: &str = "";

struct Scene {
    gateway: Gateway,
    upstream: Stalled,
    caller: Caller,
}

/// An upload, or a WebSocket, whose bytes go nowhere any more.
fn block(kind: Kind, how: Stall, limits: &str) -> Scene {
    let upstream = Stalled::start(how);
    let service = format!("max_in_flight = 1\n{limits}");
    let mut gateway = gateway(upstream.address, how.http(), &service);
    let caller = Caller::start(kind, &gateway);
    gateway.wait_for("the upload", |_| upstream.uploads.load(SeqCst) == 1);
    Scene {
        gateway,
        upstream,
        caller,
    }
}

impl Scene {
    /// The exchange has one line in the log with one of these reasons, everything it had taken has
    /// been given back, and the upstream knows.
    fn assert_over(mut self, reasons: &[&str]) {
        let line = self.gateway.logged(|line| line["path"] == "/up");
        let reason = line["reason"].as_str().unwrap_or("none");
        assert!(reasons.contains(&reason), "logged as {reason}: {line}");
        self.gateway.counts("http_server_active_requests", 0.0);
        self.upstream.awake.set();
        assert!(self.upstream.told.wait(), "the upstream is not told");
        self.gateway
            .wait_for("a place for the next request", |gateway| {
                gateway.get("/next", "").status == 200
            });
        self.gateway
            .wait_for("gauges of places and tries", |gateway| {
                let metrics = gateway.metrics();
                let mut gauges = metrics.lines().filter(|line| {
                    line.starts_with("tyrian_in_flight{")
                        || line.starts_with("tyrian_endpoint_in_flight{")
                });
                metrics.contains("tyrian_in_flight{") && gauges.all(|line| line.ends_with(" 0.0"))
            });
        let lines = self.gateway.access_log();
        let own = lines.iter().filter(|line| line["path"] == "/up").count();
        assert_eq!(own, 1, "lines of the log");
        let tries = self.upstream.uploads.load(SeqCst);
        assert_eq!(tries, 1, "tries");
    }
}

/// The client stays and is told, by one of the limits.
fn stays(kind: Kind, told: (u16, &'static str)) -> Vec<Case<'static>> {
    let pairs = Stall::ALL.into_iter();
    let pairs = pairs.flat_map(|how| LIMITS.map(|limit| (how, limit)));
    let cases = pairs.map(|(how, (name, limits))| {
        case(format!("{kind:?} to {how:?}, {name}"), move || {
            let mut scene = block(kind, how, limits);
            scene.caller.pour();
            let answer = scene.caller.answer();
            assert_eq!((answer.0, answer.1.as_str()), told);
            scene.assert_over(&["upstream_timeout"]);
        })
    });
    cases.collect()
}

/// The client leaves; no limit is near.
fn leaves(kind: Kind, upstreams: &[Stall], ways: &[Leave]) -> Vec<Case<'static>> {
    let pairs = upstreams
        .iter()
        .flat_map(|how| ways.iter().map(|way| (*how, *way)));
    let cases = pairs.map(|(how, way)| {
        case(format!("{kind:?} to {how:?}, {way:?}"), move || {
            let mut scene = block(kind, how, NONE);
            scene.caller.fill();
            scene.caller.leave(way);
            scene.assert_over(&["client_closed"]);
        })
    });
    cases.collect()
}

#[test]
fn a_client_of_http1_that_stays_is_told() {
    play(stays(Kind::One, (504, "upstream_timeout")));
}

#[test]
fn a_client_of_http2_that_stays_is_told() {
    play(stays(Kind::Two, (504, "upstream_timeout")));
}

#[test]
fn a_call_of_grpc_that_stays_is_told() {
    const DEADLINE_EXCEEDED: u16 = 4;
    play(stays(Kind::Grpc, (DEADLINE_EXCEEDED, "upstream_timeout")));
}

#[test]
fn an_upload_over_http1_ends_with_its_client() {
    let mut cases = leaves(Kind::One, &Stall::ALL, &[Leave::Fin, Leave::Rst]);
    // A FIN that has not arrived tells nothing: the limits do.
    cases.extend(Stall::ALL.map(|how| {
        case(format!("One to {how:?}, StuckFin"), move || {
            let mut scene = block(Kind::One, how, LIMITS[0].1);
            scene.caller.fill();
            scene.caller.leave(Leave::StuckFin);
            scene.assert_over(&["client_closed", "upstream_timeout"]);
        })
    }));
    play(cases);
}

#[test]
fn an_upload_over_http2_ends_with_its_client() {
    let ways = [Leave::Fin, Leave::Rst, Leave::Stream];
    play(leaves(Kind::Two, &Stall::ALL, &ways));
}

#[test]
fn a_call_of_grpc_ends_with_its_client() {
    let ways = [Leave::Fin, Leave::Rst, Leave::Stream];
    play(leaves(Kind::Grpc, &Stall::ALL, &ways));
}

/// A WebSocket towards an upstream that reads nothing. `idle` is the only limit that holds for it.
/// A FIN of the client is passed on where there is room, so it ends nothing by itself.
fn socket(kind: Kind, at_once: &[Leave]) -> Vec<Case<'static>> {
    let mut cases = leaves(kind, &[Stall::One], at_once);
    for limits in ["idle = \"400ms\"", "idle = \"400ms\", request = \"60s\""] {
        let limits = format!("timeouts = {{ {limits} }}");
        cases.push(case(format!("{kind:?} stays, {limits}"), move || {
            let mut scene = block(kind, Stall::One, &limits);
            scene.caller.fill();
            assert!(scene.caller.ends(), "the client's side does not end");
            scene.assert_over(&["upstream_timeout"]);
        }));
    }
    cases.push(case(format!("{kind:?}, Fin"), move || {
        let mut scene = block(kind, Stall::One, LIMITS[0].1);
        scene.caller.fill();
        scene.caller.leave(Leave::Fin);
        scene.assert_over(&["none", "client_closed", "upstream_timeout"]);
    }));
    cases
}

#[test]
fn a_websocket_ends_by_silence_or_with_its_client() {
    play(socket(Kind::Socket, &[Leave::Rst]));
}

#[test]
fn a_websocket_over_http2_ends_by_silence_or_with_its_client() {
    play(socket(Kind::SocketTwo, &[Leave::Rst, Leave::Stream]));
}

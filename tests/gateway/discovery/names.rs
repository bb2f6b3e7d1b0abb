//! Names: A and AAAA records, and SRV records.

use super::knot::Knot;
use super::{Instance, served, serves};
use crate::gateway::{Gateway, listeners};
use std::collections::BTreeSet;

fn gateway(knot: &Knot, version: &str) -> Gateway {
    Gateway::start(&format!(
        "{}[discovery.resolver]\ndns = [\"{}\"]\n\
         [services.a]\nbalance = \"round-robin\"\n[services.a.versions.v1]\n{version}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners(""),
        knot.address
    ))
}

#[test]
fn all_addresses_of_a_name_serve_and_changes_are_followed() {
    let first = Instance::start(2, 0);
    let port = first.address.port();
    let (second, third) = (Instance::start(3, port), Instance::start(4, port));
    let mut knot = Knot::start("a A 127.0.0.2\na A 127.0.0.3\n");
    let version = format!("discover = {{ dns = \"a.z.test:{port}\", from = \"resolver\" }}");
    let mut gateway = gateway(&knot, &version);
    serves(&gateway, &["127.0.0.2", "127.0.0.3"]);
    knot.change("add a.z.test. 1 A 127.0.0.4");
    serves(&gateway, &["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    knot.change("del a.z.test. A 127.0.0.2");
    serves(&gateway, &["127.0.0.3", "127.0.0.4"]);
    // The upstream is asked by its name.
    let (_, services) = gateway.api("GET", "/v1/services", "");
    let version = &services["services"][0]["versions"][0];
    assert_eq!(
        version["endpoints"][0]["source"], "dns:a.z.test",
        "{version}"
    );
    assert!(version["source_age"].is_number(), "{version}");
    // No records are no reason to have no endpoints.
    knot.change("del a.z.test. A");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(served(&gateway), names(&["127.0.0.3", "127.0.0.4"]));
    // Nor is a server that has gone.
    knot.kill();
    gateway.wait_for("a failure", |gateway| {
        let metrics = gateway.metrics();
        let failures = "tyrian_discovery_failures_total{source=\"dns:a.z.test\"";
        let mut failures = metrics.lines().filter(|line| line.starts_with(failures));
        failures.any(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0"))
    });
    assert_eq!(served(&gateway), names(&["127.0.0.3", "127.0.0.4"]));
    drop((first, second, third));
}

fn names(ips: &[&str]) -> BTreeSet<String> {
    ips.iter().map(|ip| (*ip).to_owned()).collect()
}

#[test]
fn srv_records_give_ports_and_the_lowest_priority_serves() {
    let (first, second) = (Instance::start(2, 0), Instance::start(3, 0));
    let spare = Instance::start(4, 0);
    let port = |instance: &Instance| instance.address.port();
    let knot = Knot::start(&format!(
        "a A 127.0.0.2\nb A 127.0.0.3\nc A 127.0.0.4\n\
         _http._tcp.web SRV 1 10 {} a\n_http._tcp.web SRV 1 0 {} b\n_http._tcp.web SRV 2 10 {} c\n",
        port(&first),
        port(&second),
        port(&spare)
    ));
    let version =
        "discover = { srv = \"_http._tcp.web.z.test\", from = \"resolver\", hold = \"0s\" }";
    let gateway = gateway(&knot, version);
    serves(&gateway, &["127.0.0.2", "127.0.0.3"]);
    // A priority without any address gives way to the next one.
    knot.change("del a.z.test. A\ndel b.z.test. A");
    serves(&gateway, &["127.0.0.4"]);
    knot.change("add b.z.test. 1 A 127.0.0.3");
    serves(&gateway, &["127.0.0.3"]);
    // A target of `.` says that there is no such service.
    let gone = "del _http._tcp.web.z.test. SRV\nadd _http._tcp.web.z.test. 1 SRV 0 0 0 .";
    knot.change(gone);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    serves(&gateway, &["127.0.0.3"]);
}

#[test]
fn names_among_endpoints_are_all_of_their_addresses() {
    let gateway = |version: &str| {
        Gateway::start(&format!(
            "{}[services.a.versions.v1]\n{version}\n\
             [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
            listeners("")
        ))
    };
    let instance = Instance::start(1, 0);
    let port = instance.address.port();
    let gateway = gateway(&format!("endpoints = [\"localhost:{port}\"]"));
    serves(&gateway, &["127.0.0.1"]);
    assert_eq!(instance.ip(), "127.0.0.1");
}

//! Endpoints in a file.

use super::{Instance, served, serves};
use crate::gateway::{Gateway, listeners};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn write(file: &Path, instances: &[&Instance]) {
    let list = instances.iter().map(
        |instance| serde_json::json!({ "address": instance.address.to_string(), "weight": 1 }),
    );
    let list: Vec<serde_json::Value> = list.collect();
    let next = file.with_extension("next");
    std::fs::write(&next, serde_json::to_vec(&list).unwrap()).unwrap();
    std::fs::rename(next, file).unwrap();
}

fn gateway(file: &Path, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{}[services.a]\nbalance = \"round-robin\"\n[services.a.versions.v1]\n\
         discover = {{ file = \"{}\"{more} }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners(""),
        file.display()
    ))
}

#[test]
fn a_file_is_followed_and_half_of_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let (first, second) = (Instance::start(2, 0), Instance::start(3, 0));
    write(&file, &[&first]);
    let gateway = gateway(&file, "");
    serves(&gateway, &["127.0.0.2"]);
    write(&file, &[&first, &second]);
    serves(&gateway, &["127.0.0.2", "127.0.0.3"]);
    for text in ["[{\"address\"", "[]", ""] {
        std::fs::write(&file, text).unwrap();
        std::thread::sleep(Duration::from_millis(1200));
        serves(&gateway, &["127.0.0.2", "127.0.0.3"]);
    }
    std::fs::remove_file(&file).unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    serves(&gateway, &["127.0.0.2", "127.0.0.3"]);
    // Prometheus's form.
    let targets = serde_json::json!([{ "targets": [second.address.to_string()] }]);
    std::fs::write(&file, targets.to_string()).unwrap();
    serves(&gateway, &["127.0.0.3"]);
    let metrics = gateway.metrics();
    for name in [
        "tyrian_discovery_last_success_timestamp_seconds{source=\"file:",
        "tyrian_discovery_endpoints{service=\"a\",version=\"v1\",source=\"file:",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

#[test]
fn most_endpoints_go_only_once_that_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let instances = [2, 3, 4].map(|last| Instance::start(last, 0));
    write(&file, &instances.each_ref());
    let mut gateway = gateway(&file, ", hold = \"3s\"");
    serves(&gateway, &["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    write(&file, &[&instances[0]]);
    gateway.wait_for("a warning", |gateway| {
        gateway.log().contains("most endpoints would be gone")
    });
    assert_eq!(served(&gateway).len(), 3);
    serves(&gateway, &["127.0.0.2"]);
}

#[test]
fn none_at_all_is_believed_where_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let instance = Instance::start(2, 0);
    write(&file, &[&instance]);
    let gateway = gateway(&file, ", empty = \"believe\"");
    serves(&gateway, &["127.0.0.2"]);
    write(&file, &[]);
    serves(&gateway, &["503 no_healthy_endpoint"]);
    write(&file, &[&instance]);
    serves(&gateway, &["127.0.0.2"]);
}

/// Each instance is replaced by another one, one after the other, while clients ask without a pause.
#[test]
fn a_rolling_replacement_costs_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let mut instances: Vec<Instance> = (10..14).map(|last| Instance::start(last, 0)).collect();
    let all = |instances: &[Instance]| write(&file, &instances.iter().collect::<Vec<_>>());
    all(&instances);
    let gateway = Arc::new(gateway(&file, ", hold = \"1s\""));
    let expected = ["127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.13"];
    serves(&gateway, &expected);
    let (done, failed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (gateway, done, failed) = (gateway.clone(), done.clone(), failed.clone());
            std::thread::spawn(move || {
                while !done.load(SeqCst) {
                    if gateway.get("/", "").status != 200 {
                        failed.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for last in 20..24 {
        instances.push(Instance::start(last, 0));
        all(&instances);
        std::thread::sleep(Duration::from_millis(700));
        let gone = instances.remove(0);
        all(&instances);
        std::thread::sleep(Duration::from_millis(700));
        drop(gone);
    }
    let expected = ["127.0.0.20", "127.0.0.21", "127.0.0.22", "127.0.0.23"];
    serves(&gateway, &expected);
    done.store(true, SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(failed.load(SeqCst), 0, "failed requests");
}

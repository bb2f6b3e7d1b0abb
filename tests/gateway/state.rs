//! State belongs to one configuration: gateways that share a base directory share nothing in it.

use crate::gateway::{Gateway, listeners, tyrian};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A gateway that answers with this text.
fn config(text: &str) -> String {
    format!(
        "{}[server]\ndrain = {{ delay = \"0s\", timeout = \"5s\" }}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nrespond = {{ text = \"{text}\" }}\n",
        listeners("")
    )
}

/// What a verb prints about a gateway, whose token it has to find itself.
fn ask(gateway: &Gateway, base: &Path, verb: &[&str]) -> (i32, String) {
    let output = tyrian()
        .args(verb)
        .arg("-c")
        .arg(gateway.config_file())
        .args(["--admin", &gateway.address("admin").to_string(), "--state"])
        .arg(base)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

fn status(gateway: &Gateway, base: &Path) -> Value {
    let (code, said) = ask(gateway, base, &["status", "-o", "json"]);
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// Generations that a gateway can return to, the newest first.
fn history(gateway: &Gateway, base: &Path) -> Vec<u64> {
    let (code, said) = ask(gateway, base, &["config", "history", "-o", "json"]);
    assert_eq!(code, 0, "{said}");
    let history: Value = serde_json::from_str(&said).unwrap();
    let entries = history["generations"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["generation"].as_u64().unwrap())
        .collect()
}

fn with_state(config: &str, base: &Path) -> Gateway {
    Gateway::start_with(config, |command| {
        command.env("TYRIAN_STATE", base);
    })
}

#[test]
fn gateways_that_share_a_directory_never_see_each_others_generations() {
    let mut one = Gateway::start(&config("one"));
    let base = one.dir.path().join("state");
    let two = with_state(&config("two"), &base);
    for text in ["two-b", "two-c"] {
        two.replace_config(&config(text));
        assert_eq!(ask(&two, &base, &["reload"]).0, 0);
    }
    assert_eq!(history(&one, &base), [1]);
    assert_eq!(history(&two, &base), [3, 2, 1]);
    let (code, said) = ask(&one, &base, &["config", "rollback", "2"]);
    assert_ne!(code, 0, "{said}");
    assert_eq!(ask(&two, &base, &["config", "rollback", "2"]).0, 0);
    assert_eq!(two.get("/", "").text(), "two-b");
    one.restart();
    assert_eq!(history(&one, &base), [2, 1]);
    assert_eq!(ask(&one, &base, &["config", "rollback", "1"]).0, 0);
    assert_eq!(one.get("/", "").text(), "one");
    let places = [&one, &two].map(|gateway| status(gateway, &base)["state"].clone());
    assert_ne!(places[0]["directory"], places[1]["directory"]);
    for place in places {
        assert_eq!(place["read_only"], false, "{place}");
        let directory = Path::new(place["directory"].as_str().unwrap());
        assert_eq!(directory.parent(), Some(base.as_path()));
        assert!(directory.join("admin.token").is_file());
    }
}

#[test]
fn a_second_process_of_one_instance_says_so_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let named = |text: &str| {
        Gateway::start_with(&config(text), |command| {
            command
                .env("TYRIAN_STATE", base)
                .env("TYRIAN_INSTANCE", "shop");
        })
    };
    let first = named("first");
    let second = named("second");
    let process = format!("process {} uses it", first.pid());
    assert!(second.log().contains(&process), "{}", second.log());
    let state = &status(&second, base)["state"];
    assert_eq!(state["instance"], "shop");
    assert_eq!(state["read_only"], true);
    assert!(
        state["reason"].as_str().unwrap().contains(&process),
        "{state}"
    );
    let (_, table) = ask(&second, base, &["status"]);
    assert!(table.contains("read only: process"), "{table}");
    assert!(!ask(&first, base, &["status"]).1.contains("read only"));
    // It has a history in memory, and the other's stays what it was.
    second.replace_config(&config("second-b"));
    assert_eq!(ask(&second, base, &["reload"]).0, 0);
    assert_eq!(history(&second, base), [2, 1]);
    assert_eq!(history(&first, base), [1]);
    assert!(base.join("shop/generations/1.json").is_file());
    assert!(!base.join("shop/generations/2.json").exists());
}

#[test]
fn one_configuration_is_one_instance() {
    let gateway = Gateway::start(&config("one"));
    let mut second = tyrian()
        .args(["run", "-c", "tyrian.toml", "--state", "state"])
        .current_dir(gateway.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let said = lines.find_map(|line| line.ok().filter(|line| line.contains("read only")));
    second.kill().unwrap();
    second.wait().unwrap();
    let process = format!("process {} uses it", gateway.pid());
    assert!(said.unwrap().contains(&process));
}

#[test]
fn a_name_of_an_instance_is_checked() {
    for name in ["", "../up", ".hidden", "a b", "generations"] {
        let done = tyrian()
            .args(["run", "--from", ":0", "--to", ":1", "--instance", name])
            .output();
        assert_eq!(done.unwrap().status.code(), Some(2), "{name:?}");
    }
}

#[test]
fn a_process_that_takes_over_goes_on_with_the_state() {
    let mut gateway = Gateway::start(&config("1"));
    let base = gateway.dir.path().join("state");
    let mut process = gateway.pid();
    for round in 1..=2 {
        let signalled = Command::new("kill")
            .args(["-QUIT", &process.to_string()])
            .status();
        assert!(signalled.unwrap().success());
        let mut next = None;
        gateway.wait_for("a new process", |gateway| {
            next = gateway.successors().get(round - 1).copied();
            next.is_some()
        });
        let old = process;
        process = next.unwrap();
        gateway.wait_for("the old one to leave", |gateway| {
            // Our own child stays a zombie until it is waited for.
            let status = std::fs::read_to_string(format!("/proc/{old}/stat"));
            let gone = status.map_or(true, |text| text.contains(") Z "));
            gone || (gateway.log().matches("\"drained\"").count() >= round && old != gateway.pid())
        });
        assert_eq!(status(&gateway, &base)["state"]["read_only"], false);
        gateway.replace_config(&config(&format!("after {round}")));
        assert_eq!(ask(&gateway, &base, &["reload"]).0, 0);
    }
    assert!(!gateway.log().contains("read only"), "{}", gateway.log());
    // Each of them has stored its own start, and what was live then.
    assert_eq!(history(&gateway, &base).last(), Some(&1));
    let kept = history(&gateway, &base).len();
    let directory = status(&gateway, &base)["state"]["directory"].clone();
    let generations = Path::new(directory.as_str().unwrap()).join("generations");
    assert_eq!(std::fs::read_dir(generations).unwrap().count(), kept);
    // The lock is held by the one that serves, and by it alone.
    let folder = directory.as_str().unwrap();
    let lock = std::fs::File::open(Path::new(folder).join("lock")).unwrap();
    assert!(lock.try_lock().is_err());
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
    gateway.wait_for("the lock", |_| lock.try_lock().is_ok());
}

#[test]
fn a_gateway_without_a_file_is_found_by_the_address_of_its_api() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let gateway = with_state(&config("one"), base);
    let _other = with_state(&config("two"), base);
    let admin = gateway.address("admin").to_string();
    let run = |more: &[&str]| {
        let mut command = tyrian();
        command.current_dir(base).env("TYRIAN_STATE", base);
        let done = command
            .args(["status", "--admin", &admin])
            .args(more)
            .output();
        done.unwrap().status.code()
    };
    assert_eq!(run(&[]), Some(0));
    assert_eq!(run(&["--instance", "other"]), Some(77));
}

#[test]
fn state_of_an_earlier_release_is_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let mut gateway = Gateway::start(&config("one"));
    let own = gateway.dir.path().join("state");
    let folder = status(&gateway, &own)["state"]["directory"].clone();
    let folder = Path::new(folder.as_str().unwrap());
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    // As an earlier release left it: all files in the base directory itself.
    for name in ["admin.token", "mask.key", "rollouts.json", "generations"] {
        std::fs::rename(folder.join(name), base.join(name)).unwrap();
    }
    let token = std::fs::read_to_string(base.join("admin.token")).unwrap();
    let stranger = with_state(&config("stranger"), base);
    assert_eq!(history(&stranger, base), [1]);
    assert!(base.join("generations/1.json").is_file());
    let mut command = tyrian();
    command.args(["run", "-c"]).arg(gateway.config_file());
    let taken = command.env("TYRIAN_STATE", base).stdout(Stdio::null());
    let mut taken = taken.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(taken.stderr.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find(|line| line.contains("taken over"));
    let instance = folder.file_name().unwrap();
    let now = base.join(instance);
    let moved = std::fs::read_to_string(now.join("admin.token")).unwrap();
    taken.kill().unwrap();
    taken.wait().unwrap();
    assert!(said.is_some());
    assert_eq!(moved, token);
    assert!(now.join("generations/1.json").is_file());
    assert!(!base.join("generations").exists());
}

//! A folder belongs to one configuration and one process; old state goes to one instance.

use super::{Folder, Instance, Place, Wanted, find};
use std::path::Path;

fn place(base: &Path, config: &Path) -> Place {
    Place {
        base: base.to_owned(),
        instance: Instance::of_config(config),
        config: Some(config.to_owned()),
    }
}

#[test]
fn a_name_is_a_plain_word() {
    for good in [
        "a",
        "edge-1",
        "shop_v2.blue",
        "A9",
        "a..b",
        "-",
        &"x".repeat(64),
    ] {
        assert_eq!(good.parse::<Instance>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        ".",
        "..",
        ".a",
        "a/b",
        "a b",
        "ä",
        "a\0",
        "a\n",
        &"x".repeat(65),
    ] {
        assert!(bad.parse::<Instance>().is_err(), "{bad:?}");
    }
    for taken in ["generations", "admin.token", "mask.key", "rollouts.json"] {
        assert!(taken.parse::<Instance>().is_err(), "{taken}");
    }
}

#[test]
fn a_derived_name_is_readable_and_one_of_its_path() {
    let name = Instance::of_config(Path::new("/etc/tyrian-none/tyrian.toml"));
    let (readable, tag) = name.as_str().rsplit_once('-').unwrap();
    assert_eq!(readable, "etc-tyrian-none-tyrian");
    assert!(
        tag.len() == 8 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{tag}"
    );
    let paths = [
        "/srv/a-b.toml",
        "/srv/a/b.toml",
        "/srv/a b.toml",
        "/srv/a",
        "/srv/ä.toml",
        "/srv/ö.toml",
        "/",
        "/...",
        &format!("/srv/{}", "long/".repeat(60)),
    ];
    let names: Vec<String> = paths
        .iter()
        .map(|path| Instance::of_config(Path::new(path)).to_string())
        .collect();
    for (at, name) in names.iter().enumerate() {
        assert_eq!(name.parse::<Instance>().unwrap().as_str(), name, "{name}");
        assert!(!names[..at].contains(name), "{name}");
    }
    let from = Instance::of_address("127.0.0.1:8080");
    assert!(from.as_str().starts_with("from-127-0-0-1-8080-"), "{from}");
    assert_ne!(from, Instance::of_address("0.0.0.0:8080"));
}

#[test]
fn a_changed_config_map_and_another_spelling_are_the_same_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let file = at("tyrian.toml");
    let mut names = Vec::new();
    for version in ["1", "2"] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("tyrian.toml"), version).unwrap();
        let _ = std::fs::remove_file(&file);
        std::os::unix::fs::symlink(at(version).join("tyrian.toml"), &file).unwrap();
        names.push(Instance::of_config(&file));
    }
    names.push(Instance::of_config(&at("1/../tyrian.toml")));
    names.push(Instance::of_config(&at("./tyrian.toml")));
    std::os::unix::fs::symlink(dir.path(), at("alias")).unwrap();
    names.push(Instance::of_config(&at("alias/tyrian.toml")));
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn a_folder_is_written_to_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = Folder::open(place(dir.path(), Path::new("/a.toml"))).unwrap();
    first.note(Some("127.0.0.1:1".parse().unwrap()));
    let second = Folder::open(place(dir.path(), Path::new("/a.toml"))).unwrap();
    let other = Folder::open(place(dir.path(), Path::new("/b.toml"))).unwrap();
    assert!(first.is_writable() && other.is_writable() && !second.is_writable());
    assert_eq!(first.read_only(), None);
    let why = second.read_only().unwrap();
    let process = format!("process {} uses it with /a.toml", std::process::id());
    assert_eq!(why, process);
    second.resume();
    assert!(!second.is_writable() && second.yield_lock().is_none());
    // Who hands over stops writing; the lock lasts as long as the handle it gave.
    let handle = first.yield_lock().unwrap();
    assert!(!first.is_writable());
    first.release();
    let third = || Folder::open(place(dir.path(), Path::new("/a.toml"))).unwrap();
    assert!(!third().is_writable());
    drop(handle);
    assert!(third().is_writable());
}

#[test]
fn a_verb_finds_the_folder_of_the_gateway_it_means() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Path::new("/a.toml"), Path::new("/b.toml"));
    let wanted = |config: Option<&Path>, port: u16| Wanted {
        derived: config.map(Instance::of_config),
        port: Some(port),
        ..Wanted::default()
    };
    let found = |wanted: &Wanted| find(dir.path(), wanted, "admin.token");
    assert_eq!(found(&wanted(Some(a), 1)), None);
    let old = dir.path().join("admin.token");
    std::fs::write(&old, "old").unwrap();
    assert_eq!(found(&wanted(Some(a), 1)).as_deref(), Some(dir.path()));
    std::fs::remove_file(old).unwrap();
    let first = Folder::open(place(dir.path(), a)).unwrap();
    std::fs::write(first.path().join("admin.token"), "a").unwrap();
    first.note(Some("127.0.0.1:1".parse().unwrap()));
    let path = Some(first.path().to_owned());
    for (config, port) in [
        (Some(a), 1),
        (Some(a), 9),
        (Some(b), 1),
        (None, 1),
        (None, 9),
    ] {
        assert_eq!(found(&wanted(config, port)), path, "{config:?} {port}");
    }
    let second = Folder::open(place(dir.path(), b)).unwrap();
    std::fs::write(second.path().join("admin.token"), "b").unwrap();
    second.note(Some("127.0.0.1:2".parse().unwrap()));
    let path = Some(second.path().to_owned());
    for (config, port) in [(Some(b), 2), (Some(b), 9), (Some(a), 2), (None, 2)] {
        assert_eq!(found(&wanted(config, port)), path, "{config:?} {port}");
    }
    assert_eq!(found(&wanted(None, 9)), None, "either could be meant");
    let named = Wanted {
        named: Some("x".parse().unwrap()),
        ..wanted(Some(a), 1)
    };
    assert_eq!(
        found(&named),
        Some(dir.path().join("x")),
        "no other one will do"
    );
}

/// A generation as an earlier release stored it.
fn generation(base: &Path, number: u64, file: &str, text: &str) {
    let directory = base.join("generations");
    std::fs::create_dir_all(&directory).unwrap();
    let stored = serde_json::json!({
        "entry": {
            "generation": number, "time": "2026-01-01T00:00:00Z", "trigger": "start",
            "hash": "", "changes": [], "files": [file],
        },
        "sources": [{ "name": file, "text": text }],
    });
    std::fs::write(directory.join(format!("{number}.json")), stored.to_string()).unwrap();
}

/// Names of the files of earlier releases in a directory.
fn files(directory: &Path) -> Vec<String> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let own = entries(directory).filter(|entry| entry.path().is_file());
    let kept = entries(&directory.join("generations"));
    let names = own
        .chain(kept)
        .map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "lock").collect();
    names.sort();
    names
}

fn old_state(base: &Path) {
    for name in [
        "admin.token",
        "mask.key",
        "rollouts.json",
        "jwks-users.json",
    ] {
        std::fs::write(base.join(name), name).unwrap();
    }
}

#[test]
fn old_state_goes_to_the_configuration_it_is_of_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    old_state(dir.path());
    for (number, file) in [
        (1, "/a.toml"),
        (2, "/b.toml"),
        (3, "/b.toml"),
        (4, "/a.toml"),
    ] {
        generation(dir.path(), number, file, "");
    }
    let b = Folder::open(place(dir.path(), Path::new("/b.toml"))).unwrap();
    assert_eq!(
        files(b.path()),
        ["2.json", "3.json"],
        "the newest one is not its own"
    );
    let a = Folder::open(place(dir.path(), Path::new("/a.toml"))).unwrap();
    let all = [
        "1.json",
        "4.json",
        "admin.token",
        "mask.key",
        "rollouts.json",
    ];
    assert_eq!(files(a.path()), all);
    assert_eq!(files(dir.path()), [""; 0]);
    drop(a);
    // What comes later is none of its business: it has state of its own.
    old_state(dir.path());
    let again = Folder::open(place(dir.path(), Path::new("/a.toml"))).unwrap();
    assert_eq!(files(again.path()), all);
    assert_eq!(files(dir.path()).len(), 4);
}

#[test]
fn old_state_of_a_relative_path_is_known_by_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("state");
    std::fs::create_dir(&base).unwrap();
    old_state(&base);
    generation(&base, 1, "./tyrian.toml", "before");
    generation(&base, 2, "./tyrian.toml", "now");
    for (name, text) in [("other.toml", "else"), ("tyrian.toml", "now")] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let other = Folder::open(place(&base, &dir.path().join("other.toml"))).unwrap();
    assert_eq!(files(other.path()), [""; 0]);
    let ours = Folder::open(place(&base, &dir.path().join("tyrian.toml"))).unwrap();
    let taken = ["2.json", "admin.token", "mask.key", "rollouts.json"];
    assert_eq!(
        files(ours.path()),
        taken,
        "the other generation may be of any file"
    );
    assert_eq!(files(&base), ["1.json"]);
}

#[test]
fn old_state_without_a_history_goes_to_the_usual_configuration() {
    let dir = tempfile::tempdir().unwrap();
    old_state(dir.path());
    let other = Folder::open(place(dir.path(), Path::new("/other.toml"))).unwrap();
    assert_eq!(files(other.path()), [""; 0]);
    let usual = Path::new("/etc/tyrian/tyrian.toml");
    let usual = Folder::open(place(dir.path(), usual)).unwrap();
    assert_eq!(
        files(usual.path()),
        ["admin.token", "mask.key", "rollouts.json"]
    );
}

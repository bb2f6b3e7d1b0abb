//! `tyrian plugin new`: what it writes is tested outside the workspace, on a machine without cmake.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A new plugin crate in a directory of its own, and a `cmake` that notes that it was asked.
struct Fresh {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Fresh {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        // By a path that is relative to another directory than the new crate's.
        let made = crate::gateway::tyrian()
            .current_dir(root.join("plugins"))
            .args(["plugin", "new", "greeter", "--sdk", "sdk", "--to"])
            .arg(dir.path().join("greeter"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let cmake = dir.path().join("bin/cmake");
        std::fs::create_dir_all(cmake.parent().unwrap()).unwrap();
        let asked = dir.path().join("asked");
        let script = format!("#!/bin/sh\ntouch {}\nexit 127\n", asked.display());
        std::fs::write(&cmake, script).unwrap();
        executable(&cmake);
        // The crates that this build has, so that none is fetched.
        let lock = dir.path().join("greeter/Cargo.lock");
        std::fs::copy(root.join("Cargo.lock"), lock).unwrap();
        Self { dir, root }
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.dir.path().join("bin")];
        let path = own.into_iter().chain(std::env::split_paths(&path));
        Command::new(env!("CARGO"))
            .args(arguments)
            .arg("--offline")
            .current_dir(self.dir.path().join("greeter"))
            .env("PATH", std::env::join_paths(path).unwrap())
            .env_remove("CMAKE")
            // Kept from run to run; in the first one it takes a while.
            .env(
                "CARGO_TARGET_DIR",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-crate"),
            )
            .output()
            .unwrap()
    }
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).unwrap();
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_new_plugin_passes_its_test_on_a_machine_without_cmake() {
    let fresh = Fresh::new();
    let tested = fresh.cargo(&["test"]);
    let said = text(&tested);
    assert!(tested.status.success(), "{said}");
    assert!(said.contains("it_greets ... ok"), "{said}");
    assert!(!fresh.dir.path().join("asked").exists(), "{said}");
}

#[test]
fn a_gateway_with_a_new_plugin_is_made_of_crates_that_need_no_cmake() {
    let fresh = Fresh::new();
    let tree = |more: &[&str]| {
        let arguments = ["tree", "--prefix", "none", "-e", "normal,build"];
        let listed = fresh.cargo(&[&arguments, more].concat());
        assert!(listed.status.success(), "{}", text(&listed));
        String::from_utf8(listed.stdout).unwrap()
    };
    let gateway = tree(&["--features", "gateway"]);
    let of = |name: &str| gateway.lines().find(|line| line.starts_with(name));
    assert!(of("tyrian v").is_some(), "{gateway}");
    assert_eq!(of("cmake v"), None);
    let vendored = fresh.root.join("vendor/libz-ng-sys");
    let named = of("libz-ng-sys v").unwrap();
    assert!(named.contains(&vendored.display().to_string()), "{named}");
    // Its tests are built of less.
    let plugin = tree(&[]);
    assert!(
        plugin.contains("tyrian-plugin v") && !plugin.contains("tyrian v"),
        "{plugin}"
    );
}

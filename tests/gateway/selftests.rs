//! `[[tests]]`: what holds is what a request meets, and what fails can be looked into.

use crate::gateway::tyrian;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A configuration whose routes ask for tokens and keys.
fn config(dir: &Path, tests: &str) -> String {
    let hash = tyrian::live::hex(&Sha256::digest("good-key"));
    std::fs::write(dir.join("keys"), format!("acme:{hash}\n")).unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    std::fs::write(dir.join("secret"), secret).unwrap();
    format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ trust = [\"10.0.0.0/8\"] }}\n\
         [services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"127.0.0.1:1\"]\n\
         versions.v2.endpoints = [\"127.0.0.1:2\"]\n\
         [jwt.users]\nissuer = \"i\"\nalgorithms = [\"HS256\"]\n\
         keys = {{ hmac = {{ file = \"{}\" }} }}\n[api_keys.partners]\nfile = \"{}\"\n\
         [colors.canary]\nversions = {{ shop = \"v2\" }}\nfallback = \"fail\"\n\
         when = [{{ jwt = {{ group = [\"beta\"] }} }}, {{ header = {{ x-say = \"it's $HOME\" }} }}]\n\
         [colors.next]\nversions = {{ shop = \"v2\" }}\nshare = {{ percent = \"5%\" }}\n\
         [routes.open]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n\
         [routes.tokens]\nmatch = {{ path = \"/tokens/*\" }}\nservice = \"shop\"\nauth = \"users\"\n\
         [routes.keys]\nmatch = {{ path = \"/keys/*\" }}\nservice = \"shop\"\nauth = \"partners\"\n\
         {tests}",
        dir.join("secret").display(),
        dir.join("keys").display(),
    )
}

/// Exit and words of `tyrian test`.
fn run(dir: &Path, tests: &str) -> (Option<i32>, String) {
    let file = dir.join("tyrian.toml");
    std::fs::write(&file, config(dir, tests)).unwrap();
    let done = tyrian().arg("test").arg(&file).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_test_that_names_a_destination_fails_on_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let one = |request: &str, expect: &str| {
        let test =
            format!("[[tests]]\nrequest = \"GET http://a{request}\"\nexpect = {{ {expect} }}\n");
        run(dir.path(), &test)
    };
    for path in ["/tokens/1", "/keys/1"] {
        for named in [
            "version = \"v1\"",
            "service = \"shop\"",
            "upstream_path = \"/tokens/1\"",
            "version = \"v1\", service = \"shop\"",
        ] {
            let (code, said) = one(path, named);
            assert_eq!(code, Some(1), "{path} {named}: {said}");
            assert!(said.contains("but the request is refused: 401"), "{said}");
            assert!(said.contains("give the test `claims`"), "{said}");
        }
        for foreseen in ["status = 401", "version = \"v1\", status = 401"] {
            let (code, said) = one(path, foreseen);
            assert_eq!(code, Some(0), "{path} {foreseen}: {said}");
        }
        let (code, said) = one(path, "version = \"v2\", status = 401");
        assert_eq!(code, Some(1), "{said}");
    }
    assert_eq!(
        one("/tokens/1", "route = \"tokens\", reason = \"jwt_missing\"").0,
        Some(0)
    );
    assert_eq!(one("/tokens/1", "route = \"tokens\"").0, Some(1));
    let (code, said) = one("/", "version = \"v1\"");
    assert_eq!(code, Some(0), "{said}");
    // A refusal of the decision itself.
    let down = "[[tests]]\nrequest = \"GET http://a/\"\ndown = [\"shop/v1\"]\n\
                expect = { service = \"shop\" }\n";
    let (code, said) = run(dir.path(), down);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("refused: 503 `no_healthy_endpoint`; name its `status`"),
        "{said}"
    );
}

#[test]
fn a_hint_runs_as_printed_and_shows_what_the_test_saw() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("it's a $place");
    std::fs::create_dir(&dir).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tyrian"), outer.path().join("tyrian")).unwrap();
    for (stated, shows) in [
        (
            "headers = { x-say = \"it's $HOME\" }",
            vec!["canary", "version v2"],
        ),
        (
            "claims = { group = [\"staff\", \"beta\"], sub = \"a=b c\" }",
            vec!["canary", "taken for valid"],
        ),
        ("claims = {}", vec!["none carried", "taken for valid"]),
        ("signed = \"canary\"", vec!["canary"]),
        ("bucket = 7", vec!["bucket 7 of 10000, as stated"]),
        ("bucket = 9999", vec!["bucket 9999 of 10000, as stated"]),
        ("down = [\"shop/v1\"]", vec!["503 no_healthy_endpoint"]),
        (
            "open = [\"shop/v2\"]\nheaders = { x-say = \"it's $HOME\" }",
            vec!["503 breaker_open"],
        ),
        ("from = \"10.1.2.3\"", vec!["10.1.2.3  trusted"]),
    ] {
        let path = if stated.contains("claims") {
            "/tokens/1?a='b'"
        } else {
            "/x?a='b'&c=d"
        };
        let test = format!(
            "[[tests]]\nrequest = \"GET http://a{path}\"\n{stated}\nexpect = {{ route = \"none\" }}\n"
        );
        let (code, said) = run(&dir, &test);
        assert_eq!(code, Some(1), "{said}");
        let hint = said.split("see why: ").nth(1).unwrap();
        let hint = hint.lines().next().unwrap();
        let done = std::process::Command::new("/bin/sh")
            .env_clear()
            .env("PATH", outer.path())
            .args(["-c", hint])
            .output()
            .unwrap();
        let shown = String::from_utf8(done.stdout).unwrap();
        let why = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{hint}: {why}");
        for part in shows {
            assert!(shown.contains(part), "{hint}: {part}: {shown}");
        }
    }
}

#[test]
fn a_hint_shows_no_value_of_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    for secret in ["hush-hush-123", "it's hush-hush"] {
        let test = "[[tests]]\nrequest = \"GET http://a/x\"\nheaders = { x-say = \"a ${SECRET} b\" }\n\
                    claims = { sub = \"${SECRET}\" }\nexpect = { route = \"none\" }\n";
        let file = dir.path().join("tyrian.toml");
        std::fs::write(&file, config(dir.path(), test)).unwrap();
        let mut command = tyrian();
        command.env("SECRET", secret).arg("test").arg(&file);
        let done = command.output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(!said.contains("hush"), "{said}");
        assert!(said.contains("-H 'x-say: a ${SECRET} b'"), "{said}");
    }
}

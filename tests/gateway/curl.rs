//! The client that everybody has, over everything the gateway speaks.

use crate::gateway::Gateway;
use crate::upstream::Upstream;
use std::path::Path;
use std::process::Command;
use tyrian::tls::dev::{Authority, Role};

/// The status and the version that curl saw.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/curl")
        .args([
            "-sS",
            "-m",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ])
        .args(arguments)
        .output()
        .unwrap();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {failed}");
    String::from_utf8(output.stdout).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn curl_is_served_whatever_it_speaks() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start("v1"));
    let dir = dir.path();
    let authority = Authority::new().unwrap();
    let sign = |name: &str, role| authority.sign(&[name.to_owned()], role).unwrap();
    let (server, me) = (
        sign("localhost", Role::Server),
        sign("me.example", Role::Client),
    );
    let ca = write(dir, "ca.pem", &authority.certificate);
    let (chain, key) = (
        write(dir, "server.pem", &server.certificate),
        write(dir, "server.key", &server.key),
    );
    let (cert, own) = (
        write(dir, "me.pem", &me.certificate),
        write(dir, "me.key", &me.key),
    );
    let gateway = Gateway::start(&format!(
        "{}[listeners.tls]\nbind = \"127.0.0.1:0\"\n\
         tls = {{ certs = [{{ chain = \"{chain}\", key = {{ file = \"{key}\" }} }}], \
         client_auth = {{ ca = \"{ca}\", mode = \"optional\" }} }}\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        crate::gateway::listeners(""),
        upstream.address
    ));
    let plain = format!("http://{}/", gateway.address("web"));
    let tls = format!("https://localhost:{}/", gateway.address("tls").port());
    // A server answers with its own version (RFC 9110, section 6.2).
    assert_eq!(curl(&["--http1.0", &plain]), "200 1.1");
    assert_eq!(curl(&["--http1.1", &plain]), "200 1.1");
    assert_eq!(curl(&["--http2-prior-knowledge", &plain]), "200 2");
    // The upgrade from HTTP/1.1, which RFC 9113 has given up, is not taken.
    assert_eq!(curl(&["--http2", &plain]), "200 1.1");
    assert_eq!(curl(&["--cacert", &ca, &tls]), "200 2");
    assert_eq!(curl(&["--cacert", &ca, "--http1.1", &tls]), "200 1.1");
    assert_eq!(curl(&["--cacert", &ca, "--tls-max", "1.2", &tls]), "200 2");
    assert_eq!(curl(&["--cacert", &ca, "--tlsv1.3", &tls]), "200 2");
    assert_eq!(
        curl(&["--cacert", &ca, "--cert", &cert, "--key", &own, &tls]),
        "200 2"
    );
    let seen = upstream.last_head();
    assert!(
        seen.contains("x-client-cert-name: me.example\r\n"),
        "{seen}"
    );
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
    let body = write(dir, "body", &"b".repeat(3 << 20));
    let upload = format!("@{body}");
    for version in ["--http1.1", "--http2"] {
        let sent = curl(&["--cacert", &ca, version, "--data-binary", &upload, &tls]);
        assert!(sent.starts_with("200"), "{sent}");
        assert_eq!(upstream.last_body().len(), 3 << 20, "{version}");
    }
    // HEAD, with and without an upstream, has no body over HTTP/2 either.
    assert_eq!(curl(&["--cacert", &ca, "-I", &tls]), "200 2");
    let nowhere = plain.replace("http://", "http://x@");
    assert!(curl(&["--http2-prior-knowledge", "-I", &nowhere]).starts_with("200 2"));
}

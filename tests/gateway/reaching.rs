//! Upstreams that cannot be reached as they should be, and what is said of them.

use crate::gateway::{Gateway, listeners};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tyrian::tls::dev::{Authority, Role};

/// A server of HTTP/1.1 behind TLS, which negotiates no protocol.
fn plain_tls(authority: &Authority) -> SocketAddr {
    let pair = authority
        .sign(&["inner.example".to_owned()], Role::Server)
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(config.clone()).unwrap();
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(session, tcp);
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() || stream.flush().is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn gateway(endpoint: SocketAddr, http: &str, tls: &str) -> Gateway {
    Gateway::start(&format!(
        "{}[services.a]\nretry = {{ attempts = 1 }}\n\
         [services.a.versions.v1]\nendpoints = [\"{endpoint}\"]\nhttp = \"{http}\"\n{tls}\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\ntimeouts = {{ connect = \"300ms\" }}\n",
        listeners("")
    ))
}

#[test]
fn an_upstream_that_must_speak_http_2_is_not_asked_in_http_1() {
    let authority = Authority::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &authority.certificate).unwrap();
    let upstream = plain_tls(&authority);
    let tls = format!(
        "tls = {{ server_name = \"inner.example\", ca = \"{}\" }}\n",
        ca.display()
    );
    for (http, status) in [("auto", 200), ("h1", 200), ("h2", 502)] {
        let gateway = gateway(upstream, http, &tls);
        for _ in 0..2 {
            assert_eq!(gateway.get("/", "").status, status, "{http}");
        }
        if status == 502 {
            assert_eq!(gateway.get("/", "").reason(), "upstream_protocol");
        }
    }
}

#[test]
fn a_refusal_says_why_there_is_no_connection() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("other.pem");
    std::fs::write(&ca, &other.certificate).unwrap();
    let tls = format!(
        "tls = {{ server_name = \"inner.example\", ca = \"{}\" }}\n",
        ca.display()
    );
    let strange = plain_tls(&authority);
    let answer = gateway(strange, "h1", &tls).get("/", "");
    assert_eq!(answer.reason(), "upstream_connect");
    let status = answer.header("proxy-status");
    assert_eq!(status, Some("tyrian; error=tls_certificate_error"));
    // Something that speaks, but not TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    let answer = gateway(address, "h1", &tls).get("/", "");
    let status = answer.header("proxy-status");
    assert_eq!(status, Some("tyrian; error=tls_protocol_error"));
    // Something that never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let answer = gateway(silent.local_addr().unwrap(), "h1", &tls).get("/", "");
    let status = answer.header("proxy-status");
    assert!(
        matches!(
            status,
            Some("tyrian; error=connection_timeout" | "tyrian; error=destination_unavailable")
        ),
        "{status:?}"
    );
}

//! TLS on both sides, with real handshakes.

use crate::gateway::Gateway;
use crate::upstream::Upstream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tyrian::tls::dev::{Authority, Pair, Role};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// How a client shakes hands.
pub struct Client<'a> {
    believes: &'a Authority,
    pub shows: Option<&'a Pair>,
    alpn: &'a [&'a str],
    versions: &'a [&'static rustls::SupportedProtocolVersion],
}

impl<'a> Client<'a> {
    pub fn of(believes: &'a Authority) -> Self {
        Self {
            believes,
            shows: None,
            alpn: &[],
            versions: rustls::ALL_VERSIONS,
        }
    }

    /// A client's side of a handshake that has not begun.
    pub fn session(&self, name: &str) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.believes.certificate.as_bytes());
        roots.add(authority.unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let leaf = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![leaf], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    fn connect(&self, gateway: &Gateway, name: &str) -> std::io::Result<Stream> {
        let tcp = TcpStream::connect(gateway.address("tls"))?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream = StreamOwned::new(self.session(name), tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    pub fn get(&self, gateway: &Gateway, path: &str, headers: &str) -> std::io::Result<String> {
        let mut stream = self.connect(gateway, "a.example")?;
        get(&mut stream, path, headers)
    }
}

fn get(stream: &mut Stream, path: &str, headers: &str) -> std::io::Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n"
    )?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        // Every answer here is short and in one piece, head and body.
        if read == 0 || text.contains("\r\n\r\n") {
            return Ok(text);
        }
    }
}

fn write(dir: &Path, name: &str, pair: &Pair) {
    std::fs::write(dir.join(format!("{name}.pem")), &pair.certificate).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), &pair.key).unwrap();
}

fn certificate(dir: &Path, name: &str) -> String {
    let dir = dir.display();
    format!("{{ chain = \"{dir}/{name}.pem\", key = {{ file = \"{dir}/{name}.key\" }} }}")
}

fn config(tls: &str, upstream: &Upstream) -> String {
    format!(
        "[listeners.tls]\nbind = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        upstream.address
    )
}

/// An authority, and a server of its own in `a.pem`, in front of an upstream.
pub struct Scene {
    pub dir: tempfile::TempDir,
    pub upstream: Upstream,
    pub authority: Authority,
}

impl Scene {
    /// `server` is the name of the server.
    pub fn new(server: &str) -> Self {
        let scene = Self {
            dir: tempfile::tempdir().unwrap(),
            upstream: Upstream::start("v1"),
            authority: Authority::new().unwrap(),
        };
        let dir = scene.dir.path();
        write(dir, "a", &scene.sign(&[server], Role::Server));
        std::fs::write(dir.join("ca.pem"), &scene.authority.certificate).unwrap();
        scene
    }

    fn sign(&self, list: &[&str], role: Role) -> Pair {
        self.authority.sign(&names(list), role).unwrap()
    }

    pub fn serves(&self, gateway: &Gateway) -> bool {
        Client::of(&self.authority).get(gateway, "/", "").is_ok()
    }

    /// Listens with `a.pem`; `more` goes on in the table, `@` being the directory.
    pub fn config(&self, more: &str) -> String {
        let dir = self.dir.path();
        let more = more.replace('@', &dir.display().to_string());
        let tls = format!("certs = [{}]{more}", certificate(dir, "a"));
        config(&tls, &self.upstream)
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn certificates_go_by_the_name_that_is_asked_for() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::start("v1"));
    let authority = Authority::new().unwrap();
    let sign = |list: &[&str]| authority.sign(&names(list), Role::Server).unwrap();
    let (first, exact, wild) = (
        sign(&["a.example", "elsewhere.example"]),
        sign(&["shop.b.example"]),
        sign(&["*.b.example"]),
    );
    for (name, pair) in [("first", &first), ("exact", &exact), ("wild", &wild)] {
        write(dir.path(), name, pair);
    }
    let certs = ["first", "wild", "exact"].map(|name| certificate(dir.path(), name));
    let gateway = Gateway::start(&config(
        &format!("certs = [{}]", certs.join(", ")),
        &upstream,
    ));
    let client = Client::of(&authority);
    for (asked, pair) in [
        ("a.example", &first),
        ("shop.b.example", &exact),
        ("SHOP.b.example", &exact),
        ("other.b.example", &wild),
    ] {
        let stream = client.connect(&gateway, asked).unwrap();
        assert_eq!(shown(&stream), der(pair), "{asked}");
    }
    // A wildcard stands for one label, and the first certificate for everybody else.
    let other = client.connect(&gateway, "too.deep.b.example");
    assert!(other.is_err(), "not its name");
    assert!(
        client
            .get(&gateway, "/", "")
            .unwrap()
            .starts_with("HTTP/1.1 200"),
        "and it serves"
    );
    let metric = format!(
        "tyrian_certificate_expiry_seconds{{listener=\"tls\",file=\"{}/first.pem\"}}",
        dir.path().display()
    );
    assert!(
        gateway.metric(&metric).unwrap() > 1.7e9,
        "{}",
        gateway.metrics()
    );
}

#[test]
fn protocols_and_versions_are_agreed_upon() {
    let scene = Scene::new("a.example");
    let gateway = Gateway::start(&scene.config(""));
    let mut client = Client::of(&scene.authority);
    for (offers, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        client.alpn = offers;
        let stream = client.connect(&gateway, "a.example").unwrap();
        assert_eq!(stream.conn.alpn_protocol(), agreed);
    }
    client.alpn = &["spdy/3"];
    assert!(client.connect(&gateway, "a.example").is_err());
    client.alpn = &[];
    let old = [&rustls::version::TLS12];
    client.versions = &old;
    assert!(client.connect(&gateway, "a.example").is_ok());
    let strict = Gateway::start(&scene.config(", min_version = \"1.3\""));
    assert!(client.connect(&strict, "a.example").is_err());
    // What says nothing is cut, and counted.
    strict.counts(
        "tyrian_connections_cut_total{listener=\"tls\",reason=\"tls_handshake\"}",
        1.0,
    );
}

#[test]
fn a_renewed_certificate_is_taken_up_and_nothing_is_dropped() {
    let scene = Scene::new("a.example");
    let sign = || scene.sign(&["a.example"], Role::Server);
    let (old, new) = (sign(), sign());
    write(scene.dir.path(), "a", &old);
    let mut gateway = Gateway::start(&scene.config(""));
    let client = Client::of(&scene.authority);
    let mut kept = client.connect(&gateway, "a.example").unwrap();
    assert!(get(&mut kept, "/", "").unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(shown(&kept), der(&old));
    // A key that does not fit changes nothing.
    std::fs::write(scene.dir.path().join("a.key"), &new.key).unwrap();
    gateway.counts("tyrian_stale_files", 1.0);
    assert_eq!(
        shown(&client.connect(&gateway, "a.example").unwrap()),
        der(&old)
    );
    write(scene.dir.path(), "a", &new);
    gateway.wait_for("the new certificate", |gateway| {
        shown(&client.connect(gateway, "a.example").unwrap()) == der(&new)
    });
    assert!(get(&mut kept, "/", "").unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_outlive_many_reloads() {
    let scene = Scene::new("a.example");
    let sign = || scene.sign(&["a.example"], Role::Server);
    let pairs = [sign(), sign()];
    write(scene.dir.path(), "a", &pairs[0]);
    let mut gateway = Gateway::start(&scene.config(""));
    let client = Client::of(&scene.authority);
    let mut kept = client.connect(&gateway, "a.example").unwrap();
    let mut socket = client.connect(&gateway, "a.example").unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = get(&mut socket, "/upgrade", upgrade).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let before = gateway.metric("tyrian_config_generation").unwrap();
    // `RELOADS=200` for the whole promise.
    let reloads = std::env::var("RELOADS").map_or(20, |many| many.parse().unwrap());
    for round in 1..=reloads {
        write(scene.dir.path(), "a", &pairs[round % 2]);
        assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
        assert!(
            get(&mut kept, "/", "").unwrap().starts_with("HTTP/1.1 200"),
            "{round}"
        );
        let frame = [0x82, 2, round as u8, 7];
        socket.write_all(&frame).unwrap();
        let mut echo = [0; 4];
        socket.read_exact(&mut echo).unwrap();
        assert_eq!(echo, frame, "{round}");
    }
    gateway.wait_for("all reloads", |gateway| {
        gateway.metric("tyrian_config_generation").unwrap() >= before + reloads as f64
    });
}

#[test]
fn clients_are_known_by_their_certificates() {
    let (scene, stranger) = (Scene::new("a.example"), Authority::new().unwrap());
    let text = scene.config(", client_auth = { ca = \"@/ca.pem\", mode = \"optional\" }")
        + "[routes.ci]\nmatch = { path = \"/*\", headers = { \"x-client-cert-name\" = \"spiffe://example/ci\" } }\n\
           respond = { status = 200, text = \"ci\" }\n";
    let gateway = Gateway::start(&text);
    let (dev, ci) = (
        scene.sign(&["spiffe://example/dev"], Role::Client),
        scene.sign(&["spiffe://example/ci"], Role::Client),
    );
    let mut client = Client::of(&scene.authority);
    let spoof = "X-Client-Cert-Name: spiffe://example/ci\r\nX-Forwarded-Client-Cert: URI=x\r\n\
                 X_Client_Cert_Name: spiffe://example/ci\r\n";
    assert!(
        client
            .get(&gateway, "/", spoof)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    let seen = scene.upstream.last_head().to_ascii_lowercase();
    assert!(
        !seen.contains("client-cert") && !seen.contains("client_cert"),
        "{seen}"
    );
    client.shows = Some(&dev);
    client.get(&gateway, "/", spoof).unwrap();
    let seen = scene.upstream.last_head();
    assert!(
        seen.contains("x-client-cert-name: spiffe://example/dev\r\n"),
        "{seen}"
    );
    assert!(seen.contains(";URI=spiffe://example/dev\r\n"), "{seen}");
    client.shows = Some(&ci);
    let answer = client.get(&gateway, "/", "").unwrap();
    assert!(answer.ends_with("\r\n\r\nci"), "{answer}");
    // Somebody else's certificate is none.
    let other = stranger.sign(&names(&["spiffe://example/ci"]), Role::Client);
    let other = other.unwrap();
    client.shows = Some(&other);
    assert!(client.get(&gateway, "/", "").is_err());
    // Without any, where one is required: TLS 1.3 says so with the first read.
    let required = Gateway::start(&text.replace("\"optional\"", "\"required\""));
    client.shows = None;
    assert!(
        !client
            .get(&required, "/", "")
            .is_ok_and(|answer| !answer.is_empty())
    );
    client.shows = Some(&dev);
    assert!(
        client
            .get(&required, "/", "")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn revoked_clients_stay_outside() {
    let scene = Scene::new("a.example");
    let good = scene.sign(&["good.example"], Role::Client);
    let bad = scene.sign(&["bad.example"], Role::Client);
    let list = scene.authority.revoke(&bad).unwrap();
    std::fs::write(scene.dir.path().join("crl.pem"), list).unwrap();
    let asked = ", client_auth = { ca = \"@/ca.pem\", crl = \"@/crl.pem\" }";
    let gateway = Gateway::start(&scene.config(asked));
    let mut client = Client::of(&scene.authority);
    client.shows = Some(&good);
    let answer = client.get(&gateway, "/", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    client.shows = Some(&bad);
    assert!(client.get(&gateway, "/", "").is_err());
    // A list that is not one lets them in no more than it did.
    std::fs::write(scene.dir.path().join("crl.pem"), "").unwrap();
    gateway.counts("tyrian_stale_files", 1.0);
    assert!(client.get(&gateway, "/", "").is_err());
}

#[test]
fn a_silent_handshake_is_cut() {
    let scene = Scene::new("a.example");
    let gateway = Gateway::start(&scene.config(", handshake_timeout = \"200ms\""));
    let mut silent = TcpStream::connect(gateway.address("tls")).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"tls\",reason=\"tls_timeout\"}",
        1.0,
    );
}

#[test]
fn upstreams_are_reached_by_tls_and_checked() {
    let (scene, other) = (Scene::new("inner.example"), Authority::new().unwrap());
    let dir = scene.dir.path();
    write(dir, "me", &scene.sign(&["edge.example"], Role::Client));
    std::fs::write(dir.join("other.pem"), &other.certificate).unwrap();
    let at = dir.display();
    // The upstream is a gateway of its own, which asks for a certificate.
    let inner = Gateway::start(&scene.config(", client_auth = { ca = \"@/ca.pem\" }"));
    let outer = |http: &str, tls: &str| {
        Gateway::start(&format!(
            "{}[services.a]\nretry = {{ attempts = 1 }}\nhealth = {{ path = \"/healthz\", every = \"100ms\" }}\n\
             [services.a.versions.v1]\nendpoints = [\"{}\"]\nhttp = \"{http}\"\ntls = {{ {tls} }}\n\
             [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
            crate::gateway::listeners(""),
            inner.address("tls")
        ))
    };
    let me = format!("client_cert = {}", certificate(dir, "me"));
    let right = format!("server_name = \"inner.example\", ca = \"{at}/ca.pem\", {me}");
    for http in ["h1", "h2", "auto"] {
        let mut gateway = outer(http, &right);
        assert_eq!(gateway.get("/", "").status, 200, "{http}");
        assert!(
            scene
                .upstream
                .last_head()
                .contains("x-client-cert-name: edge.example\r\n")
        );
        // Checks go the same way.
        gateway.wait_for("the check", |_| {
            scene
                .upstream
                .heads()
                .iter()
                .any(|head| head.starts_with("GET /healthz "))
        });
    }
    for wrong in [
        right.replace("inner.example", "another.example"),
        right.replace("/ca.pem", "/other.pem"),
        format!("server_name = \"inner.example\", ca = \"{at}/ca.pem\""),
    ] {
        let gateway = outer("h1", &wrong);
        let answer = gateway.get("/", "");
        assert!(
            matches!(answer.status, 502 | 503),
            "{wrong}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let anybody = right.replace("inner.example", "another.example") + ", verify = \"none\"";
    assert_eq!(outer("h1", &anybody).get("/", "").status, 200);
}

//! Crowds of silent clients: they hold up nothing, and give way where there is no room left.

use crate::certificates::{Client, Scene};
use crate::client::Connection;
use crate::gateway::{Gateway, tyrian};
use crate::upstream::Upstream;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const GAVE_WAY: &str = "tyrian_connections_cut_total{listener=\"web\",reason=\"gave_way\"}";

fn config(clients: &str, upstream: &Upstream) -> String {
    format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ {clients} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        upstream.address
    )
}

/// Connects from an address of this machine, `127.0.0.LAST`.
fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own = SocketAddr::from(([127, 0, 0, last], 0));
    socket.bind(&own.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn crowd(size: usize, last: u8, to: SocketAddr) -> Vec<TcpStream> {
    (0..size).map(|_| from(last, to)).collect()
}

#[test]
fn silent_clients_hold_up_no_handshake() {
    let scene = Scene::new("a.example");
    let gateway = Gateway::start(&scene.config(", handshake_timeout = \"60s\""));
    // More than there are turns.
    let silent = crowd(600, 1, gateway.address("tls"));
    let client = Client::of(&scene.authority);
    for _ in 0..20 {
        client.get(&gateway, "/", "").unwrap();
    }
    gateway.counts("tyrian_connections{listener=\"tls\"}", 600.0);
    drop(silent);
}

#[test]
fn clients_that_go_silent_within_a_handshake_hold_up_no_other_one() {
    let scene = Scene::new("a.example");
    let text = scene.config(", handshake_timeout = \"60s\", max_handshakes = 4");
    let gateway = Gateway::start(&text);
    let client = Client::of(&scene.authority);
    let mut hello = Vec::new();
    client.session("a.example").write_tls(&mut hello).unwrap();
    let mut silent = Vec::new();
    for cut in [hello.len(), 4, hello.len() - 1] {
        for mut stream in crowd(16, 1, gateway.address("tls")) {
            stream.write_all(&hello[..cut]).unwrap();
            silent.push(stream);
        }
    }
    assert!(client.get(&gateway, "/", "").unwrap().contains("200"));
    // A message in pieces is a message.
    let mut session = client.session("a.example");
    let mut stream = from(1, gateway.address("tls"));
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    for piece in hello.chunks(50) {
        stream.write_all(piece).unwrap();
    }
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
}

#[test]
fn where_there_is_no_room_the_oldest_silent_ones_of_the_greatest_crowd_give_way() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config("max_connections = 20", &upstream));
    let address = gateway.address("web");
    let mut kept = gateway.connect();
    assert_eq!(kept.exchange(GET).status, 200);
    let few = crowd(5, 2, address);
    gateway.counts("tyrian_connections{listener=\"web\"}", 6.0);
    let many = crowd(40, 3, address);
    gateway.wait_for("room", |gateway| gateway.metric(GAVE_WAY) >= Some(26.0));
    assert_eq!(gateway.connect().exchange(GET).status, 200);
    assert_eq!(kept.exchange(GET).status, 200, "it has asked for something");
    for stream in few {
        assert_eq!(Connection::over(stream).unwrap().exchange(GET).status, 200);
    }
    let newest = many.into_iter().next_back().unwrap();
    assert_eq!(Connection::over(newest).unwrap().exchange(GET).status, 200);
}

#[test]
fn proxy_headers_that_never_come_give_way_too() {
    let upstream = Upstream::start("v1");
    let clients = "trust = [\"127.0.0.0/8\"], proxy_protocol = true, max_connections = 10";
    let gateway = Gateway::start(&config(clients, &upstream));
    let _silent = crowd(40, 3, gateway.address("web"));
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n";
    let answer = gateway.connect().exchange(&[header, GET].concat());
    assert_eq!(answer.status, 200);
}

#[test]
fn those_that_have_asked_for_something_are_not_cut_for_others() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config("max_connections = 3", &upstream));
    let mut kept: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for kept in &mut kept {
        assert_eq!(kept.exchange(GET).status, 200);
    }
    assert_eq!(gateway.connect().exchange(GET).status, 0);
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"listener_full\"}",
        1.0,
    );
    for kept in &mut kept {
        assert_eq!(kept.exchange(GET).status, 200);
    }
    assert_eq!(gateway.metric(GAVE_WAY), None);
}

#[test]
fn silent_clients_give_way_where_descriptors_run_out() {
    let upstream = Upstream::start("v1");
    let mut command = Command::new("sh");
    let binary = tyrian().get_program().to_owned();
    command.env_clear().env("TYRIAN_LOG_FORMAT", "json");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]);
    command.arg(binary);
    let gateway = Gateway::start_as(command, &config("header_timeout = \"60s\"", &upstream));
    let address = gateway.address("web");
    let mut honest = gateway.connect();
    assert_eq!(honest.exchange(GET).status, 200);
    let _silent = crowd(150, 3, address);
    assert_eq!(gateway.connect().exchange(GET).status, 200);
    assert!(gateway.metric(GAVE_WAY) > Some(0.0));
}

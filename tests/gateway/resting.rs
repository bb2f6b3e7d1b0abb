//! Which bodies over HTTP/2 may rest: those of gRPC calls to services that speak it, and no others.

use crate::gateway::Gateway;
use crate::h2::{Client, DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};
use crate::origin::Origin;
use std::time::Duration;

/// The listener's limit, and a pause that is well beyond it.
const LIMIT: &str = "300ms";
const PAUSE: Duration = Duration::from_millis(900);

fn gateway(address: &str, version: &str, service: &str) -> Gateway {
    Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ idle_timeout = \"{LIMIT}\" }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a]\n{service}\n[services.a.versions.v1]\nendpoints = [\"{address}\"]\n{version}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n"
    ))
}

/// A call whose body has come half.
fn begin(gateway: &Gateway, kind: &str) -> Client {
    let mut client = Client::start(gateway);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/t.Echo/Rest"),
        (":authority", "a.example"),
        ("content-type", kind),
        ("te", "trailers"),
    ];
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields)));
    client.send(&frame(DATA, 0, 1, b"half"));
    client
}

/// Waits for the answer and returns its fields.
fn fields(client: &mut Client) -> Vec<(String, String)> {
    let answer = client.wait(|frame| frame.kind == HEADERS && frame.stream == 1);
    let fields = loona_hpack::Decoder::new().decode(&answer.unwrap().payload);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = fields.unwrap().into_iter();
    fields
        .map(|(name, value)| (text(&name), text(&value)))
        .collect()
}

fn field(fields: &[(String, String)], name: &str) -> Option<String> {
    let found = fields.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.clone())
}

#[test]
fn a_call_of_grpc_rests_where_its_service_speaks_grpc() {
    let origin = Origin::start();
    let gateway = gateway(&origin.address.to_string(), "http = \"h2c\"", "");
    let mut call = begin(&gateway, "application/grpc");
    // No event tells that the limit has passed and nothing has happened.
    std::thread::sleep(PAUSE);
    call.send(&frame(DATA, END_STREAM, 1, b"half"));
    let answer = fields(&mut call);
    assert_eq!(field(&answer, ":status").unwrap(), "200");
    assert_eq!(field(&answer, "grpc-status"), None, "the upstream answers");
    let seen = origin.wait("/t.Echo/Rest");
    assert_eq!((seen.body.as_slice(), seen.reset), (&b"halfhalf"[..], None));
    // Refused while it rests: its second half is never sent.
    let answer = fields(&mut begin(&gateway, "application/json"));
    assert_eq!(field(&answer, ":status").unwrap(), "408");
}

/// Whether a call whose body rests is refused in the words of gRPC: DEADLINE_EXCEEDED.
fn refuses_rest(gateway: &Gateway) -> bool {
    let answer = fields(&mut begin(gateway, "application/grpc"));
    field(&answer, "grpc-status").unwrap() == "4"
        && field(&answer, "grpc-message").unwrap() == "request_timeout"
}

#[test]
fn a_type_alone_lets_no_body_rest() {
    let upstream = crate::upstream::Upstream::start("v1");
    let mut http1 = gateway(&upstream.address.to_string(), "", "");
    assert!(refuses_rest(&http1));
    http1.wait_for("the upstream to see the end of the half", |_| {
        upstream.last_body() == b"half"
    });
    assert_eq!(upstream.heads().len(), 1, "{:?}", upstream.heads());

    let origin = Origin::start();
    let address = origin.address.to_string();
    let http2 = gateway(&address, "http = \"h2c\"", "grpc = false");
    assert!(refuses_rest(&http2));
    let seen = origin.wait("/t.Echo/Rest");
    assert_eq!(seen.body, b"half");
    assert!(
        seen.reset.is_some(),
        "half a body does not end as a whole one"
    );
    assert_eq!(origin.seen("/t.Echo/Rest").len(), 1, "it is not repeated");
}

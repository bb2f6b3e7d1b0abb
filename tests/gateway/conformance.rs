//! RFC 9113 and RFC 7541, rule by rule, at the gateway's own door.

use crate::gateway::{Gateway, PATIENCE, listeners};
use crate::h2::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
    request,
};
use crate::upstream::Upstream;
use std::time::{Duration, Instant};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION: u32 = 9;

/// What a rule asks for.
#[derive(Debug, Clone, Copy)]
enum Must {
    /// The connection ends, with GOAWAY and this code.
    End(u32),
    /// The stream ends with this code, or the connection does.
    Reset(u32),
    /// Malformed (section 8.1.1): reset, or 400.
    Malformed,
    /// Nothing happens: the connection goes on.
    Pass,
}

fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&format!(
        "{}[services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners(""),
        upstream.address
    ));
    (gateway, upstream)
}

/// What became of it.
fn verdict(client: &mut Client, must: Must) -> Result<(), String> {
    if matches!(must, Must::Pass) {
        return match client.is_alive() {
            true => Ok(()),
            false => Err("the connection ended".to_owned()),
        };
    }
    // Something follows a ping in any case, so nothing is waited for in vain.
    client.send(&frame(PING, 0, 0, b"12345678"));
    let mut answered = None;
    while let Some(frame) = client.next() {
        match (must, frame.kind) {
            (Must::End(code) | Must::Reset(code), GOAWAY) if frame.code() == code => return Ok(()),
            (Must::Malformed, GOAWAY) if frame.code() == PROTOCOL => return Ok(()),
            (_, GOAWAY) => return Err(format!("GOAWAY {}", frame.code())),
            (Must::Reset(code), RST_STREAM) if frame.code() == code => return Ok(()),
            (Must::Malformed, RST_STREAM) if frame.code() == PROTOCOL => return Ok(()),
            (_, RST_STREAM) => return Err(format!("RST_STREAM {}", frame.code())),
            // `:status: 400` is the twelfth entry of the static table.
            (Must::Malformed, HEADERS) if frame.payload.first() == Some(&0x8c) => return Ok(()),
            (_, HEADERS) => return Err(format!("answered: {:02x?}", frame.payload)),
            (_, PING) if answered.is_none() => {
                // The judgement of a stream may take a moment longer than a ping.
                answered = Some(());
                std::thread::sleep(Duration::from_millis(200));
                client.send(&crate::h2::frame(PING, 0, 0, b"87654321"));
            }
            (_, PING) => return Err("nothing happened".to_owned()),
            _ => {}
        }
    }
    match must {
        // Closing without a word is what a broken preface gets, and a flood may get.
        Must::End(_) => Ok(()),
        _ => Err("closed".to_owned()),
    }
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(value.to_be_bytes());
    bytes
}

/// A request with these fields, instead of the usual ones.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields))
}

fn and(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(more))
}

fn open(stream: u32) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS,
        stream,
        &request(&[("content-length", "100")]),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line a rule")]
fn every_rule_of_frames_holds() {
    let (gateway, _upstream) = gateway();
    let priority = |on: u32| {
        let mut payload = on.to_be_bytes().to_vec();
        payload.push(15);
        payload
    };
    let self_dependent = {
        let mut payload = priority(1);
        payload.extend(request(&[]));
        frame(HEADERS, END_STREAM | END_HEADERS | 0x20, 1, &payload)
    };
    let get = get(1);
    let half = request(&[]).split_at(10).0.to_vec();
    let rest = request(&[]).split_at(10).1.to_vec();
    let begun = frame(HEADERS, END_STREAM, 1, &half);
    let join = |parts: &[&[u8]]| parts.concat();
    let resized = join(&[&[0x82, 0x20], &request(&[])]);
    let rules: Vec<(&str, Vec<u8>, Must)> = vec![
        // 4.1, 4.2: frames
        (
            "an unknown kind is ignored",
            frame(0xfa, 0, 0, b"12345"),
            Must::Pass,
        ),
        (
            "unknown flags are ignored",
            frame(PING, 0x16, 0, &[0; 8]),
            Must::Pass,
        ),
        (
            "a reserved bit is ignored",
            frame(PING, 0, 0x8000_0000, &[0; 8]),
            Must::Pass,
        ),
        (
            "a frame above the limit",
            frame(DATA, 0, 1, &[0; 16385]),
            Must::End(FRAME_SIZE),
        ),
        (
            "HEADERS above the limit",
            frame(HEADERS, END_HEADERS, 1, &[0; 16385]),
            Must::End(FRAME_SIZE),
        ),
        // 4.3, 6.10: header blocks in one piece
        (
            "a frame within a header block",
            join(&[&begun, &frame(PRIORITY, 0, 1, &priority(0))]),
            Must::End(PROTOCOL),
        ),
        (
            "another stream within a block",
            join(&[&begun, &frame(HEADERS, END_HEADERS, 3, &rest)]),
            Must::End(PROTOCOL),
        ),
        (
            "DATA within a block",
            join(&[&begun, &frame(DATA, 0, 1, b"x")]),
            Must::End(PROTOCOL),
        ),
        (
            "CONTINUATION of another stream",
            join(&[&begun, &frame(CONTINUATION, END_HEADERS, 3, &rest)]),
            Must::End(PROTOCOL),
        ),
        (
            "CONTINUATION after nothing",
            frame(CONTINUATION, END_HEADERS, 1, &rest),
            Must::End(PROTOCOL),
        ),
        (
            "CONTINUATION on stream 0",
            join(&[&begun, &frame(CONTINUATION, END_HEADERS, 0, &rest)]),
            Must::End(PROTOCOL),
        ),
        (
            "CONTINUATION after the end of a block",
            join(&[&get, &frame(CONTINUATION, END_HEADERS, 1, &rest)]),
            Must::End(PROTOCOL),
        ),
        (
            "CONTINUATION after DATA",
            join(&[
                &open(1),
                &frame(DATA, 0, 1, b"x"),
                &frame(CONTINUATION, END_HEADERS, 1, &rest),
            ]),
            Must::End(PROTOCOL),
        ),
        // 5.1: states of streams
        (
            "DATA on an idle stream",
            frame(DATA, END_STREAM, 1, b"x"),
            Must::End(PROTOCOL),
        ),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            Must::End(PROTOCOL),
        ),
        (
            "WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]),
            Must::End(PROTOCOL),
        ),
        (
            "DATA after END_STREAM",
            join(&[&get, &frame(DATA, END_STREAM, 1, b"x")]),
            Must::Reset(STREAM_CLOSED),
        ),
        (
            "HEADERS after END_STREAM",
            join(&[&get, &get]),
            Must::Reset(STREAM_CLOSED),
        ),
        (
            "DATA after RST_STREAM",
            join(&[
                &open(1),
                &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
                &frame(DATA, END_STREAM, 1, b"x"),
            ]),
            Must::Reset(STREAM_CLOSED),
        ),
        (
            "HEADERS after RST_STREAM",
            join(&[&open(1), &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), &get]),
            Must::Reset(STREAM_CLOSED),
        ),
        (
            "WINDOW_UPDATE after END_STREAM passes",
            join(&[&get, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])]),
            Must::Pass,
        ),
        (
            "PRIORITY on an idle stream passes",
            frame(PRIORITY, 0, 7, &priority(0)),
            Must::Pass,
        ),
        // 5.1.1: numbers of streams
        (
            "an even stream",
            frame(HEADERS, END_STREAM | END_HEADERS, 2, &request(&[])),
            Must::End(PROTOCOL),
        ),
        (
            "a smaller stream than before",
            join(&[&crate::h2::get(5), &crate::h2::get(3)]),
            Must::End(PROTOCOL),
        ),
        // 5.3.1 of RFC 7540: dependencies
        (
            "HEADERS that depend on themselves",
            self_dependent,
            Must::Reset(PROTOCOL),
        ),
        (
            "PRIORITY that depends on itself",
            frame(PRIORITY, 0, 1, &priority(1)),
            Must::Reset(PROTOCOL),
        ),
        // 6.1: DATA
        (
            "DATA on stream 0",
            frame(DATA, END_STREAM, 0, b"x"),
            Must::End(PROTOCOL),
        ),
        (
            "DATA with too much padding",
            join(&[&open(1), &frame(DATA, END_STREAM | PADDED, 1, &[6, 1, 2])]),
            Must::End(PROTOCOL),
        ),
        // 6.2: HEADERS
        (
            "HEADERS on stream 0",
            frame(HEADERS, END_STREAM | END_HEADERS, 0, &request(&[])),
            Must::End(PROTOCOL),
        ),
        (
            "HEADERS with too much padding",
            frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &[9, 1, 2]),
            Must::End(PROTOCOL),
        ),
        // 6.3: PRIORITY
        (
            "PRIORITY on stream 0",
            frame(PRIORITY, 0, 0, &priority(1)),
            Must::End(PROTOCOL),
        ),
        (
            "PRIORITY of four bytes",
            frame(PRIORITY, 0, 1, &[0; 4]),
            Must::Reset(FRAME_SIZE),
        ),
        // 6.4: RST_STREAM
        (
            "RST_STREAM on stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            Must::End(PROTOCOL),
        ),
        (
            "RST_STREAM of three bytes",
            join(&[&open(1), &frame(RST_STREAM, 0, 1, &[0; 3])]),
            Must::End(FRAME_SIZE),
        ),
        // 6.5: SETTINGS
        (
            "SETTINGS acknowledged with a payload",
            frame(SETTINGS, ACK, 0, &setting(1, 1)),
            Must::End(FRAME_SIZE),
        ),
        (
            "SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &setting(1, 1)),
            Must::End(PROTOCOL),
        ),
        (
            "SETTINGS of five bytes",
            frame(SETTINGS, 0, 0, &[0; 5]),
            Must::End(FRAME_SIZE),
        ),
        (
            "ENABLE_PUSH of two",
            frame(SETTINGS, 0, 0, &setting(2, 2)),
            Must::End(PROTOCOL),
        ),
        (
            "a window above 2^31-1",
            frame(SETTINGS, 0, 0, &setting(4, 0x8000_0000)),
            Must::End(FLOW_CONTROL),
        ),
        (
            "frames below 16384",
            frame(SETTINGS, 0, 0, &setting(5, 16383)),
            Must::End(PROTOCOL),
        ),
        (
            "frames above 2^24-1",
            frame(SETTINGS, 0, 0, &setting(5, 1 << 24)),
            Must::End(PROTOCOL),
        ),
        (
            "an unknown setting is ignored",
            frame(SETTINGS, 0, 0, &setting(0xff, 7)),
            Must::Pass,
        ),
        // 6.6: PUSH_PROMISE
        (
            "a client that pushes",
            join(&[
                &open(1),
                &frame(
                    PUSH_PROMISE,
                    END_HEADERS,
                    1,
                    &join(&[&[0, 0, 0, 2], &request(&[])]),
                ),
            ]),
            Must::End(PROTOCOL),
        ),
        // 6.7: PING
        (
            "PING on a stream",
            frame(PING, 0, 1, &[0; 8]),
            Must::End(PROTOCOL),
        ),
        (
            "PING of six bytes",
            frame(PING, 0, 0, &[0; 6]),
            Must::End(FRAME_SIZE),
        ),
        (
            "a PING's acknowledgement is not answered",
            frame(PING, ACK, 0, &[9; 8]),
            Must::Pass,
        ),
        // 6.8: GOAWAY
        (
            "GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            Must::End(PROTOCOL),
        ),
        // 6.9: WINDOW_UPDATE
        (
            "an increment of nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            Must::End(PROTOCOL),
        ),
        (
            "an increment of nothing on a stream",
            join(&[&open(1), &frame(WINDOW_UPDATE, 0, 1, &[0; 4])]),
            Must::Reset(PROTOCOL),
        ),
        (
            "WINDOW_UPDATE of three bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            Must::End(FRAME_SIZE),
        ),
        (
            "a connection window above 2^31-1",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Must::End(FLOW_CONTROL),
        ),
        (
            "a stream window above 2^31-1",
            join(&[
                &open(1),
                &frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            ]),
            Must::Reset(FLOW_CONTROL),
        ),
        // RFC 7541
        (
            "an index beyond the tables",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0x50]),
            Must::End(COMPRESSION),
        ),
        (
            "an index of zero",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80]),
            Must::End(COMPRESSION),
        ),
        (
            "a table above its limit",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &join(&[&[0x3f, 0xe2, 0x1f], &request(&[])]),
            ),
            Must::End(COMPRESSION),
        ),
        (
            "a table resized in the middle of a block",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &resized),
            Must::End(COMPRESSION),
        ),
        (
            "a table resized at the end of a block",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &join(&[&request(&[]), &[0x20]]),
            ),
            Must::End(COMPRESSION),
        ),
        (
            "a Huffman code padded with zeros",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &join(&[&request(&[]), &[0, 1, b'x', 0x81, 0x18]]),
            ),
            Must::End(COMPRESSION),
        ),
        (
            "a Huffman code padded with a byte",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &join(&[&request(&[]), &[0, 1, b'x', 0x82, 0x1f, 0xff]]),
            ),
            Must::End(COMPRESSION),
        ),
        (
            "a Huffman code with EOS",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &join(&[&request(&[]), &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]]),
            ),
            Must::End(COMPRESSION),
        ),
        (
            "a string longer than its block",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x7f, 0x20, b'x']),
            Must::End(COMPRESSION),
        ),
    ];
    judge(&gateway, rules);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line a rule")]
fn every_rule_of_requests_holds() {
    let (gateway, _upstream) = gateway();
    let (m, s, p, a) = (
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    );
    let posts = |length: &str, body: &[u8]| {
        let head = request(&[("content-length", length)]);
        let head = frame(HEADERS, END_HEADERS, 1, &head);
        [head, frame(DATA, END_STREAM, 1, body)].concat()
    };
    let trailers = |fields: &[(&str, &str)], flags: u8| {
        let head = frame(HEADERS, END_HEADERS, 1, &request(&[]));
        let body = frame(DATA, 0, 1, b"x");
        [head, body, frame(HEADERS, flags, 1, &block(fields))].concat()
    };
    let rules: Vec<(&str, Vec<u8>, Must)> = vec![
        // 8.2: fields
        (
            "an upper-case name",
            and(&[("X-Upper", "1")]),
            Must::Malformed,
        ),
        (
            "a name with a space",
            and(&[("x name", "1")]),
            Must::Malformed,
        ),
        ("an empty name", and(&[("", "1")]), Must::Malformed),
        (
            "a value with a line feed",
            and(&[("x", "a\nb")]),
            Must::Malformed,
        ),
        (
            "a value with a carriage return",
            and(&[("x", "a\rb")]),
            Must::Malformed,
        ),
        ("a value with a NUL", and(&[("x", "a\0b")]), Must::Malformed),
        (
            "a value that starts with a space",
            and(&[("x", " a")]),
            Must::Malformed,
        ),
        (
            "a value that ends with a tab",
            and(&[("x", "a\t")]),
            Must::Malformed,
        ),
        // 8.2.2: fields of a connection
        (
            "connection",
            and(&[("connection", "keep-alive")]),
            Must::Malformed,
        ),
        ("keep-alive", and(&[("keep-alive", "5")]), Must::Malformed),
        (
            "proxy-connection",
            and(&[("proxy-connection", "x")]),
            Must::Malformed,
        ),
        (
            "transfer-encoding",
            and(&[("transfer-encoding", "chunked")]),
            Must::Malformed,
        ),
        ("upgrade", and(&[("upgrade", "h2c")]), Must::Malformed),
        (
            "te of more than trailers",
            and(&[("te", "trailers, deflate")]),
            Must::Malformed,
        ),
        // 8.3: pseudo-fields
        (
            "an unknown pseudo-field",
            and(&[(":test", "x")]),
            Must::Malformed,
        ),
        (
            "a pseudo-field of answers",
            and(&[(":status", "200")]),
            Must::Malformed,
        ),
        (
            "a pseudo-field after the others",
            with(&[m, s, ("x", "1"), p, a]),
            Must::Malformed,
        ),
        ("two methods", with(&[m, m, s, p, a]), Must::Malformed),
        ("two schemes", with(&[m, s, s, p, a]), Must::Malformed),
        ("two paths", with(&[m, s, p, p, a]), Must::Malformed),
        ("two authorities", with(&[m, s, p, a, a]), Must::Malformed),
        ("no method", with(&[s, p, a]), Must::Malformed),
        ("no scheme", with(&[m, p, a]), Must::Malformed),
        ("no path", with(&[m, s, a]), Must::Malformed),
        (
            "an empty path",
            with(&[m, s, (":path", ""), a]),
            Must::Malformed,
        ),
        (
            "a path without a slash",
            with(&[m, s, (":path", "x"), a]),
            Must::Malformed,
        ),
        (
            "a path with a space",
            with(&[m, s, (":path", "/a b"), a]),
            Must::Malformed,
        ),
        (
            "a path with a line feed",
            with(&[m, s, (":path", "/a\nb"), a]),
            Must::Malformed,
        ),
        (
            "an absolute path",
            with(&[m, s, (":path", "http://b.example/"), a]),
            Must::Malformed,
        ),
        (
            "a method with a space",
            with(&[(":method", "GET /x"), s, p, a]),
            Must::Malformed,
        ),
        (
            "no authority and no host",
            with(&[m, s, p]),
            Must::Malformed,
        ),
        (
            "an authority with a user",
            with(&[m, s, p, (":authority", "u@a.example")]),
            Must::Malformed,
        ),
        (
            "an authority and another host",
            and(&[("host", "b.example")]),
            Must::Malformed,
        ),
        // 8.1: messages
        (
            "a pseudo-field in trailers",
            trailers(&[(":path", "/")], END_STREAM | END_HEADERS),
            Must::Malformed,
        ),
        (
            "trailers without an end",
            trailers(&[("x", "1")], END_HEADERS),
            Must::Malformed,
        ),
        (
            "a body shorter than it says",
            posts("10", b"short"),
            Must::Malformed,
        ),
        (
            "a body longer than it says",
            posts("1", b"longer"),
            Must::Malformed,
        ),
        ("two lengths", posts("1, 2", b"x"), Must::Malformed),
        ("a length that is none", posts("-1", b"x"), Must::Malformed),
    ];
    judge(&gateway, rules);
}

fn judge(gateway: &Gateway, rules: Vec<(&str, Vec<u8>, Must)>) {
    let mut broken = Vec::new();
    for (rule, bytes, must) in rules {
        let mut client = Client::start(gateway);
        client.send(&bytes);
        if let Err(what) = verdict(&mut client, must) {
            broken.push(format!("{rule}: {must:?}, but {what}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // And none of it has harmed anybody else.
    let mut client = Client::start(gateway);
    client.send(&get(1));
    assert!(client.wait(|frame| frame.kind == HEADERS).is_some());
}

#[test]
fn a_connection_begins_with_its_preface() {
    let (gateway, _upstream) = gateway();
    for start in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"INVALID CONNECTION PREFACE\r\n\r\n",
    ] {
        let mut client = Client::raw(&gateway);
        client.send(start);
        let answer = std::iter::from_fn(|| client.next()).last();
        assert!(
            answer.as_ref().is_none_or(|frame| frame.kind != HEADERS),
            "{answer:?}"
        );
    }
    // SETTINGS must follow.
    let mut client = Client::raw(&gateway);
    client.send(&[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat());
    let last = std::iter::from_fn(|| client.next()).last();
    assert!(last.is_none_or(|frame| frame.kind == GOAWAY && frame.code() == PROTOCOL));
}

#[test]
fn windows_are_kept_to() {
    let (gateway, upstream) = gateway();
    upstream.say_ok("", &"x".repeat(10));
    let mut client = Client::raw(&gateway);
    client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &setting(4, 1))].concat());
    client.send(&get(1));
    let data = |frame: &Frame| frame.kind == DATA && !frame.payload.is_empty();
    let first = client.wait(data).unwrap();
    assert_eq!(first.payload, b"x", "one byte is what there is room for");
    // More room, all at once: by the setting, which counts for streams that are open (6.9.2).
    client.send(&frame(SETTINGS, 0, 0, &setting(4, 4)));
    assert_eq!(client.wait(data).unwrap().payload, b"xxx");
    client.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]));
    let rest = client.wait(data).unwrap();
    assert_eq!(rest.payload, b"xxxxxx");
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nhttp2 = {{ max_streams = 3 }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        upstream.address
    ));
    let mut client = Client::start(&gateway);
    let streams: Vec<u8> = (0..4).flat_map(|n| open(1 + 2 * n)).collect();
    client.send(&streams);
    let refused = client.wait(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((refused.stream, refused.code()), (7, REFUSED_STREAM));
}

#[test]
fn pings_come_back_as_they_were() {
    let (gateway, _upstream) = gateway();
    let mut client = Client::start(&gateway);
    client.send(&frame(PING, 0, 0, b"\x01opaque\xff"));
    let pong = client.wait(|frame| frame.kind == PING).unwrap();
    assert_eq!(
        (pong.flags, pong.payload.as_slice()),
        (ACK, &b"\x01opaque\xff"[..])
    );
}

#[test]
fn floods_are_cut_off_and_counted() {
    let (gateway, _upstream) = gateway();
    let reset = |stream: u32| [get(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    // An upstream that waits for the body, so that the stream stays open.
    let held = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/echo"),
        (":authority", "a.example"),
    ]);
    let held = frame(HEADERS, END_HEADERS, 1, &held);
    let endless: Vec<u8> = frame(HEADERS, END_STREAM, 1, &request(&[]));
    let continued = frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(1000))]));
    let floods: Vec<(&str, Vec<u8>)> = vec![
        ("http2_settings", frame(SETTINGS, 0, 0, &[]).repeat(5000)),
        ("http2_ping", frame(PING, 0, 0, &[0; 8]).repeat(20_000)),
        (
            "http2_rapid_reset",
            (0..10_000).flat_map(|n| reset(1 + 2 * n)).collect(),
        ),
        (
            "http2_empty_data",
            [held, frame(DATA, 0, 1, &[]).repeat(5000)].concat(),
        ),
        (
            "http2_priority",
            frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000),
        ),
        ("", [endless, continued.repeat(10_000)].concat()),
    ];
    let mut cut = 0;
    for (reason, bytes) in floods {
        let mut client = Client::start(&gateway);
        let mut taken = true;
        for part in bytes.chunks(16 * 1024) {
            taken = taken && client.send(part);
        }
        let farewell = client.wait(|frame| frame.kind == GOAWAY);
        if let Some(farewell) = farewell {
            assert_ne!(farewell.code(), 0, "{reason}");
        }
        let mut gone = client;
        assert!(!gone.is_alive(), "{reason} is still served");
        // The library may notice first, and has one word for all floods.
        cut += 1;
        let counted = |gateway: &Gateway| -> f64 {
            let reasons = ["http2_flood", "http2_protocol", reason];
            let of = "tyrian_connections_cut_total{listener=\"web\",reason=";
            let counts = reasons.map(|reason| gateway.metric(&format!("{of}\"{reason}\"}}")));
            counts.into_iter().flatten().sum()
        };
        // It is counted when the connection has gone, which the client may see first.
        let latest = Instant::now() + PATIENCE;
        while counted(&gateway) < 1.0 {
            assert!(Instant::now() < latest, "{reason}: {}", gateway.metrics());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let metrics = gateway.metrics();
    let lines = metrics.lines();
    let all = lines.filter(|line| line.starts_with("tyrian_connections_cut_total"));
    let all = all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u32);
    assert_eq!(all.sum::<u32>(), cut, "each once");
    let mut client = Client::start(&gateway);
    client.send(&get(1));
    assert!(client.wait(|frame| frame.kind == HEADERS).is_some());
}

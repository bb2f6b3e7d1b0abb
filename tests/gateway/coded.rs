//! What an answer that may leave compressed says of itself, however it is asked for.

use crate::client::Answer;
use crate::gateway::{Gateway, listeners};
use crate::origin::{NONE, Origin, ask, run};
use crate::upstream::Upstream;
use http::{Method, Request};

/// What speaks of the plain bytes alone.
const PLAIN: [&str; 6] = [
    "content-length",
    "accept-ranges",
    "content-digest",
    "repr-digest",
    "digest",
    "content-md5",
];
const SAID: &str = "Content-Type: text/plain\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\
                    Content-Digest: sha-256=:AAAA:\r\nRepr-Digest: sha-256=:AAAA:\r\n\
                    Digest: sha-256=AAAA\r\nContent-MD5: AAAA\r\n";

fn start(upstream: &Upstream) -> Gateway {
    Gateway::start(&format!(
        "{}[breakers.b]\ntrip = {{ error_rate = \"50%\", min_requests = 10 }}\n\
         fallback = {{ cached = \"5m\" }}\n\
         [services.a]\nbreaker = \"b\"\n[services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\ncompress = true\n",
        listeners(""),
        upstream.address
    ))
}

fn text() -> String {
    "all work and no play ".repeat(200)
}

fn all<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let named = answer.headers.iter().filter(|(key, _)| key == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn asked(gateway: &Gateway, method: &str, headers: &str) -> Answer {
    let mut connection = gateway.connect();
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let mut answers = [(), ()].map(|()| {
        assert!(connection.send(request.as_bytes()));
        connection.answer(method == "HEAD")
    });
    // The second one shows that the connection is in step after the first.
    assert_eq!(answers[0].status, answers[1].status, "{method}");
    std::mem::take(&mut answers[0])
}

#[test]
fn head_is_told_what_get_is() {
    let upstream = Upstream::start("v1");
    let gateway = start(&upstream);
    for accepts in ["gzip", "br;q=0.5, zstd", "", "identity"] {
        let accepts = format!("Accept-Encoding: {accepts}\r\n");
        upstream.say_ok(SAID, &text());
        let get = gateway.get("/", &accepts);
        let length = text().len();
        upstream.say(Some(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{SAID}\r\n"
        )));
        let head = asked(&gateway, "HEAD", &accepts);
        assert!(head.body.is_empty());
        for name in PLAIN
            .iter()
            .chain(&["content-encoding", "etag", "vary", "content-type"])
        {
            assert_eq!(all(&head, name), all(&get, name), "{name} for {accepts}");
        }
        let coded = get.header("content-encoding").is_some();
        for name in PLAIN {
            assert_eq!(head.header(name).is_none(), coded, "{name} for {accepts}");
        }
        assert_eq!(all(&head, "vary"), ["accept-encoding"]);
    }
}

#[test]
fn head_over_http_2_is_told_the_same() {
    let upstream = Upstream::start("v1");
    let gateway = start(&upstream);
    upstream.say(Some(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n{SAID}\r\n"
    )));
    let request = Request::builder().method(Method::HEAD).uri("http://a/");
    let request = request.header("accept-encoding", "gzip").body(()).unwrap();
    let got = run(ask(&gateway, request, NONE));
    assert_eq!((got.status, got.reset, got.body.len()), (200, None, 0));
    assert_eq!(got.fields["content-encoding"], "gzip");
    assert_eq!(got.fields["etag"], "W/\"v1\"");
    assert!(
        PLAIN.iter().all(|name| !got.fields.contains_key(*name)),
        "{:?}",
        got.fields
    );
}

#[test]
fn a_304_has_the_tag_and_the_vary_of_the_200() {
    let upstream = Upstream::start("v1");
    let gateway = start(&upstream);
    for (said, accepts, condition, tag, vary) in [
        ("", "gzip", "W/\"v1\"", "W/\"v1\"", &["accept-encoding"][..]),
        ("", "gzip", "\"v1\"", "\"v1\"", &["accept-encoding"]),
        ("", "identity", "W/\"v1\"", "\"v1\"", &["accept-encoding"]),
        (
            "Content-Type: image/png\r\n",
            "gzip",
            "W/\"v1\"",
            "\"v1\"",
            &[],
        ),
        (
            "Vary: Accept-Encoding\r\n",
            "gzip",
            "W/\"v1\"",
            "W/\"v1\"",
            &["Accept-Encoding"],
        ),
        ("Vary: *\r\n", "gzip", "W/\"v1\"", "W/\"v1\"", &["*"]),
    ] {
        upstream.say(Some(&format!(
            "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n{said}\r\n"
        )));
        let headers = format!("Accept-Encoding: {accepts}\r\nIf-None-Match: {condition}\r\n");
        let answer = asked(&gateway, "GET", &headers);
        assert_eq!(answer.status, 304);
        assert_eq!(answer.header("etag"), Some(tag), "{headers}");
        assert_eq!(all(&answer, "vary"), vary, "{headers}");
        assert_eq!(answer.header("content-encoding"), None);
        let sent = upstream
            .heads()
            .into_iter()
            .rfind(|head| head.starts_with("GET / "));
        assert!(
            sent.unwrap().contains(&format!(": {condition}\r\n")),
            "it goes up as it came"
        );
    }
}

#[test]
fn a_part_is_of_the_plain_bytes_and_says_that_the_whole_varies() {
    let upstream = Upstream::start("v1");
    let gateway = start(&upstream);
    upstream.say(Some(&format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/5000\r\n\
         {SAID}\r\nall"
    )));
    let answer = asked(
        &gateway,
        "GET",
        "Accept-Encoding: gzip\r\nRange: bytes=0-2\r\n",
    );
    assert_eq!((answer.status, answer.text().as_str()), (206, "all"));
    assert_eq!(answer.header("etag"), Some("\"v1\""));
    assert_eq!(answer.header("content-digest"), Some("sha-256=:AAAA:"));
    assert_eq!(all(&answer, "vary"), ["accept-encoding"]);
}

#[test]
fn digests_of_the_plain_bytes_come_in_no_trailer() {
    let origin = Origin::start();
    let gateway = Gateway::start(&format!(
        "{}[services.a.versions.v1]\nendpoints = [\"{}\"]\nhttp = \"h2c\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\ncompress = true\n",
        listeners(""),
        origin.address
    ));
    for (accepts, coded) in [("gzip", true), ("identity", false)] {
        let request = Request::builder().uri("http://a/trailers");
        let request = request.header("accept-encoding", accepts).body(()).unwrap();
        let got = run(ask(&gateway, request, NONE));
        assert_eq!(got.fields.contains_key("content-encoding"), coded);
        assert_eq!(got.trailers.contains_key("content-digest"), !coded);
        assert!(got.trailers.contains_key("x-other"), "{accepts}");
    }
}

#[test]
fn an_answer_kept_for_worse_times_varies_too() {
    let upstream = Upstream::start("v1");
    let gateway = start(&upstream);
    upstream.say_ok(SAID, &text());
    let accepts = "Accept-Encoding: gzip\r\n";
    assert_eq!(gateway.get("/", accepts).header("etag"), Some("W/\"v1\""));
    let opened = gateway.api("PUT", "/v1/services/a/v1/breaker", "{\"state\":\"open\"}");
    assert_eq!(opened.0, 200);
    let kept = gateway.get("/", accepts);
    assert!(kept.header("age").is_some());
    assert_eq!(kept.text(), text(), "as it was kept");
    assert_eq!(kept.header("etag"), Some("\"v1\""));
    assert_eq!(all(&kept, "vary"), ["accept-encoding"]);
}

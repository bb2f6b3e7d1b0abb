//! Heads of requests.

use super::{accept, flush, pair, run};
use crate::edge::http2::upstream::head::request;
use crate::edge::message::{Length, Upstream};
use h2::server::Builder;
use http::uri::Scheme;
use http::{Request, request};

fn parts(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let request = Request::builder().uri(uri);
    let add =
        |request: request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
    fields
        .iter()
        .fold(request, add)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn sent(uri: &str, fields: &[(&str, &str)], body: Length) -> (String, Vec<(String, String)>) {
    let request = request(&parts(uri, fields), &Scheme::HTTPS, body);
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let mut fields: Vec<_> = request.headers().iter().map(text).collect();
    fields.sort();
    (request.uri().to_string(), fields)
}

#[test]
fn the_host_becomes_the_authority() {
    for (uri, host, target) in [
        ("/a?b", Some("a.example:81"), "https://a.example:81/a?b"),
        (
            "http://b.example/a",
            Some("a.example"),
            "https://a.example/a",
        ),
        ("http://b.example/a", None, "https://b.example/a"),
        ("*", Some("a"), "https://a*"),
        ("/", Some("[::1]:8080"), "https://[::1]:8080/"),
        ("/a", None, "/a"),
    ] {
        let host = host.map(|host| ("host", host));
        let (uri, fields) = sent(uri, host.as_slice(), Length::None);
        assert_eq!((uri.as_str(), fields.len()), (target, 0));
    }
}

#[test]
fn fields_of_a_connection_are_left_out() {
    let (_, fields) = sent(
        "/",
        &[
            ("host", "a"),
            ("connection", "x-one, keep-alive, host, content-length, te"),
            ("connection", "x-two"),
            ("keep-alive", "1"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", ""),
            ("te", "gzip, Trailers;q=1, trailers"),
            ("trailer", "x-sum"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("content-length", "4"),
        ],
        Length::Exact(4),
    );
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-length", "te", "trailer", "x-three"]);
    assert_eq!(fields[1].1, "trailers");
    assert!(
        sent("/", &[("host", "a"), ("te", "gzip")], Length::None)
            .1
            .is_empty()
    );
}

#[test]
fn the_length_is_that_of_the_body() {
    for (said, body, sends) in [
        (None, Length::None, None),
        (Some("0"), Length::None, Some("0")),
        (Some("5"), Length::None, None),
        (Some("5"), Length::Unknown, None),
        (Some("5"), Length::Exact(5), Some("5")),
        (Some("5"), Length::Exact(6), Some("6")),
        (None, Length::Exact(6), Some("6")),
    ] {
        let said = said.map(|said| ("content-length", said));
        let (_, fields) = sent("/", said.as_slice(), body);
        assert_eq!(fields.first().map(|(_, value)| value.as_str()), sends);
    }
}

#[tokio::test]
async fn a_request_of_grpc_ends_in_a_data_frame() {
    for (kind, in_head) in [("application/grpc+proto", false), ("text/plain", true)] {
        let (mut stream, mut server) = pair(&Builder::new()).await;
        let head = parts("/s/m", &[("host", "a"), ("content-type", kind)]);
        stream.send_head(&head, Length::None).unwrap();
        let (request, _respond) = accept(&mut server).await;
        assert_eq!(request.body().is_end_stream(), in_head, "{kind}");
        run(server);
        flush(&mut stream).await.unwrap();
        assert!(
            request
                .into_body()
                .data()
                .await
                .is_none_or(|data| data.unwrap().is_empty())
        );
    }
}

#[tokio::test]
async fn a_request_about_the_server_and_one_without_host_get_through() {
    for (method, uri, host) in [("OPTIONS", "*", Some("a")), ("GET", "/", None)] {
        let (mut stream, mut server) = pair(&Builder::new()).await;
        let mut head = parts(uri, host.map(|host| ("host", host)).as_slice());
        head.method = method.parse().unwrap();
        stream.send_head(&head, Length::None).unwrap();
        let (request, _respond) = accept(&mut server).await;
        assert_eq!(request.uri().path(), uri);
        assert_eq!(request.uri().host(), host);
    }
}

//! Redirects lead where the route says, with parts of the request in their places.

use crate::gateway::{Gateway, listeners};

fn start(to: &str) -> Gateway {
    Gateway::start(&format!(
        "{}[routes.all]\nmatch = {{ path = \"/*\" }}\nredirect = {{ to = \"{to}\" }}\n",
        listeners("")
    ))
}

#[test]
fn a_redirect_has_the_host_path_and_query_of_the_request() {
    let gateway = start("https://{host}{path}?{query}");
    for (target, host, location) in [
        (
            "/a/b?x=1&y",
            "Shop.Example",
            "https://shop.example/a/b?x=1&y",
        ),
        ("/a/b", "shop.example:8080", "https://shop.example/a/b"),
        ("/", "shop.example", "https://shop.example/"),
        (
            "/a/../b//c?@evil.example",
            "shop.example",
            "https://shop.example/b/c?@evil.example",
        ),
        (
            "//evil.example/",
            "shop.example",
            "https://shop.example/evil.example/",
        ),
        ("/x", "[::1]:80", "https://[::1]/x"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = gateway.connect().exchange(request.as_bytes());
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(answer.header("location"), Some(location), "{target}");
    }
}

#[test]
fn a_path_alone_never_leads_to_another_host() {
    let gateway = start("{path}?from=old&{query}");
    for (target, location) in [
        ("/x?a=1", "/x?from=old&a=1"),
        ("/x", "/x?from=old"),
        ("//evil.example", "/evil.example?from=old"),
    ] {
        let answer = gateway.get(target, "");
        assert_eq!(answer.header("location"), Some(location), "{target}");
    }
}

#[test]
fn a_request_that_names_no_host_is_not_led_to_an_empty_one() {
    let gateway = start("https://{host}/");
    let answer = gateway.connect().exchange(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "bad_request")
    );
    assert_eq!(answer.header("location"), None);
}

//! `[[tests]]`: a request and what must become of it.

use super::entry::{self, EntryName};
use super::matches::authority_of;
use super::reader::{Cx, Kind, Node, Read, Reference};
use super::rule::Bounds;
use super::shape::Shape;
use super::values::{bounded, parsed};
use super::{Name, Place, place_of};
use crate::table;
use http::header::COOKIE;
use http::{HeaderName, HeaderValue, Method};
use std::net::IpAddr;

/// A test in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub name: Option<String>,
    pub method: Method,
    /// `https` or `http`.
    pub scheme: String,
    /// As in a `Host` header.
    pub host: String,
    /// Path and query as the client would send them.
    pub target: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Versions without a healthy endpoint, and with an open breaker.
    pub down: Vec<Member>,
    pub open: Vec<Member>,
    /// What a verified token says; `None`: there is no token.
    pub claims: Option<Vec<(String, Vec<String>)>>,
    /// Default 127.0.0.1.
    pub from: IpAddr,
    /// The color that it brings with a sound signature.
    pub signed: Option<Name>,
    /// The user's bucket, in place of the one that the request's key gives.
    pub bucket: Option<u16>,
    pub expect: Expect,
    pub at: Place,
}

table! {
    /// A request and what must become of it; run by `check`, `test` and every reload.
    pub struct Table {
        /// What it is about.
        "name" => name: Option<String> = none "the request",
        /// `METHOD URL`, such as `GET https://api.example.com/cart/7`.
        "request" => request: Line = required,
        /// Header fields.
        "headers" => headers: Vec<(HeaderName, String)> = (Vec::new()) "{}",
        /// Cookies.
        "cookies" => cookies: Vec<(String, String)> = (Vec::new()) "{}",
        /// Versions that have no healthy endpoint, as `service/version`.
        "down" => down: Vec<Member> = (Vec::new()) "[]",
        /// Versions whose breaker is open, as `service/version`.
        "open" => open: Vec<Member> = (Vec::new()) "[]",
        /// Claims of its verified token; without them it has none.
        "claims" => claims: Option<Vec<(String, Vec<String>)>> = none "no token",
        /// The client's address.
        "from" => from: IpAddr = (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)) "\"127.0.0.1\"",
        /// The color that it brings, taken for signed.
        "signed" => signed: Option<EntryName<entry::Color>> = none,
        /// The user's bucket, 0 to 9999, in place of the one that its key gives.
        "bucket" => bucket: Option<Bucket> = none "as its key has it",
        /// What must become of it.
        "expect" => expect: Expect = required,
    }
}

const STATUS: Bounds<u16> =
    Bounds::least(200, "no final status", "such as 404, or leave it out").most(599);

table! {
    /// What must become of a request; only what is named is looked at. A request that is refused
    /// gets nowhere: a test of it names `status` or `reason`.
    pub struct Expect {
        /// The route that takes it.
        "route" => route: Option<String> = none,
        /// The service it goes to.
        "service" => service: Option<String> = none,
        /// The version it meets.
        "version" => version: Option<String> = none,
        /// The color it has.
        "color" => color: Option<String> = none,
        /// The status of an answer that the gateway makes itself.
        "status" => status: Option<u16> = none within STATUS,
        /// The reason of a refusal.
        "reason" => reason: Option<String> = none,
        /// The path the upstream sees.
        "upstream_path" => upstream_path: Option<String> = none,
        /// Fields that the gateway adds on the way up: the color, and claims that a provider
        /// forwards. An empty value: the field is not added.
        "upstream_headers" => upstream_headers: Vec<(HeaderName, String)> = (Vec::new()) "{}",
    }
}

/// A version of a service, as `service/version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub service: Name,
    pub version: Name,
}

impl Read for Member {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let member = parsed(node, cx, "`service/version`", |text| {
            let (service, version) = text.split_once('/')?;
            Some(Self {
                service: service.into(),
                version: version.into(),
            })
        })?;
        for (kind, name) in [
            (Kind::Service, &member.service),
            (
                Kind::Version {
                    service: member.service.to_string(),
                },
                &member.version,
            ),
        ] {
            cx.refer(Reference {
                kind,
                name: name.to_string(),
                spot: node.spot(),
                from: format!("`{}`", node.path),
            });
        }
        Some(member)
    }

    fn shape() -> Shape {
        Shape::Text("`service/version`", "^.+/.+$")
    }
}

/// One of the ten thousand buckets that users fall into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket(pub u16);

impl Read for Bucket {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        bounded(node, cx, 0, 9999).map(Self)
    }

    fn shape() -> Shape {
        Shape::Integer(0, 9999)
    }
}

/// `METHOD URL`.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    method: Method,
    scheme: String,
    host: String,
    target: String,
}

impl Read for Line {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = node.value.as_str().unwrap_or("");
        let (method, url) = text.split_once(' ').unwrap_or(("", text));
        let (scheme, host, target) = authority_of(node, cx, url.trim())?;
        match Method::from_bytes(method.as_bytes()) {
            Ok(method) => Some(Self {
                method,
                scheme,
                host,
                target,
            }),
            Err(_) => {
                node.invalid(
                    cx,
                    format!("`{text}` has no method"),
                    "expected `METHOD URL`",
                );
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Text("`METHOD URL`", "^[A-Z-]+ https?://.+$")
    }
}

impl Read for Test {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let Table {
            name,
            request,
            headers,
            cookies,
            down,
            open,
            claims,
            from,
            signed,
            bucket,
            expect,
        } = Table::read(node, cx)?;
        let Line {
            method,
            scheme,
            host,
            target,
        } = request;
        let mut values = Vec::new();
        let cookies = cookies
            .iter()
            .map(|(name, value)| (COOKIE, format!("{name}={value}")));
        for (name, value) in headers.into_iter().chain(cookies) {
            match HeaderValue::from_str(&value) {
                Ok(value) => values.push((name, value)),
                Err(_) => {
                    node.invalid(
                        cx,
                        format!("the value of `{name}` is malformed"),
                        "in this test",
                    );
                    return None;
                }
            }
        }
        let at = place_of(node);
        Some(Self {
            name,
            method,
            scheme,
            host,
            target,
            headers: values,
            down,
            open,
            claims,
            from,
            signed: signed.map(|name| name.0.into()),
            bucket: bucket.map(|Bucket(bucket)| bucket),
            expect,
            at,
        })
    }

    fn shape() -> Shape {
        Table::shape()
    }
}

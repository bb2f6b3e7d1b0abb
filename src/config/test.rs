//! `[[tests]]`: a request and what must become of it.

use super::Place;
use http::{HeaderName, HeaderValue, Method};
use std::net::IpAddr;

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
    /// Default 127.0.0.1.
    pub from: IpAddr,
    pub expect: Expect,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    pub route: Option<String>,
    pub service: Option<String>,
    pub version: Option<String>,
    pub color: Option<String>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// The path the upstream would see.
    pub upstream_path: Option<String>,
}

//! Plain values: numbers, texts with `${NAME}` in them, addresses, names.

use super::diagnostic::{Diagnostic, nearest};
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use http::{HeaderName, Method};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use toml::de::DeValue;

impl Read for bool {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        match node.value {
            DeValue::Boolean(value) => {
                cx.record(node, value.to_string(), Vec::new());
                Some(*value)
            }
            _ => {
                node.wrong_type(cx, "true or false");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}

/// A whole number within bounds.
fn integer(node: &Node, cx: &Cx, min: i64, max: i64) -> Option<i64> {
    let DeValue::Integer(value) = node.value else {
        node.wrong_type(cx, "a whole number");
        return None;
    };
    match i64::from_str_radix(value.as_str(), value.radix()) {
        Ok(value) if (min..=max).contains(&value) => {
            cx.record(node, value.to_string(), Vec::new());
            Some(value)
        }
        _ => {
            let message = format!("`{}` must be between {min} and {max}", node.key());
            node.invalid(cx, message, "out of range");
            None
        }
    }
}

macro_rules! integers {
    ($($type:ty: $min:expr, $max:expr;)*) => {$(
        impl Read for $type {
            fn read(node: &Node, cx: &Cx) -> Option<Self> {
                integer(node, cx, $min, $max).and_then(|value| <$type>::try_from(value).ok())
            }

            fn shape() -> Shape {
                Shape::Integer($min, $max)
            }
        }
    )*};
}

integers! {
    u8: 0, 255;
    u16: 0, 65_535;
    u32: 0, 4_294_967_295;
    i32: -2_147_483_648, 2_147_483_647;
}

impl Read for String {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let DeValue::String(raw) = node.value else {
            node.wrong_type(cx, "a text in quotes");
            return None;
        };
        let (text, env) = interpolate(raw, node, cx)?;
        cx.record(node, format!("{text:?}"), env);
        Some(text)
    }

    fn shape() -> Shape {
        Shape::Text("text", "")
    }
}

/// Fills in `${NAME}`, `${NAME:-default}`, `${NAME:?why}`; `$$` is a dollar sign. Works on parsed
/// text, so a value can neither break the file nor add to it.
pub fn interpolate(raw: &str, node: &Node, cx: &Cx) -> Option<(String, Vec<String>)> {
    let mut out = String::with_capacity(raw.len());
    let mut used = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or("");
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inner, after)) = after.strip_prefix('{').and_then(|a| a.split_once('}'))
        {
            out.push_str(&variable(inner, node, cx)?);
            used.push(inner.split(':').next().unwrap_or(inner).to_owned());
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Some((out, used))
}

fn variable(inner: &str, node: &Node, cx: &Cx) -> Option<String> {
    let (name, otherwise) = match inner.split_once(':') {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (inner, None),
    };
    if let Some(value) = cx.env(name) {
        return Some(value);
    }
    match otherwise {
        Some(default) if default.starts_with('-') => default.get(1..).map(ToOwned::to_owned),
        Some(why) if why.starts_with('?') => {
            let message = format!(
                "environment variable `{name}` is not set: {}",
                &why.get(1..)?
            );
            cx.report(Diagnostic::error("TY0501", message).at(&node.spot(), "needed here"));
            None
        }
        _ => {
            let message = format!("environment variable `{name}` is not set");
            let diagnostic = Diagnostic::error("TY0501", message).at(&node.spot(), "needed here");
            cx.report(diagnostic.help(format!("give a default: ${{{name}:-value}}")));
            None
        }
    }
}

/// Says which words are allowed.
pub fn not_a_word(node: &Node, cx: &Cx, wrong: &str, words: &[&str]) {
    let message = format!("`{wrong}` is not a value of `{}`", node.key());
    let diagnostic = Diagnostic::error("TY0203", message).at(
        &node.spot(),
        format!("expected one of: {}", words.join(", ")),
    );
    cx.report(match nearest(wrong, words.iter().copied()) {
        Some(meant) => diagnostic
            .help(format!("did you mean \"{meant}\"?"))
            .patch(&node.spot(), format!("{meant:?}")),
        None => diagnostic,
    });
}

/// A text that parses into something else.
pub fn parsed<T>(
    node: &Node,
    cx: &Cx,
    what: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = String::read(node, cx)?;
    let value = parse(&text);
    if value.is_none() {
        node.invalid(
            cx,
            format!("`{text}` is not {what}"),
            format!("expected {what}"),
        );
    }
    value
}

impl Read for SocketAddr {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(
            node,
            cx,
            "an address and port, such as \"127.0.0.1:8080\" or \":8080\"",
            |text| match text.strip_prefix(':') {
                Some(port) => port
                    .parse()
                    .ok()
                    .map(|port: u16| ([0, 0, 0, 0], port).into()),
                None => text.parse().ok(),
            },
        )
    }

    fn shape() -> Shape {
        Shape::Text(
            "address and port, such as `127.0.0.1:8080` or `:8080`",
            "^.*:[0-9]+$",
        )
    }
}

impl Read for IpAddr {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "an IP address", |text| text.parse().ok())
    }

    fn shape() -> Shape {
        Shape::Text("IP address", "")
    }
}

impl Read for IpNet {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let network = parsed(node, cx, "a network, such as \"10.0.0.0/8\"", |text| {
            let single = text.parse::<IpAddr>().ok().map(IpNet::from);
            text.parse::<IpNet>().ok().or(single)
        })?;
        let whole = network.trunc();
        if whole != network {
            let message = format!("`{network}` is the network {whole}: its last bits do not count");
            let diagnostic = Diagnostic::warning("TY0404", message)
                .at(&node.spot(), "more bits than its length says")
                .help(format!("one address alone is \"{}\"", network.addr()));
            cx.report(diagnostic.patch(&node.spot(), format!("\"{whole}\"")));
        }
        Some(whole)
    }

    fn shape() -> Shape {
        Shape::Text(
            "network in CIDR form, such as `10.0.0.0/8`, or one address",
            "",
        )
    }
}

impl Read for HeaderName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a header name", |text| {
            text.to_ascii_lowercase().parse().ok()
        })
    }

    fn shape() -> Shape {
        Shape::Text("header name", "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    }
}

impl Read for Method {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let method = parsed(node, cx, "an HTTP method, such as \"GET\"", |text| {
            Method::from_bytes(text.as_bytes()).ok()
        })?;
        if method
            .as_str()
            .bytes()
            .any(|byte| byte.is_ascii_lowercase())
        {
            let upper = method.as_str().to_ascii_uppercase();
            let message = format!("`{method}` is not an HTTP method: methods are case-sensitive");
            let diagnostic =
                Diagnostic::error("TY0203", message).at(&node.spot(), "not upper case");
            cx.report(
                diagnostic
                    .help(format!("did you mean \"{upper}\"?"))
                    .patch(&node.spot(), format!("{upper:?}")),
            );
            return None;
        }
        Some(method)
    }

    fn shape() -> Shape {
        Shape::Text("HTTP method, such as `GET`", "^[A-Z-]+$")
    }
}

impl Read for PathBuf {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        String::read(node, cx).map(Self::from)
    }

    fn shape() -> Shape {
        Shape::Text("path of a file", "")
    }
}

/// One or several; brackets may be left out around one.
impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let elements = node.elements(cx, true);
        let read: Vec<Option<T>> = elements
            .iter()
            .map(|element| T::read(element, cx))
            .collect();
        read.into_iter().collect()
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()), true)
    }
}

/// `NAME = value` for each, in the order of the file.
impl<K: Read + FromKey, T: Read> Read for Vec<(K, T)> {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = node.table(cx)?;
        let mut read = Some(Vec::new());
        for (name, node) in table.entries() {
            let key = K::from_key(name.get_ref());
            if key.is_none() {
                let spot = super::diagnostic::Spot {
                    file: node.file.clone(),
                    span: name.span(),
                };
                let message = format!("`{}` is not {}", name.get_ref(), K::WHAT);
                let label = format!("expected {}", K::WHAT);
                cx.report(Diagnostic::error("TY0203", message).at(&spot, label));
            }
            let value = T::read(&node, cx);
            match (key.zip(value), &mut read) {
                (Some(pair), Some(read)) => read.push(pair),
                _ => read = None,
            }
        }
        read
    }

    fn shape() -> Shape {
        Shape::Map(K::WHAT, Box::new(T::shape()))
    }
}

/// A type that can be the key of a table.
pub trait FromKey: Sized {
    const WHAT: &'static str;
    fn from_key(text: &str) -> Option<Self>;
}

impl FromKey for String {
    const WHAT: &'static str = "a name";
    fn from_key(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl FromKey for HeaderName {
    const WHAT: &'static str = "a header name";
    fn from_key(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().parse().ok()
    }
}

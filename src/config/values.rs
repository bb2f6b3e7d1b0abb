//! Plain values: numbers, texts with `${NAME}` in them, addresses, names.

use super::diagnostic::{Diagnostic, nearest};
use super::interpolate::interpolate;
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

/// A whole number within the bounds of its key.
pub fn bounded<T: TryFrom<i64>>(node: &Node, cx: &Cx, min: i64, max: i64) -> Option<T> {
    integer(node, cx, min, max).and_then(|value| T::try_from(value).ok())
}

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
            let too_small = value.as_str().starts_with('-');
            match node.limits {
                // The rule of the key is narrower than the type.
                Some(limits) => limits.report_beyond(max, too_small, node, cx),
                None => {
                    let message = format!("`{}` must be between {min} and {max}", node.key());
                    node.invalid(cx, message, "out of range");
                }
            }
            None
        }
    }
}

macro_rules! integers {
    ($($type:ty: $min:expr, $max:expr;)*) => {$(
        impl Read for $type {
            fn read(node: &Node, cx: &Cx) -> Option<Self> {
                bounded(node, cx, $min, $max)
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
        text(raw, node, cx)
    }

    fn shape() -> Shape {
        Shape::Text("text", "")
    }
}

/// A text with its variables filled in, which is noted as the value of its key.
pub fn text(raw: &str, node: &Node, cx: &Cx) -> Option<String> {
    let filled = interpolate(raw, node, cx)?;
    let written = (!filled.held.is_empty()).then(|| format!("{raw:?}"));
    let held = written.is_some();
    cx.record_as(node, format!("{:?}", filled.text), written, filled.asked);
    match held {
        true => cx.judged(filled.text, node),
        false => Some(filled.text),
    }
}

/// Says which words are allowed.
pub fn not_a_word(node: &Node, cx: &Cx, wrong: &str, words: &[&str]) {
    let message = format!(
        "`{}` is not a value of `{}`",
        node.quoted(wrong),
        node.key()
    );
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
            format!("`{}` is not {what}", node.quoted(&text)),
            format!("expected {what}"),
        );
    }
    value
}

impl Read for SocketAddr {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let what = "an address and port, such as \"127.0.0.1:8080\" or \":8080\"";
        if let DeValue::Integer(port) = node.value {
            let meant = address_meant(port.as_str());
            let message = format!("`{}` must be {what}", node.key());
            let diagnostic = Diagnostic::error("TY0202", message).at(&node.spot(), "a number");
            cx.report(with_meant(diagnostic, node, &meant));
            return None;
        }
        let text = String::read(node, cx)?;
        let address = address(&text);
        if address.is_none() {
            let quoted = node.quoted(&text);
            let message = format!("`{quoted}` is not {what}");
            let label = format!("expected {what}");
            let diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), label);
            cx.report(with_meant(diagnostic, node, &address_meant(&quoted)));
        }
        address
    }

    fn shape() -> Shape {
        Shape::Text(
            "address and port, such as `127.0.0.1:8080` or `:8080`",
            "^.*:[0-9]+$",
        )
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) => port
            .parse()
            .ok()
            .map(|port: u16| ([0, 0, 0, 0], port).into()),
        None => text.parse().ok(),
    }
}

/// The addresses that were probably meant, the likeliest first.
fn address_meant(text: &str) -> Vec<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.trim_end_matches('/');
    let forms = match bare.rsplit_once(':') {
        _ if bare.parse::<u16>().is_ok() => vec![format!(":{bare}"), format!("0.0.0.0:{bare}")],
        Some(("*", port)) => vec![format!(":{port}")],
        Some(("localhost", port)) => vec![format!("127.0.0.1:{port}")],
        _ => vec![bare.to_owned()],
    };
    let sound = |form: &String| form != text && address(form).is_some();
    forms.into_iter().filter(sound).collect()
}

/// Adds what was probably meant, and puts the first of it in the place of the value.
fn with_meant(diagnostic: Diagnostic, node: &Node, meant: &[String]) -> Diagnostic {
    let quoted: Vec<String> = meant.iter().map(|meant| format!("{meant:?}")).collect();
    match quoted.first() {
        None => diagnostic,
        Some(first) => diagnostic
            .help(format!("write {}", quoted.join(" or ")))
            .patch(&node.spot(), first.as_str()),
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
        let text = String::read(node, cx)?;
        if text.is_empty() {
            node.invalid(cx, format!("`{}` names no file", node.key()), "empty");
            return None;
        }
        cx.path(node, &text)
    }

    fn shape() -> Shape {
        Shape::Text("path of a file, relative to the file it stands in", "")
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

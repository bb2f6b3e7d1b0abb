//! What a route asks of a request: host, path, method, headers, query.

use super::diagnostic::Diagnostic;
use super::foreign;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::values::parsed;
use crate::table;
use http::{HeaderName, Method};

/// Most segments of a path; bounds the depth of the index.
const SEGMENTS_MAX: usize = 32;

/// What a route asks of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub host: HostMatch,
    pub path: PathMatch,
    /// Empty: any method.
    pub methods: Vec<Method>,
    pub headers: Vec<(HeaderName, ValueMatch)>,
    pub query: Vec<(String, ValueMatch)>,
}

table! {
    /// Which requests; all conditions must hold. At least `host` or `path` must be given.
    pub struct Table {
        /// `api.example.com`, `*.example.com` (one or more labels), or `*`.
        "host" => host: Option<HostMatch> = none "any host",
        /// `/a/b`, `/a/*` (also `/a`), `/users/{id}`, or `{ regex = "…" }`.
        "path" => path: Option<PathMatch> = none "any path",
        /// Methods; GET includes HEAD.
        "methods" => methods: Vec<Method> = (Vec::new()) "any method",
        /// Header values.
        "headers" => headers: Vec<(HeaderName, ValueMatch)> = (Vec::new()) "{}",
        /// Query values.
        "query" => query: Vec<(String, ValueMatch)> = (Vec::new()) "{}",
    }
}

impl Read for Match {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let Table {
            host,
            path,
            methods,
            headers,
            query,
        } = Table::read(node, cx)?;
        if host.is_none() && path.is_none() {
            let message = format!("`{}` needs `host` or `path`", node.path);
            let diagnostic =
                Diagnostic::error("TY0205", message).at(&node.spot(), "neither is here");
            cx.report(diagnostic.help("to match everything, write `path = \"/*\"`"));
            return None;
        }
        let host = host.unwrap_or(HostMatch::Any);
        let path = path.unwrap_or(PathMatch::Prefix(Vec::new()));
        Some(Self {
            host,
            path,
            methods,
            headers,
            query,
        })
    }

    fn shape() -> Shape {
        Table::shape()
    }
}

/// Lower case, no port, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostMatch {
    Exact(String),
    /// `*.example.com`: one or more labels before `.example.com`; holds `example.com`.
    Wildcard(String),
    Any,
}

impl Read for HostMatch {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        if text == "*" {
            return Some(Self::Any);
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text.as_str(), false),
        };
        if let Some(problem) = host_problem(name) {
            let mended = mend_host(&text);
            let message = format!("`{}` is not a host to match: {problem}", node.quoted(&text));
            let mut diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), problem);
            if let Some(mended) = mended {
                let quoted = format!("{mended:?}");
                diagnostic = diagnostic
                    .help(format!("write {quoted}"))
                    .patch(&node.spot(), quoted);
            }
            cx.report(diagnostic);
            return None;
        }
        let name = name.to_owned();
        Some(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }

    fn shape() -> Shape {
        Shape::Text("`host`, `*.host` or `*`", "")
    }
}

fn host_problem(name: &str) -> Option<&'static str> {
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()) {
        return None;
    }
    if name.contains(':') {
        return Some("it has a port; the listener decides about ports");
    }
    if name.contains('*') {
        return Some("`*` may only stand for the first labels, as in `*.example.com`");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("hosts are matched in lower case");
    }
    if name.ends_with('.') {
        return Some("it ends in a dot");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let sound = name.len() <= 255
        && name.split('.').all(|label| !label.is_empty())
        && name.bytes().all(plain);
    (!sound).then_some("it has characters or labels that no host has")
}

fn mend_host(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let host = lower.split(':').next()?.trim_end_matches('.');
    let name = host.strip_prefix("*.").unwrap_or(host);
    host_problem(name).is_none().then(|| host.to_owned())
}

/// A path as matched: normalised, percent-decoded where that is safe.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// `/a/b`; the root and a trailing slash are an empty last segment.
    Exact(Vec<Segment>),
    /// `/a/{id}/b`: at least one parameter.
    Template(Vec<Segment>),
    /// `/a/*`: the segments before `*` (which may hold parameters); `/*` has none and matches all.
    Prefix(Vec<Segment>),
    /// `{ regex = "…" }`, anchored at both ends.
    Regex(String),
}

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    Literal(String),
    /// `{name}`: exactly one non-empty segment.
    Parameter(String),
}

impl Read for PathMatch {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.is_table() {
            let RegexTable { regex } = RegexTable::read(node, cx)?;
            return Some(Self::Regex(regex.0));
        }
        let text = String::read(node, cx)?;
        if let Some(form) = foreign::nginx_location(&text) {
            let message = format!("`{}` is not a path to match", node.quoted(&text));
            let label = "this form belongs to another product";
            let diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), label);
            let help = match form.starts_with('{') {
                true => format!("write {form}; it has to match the whole path"),
                false => format!("write {form}"),
            };
            cx.report(diagnostic.help(help).patch(&node.spot(), form));
            return None;
        }
        match parse_path(&text) {
            Ok(path) => Some(path),
            Err((problem, mended)) => {
                let message = format!("`{}` is not a path to match: {problem}", node.quoted(&text));
                let mut diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), problem);
                if let Some(mended) = mended {
                    let quoted = format!("{mended:?}");
                    diagnostic = diagnostic
                        .help(format!("write {quoted}"))
                        .patch(&node.spot(), quoted);
                }
                cx.report(diagnostic);
                None
            }
        }
    }

    fn shape() -> Shape {
        let text = Shape::Text("`/a/b`, `/a/*`, `/users/{id}` or `*`", "");
        Shape::Any(vec![text, RegexTable::shape()])
    }
}

table! {
    /// A regular expression that must match from end to end.
    pub struct RegexTable {
        /// In the syntax of Rust's `regex` crate; linear time, no look-around.
        "regex" => regex: Pattern = required,
    }
}

/// A regular expression that compiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(pub String);

impl Read for Pattern {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        match regex::bytes::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(1 << 20)
            .build()
        {
            Ok(_) => Some(Self(text)),
            Err(error) => {
                let why = error.to_string();
                let why = why
                    .lines()
                    .last()
                    .unwrap_or("")
                    .trim_start_matches("error: ")
                    .to_owned();
                node.invalid(
                    cx,
                    format!(
                        "`{}` is not a regular expression: {why}",
                        node.quoted(&text)
                    ),
                    why,
                );
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Text("regular expression", "")
    }
}

/// The problem, and the text that was probably meant.
type PathProblem = (&'static str, Option<String>);

fn parse_path(text: &str) -> Result<PathMatch, PathProblem> {
    if text == "*" {
        return Ok(PathMatch::Prefix(Vec::new()));
    }
    if !text.starts_with('/') {
        return Err(("it does not start with a slash", Some(format!("/{text}"))));
    }
    let (body, prefix) = match text.strip_suffix("/*") {
        Some(body) => (body, true),
        None => (text, false),
    };
    if body.contains('*') {
        let meant = format!(
            "{}/*",
            body.split('*').next().unwrap_or("").trim_end_matches('/')
        );
        return Err((
            "`*` may only be the last segment, as in `/a/*`",
            Some(meant),
        ));
    }
    if body.contains("//") || (prefix && body.ends_with('/')) {
        return Err(("it has an empty segment", Some(text.replace("//", "/"))));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut segments = Vec::new();
    for segment in body.split('/').skip(1) {
        let segment = parse_segment(segment)?;
        if let Segment::Parameter(name) = &segment {
            if names.contains(&name.as_str()) {
                return Err(("two of its parameters have the same name", None));
            }
            names.push(
                text.find(name.as_str())
                    .map_or("", |at| &text[at..at + name.len()]),
            );
        }
        segments.push(segment);
    }
    if segments.len() > SEGMENTS_MAX {
        return Err(("it has more than 32 segments", None));
    }
    Ok(match (prefix, names.is_empty()) {
        (true, _) => PathMatch::Prefix(segments),
        (false, true) => PathMatch::Exact(segments),
        (false, false) => PathMatch::Template(segments),
    })
}

fn parse_segment(segment: &str) -> Result<Segment, PathProblem> {
    if let Some(name) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        let sound =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return match sound {
            true => Ok(Segment::Parameter(name.to_owned())),
            false => Err(("a parameter needs a name of letters, digits and `_`", None)),
        };
    }
    if segment.contains(['{', '}']) {
        return Err((
            "a parameter must be a whole segment, as in `/users/{id}`",
            None,
        ));
    }
    if matches!(segment, "." | "..") {
        return Err((
            "it has a dot segment, which no request has after normalising",
            None,
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@%".contains(&byte);
    if !segment.bytes().all(plain) {
        return Err(("it has a character that must be percent-encoded", None));
    }
    if !triplets_are_normal(segment) {
        let problem = "it is percent-encoded where requests are not after normalising";
        return Err((problem, None));
    }
    Ok(Segment::Literal(segment.to_owned()))
}

/// Whether each `%XX` has upper-case digits and stands for a character that needs it.
fn triplets_are_normal(segment: &str) -> bool {
    segment.split('%').skip(1).all(|rest| {
        let Some(digits) = rest.get(..2) else {
            return false;
        };
        let upper = digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        let value = u8::from_str_radix(digits, 16).unwrap_or(0);
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        upper && !unreserved && value >= 0x20 && value != 0x7f
    })
}

/// One condition on a header, cookie or query value. A header with several values matches when
/// any of them does.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMatch {
    /// One of these, exactly.
    OneOf(Vec<String>),
    Prefix(String),
    /// Anchored at both ends.
    Regex(String),
    Present(bool),
}

impl Read for ValueMatch {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if !node.value.is_table() {
            return Vec::<String>::read(node, cx).map(Self::OneOf);
        }
        let ValueTable {
            prefix,
            regex,
            present,
        } = ValueTable::read(node, cx)?;
        match (prefix, regex, present) {
            (Some(prefix), None, None) => Some(Self::Prefix(prefix)),
            (None, Some(Pattern(regex)), None) => Some(Self::Regex(regex)),
            (None, None, Some(present)) => Some(Self::Present(present)),
            _ => {
                let message = format!(
                    "`{}` needs exactly one of prefix, regex, present",
                    node.key()
                );
                node.invalid(cx, message, "one of the three");
                None
            }
        }
    }

    fn shape() -> Shape {
        let texts = Shape::List(Box::new(Shape::Text("exact value", "")), true);
        Shape::Any(vec![texts, ValueTable::shape()])
    }
}

table! {
    /// A condition on a value: exactly one of these.
    pub struct ValueTable {
        /// How it starts.
        "prefix" => prefix: Option<String> = none,
        /// A regular expression that must match from end to end.
        "regex" => regex: Option<Pattern> = none,
        /// Whether it is there at all.
        "present" => present: Option<bool> = none,
    }
}

/// A host given in a test's request.
pub fn authority_of(node: &Node, cx: &Cx, url: &str) -> Option<(String, String, String)> {
    parsed(node, cx, "`METHOD http[s]://host/path`", |_| {
        let (scheme, rest) = url.split_once("://")?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        let sound = matches!(scheme, "http" | "https") && !host.is_empty();
        sound.then(|| (scheme.to_owned(), host.to_owned(), target))
    })
}

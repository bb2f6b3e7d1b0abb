//! `[telemetry.access_log]`: which requests leave a line, what it says, and where it goes.

use super::Name;
use super::diagnostic::{Diagnostic, nearest};
use super::field::Field;
use super::reader::{Cx, Kind, Node, Read, Reference};
use super::shape::Shape;
use super::units::Percent;
use crate::{table, words};
use std::fmt;
use std::path::PathBuf;

/// One line per request.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    pub format: Format,
    pub path: LogPath,
    pub skip: Vec<Name>,
    /// Empty: the usual ones.
    pub fields: Vec<Field>,
    pub template: Vec<Piece>,
    pub sample: Percent,
    pub redact: Vec<String>,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: Format::Json,
            path: LogPath::Stdout,
            skip: Vec::new(),
            fields: Vec::new(),
            template: Vec::new(),
            sample: ALL,
            redact: Vec::new(),
        }
    }
}

const ALL: Percent = Percent::ALL;

table! {
    /// One line per request.
    pub struct Table {
        /// The form of the lines.
        "format" => format: Format = (Format::Json) "\"json\"",
        /// `-` for standard output, `off`, a file (opened again on USR1) or named pipe (its reader
        /// may come later), or `syslog`, `syslog:/path/of/socket`, `syslog:host:port` (UDP).
        "path" => path: LogPath = (LogPath::Stdout) "\"-\"",
        /// Routes whose requests are not logged.
        "skip" => skip: Skipped = (Skipped(Vec::new())) "[]",
        /// What lines of `json` and `logfmt` tell, in this order; the others have no choice.
        "fields" => fields: Vec<Field> = (Vec::new()) "the usual ones",
        /// The line of `template`: text with `{field}` in it; `{{` and `}}` are braces.
        "template" => template: Option<Template> = none,
        /// Share of requests that leave a line. Refusals and answers of 500 and above always do.
        "sample" => sample: Percent = (ALL) "\"100%\"",
        /// Query parameters to mask besides those that sound secret anyway (token, key, code…):
        /// any whose name holds one of these words.
        "redact" => redact: Vec<String> = (Vec::new()) "[]",
    }
}

impl Read for AccessLog {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let template = table.template.map(|Template(pieces)| pieces);
        if !table.fields.is_empty() && !matches!(table.format, Format::Json | Format::Logfmt) {
            let message = "`fields` has a meaning with `json` and `logfmt` only";
            let key = node.table(cx).and_then(|table| table.key_spot("fields"));
            let spot = key.unwrap_or_else(|| node.spot());
            let diagnostic = Diagnostic::error("TY0203", message);
            let diagnostic = diagnostic.at(&spot, "another format is chosen");
            cx.report(
                diagnostic.help("choose `json` or `logfmt`; lines of `template` name their fields"),
            );
            return None;
        }
        match (table.format, &template) {
            (Format::Template, None) => {
                let message = "`format = \"template\"` needs `template`";
                let help = "template = \"{time} {method} {path} {status}\"";
                let diagnostic = Diagnostic::error("TY0205", message);
                cx.report(
                    diagnostic
                        .at(&node.spot(), "`template` is missing here")
                        .help(help),
                );
                return None;
            }
            (format, Some(_)) if format != Format::Template => {
                let message = "`template` has a meaning with `format = \"template\"` only";
                node.invalid(cx, message, "another format is chosen here");
                return None;
            }
            _ => {}
        }
        Some(Self {
            format: table.format,
            path: table.path,
            skip: table.skip.0,
            fields: table.fields,
            template: template.unwrap_or_default(),
            sample: table.sample,
            redact: table
                .redact
                .iter()
                .map(|word| word.to_ascii_lowercase())
                .collect(),
        })
    }

    fn shape() -> Shape {
        Table::shape()
    }
}

words! {
    /// The form of the lines.
    pub enum Format {
        /// One JSON object.
        "json" => Json,
        /// The common log format of web servers.
        "common" => Common,
        /// The same, with referer and user agent.
        "combined" => Combined,
        /// `key=value`, with quotes where they are needed.
        "logfmt" => Logfmt,
        /// As `template` says.
        "template" => Template,
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq)]
pub enum LogPath {
    /// `-`
    Stdout,
    File(PathBuf),
    Syslog(Syslog),
    /// `off`
    Off,
}

/// Where the system's log listens.
#[derive(Debug, Clone, PartialEq)]
pub enum Syslog {
    Socket(PathBuf),
    /// `host:port`
    Udp(String),
}

/// As the file says it.
impl fmt::Display for LogPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => out.write_str("-"),
            Self::Off => out.write_str("off"),
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Syslog(Syslog::Socket(path)) => write!(out, "syslog:{}", path.display()),
            Self::Syslog(Syslog::Udp(address)) => write!(out, "syslog:{address}"),
        }
    }
}

impl Read for LogPath {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        Some(match text.as_str() {
            "-" => Self::Stdout,
            "off" => Self::Off,
            "syslog" => Self::Syslog(Syslog::Socket("/dev/log".into())),
            "" => {
                node.invalid(cx, "the log path is empty", "expected `-`, `off` or a file");
                return None;
            }
            path => match path.strip_prefix("syslog:") {
                None => Self::File(cx.path(node, path)?),
                Some(socket) if socket.starts_with('/') => {
                    Self::Syslog(Syslog::Socket(socket.into()))
                }
                Some(address) if is_address(address) => Self::Syslog(Syslog::Udp(address.into())),
                Some(_) => {
                    let message = format!("`{}` names no system log", node.quoted(path));
                    let label = "expected `syslog`, `syslog:/path` or `syslog:host:port`";
                    node.invalid(cx, message, label);
                    return None;
                }
            },
        })
    }

    fn shape() -> Shape {
        Shape::Text("`-`, `off`, a file, or `syslog[:/path|:host:port]`", "")
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(String),
    Field(Field),
}

/// A line with holes.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(pub Vec<Piece>);

impl Read for Template {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        let report = |message: String, help: String| {
            let diagnostic = Diagnostic::error("TY0203", message);
            cx.report(diagnostic.at(&node.spot(), "not a template").help(help));
            None
        };
        let twice =
            |brace: &str| format!("a brace that is meant is written twice: `{brace}{brace}`");
        match pieces(&text) {
            Ok(pieces) => Some(Self(pieces)),
            Err(Wrong::Unclosed) => report("a `{` is not closed".to_owned(), twice("{")),
            Err(Wrong::Unopened) => report("a `}` closes nothing".to_owned(), twice("}")),
            Err(Wrong::Unknown(name)) => {
                let names = Field::ALL.iter().map(|field| field.name());
                let help = match nearest(&name, names.clone()) {
                    Some(meant) => format!("did you mean `{{{meant}}}`?"),
                    None => format!("fields: {}", names.collect::<Vec<_>>().join(", ")),
                };
                report(format!("`{name}` is not a field"), help)
            }
        }
    }

    fn shape() -> Shape {
        Shape::Text("text with `{field}` in it", "")
    }
}

enum Wrong {
    Unclosed,
    Unopened,
    Unknown(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(&closed(before)?);
        if let Some(after) = after.strip_prefix('{') {
            plain.push('{');
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}').ok_or(Wrong::Unclosed)?;
        let field = Field::named(name).ok_or_else(|| Wrong::Unknown(name.to_owned()))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Field(field));
        rest = after;
    }
    plain.push_str(&closed(rest)?);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Text without an opening brace: closing ones are written twice.
fn closed(text: &str) -> Result<String, Wrong> {
    let parts: Vec<&str> = text.split("}}").collect();
    match parts.iter().any(|part| part.contains('}')) {
        true => Err(Wrong::Unopened),
        false => Ok(parts.join("}")),
    }
}

/// Names of routes.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped(pub Vec<Name>);

impl Read for Skipped {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let mut names = Vec::new();
        for node in node.elements(cx, true) {
            let name = String::read(&node, cx)?;
            let from = "`access_log.skip`".to_owned();
            cx.refer(Reference {
                kind: Kind::Route,
                name: name.clone(),
                spot: node.spot(),
                from,
            });
            names.push(name.into());
        }
        Some(Self(names))
    }

    fn shape() -> Shape {
        Shape::List(Box::new(Shape::Text("name of a route", "")), true)
    }
}

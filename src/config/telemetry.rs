//! `[telemetry]`: what is written about traffic.

use super::Name;
use super::policy::Traces;
use super::reader::{Cx, Kind, Later, Node, Read, Reference};
use super::shape::Shape;
use crate::{table, words};
use std::path::PathBuf;

table! {
    /// What is written about traffic.
    pub struct Telemetry {
        /// The name this gateway has in traces and metrics.
        "service_name" => service_name: String = ("tyrian".to_owned()) "\"tyrian\"",
        /// Traces.
        "traces" => traces: Later<Traces> = (Later::default()),
        /// One line per request.
        "access_log" => access_log: AccessLog = (AccessLog::default()) "{ format = \"json\", path = \"-\" }",
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            service_name: "tyrian".to_owned(),
            traces: Later::default(),
            access_log: AccessLog::default(),
        }
    }
}

table! {
    /// One line per request.
    pub struct AccessLog {
        /// The form of the lines.
        "format" => format: Format = (Format::Json) "\"json\"",
        /// `-` for standard output, `off`, or a file (opened again on USR1).
        "path" => path: LogPath = (LogPath::Stdout) "\"-\"",
        /// Routes whose requests are not logged.
        "skip" => skip: Skipped = (Skipped(Vec::new())) "[]",
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: Format::Json,
            path: LogPath::Stdout,
            skip: Skipped(Vec::new()),
        }
    }
}

words! {
    /// The form of the lines.
    pub enum Format {
        /// One JSON object.
        "json" => Json,
        later { "common", "combined", "logfmt", "template" }
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq)]
pub enum LogPath {
    /// `-`
    Stdout,
    File(PathBuf),
    /// `off`
    Off,
}

impl Read for LogPath {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        Some(match String::read(node, cx)?.as_str() {
            "-" => Self::Stdout,
            "off" => Self::Off,
            "" => {
                node.invalid(cx, "the log path is empty", "expected `-`, `off` or a file");
                return None;
            }
            path => Self::File(path.into()),
        })
    }

    fn shape() -> Shape {
        Shape::Text("`-`, `off` or a file", "")
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

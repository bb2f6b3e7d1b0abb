//! `compress`: which answers leave smaller than they came.

use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::units::Bytes;
use crate::{table, words};
use std::sync::Arc;

/// `true` for the defaults, `false` for none, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Compress(pub Option<Arc<Table>>);

impl Read for Compress {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        if node.value.as_bool().is_some() {
            let on = bool::read(node, cx)?;
            return Some(Self(on.then(|| Arc::new(Table::default()))));
        }
        Table::read(node, cx).map(|table| Self(Some(Arc::new(table))))
    }

    fn shape() -> Shape {
        Shape::Any(vec![Shape::Bool, Table::shape()])
    }
}

table! {
    /// Which answers are compressed.
    pub struct Table {
        /// Content types; `text/*` stands for all of a kind.
        "types" => types: Vec<String> = (default_types()) "texts, JSON, JavaScript, XML, SVG, WebAssembly",
        /// Smallest body, where its length is known.
        "min" => min: Bytes = (Bytes(1024)) "\"1KiB\"",
        /// Codings, the most wanted first; the client's own preference counts before.
        "codings" => codings: Vec<Coding> = (vec![Coding::Zstd, Coding::Br, Coding::Gzip]) "[\"zstd\", \"br\", \"gzip\"]",
    }
}

words! {
    /// A content coding.
    pub enum Coding {
        /// RFC 8878.
        "zstd" => Zstd,
        /// RFC 7932.
        "br" => Br,
        /// RFC 1952.
        "gzip" => Gzip,
    }
}

impl Coding {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

fn default_types() -> Vec<String> {
    [
        "text/*",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/problem+json",
        "image/svg+xml",
    ]
    .map(str::to_owned)
    .into()
}

impl Default for Table {
    fn default() -> Self {
        Self {
            types: default_types(),
            min: Bytes(1024),
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        }
    }
}

//! What a line of the access log looks like, and which exchanges leave one.

use super::exchange::{Exchange, Value};
use super::json::escape;
use super::redact;
use crate::config::access_log::{AccessLog, Format, Piece};
use crate::config::field::Field;
use crate::config::hidden::is_hidden;
use crate::config::units::Percent;
use std::io::Write;

/// The form of lines, as a configuration chose it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    format: Format,
    fields: Vec<Field>,
    template: Vec<Piece>,
    sample: Percent,
    redact: Vec<String>,
    /// Whether user agent or referer are told.
    agents: bool,
}

impl Lines {
    pub fn new(config: &AccessLog) -> Self {
        let usual = || Field::ALL.iter().copied().filter(|field| field.is_usual());
        let fields: Vec<Field> = match config.fields.as_slice() {
            [] => usual().collect(),
            chosen => chosen.to_vec(),
        };
        let agents = |field: &Field| matches!(field, Field::UserAgent | Field::Referer);
        let piece = |piece: &Piece| matches!(piece, Piece::Field(field) if agents(field));
        Self {
            format: config.format,
            agents: match config.format {
                Format::Json | Format::Logfmt => fields.iter().any(agents),
                Format::Common => false,
                Format::Combined => true,
                Format::Template => config.template.iter().any(piece),
            },
            fields,
            template: config.template.clone(),
            sample: config.sample,
            redact: config.redact.clone(),
        }
    }

    /// Whether this exchange leaves a line. What went wrong always does.
    pub fn wants(&self, exchange: &Exchange) -> bool {
        self.sample == Percent::ALL
            || !exchange.reason.is_empty()
            || exchange.status >= 500
            || fastrand::u16(..Percent::ALL.0) < self.sample.0
    }

    pub fn redact(&self) -> &[String] {
        &self.redact
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub fn tells_agents(&self) -> bool {
        self.agents
    }

    /// Appends the line with its line feed.
    pub fn write(&self, out: &mut Vec<u8>, exchange: &Exchange) {
        match self.format {
            Format::Json => exchange.write_json(out, self.fields.iter().copied(), &self.redact),
            Format::Logfmt => self.logfmt(out, exchange),
            Format::Common => self.common(out, exchange),
            Format::Combined => {
                self.common(out, exchange);
                for field in [Field::Referer, Field::UserAgent] {
                    out.extend_from_slice(b" \"");
                    self.plain(out, exchange, field);
                    out.push(b'"');
                }
            }
            Format::Template => {
                for piece in &self.template {
                    match piece {
                        Piece::Text(text) => safe(out, text),
                        Piece::Field(field) => self.plain(out, exchange, *field),
                    }
                }
            }
        }
        out.push(b'\n');
    }

    /// A field without quotes around it; `-` when it is not known.
    fn plain(&self, out: &mut Vec<u8>, exchange: &Exchange, field: Field) {
        if field == Field::Claims {
            let claims = exchange
                .claims
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let claims: Vec<String> = claims.collect();
            return match claims.is_empty() {
                true => out.push(b'-'),
                false => safe(out, &claims.join(",")),
            };
        }
        match exchange.value(field) {
            Value::Absent => out.push(b'-'),
            Value::Text(text) => safe(out, text),
            Value::Query(query) => safe(out, &redact::query(query, &self.redact)),
            Value::Url(url) => safe(out, &redact::url(url, &self.redact)),
            other => other.write(out, &self.redact),
        }
    }

    fn logfmt(&self, out: &mut Vec<u8>, exchange: &Exchange) {
        let mut first = true;
        let mut pair = |out: &mut Vec<u8>, name: &str, value: Value| {
            if !std::mem::take(&mut first) {
                out.push(b' ');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let mut text = Vec::new();
            value.write(&mut text, &self.redact);
            quoted(out, &String::from_utf8_lossy(&text));
        };
        for field in &self.fields {
            if *field == Field::Claims {
                for (name, value) in exchange.claims {
                    pair(out, name, Value::Text(value));
                }
            }
            match exchange.value(*field) {
                Value::Absent => {}
                value => pair(out, field.name(), value),
            }
        }
    }

    /// `client - who [time] "GET /path HTTP/1.1" status bytes`
    fn common(&self, out: &mut Vec<u8>, exchange: &Exchange) {
        let _ = write!(out, "{} - ", exchange.client);
        match exchange.claims.first() {
            // Readers take the line apart by white space, some by that of Unicode.
            Some((_, who)) if !who.is_empty() => {
                let blank = |of: char| of.is_whitespace() && !is_hidden(of);
                safe(out, &who.replace(blank, "_"));
            }
            _ => out.push(b'-'),
        }
        let time = exchange.time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let _ = write!(out, " [{time}] \"");
        self.plain(out, exchange, Field::Method);
        out.push(b' ');
        self.plain(out, exchange, Field::Path);
        out.push(b' ');
        self.plain(out, exchange, Field::Protocol);
        let _ = write!(out, "\" {} ", exchange.status);
        match exchange.bytes_out {
            0 => out.push(b'-'),
            bytes => {
                let _ = write!(out, "{bytes}");
            }
        }
    }
}

/// Text that can neither end its line nor its quotes: whoever writes paths writes no log lines.
fn safe(out: &mut Vec<u8>, text: &str) {
    escape(out, text);
}

/// A value of logfmt, in quotes if it needs them.
fn quoted(out: &mut Vec<u8>, text: &str) {
    let bare = |byte: u8| byte > b' ' && !matches!(byte, b'"' | b'=' | b'\\' | 0x7f);
    let seen = || text.is_ascii() || !text.contains(is_hidden);
    match !text.is_empty() && text.bytes().all(bare) && seen() {
        true => out.extend_from_slice(text.as_bytes()),
        false => {
            out.push(b'"');
            escape(out, text);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;

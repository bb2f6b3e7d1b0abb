//! What a line of the access log looks like, and which exchanges leave one.

use super::exchange::{Exchange, Value};
use super::json::escape;
use super::redact;
use crate::config::access_log::{AccessLog, Format, Piece};
use crate::config::field::Field;
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
            Some((_, who)) => safe(out, &who.replace(' ', "_")),
            None => out.push(b'-'),
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
    match !text.is_empty() && text.bytes().all(bare) {
        true => out.extend_from_slice(text.as_bytes()),
        false => {
            out.push(b'"');
            escape(out, text);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;
    use crate::config::access_log::{AccessLog, Format, Piece};
    use crate::config::field::Field;
    use crate::config::units::Percent;
    use crate::telemetry::exchange::Exchange;
    use crate::telemetry::exchange::tests::served;

    fn line(config: &AccessLog, exchange: &Exchange) -> String {
        let mut out = Vec::new();
        Lines::new(config).write(&mut out, exchange);
        String::from_utf8(out).unwrap()
    }

    fn of(format: Format) -> AccessLog {
        AccessLog {
            format,
            ..AccessLog::default()
        }
    }

    #[test]
    fn each_format_is_what_its_readers_expect() {
        let claims = [("jwt.sub".to_owned(), "ada".to_owned())];
        let seen = Exchange {
            claims: &claims,
            ..served()
        };
        insta::assert_snapshot!(line(&of(Format::Common), &seen), @r#"192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /cart/7 HTTP/1.1" 200 42"#);
        insta::assert_snapshot!(line(&of(Format::Combined), &seen), @r#"192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /cart/7 HTTP/1.1" 200 42 "-" "curl/8 \"x\"""#);
        insta::assert_snapshot!(line(&of(Format::Logfmt), &seen), @"time=2026-11-21T10:00:00Z status=200 method=GET host=a.example path=/cart/7 client=192.0.2.7 generation=0 route=cart jwt.sub=ada service=shop version=v2 tries=1 color_requested=canary color_served=canary request_id=r-1 bytes_in=0 bytes_out=42 duration_ms=12.345 upstream_ms=12.000");
        let template = AccessLog {
            template: vec![
                Piece::Field(Field::Method),
                Piece::Text(" ".into()),
                Piece::Field(Field::Path),
                Piece::Text(" → ".into()),
                Piece::Field(Field::Reason),
            ],
            ..of(Format::Template)
        };
        assert_eq!(line(&template, &seen), "GET /cart/7 → -\n");
    }

    #[test]
    fn chosen_fields_come_in_their_order_and_named_parameters_are_masked() {
        let chosen = AccessLog {
            fields: vec![Field::Query, Field::Status],
            redact: vec!["page".to_owned()],
            ..of(Format::Json)
        };
        let text = line(&chosen, &served());
        assert_eq!(text, "{\"query\":\"page=***&token=***\",\"status\":200}\n");
        let logfmt = AccessLog {
            format: Format::Logfmt,
            ..chosen
        };
        assert_eq!(
            line(&logfmt, &served()),
            "query=\"page=***&token=***\" status=200\n"
        );
    }

    #[test]
    fn a_referer_hides_what_a_query_hides() {
        let seen = Exchange {
            referer: "https://a.example/?token=hush&email=ada",
            ..served()
        };
        for format in [Format::Combined, Format::Json, Format::Logfmt] {
            let config = AccessLog {
                fields: vec![Field::Referer],
                redact: vec!["email".to_owned()],
                ..of(format)
            };
            let text = line(&config, &seen);
            let masked = "https://a.example/?token=***&email=***";
            assert!(text.contains(masked) && !text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn no_value_can_add_a_line() {
        let forged = Exchange {
            path: "/\n192.0.2.1 - - \"GET",
            user_agent: "a\r\nb\" \u{1b}[31m",
            referer: "\"\n?token=x",
            ..served()
        };
        for format in [
            Format::Json,
            Format::Common,
            Format::Combined,
            Format::Logfmt,
        ] {
            let text = line(&of(format), &forged);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
        }
    }

    #[test]
    fn a_sample_keeps_what_went_wrong() {
        let none = Lines::new(&AccessLog {
            sample: Percent(0),
            ..AccessLog::default()
        });
        assert!(!none.wants(&served()));
        let refused = Exchange {
            reason: "rate_limited",
            status: 429,
            ..served()
        };
        let broken = Exchange {
            status: 502,
            ..served()
        };
        assert!(none.wants(&refused) && none.wants(&broken));
        let some = Lines::new(&AccessLog {
            sample: Percent(2_500),
            ..AccessLog::default()
        });
        let kept = (0..4_000).filter(|_| some.wants(&served())).count();
        assert!((700..1_300).contains(&kept), "{kept}");
    }
}

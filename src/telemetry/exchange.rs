//! The facts of one exchange that has ended. The access log and the tap tell the same ones, in
//! their own forms; nothing is copied until somebody wants to hear it.

use super::{json, redact, stamp};
use crate::config::field::Field;
use jiff::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// One exchange, borrowed from whoever served it. What is not known is empty.
#[derive(Debug, Clone)]
pub struct Exchange<'e> {
    pub time: Timestamp,
    pub status: u16,
    pub method: &'e str,
    pub host: &'e str,
    pub path: &'e str,
    pub query: &'e str,
    pub protocol: &'static str,
    pub scheme: &'static str,
    pub client: IpAddr,
    pub user_agent: &'e str,
    pub referer: &'e str,
    pub listener: &'e str,
    pub client_cert: &'e str,
    pub generation: u64,
    pub route: &'e str,
    /// Names and values.
    pub claims: &'e [(String, String)],
    pub service: &'e str,
    pub version: &'e str,
    pub endpoint: &'e str,
    pub tries: u8,
    /// How a call of gRPC has ended.
    pub grpc_status: Option<u8>,
    pub color_requested: &'e str,
    pub color_served: &'e str,
    pub color_reason: &'static str,
    pub reason: &'static str,
    pub detail: &'e str,
    pub request_id: &'e str,
    pub trace_id: &'e str,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
    pub upstream: Duration,
    /// What the decision has looked at, as an object of JSON: what deciding again needs.
    pub inputs: &'e [u8],
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// Not known, or it does not apply.
    Absent,
    Text(&'v str),
    /// A name from the configuration or a word of ours, which nothing escapes.
    Word(&'v str),
    Number(u64),
    Span(Duration),
    Time(Timestamp),
    Address(IpAddr),
    /// A query string, to be masked.
    Query(&'v str),
    /// A URL whose query is to be masked.
    Url(&'v str),
}

impl<'e> Exchange<'e> {
    /// Nothing known but when, by whom, and how it ended.
    pub fn new(client: IpAddr, status: u16) -> Self {
        Self {
            time: Timestamp::now(),
            status,
            method: "",
            host: "",
            path: "",
            query: "",
            protocol: "",
            scheme: "",
            client,
            user_agent: "",
            referer: "",
            listener: "",
            client_cert: "",
            generation: 0,
            route: "",
            claims: &[],
            service: "",
            version: "",
            endpoint: "",
            tries: 0,
            grpc_status: None,
            color_requested: "",
            color_served: "",
            color_reason: "",
            reason: "",
            detail: "",
            request_id: "",
            trace_id: "",
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            upstream: Duration::ZERO,
            inputs: &[],
        }
    }

    /// What this field holds. Claims are several; see [`Exchange::claims`].
    pub fn value(&self, field: Field) -> Value<'e> {
        let text = |text: &'e str| match text {
            "" => Value::Absent,
            text => Value::Text(text),
        };
        let word = |word: &'e str| match word {
            "" => Value::Absent,
            word => Value::Word(word),
        };
        // A request that never became one has neither sizes nor durations.
        let known = |value: Value<'e>| match self.method {
            "" => Value::Absent,
            _ => value,
        };
        match field {
            Field::Time => Value::Time(self.time),
            Field::Status => Value::Number(self.status.into()),
            Field::GrpcStatus => match self.grpc_status {
                Some(status) => Value::Number(status.into()),
                None => Value::Absent,
            },
            Field::Method => text(self.method),
            Field::Host => known(Value::Text(self.host)),
            Field::Path => known(Value::Text(self.path)),
            Field::Query if self.query.is_empty() => Value::Absent,
            Field::Query => Value::Query(self.query),
            Field::Protocol => word(self.protocol),
            Field::Scheme => word(self.scheme),
            Field::Client => Value::Address(self.client),
            Field::UserAgent => text(self.user_agent),
            Field::Referer if self.referer.is_empty() => Value::Absent,
            Field::Referer => Value::Url(self.referer),
            Field::Listener => word(self.listener),
            Field::ClientCert => text(self.client_cert),
            Field::Generation => Value::Number(self.generation),
            Field::Route => word(self.route),
            Field::Claims => Value::Absent,
            Field::Service => word(self.service),
            Field::Version => word(self.version),
            Field::Endpoint => text(self.endpoint),
            Field::Tries if self.service.is_empty() => Value::Absent,
            Field::Tries => Value::Number(self.tries.into()),
            Field::ColorRequested => word(self.color_requested),
            Field::ColorServed => word(self.color_served),
            Field::ColorReason => word(self.color_reason),
            Field::Reason => word(self.reason),
            Field::Detail => text(self.detail),
            Field::RequestId => text(self.request_id),
            Field::TraceId => word(self.trace_id),
            Field::BytesIn => known(Value::Number(self.bytes_in)),
            Field::BytesOut => known(Value::Number(self.bytes_out)),
            Field::Duration => known(Value::Span(self.duration)),
            Field::Upstream => known(Value::Span(self.upstream)),
            Field::Gateway => known(Value::Span(self.duration.saturating_sub(self.upstream))),
        }
    }

    /// Appends one JSON object with these fields, without a line feed; `redact` are words that
    /// mask query parameters.
    pub fn write_json(
        &self,
        out: &mut Vec<u8>,
        fields: impl IntoIterator<Item = Field>,
        redact: &[String],
    ) {
        // Every field brings its comma; the first one's gives its place to the brace.
        let start = out.len();
        for field in fields {
            if field == Field::Claims {
                for (name, value) in self.claims {
                    out.push(b',');
                    json::name(out, name);
                    json::text(out, value);
                }
                continue;
            }
            let value = self.value(field);
            if value == Value::Absent {
                continue;
            }
            let quoted = !matches!(value, Value::Number(_) | Value::Span(_));
            json::head(out, field.head(), quoted);
            match value {
                Value::Text(text) => json::escape(out, text),
                Value::Query(query) => json::escape(out, &redact::query(query, redact)),
                Value::Url(url) => json::escape(out, &redact::url(url, redact)),
                plain => plain.write(out, redact),
            }
            if quoted {
                out.push(b'"');
            }
        }
        if let [b'{', inputs @ ..] = self.inputs {
            out.push(b',');
            out.extend_from_slice(inputs);
        }
        match out.get_mut(start) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
    }
}

impl Value<'_> {
    /// Appends the value as it is, unquoted.
    pub fn write(self, out: &mut Vec<u8>, redact: &[String]) {
        match self {
            Self::Absent => {}
            Self::Text(text) | Self::Word(text) => json::plain(out, text),
            Self::Number(number) => json::number(out, number),
            Self::Span(span) => {
                let us = span.as_micros() as u64;
                json::number(out, us / 1000);
                json::fraction(out, 1000 + us % 1000);
            }
            Self::Time(time) => stamp::write(out, time),
            Self::Address(address) => json::address(out, address),
            Self::Query(query) => json::plain(out, &redact::query(query, redact)),
            Self::Url(url) => json::plain(out, &redact::url(url, redact)),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::Exchange;
    use crate::config::field::Field;
    use std::time::Duration;

    /// A request that was served.
    pub fn served() -> Exchange<'static> {
        Exchange {
            method: "GET",
            host: "a.example",
            path: "/cart/7",
            query: "page=2&token=hush",
            protocol: "HTTP/1.1",
            user_agent: "curl/8 \"x\"",
            route: "cart",
            service: "shop",
            version: "v2",
            tries: 1,
            color_requested: "canary",
            color_served: "canary",
            request_id: "r-1",
            bytes_out: 42,
            duration: Duration::from_micros(12_345),
            upstream: Duration::from_millis(12),
            time: "2026-11-21T10:00:00Z".parse().unwrap(),
            ..Exchange::new("192.0.2.7".parse().unwrap(), 200)
        }
    }

    fn json(exchange: &Exchange, fields: &[Field]) -> serde_json::Value {
        let mut out = Vec::new();
        exchange.write_json(&mut out, fields.iter().copied(), &[]);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_is_json_whatever_the_values_hold() {
        let claims = [("jwt.sub".to_owned(), "a\"b".to_owned())];
        let odd = Exchange {
            path: "/a\"b\\c\nd\u{1}é",
            claims: &claims,
            ..served()
        };
        let line = json(&odd, Field::ALL);
        assert_eq!(line["path"], "/a\"b\\c\nd\u{1}é");
        assert_eq!(line["jwt.sub"], "a\"b");
        assert_eq!(line["status"], 200);
        assert_eq!(line["duration_ms"], 12.345);
        assert_eq!(line["gateway_ms"], 0.345);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_secrets_are_masked() {
        let line = json(&served(), Field::ALL);
        assert_eq!(line["query"], "page=2&token=***");
        assert!(line.get("reason").is_none() && line.get("trace_id").is_none());
        let never_a_request = Exchange {
            reason: "bad_request",
            ..Exchange::new("192.0.2.7".parse().unwrap(), 400)
        };
        let line = json(&never_a_request, Field::ALL);
        assert!(line.get("path").is_none() && line.get("duration_ms").is_none());
    }
}

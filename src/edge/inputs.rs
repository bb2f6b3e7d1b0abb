//! Writes what a decision has looked at, for the access log and for the memory of recent requests.

use super::admit;
use super::context::Journey;
use crate::routing::{carried, claims, conditions::query_pairs, path};
use crate::telemetry::json::{number_field, object_field, string_field};
use pingora::http::RequestHeader;

/// Appends the fields: only what is there, and only what the configuration asks about. A user's
/// key is not among them, but its bucket is.
pub fn fields(out: &mut Vec<u8>, head: &RequestHeader, journey: &Journey) {
    let inputs = &journey.snapshot.inputs;
    if journey.client.trusted {
        number_field(out, "trusted", true);
    }
    let vouched = journey.vouched.and_then(|id| journey.snapshot.color(id));
    if let Some(color) = vouched {
        string_field(out, "signed", &color.name);
    }
    if !inputs.query.is_empty() {
        let (_, query) = path::split(head.raw_path());
        let kept: Vec<&str> = query_pairs(std::str::from_utf8(query).unwrap_or(""))
            .filter(|(key, _)| {
                inputs
                    .query
                    .iter()
                    .any(|name| name.as_bytes() == key.as_ref())
            })
            .map(|(_, pair)| pair)
            .collect();
        if !kept.is_empty() {
            string_field(out, "matched_query", &kept.join("&"));
        }
    }
    let baggage = inputs.baggage.iter().find_map(|key| {
        let value = carried::baggage(&head.headers, key)?;
        Some(format!("{key}={}", percent(&value)))
    });
    let headers = inputs.headers.iter().flat_map(|name| {
        let values = head.headers.get_all(name).iter();
        values.map(move |value| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
    });
    let baggage = baggage.map(|member| ("baggage", member.into()));
    object_field(out, "headers", headers.chain(baggage));
    let cookies = inputs.cookies.iter().filter_map(|name| {
        let value = carried::cookie(&head.headers, name)?;
        Some((name.as_str(), String::from_utf8_lossy(value)))
    });
    object_field(out, "cookies", cookies);
    if let Some(identity) = &journey.identity {
        let known = inputs.claims.iter().flat_map(|name| {
            let values = claims::values(&identity.claims, name);
            values.into_iter().map(move |value| (name.as_str(), value))
        });
        object_field(out, "claims", known);
    }
    if journey.snapshot.table.has_shares()
        && let Some(bucket) = admit::bucket(head, journey)
    {
        number_field(out, "bucket", bucket);
    }
}

fn percent(value: &[u8]) -> String {
    percent_encoding::percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

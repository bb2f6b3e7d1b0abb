//! Writes the inputs of a decision, for the access log and for the memory of recent requests.
//! Secrets are masked in a way that lets the same request be decided again ([`redact::mask`]).

use super::admission;
use super::context::RequestContext;
use crate::routing::inputs::Input;
use crate::routing::{carried, claims, conditions::query_pairs, query_value};
use crate::telemetry::json::{number_field, object_field, string_field};
use crate::telemetry::redact;
use http::request::Parts;
use std::borrow::Cow;

/// Appends the fields: only what is there, and only what the configuration asks about. A user's
/// key is not among them, but its bucket is.
pub fn fields(out: &mut Vec<u8>, head: &Parts, context: &RequestContext) {
    let inputs = &context.snapshot.inputs;
    if context.client.trusted {
        number_field(out, "trusted", true);
    }
    let vouched = context.vouched.and_then(|id| context.snapshot.color(id));
    if let Some(color) = vouched {
        string_field(out, "signed", &color.name);
    }
    let vouched = vouched.is_some();
    if !inputs.query.is_empty() {
        matched_query(out, head, &inputs.query, vouched);
    }
    let baggage = inputs.baggage.iter().find_map(|input| {
        let value = carried::baggage(&head.headers, &input.name)?;
        let value = shown(input, &value, vouched)?.into_owned();
        Some(format!("{}={}", input.name, percent(&value)))
    });
    let headers = inputs.headers.iter().flat_map(|input| {
        let values = head.headers.get_all(&input.name).iter();
        values.filter_map(move |value| {
            let value = shown(input, value.as_bytes(), vouched)?;
            Some((input.name.as_str(), value))
        })
    });
    let baggage = baggage.map(|member| ("baggage", member.into()));
    object_field(out, "headers", headers.chain(baggage));
    let cookies = inputs.cookies.iter().filter_map(|input| {
        let value = carried::cookie(&head.headers, &input.name)?;
        Some((input.name.as_str(), shown(input, value, vouched)?))
    });
    object_field(out, "cookies", cookies);
    if let Some(identity) = &context.identity {
        let known = inputs.claims.iter().flat_map(|name| {
            let values = claims::values(&identity.claims, name);
            values.into_iter().map(move |value| (name.as_str(), value))
        });
        object_field(out, "claims", known);
    }
    if context.snapshot.table.has_shares()
        && let Some(bucket) = admission::bucket(head, context)
    {
        number_field(out, "bucket", bucket);
    }
}

/// What may be written of a value. `None`: nothing, since it is a token, and the color that it
/// brought says all that it had to say.
fn shown<'v, N: AsRef<str>>(
    input: &Input<N>,
    value: &'v [u8],
    vouched: bool,
) -> Option<Cow<'v, str>> {
    let text = String::from_utf8_lossy(value);
    let token = redact::is_token(&text);
    match (token && input.source && vouched, token || input.secret) {
        (true, _) => None,
        (false, true) => Some(redact::mask(input.name.as_ref(), value).into()),
        (false, false) => Some(text),
    }
}

fn matched_query(out: &mut Vec<u8>, head: &Parts, inputs: &[Input<String>], vouched: bool) {
    let query = head.uri.query().unwrap_or_default();
    let pairs = query_pairs(query).filter_map(|(key, pair)| {
        let mut known = inputs.iter();
        let input = known.find(|input| input.name.as_bytes() == key.as_ref())?;
        let value = query_value(pair, &input.name).unwrap_or_default();
        Some(match shown(input, &value, vouched)? {
            Cow::Owned(masked) if masked.starts_with(redact::MASK) => {
                format!("{}={masked}", percent(&input.name)).into()
            }
            _ => Cow::Borrowed(pair),
        })
    });
    let pairs: Vec<Cow<str>> = pairs.collect();
    if !pairs.is_empty() {
        string_field(out, "matched_query", &pairs.join("&"));
    }
}

fn percent(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

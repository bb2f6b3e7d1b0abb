//! Removes, masks and sets fields of JSON bodies, on the way up and on the way back.
//!
//! A body is held back until it is whole, so there is a largest size. What cannot be read must not
//! slip by unmasked: it is refused, or breaks the answer off.

mod mask;

use mask::Mask;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tyrian_plugin::bytes::Bytes;
use tyrian_plugin::http::{StatusCode, header};
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::serde_json::{self, Value};
use tyrian_plugin::{Body, Flow, Phases, Plugin, Request, Response, State};

/// What becomes of bodies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    /// Of requests.
    pub request: Changes,
    /// Of answers.
    pub response: Changes,
    /// Largest JSON body, in bytes: of requests, larger ones are refused with 413; answers that are
    /// larger break off.
    #[serde(default = "default_max")]
    pub max: usize,
}

/// What is done to a body, in this order. A path names fields from the top, `*` is every field or
/// element: `user.email`, `items.*.price`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Changes {
    /// Only these, and what is in them, stay. Empty: all.
    pub keep: Vec<String>,
    /// These go.
    pub remove: Vec<String>,
    /// The values of these become `"***"`, where they are there.
    pub mask: Vec<String>,
    /// These get this value; objects on the way are made, `*` is not allowed.
    pub set: BTreeMap<String, Value>,
}

fn default_max() -> usize {
    64 << 10
}

/// The plugin.
#[derive(Debug)]
pub struct BodyTransform {
    request: Option<Mask>,
    response: Option<Mask>,
    max: usize,
}

/// A request and its answer, as far as they have come.
#[derive(Default)]
struct Held {
    /// Whether the request's body is JSON, and what of it has come.
    request: (bool, Vec<u8>),
    /// The same of the answer's; its head may only look at what is kept.
    response: (AtomicBool, Vec<u8>),
}

impl Plugin for BodyTransform {
    type Config = Config;

    const NAME: &'static str = "body-transform";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "removes, masks and sets fields of JSON bodies";
    const PHASES: Phases = Phases::REQUEST_HEAD
        .and(Phases::REQUEST_BODY)
        .and(Phases::RESPONSE_HEAD)
        .and(Phases::RESPONSE_BODY);
    // What is checked is what the client has sent.
    const AFTER: &'static [&'static str] = &["request-validate"];

    fn new(config: Config) -> Result<Self, String> {
        let request = Mask::new(&config.request)?;
        let response = Mask::new(&config.response)?;
        match (&request, &response) {
            (None, None) => Err("nothing is changed: say `request` or `response`".to_owned()),
            _ => Ok(Self {
                request,
                response,
                max: config.max,
            }),
        }
    }

    fn request_head(&self, request: &mut Request, state: &mut State) -> Flow {
        state.set(Held {
            request: (is_json(request.fields.get("content-type")), Vec::new()),
            ..Held::default()
        });
        if self.request.is_some() {
            request.fields.remove(header::CONTENT_LENGTH);
        }
        if self.response.is_some() {
            // A packed answer cannot be read.
            request.fields.remove(header::ACCEPT_ENCODING);
        }
        Flow::Continue
    }

    fn request_body(&self, body: &mut Body, state: &mut State) -> Flow {
        let (Some(mask), Some(held)) = (&self.request, state.get_mut::<Held>()) else {
            return Flow::Continue;
        };
        let (json, bytes) = &mut held.request;
        if !*json {
            return Flow::Continue;
        }
        match self.pass(mask, body, bytes) {
            Ok(()) => Flow::Continue,
            Err(Trouble::TooLarge) => {
                let detail = "the body is larger than can be transformed";
                Flow::problem(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            Err(Trouble::NoJson) => {
                Flow::problem(StatusCode::UNPROCESSABLE_ENTITY, "the body is no JSON")
            }
        }
    }

    fn response_head(&self, response: &mut Response, state: &State) -> Flow {
        if self.response.is_some() && is_json(response.fields.get("content-type")) {
            if let Some(held) = state.get::<Held>() {
                held.response.0.store(true, Relaxed);
            }
            response.fields.remove(header::CONTENT_LENGTH);
            response.fields.remove(header::ETAG);
        }
        Flow::Continue
    }

    fn response_body(&self, body: &mut Body, state: &mut State) -> Flow {
        let (Some(mask), Some(held)) = (&self.response, state.get_mut::<Held>()) else {
            return Flow::Continue;
        };
        let (json, bytes) = &mut held.response;
        if !*json.get_mut() {
            return Flow::Continue;
        }
        match self.pass(mask, body, bytes) {
            Ok(()) => Flow::Continue,
            Err(Trouble::TooLarge) => Flow::Fail("the answer is larger than `max`".to_owned()),
            Err(Trouble::NoJson) => Flow::Fail("the answer is no JSON".to_owned()),
        }
    }
}

/// Why a body cannot be changed.
enum Trouble {
    TooLarge,
    NoJson,
}

impl BodyTransform {
    /// Holds chunks back until the last one, and lets the changed whole go on.
    fn pass(&self, mask: &Mask, body: &mut Body, held: &mut Vec<u8>) -> Result<(), Trouble> {
        if let Some(chunk) = body.chunk.take() {
            if held.len() + chunk.len() > self.max {
                return Err(Trouble::TooLarge);
            }
            held.extend_from_slice(&chunk);
        }
        if !body.end || held.is_empty() {
            return Ok(());
        }
        let whole = std::mem::take(held);
        let mut value: Value = serde_json::from_slice(&whole).map_err(|_| Trouble::NoJson)?;
        mask.apply(&mut value);
        *body.chunk = Some(Bytes::from(value.to_string()));
        Ok(())
    }
}

/// `application/json`, and whatever ends in `+json`.
fn is_json(kind: Option<&str>) -> bool {
    let kind = kind.unwrap_or_default().split(';').next();
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::BodyTransform;
    use tyrian_plugin::Flow;
    use tyrian_plugin::serde_json::{Value, json};
    use tyrian_plugin::testing::Bench;

    fn bench(config: &Value, kind: &str) -> Bench {
        let bench = Bench::new::<BodyTransform>(config).unwrap();
        let mut bench = bench
            .header("content-type", kind)
            .header("accept-encoding", "gzip");
        assert!(matches!(bench.request(), Flow::Continue));
        bench
    }

    fn sent(config: &Value, kind: &str, chunks: &[&str]) -> Result<String, u16> {
        let sent = bench(config, kind).request_body(chunks);
        match sent {
            Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
            Err(Flow::Answer(answer)) => Err(answer.status.as_u16()),
            Err(_) => Err(0),
        }
    }

    #[test]
    fn json_is_changed_and_nothing_else_is() {
        let config =
            json!({ "max": 60, "request": { "remove": ["a"], "set": { "via.edge": true } } });
        let chunks = ["{\"a\":1,", "\"b\":2}"];
        let changed = Ok("{\"b\":2,\"via\":{\"edge\":true}}".to_owned());
        assert_eq!(
            sent(&config, "application/json; charset=utf-8", &chunks),
            changed
        );
        assert_eq!(sent(&config, "application/problem+json", &chunks), changed);
        assert_eq!(sent(&config, "text/plain", &chunks), Ok(chunks.concat()));
        assert_eq!(sent(&config, "application/json", &["{\"a\""]), Err(422));
        let large = "x".repeat(40);
        assert_eq!(
            sent(&config, "application/json", &[&large, &large]),
            Err(413)
        );
        assert_eq!(
            sent(&config, "text/plain", &[&large, &large]).map(|sent| sent.len()),
            Ok(80)
        );
        assert_eq!(sent(&config, "application/json", &[""]), Ok(String::new()));
    }

    #[test]
    fn answers_are_asked_for_unpacked_where_they_are_changed() {
        let answers = json!({ "response": { "mask": ["token"] } });
        assert!(
            !bench(&answers, "text/plain")
                .headers
                .contains_key("accept-encoding")
        );
        let requests = json!({ "request": { "mask": ["token"] } });
        assert!(
            bench(&requests, "text/plain")
                .headers
                .contains_key("accept-encoding")
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for config in [
            json!({}),
            json!({ "request": { "remove": ["a..b"] } }),
            json!({ "request": { "set": { "a.*": 1 } } }),
            json!({ "request": { "drop": ["a"] } }),
        ] {
            assert!(Bench::new::<BodyTransform>(&config).is_err(), "{config}");
        }
    }
}

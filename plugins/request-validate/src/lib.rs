//! Checks JSON bodies by a JSON Schema before they reach an upstream.
//!
//! A body is held back until it is whole and sound, so there is a largest size.

use jsonschema::Validator;
use tyrian_plugin::bytes::Bytes;
use tyrian_plugin::http::StatusCode;
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::serde_json::{self, Value};
use tyrian_plugin::{Body, Flow, Phases, Plugin, State};

/// What bodies must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    /// The JSON Schema.
    pub schema: Value,
    /// Largest body, in bytes; larger ones are refused with 413.
    #[serde(default = "default_max")]
    pub max: usize,
}

fn default_max() -> usize {
    64 << 10
}

/// The plugin.
#[derive(Debug)]
pub struct RequestValidate {
    validator: Validator,
    max: usize,
}

/// A body as far as it has come.
#[derive(Default)]
struct Held(Vec<u8>);

impl Plugin for RequestValidate {
    type Config = Config;

    const NAME: &'static str = "request-validate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "checks JSON bodies by a schema";
    const PHASES: Phases = Phases::REQUEST_BODY;

    fn new(config: Config) -> Result<Self, String> {
        let validator = jsonschema::validator_for(&config.schema);
        let validator = validator.map_err(|error| format!("`schema`: {error}"))?;
        Ok(Self {
            validator,
            max: config.max,
        })
    }

    fn request_body(&self, body: &mut Body, state: &mut State) -> Flow {
        let Some(Held(held)) = state.entry() else {
            return Flow::Fail("the body was lost".to_owned());
        };
        if let Some(chunk) = body.chunk.take() {
            if held.len() + chunk.len() > self.max {
                let detail = "the body is larger than is checked";
                return Flow::problem(StatusCode::PAYLOAD_TOO_LARGE, detail);
            }
            held.extend_from_slice(&chunk);
        }
        if !body.end {
            return Flow::Continue;
        }
        let whole = Bytes::from(std::mem::take(held));
        let value: Value = match serde_json::from_slice(&whole) {
            Ok(value) => value,
            Err(error) => return unsound(&format!("the body is no JSON: {error}")),
        };
        if let Err(error) = self.validator.validate(&value) {
            return unsound(&format!("at `{}`: {error}", error.instance_path));
        }
        *body.chunk = Some(whole);
        Flow::Continue
    }
}

/// Longest detail of an answer: values that clients send come back in it.
const TEXT_MAX: usize = 500;

fn unsound(why: &str) -> Flow {
    let detail: String = why.chars().take(TEXT_MAX).collect();
    Flow::problem(StatusCode::UNPROCESSABLE_ENTITY, &detail)
}

#[cfg(test)]
mod tests {
    use super::RequestValidate;
    use tyrian_plugin::Flow;
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    fn status(chunks: &[&str]) -> Result<Vec<u8>, u16> {
        let config = json!({ "max": 40, "schema": {
            "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } },
        } });
        let mut bench = Bench::new::<RequestValidate>(&config).unwrap();
        bench.request_body(chunks).map_err(|flow| match flow {
            Flow::Answer(answer) => answer.status.as_u16(),
            _ => 0,
        })
    }

    #[test]
    fn a_sound_body_goes_on_whole_and_another_does_not() {
        assert_eq!(status(&["{\"id\"", ": 7}"]).unwrap(), b"{\"id\": 7}");
        assert_eq!(status(&["{\"id\": \"x\"}"]), Err(422));
        assert_eq!(status(&["{\"id\""]), Err(422));
        assert_eq!(status(&[&"x".repeat(30), &"y".repeat(30)]), Err(413));
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        let config = json!({ "schema": { "type": "nonsense" } });
        assert!(Bench::new::<RequestValidate>(&config).is_err());
    }
}

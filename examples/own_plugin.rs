//! A gateway with a plugin of one's own: what `tyrian plugin new` ends in. The tests run this one,
//! since it also shows what becomes of a plugin that misbehaves.
#![allow(clippy::panic, reason = "it misbehaves when it is told to")]

use std::process::ExitCode;
use std::time::Duration;
use tyrian::Gateway;
use tyrian_plugin::http::{HeaderName, HeaderValue};
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Body, Flow, Log, Phases, Plugin, Request, Response, State};

/// What stands in `config = { … }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
struct Config {
    /// Named in what it writes.
    name: String,
}

/// Does what requests tell it to.
#[derive(Debug)]
struct Puppet {
    name: String,
}

/// What it keeps of a request.
struct Shouts(usize);

/// A wait that comes to nothing.
async fn panics() -> fn(&mut Request<'_>, &mut State) -> Flow {
    tokio::task::yield_now().await;
    std::panic::panic_any("told to")
}

impl Plugin for Puppet {
    type Config = Config;

    const NAME: &'static str = "puppet";
    const VERSION: &'static str = "0.1.0";
    const ABOUT: &'static str = "does what requests tell it to";
    const PHASES: Phases = Phases::REQUEST_HEAD
        .and(Phases::RESPONSE_HEAD)
        .and(Phases::RESPONSE_BODY)
        .and(Phases::LOG);
    const AFTER: &'static [&'static str] = &["headers"];

    fn new(config: Config) -> Result<Self, String> {
        match config.name.is_empty() {
            true => Err("`name` must not be empty".to_owned()),
            false => Ok(Self { name: config.name }),
        }
    }

    fn start(&self) {
        note(&format!("{} starts", self.name));
    }

    fn stop(&self) {
        note(&format!("{} stops", self.name));
    }

    fn request_head(&self, request: &mut Request, state: &mut State) -> Flow {
        match request.fields.get("x-do") {
            Some("panic") => std::panic::panic_any("told to"),
            Some("fail") => return Flow::Fail("told to".to_owned()),
            Some("wait") => {
                return Flow::wait(async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    |request: &mut Request<'_>, _: &mut State| {
                        let waited = HeaderValue::from_static("20ms");
                        request
                            .fields
                            .set(HeaderName::from_static("x-waited"), waited);
                        Flow::Continue
                    }
                });
            }
            Some("panic later") => return Flow::wait(panics()),
            Some("recolor") => request.recolor("canary"),
            Some("shout") => state.set(Shouts(0)),
            _ => {}
        }
        Flow::Continue
    }

    fn response_head(&self, response: &mut Response, state: &State) -> Flow {
        if state.get::<Shouts>().is_some() {
            response.fields.remove(HeaderName::from_static("server"));
        }
        Flow::Continue
    }

    fn response_body(&self, body: &mut Body, state: &mut State) -> Flow {
        if let (Some(Shouts(bytes)), Some(chunk)) = (state.get_mut(), body.chunk.as_mut()) {
            *bytes += chunk.len();
            *chunk = chunk.to_ascii_uppercase().into();
        }
        Flow::Continue
    }

    fn log(&self, log: &mut Log, state: &mut State) {
        if let Some(Shouts(bytes)) = state.get() {
            log.fields.push(("shouted", bytes.to_string()));
        }
    }
}

/// Where `PUPPET_NOTES` says.
fn note(line: &str) {
    use std::io::Write;
    let path = std::env::var_os("PUPPET_NOTES").unwrap_or_default();
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

fn main() -> ExitCode {
    Gateway::builder().plugin::<Puppet>().main()
}

//! Delays and fails a share of requests: for game days, to see what clients make of it.

use std::time::Duration;
use tyrian_plugin::http::StatusCode;
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Flow, Phases, Plugin, Request, State};

/// What goes wrong, and how often.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    pub delay: Option<Delay>,
    pub abort: Option<Abort>,
}

/// Requests that wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Delay {
    /// How long, in milliseconds.
    pub ms: u64,
    /// Of requests, 0 to 100.
    pub percent: f64,
}

/// Requests that are answered with an error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Abort {
    /// 400 to 599.
    pub status: u16,
    /// Of requests, 0 to 100.
    pub percent: f64,
}

/// The plugin.
#[derive(Debug)]
pub struct InjectFault {
    delay: Option<(Duration, f64)>,
    abort: Option<(StatusCode, f64)>,
}

/// Longest delay.
const DELAY_MAX: u64 = 60_000;

impl Plugin for InjectFault {
    type Config = Config;

    const NAME: &'static str = "inject-fault";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "delays and fails a share of requests, for game days";
    const PHASES: Phases = Phases::REQUEST_HEAD;

    fn new(config: Config) -> Result<Self, String> {
        let delay = match config.delay {
            Some(delay) if delay.ms > DELAY_MAX => {
                return Err(format!("`delay.ms` is at most {DELAY_MAX}"));
            }
            Some(delay) => Some((Duration::from_millis(delay.ms), share(delay.percent)?)),
            None => None,
        };
        let abort = match config.abort {
            Some(abort) => {
                let status = StatusCode::from_u16(abort.status).ok();
                let status = status.filter(|_| (400..600).contains(&abort.status));
                let status = status.ok_or("`abort.status` is 400 to 599")?;
                Some((status, share(abort.percent)?))
            }
            None => None,
        };
        match (&delay, &abort) {
            (None, None) => Err("nothing goes wrong: say `delay` or `abort`".to_owned()),
            _ => Ok(Self { delay, abort }),
        }
    }

    fn request_head(&self, _: &mut Request, _: &mut State) -> Flow {
        if let Some((status, share)) = self.abort
            && fastrand::f64() < share
        {
            return Flow::answer(status, "injected\n");
        }
        match self.delay {
            Some((delay, share)) if fastrand::f64() < share => Flow::Delay(delay),
            _ => Flow::Continue,
        }
    }
}

fn share(percent: f64) -> Result<f64, String> {
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent / 100.0),
        false => Err("`percent` is 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::InjectFault;
    use tyrian_plugin::Flow;
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    #[test]
    fn so_many_go_wrong() {
        let config = json!({
            "abort": { "status": 503, "percent": 50 }, "delay": { "ms": 5, "percent": 100 },
        });
        let mut bench = Bench::new::<InjectFault>(&config).unwrap();
        let aborted = (0..1000).filter(|_| match bench.request() {
            Flow::Answer(answer) => answer.status.as_u16() == 503,
            flow => !matches!(flow, Flow::Delay(_)),
        });
        assert!((350..650).contains(&aborted.count()));
    }

    #[test]
    fn nonsense_is_refused() {
        for config in [
            json!({}),
            json!({ "abort": { "status": 200, "percent": 1 } }),
            json!({ "abort": { "status": 503, "percent": 101 } }),
            json!({ "delay": { "ms": 90_000, "percent": 1 } }),
        ] {
            assert!(Bench::new::<InjectFault>(&config).is_err(), "{config}");
        }
    }
}

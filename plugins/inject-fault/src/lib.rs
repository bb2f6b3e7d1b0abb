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
    /// How long: `250ms` or `2s`, at most a minute.
    #[schemars(regex(pattern = r"^[0-9]+(ms|s)$|\$\{"))]
    pub time: String,
    /// Of requests: `5%`.
    #[schemars(regex(pattern = r"^[0-9.]+%$|\$\{"))]
    pub percent: String,
}

/// Requests that are answered with an error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Abort {
    /// 400 to 599.
    pub status: u16,
    /// Of requests: `5%`.
    #[schemars(regex(pattern = r"^[0-9.]+%$|\$\{"))]
    pub percent: String,
}

/// The plugin.
#[derive(Debug)]
pub struct InjectFault {
    delay: Option<(Duration, f64)>,
    abort: Option<(StatusCode, f64)>,
}

/// Longest delay.
const DELAY_MAX: Duration = Duration::from_mins(1);

impl Plugin for InjectFault {
    type Config = Config;

    const NAME: &'static str = "inject-fault";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "delays and fails a share of requests, for game days";
    const PHASES: Phases = Phases::REQUEST_HEAD;

    fn new(config: Config) -> Result<Self, String> {
        let delay = match config.delay {
            Some(delay) => Some((time(&delay.time)?, share("delay", &delay.percent)?)),
            None => None,
        };
        let abort = match config.abort {
            Some(abort) => {
                let status = StatusCode::from_u16(abort.status).ok();
                let status = status.filter(|_| (400..600).contains(&abort.status));
                let status = status.ok_or("`abort.status` is 400 to 599")?;
                Some((status, share("abort", &abort.percent)?))
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

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(""), 1000),
    };
    let time = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit));
    let time = time.map(Duration::from_millis);
    time.filter(|time| *time <= DELAY_MAX)
        .ok_or_else(|| format!("`delay.time`: `{text}` is not \"250ms\" or \"2s\", at most 60s"))
}

fn share(of: &str, text: &str) -> Result<f64, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    let share = percent.map(|percent: f64| percent / 100.0);
    share.ok_or_else(|| format!("`{of}.percent`: `{text}` is not \"0%\" to \"100%\""))
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
            "abort": { "status": 503, "percent": "50%" },
            "delay": { "time": "5ms", "percent": "100%" },
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
            json!({ "abort": { "status": 200, "percent": "1%" } }),
            json!({ "abort": { "status": 503, "percent": "101%" } }),
            json!({ "abort": { "status": 503, "percent": 1 } }),
            json!({ "delay": { "time": "5", "percent": "1%" } }),
            json!({ "delay": { "time": "90s", "percent": "1%" } }),
            json!({ "delay": { "time": "18446744073709551615s", "percent": "1%" } }),
        ] {
            assert!(Bench::new::<InjectFault>(&config).is_err(), "{config}");
        }
    }
}

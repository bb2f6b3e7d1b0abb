//! A plugin of the Tyrian gateway: greets by a header.

use tyrian_plugin::http::{HeaderName, HeaderValue};
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Flow, Phases, Plugin, Request, State};

/// What stands in `config = { … }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    /// What the upstream reads in `x-greeting`.
    #[serde(default = "hello")]
    pub greeting: String,
}

fn hello() -> String {
    "hello".to_owned()
}

/// The plugin.
#[derive(Debug)]
pub struct Template {
    greeting: HeaderValue,
}

impl Plugin for Template {
    type Config = Config;

    const NAME: &'static str = "template";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "greets by a header";
    const PHASES: Phases = Phases::REQUEST_HEAD;

    fn new(config: Config) -> Result<Self, String> {
        let greeting = HeaderValue::try_from(config.greeting);
        let greeting = greeting.map_err(|_| "`greeting` is no header value".to_owned())?;
        Ok(Self { greeting })
    }

    fn request_head(&self, request: &mut Request, _: &mut State) -> Flow {
        let name = HeaderName::from_static("x-greeting");
        request.fields.set(name, self.greeting.clone());
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    #[test]
    fn it_greets() {
        let mut bench = Bench::new::<Template>(&json!({ "greeting": "hi" })).unwrap();
        bench.request();
        assert_eq!(bench.headers["x-greeting"], "hi");
    }
}

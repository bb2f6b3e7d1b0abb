//! Lets requests in by the client's network.

use ipnet::IpNet;
use std::net::IpAddr;
use tyrian_plugin::http::StatusCode;
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Flow, Phases, Plugin, Request, State};

/// Who may come in. A network that is denied stays out, whatever is allowed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    /// Networks that may; empty: all that are not denied.
    pub allow: Vec<String>,
    /// Networks that may not.
    pub deny: Vec<String>,
}

/// The plugin.
#[derive(Debug)]
pub struct IpFilter {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Plugin for IpFilter {
    type Config = Config;

    const NAME: &'static str = "ip-filter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "lets in by the client's network";
    const PHASES: Phases = Phases::EARLY;

    fn new(config: Config) -> Result<Self, String> {
        if config.allow.is_empty() && config.deny.is_empty() {
            return Err("it filters nothing: name networks in `allow` or `deny`".to_owned());
        }
        Ok(Self {
            allow: networks(&config.allow)?,
            deny: networks(&config.deny)?,
        })
    }

    fn early(&self, request: &mut Request, _: &mut State) -> Flow {
        let client = request.client.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&client));
        let allowed = self.allow.is_empty() || within(&self.allow);
        match allowed && !within(&self.deny) {
            true => Flow::Continue,
            false => Flow::problem(StatusCode::FORBIDDEN, "this address may not ask"),
        }
    }
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, String> {
    let parsed = texts.iter().map(|text| {
        let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse().ok().or_else(single);
        network.ok_or_else(|| format!("`{text}` is no network, such as 10.0.0.0/8"))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::IpFilter;
    use tyrian_plugin::Flow;
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    #[test]
    fn a_denied_network_stays_out_whatever_is_allowed() {
        let config = json!({ "allow": ["10.0.0.0/8", "2001:db8::1"], "deny": ["10.9.0.0/16"] });
        for (client, lets_in) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::1", true),
            ("10.9.2.3", false),
            ("192.0.2.1", false),
        ] {
            let mut bench = Bench::new::<IpFilter>(&config).unwrap();
            bench.client = client.parse().unwrap();
            assert_eq!(
                matches!(bench.request(), Flow::Continue),
                lets_in,
                "{client}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for config in [json!({}), json!({ "allow": ["10.0.0.0/99"] })] {
            assert!(Bench::new::<IpFilter>(&config).is_err());
        }
    }
}

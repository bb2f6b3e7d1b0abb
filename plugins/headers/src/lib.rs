//! Sets, adds and removes header fields of requests and answers.
//!
//! Values may hold `{client}`, `{host}`, `{path}`, `{route}`, `{color}`, `{method}` and
//! `{header:NAME}`; `{{` is a brace. What a request lacks is empty.

use std::collections::BTreeMap;
use tyrian_plugin::http::{HeaderName, HeaderValue};
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Fields, Flow, Phases, Plugin, Request, Response, State};

/// What becomes of requests and of answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    pub request: Rules,
    pub response: Rules,
}

/// Removed first, then set, then added.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Rules {
    /// Fields that are taken away.
    pub remove: Vec<String>,
    /// Fields that have this value and no other.
    pub set: BTreeMap<String, String>,
    /// Fields that have this value too.
    pub add: BTreeMap<String, String>,
}

/// The plugin.
#[derive(Debug)]
pub struct Headers {
    request: Compiled,
    response: Compiled,
}

#[derive(Debug, Default)]
struct Compiled {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Template)>,
    add: Vec<(HeaderName, Template)>,
}

/// A value with holes.
#[derive(Debug)]
struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Client,
    Host,
    Path,
    Route,
    Color,
    Method,
    Header(HeaderName),
}

/// Fields that say how a message is framed, or who it is for.
const NEVER: [&str; 4] = ["content-length", "transfer-encoding", "connection", "host"];

impl Plugin for Headers {
    type Config = Config;

    const NAME: &'static str = "headers";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "sets, adds and removes header fields";
    const PHASES: Phases = Phases::REQUEST_HEAD.and(Phases::RESPONSE_HEAD);

    fn new(config: Config) -> Result<Self, String> {
        Ok(Self {
            request: Compiled::new(&config.request, true)?,
            response: Compiled::new(&config.response, false)?,
        })
    }

    fn request_head(&self, request: &mut Request, _: &mut State) -> Flow {
        let value = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Client => request.client.to_string(),
            Part::Host => request.host.to_owned(),
            Part::Path => request.path.to_owned(),
            Part::Route => request.route.to_owned(),
            Part::Color => request.color.unwrap_or("").to_owned(),
            Part::Method => request.method.to_string(),
            Part::Header(name) => request.fields.get(name.as_str()).unwrap_or("").to_owned(),
        };
        let changes = self.request.changes(value);
        apply(&mut request.fields, &self.request.remove, changes);
        Flow::Continue
    }

    fn response_head(&self, response: &mut Response, _: &State) -> Flow {
        let value = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Route => response.route.to_owned(),
            Part::Color => response.color.unwrap_or("").to_owned(),
            Part::Header(name) => response.fields.get(name.as_str()).unwrap_or("").to_owned(),
            Part::Client | Part::Host | Part::Path | Part::Method => String::new(),
        };
        let changes = self.response.changes(value);
        apply(&mut response.fields, &self.response.remove, changes);
        Flow::Continue
    }
}

/// Values ready to be put in: whether they replace, the name, the value.
type Changes = Vec<(bool, HeaderName, HeaderValue)>;

impl Compiled {
    fn new(rules: &Rules, request: bool) -> Result<Self, String> {
        let values = |values: &BTreeMap<String, String>| {
            let parsed = values.iter().map(|(field, value)| {
                let template = Template::parse(value, request);
                Ok((
                    name(field)?,
                    template.map_err(|why| format!("`{field}`: {why}"))?,
                ))
            });
            parsed.collect::<Result<Vec<_>, String>>()
        };
        Ok(Self {
            remove: rules
                .remove
                .iter()
                .map(|field| name(field))
                .collect::<Result<_, _>>()?,
            set: values(&rules.set)?,
            add: values(&rules.add)?,
        })
    }

    /// A value that would not be one (a client's line feed, say) is left out.
    fn changes(&self, value: impl Fn(&Part) -> String) -> Changes {
        let set = self
            .set
            .iter()
            .map(|(name, template)| (true, name, template));
        let add = self
            .add
            .iter()
            .map(|(name, template)| (false, name, template));
        let filled = set
            .chain(add)
            .filter_map(|(replaces, name, Template(parts))| {
                let text: String = parts.iter().map(&value).collect();
                Some((replaces, name.clone(), HeaderValue::try_from(text).ok()?))
            });
        filled.collect()
    }
}

fn apply(fields: &mut Fields, remove: &[HeaderName], changes: Changes) {
    for name in remove {
        fields.remove(name.clone());
    }
    for (replaces, name, value) in changes {
        match replaces {
            true => fields.set(name, value),
            false => fields.add(name, value),
        }
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text
        .to_ascii_lowercase()
        .parse()
        .map_err(|_| format!("`{text}` is no header name"))?;
    match NEVER.contains(&name.as_str()) {
        true => Err(format!("`{text}` is not a plugin's to change")),
        false => Ok(name),
    }
}

impl Template {
    fn parse(text: &str, request: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let (inside, after) = after.split_once('}').ok_or("a `{` without its `}`")?;
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::parse(inside, request)?);
            rest = after;
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }
}

impl Part {
    fn parse(word: &str, request: bool) -> Result<Self, String> {
        let of_request = match word {
            "client" => Some(Self::Client),
            "host" => Some(Self::Host),
            "path" => Some(Self::Path),
            "method" => Some(Self::Method),
            _ => None,
        };
        match (of_request, word, word.split_once(':')) {
            (Some(part), ..) if request => Ok(part),
            (Some(_), ..) => Err(format!("`{{{word}}}` is known of requests only")),
            (None, "route", _) => Ok(Self::Route),
            (None, "color", _) => Ok(Self::Color),
            (None, _, Some(("header", field))) => field
                .to_ascii_lowercase()
                .parse()
                .map(Self::Header)
                .map_err(|_| format!("`{field}` is no header name")),
            _ => Err(format!("`{{{word}}}` is not known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;
    use tyrian_plugin::http::{HeaderMap, StatusCode};
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let config = json!({ "request": {
            "remove": ["x-old"],
            "set": { "x-region": "north", "x-who": "{client} {method} {header:x-user}" },
            "add": { "x-region": "{{south}" },
        } });
        let mut bench = Bench::new::<Headers>(&config).unwrap();
        bench = bench.header("x-old", "1").header("x-user", "alice");
        bench.request();
        assert!(!bench.headers.contains_key("x-old"));
        assert_eq!(bench.headers["x-who"], "127.0.0.1 GET alice");
        let regions: Vec<_> = bench.headers.get_all("x-region").iter().collect();
        assert_eq!(regions, ["north", "{south}"]);
    }

    #[test]
    fn answers_have_rules_of_their_own() {
        let config = json!({ "response": { "set": { "x-frame-options": "DENY" } } });
        let mut bench = Bench::new::<Headers>(&config).unwrap();
        let headers = bench.response(StatusCode::OK, HeaderMap::new());
        assert_eq!(headers["x-frame-options"], "DENY");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, why) in [
            (
                json!({ "request": { "set": { "content-length": "1" } } }),
                "not a plugin's",
            ),
            (
                json!({ "request": { "set": { "x": "{nobody}" } } }),
                "not known",
            ),
            (
                json!({ "request": { "set": { "x": "{open" } } }),
                "without its",
            ),
            (
                json!({ "response": { "set": { "x": "{client}" } } }),
                "requests only",
            ),
            (json!({ "request": { "sett": {} } }), "unknown field `sett`"),
        ] {
            let bad = Bench::new::<Headers>(&config).err().unwrap();
            assert!(bad.message.contains(why), "{}", bad.message);
        }
    }
}

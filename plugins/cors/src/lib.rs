//! Cross-origin requests (WHATWG Fetch): answers preflights, and tells browsers who may read.
//!
//! Runs before anybody is asked for credentials, since preflights carry none.

mod origin;

use origin::{Known, Origin};
use tyrian_plugin::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use tyrian_plugin::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Answer, Flow, Phases, Plugin, Request, Response, State};

/// Who may ask from where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "tyrian_plugin::schemars")]
pub struct Config {
    /// Origins such as `https://app.example`, `https://*.app.example:8443`, or `*`. Scheme, host and
    /// port are compared; a port that is not said is the scheme's.
    pub origins: Vec<String>,
    /// Methods beyond GET, HEAD and POST.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Request fields beyond the safe ones.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Answer fields that scripts may read.
    #[serde(default)]
    pub expose: Vec<String>,
    /// Whether cookies and the like may come along; not with `*`.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers remember a preflight, in seconds.
    #[serde(default = "ten_minutes")]
    pub max_age: u32,
}

fn ten_minutes() -> u32 {
    600
}

/// The plugin.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    known: Vec<Known>,
    methods: HeaderValue,
    headers: HeaderValue,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
    credentials: bool,
}

/// The origin that may read the answer.
struct Allowed(HeaderValue);

static ORIGIN: HeaderName = tyrian_plugin::http::header::ORIGIN;
const ASKED_METHOD: &str = "access-control-request-method";

impl Plugin for Cors {
    type Config = Config;

    const NAME: &'static str = "cors";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "answers preflights, and tells browsers who may read";
    const PHASES: Phases = Phases::EARLY.and(Phases::RESPONSE_HEAD);

    fn new(config: Config) -> Result<Self, String> {
        let any = config.origins.iter().any(|origin| origin == "*");
        if any && config.credentials {
            return Err("`credentials` needs origins by name, not `*`".to_owned());
        }
        let list = |words: &[&str], more: &[String]| {
            let mut all: Vec<&str> = words.to_vec();
            all.extend(more.iter().map(String::as_str));
            let text = all.join(", ");
            HeaderValue::try_from(text).map_err(|_| "a name is malformed".to_owned())
        };
        let named = config.origins.iter().filter(|origin| *origin != "*");
        let known = named
            .map(|origin| Known::parse(origin))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            any,
            known,
            methods: list(&["GET", "HEAD", "POST"], &config.methods)?,
            headers: list(&[], &config.headers)?,
            expose: match config.expose.is_empty() {
                true => None,
                false => Some(list(&[], &config.expose)?),
            },
            max_age: config.max_age.into(),
            credentials: config.credentials,
        })
    }

    fn early(&self, request: &mut Request, state: &mut State) -> Flow {
        let Some(origin) = request.fields.all().get(&ORIGIN) else {
            return Flow::Continue;
        };
        let allowed = self.allows(origin);
        let preflight =
            request.method == Method::OPTIONS && request.fields.get(ASKED_METHOD).is_some();
        if allowed {
            state.set(Allowed(origin.clone()));
        }
        match preflight {
            false => Flow::Continue,
            true if !allowed => Flow::answer(StatusCode::FORBIDDEN, "this origin may not ask\n"),
            true => Flow::Answer(Box::new(Answer {
                status: StatusCode::NO_CONTENT,
                headers: vec![
                    (ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
                    (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
                    (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
                ],
                ..Answer::default()
            })),
        }
    }

    fn response_head(&self, response: &mut Response, state: &State) -> Flow {
        let fields = &mut response.fields;
        // Answers differ by origin, so caches must know, also where there was none.
        if !self.any && !varies(fields.all()) {
            fields.add(VARY, HeaderValue::from_static("origin"));
        }
        let Some(Allowed(origin)) = state.get() else {
            // The list decides, not an upstream that lets every origin in.
            fields.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
            fields.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
            return Flow::Continue;
        };
        let origin = match self.any {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        fields.set(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            fields.set(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if let Some(expose) = &self.expose {
            fields.set(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        Flow::Continue
    }
}

impl Cors {
    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = || Origin::parse(origin.to_str().ok()?).ok();
        self.any
            || !self.known.is_empty()
                && origin()
                    .is_some_and(|origin| self.known.iter().any(|known| known.admits(origin)))
    }
}

/// Whether an answer says already that it differs by `Origin`; `*` says it of every field.
fn varies(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"origin")
    })
}

#[cfg(test)]
mod tests {
    use super::Cors;
    use tyrian_plugin::Flow;
    use tyrian_plugin::http::{HeaderMap, Method, StatusCode};
    use tyrian_plugin::serde_json::json;
    use tyrian_plugin::testing::Bench;

    fn bench(origin: &str) -> Bench {
        let config = json!({
            "origins": ["https://app.example", "https://*.team.example"],
            "methods": ["PUT"], "credentials": true,
        });
        Bench::new::<Cors>(&config)
            .unwrap()
            .header("origin", origin)
    }

    #[test]
    fn a_preflight_is_answered_and_a_stranger_is_not_let_in() {
        for (origin, status) in [
            ("https://app.example", 204),
            ("https://a.team.example", 204),
            ("https://team.example", 403),
            ("https://app.example.evil", 403),
            ("https://evil/.team.example", 403),
            ("https://evil?.team.example", 403),
            ("https://a.team.example:443", 204),
            ("null", 403),
        ] {
            let mut bench = bench(origin).header("access-control-request-method", "PUT");
            bench.method = Method::OPTIONS;
            let Flow::Answer(answer) = bench.request() else {
                panic!("{origin} was not answered")
            };
            assert_eq!(answer.status.as_u16(), status, "{origin}");
        }
    }

    #[test]
    fn an_answer_names_the_origin_that_asked_and_varies() {
        let mut known = bench("https://app.example");
        assert!(matches!(known.request(), Flow::Continue));
        let headers = known.response(StatusCode::OK, HeaderMap::new());
        assert_eq!(
            headers["access-control-allow-origin"],
            "https://app.example"
        );
        assert_eq!(headers["vary"], "origin");
        let mut stranger = bench("https://evil.example");
        stranger.request();
        let mut open = HeaderMap::new();
        open.insert("access-control-allow-origin", "*".parse().unwrap());
        open.insert("access-control-allow-credentials", "true".parse().unwrap());
        let headers = stranger.response(StatusCode::OK, open);
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert_eq!(headers["vary"], "origin");
    }

    #[test]
    fn what_an_answer_varies_by_is_said_once() {
        for (said, wanted) in [
            (&["Origin"][..], &["Origin"][..]),
            (&["accept, ORIGIN ,x"], &["accept, ORIGIN ,x"]),
            (&["accept", "origin"], &["accept", "origin"]),
            (&["*"], &["*"]),
            (&["x-origin"], &["x-origin", "origin"]),
            (&[], &["origin"]),
        ] {
            let mut known = bench("https://app.example");
            known.request();
            let mut answer = HeaderMap::new();
            for line in said {
                answer.append("vary", line.parse().unwrap());
            }
            let headers = known.response(StatusCode::OK, answer);
            let lines: Vec<_> = headers.get_all("vary").iter().collect();
            assert_eq!(lines, wanted, "{said:?}");
        }
    }

    #[test]
    fn credentials_for_everybody_are_refused() {
        let config = json!({ "origins": ["*"], "credentials": true });
        assert!(Bench::new::<Cors>(&config).is_err());
    }
}

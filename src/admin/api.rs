//! `/v1`: JSON in, JSON out, problem+json when something is wrong.

use super::audit::Deed;
use super::auth::Role;
use super::{
    Admin, audit, auth, control, etag, listeners, mirrors, profile, rollouts, stream, tap, view,
};
use crate::config::Values;
use crate::config::units::duration;
use crate::live::{Outcome, Trigger, Wish};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router, middleware};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest request body: a configuration to check.
const BODY_MAX: usize = 16 << 20;

/// Everything below `/v1`; all of it needs the token.
pub fn router(admin: &Admin) -> Router<Admin> {
    views()
        .merge(controls())
        .merge(configuration())
        .merge(diagnosis())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "the API has no such resource"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this resource is not used that way",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::map_response(in_our_words))
        .route_layer(middleware::from_fn_with_state(admin.clone(), etag::guard))
        .route_layer(middleware::from_fn_with_state(
            admin.clone(),
            auth::require_token,
        ))
        .route_layer(middleware::from_fn_with_state(
            admin.clone(),
            auth::require_own_name,
        ))
        .route_layer(middleware::from_fn_with_state(admin.clone(), audit::write))
}

/// What can only be read: the state of the gateway.
fn views() -> Router<Admin> {
    Router::new()
        .route(
            "/v1/status",
            get(
                async |State(admin): State<Admin>, Extension(role): Extension<Role>| {
                    Json(view::status(&admin, role).await)
                },
            ),
        )
        .route(
            "/v1/routes",
            get(async |State(a): State<Admin>| Json(view::routes(&a.live.current.load().config))),
        )
        .route(
            "/v1/services",
            get(async |State(a): State<Admin>| Json(view::services(&a.live.current.load()))),
        )
        .route(
            "/v1/colors",
            get(async |State(a): State<Admin>| Json(view::colors(&a.live.current.load().config))),
        )
        .route(
            "/v1/limits",
            get(async |State(a): State<Admin>| Json(view::limits(&a.live.current.load()))),
        )
        .route("/v1/mirrors", get(mirrors::list))
        .route("/v1/listeners", get(listeners::listeners))
        .route("/v1/certificates", get(listeners::certificates))
        .route("/v1/audit", get(audit::list))
        .route("/v1/stream", get(stream::listen))
        .route("/v1/tap", get(tap::watch))
        .route("/v1/openapi.json", get(openapi))
}

/// What an operator sets by hand beside the configuration.
fn controls() -> Router<Admin> {
    Router::new()
        .route(
            "/v1/services/{service}/{version}/breaker",
            put(control::breaker),
        )
        .route(
            "/v1/services/{service}/{version}/endpoints/{address}",
            put(control::endpoint),
        )
        .route("/v1/rollouts", get(rollouts::list))
        .route(
            "/v1/rollouts/{name}",
            get(rollouts::show).post(rollouts::act),
        )
        .route(
            "/v1/log",
            put(log).get(async |State(a): State<Admin>| Json(json!({ "filter": (a.log.get)() }))),
        )
}

/// The configuration and its generations.
fn configuration() -> Router<Admin> {
    Router::new()
        .route("/v1/config", get(show))
        .route("/v1/config/check", post(check))
        .route("/v1/config/reload", post(reload))
        .route("/v1/config/confirm", post(confirm))
        .route("/v1/config/history", get(history))
        .route("/v1/config/history/{generation}", get(texts))
        .route("/v1/config/rollback", post(rollback))
        .route("/v1/config/apply", post(apply))
}

/// Why the gateway does what it does, and what it spends its time and memory on.
fn diagnosis() -> Router<Admin> {
    Router::new()
        .route("/v1/explain", post(super::explain::explain))
        .route("/debug/pprof/profile", get(profile::cpu))
        .route("/debug/pprof/heap", get(profile::heap))
}

/// An RFC 9457 document.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.to_string()).into_response()
    }
}

/// What the framework refuses by itself becomes a problem like all others.
async fn in_our_words(answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || answer.status().as_u16() < 400 {
        return answer;
    }
    let status = answer.status();
    Problem::new(status, "the request is malformed").into_response()
}

/// The API in OpenAPI's terms; a test holds it to the routes above.
async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, include_str!("openapi.json")).into_response()
}

async fn show(State(admin): State<Admin>) -> String {
    crate::config::effective::show(admin.live.loaded().await.as_ref())
}

/// The body is TOML, or JSON with the text in `text`.
async fn check(
    State(admin): State<Admin>,
    Extension(role): Extension<Role>,
    Query(query): Query<Checking>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let text = text_of(&headers, body)?;
    let replay = query.replay.is_some();
    // A caller that may apply a text can see the values of variables in what it does.
    let values = match role {
        Role::Read => Values::Opaque,
        Role::Write => Values::Count,
    };
    let verdict = admin.live.preview(&text, replay, values).await;
    Ok(answer(&verdict, query.verdict))
}

fn text_of(headers: &HeaderMap, body: Bytes) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Wrapped {
        text: String,
    }
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    if kind.starts_with("application/json") {
        let wrapped: Wrapped =
            serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        Ok(wrapped.text)
    } else {
        String::from_utf8(body.into()).map_err(|error| bad(error.to_string()))
    }
}

/// No body, or `{ "force": true, "confirm": "60s" }`.
async fn reload(
    State(admin): State<Admin>,
    Query(query): Asked,
    body: Bytes,
) -> Result<Response, Problem> {
    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        force: bool,
        confirm: Option<String>,
    }
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let wanted = match body.trim_ascii() {
        b"" => Wanted::default(),
        body => serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?,
    };
    let confirm = match &wanted.confirm {
        None => None,
        Some(text) => {
            let within = duration(text).filter(|within| !within.is_zero());
            Some(within.ok_or_else(|| bad(format!("`{text}` is no time to confirm in")))?)
        }
    };
    let wish = Wish {
        force: wanted.force,
        confirm,
    };
    let verdict = admin.live.reload_as(Trigger::Api, wish).await;
    Ok(answer(&verdict, query.verdict))
}

/// Keeps the generation that is on trial.
async fn confirm(State(admin): State<Admin>) -> Result<(Extension<Deed>, Json<Value>), Problem> {
    let none = || Problem::new(StatusCode::CONFLICT, "nothing waits to be confirmed");
    let trial = admin.live.confirm().ok_or_else(none)?;
    let deed = Deed(format!("confirmed, generation {}", trial.generation));
    let kept = json!({ "generation": trial.generation });
    Ok((Extension(deed), Json(kept)))
}

/// Puts a text to work; the file stays as it is.
async fn apply(
    State(admin): State<Admin>,
    Query(query): Query<Applying>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let text = text_of(&headers, body)?;
    let force = query.force.is_some();
    Ok(answer(
        &admin.live.apply_text(&text, force).await,
        query.verdict,
    ))
}

async fn rollback(
    State(admin): State<Admin>,
    Query(query): Asked,
    body: Bytes,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct To {
        generation: u64,
    }
    let to: To = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let verdict = admin.live.rollback(to.generation).await.ok_or_else(|| {
        let detail = format!("generation {} is not kept", to.generation);
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    Ok(answer(&verdict, query.verdict))
}

/// The query of calls that are answered with a verdict.
type Asked = Query<Asking>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    /// 200 with the verdict, whatever it is, since a browser takes anything else for a failure of
    /// its own.
    verdict: Option<Flag>,
}

/// That of checks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checking {
    verdict: Option<Flag>,
    replay: Option<Replayed>,
}

/// That of texts to put to work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Applying {
    verdict: Option<Flag>,
    /// Whatever guards reloads says.
    force: Option<Flag>,
}

/// What is said by being there, without a value.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Flag {
    #[serde(rename = "")]
    There,
}

/// What a check is tried on besides.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Replayed {
    /// Recent requests.
    Recent,
}

/// 200 for what went live, 422 for what is not sound.
fn answer(verdict: &crate::live::Verdict, just_tell: Option<Flag>) -> Response {
    let status = match verdict.outcome {
        Outcome::Rejected if just_tell.is_none() => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    let outcome = format!("{:?}", verdict.outcome).to_lowercase();
    let deed = Deed(format!("{outcome}, generation {}", verdict.generation));
    (status, Extension(deed), Json(verdict)).into_response()
}

async fn history(State(admin): State<Admin>) -> Json<Value> {
    let entries = admin.live.history().await;
    let current = admin.live.current.load().generation;
    Json(json!({ "current": current, "generations": entries }))
}

/// The texts that a generation was made of.
async fn texts(
    State(admin): State<Admin>,
    Path(generation): Path<u64>,
) -> Result<Json<Value>, Problem> {
    let texts = admin.live.texts(generation).await.ok_or_else(|| {
        let detail = format!("generation {generation} is not kept");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    let file = |(name, text): &(String, String)| json!({ "name": name, "text": text });
    let files: Vec<Value> = texts.iter().map(file).collect();
    Ok(Json(json!({ "generation": generation, "files": files })))
}

async fn log(
    State(admin): State<Admin>,
    body: Bytes,
) -> Result<(Extension<Deed>, Json<Value>), Problem> {
    #[derive(Deserialize)]
    struct Filter {
        filter: String,
    }
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let filter: Filter = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    (admin.log.set)(&filter.filter).map_err(bad)?;
    let now = json!({ "filter": (admin.log.get)() });
    Ok((
        Extension(Deed(format!("log: {}", filter.filter))),
        Json(now),
    ))
}

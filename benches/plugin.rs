//! Instructions that a plugin costs at each phase, when it does nothing: what the gateway adds around
//! the call of a hook. At most 150; a call that is timed costs more, but only one in 17 is unless the
//! plugin has a budget.
#![allow(
    missing_docs,
    unused_qualifications,
    reason = "the macro's items are its own"
)]

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tyrian::config::load_text;
use tyrian::plugin::{Plugins, register};
use tyrian::snapshot::Hosted;
use tyrian_plugin::schemars::JsonSchema;
use tyrian_plugin::serde::Deserialize;
use tyrian_plugin::{Body, Factory, Fields, Flow, Log, Phases, Plugin, Request, Response, State};

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "tyrian_plugin::serde")]
#[schemars(crate = "tyrian_plugin::schemars")]
struct Config {}

/// Does nothing, at every phase.
struct Empty;

impl Plugin for Empty {
    type Config = Config;

    const NAME: &'static str = "empty";
    const VERSION: &'static str = "0.1.0";
    const ABOUT: &'static str = "does nothing";
    const PHASES: Phases = Phases::EARLY
        .and(Phases::REQUEST_HEAD)
        .and(Phases::REQUEST_BODY)
        .and(Phases::RESPONSE_HEAD)
        .and(Phases::RESPONSE_BODY)
        .and(Phases::LOG);

    fn new(Config {}: Config) -> Result<Self, String> {
        Ok(Self)
    }
}

struct Scene {
    hosted: Hosted,
    headers: HeaderMap,
    state: State,
}

impl Scene {
    fn new() -> Box<Self> {
        Self::with("")
    }

    /// All calls are timed.
    fn timed() -> Box<Self> {
        Self::with("budget = \"1s\"\n")
    }

    /// One that has been called for a while: the first calls are timed. In a box, so that moving it
    /// is not counted.
    fn with(more: &str) -> Box<Self> {
        register(&[Factory::of::<Empty>()]);
        let text = format!("[plugins.empty]\nuse = \"empty\"\n{more}");
        let loaded = load_text("bench", &text, &|_| None);
        let config = loaded.config.unwrap_or_else(|| std::process::abort());
        let plugins = Plugins::make(&config).unwrap_or_else(|_| std::process::abort());
        let (name, made) = plugins
            .0
            .into_iter()
            .next()
            .unwrap_or_else(|| std::process::abort());
        let table = config
            .plugins
            .get(&name)
            .unwrap_or_else(|| std::process::abort());
        let hosted = Hosted::new(name, made, table, Arc::default());
        let mut headers = HeaderMap::new();
        for index in 0..8 {
            let name = HeaderName::try_from(format!("x-field-{index}"));
            headers.insert(
                name.unwrap_or_else(|_| std::process::abort()),
                HeaderValue::from_static("value"),
            );
        }
        let mut scene = Box::new(Self {
            hosted,
            headers,
            state: State::default(),
        });
        for _ in 0..70 {
            scene.request_head();
        }
        scene
    }

    fn request_head(&mut self) {
        let mut request = Request::new(&Method::GET, "/cart/7", &self.headers);
        let state = &mut self.state;
        let flow = self
            .hosted
            .call(|instance| instance.request_head(&mut request, state));
        black_box((flow, request.fields.into_changes()));
    }
}

#[library_benchmark]
#[bench::empty(Scene::new())]
#[bench::timed(Scene::timed())]
fn request_head(mut scene: Box<Scene>) -> Box<Scene> {
    scene.request_head();
    scene
}

#[library_benchmark]
#[bench::empty(Scene::new())]
#[bench::timed(Scene::timed())]
fn response_head(scene: Box<Scene>) -> Box<Scene> {
    let mut response = Response {
        status: StatusCode::OK,
        route: "cart",
        color: None,
        fields: Fields::new(&scene.headers),
    };
    let state = &scene.state;
    let flow = scene
        .hosted
        .call(|instance| instance.response_head(&mut response, state));
    black_box((flow, response.fields.into_changes()));
    scene
}

#[library_benchmark]
#[bench::empty(Scene::new())]
#[bench::timed(Scene::timed())]
fn response_body(mut scene: Box<Scene>) -> Box<Scene> {
    let mut chunk = None;
    let mut body = Body {
        chunk: &mut chunk,
        end: true,
    };
    let state = &mut scene.state;
    black_box(
        scene
            .hosted
            .call(|instance| instance.response_body(&mut body, state)),
    );
    scene
}

#[library_benchmark]
#[bench::empty(Scene::new())]
#[bench::timed(Scene::timed())]
fn log(mut scene: Box<Scene>) -> Box<Scene> {
    let mut log = Log {
        status: 200,
        took: Duration::from_millis(1),
        route: "cart",
        fields: Vec::new(),
    };
    let state = &mut scene.state;
    let flow = scene.hosted.call(|instance| {
        instance.log(&mut log, state);
        Flow::Continue
    });
    black_box((flow, log.fields));
    scene
}

library_benchmark_group!(
    name = phases;
    benchmarks = request_head, response_head, response_body, log
);
main!(library_benchmark_groups = phases);

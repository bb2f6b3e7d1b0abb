//! The decision against a naive oracle, and the promises of coloring one by one.

use super::testing::{Down, Request, config};
use super::{ColorId, FallbackReason, Outcome, RouteId, ServiceId, Table, VersionId};
use crate::config::Config;
use crate::config::claim;
use crate::config::route::{HostMatch, PathMatch, Route, Segment};
use crate::reason::Reason;
use proptest::prelude::*;
use std::cmp::Reverse;

fn decide(text: &str, request: &Request, down: &Down) -> super::Decision {
    Table::build(&config(text))
        .unwrap()
        .decide(&request.view(), down)
}

const ROUTE: &str = "[routes.all]\nmatch = { path = \"/*\" }\nservice = \"shop\"\n";

fn upstream(version: u16) -> Outcome {
    Outcome::Upstream {
        service: ServiceId(0),
        version: VersionId(version),
    }
}

#[test]
fn a_carried_color_is_believed_only_from_the_trusted() {
    for (name, value) in [
        ("x-tyrian-color", "canary"),
        ("cookie", "a=b; color=canary"),
        ("baggage", "k=v,color=canary"),
    ] {
        let mut request = Request::get("/").with(name, value);
        assert_eq!(
            decide(ROUTE, &request, &Down::default()).outcome,
            upstream(1),
            "{name}"
        );
        request.trusted = false;
        assert_eq!(
            decide(ROUTE, &request, &Down::default()).outcome,
            upstream(0),
            "{name}"
        );
    }
}

#[test]
fn the_first_present_source_counts() {
    let request = Request::get("/")
        .with("x-tyrian-color", "nobody")
        .with("cookie", "color=canary");
    let decision = decide(ROUTE, &request, &Down::default());
    assert_eq!(
        (decision.color.requested, decision.outcome),
        (None, upstream(0))
    );
}

#[test]
fn an_unknown_color_is_refused_where_configured() {
    let text = "[routes.all]\nmatch = { path = \"/*\" }\nservice = \"shop\"\n";
    let mut config = config(text);
    config.coloring.unknown = crate::config::color::Unknown::Reject;
    let request = Request::get("/").with("x-tyrian-color", "nobody");
    let decision = Table::build(&config)
        .unwrap()
        .decide(&request.view(), &Down::default());
    assert_eq!(decision.outcome, Outcome::Refuse(Reason::ColorUnknown));
}

#[test]
fn a_rule_gives_its_color_to_anybody_and_more_conditions_come_first() {
    let text = format!(
        "{ROUTE}\n[colors.a]\nversions = {{ shop = \"v1\" }}\nwhen = [{{ header = {{ x-g = \"beta\" }} }}]\n\
         [colors.b]\nversions = {{ shop = \"v2\" }}\n\
         when = [{{ header = {{ x-g = \"beta\" }}, client = [\"192.0.2.0/24\"] }}]"
    );
    let mut request = Request::get("/").with("x-g", "beta");
    request.trusted = false;
    let decision = decide(&text, &request, &Down::default());
    assert_eq!(
        (decision.color.requested, decision.outcome),
        (Some(ColorId(1)), upstream(1))
    );
}

#[test]
fn a_sick_version_falls_back_or_fails_as_configured() {
    let request = Request::get("/").with("x-tyrian-color", "canary");
    let decision = decide(ROUTE, &request, &Down(vec![(0, 1)]));
    assert_eq!(decision.outcome, upstream(0));
    assert_eq!(decision.color.requested, Some(ColorId(0)));
    assert_eq!(decision.color.served, None);
    assert_eq!(decision.color.reason, Some(FallbackReason::Unhealthy));
    let both = decide(ROUTE, &request, &Down(vec![(0, 0), (0, 1)]));
    assert_eq!(both.outcome, Outcome::Refuse(Reason::NoHealthyEndpoint));
    let strict =
        format!("{ROUTE}\n[colors.strict]\nversions = {{ shop = \"v2\" }}\nfallback = \"fail\"");
    let request = Request::get("/").with("x-tyrian-color", "strict");
    let decision = decide(&strict, &request, &Down(vec![(0, 1)]));
    assert_eq!(decision.outcome, Outcome::Refuse(Reason::NoHealthyEndpoint));
}

#[test]
fn a_route_that_fails_on_the_method_alone_names_its_methods() {
    let text =
        "[routes.a]\nmatch = { path = \"/a\", methods = [\"GET\", \"PUT\"] }\nservice = \"shop\"";
    let table = Table::build(&config(text)).unwrap();
    let mut request = Request::get("/a");
    request.method = http::Method::POST;
    let decision = table.decide(&request.view(), &Down::default());
    assert_eq!(decision.outcome, Outcome::Refuse(Reason::MethodNotAllowed));
    let allowed = table.allowed_methods(&request.view());
    assert_eq!(
        allowed.iter().map(http::Method::as_str).collect::<Vec<_>>(),
        ["GET", "HEAD", "PUT"]
    );
    request.path = "/b".to_owned();
    let decision = table.decide(&request.view(), &Down::default());
    assert_eq!(decision.outcome, Outcome::Refuse(Reason::NoRoute));
}

/// The rule of precedence as a sort key: the first route in this order that matches is the one.
fn rank(route: &Route) -> impl Ord + use<> {
    let host = match &route.matches.host {
        HostMatch::Exact(_) => (0, 0),
        HostMatch::Wildcard(suffix) => (1, -(suffix.split('.').count() as i64)),
        HostMatch::Any => (2, 0),
    };
    let literal_first = |segments: &[Segment]| -> Vec<u8> {
        segments
            .iter()
            .map(|s| u8::from(matches!(s, Segment::Parameter(_))))
            .collect()
    };
    let path = match &route.matches.path {
        PathMatch::Exact(_) => (0, 0, Vec::new()),
        PathMatch::Template(segments) => (1, 0, literal_first(segments)),
        PathMatch::Prefix(segments) => (2, -(segments.len() as i64), literal_first(segments)),
        PathMatch::Regex(_) => (3, 0, Vec::new()),
    };
    (
        Reverse(route.priority),
        host,
        path,
        Reverse(claim::conditions(&route.matches)),
    )
}

/// All routes in order, the first that matches in every respect.
fn oracle(config: &Config, table: &Table, request: &Request) -> Option<RouteId> {
    let mut routes: Vec<_> = config.routes.iter().enumerate().collect();
    routes.sort_by_key(|(index, (_, route))| (rank(route), *index));
    let view = request.view();
    routes
        .iter()
        .find(|(index, (_, route))| {
            table
                .failing(RouteId(*index as u32), route, &view)
                .is_empty()
        })
        .map(|(index, _)| RouteId(*index as u32))
}

fn any_route() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec![
        "",
        "a.example",
        "b.a.example",
        "*.example",
        "*.a.example",
    ]);
    let path = prop::sample::select(vec![
        "/*",
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/*",
        "/{x}",
        "/{x}/b",
        "/a/{y}",
        "/a/b/*",
        "/{x}/*",
        "/{x}/b/*",
        "/a/{y}/c",
        "/a/{y}/*",
        "/{x}/{y}/*",
        "/{x}/b/c/*",
    ]);
    let condition = prop::sample::select(vec![
        "",
        ", methods = [\"GET\"]",
        ", methods = [\"POST\"]",
        ", headers = { x-h = \"1\" }",
        ", headers = { x-h = \"1\", x-i = \"1\" }",
        ", query = { q = \"1\" }",
    ]);
    (host, path, condition, prop::sample::select(vec![0, 0, 0, 5])).prop_map(
        |(host, path, condition, priority)| {
            let host = if host.is_empty() { String::new() } else { format!(", host = \"{host}\"") };
            format!("match = {{ path = \"{path}\"{host}{condition} }}\npriority = {priority}\nservice = \"shop\"\n")
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let path = prop::sample::select(vec![
        "/", "/a", "/a/", "/a/b", "/a/b/c", "/x", "/x/b", "/x/b/c", "/a/c", "/a/b/", "/a/b/c/d",
        "/x/y/z",
    ]);
    let host = prop::sample::select(vec![
        "a.example",
        "b.a.example",
        "c.b.a.example",
        "example",
        "z",
    ]);
    (
        path,
        host,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(path, host, post, h, i, q)| {
            let mut request = Request::get(path);
            request.host = host.to_owned();
            if post {
                request.method = http::Method::POST;
            }
            if h {
                request = request.with("x-h", "1");
            }
            if i {
                request = request.with("x-i", "1");
            }
            if q {
                request.query = "q=1".to_owned();
            }
            request
        })
}

fn with_routes(routes: &[String]) -> crate::config::Loaded {
    let mut text = "[services.shop]\nversions.v1.endpoints = [\"127.0.0.1:1\"]\n".to_owned();
    for (index, route) in routes.iter().enumerate() {
        text.push_str(&format!("[routes.r{index:02}]\n{route}"));
    }
    crate::config::load_text("t", &text, &|_| None)
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_naive_oracle(
        routes in prop::collection::vec(any_route(), 1..14),
        requests in prop::collection::vec(any_request(), 1..24),
    ) {
        let loaded = with_routes(&routes);
        // Equal claims are errors, so only configurations without them are looked at.
        prop_assume!(loaded.config.is_some());
        let config = loaded.config.unwrap();
        let table = Table::build(&config).unwrap();
        for request in &requests {
            let decision = table.decide(&request.view(), &Down::default());
            prop_assert_eq!(decision.route, oracle(&config, &table, request), "{:?}", request);
            let explanation = table.explain(&config, &request.view(), &Down::default());
            let explained = explanation.route.map(|route| route.name);
            let name = decision.route.and_then(|id| config.routes.keys().nth(id.0 as usize));
            prop_assert_eq!(explained.as_deref(), name.map(AsRef::as_ref));
        }
    }
}

/// The request that a lint names, by the words of its help: method, host and path, fields.
fn witness(help: &str) -> Request {
    let line = help.split('\'').nth(1).unwrap();
    let (method, url) = line.split_once(' ').unwrap();
    let (host, rest) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut request = Request::get(&format!("/{path}"));
    request.method = method.parse().unwrap();
    (request.host, request.query) = (host.to_owned(), query.to_owned());
    for field in help.split("-H '").skip(1) {
        let (name, value) = field.split('\'').next().unwrap().split_once(": ").unwrap();
        let name: http::HeaderName = name.parse().unwrap();
        request.headers.append(name, value.parse().unwrap());
    }
    request
}

proptest! {
    #[test]
    fn a_route_reported_unreachable_is_never_chosen_and_its_witness_proves_it(
        routes in prop::collection::vec(any_route(), 2..14),
        requests in prop::collection::vec(any_request(), 1..24),
    ) {
        let loaded = with_routes(&routes);
        prop_assume!(loaded.config.is_some());
        let config = loaded.config.unwrap();
        let table = Table::build(&config).unwrap();
        for found in loaded.diagnostics.iter().filter(|found| found.code == "TY0311") {
            let mut names = found.message.split('`').skip(1).step_by(2);
            let hidden = names.next().unwrap();
            let id = config.routes.keys().position(|name| name.as_ref() == hidden).unwrap();
            let id = RouteId(id as u32);
            let shown = witness(found.help.as_ref().unwrap());
            let route = &config.routes[hidden];
            prop_assert!(table.failing(id, route, &shown.view()).is_empty(), "{:?}", found.help);
            for request in requests.iter().chain([&shown]) {
                let decision = table.decide(&request.view(), &Down::default());
                prop_assert_ne!(decision.route, Some(id), "{:?}", request);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_request_that_a_note_shows_meets_both_routes_and_the_second_one_does_not_get_it(
        routes in prop::collection::vec(any_route(), 2..14),
    ) {
        let loaded = with_routes(&routes);
        prop_assume!(loaded.config.is_some());
        let config = loaded.config.unwrap();
        let table = Table::build(&config).unwrap();
        for found in loaded.diagnostics.iter().filter(|found| found.code == "TY0319") {
            let Some(help) = &found.help else { continue };
            let shown = witness(help);
            let names: Vec<&str> = found.message.split('`').skip(1).step_by(2).collect();
            let ids = names[..2].iter().map(|wanted| {
                let position = config.routes.keys().position(|name| name.as_ref() == *wanted);
                RouteId(position.unwrap() as u32)
            });
            let ids: Vec<RouteId> = ids.collect();
            for (name, id) in names.iter().zip(&ids) {
                let failing = table.failing(*id, &config.routes[*name], &shown.view());
                prop_assert!(failing.is_empty(), "{name}: {help}");
            }
            let decision = table.decide(&shown.view(), &Down::default());
            prop_assert_ne!(decision.route, Some(ids[1]), "{}", help);
        }
    }
}

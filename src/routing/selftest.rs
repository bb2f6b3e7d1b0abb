//! Runs the `[[tests]]` of a configuration through the decision that serves its traffic.
//!
//! Every endpoint counts as available, and a client as trusted when some listener trusts it. A
//! status can be expected of what the gateway answers itself; an upstream's cannot be known.
//!
//! Where a request is refused, a test must say so by status or reason: one that names a route or a
//! version alone means that the request gets there.

mod hint;

use super::claims::Claims;
use super::client_fields;
use super::host::normalise_host;
use super::path::normalise_target;
use super::{Availability, Decision, Outcome, ServiceId, Table, VersionId, View, rewrite};
use crate::config::diagnostic::{Diagnostic, Label, Severity};
use crate::config::policy::Mode;
use crate::config::route::{Route, Target};
use crate::config::test::{Expect, Member, Test};
use crate::config::{Config, Loaded, Name};
use crate::reason::Reason;
use http::HeaderName;

/// Every version that has endpoints is available.
#[derive(Debug)]
pub struct AllHealthy(Vec<Vec<bool>>);

impl AllHealthy {
    pub fn of(config: &Config) -> Self {
        let services = config.services.values().map(|service| {
            let versions = service.versions.values();
            versions
                .map(|version| version.discover.is_some() || !version.endpoints.is_empty())
                .collect()
        });
        Self(services.collect())
    }
}

impl Availability for AllHealthy {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        self.exists(service, version)
    }

    fn exists(&self, service: ServiceId, version: VersionId) -> bool {
        let versions = self.0.get(service.0 as usize);
        let known = versions.and_then(|versions| versions.get(usize::from(version.0)));
        known.copied().unwrap_or(false)
    }
}

/// Every version as a test states it.
struct Stated<'t> {
    up: &'t AllHealthy,
    down: Vec<(ServiceId, VersionId)>,
    open: Vec<(ServiceId, VersionId)>,
}

impl<'t> Stated<'t> {
    fn of(up: &'t AllHealthy, config: &Config, test: &Test) -> Self {
        let ids = |members: &[Member]| {
            let ids = members.iter().filter_map(|member| {
                let service = config
                    .services
                    .keys()
                    .position(|name| *name == member.service)?;
                let versions = &config.services.get(&member.service)?.versions;
                let version = versions.keys().position(|name| *name == member.version)?;
                Some((ServiceId(service as u32), VersionId(version as u16)))
            });
            ids.collect()
        };
        Self {
            up,
            down: ids(&test.down),
            open: ids(&test.open),
        }
    }
}

impl Availability for Stated<'_> {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        self.up.available(service, version) && !self.down.contains(&(service, version))
    }

    fn exists(&self, service: ServiceId, version: VersionId) -> bool {
        self.up.exists(service, version)
    }

    fn broken(&self, service: ServiceId, version: VersionId) -> bool {
        self.open.contains(&(service, version))
    }
}

/// Routes and colors that no test meets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uncovered {
    pub routes: Vec<Name>,
    pub colors: Vec<Name>,
}

/// What the tests of a configuration leave out.
pub fn uncovered(table: &Table, config: &Config) -> Uncovered {
    let up = AllHealthy::of(config);
    let tests = config.tests.iter();
    let found: Vec<Found> = tests.map(|test| find(table, config, test, &up)).collect();
    let met = |what: fn(&Found) -> Option<&String>, name: &Name| {
        found.iter().filter_map(what).any(|known| **known == **name)
    };
    let routes = config.routes.keys().cloned();
    let colors = config.colors.keys().cloned();
    Uncovered {
        routes: routes
            .filter(|name| !met(|found| found.route.as_ref(), name))
            .collect(),
        colors: colors
            .filter(|name| !met(|found| found.color.as_ref(), name))
            .collect(),
    }
}

/// Runs all tests; an empty answer means that all hold. `loaded` is what the configuration was
/// loaded as, for the hints of tests that fail.
pub fn run_tests(table: &Table, config: &Config, loaded: &Loaded) -> Vec<Diagnostic> {
    let up = AllHealthy::of(config);
    let failed = config.tests.iter().flat_map(|test| {
        let problems = run(table, config, test, &up).into_iter();
        problems.map(|problem| diagnostic(test, problem, loaded))
    });
    failed.collect()
}

/// What a test found, in the words of its expectations.
#[derive(Debug, Default)]
struct Found {
    route: Option<String>,
    service: Option<String>,
    version: Option<String>,
    color: Option<String>,
    status: Option<u16>,
    reason: Option<String>,
    upstream_path: Option<String>,
    upstream_headers: Vec<(HeaderName, String)>,
}

/// What a test names first of where a request gets to: all that a refusal leaves open.
fn destination(expect: &Expect) -> Option<String> {
    let named = [
        ("route", &expect.route),
        ("service", &expect.service),
        ("version", &expect.version),
        ("color", &expect.color),
        ("upstream_path", &expect.upstream_path),
    ];
    let mut named = named.into_iter();
    let found = named.find_map(|(what, name)| Some(format!("{what} `{}`", name.as_deref()?)));
    found.or_else(|| {
        let (name, _) = expect.upstream_headers.first()?;
        Some(format!("upstream header `{name}`"))
    })
}

/// The problem of a test that expects a request to get somewhere, and it is refused.
fn refused_instead(expect: &Expect, found: &Found) -> Option<String> {
    let (status, reason) = (found.status?, found.reason.as_ref()?);
    let foreseen = expect.status.is_some() || expect.reason.is_some();
    let wanted = destination(expect).filter(|_| !foreseen)?;
    let meant = "name its `status` if that is meant";
    let meant = match reason.as_str() {
        "jwt_missing" | "api_key" => {
            "give the test `claims`, or name its `status` if that is meant"
        }
        _ => meant,
    };
    Some(format!(
        "expected {wanted}, but the request is refused: {status} `{reason}`; {meant}"
    ))
}

/// The problems of a test.
fn run(table: &Table, config: &Config, test: &Test, up: &AllHealthy) -> Vec<String> {
    let found = find(table, config, test, up);
    let expect = &test.expect;
    if let Some(problem) = refused_instead(expect, &found) {
        return vec![problem];
    }
    let mut problems = Vec::new();
    let mut check = |what: &str, wanted: Option<&str>, found: Option<&str>| {
        if let Some(wanted) = wanted
            && Some(wanted) != found
        {
            problems.push(format!(
                "expected {what} `{wanted}`, found {}",
                quoted(found)
            ));
        }
    };
    check("route", expect.route.as_deref(), found.route.as_deref());
    check(
        "service",
        expect.service.as_deref(),
        found.service.as_deref(),
    );
    check(
        "version",
        expect.version.as_deref(),
        found.version.as_deref(),
    );
    check("color", expect.color.as_deref(), found.color.as_deref());
    check("reason", expect.reason.as_deref(), found.reason.as_deref());
    check(
        "upstream_path",
        expect.upstream_path.as_deref(),
        found.upstream_path.as_deref(),
    );
    for (name, wanted) in &expect.upstream_headers {
        let mut values = found.upstream_headers.iter();
        let value = values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        let what = format!("upstream header `{name}`");
        check(
            &what,
            Some(wanted),
            value.or(wanted.is_empty().then_some("")),
        );
    }
    let status = expect.status.map(|status| status.to_string());
    match (&status, found.status, &found.version) {
        (Some(_), None, Some(_)) => {
            problems.push("the status of an upstream's answer cannot be tested".to_owned());
        }
        (_, answered, _) => {
            let answered = answered.map(|status| status.to_string());
            check("status", status.as_deref(), answered.as_deref());
        }
    }
    problems
}

fn quoted(found: Option<&str>) -> String {
    found.map_or("none".to_owned(), |found| format!("`{found}`"))
}

fn find(table: &Table, config: &Config, test: &Test, up: &AllHealthy) -> Found {
    let refused = |reason: Reason| Found {
        status: Some(reason.status()),
        reason: Some(reason.name().to_owned()),
        ..Found::default()
    };
    let (Ok(host), Ok(target)) = (
        normalise_host(&test.host),
        normalise_target(test.target.as_bytes()),
    ) else {
        return refused(Reason::BadRequest);
    };
    let mut headers = test.headers.iter().cloned().collect();
    let Ok((client, trusted)) = client_fields::arrive(config, &mut headers, test.from, &test.host)
    else {
        return refused(Reason::BadRequest);
    };
    let claims = test.claims.as_deref().map(claims_of);
    let vouched = test
        .signed
        .as_ref()
        .and_then(|name| table.color_named(name));
    let view = View {
        method: &test.method,
        host: &host,
        path: &target.path,
        query: target.query,
        headers: &headers,
        client,
        trusted,
        claims: claims.as_ref(),
        vouched,
        bucket: test.bucket,
    };
    let decision = table.decide(&view, &Stated::of(up, config, test));
    let mut found = Found::default();
    let route = decision
        .route
        .and_then(|id| config.routes.values().nth(id.0 as usize));
    if let Some(reason) = route
        .filter(|_| claims.is_none())
        .and_then(|route| unknown(config, route))
    {
        found = refused(reason);
    }
    if let Outcome::Refuse(reason) = decision.outcome {
        found = refused(reason);
    }
    found.fill(config, &decision, &target.path);
    if found.version.is_some() {
        found.upstream_headers = added(config, route, &found, claims.as_ref());
    }
    found
}

/// The fields that the gateway adds on the way up by what it knows of a request.
fn added(
    config: &Config,
    route: Option<&Route>,
    found: &Found,
    claims: Option<&Claims>,
) -> Vec<(HeaderName, String)> {
    let color = found.color.clone();
    let mut fields: Vec<_> = color
        .map(|color| (config.coloring.header.clone(), color))
        .into_iter()
        .collect();
    let auth = route.and_then(|route| route.auth.as_ref());
    let provider = auth.and_then(|auth| config.jwt.get(auth.providers.first()?));
    if let (Some(provider), Some(claims)) = (provider, claims) {
        for (claim, name) in &provider.forward {
            let values = super::claims::values(claims, claim);
            fields.extend(
                values
                    .into_iter()
                    .map(|value| (name.clone(), value.into_owned())),
            );
        }
    }
    fields
}

/// Why a request without credentials is refused on a route; `None`: it is not.
pub fn unknown(config: &Config, route: &Route) -> Option<Reason> {
    let auth = route.auth.as_ref().filter(|auth| !auth.optional)?;
    let first = auth.providers.first()?;
    match config.jwt.get(first) {
        Some(jwt) => (jwt.mode == Mode::Enforce).then_some(Reason::JwtMissing),
        None => config
            .api_keys
            .contains_key(first)
            .then_some(Reason::ApiKey),
    }
}

fn claims_of(claims: &[(String, Vec<String>)]) -> Claims {
    let value = |values: &[String]| match values {
        [one] => one.as_str().into(),
        many => many.into(),
    };
    claims
        .iter()
        .map(|(name, values)| (name.clone(), value(values)))
        .collect()
}

impl Found {
    fn fill(&mut self, config: &Config, decision: &Decision, path: &str) {
        let color = decision.color.requested;
        let color = color.and_then(|id| config.colors.keys().nth(usize::from(id.0)));
        self.color = color.map(ToString::to_string);
        let route = decision
            .route
            .and_then(|id| config.routes.iter().nth(id.0 as usize));
        let Some((name, route)) = route else { return };
        self.route = Some(name.to_string());
        match &route.target {
            Target::Respond { status, .. } | Target::Redirect { status, .. } => {
                self.status.get_or_insert(*status);
            }
            Target::Service(name) => {
                self.service = Some(name.to_string());
                if let Outcome::Upstream { version, .. } = decision.outcome {
                    let versions = config.services.get(name).map(|service| &service.versions);
                    let version = versions.and_then(|v| v.keys().nth(usize::from(version.0)));
                    self.version = version.map(ToString::to_string);
                    self.upstream_path = Some(
                        rewrite::upstream_path(&route.rewrite, &route.matches.path, path)
                            .into_owned(),
                    );
                }
            }
        }
    }
}

fn diagnostic(test: &Test, problem: String, loaded: &Loaded) -> Diagnostic {
    let name = test.name.clone();
    let name = name.unwrap_or_else(|| format!("{} {}{}", test.method, test.host, test.target));
    Diagnostic {
        code: "TY0601",
        severity: Severity::Error,
        message: format!("test `{name}` failed: {problem}"),
        labels: vec![Label {
            file: test.at.file.clone(),
            span: test.at.span.0 as usize..test.at.span.1 as usize,
            text: problem,
        }],
        help: Some(hint::hint(test, loaded)),
        patch: None,
    }
}

//! Why a request goes where it goes: the decision itself, made by the code that serves traffic,
//! and beside it every route that came near, with the reason it was not taken.

use super::conditions::Verdict;
use super::{Availability, Decision, Outcome, RouteId, Table, View, rewrite};
use crate::config::Config;
use crate::config::route::{HostMatch, PathMatch, Route, Segment, Target};
use serde::{Deserialize, Serialize};

/// Most routes that are listed as near.
const NEAR_MAX: usize = 20;

/// A decision, explained. Field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub request: Request,
    /// Absent when no route matches.
    pub route: Option<Chosen>,
    /// How another parser may read the path, where that meets a route with other policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_reading: Option<OtherReading>,
    pub color: Color,
    pub service: Option<String>,
    pub version: Option<String>,
    pub endpoints: Vec<Endpoint>,
    pub upstream_path: Option<String>,
    pub upstream_host: Option<String>,
    /// Versions that get no request now, in the order in which they would.
    #[serde(default)]
    pub passed_over: Vec<PassedOver>,
    pub policies: Vec<Policy>,
    /// Why the request would be refused, and with which status.
    pub refusal: Option<Refused>,
    /// The status of an answer the gateway makes itself.
    pub status: Option<u16>,
    /// Routes that were not taken.
    pub rejected: Vec<Rejected>,
    /// How many more there are.
    pub rejected_more: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: String,
    pub client: String,
    pub trusted: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    pub name: String,
    pub matched: String,
    pub file: String,
    pub line: u32,
}

/// A path as another parser may read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherReading {
    pub path: String,
    /// The route that it meets.
    pub route: String,
    /// Whether the request passes all the same.
    pub allowed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Color {
    pub requested: Option<String>,
    pub served: Option<String>,
    /// Where the requested color comes from, or why there is none.
    pub origin: String,
    /// Why the served color is not the requested one.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: String,
    pub healthy: bool,
    /// Why it is not healthy.
    #[serde(default)]
    pub state: Option<String>,
    /// Where it was discovered; `None`: the configuration names it.
    #[serde(default)]
    pub source: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassedOver {
    pub version: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub name: String,
    pub value: String,
    /// It refuses the request now, or would.
    #[serde(default)]
    pub trouble: bool,
}

impl Policy {
    fn new(name: &str, value: String) -> Self {
        Self {
            name: name.to_owned(),
            value,
            trouble: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    pub status: u16,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    pub name: String,
    pub why: String,
    pub file: String,
    pub line: u32,
}

impl Table {
    /// Decides and explains.
    pub fn explain(
        &self,
        config: &Config,
        view: &View,
        availability: &impl Availability,
    ) -> Explanation {
        let decision = self.decide(view, availability);
        let chosen = decision
            .route
            .and_then(|id| config.routes.iter().nth(id.0 as usize));
        let (rejected, rejected_more) = self.rejected(config, view, decision.route);
        let mut explanation = Explanation {
            request: Request {
                method: view.method.to_string(),
                host: view.host.to_owned(),
                path: view.path.to_owned(),
                query: view.query.to_owned(),
                client: view.client.to_string(),
                trusted: view.trusted,
            },
            route: chosen.map(|(name, route)| Chosen {
                name: name.to_string(),
                matched: describe(route),
                file: route.at.file.to_string(),
                line: route.at.line,
            }),
            other_reading: self.reading(config, view, &decision),
            color: self.color(config, view, &decision),
            service: None,
            version: None,
            endpoints: Vec::new(),
            upstream_path: None,
            upstream_host: None,
            passed_over: Vec::new(),
            policies: Vec::new(),
            refusal: None,
            status: None,
            rejected,
            rejected_more,
        };
        if let Some((_, route)) = chosen {
            explanation.follow(config, route, view, &decision);
        }
        if let Outcome::Refuse(reason) = decision.outcome {
            explanation.refusal = Some(Refused {
                status: reason.status(),
                reason: reason.name().to_owned(),
            });
        }
        explanation
    }

    fn reading(&self, config: &Config, view: &View, decision: &Decision) -> Option<OtherReading> {
        let chosen = decision.route?;
        let (path, route) = self.other_reading(chosen, view)?;
        let (name, _) = config.routes.iter().nth(route.0 as usize)?;
        Some(OtherReading {
            path,
            route: name.to_string(),
            allowed: !self.refuses_path(chosen, view),
        })
    }

    fn color(&self, config: &Config, view: &View, decision: &Decision) -> Color {
        let name = |id: super::ColorId| config.colors.keys().nth(usize::from(id.0));
        let origin = match decision.color.requested {
            Some(color) => self.coloring.origin(view, color),
            None if self.coloring.disbelieved(view) => {
                "the request carries one, but its sender is not trusted".to_owned()
            }
            None => match self.coloring.bucket(view) {
                Some(bucket) => format!("none carried, no rule gives one, no share has {bucket}"),
                None => "none carried, no rule gives one".to_owned(),
            },
        };
        Color {
            requested: decision
                .color
                .requested
                .and_then(name)
                .map(ToString::to_string),
            served: decision
                .color
                .served
                .and_then(name)
                .map(ToString::to_string),
            origin,
            reason: decision.color.reason.map(|reason| reason.name().to_owned()),
        }
    }

    /// All other routes that share the host, and why each was not taken.
    fn rejected(
        &self,
        config: &Config,
        view: &View,
        chosen: Option<RouteId>,
    ) -> (Vec<Rejected>, usize) {
        let winner = chosen.and_then(|id| config.routes.keys().nth(id.0 as usize));
        let mut near: Vec<(usize, Rejected)> = Vec::new();
        for (index, (name, route)) in config.routes.iter().enumerate() {
            let id = RouteId(index as u32);
            if Some(id) == chosen {
                continue;
            }
            let failing = self.failing(id, route, view);
            let why = match (failing.is_empty(), winner) {
                (true, Some(winner)) => format!("outranked by `{winner}`"),
                (true, None) => continue,
                (false, _) => failing.join(", "),
            };
            let (file, line) = (route.at.file.to_string(), route.at.line);
            near.push((
                failing.len(),
                Rejected {
                    name: name.to_string(),
                    why,
                    file,
                    line,
                },
            ));
        }
        near.sort_by_key(|(failing, _)| *failing);
        let more = near.len().saturating_sub(NEAR_MAX);
        near.truncate(NEAR_MAX);
        (
            near.into_iter().map(|(_, rejected)| rejected).collect(),
            more,
        )
    }

    /// Each thing about a route that this request does not meet.
    pub(super) fn failing(&self, id: RouteId, route: &Route, view: &View) -> Vec<String> {
        let mut failing = Vec::new();
        if self.rule(id).is_some_and(super::table::Rule::is_expired) {
            failing.push("it has expired".to_owned());
        }
        if !host_matches(&route.matches.host, view.host) {
            failing.push(format!("host is not {}", host_text(&route.matches.host)));
        }
        if !path_matches(&route.matches.path, view.path) {
            failing.push(format!("path is not {}", path_text(&route.matches.path)));
        }
        if let Some(rule) = self.rule(id)
            && rule.conditions.judge(view) != Verdict::Holds
        {
            failing.extend(rule.conditions.failing(view));
        }
        failing
    }
}

impl Explanation {
    /// Fills in what the chosen route leads to.
    fn follow(&mut self, config: &Config, route: &Route, view: &View, decision: &Decision) {
        self.policies(config, route, view);
        match &route.target {
            Target::Respond { status, .. } | Target::Redirect { status, .. } => {
                self.status = matches!(decision.outcome, Outcome::Respond | Outcome::Redirect)
                    .then_some(*status);
            }
            Target::Service(name) => {
                self.service = Some(name.to_string());
                self.upstream_path = Some(
                    rewrite::upstream_path(&route.rewrite, &route.matches.path, view.path)
                        .into_owned(),
                );
                self.upstream_host.clone_from(&route.rewrite.host);
                let Some(service) = config.services.get(name) else {
                    return;
                };
                self.timeouts(route, service);
                let Outcome::Upstream { version, .. } = decision.outcome else {
                    return;
                };
                let version = service.versions.iter().nth(usize::from(version.0));
                if let Some((name, version)) = version {
                    self.version = Some(name.to_string());
                    self.endpoints = version
                        .endpoints
                        .iter()
                        .map(|e| Endpoint {
                            address: e.address.to_string(),
                            healthy: true,
                            state: None,
                            source: None,
                        })
                        .collect();
                }
            }
        }
    }

    fn timeouts(&mut self, route: &Route, service: &crate::config::service::Service) {
        let (own, wider) = (route.timeouts, service.timeouts);
        let mut add = |name: &str, value: Option<std::time::Duration>| {
            if let Some(value) = value {
                self.policies.push(Policy::new(name, format!("{value:?}")));
            }
        };
        add("connect timeout", own.connect.or(wider.connect));
        add("request timeout", own.request.or(wider.request));
        add("idle timeout", own.idle.or(wider.idle));
        let tries = service.retry.attempts.0.to_string();
        self.policies.push(Policy::new("tries", tries));
    }
}

/// A route's match in a few words.
pub fn describe(route: &Route) -> String {
    let mut words = vec![
        host_text(&route.matches.host),
        path_text(&route.matches.path),
    ];
    let conditions = usize::from(!route.matches.methods.is_empty())
        + route.matches.headers.len()
        + route.matches.query.len();
    if conditions > 0 {
        words.push(format!(
            "+{conditions} condition{}",
            if conditions == 1 { "" } else { "s" }
        ));
    }
    if route.priority != 0 {
        words.push(format!("priority {}", route.priority));
    }
    words.join(" ")
}

pub(super) fn host_matches(wanted: &HostMatch, host: &str) -> bool {
    match wanted {
        HostMatch::Exact(exact) => exact == host,
        HostMatch::Wildcard(suffix) => {
            let label = host
                .strip_suffix(suffix.as_str())
                .and_then(|rest| rest.strip_suffix('.'));
            label.is_some_and(|label| !label.is_empty())
        }
        HostMatch::Any => true,
    }
}

pub(super) fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = rest.split('/').collect();
    let each = |wanted: &[Segment], found: &[&str]| {
        wanted
            .iter()
            .zip(found)
            .all(|(wanted, found)| match wanted {
                Segment::Literal(text) => text == found,
                Segment::Parameter(_) => !found.is_empty(),
            })
    };
    match wanted {
        PathMatch::Exact(wanted) | PathMatch::Template(wanted) => {
            let root = [Segment::Literal(String::new())];
            let wanted = if wanted.is_empty() { &root[..] } else { wanted };
            wanted.len() == segments.len() && each(wanted, &segments)
        }
        PathMatch::Prefix(wanted) => wanted.len() <= segments.len() && each(wanted, &segments),
        PathMatch::Regex(pattern) => {
            super::conditions::anchored(pattern).is_ok_and(|regex| regex.is_match(path.as_bytes()))
        }
    }
}

fn host_text(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(suffix) => format!("*.{suffix}"),
        HostMatch::Any => "*".to_owned(),
    }
}

fn path_text(path: &PathMatch) -> String {
    let join = |segments: &[Segment]| {
        segments
            .iter()
            .fold(String::new(), |path, segment| match segment {
                Segment::Literal(text) => path + "/" + text,
                Segment::Parameter(name) => path + "/{" + name + "}",
            })
    };
    match path {
        PathMatch::Exact(segments) if segments.is_empty() => "/".to_owned(),
        PathMatch::Exact(segments) | PathMatch::Template(segments) => join(segments),
        PathMatch::Prefix(segments) => join(segments) + "/*",
        PathMatch::Regex(pattern) => format!("regex {pattern}"),
    }
}

mod policies;
mod render;
pub use render::render;

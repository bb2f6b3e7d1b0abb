//! Which policies a request of a route meets, in the order in which it meets them.

use super::{Explanation, Policy};
use crate::config::Config;
use crate::config::breaker::{Breaker, Window};
use crate::config::policy::Mode;
use crate::config::route::{Route, Target};
use crate::config::service::Service;
use crate::reason::Reason;
use crate::routing::View;
use crate::routing::selftest::unknown;

impl Explanation {
    /// Lists the policies of a route and its service.
    pub(super) fn policies(&mut self, config: &Config, route: &Route, view: &View) {
        let mut add = |name: &str, value: String| {
            self.policies.push(Policy::new(name, value));
        };
        if let Some(max) = route.body_max {
            add("body limit", format!("{} bytes", max.0));
        }
        for limit in &route.limits {
            let Some(found) = config.limits.get(&limit.name) else {
                continue;
            };
            let key: Vec<String> = found.key.iter().map(ToString::to_string).collect();
            let (count, per) = (found.rate.count, found.rate.per);
            let text = format!(
                "{}: {count} per {per:?}, burst {}, by {}, costs {}{}",
                limit.name,
                found.burst,
                key.join(" and "),
                limit.cost,
                mode(found.mode),
            );
            add("limit", text);
        }
        if let Some(auth) = &route.auth {
            let who = auth.providers.join(" or ");
            let known = match (view.claims, auth.optional) {
                (Some(_), _) => "a token, taken for valid",
                (None, true) => "nobody, which is allowed",
                (None, false) => "nobody",
            };
            add("auth", format!("{who}: {known}"));
        }
        if let Some(cap) = route.max_in_flight {
            add("route in flight", format!("at most {}", cap.max));
        }
        if let Target::Service(name) = &route.target
            && let Some(service) = config.services.get(name)
        {
            self.of_service(config, service);
        }
        if let Some(mirror) = &route.mirror {
            let version = mirror.version.iter().map(|version| format!("/{version}"));
            let to = format!("{}{}", mirror.service, version.collect::<String>());
            let compared = mirror.compare.as_ref().map_or("", |_| ", compared");
            let value = format!("{} to {to}{compared}", mirror.percent);
            self.policies.push(Policy::new("mirror", value));
        }
        if view.claims.is_none() {
            self.refuse_unknown(config, route);
        }
    }

    fn of_service(&mut self, config: &Config, service: &Service) {
        let mut add = |name: &str, value: String| {
            self.policies.push(Policy::new(name, value));
        };
        if let Some(cap) = service.max_in_flight {
            add("service in flight", format!("at most {}", cap.max));
        }
        let breaker = service.breaker.as_ref();
        if let Some((name, breaker)) =
            breaker.and_then(|name| Some((name, config.breakers.get(name)?)))
        {
            add("breaker", format!("{name}: {}", describe(breaker)));
        }
        if let Some(health) = &service.health {
            add(
                "health",
                format!(
                    "{} every {:?}",
                    health.path.as_deref().unwrap_or("tcp"),
                    health.every
                ),
            );
        }
        if let Some(outliers) = &service.outliers {
            let text = format!("after {} failures in a row", outliers.consecutive_failures);
            add("ejection", text + mode(outliers.mode));
        }
    }

    /// Notes the consumer of an API key. `Err`: the key is refused, and why.
    pub fn api_key(&mut self, consumer: Result<&str, &str>) {
        let mut policies = self.policies.iter_mut();
        if let Some(policy) = policies.find(|policy| policy.name == "auth") {
            let who = policy.value.split(": ").next().unwrap_or_default();
            policy.trouble = consumer.is_err();
            policy.value = match consumer {
                Ok(consumer) => format!("{who}: {consumer}, by its API key"),
                Err(why) => format!("{who}: {why}"),
            };
        }
        if consumer.is_err() {
            self.status = None;
            self.refusal = Some(super::Refused {
                status: Reason::ApiKey.status(),
                reason: Reason::ApiKey.name().to_owned(),
            });
        }
    }

    fn refuse_unknown(&mut self, config: &Config, route: &Route) {
        if let Some(reason) = unknown(config, route) {
            self.refusal = Some(super::Refused {
                status: reason.status(),
                reason: reason.name().to_owned(),
            });
        }
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "",
        Mode::Report => " (only reports)",
        Mode::Off => " (off)",
    }
}

fn describe(breaker: &Breaker) -> String {
    let mut trips = Vec::new();
    if let Some(rate) = breaker.trip.error_rate {
        trips.push(format!("{}% errors", f64::from(rate.0) / 100.0));
    }
    if let Some((slow, rate)) = breaker.trip.slow {
        trips.push(format!(
            "{}% slower than {slow:?}",
            f64::from(rate.0) / 100.0
        ));
    }
    let window = match breaker.window {
        Window::Time(time) => format!("{time:?}"),
        Window::Requests(requests) => format!("{requests} requests"),
    };
    format!(
        "opens at {} in {window}{}",
        trips.join(" or "),
        mode(breaker.mode)
    )
}

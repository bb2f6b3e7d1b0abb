//! The decision: one pure function, used by traffic, by `explain` and by the file's own tests.

use super::table::{Action, MethodOnly};
use super::{
    Availability, ColorChoice, ColorId, Decision, FallbackReason, Outcome, RouteId, ServiceId,
    Table, VersionId, View,
};
use crate::config::color::Fallback;
use crate::reason::Reason;

impl Table {
    /// What becomes of a request. Allocates nothing.
    pub fn decide(&self, view: &View, availability: &impl Availability) -> Decision {
        match self.route(view) {
            Ok(route) => self.dye(route, view, availability),
            Err(refused) => refused,
        }
    }

    /// The route of a request: the first half of the decision, which no color has a say in.
    ///
    /// # Errors
    /// The refusal when there is none, or when another parser may read the path as one of a route
    /// with other policies.
    pub fn route(&self, view: &View) -> Result<RouteId, Decision> {
        let route = self.find(view).map_err(|MethodOnly(method_only)| {
            let reason = if method_only {
                Reason::MethodNotAllowed
            } else {
                Reason::NoRoute
            };
            refuse(None, ColorChoice::default(), reason)
        })?;
        if self.refuses_path(route, view) {
            let color = ColorChoice::default();
            return Err(refuse(Some(route), color, Reason::BadRequest));
        }
        Ok(route)
    }

    /// Color and version on a route: the second half, which may look at a token's claims.
    pub fn dye(&self, route: RouteId, view: &View, availability: &impl Availability) -> Decision {
        let Ok(color) = self.coloring.color(view) else {
            return refuse(Some(route), ColorChoice::default(), Reason::ColorUnknown);
        };
        let uncontested = ColorChoice {
            requested: color,
            served: color,
            reason: None,
        };
        match self.rule(route).map(|rule| rule.action) {
            Some(Action::Service(service)) => self.serve(route, service, color, view, availability),
            Some(Action::Respond) => Decision {
                route: Some(route),
                color: uncontested,
                outcome: Outcome::Respond,
            },
            Some(Action::Redirect) => Decision {
                route: Some(route),
                color: uncontested,
                outcome: Outcome::Redirect,
            },
            None => refuse(None, uncontested, Reason::NoRoute),
        }
    }

    /// The version of the color, or the default one.
    fn serve(
        &self,
        route: RouteId,
        service: ServiceId,
        color: Option<ColorId>,
        view: &View,
        availability: &impl Availability,
    ) -> Decision {
        let uncontested = ColorChoice {
            requested: color,
            served: color,
            reason: None,
        };
        let Some((default, split)) = self.services.get(service.0 as usize) else {
            return refuse(Some(route), uncontested, Reason::NoHealthyEndpoint);
        };
        let default = *default;
        let split = split.as_ref().filter(|_| color.is_none());
        if let Some(version) = split.and_then(|split| split.version(view))
            && availability.available(service, version)
            && !availability.broken(service, version)
        {
            return serve(route, uncontested, service, version);
        }
        let expired = color.is_some_and(|color| self.coloring.expired(color));
        let own = color.filter(|_| !expired);
        let own = own.and_then(|color| self.coloring.version(color, service));
        let mut choice = uncontested;
        let mut version = default;
        if expired {
            choice.served = None;
            choice.reason = Some(FallbackReason::Expired);
        } else if own.is_none() && color.is_some_and(|color| self.coloring.isolated(color)) {
            choice.served = None;
            choice.reason = Some(FallbackReason::Missing);
            return refuse(Some(route), choice, Reason::NoHealthyEndpoint);
        }
        if let Some((own, fallback)) = own {
            let available = availability.available(service, own);
            let broken = available && own != default && availability.broken(service, own);
            if available && !broken {
                return serve(route, uncontested, service, own);
            }
            let missing = !availability.exists(service, own);
            choice.served = None;
            choice.reason = Some(match (missing, broken) {
                (true, _) => FallbackReason::Missing,
                (_, true) => FallbackReason::Breaker,
                _ => FallbackReason::Unhealthy,
            });
            if fallback != Fallback::Default || own == default {
                let reason = match broken {
                    true => Reason::BreakerOpen,
                    false => Reason::NoHealthyEndpoint,
                };
                return refuse(Some(route), choice, reason);
            }
            version = default;
        }
        if !availability.available(service, version) {
            return refuse(Some(route), choice, Reason::NoHealthyEndpoint);
        }
        serve(route, choice, service, version)
    }
}

fn serve(route: RouteId, color: ColorChoice, service: ServiceId, version: VersionId) -> Decision {
    Decision {
        route: Some(route),
        color,
        outcome: Outcome::Upstream { service, version },
    }
}

fn refuse(route: Option<RouteId>, color: ColorChoice, reason: Reason) -> Decision {
    Decision {
        route,
        color,
        outcome: Outcome::Refuse(reason),
    }
}

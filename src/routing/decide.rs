//! The decision: one pure function, used by traffic, by `explain` and by the file's own tests.

use super::table::{Action, MethodOnly};
use super::{
    Availability, ColorChoice, ColorId, Decision, FallbackReason, Fallbacks, Outcome, RouteId,
    ServiceId, Table, VersionId, View,
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

    /// Returns the version of the color, or the default one, or the one that takes over.
    fn serve(
        &self,
        route: RouteId,
        service: ServiceId,
        color: Option<ColorId>,
        view: &View,
        availability: &impl Availability,
    ) -> Decision {
        let mut choice = ColorChoice {
            requested: color,
            served: color,
            reason: None,
        };
        let Some(serving) = self.serving(service) else {
            return refuse(Some(route), choice, Reason::NoHealthyEndpoint);
        };
        let expired = color.is_some_and(|color| self.coloring.expired(color));
        if expired {
            choice = without_color(choice, FallbackReason::Expired);
        }
        let color = color.filter(|_| !expired);
        let own = color.and_then(|color| self.coloring.version(color, service));
        if own.is_none() && self.is_isolated(color) {
            let choice = without_color(choice, FallbackReason::Missing);
            return refuse(Some(route), choice, Reason::NoHealthyEndpoint);
        }
        let split = serving
            .split
            .as_ref()
            .filter(|_| choice.requested.is_none());
        let split = || split.and_then(|split| split.version(view));
        let mut version = own.or_else(split).unwrap_or(serving.default);
        let mut fallbacks = Fallbacks::default();
        while let Some(why) = trouble(availability, service, version, serving.default) {
            if own.is_some() && choice.reason.is_none() {
                choice = without_color(choice, why);
            }
            let Some(other) = fallbacks.next(self, service, version, color, why) else {
                return refuse(Some(route), choice, reason(why));
            };
            version = other;
        }
        serve(route, choice, service, version)
    }

    /// Whether a color never meets a version that is not its own.
    fn is_isolated(&self, color: Option<ColorId>) -> bool {
        let fallback = color.and_then(|color| self.coloring.fallback(color));
        fallback == Some(Fallback::Isolate)
    }
}

/// Returns why a version cannot serve now. The breaker of the default version is left to the try:
/// where it is open, there may be an answer at hand.
#[inline]
fn trouble(
    availability: &impl Availability,
    service: ServiceId,
    version: VersionId,
    default: VersionId,
) -> Option<FallbackReason> {
    if !availability.available(service, version) {
        return Some(match availability.exists(service, version) {
            true => FallbackReason::Unhealthy,
            false => FallbackReason::Missing,
        });
    }
    let broken = version != default && availability.broken(service, version);
    broken.then_some(FallbackReason::Breaker)
}

/// The refusal where no version takes over.
const fn reason(why: FallbackReason) -> Reason {
    match why {
        FallbackReason::Breaker => Reason::BreakerOpen,
        FallbackReason::Missing | FallbackReason::Unhealthy | FallbackReason::Expired => {
            Reason::NoHealthyEndpoint
        }
    }
}

fn without_color(choice: ColorChoice, why: FallbackReason) -> ColorChoice {
    ColorChoice {
        served: None,
        reason: Some(why),
        ..choice
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

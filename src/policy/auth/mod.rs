//! Who must be known on a route: token providers, API keys, a service that is asked.
//!
//! **Invariant:** credentials that are there and wrong never pass, also where none are required.

mod api_keys;
mod forward;

pub use api_keys::{ApiKeys, Consumers, Found, consumers, holder};
pub use forward::{Answer, ForwardAuth, Question};

use super::Materials;
use super::jwt::{self, Located, Verified};
use crate::config::{Config, Name, reserved};
use crate::reason::{Detail, Reason};
use crate::state::Folder;
use crate::telemetry::metrics::Family;
use http::HeaderName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Somebody who knows clients.
#[derive(Debug, Clone)]
pub enum Authority {
    Jwt(Arc<jwt::Provider>),
    ApiKeys(Arc<ApiKeys>),
    Forward(Arc<ForwardAuth>),
}

impl Authority {
    /// Its metrics, by provider; those of tokens are [`jwt::Provider::METRICS`].
    pub const METRICS: &[Family<Self>] = &[Family::counter(
        "tyrian_auth_decisions_total",
        "API keys and questions to authorization services by what came of them",
        |authority, points| match authority {
            Self::Jwt(_) => {}
            Self::ApiKeys(keys) => {
                let results = [("accepted", &keys.accepted), ("refused", &keys.refused)];
                points.each("result", results);
            }
            Self::Forward(service) => {
                let results = [
                    ("allowed", &service.allowed),
                    ("denied", &service.denied),
                    ("failed", &service.failed),
                ];
                points.each("result", results);
            }
        },
    )];
}

/// All authorities of a configuration, by name.
pub type Authorities = BTreeMap<Name, Authority>;

/// What a route asks for.
#[derive(Debug)]
pub struct Guard {
    authorities: Vec<Authority>,
    optional: bool,
}

/// What became of a request's credentials.
#[derive(Debug)]
pub enum Entry {
    /// It has none, and needs none.
    Anonymous,
    Known(Arc<Verified>),
    Refused(Denial),
}

/// Why a request is refused for its credentials, or the lack of them.
#[derive(Debug)]
pub struct Denial {
    pub reason: Reason,
    pub detail: &'static str,
    /// What the log says besides.
    pub told: Option<Detail>,
    /// Whose credentials would do.
    pub realm: Option<Name>,
    /// Scopes that would be enough, for `WWW-Authenticate`.
    pub scope: Option<String>,
    /// Seconds after which another try may succeed, for `Retry-After`.
    pub retry_after: Option<u64>,
    /// The answer of a service that was asked, in place of ours.
    pub answer: Option<Box<Answer>>,
}

impl Denial {
    fn new(reason: Reason) -> Self {
        Self {
            reason,
            detail: reason.text(),
            told: None,
            realm: None,
            scope: None,
            retry_after: None,
            answer: None,
        }
    }

    fn of(reason: Reason, realm: &Name) -> Self {
        Self {
            realm: Some(realm.clone()),
            ..Self::new(reason)
        }
    }

    fn telling(mut self, told: impl Into<Detail>) -> Self {
        self.told = Some(told.into());
        self
    }
}

impl Guard {
    pub fn build(config: &crate::config::auth::Auth, known: &Authorities) -> Self {
        Self {
            authorities: config
                .providers
                .iter()
                .filter_map(|name| known.get(name).cloned())
                .collect(),
            optional: config.optional,
        }
    }

    /// Asks the authorities about a request.
    pub async fn admit(&self, question: &Question<'_>) -> Entry {
        let mut report_only = false;
        for authority in &self.authorities {
            match authority {
                Authority::Jwt(provider) => {
                    report_only |= !provider.enforces();
                    match self.by_token(provider, question).await {
                        Some(Err(_)) if !provider.enforces() => return Entry::Anonymous,
                        Some(Ok(verified)) => return Entry::Known(verified),
                        Some(Err(denial)) => return Entry::Refused(denial),
                        None => {}
                    }
                }
                Authority::ApiKeys(keys) => match keys.who(question.headers) {
                    Some(Ok(consumer)) => return Entry::Known(consumer),
                    Some(Err(why)) => {
                        let denial = Denial::of(Reason::ApiKey, &keys.name).telling(why);
                        return Entry::Refused(denial);
                    }
                    None => {}
                },
                Authority::Forward(service) => match service.ask(question).await {
                    Ok(verified) => return Entry::Known(verified),
                    Err(denial) => return Entry::Refused(denial),
                },
            }
        }
        if self.optional || report_only {
            return Entry::Anonymous;
        }
        self.missing();
        Entry::Refused(self.absence())
    }

    /// Nothing where tokens of this provider may be: `None`.
    async fn by_token(
        &self,
        provider: &Arc<jwt::Provider>,
        question: &Question<'_>,
    ) -> Option<Result<Arc<Verified>, Denial>> {
        let token = match jwt::locate(&provider.config.token, question.headers, question.query) {
            Located::Nothing => return None,
            Located::Token(token) => token,
            Located::Malformed => {
                provider.results.refused.add(Reason::JwtMalformed);
                let told = "there are several tokens, or an empty one";
                let denial = Denial::of(Reason::JwtMalformed, &provider.name).telling(told);
                return Some(Err(denial));
            }
        };
        if self.others(provider) && !provider.issues(&token) {
            return None; // of another issuer, whom this route believes too
        }
        Some(provider.verify(&token).await.map_err(|fault| Denial {
            told: fault.told,
            scope: (fault.reason == Reason::JwtScope).then(|| wanted_scope(provider)),
            retry_after:
                (fault.reason == Reason::JwtKeysUnavailable).then(|| provider.keys_expected_in()),
            ..Denial::of(fault.reason, &provider.name)
        }))
    }

    /// Whether a later provider may know the token's issuer: then this one judges its own only.
    fn others(&self, provider: &Arc<jwt::Provider>) -> bool {
        let mut authorities = self.authorities.iter().rev();
        let last = authorities.find_map(|authority| match authority {
            Authority::Jwt(provider) => Some(provider),
            _ => None,
        });
        last.is_some_and(|last| !Arc::ptr_eq(last, provider))
    }

    fn missing(&self) {
        for authority in &self.authorities {
            match authority {
                Authority::Jwt(provider) => provider.results.refused.add(Reason::JwtMissing),
                Authority::ApiKeys(_) | Authority::Forward(_) => {}
            }
        }
    }

    /// What is missing where nobody has said who he is.
    fn absence(&self) -> Denial {
        if let Some(Authority::ApiKeys(keys)) = self.authorities.first() {
            return Denial::of(Reason::ApiKey, &keys.name).telling("no API key came");
        }
        let provider = self
            .authorities
            .iter()
            .find_map(|authority| match authority {
                Authority::Jwt(provider) => Some(&provider.name),
                Authority::ApiKeys(_) | Authority::Forward(_) => None,
            });
        Denial {
            realm: provider.cloned(),
            ..Denial::new(Reason::JwtMissing)
        }
    }
}

fn wanted_scope(provider: &jwt::Provider) -> String {
    let scopes = provider
        .config
        .require
        .iter()
        .filter(|(name, _)| name == "scope" || name == "scp");
    let scopes: Vec<&str> = scopes
        .flat_map(|(_, wanted)| wanted)
        .map(String::as_str)
        .collect();
    scopes.join(" ")
}

/// Builds all authorities of a configuration; what `previous` knows and is still true is kept.
///
/// # Errors
/// When a client for a service that is asked cannot be made.
pub fn build(
    config: &Config,
    mut materials: Materials,
    previous: Option<&Authorities>,
    stash: Option<&Folder>,
) -> Result<Authorities, String> {
    let before = |name: &Name| previous.and_then(|previous| previous.get(name));
    let mut authorities = Authorities::new();
    for (name, jwt) in &config.jwt {
        let Some(materials) = materials.jwt.remove(name) else {
            continue;
        };
        let before = match before(name) {
            Some(Authority::Jwt(provider)) => Some(provider),
            _ => None,
        };
        let provider = jwt::Provider::build(name, jwt, materials, before, stash);
        authorities.insert(name.clone(), Authority::Jwt(provider));
    }
    for (name, keys) in &config.api_keys {
        let Some(consumers) = materials.api_keys.remove(name) else {
            continue;
        };
        let before = match before(name) {
            Some(Authority::ApiKeys(keys)) => Some(keys),
            _ => None,
        };
        let keys = ApiKeys::build(name, keys, consumers, before);
        authorities.insert(name.clone(), Authority::ApiKeys(keys));
    }
    for (name, service) in &config.forward_auth {
        let before = match before(name) {
            Some(Authority::Forward(service)) => Some(service),
            _ => None,
        };
        let service = ForwardAuth::build(name, service, before)?;
        authorities.insert(name.clone(), Authority::Forward(service));
    }
    Ok(authorities)
}

/// Headers that only the gateway may set: claims, consumers, and what a service that was asked
/// adds. Taken off every request, whatever its route.
pub fn forwarded_headers(config: &Config) -> Vec<HeaderName> {
    let told = reserved::told(config).map(|told| told.header.clone());
    let mut headers: Vec<HeaderName> = told.collect();
    headers.sort_by(|one, two| one.as_str().cmp(two.as_str()));
    headers.dedup();
    headers
}

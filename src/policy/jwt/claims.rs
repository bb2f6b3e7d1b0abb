//! What a token must say to be believed, once its signature is.

use crate::config::jwt::Jwt;
use crate::reason::{Detail, Reason};
use crate::routing::claims::{Claims, values};
use serde_json::Value;
use std::sync::Arc;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// Which check it was, for the log.
    pub told: Option<Detail>,
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        let told = None;
        Self { reason, told }
    }
}

impl Fault {
    pub fn telling(reason: Reason, told: impl Into<Detail>) -> Self {
        let told = Some(told.into());
        Self { reason, told }
    }
}

fn bad(told: &'static str) -> Fault {
    Fault::telling(Reason::JwtBadClaims, told)
}

/// What the log says where a claim is not as `require` has it; in the order of its table.
pub fn words(config: &Jwt) -> Vec<Arc<str>> {
    let names = config.require.iter().map(|(name, _)| name);
    let words = names.map(|name| format!("`{name}` is not as `require` has it").into());
    words.collect()
}

/// Checks the registered claims (RFC 7519, section 4.1) and those the provider requires. Returns
/// when the token expires, in seconds since 1970.
///
/// # Errors
/// The first thing that is wrong. `words` are those of [`words`].
pub fn check(claims: &Claims, config: &Jwt, words: &[Arc<str>], now: u64) -> Result<u64, Fault> {
    let (issued, expires) = issued_and_expires(claims, config)?;
    if !config.audience.is_empty() && !is_for(claims, &config.audience) {
        return Err(bad("`aud` names nobody of `audience`"));
    }
    if expires.saturating_add(config.leeway.as_secs()) <= now {
        return Err(Reason::JwtExpired.into());
    }
    has_begun(claims, config, issued, now)?;
    if let Some(max) = config.max_lifetime {
        let lived = issued.map(|issued| expires.saturating_sub(issued));
        if lived.is_none_or(|lived| lived > max.as_secs()) {
            return Err(bad("it lives longer than `max_lifetime`, or has no `iat`"));
        }
    }
    required(claims, config, words)?;
    Ok(expires)
}

/// Checks the claims of a token that brings a color. It need not say whom it is for, but if it does,
/// that must be us. It is over to the second, as its link says.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_color(claims: &Claims, config: &Jwt, now: u64) -> Result<u64, Fault> {
    let (issued, expires) = issued_and_expires(claims, config)?;
    if claims.contains_key("aud") && !is_for(claims, &config.audience) {
        return Err(bad("`aud` names nobody of `audience`"));
    }
    if expires <= now {
        return Err(Reason::JwtExpired.into());
    }
    has_begun(claims, config, issued, now)?;
    Ok(expires)
}

fn issued_and_expires(claims: &Claims, config: &Jwt) -> Result<(Option<u64>, u64), Fault> {
    let issued = time(claims, "iat", "`iat` is no time")?;
    let expires = time(claims, "exp", "`exp` is no time")?;
    let expires = expires.ok_or_else(|| bad("`exp` is missing"))?;
    if claims.get("iss").and_then(Value::as_str) != Some(config.issuer.as_str()) {
        return Err(bad("`iss` is not the provider's `issuer`"));
    }
    Ok((issued, expires))
}

/// Neither `nbf` nor `iat` is in the future.
fn has_begun(claims: &Claims, config: &Jwt, issued: Option<u64>, now: u64) -> Result<(), Fault> {
    let begins = time(claims, "nbf", "`nbf` is no time")?;
    let latest = now.saturating_add(config.leeway.as_secs());
    let early = |time: Option<u64>| time.is_some_and(|time| time > latest);
    match (early(begins), early(issued)) {
        (true, _) => Err(Fault::telling(
            Reason::JwtNotYetValid,
            "`nbf` is in the future",
        )),
        (_, true) => Err(Fault::telling(
            Reason::JwtNotYetValid,
            "`iat` is in the future",
        )),
        _ => Ok(()),
    }
}

/// A NumericDate: a number, perhaps with a fraction; anything else is no date.
fn time(claims: &Claims, name: &str, wrong: &'static str) -> Result<Option<u64>, Fault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_u64().or_else(|| {
                let number = number.as_f64()?;
                (number.is_finite() && (0.0..9e15).contains(&number)).then_some(number as u64)
            });
            seconds.map(Some).ok_or_else(|| bad(wrong))
        }
        Some(_) => Err(bad(wrong)),
    }
}

fn is_for(claims: &Claims, audience: &[String]) -> bool {
    let wanted = |name: &str| audience.iter().any(|wanted| wanted == name);
    match claims.get("aud") {
        Some(Value::String(name)) => wanted(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(wanted),
        _ => false,
    }
}

fn required(claims: &Claims, config: &Jwt, words: &[Arc<str>]) -> Result<(), Fault> {
    for (index, (name, wanted)) in config.require.iter().enumerate() {
        let granted = values(claims, name);
        let has = |wanted: &String| granted.iter().any(|value| value == wanted);
        let scope = matches!(name.as_str(), "scope" | "scp");
        let enough = match (scope, wanted.is_empty()) {
            (_, true) => !granted.is_empty(),
            (true, _) => wanted.iter().all(has),
            (false, _) => wanted.iter().any(has),
        };
        let reason = match (enough, scope) {
            (true, _) => continue,
            (false, true) => Reason::JwtScope,
            (false, false) => Reason::JwtBadClaims,
        };
        let told = words.get(index).map(Detail::from);
        return Err(Fault { reason, told });
    }
    Ok(())
}

//! What a token must say to be believed, once its signature is.

use crate::config::jwt::Jwt;
use crate::reason::Reason;
use crate::routing::claims::{Claims, values};
use serde_json::Value;

/// Checks the registered claims (RFC 7519, section 4.1) and those the provider requires. Returns
/// when the token expires, in seconds since 1970.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(claims: &Claims, config: &Jwt, now: u64) -> Result<u64, Reason> {
    let leeway = config.leeway.as_secs();
    let issued = time(claims, "iat")?;
    let expires = time(claims, "exp")?.ok_or(Reason::JwtBadClaims)?;
    if claims.get("iss").and_then(Value::as_str) != Some(config.issuer.as_str()) {
        return Err(Reason::JwtBadClaims);
    }
    if !config.audience.is_empty() && !is_for(claims, &config.audience) {
        return Err(Reason::JwtBadClaims);
    }
    if expires.saturating_add(leeway) <= now {
        return Err(Reason::JwtExpired);
    }
    let not_before = time(claims, "nbf")?.unwrap_or(0).max(issued.unwrap_or(0));
    if not_before > now.saturating_add(leeway) {
        return Err(Reason::JwtNotYetValid);
    }
    if let Some(max) = config.max_lifetime {
        let lived = issued.map(|issued| expires.saturating_sub(issued));
        if lived.is_none_or(|lived| lived > max.as_secs()) {
            return Err(Reason::JwtBadClaims);
        }
    }
    required(claims, config)?;
    Ok(expires)
}

/// A NumericDate: a number, perhaps with a fraction; anything else is no date.
fn time(claims: &Claims, name: &str) -> Result<Option<u64>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_u64().or_else(|| {
                let number = number.as_f64()?;
                (number.is_finite() && (0.0..9e15).contains(&number)).then_some(number as u64)
            });
            seconds.map(Some).ok_or(Reason::JwtBadClaims)
        }
        Some(_) => Err(Reason::JwtBadClaims),
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

fn required(claims: &Claims, config: &Jwt) -> Result<(), Reason> {
    for (name, wanted) in &config.require {
        let granted = values(claims, name);
        let has = |wanted: &String| granted.iter().any(|value| value == wanted);
        let scope = matches!(name.as_str(), "scope" | "scp");
        let enough = match (scope, wanted.is_empty()) {
            (_, true) => !granted.is_empty(),
            (true, _) => wanted.iter().all(has),
            (false, _) => wanted.iter().any(has),
        };
        match (enough, scope) {
            (true, _) => {}
            (false, true) => return Err(Reason::JwtScope),
            (false, false) => return Err(Reason::JwtBadClaims),
        }
    }
    Ok(())
}

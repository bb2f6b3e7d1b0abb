//! Which requests a watcher wants to see.

use crate::telemetry::exchange::Exchange;
use serde::Deserialize;

/// A filter as it is spoken: in the query of `GET /v1/tap`, on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoken {
    pub route: Option<String>,
    pub service: Option<String>,
    pub version: Option<String>,
    /// Asked for or served; `none` for uncolored traffic.
    pub color: Option<String>,
    /// `503`, `5xx`, `>=500`, `<400`, or several with commas.
    pub status: Option<String>,
    /// A reason, or `any`.
    pub reason: Option<String>,
    pub method: Option<String>,
    pub host: Option<String>,
    /// What the path begins with.
    pub path: Option<String>,
    /// Most requests a second; the rest is counted as lost.
    pub max_rps: Option<u32>,
}

/// A filter, parsed. What is `None` or empty holds for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub route: Option<String>,
    pub service: Option<String>,
    pub version: Option<String>,
    pub color: Option<String>,
    /// Any of these ranges, bounds included.
    pub status: Vec<(u16, u16)>,
    pub reason: Option<String>,
    pub method: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
}

impl Spoken {
    /// # Errors
    /// What cannot be understood.
    pub fn parse(self) -> Result<Filter, String> {
        let status = self.status.as_deref().map(ranges).transpose()?;
        Ok(Filter {
            route: self.route,
            service: self.service,
            version: self.version,
            color: self.color,
            status: status.unwrap_or_default(),
            reason: self.reason,
            method: self.method,
            host: self.host.map(|host| host.to_ascii_lowercase()),
            path: self.path.map(|path| path.trim_end_matches('*').to_owned()),
        })
    }
}

fn ranges(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let ranges = text.split(',').map(str::trim).map(|part| {
        range(part).ok_or_else(|| {
            format!("`{part}` is no status; write 503, 5xx, >=500 or <400, or several with commas")
        })
    });
    ranges.collect()
}

fn range(part: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|code| *code < 1000);
    if let Some(code) = part.strip_prefix(">=") {
        return Some((number(code)?, 999));
    }
    if let Some(code) = part.strip_prefix("<=") {
        return Some((0, number(code)?));
    }
    if let Some(code) = part.strip_prefix('>') {
        return Some((number(code)? + 1, 999));
    }
    if let Some(code) = part.strip_prefix('<') {
        return Some((0, number(code)?.checked_sub(1)?));
    }
    if let Some(class) = part.to_ascii_lowercase().strip_suffix("xx") {
        let class = number(class).filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let code = number(part)?;
    Some((code, code))
}

impl Filter {
    /// Whether this exchange is one of those wanted.
    pub fn wants(&self, seen: &Exchange) -> bool {
        let is = |wanted: &Option<String>, held: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == held)
        };
        let color = self.color.as_deref().is_none_or(|color| match color {
            "none" => seen.color_requested.is_empty(),
            color => color == seen.color_requested || color == seen.color_served,
        });
        let reason = self.reason.as_deref().is_none_or(|reason| match reason {
            "any" => !seen.reason.is_empty(),
            reason => reason == seen.reason,
        });
        let status = self.status.is_empty()
            || self
                .status
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&seen.status));
        let path = self.path.as_deref();
        color
            && reason
            && status
            && is(&self.route, seen.route)
            && is(&self.service, seen.service)
            && is(&self.version, seen.version)
            && is(&self.method, seen.method)
            && self
                .host
                .as_deref()
                .is_none_or(|host| host.eq_ignore_ascii_case(seen.host))
            && path.is_none_or(|path| seen.path.starts_with(path))
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Spoken, range};
    use crate::telemetry::exchange::Exchange;
    use crate::telemetry::exchange::tests::served;

    fn filter(set: impl FnOnce(&mut Spoken)) -> Filter {
        let mut spoken = Spoken::default();
        set(&mut spoken);
        spoken.parse().unwrap()
    }

    #[test]
    fn statuses_are_understood() {
        assert_eq!(range("503"), Some((503, 503)));
        assert_eq!(range("5xx"), Some((500, 599)));
        assert_eq!(range(">=500"), Some((500, 999)));
        assert_eq!(range("> 499"), Some((500, 999)));
        assert_eq!(range("<400"), Some((0, 399)));
        for wrong in ["", "x", "9xx", "xx", "<0", "-1", "70000"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_condition_counts() {
        let seen = served();
        assert!(Filter::default().wants(&seen));
        assert!(filter(|f| f.status = Some("404, 2xx".into())).wants(&seen));
        assert!(!filter(|f| f.status = Some(">=300".into())).wants(&seen));
        assert!(filter(|f| f.color = Some("canary".into())).wants(&seen));
        assert!(!filter(|f| f.color = Some("none".into())).wants(&seen));
        assert!(filter(|f| f.path = Some("/cart/*".into())).wants(&seen));
        assert!(!filter(|f| f.path = Some("/other".into())).wants(&seen));
        assert!(filter(|f| f.host = Some("A.Example".into())).wants(&seen));
        assert!(!filter(|f| f.method = Some("POST".into())).wants(&seen));
        assert!(!filter(|f| f.reason = Some("any".into())).wants(&seen));
        let refused = Exchange {
            reason: "rate_limited",
            ..seen
        };
        assert!(filter(|f| f.reason = Some("any".into())).wants(&refused));
        assert!(filter(|f| f.reason = Some("rate_limited".into())).wants(&refused));
    }
}

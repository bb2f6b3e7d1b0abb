//! What stands in for texts with variables in them, where the values must change nothing.
//!
//! A caller who may only look can write any text about a value that the live configuration uses:
//! lints, tests and other checks would compare the two. So checks see something else, which is made
//! of the key alone. Keys that decide where requests go have nothing that would do: a test or a
//! lint would be wrong about them.

/// Ports that stand in for others.
const PORTS: usize = 60_000;

/// What does for the key of this path. `at` tells keys of one file apart.
pub fn stand_in(path: &str, at: usize) -> Option<String> {
    let keys: Vec<&str> = path.split('.').collect();
    match keys.as_slice() {
        ["plugins", _, config, ..] if is(config, "config") => Some("variable".to_owned()),
        ["routes", _, "respond", "text"] => Some("variable".to_owned()),
        ["services", _, "versions", _, endpoints, ..] if is(endpoints, "endpoints") => {
            Some(format!("variable-{at}.invalid:80"))
        }
        ["listeners", _, "bind"] | ["admin", "bind" | "metrics"] => {
            Some(format!("127.0.0.1:{}", at % PORTS + 1))
        }
        _ => None,
    }
}

/// Whether a key is this one, or an element of it.
fn is(key: &str, name: &str) -> bool {
    let rest = key.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::stand_in;

    #[test]
    fn keys_that_are_compared_have_nothing_that_would_do() {
        for (path, expected) in [
            ("plugins.p.config.request.set.x-a", Some("variable")),
            ("plugins.p.config[0]", Some("variable")),
            ("plugins.p.configs", None),
            ("plugins.p.when[0].header.a", None),
            ("routes.r.respond.text", Some("variable")),
            ("routes.r.match.path", None),
            (
                "services.s.versions.v.endpoints[1]",
                Some("variable-7.invalid:80"),
            ),
            ("services.s.balance", None),
            ("listeners.l.bind", Some("127.0.0.1:8")),
            ("colors.b.when[0].header.a", None),
            ("tests[0].request", None),
        ] {
            assert_eq!(stand_in(path, 7).as_deref(), expected, "{path}");
        }
    }
}

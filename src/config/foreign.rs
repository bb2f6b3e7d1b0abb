//! Forms of other products in a configuration, and what is written here instead.

/// Keys of other products: the section, their key, and what stands here instead.
const KEYS: &[(&str, &str, &str)] = &[
    ("listeners", "address", "bind = \":8080\""),
    ("listeners", "addr", "bind = \":8080\""),
    ("listeners", "listen", "bind = \":8080\""),
    ("listeners", "port", "bind = \":8080\""),
    ("routes", "backend", "service = \"NAME\""),
    ("routes", "proxy_pass", "service = \"NAME\""),
    ("routes", "target", "service = \"NAME\""),
    ("routes", "upstream", "service = \"NAME\""),
    (
        "services",
        "address",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    (
        "services",
        "backends",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    (
        "services",
        "hosts",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    (
        "services",
        "servers",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    (
        "services",
        "targets",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    (
        "services",
        "upstreams",
        "versions.v1.endpoints = [\"HOST:PORT\"]",
    ),
    ("services", "url", "versions.v1.endpoints = [\"HOST:PORT\"]"),
];

/// Variables of nginx, and the places of a redirect's location that stand for the same.
const NGINX_VARIABLES: &[(&str, &str)] = &[
    ("$host", "{host}"),
    ("$http_host", "{host}"),
    ("$server_name", "{host}"),
    ("$request_uri", "{path}?{query}"),
    ("$uri", "{path}"),
    ("$args", "{query}"),
    ("$query_string", "{query}"),
];

/// Returns what is written here for another product's key in an entry of a section.
pub fn key(section: &str, key: &str) -> Option<&'static str> {
    let mut known = KEYS.iter();
    let (.., ours) = known.find(|(of, theirs, _)| *of == section && *theirs == key)?;
    Some(ours)
}

/// Returns the first known variable of nginx in a text, and the place that stands for it here.
pub fn nginx_variable(text: &str) -> Option<(&'static str, &'static str)> {
    let mut known = NGINX_VARIABLES.iter().copied();
    known.find(|(theirs, _)| text.contains(theirs))
}

/// Returns the path to match, as TOML, for an nginx location: `~ ^/a`, `~* \\.png$`, `^~ /a/`, `= /a`. A
/// regular expression has to match the whole path here, so its open ends are filled in.
pub fn nginx_location(text: &str) -> Option<String> {
    let (form, rest) = match text.split_once(char::is_whitespace) {
        Some((form @ ("~" | "~*" | "^~" | "="), rest)) => (form, rest.trim()),
        _ if text.starts_with('^') => ("~", text),
        _ if text.starts_with('~') => ("~", text.trim_start_matches(['~', '*'])),
        _ => return None,
    };
    Some(match form {
        "=" => format!("{rest:?}"),
        "^~" => format!("\"{}/*\"", rest.trim_end_matches('/')),
        form => {
            let (start, rest) = match rest.strip_prefix('^') {
                Some(rest) => ("", rest),
                None => (".*", rest),
            };
            let (rest, end) = match rest.strip_suffix('$') {
                Some(rest) => (rest, ""),
                None => (rest, ".*"),
            };
            let fold = if form == "~*" { "(?i)" } else { "" };
            format!("{{ regex = {:?} }}", format!("{fold}{start}{rest}{end}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{key, nginx_location, nginx_variable};

    #[test]
    fn forms_of_other_products_have_one_here() {
        assert_eq!(key("listeners", "port"), Some("bind = \":8080\""));
        assert_eq!(key("routes", "port"), None);
        let variable = nginx_variable("https://$host$request_uri");
        assert_eq!(variable, Some(("$host", "{host}")));
        assert_eq!(nginx_variable("https://{host}"), None);
        for (theirs, ours) in [
            ("= /a", "\"/a\""),
            ("^~ /a/", "\"/a/*\""),
            ("~ ^/a$", "{ regex = \"/a\" }"),
            ("~* \\.png$", "{ regex = \"(?i).*\\\\.png\" }"),
            ("^/a", "{ regex = \"/a.*\" }"),
        ] {
            assert_eq!(nginx_location(theirs).as_deref(), Some(ours), "{theirs}");
        }
        assert_eq!(nginx_location("/a"), None);
    }
}

//! The fields by which a proxy speaks to the servers behind it: who the client is, how it came,
//! what it asked for. Upstreams believe them, so a client outside `clients.trust` may not send
//! them. One list for the request path, for `clients.keep` and for the documentation.

use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node};
use super::rule::Rule;
use http::HeaderName;

/// Whole names, sorted.
pub const NAMES: &[&str] = &[
    "akamai-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-cert",       // RFC 9440
    "client-cert-chain", // RFC 9440
    "client-ip",
    "fastly-client-ip",
    "fastly-ssl",
    "fastly-temp-xff",
    "fly-client-ip",
    "forwarded", // RFC 7239
    "forwarded-for",
    "front-end-https",
    "proxy", // CGI servers make `HTTP_PROXY` of it
    "proxy-client-ip",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "ssl-cert",
    "true-client-ip",
    "wl-proxy-client-cert",
    "wl-proxy-client-ip",
    "wl-proxy-ssl",
    "x-appengine-user-ip",
    "x-arr-clientcert",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-cert",
    "x-client-cert-name",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-original",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-host",
    "x-real-ip",
    "x-real-proto",
    "x-remote-addr",
    "x-remote-group",
    "x-remote-ip",
    "x-remote-user",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-ssl-cert",
    "x-tls-client-cert",
    "x-true-client-ip",
    "x-url-scheme",
    "x-waws-unencoded-url",
];

/// How names begin; everything that begins so is meant.
pub const BEGINNINGS: &[&str] = &[
    "cf-access-",
    "ssl-client-",
    "tailscale-user-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authentik-",
    "x-consumer-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-original-",
    "x-pomerium-",
    "x-remote-extra-",
    "x-ssl-client-",
    "x-webauth-",
];

/// Those that the gateway sets itself, so that a client's own can never pass.
const SET_HERE: &[&str] = &[
    "x-client-cert-name",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// By the first byte of a name: bit `n` says that a listed name has `n` bytes.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: an index out of range does not build"
)]
const LENGTHS: [u64; 128] = {
    let mut lengths = [0_u64; 128];
    let mut index = 0;
    while index < NAMES.len() {
        let name = NAMES[index].as_bytes();
        lengths[(name[0] & 127) as usize] |= 1 << name.len();
        index += 1;
    }
    lengths
};

/// A byte of a name as CGI-like servers see it: every token character that is no letter or digit
/// becomes the same one.
pub const fn folded(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'-',
    }
}

/// Whether two names are one to a server that folds them.
pub fn folds_to(name: &str, known: &str) -> bool {
    name.len() == known.len()
        && name
            .bytes()
            .zip(known.bytes())
            .all(|(one, two)| folded(one) == folded(two))
}

/// Whether a name is listed, in any spelling that servers fold together.
pub fn is_proxy_field(name: &str) -> bool {
    let Some(first) = name.bytes().next() else {
        return false;
    };
    let lengths = LENGTHS.get(usize::from(first)).copied().unwrap_or(0);
    let may_be_whole = name.len() < 64 && lengths & (1 << name.len()) != 0;
    if may_be_whole && NAMES.iter().any(|known| folds_to(name, known)) {
        return true;
    }
    matches!(first, b'c' | b's' | b't' | b'x')
        && BEGINNINGS.iter().any(|beginning| {
            let begin = name.get(..beginning.len());
            begin.is_some_and(|begin| folds_to(begin, beginning))
        })
}

/// What `clients.keep` may name: a listed field that the gateway does not set itself.
#[derive(Debug, Clone, Copy)]
pub struct MayBeKept;

impl Rule<HeaderName> for MayBeKept {
    fn holds(&self, name: &HeaderName, node: &Node, cx: &Cx) -> bool {
        let text = name.as_str();
        let set_here = SET_HERE.iter().any(|known| folds_to(text, known));
        let plain = text.replace(|byte: char| !byte.is_ascii_alphanumeric(), "-");
        let beginning = text.trim_end_matches('*');
        let message = match () {
            () if beginning.len() < text.len() || BEGINNINGS.contains(&beginning) => {
                format!("`{name}` is no field: name each one that is to be kept")
            }
            () if set_here => {
                format!("`{name}` cannot be kept: the gateway sets it for every request")
            }
            () if !is_proxy_field(text) => {
                format!("`{name}` is passed on anyway: no proxy speaks by it")
            }
            () if plain != text => format!("`{name}` cannot be kept: its name is `{plain}`"),
            () => return true,
        };
        let diagnostic = Diagnostic::error("TY0304", message).at(&node.spot(), "not needed here");
        cx.report(
            diagnostic
                .help("docs/operations/security.md lists the fields that clients may not send"),
        );
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{BEGINNINGS, NAMES, is_proxy_field};

    #[test]
    fn listed_names_are_found_in_every_spelling_that_servers_fold() {
        for name in NAMES.iter().chain(BEGINNINGS) {
            let whole = match name.ends_with('-') {
                true => format!("{name}any"),
                false => (*name).to_owned(),
            };
            for character in ["-", "_", ".", "~", "!", "+", "|"] {
                let spelt = whole.replace('-', character);
                assert!(is_proxy_field(&spelt), "{spelt}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_the_same_names() {
        let text = include_str!("../../docs/operations/security.md").to_ascii_lowercase();
        let section = text.split("## fields that a client may not send").nth(1);
        let section = section.and_then(|rest| rest.split("the gateway then sets").next());
        let quoted = section.unwrap().split('`').skip(1).step_by(2);
        // `clients.trust` is named before the list.
        let mut listed: Vec<&str> = quoted.filter(|name| !name.contains('.')).collect();
        listed.sort_unstable();
        let mut known: Vec<&str> = NAMES.iter().chain(BEGINNINGS).copied().collect();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "accept",
            "authorization",
            "client-ips",
            "content-type",
            "cookie",
            "host",
            "proxy-authorization",
            "real-ip",
            "x",
            "x-api-key",
            "x-forward",
            "x-request-id",
            "x-tyrian-color",
            "x-user-id",
        ] {
            assert!(!is_proxy_field(name), "{name}");
        }
    }

    #[test]
    fn names_are_sorted_and_short_enough_for_the_first_look() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|name| name.len() < 64 && name.is_ascii()));
    }
}

//! Header fields that no configuration may have for itself. Naming one where a field is set, or
//! taken off, would cut messages short, unsay what clients said, or be undone by the gateway, on
//! every route and without a word. One list for everything that names a field.

use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node};
use super::rule::Rule;
use super::{Config, Name, Place};
use http::HeaderName;

/// What a configuration wants with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To set it on the way up, so that the clients' own is taken off.
    Set,
    /// To find a key in it, and take it off on the way up.
    Key,
    /// To show it to a service that is asked.
    Show,
}

/// Whose a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It says how one message is read, or what it is conditional on.
    Message,
    /// Whoever is asked about a request is told so by the gateway.
    Question,
    /// The gateway sets it, or reads it.
    Gateway,
    /// Clients prove by it who they are.
    Credentials,
    /// It says what the client has sent, and what it can take.
    Client,
}

/// Names, or how they begin; the first that fits counts.
const RESERVED: &[(&str, Owner)] = &[
    ("connection", Owner::Message),
    ("content-length", Owner::Message),
    ("expect", Owner::Message),
    ("host", Owner::Message),
    ("http2-settings", Owner::Message),
    ("if-*", Owner::Message),
    ("keep-alive", Owner::Message),
    ("max-forwards", Owner::Message),
    ("proxy-connection", Owner::Message),
    ("range", Owner::Message),
    ("te", Owner::Message),
    ("trailer", Owner::Message),
    ("transfer-encoding", Owner::Message),
    ("upgrade", Owner::Message),
    ("x-forwarded-for", Owner::Question),
    ("x-forwarded-host", Owner::Question),
    ("x-forwarded-method", Owner::Question),
    ("x-forwarded-proto", Owner::Question),
    ("x-forwarded-uri", Owner::Question),
    ("b3", Owner::Gateway),
    ("baggage", Owner::Gateway),
    ("forwarded", Owner::Gateway),
    ("grpc-*", Owner::Gateway),
    ("traceparent", Owner::Gateway),
    ("tracestate", Owner::Gateway),
    ("via", Owner::Gateway),
    ("x-b3-*", Owner::Gateway),
    ("x-client-cert-name", Owner::Gateway),
    ("x-forwarded-client-cert", Owner::Gateway),
    ("x-forwarded-port", Owner::Gateway),
    ("x-real-ip", Owner::Gateway),
    ("x-request-id", Owner::Gateway),
    ("x-tyrian-mirrored", Owner::Gateway),
    ("authorization", Owner::Credentials),
    ("cookie", Owner::Credentials),
    ("proxy-authorization", Owner::Credentials),
    ("accept*", Owner::Client),
    ("access-control-*", Owner::Client),
    ("cache-control", Owner::Client),
    ("content-*", Owner::Client),
    ("origin", Owner::Client),
    ("pragma", Owner::Client),
    ("referer", Owner::Client),
    ("sec-*", Owner::Client),
    ("user-agent", Owner::Client),
];

fn owner(name: &HeaderName) -> Option<Owner> {
    let name = name.as_str();
    let fits = |known: &str| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == known,
    };
    let mut reserved = RESERVED.iter();
    reserved.find_map(|(known, owner)| fits(known).then_some(*owner))
}

impl Wish {
    fn allows(self, name: &HeaderName, owner: Owner) -> bool {
        match self {
            Self::Set => false,
            // A key may come as the whole of a credentials field; cookies hold more than a key.
            Self::Key => owner == Owner::Credentials && name != http::header::COOKIE,
            Self::Show => !matches!(owner, Owner::Message | Owner::Question),
        }
    }
}

impl Rule<HeaderName> for Wish {
    fn holds(&self, name: &HeaderName, node: &Node, cx: &Cx) -> bool {
        let Some(owner) = owner(name).filter(|owner| !self.allows(name, *owner)) else {
            return true;
        };
        let cannot = match self {
            Self::Set => "cannot be set by a configuration",
            Self::Key => "cannot carry keys",
            Self::Show => "cannot be shown to a service",
        };
        let why = match owner {
            Owner::Message => "it belongs to one message and its connection",
            Owner::Question | Owner::Gateway => "the gateway sets it",
            Owner::Credentials => "clients prove by it who they are, on all routes",
            Owner::Client => "it says what clients send and can take, on all routes",
        };
        let help = match self {
            Self::Set => "choose a name of your own, such as `x-user-id`",
            Self::Key => "choose a name of your own, such as `x-api-key`",
            Self::Show => {
                "the service is told method, scheme, host, path and client in X-Forwarded-*"
            }
        };
        let message = format!("`{name}` {cannot}: {why}");
        let diagnostic = Diagnostic::error("TY0304", message).at(&node.spot(), "a reserved field");
        cx.report(diagnostic.help(help));
        false
    }
}

/// A field that goes up with what somebody tells about a client, and is taken off clients before.
#[derive(Debug, Clone, Copy)]
pub struct Told<'c> {
    pub header: &'c HeaderName,
    /// Who tells it.
    pub provider: &'c Name,
    pub at: &'c Place,
    /// The claim it is made of, where it is of one.
    pub claim: Option<&'c str>,
}

/// All fields that are told.
pub fn told(config: &Config) -> impl Iterator<Item = Told<'_>> {
    let jwt = config.jwt.iter().flat_map(|(provider, jwt)| {
        jwt.forward.iter().map(move |(claim, header)| Told {
            header,
            provider,
            at: &jwt.at,
            claim: Some(claim),
        })
    });
    let keys = config.api_keys.iter().filter_map(|(provider, keys)| {
        Some(Told {
            header: keys.forward.as_ref()?,
            provider,
            at: &keys.at,
            claim: Some("sub"),
        })
    });
    let asked = config.forward_auth.iter().flat_map(|(provider, asked)| {
        asked.forward.iter().map(move |header| Told {
            header,
            provider,
            at: &asked.at,
            claim: None,
        })
    });
    jwt.chain(keys).chain(asked)
}

/// What is told is taken off clients before anybody looks, so nobody may look for it there.
pub fn check(config: &Config, out: &mut Vec<Diagnostic>) {
    let color = &config.coloring.header;
    let mut clash = |header: &HeaderName, what: &str, at: Option<&Place>| {
        for told in told(config).filter(|told| told.header == header) {
            let provider = told.provider;
            let message = format!(
                "{what} comes in `{header}`, which provider `{provider}` forwards, and so takes off clients"
            );
            let diagnostic = Diagnostic::error("TY0304", message);
            let diagnostic = diagnostic.at(&told.at.spot(), format!("forwards `{header}`"));
            let diagnostic = match at.filter(|at| at.span != told.at.span) {
                Some(at) => diagnostic.at(&at.spot(), "looks for it there"),
                None => diagnostic,
            };
            out.push(diagnostic.help("forward it under another name"));
        }
    };
    clash(color, "the color", None);
    for (name, keys) in &config.api_keys {
        let what = format!("the key for `{name}`");
        clash(&keys.header, &what, Some(&keys.at));
    }
    for (name, jwt) in &config.jwt {
        let what = format!("the token for `{name}`");
        for header in jwt.token.iter().filter_map(|place| place.header()) {
            clash(header, &what, Some(&jwt.at));
        }
    }
    for (name, keys) in &config.api_keys {
        if keys.header == *color {
            let message = format!("the color and the key for `{name}` come in the same `{color}`");
            let diagnostic = Diagnostic::error("TY0304", message);
            out.push(diagnostic.at(&keys.at.spot(), "give them different headers"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Wish, owner};
    use http::HeaderName;

    fn allowed(wish: Wish, name: &'static str) -> bool {
        let name = HeaderName::from_static(name);
        owner(&name).is_none_or(|owner| wish.allows(&name, owner))
    }

    #[test]
    fn each_wish_is_refused_what_would_break_messages_and_granted_what_others_do() {
        for (name, set, key, show) in [
            ("x-user-id", true, true, true),
            ("x-tyrian-color", true, true, true),
            ("x-forwarded-user", true, true, true),
            ("authorization", false, true, true),
            ("cookie", false, false, true),
            ("content-type", false, false, true),
            ("accept-encoding", false, false, true),
            ("traceparent", false, false, true),
            ("x-request-id", false, false, true),
            ("x-forwarded-for", false, false, false),
            ("content-length", false, false, false),
            ("transfer-encoding", false, false, false),
            ("if-none-match", false, false, false),
            ("host", false, false, false),
        ] {
            assert_eq!(allowed(Wish::Set, name), set, "set {name}");
            assert_eq!(allowed(Wish::Key, name), key, "key {name}");
            assert_eq!(allowed(Wish::Show, name), show, "show {name}");
        }
    }
}

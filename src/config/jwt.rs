//! `[jwt.NAME]`: whose tokens are believed, and what they must say.

use super::admin::Secret;
use super::diagnostic::Diagnostic;
use super::policy::Mode;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::reserved::Wish;
use super::rule::Bounds;
use super::selector::{Selector, SelectorFor, TokenPlace};
use super::shape::Shape;
use super::values::parsed;
use super::{Name, Place};
use crate::{table, words};
use http::HeaderName;
use std::path::PathBuf;
use std::time::Duration;

/// Longest clock difference that may be forgiven.
const LEEWAY_MAX: Duration = Duration::from_mins(5);
/// Shortest pause between two scheduled fetches of keys.
const REFRESH: Bounds<Duration> = Bounds::least(
    Duration::from_secs(10),
    "the issuer would be hammered",
    "an unknown key is asked for at once, whatever this says",
);
/// Claims count whole seconds.
const LIFETIME: Bounds<Duration> = Bounds::least(
    Duration::from_secs(1),
    "no token lives that short",
    "leave it out, and any life is accepted",
);

const AUTHORIZATION: SelectorFor<TokenPlace> =
    SelectorFor::new(Selector::Header(http::header::AUTHORIZATION));

/// A token provider in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Jwt {
    pub issuer: String,
    /// Any of these; empty: not checked.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: Keys,
    pub leeway: Duration,
    /// Longest life of a token, from `iat` to `exp`.
    pub max_lifetime: Option<Duration>,
    /// Claim, and the values of which all must be there (`scope`, lists) or one must match.
    pub require: Vec<(String, Vec<String>)>,
    pub forward: Vec<(String, HeaderName)>,
    pub token: Vec<SelectorFor<TokenPlace>>,
    /// File with tokens and subjects that are no longer believed.
    pub revoked: Option<PathBuf>,
    /// Claims that the access log shows.
    pub log: Vec<String>,
    pub mode: Mode,
    pub at: Place,
}

table! {
    /// A token provider.
    pub struct Table {
        /// The `iss` claim, exactly.
        "issuer" => issuer: String = required,
        /// Any of these in the `aud` claim.
        "audience" => audience: Option<Vec<String>> = none "not checked",
        /// Signature algorithms that are accepted. `HS…` only with `keys = { hmac = … }`.
        "algorithms" => algorithms: Vec<Algorithm> = required,
        /// Where the keys are.
        "keys" => keys: Keys = required,
        /// Clock difference that is forgiven, at most 5m.
        "leeway" => leeway: Duration = (Duration::from_secs(30)) "\"30s\"",
        /// Longest life of a token, from its `iat` to its `exp`.
        "max_lifetime" => max_lifetime: Option<Duration> = none "not checked" within LIFETIME,
        /// Claims that must be there. All values of `scope` must be granted; of another claim, one
        /// value must match.
        "require" => require: Vec<(String, Vec<String>)> = (Vec::new()) "{}",
        /// Claims that go up as headers; clients cannot set these headers.
        "forward" => forward: Vec<(String, HeaderName)> = (Vec::new()) "{}" within Wish::Set,
        /// Selectors of the token; the first present one counts. In a header it stands with or
        /// without `Bearer`. Headers and cookies that carry tokens stay.
        "token" => token: Vec<SelectorFor<TokenPlace>> = (vec![AUTHORIZATION]) "\"header:authorization\"",
        /// File with one `jti:ID`, `sub:ID` or `sub:ID before TIME` per line; watched. While it
        /// cannot be read, the last list that could be stays in force.
        "revoked" => revoked: Option<PathBuf> = none,
        /// Claims that the access log shows, as `jwt.CLAIM`.
        "log" => log: Vec<String> = (Vec::new()) "[]",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

impl ReadNamed for Jwt {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let sound = is_sound(name, &table, node, cx);
        doubts(name, &table, node, cx);
        sound.then_some(Self {
            issuer: table.issuer,
            audience: table.audience.unwrap_or_default(),
            algorithms: table.algorithms,
            keys: table.keys,
            leeway: table.leeway,
            max_lifetime: table.max_lifetime,
            require: table.require,
            forward: table.forward,
            token: table.token,
            revoked: table.revoked.inspect(|path| cx.names_file(path.clone())),
            log: table.log,
            mode: table.mode,
            at,
        })
    }
}

/// Reports what cannot work or must not be.
fn is_sound(name: &Name, table: &Table, node: &Node, cx: &Cx) -> bool {
    let mut sound = true;
    let mut wrong = |key: &'static str, message: String, label: &str| {
        let value = node.table(cx).and_then(|mut table| table.get(key));
        let spot = value.map_or_else(|| node.spot(), |value| value.spot());
        cx.report(Diagnostic::error("TY0304", message).at(&spot, label));
        sound = false;
    };
    if table.issuer.is_empty() {
        wrong(
            "issuer",
            format!("provider `{name}` has an empty issuer"),
            "whose tokens?",
        );
    }
    let plain = |claim: &String| {
        claim
            .chars()
            .all(|c| !c.is_control() && c != '"' && c != '\\')
    };
    if !table.log.iter().all(plain) {
        let message = format!("provider `{name}` logs a claim whose name would break the log");
        wrong(
            "log",
            message,
            "no quotes, backslashes or control characters",
        );
    }
    if table.leeway > LEEWAY_MAX {
        let message = format!("provider `{name}` forgives more than five minutes");
        wrong("leeway", message, "a clock that far off needs mending");
    }
    if table.algorithms.is_empty() {
        let message = format!("provider `{name}` accepts no algorithm");
        wrong("algorithms", message, "no token could pass");
    }
    if let Some(message) = mismatch(name, table) {
        let label = "whoever knows a public key could sign tokens with it as a secret";
        wrong("algorithms", message, label);
    }
    if table.token.is_empty() {
        let message = format!("provider `{name}` looks for tokens nowhere");
        wrong("token", message, "every request would lack one");
    }
    sound
}

/// Warns of what works, and is probably not meant.
fn doubts(name: &Name, table: &Table, node: &Node, cx: &Cx) {
    let doubt = |path: &[&'static str], message: String, label: &str, help: &str| {
        let inner = path.iter().try_fold(node.clone(), |node, key| {
            node.table(cx).and_then(|mut table| table.get(key))
        });
        let spot = inner.unwrap_or_else(|| node.clone()).spot();
        let diagnostic = Diagnostic::warning("TY0327", message).at(&spot, label);
        cx.report(diagnostic.help(help));
    };
    if table.audience.as_ref().is_some_and(Vec::is_empty) {
        let message = format!("provider `{name}` names no audience, so any is accepted");
        let help = "name who the tokens are for, or leave `audience` out";
        doubt(&["audience"], message, "not checked", help);
    }
    if let Keys::Url(keys) = &table.keys
        && keys.max_stale < keys.refresh
    {
        let message = format!("provider `{name}` stops to believe its keys before it renews them");
        let help = "between the two, every token is refused; lengthen `max_stale`";
        doubt(
            &["keys"],
            message,
            "`max_stale` is shorter than `refresh`",
            help,
        );
    }
}

/// An algorithm that the keys are not for (RFC 8725, section 3.1).
fn mismatch(name: &Name, table: &Table) -> Option<String> {
    let shared = match &table.keys {
        Keys::Url(_) => false,
        Keys::AtHand(keys) => matches!(keys.place, KeyPlace::Hmac(_)),
    };
    let mut algorithms = table.algorithms.iter();
    let odd = algorithms.find(|algorithm| algorithm.is_hmac() != shared)?;
    let (keys, use_) = match shared {
        true => ("a shared secret", "cannot use"),
        false => ("public keys", "would take for a shared secret"),
    };
    Some(format!(
        "provider `{name}` has {keys}, which {} {use_}",
        word(*odd)
    ))
}

words! {
    /// Signature algorithms of RFC 7518 and RFC 8037.
    pub enum Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        "RS256" => Rs256,
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        "RS384" => Rs384,
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        "RS512" => Rs512,
        /// RSASSA-PSS with SHA-256.
        "PS256" => Ps256,
        /// RSASSA-PSS with SHA-384.
        "PS384" => Ps384,
        /// RSASSA-PSS with SHA-512.
        "PS512" => Ps512,
        /// ECDSA over P-256 with SHA-256.
        "ES256" => Es256,
        /// ECDSA over P-384 with SHA-384.
        "ES384" => Es384,
        /// Ed25519.
        "EdDSA" => EdDsa,
        /// HMAC with SHA-256; needs a shared secret.
        "HS256" => Hs256,
        /// HMAC with SHA-384; needs a shared secret.
        "HS384" => Hs384,
        /// HMAC with SHA-512; needs a shared secret.
        "HS512" => Hs512,
        later { "ES512" }
    }
}

impl Algorithm {
    pub fn is_hmac(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// Where the keys of a provider are.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    Url(KeysByUrl),
    AtHand(KeysAtHand),
}

impl Keys {
    /// Whether they are fetched from their issuer, and not at hand.
    pub fn are_fetched(&self) -> bool {
        matches!(self, Self::Url(_))
    }

    /// How long keys are believed while they cannot be had anew.
    pub fn max_stale(&self) -> Duration {
        match self {
            Self::Url(keys) => keys.max_stale,
            Self::AtHand(keys) => keys.max_stale,
        }
    }
}

/// Keys of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct KeysAtHand {
    pub place: KeyPlace,
    /// How long the last good keys are believed while these cannot be read.
    pub max_stale: Duration,
}

/// Where keys of this machine are.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPlace {
    /// A JWKS document.
    File(PathBuf),
    /// One public key or certificate in PEM.
    Pem(PathBuf),
    /// A shared secret.
    Hmac(Secret),
}

/// A JWKS document that is fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct KeysByUrl {
    pub url: String,
    /// Pause between two fetches; `Cache-Control` may shorten or lengthen it.
    pub refresh: Duration,
    /// How long keys are believed while the issuer cannot be reached.
    pub max_stale: Duration,
    /// PEM file of the authorities that are believed; `None`: the system's.
    pub ca: Option<PathBuf>,
}

table! {
    /// Where the keys of a provider are: exactly one of `jwks_url`, `jwks_file`, `pem`, `hmac`.
    pub struct KeysTable {
        /// URL of a JWKS document.
        "jwks_url" => jwks_url: Option<Url> = none,
        /// File with a JWKS document; watched.
        "jwks_file" => jwks_file: Option<PathBuf> = none,
        /// File with one public key in PEM; watched.
        "pem" => pem: Option<PathBuf> = none,
        /// A shared secret of at least 32 bytes.
        "hmac" => hmac: Option<Secret> = none,
        /// How often keys are fetched again.
        "refresh" => refresh: Duration = (Duration::from_mins(10)) "\"10m\"" within REFRESH,
        /// How long the last good keys are believed while new ones cannot be fetched, or while
        /// their file cannot be used.
        "max_stale" => max_stale: Duration = (Duration::from_hours(24)) "\"24h\"",
        /// PEM file of the authorities that are believed for `jwks_url`.
        "ca" => ca: Option<PathBuf> = none "the system's",
    }
}

impl Read for Keys {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = KeysTable::read(node, cx)?;
        for path in [&table.jwks_file, &table.pem, &table.ca]
            .into_iter()
            .flatten()
        {
            cx.names_file(path.clone());
        }
        let max_stale = table.max_stale;
        let at_hand = |place| Some(Self::AtHand(KeysAtHand { place, max_stale }));
        match (table.jwks_url, table.jwks_file, table.pem, table.hmac) {
            (Some(Url(url)), None, None, None) => Some(Self::Url(KeysByUrl {
                url,
                refresh: table.refresh,
                max_stale,
                ca: table.ca,
            })),
            (None, Some(path), None, None) => at_hand(KeyPlace::File(path)),
            (None, None, Some(path), None) => at_hand(KeyPlace::Pem(path)),
            (None, None, None, Some(secret)) => at_hand(KeyPlace::Hmac(secret)),
            _ => {
                let message = format!(
                    "`{}` needs exactly one of jwks_url, jwks_file, pem, hmac",
                    node.path
                );
                node.invalid(cx, message, "one of the four");
                None
            }
        }
    }

    fn shape() -> Shape {
        KeysTable::shape()
    }
}

/// An `http` or `https` URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Url(pub String);

impl Read for Url {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "an http or https URL", |text| {
            let uri: http::Uri = text.parse().ok()?;
            let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
            let plain = uri.host().is_some_and(|host| !host.is_empty()) && !text.contains('@');
            (scheme && plain).then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("http or https URL", "^https?://|\\$\\{")
    }
}

/// An algorithm as it is written.
fn word(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::EdDsa => "EdDSA".to_owned(),
        other => format!("{other:?}").to_uppercase(),
    }
}

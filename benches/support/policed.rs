//! A gateway of the whole job (token, limit by claim, caps, breaker), and what it asks its policies
//! about one request, in the order of the road: `edge/policies.rs`, then `edge/target.rs`, then the
//! end of the answer.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tyrian::config::load_text;
use tyrian::policy::Materials;
use tyrian::policy::auth::{Authority, Entry, Question};
use tyrian::policy::breaker::Outcome;
use tyrian::policy::held::Held;
use tyrian::policy::in_flight::Place;
use tyrian::policy::jwt::{KeySet, Provider, Verified};
use tyrian::policy::limit::Verdict;
use tyrian::routing::Table;
use tyrian::routing::selector::Selectable;
use tyrian::snapshot::{Route, Snapshot, Surroundings};
use tyrian::upstream::{Service, Version};

const RSA: &[u8] = include_bytes!("../../tests/fixtures/rsa-2048.pk8");

const TEXT: &str = r#"
[services.shop]
default = "v1"
breaker = "standard"
max_in_flight = 1024
versions.v1.endpoints = ["127.0.0.1:1"]

[breakers.standard]
window = "10s"
trip = { error_rate = "50%", slow = "1s", slow_rate = "80%", min_requests = 20 }

[jwt.users]
issuer = "https://id.example.com/"
audience = ["shop"]
algorithms = ["RS256"]
keys = { jwks_file = "given" }
require = { scope = ["shop:read"] }
forward = { sub = "x-user-id" }

[limits.per-user]
rate = "1000000/s"
burst = 1000000
key = "jwt:sub"
headers = "always"

[routes.cart]
match = { path = "/cart/*" }
service = "shop"
auth = "users"
limits = ["per-user"]
max_in_flight = 512
"#;

/// Signs tokens as an issuer would.
pub struct Issuer {
    pair: RsaKeyPair,
}

impl Issuer {
    pub fn new() -> Self {
        let pair = RsaKeyPair::from_pkcs8(RSA).unwrap();
        Self { pair }
    }

    /// The public key as RFC 8017 has it.
    pub fn public(&self) -> &[u8] {
        self.pair.public().as_ref()
    }

    pub fn keys(&self) -> KeySet {
        // RSAPublicKey in DER: nine bytes of headers, the modulus, two more, the exponent.
        let der = self.public();
        let (n, e) = (&der[9..265], &der[267..]);
        let keys = json!({ "keys": [{
            "kty": "RSA", "kid": "2026-11", "use": "sig", "alg": "RS256",
            "n": BASE64.encode(n), "e": BASE64.encode(e),
        }] });
        KeySet::from_jwks(keys.to_string().as_bytes()).unwrap()
    }

    /// A token such as issuers give, of some 700 bytes: what is signed, and the signature.
    pub fn token(&self, id: &str) -> (String, Vec<u8>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "2026-11" });
        let claims = json!({
            "iss": "https://id.example.com/", "sub": "b1946ac9-2249-4c5b-8f2e-7d1c5ab0a3f4",
            "aud": ["shop"], "exp": now + 3600, "iat": now, "jti": id,
            "scope": "openid profile shop:read", "email": "alice@example.com",
            "group": ["customers", "beta"],
        });
        let part = |json: serde_json::Value| BASE64.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        (message, signature)
    }

    pub fn compact(&self, id: &str) -> String {
        let (message, signature) = self.token(id);
        format!("{message}.{}", BASE64.encode(signature))
    }
}

pub struct Policed {
    pub issuer: Issuer,
    snapshot: Snapshot,
    /// Who the client is.
    pub verified: Arc<Verified>,
    /// What the client has sent.
    headers: HeaderMap,
    /// What the upstream gets, and the client back; room for more, as heads on the road have.
    upstream: HeaderMap,
    answer: HeaderMap,
}

impl Policed {
    /// One whose client has a token.
    pub fn new() -> Self {
        tyrian::tls::install_provider();
        let issuer = Issuer::new();
        let loaded = load_text("bench", TEXT, &|_| None);
        let config = Arc::new(loaded.config.unwrap());
        let mut materials = Materials::default();
        let keys = tyrian::policy::jwt::Materials {
            keys: Some(Held::Read(Arc::new(issuer.keys()))),
            revoked: Default::default(),
        };
        materials.jwt.insert("users".into(), keys);
        let surroundings = Surroundings {
            metrics: Arc::default(),
            folder: None,
            overload: Arc::default(),
            discovery: Arc::default(),
        };
        let table = Table::build(&config).unwrap();
        let built = Snapshot::build(config, table, materials, None, 1, &surroundings);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "shop.example.com"),
            ("user-agent", "bench/1.0"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip, br"),
            ("x-request-id", "0198f2c0"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let bearer = format!("Bearer {}", issuer.compact("first"));
        headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
        let snapshot = built.unwrap().0;
        let verified = token(&snapshot, &headers);
        Self {
            issuer,
            snapshot,
            verified,
            headers,
            upstream: HeaderMap::with_capacity(16),
            answer: HeaderMap::with_capacity(16),
        }
    }

    fn route(&self) -> &Route {
        &self.snapshot.routes[0]
    }

    fn service(&self) -> (&Arc<Service>, &Version) {
        let service = &self.snapshot.services[0];
        (service, &service.versions[0])
    }

    pub fn provider(&self) -> &Arc<Provider> {
        match &self.snapshot.authorities["users"] {
            Authority::Jwt(provider) => provider,
            _ => unreachable!(),
        }
    }

    /// Who asks: the token is found, and known already.
    pub fn token(&self) -> Arc<Verified> {
        token(&self.snapshot, &self.headers)
    }

    /// Whether the user may, and what the answer says about it.
    pub fn limit(&self, verified: &Verified) -> (HeaderValue, HeaderValue) {
        let toll = &self.route().late_limits[0];
        let request = Selectable {
            client: Some([192, 0, 2, 1].into()),
            route: &self.route().name,
            claims: Some(&verified.claims),
            ..Selectable::of_head(&self.headers, "")
        };
        match toll.limiter.check(&request, toll.cost) {
            Verdict::Pass(Some(reading)) => {
                let fields = toll.limiter.fields();
                (fields.policy.clone(), fields.state(reading))
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// Room for one more, on the route and at the service.
    pub fn places(&self) -> [Place; 2] {
        let (service, _) = self.service();
        let caps = [self.route().cap.as_ref(), service.cap.as_ref()];
        let places = caps.map(|cap| cap.unwrap().take().now_or_never().unwrap().unwrap());
        service.budget.pay(service.retry.budget);
        places
    }

    /// The breaker is asked, and told how it went.
    pub fn breaker(&self, now: Instant) {
        let (_, version) = self.service();
        let permit = version.breaker.as_ref().unwrap().admit(now).unwrap();
        let outcome = Outcome {
            failed: permit.failures().status(200),
            took: Duration::from_millis(3),
        };
        permit.record(outcome, now);
    }

    /// All that policies do for one request.
    pub fn request(&mut self, now: Instant) {
        assert!(!self.snapshot.overload.sheds(self.route().importance));
        let verified = self.token();
        let (policy, state) = self.limit(&verified);
        let places = self.places();
        for (name, value) in &verified.forward {
            self.upstream.insert(name.clone(), value.clone());
        }
        self.answer
            .insert(HeaderName::from_static("ratelimit-policy"), policy);
        self.answer
            .insert(HeaderName::from_static("ratelimit"), state);
        self.breaker(now);
        drop(places);
    }
}

fn token(snapshot: &Snapshot, headers: &HeaderMap) -> Arc<Verified> {
    let guard = snapshot.routes[0].guard.as_ref().unwrap();
    let question = Question {
        method: &Method::GET,
        host: "shop.example.com",
        port: "",
        path: "/cart/7",
        query: "full=1",
        headers,
        client: [192, 0, 2, 1].into(),
        scheme: "https",
    };
    match guard.admit(&question).now_or_never() {
        Some(Entry::Known(verified)) => verified,
        other => unreachable!("{other:?}"),
    }
}

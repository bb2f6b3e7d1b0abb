//! Who may use the API: whoever has the token, and asks for us by a name that is ours.

use super::Admin;
use super::api::Problem;
use crate::config::admin::{HostName, Secret};
use crate::state::Folder;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::io;
use std::path::Path;

/// The file of the token in the folder of the state.
pub const TOKEN_FILE: &str = "admin.token";

/// The token, by its place: it is read at each use, so that it can be changed under way.
#[derive(Debug, Clone)]
pub struct Token {
    /// Never [`Secret::StateFile`]; `None`: nobody is let in.
    place: Option<Secret>,
}

impl Token {
    /// Finds the token, as clients do: nothing is made.
    ///
    /// # Errors
    /// When it belongs into a state directory and there is none.
    pub fn find(secret: &Secret, state_dir: Option<&Path>) -> io::Result<Self> {
        let place = match secret {
            Secret::StateFile => {
                let directory = state_dir.ok_or_else(|| io::Error::other("no state directory"))?;
                Secret::File(directory.join(TOKEN_FILE))
            }
            named => named.clone(),
        };
        Ok(Self { place: Some(place) })
    }

    /// Finds the token; a file that does not exist is made. In a folder that another process
    /// writes to, that process makes it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(secret: &Secret, folder: Option<&Folder>) -> io::Result<Self> {
        let token = Self::find(secret, folder.map(Folder::path))?;
        let of_state = folder.filter(|_| *secret == Secret::StateFile);
        if of_state.is_some_and(|folder| !folder.is_writable()) {
            return Ok(token);
        }
        if let Some(Secret::File(path)) = &token.place
            && !path.exists()
        {
            let mut random = [0; 32];
            io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
            let token = crate::live::hex(&random);
            crate::live::write_private(path, format!("{token}\n").as_bytes())?;
            tracing::info!(path = %path.display(), "made a token for the admin API");
        }
        if let Some(folder) = of_state {
            folder.link_from_base(TOKEN_FILE);
        }
        Ok(token)
    }

    /// No token at all: nobody is let in.
    pub fn nowhere() -> Self {
        Self { place: None }
    }

    /// The token itself; `None` when it cannot be read, or is empty.
    pub fn read(&self) -> Option<String> {
        let text = self.place.as_ref()?.text()?;
        (!text.is_empty()).then_some(text)
    }

    fn accepts(&self, offered: &str) -> bool {
        self.read()
            .is_some_and(|token| same(token.as_bytes(), offered.as_bytes()))
    }
}

/// Compares without telling by its time where the two differ.
fn same(one: &[u8], two: &[u8]) -> bool {
    let differ = one
        .iter()
        .zip(two)
        .fold(0, |differ, (one, two)| differ | (one ^ two));
    one.len() == two.len() && std::hint::black_box(differ) == 0
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything may be looked at.
    Read,
    /// And changed.
    Write,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The tokens of the two roles.
#[derive(Debug)]
pub struct Tokens {
    pub write: Token,
    pub read: Option<Token>,
}

impl Tokens {
    fn role(&self, offered: &str) -> Option<Role> {
        if self.write.accepts(offered) {
            return Some(Role::Write);
        }
        let reads = self
            .read
            .as_ref()
            .is_some_and(|token| token.accepts(offered));
        reads.then_some(Role::Read)
    }
}

/// Lets through who asks for us by a name that is ours, and from a page that is ours.
pub async fn require_own_name(
    State(admin): State<Admin>,
    request: Request,
    next: Next,
) -> Response {
    let config = &admin.live.current.load().config.admin;
    let foreign = |detail: &str| Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    let Some(host) = own_name(&request, &config.hosts) else {
        return foreign(
            "the administration answers to addresses, localhost and `admin.hosts` only",
        );
    };
    let origin = request.headers().get(header::ORIGIN);
    let same = origin.is_none_or(|origin| {
        let origin = text(Some(origin)).and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
    });
    if !same {
        return foreign("the page that asks is not one of ours");
    }
    next.run(request).await
}

/// The name that a request asks for, if it is ours, and every other one that it gives is too. A
/// target in absolute form counts before the field (RFC 9112, section 3.2.2); of that there is one.
fn own_name<'r>(request: &'r Request, names: &[HostName]) -> Option<&'r str> {
    let target = request.uri().authority().map(Authority::as_str);
    let mut fields = request.headers().get_all(header::HOST).iter();
    let field = fields.next().map(|field| text(Some(field)).unwrap_or(""));
    let ours = |name: &str| is_ours(name, names);
    let all = target.is_none_or(ours) && field.is_none_or(ours) && fields.next().is_none();
    target.or(field).filter(|_| all)
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

/// Lets through who has a token that allows what is asked for; the role goes along.
pub async fn require_token(
    State(admin): State<Admin>,
    mut request: Request,
    next: Next,
) -> Response {
    let offered = text(request.headers().get(header::AUTHORIZATION));
    let token = offered
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some(role) = token.and_then(|(_, token)| admin.tokens.role(token.trim())) else {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
        return ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response();
    };
    if role == Role::Read && writes(&request) {
        let challenge = [(
            header::WWW_AUTHENTICATE,
            "Bearer error=\"insufficient_scope\"",
        )];
        let detail = "this token may look, but change nothing";
        let problem = Problem::new(StatusCode::FORBIDDEN, detail);
        return (challenge, Extension(role), problem).into_response();
    }
    request.extensions_mut().insert(role);
    let mut answer = next.run(request).await;
    answer.extensions_mut().insert(role);
    answer
}

/// Whether a call changes anything, or costs as much as if it did.
pub fn writes(request: &Request) -> bool {
    let path = request.uri().path();
    let asks = matches!(path, "/v1/explain" | "/v1/config/check");
    path.starts_with("/debug/") || !(asks || request.method().is_safe())
}

/// A page elsewhere can make a browser ask us under its own name (DNS rebinding); addresses and
/// `localhost` cannot be rebound, and names in the configuration are ours.
fn is_ours(host: &str, names: &[HostName]) -> bool {
    let Ok(name) = crate::routing::host::normalise_host(host) else {
        return false;
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok()
        || names.iter().any(|known| known.0 == bare)
}

#[cfg(test)]
mod tests {
    use super::{Token, is_ours, own_name, same};
    use crate::config::admin::{HostName, Secret};
    use crate::state::{Folder, Place};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_token_file_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            base: dir.path().to_owned(),
            instance: "a".parse().unwrap(),
            config: None,
        };
        let folder = Folder::open(place.clone()).unwrap();
        let second = Folder::open(place).unwrap();
        let unmade = Token::open(&Secret::StateFile, Some(&second)).unwrap();
        assert_eq!(
            unmade.read(),
            None,
            "the process that has the lock makes it"
        );
        let token = Token::open(&Secret::StateFile, Some(&folder)).unwrap();
        assert_eq!(unmade.read(), token.read());
        let path = dir.path().join("a/admin.token");
        let link = std::fs::read_to_string(dir.path().join("admin.token"));
        assert_eq!(link.unwrap().trim(), token.read().unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(token.read().unwrap().len(), 64);
        let again = Token::open(&Secret::StateFile, Some(&folder)).unwrap();
        assert_eq!(again.read(), token.read());
        assert!(token.accepts(&token.read().unwrap()));
        assert!(!token.accepts(""));
    }

    #[test]
    fn a_client_makes_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::find(&Secret::StateFile, Some(dir.path())).unwrap();
        assert_eq!(token.read(), None);
        assert!(!dir.path().join("admin.token").exists());
    }

    #[test]
    fn comparing_is_exact() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
        assert!(!same(b"", b"a"));
    }

    #[test]
    fn every_name_that_a_request_gives_must_be_ours() {
        let asked = |target: &str, hosts: &[&str]| {
            let mut request = axum::extract::Request::builder().uri(target);
            for host in hosts {
                request = request.header("host", *host);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            own_name(&request, &[]).map(ToOwned::to_owned)
        };
        assert_eq!(asked("/", &["localhost"]).as_deref(), Some("localhost"));
        let absolute = "http://127.0.0.1:1/";
        assert_eq!(asked(absolute, &["[::1]"]).as_deref(), Some("127.0.0.1:1"));
        assert_eq!(asked("/", &[]), None);
        assert_eq!(asked("/", &["localhost", "localhost"]), None);
        assert_eq!(asked("http://evil.example/", &["localhost"]), None);
        assert_eq!(asked(absolute, &["evil.example"]), None);
    }

    #[test]
    fn only_names_that_cannot_be_rebound_are_ours() {
        let names = [HostName("gateway.internal".into())];
        for ours in [
            "127.0.0.1:9980",
            "[::1]:9980",
            "localhost",
            "LOCALHOST:1",
            "gateway.internal:9",
        ] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "gateway.internal.evil",
            "",
            "a b",
        ] {
            assert!(!is_ours(foreign, &names), "{foreign}");
        }
    }
}

//! Who may use the API: whoever has the token, and asks for us by a name that is ours.

use super::Admin;
use super::api::Problem;
use crate::config::admin::Secret;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::io;
use std::path::Path;

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
                Secret::File(directory.join("admin.token"))
            }
            named => named.clone(),
        };
        Ok(Self { place: Some(place) })
    }

    /// Finds the token; a file that does not exist is made.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(secret: &Secret, state_dir: Option<&Path>) -> io::Result<Self> {
        let token = Self::find(secret, state_dir)?;
        if let Some(Secret::File(path)) = &token.place
            && !path.exists()
        {
            let mut random = [0; 32];
            io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
            let token = crate::live::hex(&random);
            crate::live::write_private(path, format!("{token}\n").as_bytes())?;
            tracing::info!(path = %path.display(), "made a token for the admin API");
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

/// Lets through who has the token.
pub async fn require_token(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if !host_is_ours(&request) {
        let detail = "the API answers to addresses and localhost only";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    let offered = request.headers().get(header::AUTHORIZATION);
    let offered = offered.and_then(|value| value.to_str().ok());
    let token = offered
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if token.is_some_and(|(_, token)| admin.token.accepts(token.trim())) {
        return next.run(request).await;
    }
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

/// A page elsewhere can make a browser ask us under its own name (DNS rebinding); addresses and
/// `localhost` cannot be rebound.
fn host_is_ours(request: &Request) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host()).unwrap_or("");
    let Ok(name) = crate::routing::host::normalise_host(host) else {
        return false;
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Token, same};
    use crate::config::admin::Secret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_token_file_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::open(&Secret::StateFile, Some(dir.path())).unwrap();
        let path = dir.path().join("admin.token");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(token.read().unwrap().len(), 64);
        let again = Token::open(&Secret::StateFile, Some(dir.path())).unwrap();
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
}

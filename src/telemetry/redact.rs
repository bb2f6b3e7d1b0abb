//! Masks what sounds secret, or is a token, before anything is written or shown.

use ring::hmac;
use std::borrow::Cow;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// A value whose name holds one of these is masked, whatever it is.
const SECRET: &[&str] = &[
    "token",
    "secret",
    "passw",
    "pwd",
    "auth",
    "key",
    "sig",
    "session",
    "jwt",
    "code",
    "credential",
];
/// Names that are lists of such values.
const LISTS: [&str; 2] = ["cookie", "set-cookie"];
/// What stands for a masked value, or begins what does.
pub const MASK: &str = "***";
/// Bytes of a hash that are written: enough to tell values apart, and few enough to tell no more.
const TAG: usize = 6;

/// The file in the folder of the state.
pub const KEY_FILE: &str = "mask.key";
const KEY_LEN: usize = 32;

/// The key of this process; `None`: there was no randomness for one.
static KEY: OnceLock<Option<hmac::Key>> = OnceLock::new();

/// Masks by the key in this directory from now on; made where there is none. Without it a process
/// has a key of its own, and nobody else can tell what its masks stand for.
///
/// # Errors
/// When it can neither be read nor written.
pub fn keep_key_in(directory: &Path) -> io::Result<()> {
    use io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = directory.join(KEY_FILE);
    if !path.exists() {
        let random = random().ok_or_else(|| io::Error::other("no randomness"))?;
        let mut options = fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(mut file) => file.write_all(&random)?,
            // Another process has been faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    use_key_of(directory)
}

/// Masks by the key in this directory from now on.
///
/// # Errors
/// When there is none.
pub fn use_key_of(directory: &Path) -> io::Result<()> {
    let key = fs::read(directory.join(KEY_FILE))?;
    if key.len() != KEY_LEN {
        return Err(io::Error::other(format!("`{KEY_FILE}` is no key")));
    }
    let _ = KEY.set(Some(hmac::Key::new(hmac::HMAC_SHA256, &key)));
    Ok(())
}

fn random() -> Option<[u8; KEY_LEN]> {
    let random = ring::rand::generate(&ring::rand::SystemRandom::new());
    random.ok().map(ring::rand::Random::expose)
}

fn key() -> Option<&'static hmac::Key> {
    let key = KEY.get_or_init(|| Some(hmac::Key::new(hmac::HMAC_SHA256, &random()?)));
    key.as_ref()
}

/// What stands for a value: the same each time, so that what is decided by it can be decided again.
pub fn mask(name: &str, value: &[u8]) -> String {
    let mut masked = MASK.to_owned();
    if let Some(key) = key() {
        let mut context = hmac::Context::with_key(key);
        context.update(name.as_bytes());
        // No name has this byte.
        context.update(&[0xff]);
        context.update(value);
        for byte in context.sign().as_ref().iter().take(TAG) {
            let _ = write!(masked, "{byte:02x}");
        }
    }
    masked
}

/// Whether values of this name are masked: it sounds secret, or holds one of `more`.
pub fn is_secret(name: &str, more: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
        || LISTS.contains(&name.as_str())
        || more.iter().any(|word| name.contains(word.as_str()))
}

/// Whether a value lets in whoever has it, whatever its name is: a signed color, or a JWT.
pub fn is_token(value: &str) -> bool {
    // A scheme may stand before it.
    let mut words = value.as_bytes().rsplit(|byte| *byte == b' ');
    let word = words.next().unwrap_or_default();
    is_signed_color(word) || is_jwt(word)
}

fn is_base64url(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.iter().all(is_digit)
}

/// `canary~1794829200~k1~c2lnbmF0dXJl…`
fn is_signed_color(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b'~');
    let (_, expires, _, tag) = (parts.next(), parts.next(), parts.next(), parts.next());
    let is_time = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    expires.is_some_and(is_time) && tag.is_some_and(is_base64url)
}

/// Three parts in base64url, of which the first is an object of JSON.
fn is_jwt(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b'.');
    word.starts_with(b"eyJ") && parts.clone().count() == 3 && parts.all(is_base64url)
}

/// The query with secrets masked: values of names that sound secret or hold one of `more`, and
/// tokens.
pub fn query<'q>(query: &'q str, more: &[String]) -> Cow<'q, str> {
    let is_secret = |pair: &str| hides(pair, more);
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut masked = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            masked.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_secret(pair) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            _ => masked.push_str(pair),
        }
    }
    Cow::Owned(masked)
}

/// The same of a URL's query; who is named before its host is hidden too.
pub fn url<'u>(url: &'u str, more: &[String]) -> Cow<'u, str> {
    let (place, asked) = url
        .split_once('?')
        .map_or((url, None), |(place, asked)| (place, Some(asked)));
    let named = place.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{MASK}@{host}{path}"))
    });
    let asked = asked.map(|asked| query(asked, more));
    match (named, asked) {
        (None, None | Some(Cow::Borrowed(_))) => Cow::Borrowed(url),
        (named, asked) => {
            let mut masked = named.unwrap_or_else(|| place.to_owned());
            if let Some(asked) = asked {
                masked.push('?');
                masked.push_str(&asked);
            }
            Cow::Owned(masked)
        }
    }
}

/// Whether a pair has a value to hide. An encoded name is hidden too: it may spell anything.
fn hides(pair: &str, more: &[String]) -> bool {
    let Some((name, value)) = pair.split_once('=') else {
        return false;
    };
    let decoded = || percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    name.contains('%')
        || is_secret(name, more)
        || is_token(value)
        || value.contains('%') && is_token(&decoded())
}

#[cfg(test)]
mod tests {
    use super::{MASK, is_secret, is_token, mask};
    use std::borrow::Cow;

    const COLOR: &str = "canary~1794829200~k1~c2lnbmF0dXJl";
    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln";

    fn query(text: &str) -> Cow<'_, str> {
        super::query(text, &["email".to_owned()])
    }

    #[test]
    fn values_of_secret_names_are_masked_and_nothing_else() {
        assert_eq!(query("a=1&b=2"), "a=1&b=2");
        assert_eq!(
            query("a=1&access_token=x&b&API_KEY=y=z"),
            "a=1&access_token=***&b&API_KEY=***"
        );
        assert_eq!(query("user_Email=a@b"), "user_Email=***");
        assert_eq!(query("%74oken=x"), "%74oken=***");
        assert_eq!(query(""), "");
    }

    #[test]
    fn tokens_are_masked_by_any_name() {
        assert_eq!(query(&format!("a={COLOR}&b=1&c={JWT}")), "a=***&b=1&c=***");
        assert_eq!(query(&format!("a={}", COLOR.replace('~', "%7e"))), "a=***");
        assert!(is_token(&format!("Bearer {JWT}")));
        for other in [
            "canary", "", "a~b~c~d", "a.b.c", "1.2.3", "~", "~~~", "eyJ.x",
        ] {
            assert!(!is_token(other), "{other}");
        }
    }

    #[test]
    fn names_that_sound_secret_are_known_in_any_case() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "x-api-key",
            "SESSION",
        ] {
            assert!(is_secret(name, &[]), "{name}");
        }
        for name in ["x-group", "cookies-accepted", "side"] {
            assert!(!is_secret(name, &[]), "{name}");
        }
        assert!(is_secret("x-email", &["email".to_owned()]));
    }

    #[test]
    fn a_mask_tells_values_apart_and_not_what_they_are() {
        let masked = mask("x-api-key", b"hush");
        assert!(masked.starts_with(MASK) && masked.len() == 15, "{masked}");
        assert_eq!(masked, mask("x-api-key", b"hush"));
        assert_ne!(masked, mask("x-api-key", b"hush!"));
        assert_ne!(
            masked,
            mask("x-other-key", b"hush"),
            "nor which are the same elsewhere"
        );
    }
}

//! Colors that strangers may bring: a name, when it expires, which key, and an HMAC over these.
//!
//! `canary~1794829200~k1~c2lnbmF0dXJl…`: characters that headers, cookies and queries carry as
//! they are. The key says who may let people in, so it never leaves the gateway and its operators.

use super::ColorId;
use super::selector::Selectable;
use crate::config::Config;
use crate::config::admin::Secret;
use crate::config::selector::Selector;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use ring::hmac;

/// Longest token.
const TOKEN_MAX: usize = 256;
/// Shortest secret that signs colors, in bytes.
pub const KEY_MIN: usize = 16;
/// What is signed begins with this, so that no signature made for something else fits.
const PURPOSE: &str = "tyrian color ";

/// The keys that sign colors, by id.
#[derive(Debug)]
pub struct Keys(Vec<(String, hmac::Key)>);

/// A color that is vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    pub color: ColorId,
    /// Seconds since the epoch.
    pub expires: u64,
    /// Where a link brought it: the token, for a cookie that keeps it.
    pub link: Option<String>,
}

impl Keys {
    /// Reads the secrets. Those that cannot be used have been reported by the check, and vouch for
    /// nothing.
    pub fn build(config: &Config) -> Self {
        let keys = config.coloring.keys.iter().filter_map(|(id, secret)| {
            let secret = Secret::text(&secret.value).filter(|text| text.len() >= KEY_MIN)?;
            Some((
                id.clone(),
                hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            ))
        });
        Self(keys.collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A token for a color; `None`: there is no key of this id. Without an id, the first one.
    pub fn sign(&self, color: &str, expires: u64, id: Option<&str>) -> Option<String> {
        let mut keys = self.0.iter();
        let (id, key) = keys.find(|(known, _)| id.is_none_or(|id| id == known))?;
        let said = format!("{color}~{expires}~{id}");
        let tag = hmac::sign(key, format!("{PURPOSE}{said}").as_bytes());
        Some(format!("{said}~{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// The color of a token and when it expires, if it is sound at `now`.
    pub fn verify<'t>(&self, token: &'t str, now: u64) -> Option<(&'t str, u64)> {
        let (said, tag) = token
            .rsplit_once('~')
            .filter(|_| token.len() <= TOKEN_MAX)?;
        let mut parts = said.split('~');
        let (color, expires, id) = (parts.next()?, parts.next()?, parts.next()?);
        let expires: u64 = expires.parse().ok()?;
        let (_, key) = self.0.iter().find(|(known, _)| known == id)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(key, format!("{PURPOSE}{said}").as_bytes(), &tag).ok()?;
        (now < expires && parts.next().is_none()).then_some((color, expires))
    }
}

impl super::coloring::Coloring {
    /// The color that a request brings with a sound signature, from the first source that has one.
    pub fn vouched(
        &self,
        headers: &HeaderMap,
        query: &str,
        now: u64,
        by: impl Fn(&str) -> Option<(String, u64)>,
    ) -> Option<Vouched> {
        if !self.signs() {
            return None;
        }
        let request = Selectable::of_head(headers, query);
        self.sources().iter().find_map(|source| {
            let value = source.value(&request)?;
            let token = std::str::from_utf8(&value).ok()?;
            let own = self.keys().verify(token, now);
            let own = own.map(|(name, expires)| (name.to_owned(), expires));
            let (name, expires) = own.or_else(|| by(token))?;
            Some(Vouched {
                color: self.named(name.as_bytes())?,
                expires,
                link: matches!(**source, Selector::Query(_)).then(|| token.to_owned()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use proptest::prelude::*;
    use ring::hmac;

    fn keys() -> Keys {
        let key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Keys(vec![
            ("k1".to_owned(), key("one")),
            ("k2".to_owned(), key("two")),
        ])
    }

    #[test]
    fn a_token_is_good_until_it_expires_and_by_its_own_key_only() {
        let token = keys().sign("canary", 100, Some("k2")).unwrap();
        assert_eq!(keys().verify(&token, 99), Some(("canary", 100)));
        assert_eq!(keys().verify(&token, 100), None);
        let by_another = token.replace("~k2~", "~k1~");
        assert_eq!(keys().verify(&by_another, 0), None);
        assert_eq!(keys().sign("canary", 100, Some("k3")), None);
        assert!(keys().sign("canary", 100, None).unwrap().contains("~k1~"));
    }

    proptest! {
        #[test]
        fn no_other_text_is_sound(
            at in 0_usize..60, with in any::<char>(), garbage in ".{0,80}",
        ) {
            let token = keys().sign("canary", 100, None).unwrap();
            let mut chars: Vec<char> = token.chars().collect();
            let at = at.min(chars.len() - 1);
            prop_assume!(chars[at] != with);
            chars[at] = with;
            let forged: String = chars.into_iter().collect();
            // The last letter of base64 has bits that are not the signature's.
            prop_assume!(at + 1 < token.len());
            prop_assert_eq!(keys().verify(&forged, 0), None);
            prop_assert_eq!(keys().verify(&garbage, 0), None);
        }
    }
}

//! What there is to say about files that a table names.

use crate::config::Place;
use crate::config::diagnostic::Diagnostic;
use crate::policy::jwt::UnusableKeys;
use crate::policy::lines::Remarks;
use crate::tls::Certified;
use std::fmt::Display;
use std::path::Path;

/// A table that names files.
pub(super) struct Table<'c> {
    name: String,
    at: Option<&'c Place>,
}

impl<'c> Table<'c> {
    pub fn new(name: String, at: &'c Place) -> Self {
        let at = Some(at);
        Self { name, at }
    }

    /// A table whose place is not known.
    pub fn nowhere(name: String) -> Self {
        Self { name, at: None }
    }

    fn at(&self, diagnostic: Diagnostic, label: &str) -> Diagnostic {
        match self.at {
            Some(at) => diagnostic.at(&at.spot(), label),
            None => diagnostic,
        }
    }

    /// What it names cannot be used.
    pub fn unusable(&self, why: &dyn Display) -> Diagnostic {
        let message = format!("`{}` cannot be put to work: {why}", self.name);
        let diagnostic = self.at(Diagnostic::error("TY0504", message), "needed here");
        match self.name.ends_with(".tls") {
            true => diagnostic.help("`tyrian dev-cert` makes certificates to try things out"),
            false => diagnostic,
        }
    }

    pub fn unusable_keys(&self, why: &UnusableKeys) -> Diagnostic {
        let diagnostic = self.unusable(why);
        match why.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    /// What it names cannot be used now, and has been in use.
    pub fn stale(&self, why: &dyn Display) -> Diagnostic {
        let message = format!("`{}` cannot be read anew: {why}", self.name);
        self.at(Diagnostic::warning("TY0505", message), "needed here")
    }

    /// Lines of its list that are odd.
    pub fn remarks(&self, path: &Path, remarks: &Remarks) -> Vec<Diagnostic> {
        let path = path.display();
        let odd = |message: String| {
            let diagnostic = Diagnostic::warning("TY0506", message);
            self.at(diagnostic, "its list")
        };
        let told = remarks.told.iter();
        let mut all: Vec<Diagnostic> = told
            .map(|(line, what)| odd(format!("{path}:{line}: {what}")))
            .collect();
        if remarks.more > 0 {
            all.push(odd(format!("{path} has {} more odd lines", remarks.more)));
        }
        all
    }

    /// Algorithms that no key is for.
    pub fn without_keys(&self, algorithms: &str) -> Diagnostic {
        let message = format!("`{}` has no key for {algorithms}", self.name);
        let diagnostic = self.at(
            Diagnostic::warning("TY0507", message),
            "tokens of these algorithms are refused",
        );
        diagnostic.help(
            "a key counts if it is public, for signatures, of a known curve, and with RSA of 2048 \
             to 8192 bits",
        )
    }

    /// A list of revoked tokens that had entries, and has none any more.
    pub fn revokes_nothing(&self, path: &Path, had: usize) -> Diagnostic {
        let path = path.display();
        let message = format!("{path} revokes nothing any more, and had {had} entries");
        self.at(
            Diagnostic::warning("TY0509", message),
            "what was revoked is accepted again",
        )
    }

    pub fn without_consumers(&self) -> Diagnostic {
        let message = format!("`{}` has a file without keys", self.name);
        let diagnostic = self.at(Diagnostic::warning("TY0327", message), "no key is accepted");
        diagnostic.help("one `CONSUMER:SHA256` per line: printf %s KEY | sha256sum")
    }
}

/// How long before its end a certificate is warned about, in seconds.
const EXPIRES_SOON: i64 = 7 * 24 * 3600;

/// Certificates that are not valid now, or not for long, or whose chain has a gap. Clients may
/// refuse them; not serving at all would be no better.
pub(super) fn doubts(certificates: &[Certified], at: &Place) -> Vec<Diagnostic> {
    let now = jiff::Timestamp::now().as_second();
    let doubt = |certificate: &Certified| {
        let file = &certificate.file;
        let what = match certificate {
            one if one.not_after <= now => format!("the certificate in {file} has expired"),
            one if one.not_before > now => format!("the certificate in {file} is not valid yet"),
            one if one.not_after <= now + EXPIRES_SOON => {
                format!("the certificate in {file} expires within a week")
            }
            one if !one.chained => {
                format!("the chain in {file} has a gap: leaf first, then who issued it")
            }
            _ => return None,
        };
        Some(Diagnostic::warning("TY0330", what).at(&at.spot(), "shown by this listener"))
    };
    certificates.iter().filter_map(doubt).collect()
}

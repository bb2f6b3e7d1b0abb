//! The dashboard: plain files, part of the binary. They hold no data and need no token; what they
//! show comes from the API, which does.

use super::Admin;
use super::auth::require_own_name;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::OnceLock;

/// Scripts and styles are files of ours; nothing is loaded from, sent to or framed by anyone else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr,)*) => {
        /// Every file, by its name below `/assets/`.
        static FILES: &[File] = &[$(File {
            name: $name,
            kind: $kind,
            content: include_bytes!(concat!("dashboard/", $name)),
        },)*];
    };
}

files! {
    "index.html": HTML,
    "icon.svg": "image/svg+xml",
    "app.css": CSS,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "chart.js": SCRIPT,
    "deeds.js": SCRIPT,
    "diff.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "guard.js": SCRIPT,
    "marks.js": SCRIPT,
    "state.js": SCRIPT,
    "pages/audit.js": SCRIPT,
    "pages/colors.js": SCRIPT,
    "pages/config.js": SCRIPT,
    "pages/limits.js": SCRIPT,
    "pages/listeners.js": SCRIPT,
    "pages/now.js": SCRIPT,
    "pages/rollouts.js": SCRIPT,
    "pages/routes.js": SCRIPT,
    "pages/services.js": SCRIPT,
    "pages/tap.js": SCRIPT,
}

#[derive(Debug)]
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

/// A file as it travels.
#[derive(Debug)]
struct Packed {
    file: &'static File,
    gzip: Vec<u8>,
    etag: String,
}

pub fn router(admin: &Admin) -> Router<Admin> {
    Router::new()
        .route(
            "/",
            get(async |headers: HeaderMap| serve("index.html", &headers)),
        )
        .route(
            "/assets/{*name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers)),
        )
        .route_layer(middleware::from_fn_with_state(
            admin.clone(),
            require_own_name,
        ))
}

fn serve(name: &str, asked: &HeaderMap) -> Response {
    let Some(packed) = packed().iter().find(|packed| packed.file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let file = packed.file;
    let header = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let mut answer = if header(header::IF_NONE_MATCH) == Some(&packed.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if header(header::ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip")) {
        ([(header::CONTENT_ENCODING, "gzip")], packed.gzip.as_slice()).into_response()
    } else {
        file.content.into_response()
    };
    let fixed = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    let headers = answer.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&packed.etag) {
        headers.insert(header::ETAG, etag);
    }
    answer
}

/// All files, packed at the first use of any.
fn packed() -> &'static [Packed] {
    static PACKED: OnceLock<Vec<Packed>> = OnceLock::new();
    PACKED.get_or_init(|| FILES.iter().map(pack).collect())
}

fn pack(file: &'static File) -> Packed {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = gzip.write_all(file.content);
    let hash = crate::live::hex(&Sha256::digest(file.content));
    Packed {
        file,
        gzip: gzip.finish().unwrap_or_default(),
        etag: format!("\"{}\"", hash.get(..16).unwrap_or(&hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES, packed};
    use std::path::Path;

    /// All of it, compressed.
    const SIZE_MAX: usize = 70_000;

    #[test]
    fn it_stays_small() {
        let size: usize = packed().iter().map(|packed| packed.gzip.len()).sum();
        assert!((10_000..SIZE_MAX).contains(&size), "{size} bytes");
    }

    #[test]
    fn every_file_is_served_and_names_nobody_else() {
        fn visit(directory: &Path, root: &Path) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, root);
                    continue;
                }
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                assert!(FILES.iter().any(|file| file.name == name), "{name}");
            }
        }
        let root = Path::new("src/admin/dashboard");
        visit(root, root);
        for file in FILES.iter().filter(|file| file.name.ends_with(".js")) {
            let text = std::str::from_utf8(file.content).unwrap();
            for forbidden in [
                "innerHTML",
                "eval(",
                "setAttribute(\"style",
                "import(\"http",
            ] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", file.name);
            }
        }
    }
}

//! What `tyrian demo` needs: two versions of a small upstream in this process, a configuration to
//! edit, and the lines to try.

mod ports;

pub use ports::Ports;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde_json::{Value, json};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// The configuration, with `@…@` where addresses belong.
const CONFIG: &str = include_str!("demo.toml");

/// The upstreams' addresses, by version.
#[derive(Debug)]
pub struct Upstreams {
    v1: SocketAddr,
    v2: SocketAddr,
}

/// Returns a directory for the demo's files, another one for each start.
pub fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("tyrian-demo-{}", std::process::id()))
}

/// Starts both versions on a thread of their own; they end with the process.
///
/// # Errors
/// When they cannot listen.
pub fn start_upstreams() -> io::Result<Upstreams> {
    let bind = || -> io::Result<TcpListener> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let (v1, v2) = (bind()?, bind()?);
    let upstreams = Upstreams {
        v1: v1.local_addr()?,
        v2: v2.local_addr()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("demo-upstreams".into())
        .spawn(move || {
            runtime.block_on(async {
                let _ = tokio::join!(serve(v1, "v1"), serve(v2, "v2"));
            });
        })?;
    Ok(upstreams)
}

async fn serve(listener: TcpListener, version: &'static str) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let answer = move |request: Request| async move {
        // The line feed keeps the next prompt of a shell off the answer.
        let text = format!("{}\n", describe(version, &request));
        ([(header::CONTENT_TYPE, "application/json")], text)
    };
    axum::serve(listener, Router::new().fallback(answer)).await
}

/// What the upstream has seen.
fn describe(version: &str, request: &Request) -> Value {
    let header = |headers: &HeaderMap, name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned)
    };
    json!({
        "version": version,
        "path": request.uri().path(),
        "color": header(request.headers(), "x-tyrian-color"),
        "request_id": header(request.headers(), "x-request-id"),
    })
}

/// Writes the configuration that the newcomer edits.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(directory: &Path, ports: Ports, upstreams: &Upstreams) -> io::Result<PathBuf> {
    let text = CONFIG
        .replace("@PORT@", &ports.gateway.to_string())
        .replace("@ADMIN@", &ports.admin.to_string())
        .replace("@METRICS@", &ports.metrics.to_string())
        .replace("@V1@", &upstreams.v1.to_string())
        .replace("@V2@", &upstreams.v2.to_string());
    let file = directory.join("tyrian.toml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// What to try; with the address of the dashboard and the file of its token, if it is there.
pub fn welcome(file: &Path, port: u16, dashboard: Option<(SocketAddr, &Path)>) -> String {
    let file = file.display();
    let watch = dashboard.map(|(address, token)| {
        let token = token.display();
        format!(
            "Watch  http://{address}/ with the token in {token}\n\
             \x20      tyrian top --admin {address} --token-file {token}\n"
        )
    });
    let watch = watch.unwrap_or_default();
    format!(
        "\n\
         tyrian serves on http://127.0.0.1:{port}, in front of two versions of one small service.\n\
         \n\
         1. Uncolored traffic meets the default version:\n\
         \x20  curl -s http://127.0.0.1:{port}/hello\n\
         2. A beta user is dyed by a rule, and meets v2:\n\
         \x20  curl -s -H 'x-user-group: beta' http://127.0.0.1:{port}/hello\n\
         3. A trusted caller brings its color along:\n\
         \x20  curl -s -H 'x-tyrian-color: canary' http://127.0.0.1:{port}/hello\n\
         \n\
         Why?   tyrian explain -c {file} 'GET http://localhost/hello' -H 'x-user-group: beta'\n\
         {watch}\
         Then edit {file}, save, and try again:\n\
         the change is live at once, and a mistake is told here and changes nothing.\n\
         Ctrl-C ends it all.\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{CONFIG, welcome};
    use crate::config::load_text;
    use crate::live::checked;

    #[test]
    fn whoever_tries_it_is_told_where_to_watch() {
        let (file, token) = ("a.toml".as_ref(), "admin.token".as_ref());
        let address = "127.0.0.1:9980".parse().unwrap();
        let said = welcome(file, 8080, Some((address, token)));
        assert!(
            said.contains("http://127.0.0.1:9980/ with the token in admin.token\n"),
            "{said}"
        );
        assert!(!welcome(file, 8080, None).contains("token"));
    }

    #[test]
    fn the_demo_configuration_is_sound_and_its_tests_hold() {
        let text = CONFIG.replace("@PORT@", "8080");
        let text = text
            .replace("@ADMIN@", "9980")
            .replace("@METRICS@", "9981")
            .replace("@V1@", "127.0.0.1:1")
            .replace("@V2@", "127.0.0.1:2");
        let loaded = load_text("demo.toml", &text, &|_| None);
        let problems = loaded.render_human(false);
        assert!(checked(loaded).is_ok(), "{problems}");
        assert_eq!(problems, "");
    }
}

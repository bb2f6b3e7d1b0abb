//! A collector: its address and how it is spoken to, by the file and by `OTEL_EXPORTER_OTLP_*`.

use super::environment::Environment;
use super::resource::pairs;
use crate::config::traces::{Headers, Protocol, Url};
use http::{HeaderName, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;

/// A collector, and how it is spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// With its path for HTTP.
    pub url: String,
    pub protocol: Protocol,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of one request.
    pub timeout: Duration,
    pub gzip: bool,
    /// Authorities that are believed instead of the system's.
    pub ca: Option<PathBuf>,
    /// The gateway's certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What the file says.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'c> {
    pub url: Option<&'c Url>,
    pub protocol: Protocol,
    pub headers: &'c Headers,
}

impl Target {
    /// Of a signal (`TRACES`, `METRICS`): what its own variables say, else the general ones, else the
    /// configuration.
    pub fn of(signal: &str, file: Asked, env: &Environment) -> Self {
        let Asked { url, protocol, .. } = file;
        let protocol = match env.otlp(signal, "PROTOCOL") {
            None => protocol,
            Some((word, name)) => match word.as_str() {
                "grpc" => Protocol::Grpc,
                "http/protobuf" => Protocol::HttpProtobuf,
                _ => {
                    env.complain(format!(
                        "{name}={word}: only grpc and http/protobuf are known; using http/protobuf"
                    ));
                    Protocol::HttpProtobuf
                }
            },
        };
        let timeout = env
            .otlp(signal, "TIMEOUT")
            .and_then(|(_, name)| env.millis(&name));
        let path = |what| env.otlp(signal, what).map(|(path, _)| PathBuf::from(path));
        let gzip = match env.otlp(signal, "COMPRESSION") {
            Some((word, _)) if word == "gzip" && protocol == Protocol::HttpProtobuf => true,
            Some((word, name)) if word != "none" => {
                env.complain(format!(
                    "{name}={word}: only gzip over HTTP is known; sending uncompressed"
                ));
                false
            }
            _ => false,
        };
        Self {
            url: endpoint(signal, url, protocol, env),
            protocol,
            headers: headers(signal, env).unwrap_or_else(|| given(file.headers)),
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            gzip,
            ca: path("CERTIFICATE"),
            identity: path("CLIENT_CERTIFICATE").zip(path("CLIENT_KEY")),
        }
    }
}

/// A signal's own variable is taken as it is; to anything else its path is added, for HTTP.
fn endpoint(signal: &str, url: Option<&Url>, protocol: Protocol, env: &Environment) -> String {
    let insecure = env
        .otlp(signal, "INSECURE")
        .is_some_and(|(word, _)| word.eq_ignore_ascii_case("true"));
    let sound = |name: &str| {
        env.parsed(name, |text| match (text.contains("://"), protocol) {
            (false, Protocol::Grpc) if insecure => Url::new(&format!("http://{text}")),
            (false, Protocol::Grpc) => Url::new(&format!("https://{text}")),
            _ => Url::new(text),
        })
    };
    let own = sound(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
    if let Some(Url(own)) = own {
        return own;
    }
    let base = sound("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| url.cloned());
    let base = base.map(|Url(base)| base);
    let port = match protocol {
        Protocol::HttpProtobuf => 4318,
        Protocol::Grpc => 4317,
    };
    let base = base.unwrap_or_else(|| format!("http://localhost:{port}"));
    match protocol {
        Protocol::HttpProtobuf => {
            let signal = signal.to_ascii_lowercase();
            format!("{}/v1/{signal}", base.trim_end_matches('/'))
        }
        Protocol::Grpc => base,
    }
}

/// Those of the file; what cannot be read has been reported by the check.
fn given(headers: &Headers) -> Vec<(HeaderName, HeaderValue)> {
    let headers = headers.iter();
    let given = headers.filter_map(|(name, text)| Some((name.clone(), text.value()?)));
    given.collect()
}

/// Those of a variable, if there is one. Sensitive by nature: never printed.
fn headers(signal: &str, env: &Environment) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let (text, name) = env.otlp(signal, "HEADERS")?;
    let headers = pairs(&text).and_then(|pairs| {
        let header = |(key, value): (String, String)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((key.to_ascii_lowercase().parse().ok()?, value))
        };
        pairs.into_iter().map(header).collect::<Option<Vec<_>>>()
    });
    if headers.is_none() {
        env.complain(format!("{name} is not key=value,key=value, and ignored"));
    }
    headers
}

//! What `tyrian check --online` finds: not in the file, but around it. Every problem is a warning,
//! because the machine that checks need not be the one that serves.

use crate::config::Config;
use crate::config::access_log::LogPath;
use crate::config::admin::Secret;
use crate::config::diagnostic::Diagnostic;
use crate::config::jwt::{Keys, KeysByUrl};
use crate::config::listener::Bind;
use crate::outbound;
use crate::policy::jwt::KeySet;
use crate::telemetry::metrics::process;
use crate::telemetry::otel::environment::Environment;
use crate::telemetry::otel::setup::{PushSetup, Setup};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Longest wait for an endpoint to accept a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest wait for an issuer.
const ISSUER: Duration = Duration::from_secs(5);
/// Clocks further apart than this make tokens early or late.
const SKEW_MAX: Duration = Duration::from_secs(10);
/// Endpoints that are tried.
const ENDPOINTS_MAX: usize = 256;

/// Looks around.
pub fn examine(config: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    descriptors(config, &mut found);
    ports(config, &mut found);
    endpoints(config, &mut found);
    collectors(config, &mut found);
    files(config, &mut found);
    issuers(config, &mut found);
    found
}

fn warn(code: &'static str, message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(code, message).help(help)
}

fn descriptors(config: &Config, found: &mut Vec<Diagnostic>) {
    if let Some(message) = process::too_few_descriptors(config) {
        let help = "raise `LimitNOFILE` of the unit (or `ulimit -n`), or lower `max_connections`";
        found.push(warn("TY0510", message, help));
    }
}

fn ports(config: &Config, found: &mut Vec<Diagnostic>) {
    let listeners = config.listeners.iter();
    let listeners =
        listeners.map(|(name, listener)| (format!("listener `{name}`"), listener.bind.clone()));
    let admin = [
        ("`admin.bind`", config.admin.bind),
        ("`admin.metrics`", config.admin.metrics),
    ];
    let admin = admin.into_iter().filter(|_| config.admin.explicit);
    let admin = admin.filter_map(|(name, address)| Some((name.to_owned(), Bind::Tcp(address?))));
    // Held until all have been tried: two of our own may want the same port.
    let mut held = Vec::new();
    for (name, address) in listeners.chain(admin) {
        // A Unix socket would be taken from whoever listens on it.
        let Bind::Tcp(socket) = &address else {
            continue;
        };
        match TcpListener::bind(socket) {
            Ok(listener) => held.push(listener),
            Err(error) => {
                let message = format!("{name} cannot bind {address}: {error}");
                let help = "if the gateway runs here already, this is its own port";
                found.push(warn("TY0510", message, help));
            }
        }
    }
}

/// Whoever takes spans and metrics is there, by the file and by the variables of this shell.
fn collectors(config: &Config, found: &mut Vec<Diagnostic>) {
    let env = Environment::new(&crate::config::environment);
    let spans = Setup::of(&config.telemetry, &env).map(|setup| setup.export.target);
    let metrics = PushSetup::of(&config.telemetry, &env).map(|setup| setup.target);
    let mut urls: Vec<String> = spans.into_iter().chain(metrics).map(|to| to.url).collect();
    urls.dedup_by(|one, other| place(one) == place(other));
    for url in urls {
        if let Some(Err(why)) = place(&url).map(|place| reach(&place)) {
            let help = "traffic does not notice; spans and metrics are lost and counted";
            found.push(warn("TY0511", format!("collector `{url}`: {why}"), help));
        }
    }
}

/// Host and port of a URL.
fn place(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let usual = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    Some(format!(
        "{}:{}",
        uri.host()?,
        uri.port_u16().unwrap_or(usual)
    ))
}

/// Names resolve, and somebody accepts connections.
fn endpoints(config: &Config, found: &mut Vec<Diagnostic>) {
    let services = config.services.values();
    let versions = services.flat_map(|service| service.versions.values());
    let addresses = versions.flat_map(|version| &version.endpoints);
    let addresses: BTreeSet<&str> = addresses.map(|endpoint| &*endpoint.address).collect();
    let problems = std::thread::scope(|scope| {
        let tried = addresses.iter().take(ENDPOINTS_MAX);
        let tried: Vec<_> = tried
            .map(|address| scope.spawn(|| reach(address).err().map(|why| (*address, why))))
            .collect();
        let joined = tried
            .into_iter()
            .filter_map(|try_| try_.join().ok().flatten());
        joined.collect::<Vec<_>>()
    });
    for (address, why) in problems {
        let help = "requests that meet it go elsewhere, or are refused when nothing else is left";
        found.push(warn("TY0511", format!("endpoint `{address}`: {why}"), help));
    }
}

fn reach(address: &str) -> Result<(), String> {
    if let Some(path) = address.strip_prefix("unix:") {
        let connected = UnixStream::connect(path);
        return connected.map(drop).map_err(|error| error.to_string());
    }
    let resolved: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| format!("its name does not resolve: {error}"))?
        .collect();
    let mut why = "its name has no address".to_owned();
    for address in resolved {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => why = format!("nobody answers at {address}: {error}"),
        }
    }
    Err(why)
}

fn files(config: &Config, found: &mut Vec<Diagnostic>) {
    let tokens = [Some(&config.admin.token), config.admin.read_token.as_ref()];
    for secret in tokens.into_iter().flatten() {
        if let Secret::File(path) = secret
            && let Ok(meta) = path.metadata()
            && meta.permissions().mode() & 0o077 != 0
        {
            let message = format!("others may read the token in {}", path.display());
            let help = format!("chmod 600 {}", path.display());
            found.push(warn("TY0513", message, help));
        }
    }
    if let LogPath::File(path) = &config.telemetry.access_log.path {
        let directory = path.parent().filter(|parent| *parent != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        if !directory.is_dir() {
            let message = format!(
                "the directory of the access log, {}, is not there",
                directory.display()
            );
            found.push(warn(
                "TY0513",
                message,
                "make it, and let the gateway's user write to it",
            ));
        }
    }
}

/// Issuers answer with keys, and agree with this machine on the time.
fn issuers(config: &Config, found: &mut Vec<Diagnostic>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    for (name, provider) in &config.jwt {
        let Keys::Url(source) = &provider.keys else {
            continue;
        };
        let url = &source.url;
        let (message, help) = match runtime.block_on(ask(source)) {
            Err(why) => (
                format!("keys of `{name}` cannot be fetched from {url}: {why}"),
                "until they can, every token of this issuer is refused",
            ),
            Ok(Answer { keys, skew }) => {
                let skew = skew.filter(|skew| *skew > SKEW_MAX);
                match (keys.uncovered(&provider.algorithms), skew) {
                    (Some(names), _) => (
                        format!("no key of `{name}` at {url} is one for {names}"),
                        "tokens signed by it are refused; take it out of `algorithms`",
                    ),
                    (None, Some(skew)) => (
                        format!(
                            "this clock and that of {url} are {} s apart",
                            skew.as_secs()
                        ),
                        "tokens will seem expired or not yet valid; see `timedatectl`",
                    ),
                    (None, None) => continue,
                }
            }
        };
        found.push(warn("TY0512", message, help));
    }
}

/// What an issuer says.
struct Answer {
    keys: KeySet,
    /// How far its clock is from ours, if it tells the time.
    skew: Option<Duration>,
}

async fn ask(source: &KeysByUrl) -> Result<Answer, String> {
    let client = outbound::client(ISSUER, source.ca.as_deref())?;
    let answer = client
        .get(&source.url)
        .send()
        .await
        .map_err(outbound::words)?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status().as_u16()));
    }
    let date = answer.headers().get(http::header::DATE);
    let date = date.and_then(|date| date.to_str().ok()?.parse::<HttpDate>().ok());
    let document = outbound::body(answer, KeySet::DOCUMENT_MAX).await?;
    let keys = KeySet::from_jwks(&document).map_err(|error| error.to_string())?;
    let now = SystemTime::now();
    let skew = date.map(|HttpDate(date)| match now.duration_since(date) {
        Ok(behind) => behind,
        Err(ahead) => ahead.duration(),
    });
    Ok(Answer { keys, skew })
}

/// The time of a `Date` field (RFC 9110, section 5.6.7).
struct HttpDate(SystemTime);

impl std::str::FromStr for HttpDate {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let zoned = jiff::fmt::rfc2822::parse(text)?;
        Ok(Self(zoned.timestamp().into()))
    }
}

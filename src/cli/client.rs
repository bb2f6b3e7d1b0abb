//! Talks to the admin API of a running gateway.

use super::{Exit, find_config, state_dir};
use crate::admin::{TOKEN_FILE, Token};
use crate::config::admin::{self, Admin};
use crate::state::{self, Instance, Wanted};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Response;

/// Longest wait for an answer; a reload of a large configuration takes a moment.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line of a stream.
const EVENT_MAX: u64 = 4 << 20;

/// Which gateway, and how to be let in.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Address of the admin API [default: as configured, else 127.0.0.1:9980]
    #[arg(long, value_name = "URL", env = "TYRIAN_ADMIN", global = true)]
    admin: Option<String>,
    /// File with the token [default: as configured, else admin.token in the state directory]
    #[arg(
        long,
        value_name = "FILE",
        env = "TYRIAN_ADMIN_TOKEN_FILE",
        global = true
    )]
    token_file: Option<PathBuf>,
    /// State directory of the gateway [default: $TYRIAN_STATE, else the usual one]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    /// Name of its folder there [default: $TYRIAN_INSTANCE, else by the API's address or -c]
    #[arg(
        long,
        value_name = "NAME",
        env = "TYRIAN_INSTANCE",
        hide_env = true,
        global = true
    )]
    instance: Option<Instance>,
    /// Configuration that says where the API is
    #[arg(short, long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,
}

/// A running gateway.
pub struct Client {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// A call that came to nothing.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    /// Prints the message and gives the exit.
    pub fn tell(&self) -> Exit {
        eprintln!("error: {}", self.message);
        self.exit
    }
}

impl Target {
    /// A gateway at this address, else the usual one, with the token in this file or directory.
    pub fn new(
        admin: Option<String>,
        token_file: Option<PathBuf>,
        state: Option<PathBuf>,
        instance: Option<Instance>,
    ) -> Self {
        Self {
            admin,
            token_file,
            state,
            instance,
            config: None,
        }
    }

    /// The configuration that was named.
    pub fn config_path(&self) -> Option<PathBuf> {
        self.config.clone()
    }

    /// The `[admin]` table of the configuration, as far as it can be read.
    fn configured(&self) -> Admin {
        let path = find_config(self.config.clone());
        let loaded = path.map(|path| crate::config::load(&path, &crate::config::environment));
        let config = loaded.and_then(|loaded| loaded.config);
        config.map(|config| config.admin).unwrap_or_default()
    }

    pub fn client(&self) -> Client {
        let configured = self.configured();
        let token = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .ok()
                .map(|text| text.trim().to_owned()),
            None => {
                let folder = self.folder(configured.bind.unwrap_or(admin::BIND).port());
                let token = Token::find(&configured.token, folder.as_deref());
                token.ok().and_then(|token| token.read())
            }
        };
        self.at(configured.bind.unwrap_or(admin::BIND), token)
    }

    /// The folder of the gateway's state, which is never made. Its API is at `port` unless
    /// `--admin` says otherwise.
    fn folder(&self, port: u16) -> Option<PathBuf> {
        let base = self.state.clone().or_else(|| state_dir(None))?;
        let config = find_config(self.config.clone());
        let wanted = Wanted {
            named: self.instance.clone(),
            derived: config.as_deref().map(Instance::of_config),
            port: self.admin.as_deref().map_or(Some(port), port_of),
        };
        state::find(&base, &wanted, TOKEN_FILE)
    }

    /// The port of the probes, which need no token.
    pub fn probes(&self) -> Client {
        let configured = self.configured();
        self.at(
            configured
                .metrics
                .or(configured.bind)
                .unwrap_or(admin::METRICS),
            None,
        )
    }

    fn at(&self, address: std::net::SocketAddr, token: Option<String>) -> Client {
        let base = match &self.admin {
            Some(base) if base.contains("://") => base.trim_end_matches('/').to_owned(),
            Some(base) => format!("http://{base}"),
            None => format!("http://{address}"),
        };
        // A proxy named in the environment is for the world outside: it must not see the token.
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        Client {
            base,
            token,
            agent: config.into(),
        }
    }
}

impl Client {
    pub fn get(&self, path: &str) -> Result<(u16, String), Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, String), Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "application/json");
        self.read(request.send(body.to_string()))
    }

    /// Follows a stream of events until `tell` wants no more, or it ends.
    ///
    /// # Errors
    /// When the gateway cannot be reached, refuses, or breaks off.
    pub fn follow(
        &self,
        path: &str,
        mut tell: impl FnMut(&str, Value) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let endless = request.config().timeout_global(None).build();
        let mut answer = endless.call().map_err(|error| self.unreachable(&error))?;
        if answer.status() != 200 {
            let (status, text) = self.read(Ok(answer))?;
            return parse(status, &text).map(|_| ());
        }
        let mut lines = BufReader::new(answer.body_mut().as_reader()).take(0);
        let (mut name, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            lines.set_limit(EVENT_MAX);
            let read = lines.read_line(&mut line);
            let read = read.map_err(|error| self.unreachable(&error.into()))?;
            if read == 0 {
                let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(self.unreachable(&error.into()));
            }
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim_end().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).unwrap_or_default();
                if tell(&name, data).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure {
            exit: Exit::Unreachable,
            message: format!("cannot reach the gateway at {}: {error}", self.base),
        }
    }

    fn read(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, String), Failure> {
        let unreachable = |error: ureq::Error| self.unreachable(&error);
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().map_err(unreachable)?;
        match status {
            401 | 403 => {
                let base = &self.base;
                let message = match &self.token {
                    Some(_) => format!("the gateway at {base} does not accept the token"),
                    None => format!(
                        "the gateway at {base} wants a token, and none was found; \
                         --token-file names its file, --state the directory that `run` was given, \
                         --instance the folder in it"
                    ),
                };
                let exit = Exit::NotPermitted;
                Err(Failure { exit, message })
            }
            _ => Ok((status, text)),
        }
    }

    pub fn get_json(&self, path: &str) -> Result<Value, Failure> {
        let (status, text) = self.get(path)?;
        parse(status, &text)
    }
}

/// The port of an address as `--admin` has it.
fn port_of(admin: &str) -> Option<u16> {
    let authority = admin.split_once("://").map_or(admin, |(_, rest)| rest);
    let authority = authority.split('/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// The JSON of an answer; problems become failures, but for verdicts, which are answers too.
pub fn parse(status: u16, text: &str) -> Result<Value, Failure> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if status < 300 || value.get("outcome").is_some() {
        return Ok(value);
    }
    let detail = value["detail"].as_str().unwrap_or(text);
    Err(Failure {
        exit: Exit::Failed,
        message: format!("{status}: {detail}"),
    })
}

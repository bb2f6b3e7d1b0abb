//! A gateway process: started on port 0, found by what it logs, ended by its handle.

use crate::client::{Answer, Connection};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Gateway {
    child: Child,
    addresses: HashMap<String, SocketAddr>,
    log: Arc<Mutex<Vec<String>>>,
    pub dir: tempfile::TempDir,
    /// A test that lets a plugin panic expects it in the log.
    panics: std::sync::atomic::AtomicBool,
}

/// Listeners that every test has; `trust` as given.
pub fn listeners(trust: &str) -> String {
    format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ trust = [{trust}] }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n"
    )
}

/// The binary, with an environment of its own.
pub fn tyrian() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tyrian"));
    command
        .env_clear()
        .env("TYRIAN_LOG_FORMAT", "json")
        .env("PATH", "/usr/bin:/bin");
    command
}

/// Lines of a process's standard error, as they come.
type Log = Arc<Mutex<Vec<String>>>;

fn launch(
    mut command: Command,
    dir: &std::path::Path,
    prepare: impl FnOnce(&mut Command),
) -> (Child, Log) {
    command.arg("run").arg("-c").arg(dir.join("tyrian.toml"));
    command.stdout(std::fs::File::create(dir.join("access.log")).unwrap());
    command.stderr(Stdio::piped());
    prepare(&mut command);
    let has_state = command.get_args().any(|argument| argument == "--state")
        || command.get_envs().any(|(name, _)| name == "TYRIAN_STATE");
    if !has_state {
        command.arg("--state").arg(dir.join("state"));
    }
    let mut child = command.spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let log = Log::default();
    let lines = log.clone();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    (child, log)
}

impl Gateway {
    /// Starts with this configuration and waits until all listeners are bound.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, |_| {})
    }

    pub fn start_with(config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::begin(tyrian(), config, prepare)
    }

    /// Starts another binary than `tyrian`.
    pub fn start_as(command: Command, config: &str) -> Self {
        Self::begin(command, config, |_| {})
    }

    /// From here on, a panic in the log is no failure.
    pub fn may_have_panicked(&self) {
        self.panics.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn begin(command: Command, config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tyrian.toml"), config).unwrap();
        let (child, log) = launch(command, dir.path(), prepare);
        let mut gateway = Self {
            child,
            addresses: HashMap::new(),
            log,
            dir,
            panics: std::sync::atomic::AtomicBool::new(false),
        };
        gateway.wait_until_it_listens();
        gateway
    }

    /// Ends the process and starts another one with the same files.
    pub fn restart(&mut self) {
        self.signal("TERM");
        assert!(self.wait().success());
        self.addresses.clear();
        (self.child, self.log) = launch(tyrian(), self.dir.path(), |_| {});
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&mut self) {
        self.wait_for("all listeners", |gateway| {
            gateway.find_addresses();
            gateway.addresses.contains_key("metrics")
        });
    }

    fn find_addresses(&mut self) {
        for line in self.log.lock().unwrap().iter() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if value["message"] == "listening" {
                // Unix sockets have none of this kind.
                let Ok(address) = value["address"].as_str().unwrap().parse() else {
                    continue;
                };
                self.addresses
                    .insert(value["listener"].as_str().unwrap().to_owned(), address);
            }
        }
    }

    /// The processes that sockets were handed to, in order.
    pub fn successors(&self) -> Vec<u32> {
        let log = self.log();
        let said = log
            .lines()
            .filter(|line| line.contains("a new process serves"));
        let values = said.filter_map(|line| serde_json::from_str(line).ok());
        let processes = values.filter_map(|value: serde_json::Value| value["process"].as_u64());
        processes.filter_map(|id| id.try_into().ok()).collect()
    }

    /// Waits until `done`, or fails with the log.
    pub fn wait_for(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "waited for {what}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address("web"))
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str, headers: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n");
        self.connect().exchange(request.as_bytes())
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("tyrian.toml")
    }

    /// Puts a new file in the old one's place, so that the watch never reads half of it.
    pub fn replace_config(&self, text: &str) {
        let beside = self.dir.path().join("next.toml");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.config_file()).unwrap();
    }

    pub fn write_config(&self, text: &str) {
        std::fs::write(self.config_file(), text).unwrap();
    }

    /// The folder of its state, to which the token's link in the base directory leads.
    pub fn state_folder(&self) -> PathBuf {
        let token = self.dir.path().join("state/admin.token");
        let token = token.canonicalize().unwrap();
        token.parent().unwrap().to_owned()
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("state/admin.token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// A call of the admin API.
    pub fn api(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        self.api_as(&self.token(), method, path, body)
    }

    /// A call of the admin API with another token.
    pub fn api_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, serde_json::Value) {
        let address = self.address("admin");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Connection::to(address).exchange(request.as_bytes());
        (
            answer.status,
            serde_json::from_slice(&answer.body).unwrap_or_default(),
        )
    }

    /// The value of a metric, by its name and labels as they are written.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics();
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|r| r.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    /// Waits until a metric has this value: a request is counted once it has ended, which its
    /// client may know a moment earlier.
    pub fn counts(&self, name: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name) != Some(value) {
            assert!(
                Instant::now() < deadline,
                "{name} is {:?}",
                self.metric(name)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn metrics(&self) -> String {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = Connection::to(self.address("metrics")).exchange(request.as_bytes());
        String::from_utf8(answer.body).unwrap()
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits for a line of the access log.
    pub fn logged(&mut self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let mut found = None;
        self.wait_for("a line of the access log", |gateway| {
            found = gateway.access_log().into_iter().find(&wanted);
            found.is_some()
        });
        found.unwrap()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn resident_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for process in self.successors() {
            let _ = Command::new("kill")
                .args(["-KILL", &process.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        if !std::thread::panicking() {
            let panicked = self.log().contains("panicked");
            assert!(!panicked || *self.panics.get_mut(), "{}", self.log());
            assert!(
                !self.log().to_lowercase().contains("pingora"),
                "{}",
                self.log()
            );
        }
    }
}

//! The life of a serving process: start, signals, readiness, drain, exit.

use super::{Exit, logging, upgrade};
use crate::admin::{Admin, Log, Token, Tokens, serve_api, serve_probes};
use crate::config::Loaded;
use crate::config::admin::Secret;
use crate::config::listener::{Bind, Tcp};
use crate::config::units::Lasting;
use crate::live::{Checked, Live, Source, Trigger, watch};
use crate::memory::apart;
use crate::server::{self, Serving};
use crate::sockets::{Inherited, Listening};
use crate::state::{Folder, Place};
use crate::telemetry::{Metrics, otel, redact};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Longest wait for the last lines of the access log, and for the last spans.
const FLUSH: Duration = Duration::from_secs(2);

/// What to serve, and how.
pub struct Service {
    pub source: Source,
    /// Where state is kept; `None`: nowhere.
    pub state: Option<Place>,
    pub log: logging::Form,
    /// Called with the listeners' addresses once everything serves.
    pub ready: Ready,
}

/// Told the listeners' addresses, and that of the administration.
pub type Ready = Box<dyn FnOnce(&Serving, Option<SocketAddr>)>;

/// Signals, taken over before anything else starts, so that none of them kills by default.
struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

enum Event {
    Reload,
    Reopen,
    HandOver,
    Leave,
}

impl Signals {
    fn take_over() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.user2.recv() => Event::Reload,
            _ = self.user1.recv() => Event::Reopen,
            _ = self.terminate.recv() => Event::Leave,
            _ = self.interrupt.recv() => Event::Leave,
            _ = self.quit.recv() => Event::HandOver,
        }
    }
}

/// Serves until told to leave.
pub fn serve(service: Service) -> Exit {
    logging::start(service.log);
    count_panics();
    crate::tls::install_provider();
    let mut inherited = Inherited::take();
    let mut signals = match take_over_signals() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot take over signals");
            return Exit::Failed;
        }
    };
    let checked = match apart(|| crate::live::check(&service.source)) {
        Some(Ok(checked)) => checked,
        Some(Err(loaded)) => return invalid(&loaded),
        None => return Exit::Failed,
    };
    let config = checked.0.config.as_ref();
    let threads = config.map_or(0, |config| config.server.threads);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(server::threads(threads))
        .thread_name("tyrian")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(live(service, checked, &mut inherited, &mut signals));
            // Connections that outlived the drain are cut here.
            runtime.shutdown_timeout(Duration::from_millis(100));
            exit
        }
        Err(error) => {
            tracing::error!(%error, "cannot start");
            Exit::Failed
        }
    }
}

/// Reading the configuration comes before the runtime, which it sizes, and takes a while when
/// there are many routes: a HUP meanwhile must not kill. Handlers are the process's, so a runtime
/// that lives for this call alone can install them.
fn take_over_signals() -> io::Result<Signals> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    Signals::take_over()
}

/// Panics are logged as one line; whoever catches them counts them.
fn count_panics() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%backtrace, "panicked: {info}");
    }));
}

fn invalid(loaded: &Loaded) -> Exit {
    eprint!("{}", loaded.render_human(super::wants_color(&io::stderr())));
    Exit::InvalidConfig
}

async fn live(
    service: Service,
    checked: Checked,
    inherited: &mut Inherited,
    signals: &mut Signals,
) -> Exit {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        tracing::error!(%error, "{what}");
        Exit::Failed
    };
    let metrics = Arc::new(Metrics::default());
    let folder = service.state.and_then(open_state);
    let live = match Live::open(service.source, checked, metrics.clone(), folder.as_ref()) {
        Ok(live) => live,
        Err(loaded) => return invalid(&loaded),
    };
    let serving = match server::start(live.current.clone(), metrics, inherited) {
        Ok(serving) => serving,
        Err(error) => return failed("cannot start", &error),
    };
    live.attend(serving.clone());
    let Administered { admin, doors, api } = match administer(&live, &serving, inherited) {
        Ok(started) => started,
        Err(error) => return failed("cannot start the administration", &error),
    };
    for remark in otel::environment::remarks() {
        tracing::warn!("{remark}");
    }
    for warning in &live.loaded().await.diagnostics {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let watcher = tokio::spawn(watch::watch(live.clone()));
    if let Some(folder) = &folder {
        folder.note(api);
    }
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    (service.ready)(&serving, api);
    upgrade::tell_ready();
    let handed_over = loop {
        match signals.next().await {
            Event::Reload => reload(&live).await,
            Event::Reopen => live.current.load().access_log.reopen(),
            Event::HandOver if hand_over(&live, &serving, &doors).await => break true,
            Event::HandOver => {}
            Event::Leave => break false,
        }
    };
    watcher.abort();
    leave(&live, &admin, &serving, signals, handed_over).await
}

/// Opens the folder of the state, and has masks made by its key. A gateway serves without, too.
fn open_state(place: Place) -> Option<Folder> {
    let path = place.path();
    let folder = Folder::open(place).inspect_err(|error| {
        let path = path.display();
        tracing::warn!(%path, %error, "no state can be kept: generations stay in memory only");
    });
    let folder = folder.ok()?;
    let key = match folder.is_writable() {
        true => redact::keep_key_in(folder.path()),
        false => redact::use_key_of(folder.path()),
    };
    if let Err(error) = key {
        tracing::warn!(%error, "masks in the log are by a key that is not kept");
    }
    Some(folder)
}

/// Hands the sockets and the state to a new process. Returns whether it serves now.
///
/// The new process reads the state as it starts, so this one stops writing before. If it does not
/// come to serve, this one goes on writing.
async fn hand_over(live: &Live, serving: &Serving, doors: &[(String, OwnedFd)]) -> bool {
    let lock = live.folder().and_then(Folder::yield_lock);
    let serves = hand_sockets(serving, doors, lock).await;
    match live.folder() {
        Some(folder) if serves => folder.release(),
        _ => live.write_again().await,
    }
    serves
}

/// Starts a new process with these sockets, and the lock of the state. Returns whether it serves.
async fn hand_sockets(
    serving: &Serving,
    doors: &[(String, OwnedFd)],
    lock: Option<OwnedFd>,
) -> bool {
    let doors = doors
        .iter()
        .map(|(name, door)| Ok((name.clone(), door.try_clone()?)));
    let sockets = serving.handles().and_then(|mut sockets| {
        let doors: io::Result<Vec<_>> = doors.collect();
        sockets.extend(doors?);
        Ok(sockets)
    });
    let handed = match sockets {
        Ok(sockets) => tokio::task::spawn_blocking(|| upgrade::hand_over(sockets, lock)).await,
        Err(error) => Ok(Err(error)),
    };
    match handed.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(process) => {
            tracing::info!(process, "a new process serves");
            tell_systemd(&[sd_notify::NotifyState::MainPid(process)]);
            true
        }
        Err(error) => {
            tracing::error!(%error, "cannot hand over; still serving");
            false
        }
    }
}

async fn reload(live: &Live) {
    let now = sd_notify::NotifyState::monotonic_usec_now().ok();
    let mut states = vec![sd_notify::NotifyState::Reloading];
    states.extend(now);
    tell_systemd(&states);
    live.reload(Trigger::Signal).await;
    tell_systemd(&[sd_notify::NotifyState::Ready]);
}

/// Lame duck, then drain, then out. A second signal ends it at once.
async fn leave(
    live: &Live,
    admin: &Admin,
    serving: &Serving,
    signals: &mut Signals,
    handed_over: bool,
) -> Exit {
    if !handed_over {
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
    }
    let drain = live.current.load().config.server.drain.clone();
    let (delay, timeout) = (Lasting(drain.delay), Lasting(drain.timeout));
    let grace = Lasting(drain.grace);
    // Connections first: a client that has seen that the process is not ready is told to close.
    serving.announce();
    admin.drain();
    tracing::info!(%delay, %grace, %timeout, "draining");
    let ended = async {
        // After a handover there is no need for load balancers to notice first.
        if !handed_over {
            tokio::time::sleep(drain.delay).await;
        }
        serving.drain(&drain, handed_over).await
    };
    let left = tokio::select! {
        left = ended => left,
        () = async { while !matches!(signals.next().await, Event::Leave) {} } => {
            tracing::warn!("told to leave again; leaving now");
            return Exit::Ok;
        }
    };
    if left > 0 {
        tracing::warn!(requests = left, "left before these requests had ended");
    }
    let last = live.current.load_full();
    let log = last.access_log.clone();
    let _ = tokio::task::spawn_blocking(move || log.flush(FLUSH)).await;
    if let Some(tracer) = &last.tracer {
        tracer.exporter.flush(FLUSH).await;
    }
    tracing::info!("drained");
    Exit::Ok
}

/// Messages to the service manager; without one they go nowhere.
fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}

/// The administration, started.
struct Administered {
    admin: Admin,
    /// Names and handles of its sockets, for whoever takes over.
    doors: Vec<(String, OwnedFd)>,
    /// Where its API is; `None`: nowhere.
    api: Option<SocketAddr>,
}

/// Starts the API and the probes. Ports that nobody asked for are given up when taken.
fn administer(
    live: &Arc<Live>,
    serving: &Arc<Serving>,
    inherited: &mut Inherited,
) -> io::Result<Administered> {
    let config = live.current.load().config.admin.clone();
    let folder = live.folder();
    let token = match Token::open(&config.token, folder) {
        // Nobody asked for this file; traffic, probes and metrics do without it.
        Err(error) if config.token == Secret::StateFile => {
            tracing::warn!(%error, "no token can be kept; the admin API lets nobody in");
            Token::nowhere()
        }
        token => token?,
    };
    let read = config.read_token.as_ref();
    let read = read
        .map(|secret| Token::find(secret, folder.map(Folder::path)))
        .transpose()?;
    let log = Log {
        get: logging::current,
        set: logging::set,
    };
    let admin = Admin::new(
        live.clone(),
        serving.clone(),
        Tokens { write: token, read },
        log,
    );
    let (mut doors, mut api) = (Vec::new(), None);
    for (name, address) in [("admin", config.bind), ("metrics", config.metrics)] {
        let Some(address) = address else { continue };
        // A name that no listener can have.
        let door = format!("tyrian.{name}");
        let (listener, handle) = match open(inherited, &door, address) {
            Ok(opened) => opened,
            Err(error) if !config.explicit => {
                tracing::warn!(listener = name, %address, %error, "cannot bind; going without");
                continue;
            }
            Err(error) => return Err(io::Error::other(format!("{name} on {address}: {error}"))),
        };
        doors.push((door, handle));
        let address = listener.local_addr()?;
        tracing::info!(listener = name, %address, "listening");
        match name {
            "admin" => {
                api = Some(address);
                drop(tokio::spawn(serve_api(listener, admin.clone())));
            }
            _ => drop(tokio::spawn(serve_probes(listener, admin.clone()))),
        }
    }
    Ok(Administered { admin, doors, api })
}

fn open(
    inherited: &mut Inherited,
    name: &str,
    address: SocketAddr,
) -> io::Result<(TcpListener, OwnedFd)> {
    let socket = inherited.or_bind(name, &Bind::Tcp(address), &Tcp::default())?;
    let handle = socket.handle()?;
    match socket {
        Listening::Tcp(listener) => Ok((TcpListener::from_std(listener)?, handle)),
        Listening::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

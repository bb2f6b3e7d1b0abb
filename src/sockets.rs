//! Listening sockets: bound anew, or taken over from whoever held them before (a service manager
//! that opens them early, or the process that this one replaces).
//!
//! Both speak the service manager's protocol: `LISTEN_FDS` sockets from descriptor 3 on, named by
//! `LISTEN_FDNAMES` (sd_listen_fds(3)). A socket is taken over by the listener of its name.

use crate::config::listener::{Bind, Tcp};
use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A socket that listens.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Where it really listens, port 0 resolved.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self, asked: &Bind) -> io::Result<Bind> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Bind::Tcp),
            Self::Unix(_) => Ok(asked.clone()),
        }
    }

    /// A second handle, for whoever takes over.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener) => listener.as_fd().try_clone_to_owned(),
        }
    }
}

/// Sockets that were open before this process began, by name.
#[derive(Debug, Default)]
pub struct Inherited(BTreeMap<String, Listening>);

impl Inherited {
    /// Takes them over. What is no listening socket is left alone.
    pub fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let taken = names.split(':').enumerate().filter_map(|(index, name)| {
            let tcp = sockets.take_tcp_listener(index);
            let socket = match tcp {
                Ok(Some(listener)) => Listening::Tcp(listener),
                Ok(None) => return None,
                Err(_) => Listening::Unix(sockets.take_unix_listener(index).ok()??),
            };
            Some((name.to_owned(), socket))
        });
        Self(taken.collect())
    }

    /// The socket of this name if it is bound where it should be, else a new one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn or_bind(&mut self, name: &str, bind: &Bind, tcp: &Tcp) -> io::Result<Listening> {
        match self.0.remove(name) {
            Some(socket) if is_at(&socket, bind) => {
                match &socket {
                    Listening::Tcp(listener) => listener.set_nonblocking(true)?,
                    Listening::Unix(listener) => listener.set_nonblocking(true)?,
                }
                Ok(socket)
            }
            _ => open(bind, tcp),
        }
    }
}

fn is_at(socket: &Listening, bind: &Bind) -> bool {
    match (socket, bind) {
        (Listening::Tcp(listener), Bind::Tcp(asked)) => listener.local_addr().is_ok_and(|at| {
            at.ip() == asked.ip() && (asked.port() == 0 || at.port() == asked.port())
        }),
        (Listening::Unix(listener), Bind::Unix(path)) => listener
            .local_addr()
            .is_ok_and(|at| at.as_pathname() == Some(path)),
        _ => false,
    }
}

/// Binds a socket and listens.
///
/// # Errors
/// When the address cannot be bound.
pub fn open(bind: &Bind, options: &Tcp) -> io::Result<Listening> {
    match bind {
        Bind::Tcp(address) => tcp(*address, options).map(Listening::Tcp),
        Bind::Unix(path) => unix(path, options).map(Listening::Unix),
    }
}

fn tcp(address: SocketAddr, options: &Tcp) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit these.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(options.keepalive))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_nonblocking(true)?;
    socket.listen(i32::from(options.backlog))?;
    Ok(socket.into())
}

/// A socket file that nobody listens on any more is in the way, and is removed.
fn unix(path: &Path, options: &Tcp) -> io::Result<UnixListener> {
    let stale = std::fs::symlink_metadata(path).is_ok_and(|meta| is_socket(&meta))
        && UnixStream::connect(path).is_err();
    if stale {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(true)?;
    socket.listen(i32::from(options.backlog))?;
    Ok(socket.into())
}

fn is_socket(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    meta.file_type().is_socket()
}

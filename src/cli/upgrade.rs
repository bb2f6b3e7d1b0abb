//! QUIT: hands the listening sockets to a new process, and leaves once it serves.
//!
//! Both processes hold the same sockets for a moment, so no connection is refused in between: what
//! the kernel has queued is accepted by whichever is there.

use command_fds::{CommandFdExt, FdMapping};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// First descriptor of sockets that are handed over (sd_listen_fds(3)).
const FIRST: i32 = 3;
/// Where the new process finds the descriptor on which it says that it serves.
const READY_FD: &str = "TYRIAN_READY_FD";
/// Longest wait for the new process to serve.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Starts this program anew with the same arguments and these sockets, and waits until it serves.
/// Returns its process id. The lock of the state, if this process has one, becomes the standard
/// input of the new one.
///
/// # Errors
/// When it cannot be started or does not come to serve; nothing has changed then.
pub fn hand_over(sockets: Vec<(String, OwnedFd)>, lock: Option<OwnedFd>) -> io::Result<u32> {
    let (mut reader, writer) = io::pipe()?;
    let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    let ready = FIRST + sockets.len() as i32;
    let mut arguments = std::env::args_os();
    let started_as = arguments.next();
    let mut command = Command::new(program(started_as));
    command
        .args(arguments)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env_remove("LISTEN_PID")
        .env(READY_FD, ready.to_string());
    if let Some(lock) = lock {
        command.stdin(lock);
    }
    let mut mappings: Vec<FdMapping> = sockets
        .into_iter()
        .zip(FIRST..)
        .map(|((_, parent_fd), child_fd)| FdMapping {
            parent_fd,
            child_fd,
        })
        .collect();
    mappings.push(FdMapping {
        parent_fd: writer.into(),
        child_fd: ready,
    });
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    let mut child = command.spawn()?;
    // Our own copy of the pipe's end goes with the command, so that a child that dies is heard.
    drop(command);
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        let mut byte = [0; 1];
        let _ = told.send(reader.read_exact(&mut byte));
    });
    match hears.recv_timeout(READY_WITHIN) {
        Ok(Ok(())) => Ok(child.id()),
        Ok(Err(_)) => {
            let status = child.wait()?;
            Err(io::Error::other(format!("the new process ended: {status}")))
        }
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Err(io::Error::other("the new process did not come to serve"))
        }
    }
}

/// The program on disk now: an upgrade has put a new file in the place of the one that runs.
fn program(started_as: Option<OsString>) -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    let text = running.to_string_lossy();
    let place = text.strip_suffix(" (deleted)").unwrap_or(&text);
    match PathBuf::from(place) {
        place if place.is_file() => place,
        _ => started_as.map(PathBuf::from).unwrap_or_default(),
    }
}

/// Tells whoever handed the sockets over that this process serves now.
pub fn tell_ready() {
    let Ok(descriptor) = std::env::var(READY_FD) else {
        return;
    };
    let said = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{descriptor}"))
        .and_then(|mut pipe| pipe.write_all(b"1"));
    if let Err(error) = said {
        tracing::debug!(%error, "nobody waits for this process to serve");
    }
}

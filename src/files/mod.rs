//! Reads files that a configuration names: regular files alone, up to a bound, without waiting.
//!
//! A named pipe, a socket or a device may block the thread that opens it, or never end. None of them is
//! opened, so one wrong path holds up neither a start nor a check.

pub mod pattern;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Largest file with one secret, in bytes.
pub const SECRET_MAX: usize = 1 << 20;
/// Largest file of certificates or revocation lists, in bytes.
pub const PEM_MAX: usize = 16 << 20;

/// Opens a regular file for reading; symbolic links are followed.
///
/// # Errors
/// When it cannot be opened, or is anything but a regular file.
pub fn open(path: &Path) -> Result<File> {
    // Opening alone has effects on some devices, so it is looked at before.
    regular(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        // It may have been replaced meanwhile by something that blocks.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `max` bytes.
///
/// # Errors
/// When it cannot be read, is anything but a regular file, or is larger.
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size that a file claims may be untrue, so one byte more is asked for.
    open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > max {
        true => Err(Error::other(format!("larger than {}", size(max)))),
        false => Ok(bytes),
    }
}

/// Reads a text as [`read`] does.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, max: usize) -> Result<String> {
    String::from_utf8(read(path, max)?).map_err(|_| Error::other("not a text in UTF-8"))
}

fn regular(file: &Metadata) -> Result<()> {
    let kind = file.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::other(format!("{what}, not a regular file")))
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::{read, read_text};
    use std::path::Path;

    #[test]
    fn what_could_block_or_never_end_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, expected) in [
            (pipe.as_path(), "a named pipe, not a regular file"),
            (link.as_path(), "a named pipe, not a regular file"),
            (socket.as_path(), "a socket, not a regular file"),
            (dir.path(), "a directory, not a regular file"),
            (Path::new("/dev/zero"), "a device, not a regular file"),
            (Path::new("/dev/tty"), "a device, not a regular file"),
        ] {
            assert_eq!(read(path, 9).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x".repeat(2048)).unwrap();
        assert_eq!(read(&path, 2048).unwrap().len(), 2048);
        let error = read(&path, 2047).unwrap_err().to_string();
        assert_eq!(error, "larger than 1 KiB");
        std::fs::write(&path, [0xff]).unwrap();
        let error = read_text(&path, 9).unwrap_err().to_string();
        assert_eq!(error, "not a text in UTF-8");
    }
}

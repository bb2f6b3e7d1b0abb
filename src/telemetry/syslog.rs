//! Lines to the system's log (RFC 5424), one datagram each.

use crate::config::access_log::Syslog as To;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;

/// Facility `local0`, severity `informational`.
const PRIORITY: u8 = 16 * 8 + 6;

/// An open way to the system's log.
#[derive(Debug)]
pub struct Syslog {
    to: To,
    socket: Socket,
    host: String,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    /// # Errors
    /// When nobody listens there.
    pub fn open(to: &To) -> io::Result<Self> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "-",
            host => host,
        };
        Ok(Self {
            to: to.clone(),
            socket: Socket::open(to)?,
            host: host.to_owned(),
        })
    }

    /// Sends all lines; returns how many were lost. A log that has restarted is found again.
    pub fn write(&mut self, lines: &[u8]) -> u64 {
        // More digits are not allowed (RFC 5424, section 6).
        let head = format!(
            "<{PRIORITY}>1 {:.6} {} tyrian {} - - ",
            jiff::Timestamp::now(),
            self.host,
            std::process::id()
        );
        let mut lost = 0;
        let lines = lines.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let message = [head.as_bytes(), line].concat();
            let sent = self.socket.send(&message).or_else(|_| {
                self.socket = Socket::open(&self.to)?;
                self.socket.send(&message)
            });
            lost += u64::from(sent.is_err());
        }
        lost
    }
}

impl Socket {
    fn open(to: &To) -> io::Result<Self> {
        Ok(match to {
            To::Socket(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Self::Unix(socket)
            }
            To::Udp(address) => {
                // Of the address's family, which only its resolution tells.
                let peer = address.to_socket_addrs()?.next();
                let peer = peer.ok_or_else(|| io::Error::other("no such host"))?;
                let any: IpAddr = match peer.ip() {
                    IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(peer)?;
                Self::Udp(socket)
            }
        })
    }

    fn send(&self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.send(message),
            Self::Udp(socket) => socket.send(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Syslog;
    use crate::config::access_log::Syslog as To;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn each_line_is_one_message_and_a_restarted_log_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let first = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::open(&To::Socket(path.clone())).unwrap();
        assert_eq!(syslog.write(b"one\ntwo\n"), 0);
        let mut buffer = [0; 512];
        let length = first.recv(&mut buffer).unwrap();
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(message.starts_with("<134>1 20"), "{message}");
        let time = message.split(' ').nth(1).unwrap();
        let (_, fraction) = time.split_once('.').unwrap();
        assert_eq!(fraction.len(), "123456Z".len(), "{time}");
        assert!(message.ends_with(" - - one"), "{message}");
        drop(first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(syslog.write(b"three\n"), 1, "nobody is there");
        let second = UnixDatagram::bind(&path).unwrap();
        assert_eq!(syslog.write(b"four\n"), 0);
        let length = second.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"four"));
    }

    #[test]
    fn it_speaks_udp() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let mut syslog = Syslog::open(&To::Udp(address)).unwrap();
        assert_eq!(syslog.write(b"hello\n"), 0);
        let mut buffer = [0; 512];
        let length = server.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"hello"));
    }
}

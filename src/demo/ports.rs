//! Ports for the demo: the ones that are wanted, or the next free ones.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Most ports that are tried for each use, beginning with the one that is wanted.
const TRIES: u16 = 200;

/// Where the demo listens. Zero: any port that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub gateway: u16,
    pub admin: u16,
    pub metrics: u16,
}

impl Ports {
    /// Finds free ports, beginning with these. Returns them with a sentence for each that had to
    /// be another one.
    ///
    /// # Errors
    /// When no port is free, or the system lets none be used.
    pub fn free(self) -> io::Result<(Self, Vec<String>)> {
        // All are held until the last one is found, so that none is found twice.
        let mut held = Vec::new();
        let mut remarks = Vec::new();
        let mut find = |what: &str, wanted: u16| {
            let found = next_free(wanted, &mut held)?;
            if found != wanted {
                remarks.push(format!("Port {wanted} is taken: {what} uses {found}."));
            }
            Ok::<u16, io::Error>(found)
        };
        let found = Self {
            gateway: find("the gateway", self.gateway)?,
            admin: find("the dashboard", self.admin)?,
            metrics: find("the metrics port", self.metrics)?,
        };
        Ok((found, remarks))
    }
}

fn next_free(wanted: u16, held: &mut Vec<TcpListener>) -> io::Result<u16> {
    if wanted == 0 {
        return Ok(0);
    }
    for port in wanted..=wanted.saturating_add(TRIES) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => {
                held.push(listener);
                return Ok(port);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(io::Error::other(format!("port {port}: {error}"))),
        }
    }
    let last = wanted.saturating_add(TRIES);
    Err(io::Error::other(format!(
        "no port from {wanted} to {last} is free"
    )))
}

#[cfg(test)]
mod tests {
    use super::Ports;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_port_that_is_taken_gives_way_to_the_next_free_one() {
        // A low one: there are ports behind it, and the system hands out none of them by itself.
        let mut low = (10_000..20_000).step_by(4);
        let taken = low.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        let taken = taken.unwrap();
        let port = taken.local_addr().unwrap().port();
        // The same wish three times: no port is found twice.
        let wanted = Ports {
            gateway: port,
            admin: port,
            metrics: port,
        };
        let (found, remarks) = wanted.free().unwrap();
        let mut ports = [port, found.gateway, found.admin, found.metrics];
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{found:?}");
        let said = format!("Port {port} is taken: the gateway uses {}.", found.gateway);
        assert_eq!((remarks.len(), remarks[0].as_str()), (3, said.as_str()));
    }

    #[test]
    fn any_port_stays_any_port() {
        let any = Ports {
            gateway: 0,
            admin: 0,
            metrics: 0,
        };
        assert_eq!(any.free().unwrap(), (any, Vec::new()));
    }
}

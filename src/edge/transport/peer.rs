//! An endpoint as the connector of pingora wants it described.

use crate::config::service::UpstreamHttp;
use crate::tls::UpstreamTls;
use crate::upstream::Address;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{self, ALPN};
use pingora::utils::tls::CertKey;
use rustc_hash::FxHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::sync::Arc;
use std::time::Duration;

/// Where and how to connect for one try.
#[derive(Debug, Clone)]
pub struct Peer {
    address: SocketAddr,
    tls: Option<Arc<UpstreamTls>>,
    /// The name that is asked for where the rules of TLS have none.
    host: String,
    alpn: ALPN,
    http: UpstreamHttp,
    connect_timeout: Duration,
    idle_timeout: Duration,
    hash: u64,
}

impl Peer {
    /// Describes an endpoint. `host` is the name of its certificate unless the rules of TLS have
    /// another one. Returns `None` where the path of a Unix socket is not a valid one.
    pub fn new(
        address: Address<'_>,
        host: &str,
        tls: Option<&Arc<UpstreamTls>>,
        http: UpstreamHttp,
        connect_timeout: Duration,
        idle_timeout: Duration,
    ) -> Option<Self> {
        let address = match address {
            Address::Tcp(address) => SocketAddr::Inet(address),
            Address::Unix(path) => SocketAddr::Unix(UnixAddress::from_pathname(path).ok()?),
        };
        let host = match tls {
            Some(tls) if tls.server_name.is_none() => host.to_owned(),
            _ => String::new(),
        };
        let alpn = match http {
            UpstreamHttp::H1 => ALPN::H1,
            UpstreamHttp::H2 | UpstreamHttp::H2c => ALPN::H2,
            UpstreamHttp::Auto => ALPN::H2H1,
        };
        let mut peer = Self {
            address,
            tls: tls.cloned(),
            host,
            alpn,
            http,
            connect_timeout,
            idle_timeout,
            hash: 0,
        };
        peer.hash = peer.digest();
        Some(peer)
    }

    /// Whether the connection has TLS.
    pub const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the protocol that the configuration wants.
    pub const fn http(&self) -> UpstreamHttp {
        self.http
    }

    /// Returns what connections are told apart by.
    pub const fn key(&self) -> u64 {
        self.hash
    }

    /// Returns how long a connection may be idle.
    pub const fn idle(&self) -> Duration {
        self.idle_timeout
    }

    /// The keys come from the configuration and DNS; a cheap hash is enough, since connections are
    /// also compared by their addresses.
    fn digest(&self) -> u64 {
        let mut hasher = FxHasher::default();
        self.address.hash(&mut hasher);
        self.alpn.hash(&mut hasher);
        match &self.tls {
            None => hasher.write_u8(0),
            Some(tls) => {
                hasher.write_u8(if tls.verify { 1 } else { 2 });
                hasher.write_u64(tls.rules);
                peer::Peer::sni(self).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(out)
    }
}

impl peer::Peer for Peer {
    fn address(&self) -> &SocketAddr {
        &self.address
    }

    fn tls(&self) -> bool {
        self.tls.is_some()
    }

    fn sni(&self) -> &str {
        let tls = self.tls.as_ref();
        let name = tls.and_then(|tls| tls.server_name.as_deref());
        name.unwrap_or(&self.host)
    }

    fn reuse_hash(&self) -> u64 {
        self.hash
    }

    fn verify_cert(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.verify)
    }

    fn verify_hostname(&self) -> bool {
        self.verify_cert()
    }

    /// One timer for TCP and TLS together.
    fn total_connection_timeout(&self) -> Option<Duration> {
        Some(self.connect_timeout)
    }

    fn idle_timeout(&self) -> Option<Duration> {
        Some(self.idle_timeout)
    }

    fn get_alpn(&self) -> Option<&ALPN> {
        Some(&self.alpn)
    }

    fn get_ca(&self) -> Option<&Arc<CaType>> {
        self.tls.as_ref()?.ca.as_ref()
    }

    fn get_client_cert_key(&self) -> Option<&Arc<CertKey>> {
        self.tls.as_ref()?.client.as_ref()
    }

    /// The kernel is not asked: the address is part of the hash and is compared with the one that
    /// the connection was made to, while `getpeername` costs a call for each reuse.
    fn matches_fd<V: AsRawFd>(&self, _: V) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;
    use crate::config::service::UpstreamHttp;
    use crate::config::tls::{Verify, VersionTls};
    use crate::tls::UpstreamTls;
    use crate::upstream::Address;
    use pingora::upstreams::peer::Peer as _;
    use std::collections::HashSet;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn the_key_has_all_that_connections_differ_in() {
        let rules = |verify| {
            let config = VersionTls {
                server_name: None,
                ca: None,
                client_cert: None,
                verify,
            };
            Arc::new(UpstreamTls::read(&config).unwrap())
        };
        let (full, none) = (rules(Verify::Full), rules(Verify::None));
        let addresses = [
            Address::Tcp("127.0.0.1:80".parse().unwrap()),
            Address::Tcp("127.0.0.1:81".parse().unwrap()),
            Address::Tcp("[::1]:80".parse().unwrap()),
            Address::Unix(Path::new("/a")),
        ];
        let mut keys = HashSet::new();
        let mut count = 0;
        for address in addresses {
            for tls in [None, Some(&full), Some(&none)] {
                for host in ["a", "b"] {
                    for http in [UpstreamHttp::H1, UpstreamHttp::H2, UpstreamHttp::Auto] {
                        let second = Duration::from_secs(1);
                        let make = |idle| Peer::new(address, host, tls, http, second, idle);
                        let peer = make(second).unwrap();
                        assert_eq!(peer.key(), make(2 * second).unwrap().key());
                        assert_eq!(peer.sni(), if tls.is_some() { host } else { "" });
                        keys.insert(peer.key());
                        // Without TLS, the name makes no difference.
                        count += usize::from(tls.is_some() || host == "a");
                    }
                }
            }
        }
        assert_eq!(keys.len(), count);
        let long = "a".repeat(200);
        let second = Duration::from_secs(1);
        let long = Address::Unix(Path::new(&long));
        assert!(Peer::new(long, "", None, UpstreamHttp::H1, second, second).is_none());
    }
}

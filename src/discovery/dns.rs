//! The addresses of a DNS name, asked for by their time to live.

use super::source::{Answer, Entry, Failure, Source};
use crate::config::Name;
use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bounds of a time to live.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_hours(1);
/// Longest time for which "there is none" is believed (the SOA's minimum, RFC 2308).
const NEGATIVE_MAX: Duration = Duration::from_secs(30);
/// A file of hosts says no time to live. The library says a day then.
const HOSTS_TTL: u32 = 86_400;
const HOSTS_AGAIN: Duration = Duration::from_secs(10);
/// Longest wait for one server, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Servers that are asked.
#[derive(Clone)]
pub struct Resolver(Servers);

#[derive(Clone)]
enum Servers {
    /// Those of a registry in the configuration.
    Own(Arc<TokioResolver>),
    /// Those of the system, read again when its files change.
    System(Arc<Mutex<Option<System>>>),
}

/// The resolver of the system, and when its files were changed.
struct System {
    changed: [Option<SystemTime>; 2],
    resolver: Arc<TokioResolver>,
}

const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

impl Resolver {
    /// Asks these servers, in their order, by UDP and where an answer does not fit by TCP.
    ///
    /// # Errors
    /// When the library refuses them.
    pub fn own(servers: &[SocketAddr]) -> Result<Self, Failure> {
        let servers = servers.iter().map(|server| {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            let with_port = |connection: &mut ConnectionConfig| connection.port = server.port();
            config.connections.iter_mut().for_each(with_port);
            config
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Ok(Self(Servers::Own(build(config)?)))
    }

    /// Asks as the files of the system say.
    pub fn system() -> Self {
        Self(Servers::System(Arc::default()))
    }

    fn resolver(&self) -> Result<Arc<TokioResolver>, Failure> {
        let system = match &self.0 {
            Servers::Own(resolver) => return Ok(resolver.clone()),
            Servers::System(system) => system,
        };
        let changed = SYSTEM_FILES.map(|file| Path::new(file).metadata().ok()?.modified().ok());
        let mut system = system.lock();
        if let Some(known) = system.as_ref().filter(|known| known.changed == changed) {
            return Ok(known.resolver.clone());
        }
        let resolver = system_resolver()?;
        *system = Some(System {
            changed,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }

    /// Returns records of a name, and how long they are good for. None: there are none, which is an
    /// answer.
    ///
    /// # Errors
    /// When no server gives an answer.
    pub async fn records(
        &self,
        name: &str,
        kind: RecordType,
    ) -> Result<(Vec<RData>, Duration), Failure> {
        // Servers of our own know no domains to search.
        let name = match &self.0 {
            Servers::Own(_) if !name.ends_with('.') => format!("{name}."),
            _ => name.to_owned(),
        };
        match self.resolver()?.lookup(name, kind).await {
            Ok(found) => Ok(records_of(&found, kind)),
            Err(error) => failure(&error).map(|again| (Vec::new(), again)),
        }
    }

    /// Returns the addresses of a name, of one family.
    async fn addresses(
        &self,
        name: &str,
        kind: RecordType,
    ) -> Result<(Vec<IpAddr>, Duration), Failure> {
        let (records, ttl) = self.records(name, kind).await?;
        let addresses = records.iter().filter_map(|data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        Ok((addresses.collect(), ttl))
    }
}

fn system_resolver() -> Result<Arc<TokioResolver>, Failure> {
    match TokioResolver::builder_tokio() {
        Ok(mut builder) => {
            let options = builder.options_mut();
            options.cache_size = 0;
            options.timeout = TIMEOUT;
            options.attempts = ATTEMPTS;
            builder
                .build()
                .map(Arc::new)
                .map_err(|_| Failure::Unreachable)
        }
        // Without such a file, the resolver is on this machine (resolv.conf(5)).
        Err(_) => {
            let here = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
            build(ResolverConfig::from_parts(None, Vec::new(), vec![here]))
        }
    }
}

fn build(config: ResolverConfig) -> Result<Arc<TokioResolver>, Failure> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    let options = builder.options_mut();
    // Sets and schedules are kept here: the library would cache what has no time to live.
    options.cache_size = 0;
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    builder
        .build()
        .map(Arc::new)
        .map_err(|_| Failure::Unreachable)
}

fn records_of(found: &Lookup, kind: RecordType) -> (Vec<RData>, Duration) {
    let own = found
        .answers()
        .iter()
        .filter(|record| record.record_type() == kind);
    // A name that is another one's (CNAME) is good for as long as all that led to it.
    let ttl = found.answers().iter().map(|record| record.ttl).min();
    let ttl = ttl.unwrap_or(0);
    let again = match ttl {
        HOSTS_TTL => HOSTS_AGAIN,
        ttl => Duration::from_secs(ttl.into()).clamp(TTL_MIN, TTL_MAX),
    };
    (own.map(|record| record.data.clone()).collect(), again)
}

/// Returns how long "there is none" is good for, if that is what an error says.
fn failure(error: &NetError) -> Result<Duration, Failure> {
    let negative = |ttl: Option<u32>| {
        let ttl = Duration::from_secs(ttl.unwrap_or(0).into());
        ttl.clamp(TTL_MIN, NEGATIVE_MAX)
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => Ok(negative(none.negative_ttl)),
            ResponseCode::Refused => Err(Failure::Refused),
            _ => Err(Failure::Servfail),
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Err(Failure::Refused),
        NetError::Dns(_) => Err(Failure::Servfail),
        NetError::Timeout => Err(Failure::Timeout),
        NetError::Proto(_) => Err(Failure::Malformed),
        _ => Err(Failure::Unreachable),
    }
}

/// All addresses of a name.
pub struct Dns {
    resolver: Resolver,
    host: Name,
    /// The last addresses by family, for when one family gets no answer.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Dns {
    pub const fn new(resolver: Resolver, host: Name) -> Self {
        Self {
            resolver,
            host,
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }

    async fn addresses(&mut self) -> Result<(Vec<IpAddr>, Duration), Failure> {
        let (v4, v6) = tokio::join!(
            self.resolver.addresses(&self.host, RecordType::A),
            self.resolver.addresses(&self.host, RecordType::AAAA),
        );
        let again = match (v4, v6) {
            (Ok((v4, one)), Ok((v6, other))) => {
                let again = match (v4.is_empty(), v6.is_empty()) {
                    (false, true) => one,
                    (true, false) => other,
                    _ => one.min(other),
                };
                (self.v4, self.v6) = (v4, v6);
                again
            }
            // The other family stays as it was.
            (Ok((v4, again)), Err(_)) if !v4.is_empty() => {
                self.v4 = v4;
                again
            }
            (Err(_), Ok((v6, again))) if !v6.is_empty() => {
                self.v6 = v6;
                again
            }
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        Ok((self.v4.iter().chain(&self.v6).copied().collect(), again))
    }
}

impl Source for Dns {
    fn ask(&mut self) -> BoxFuture<'_, Result<Answer, Failure>> {
        async {
            let (mut addresses, again) = self.addresses().await?;
            addresses.sort_unstable();
            addresses.dedup();
            let entries = addresses
                .iter()
                .map(|address| Entry::new(address.to_string()));
            Ok(Answer {
                entries: entries.collect(),
                malformed: 0,
                again,
            })
        }
        .boxed()
    }
}

/// Returns the addresses of a name, and how long they are good for.
///
/// # Errors
/// When no server gives an answer.
pub async fn addresses(
    resolver: &Resolver,
    host: Name,
) -> Result<(Vec<IpAddr>, Duration), Failure> {
    Dns::new(resolver.clone(), host).addresses().await
}

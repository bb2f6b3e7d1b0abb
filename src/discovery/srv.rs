//! SRV records: the endpoints of the lowest priority that has any (RFC 2782).

use super::dns::{Resolver, addresses};
use super::source::{Answer, Entry, Failure, Source, WEIGHT_MAX};
use crate::config::Name;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use hickory_resolver::proto::rr::{RData, RecordType};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Most records of one name.
const RECORDS_MAX: usize = 1000;

/// A name of SRV records.
pub struct Srv {
    resolver: Resolver,
    name: Name,
}

/// What of a record is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    weight: u16,
    port: u16,
    host: Name,
}

impl Srv {
    pub const fn new(resolver: Resolver, name: Name) -> Self {
        Self { resolver, name }
    }

    async fn find(&self) -> Result<Answer, Failure> {
        let (records, mut again) = self.resolver.records(&self.name, RecordType::SRV).await?;
        let mut failed = None;
        for targets in by_priority(&records).into_values() {
            let resolved = self.resolve(&targets).await;
            let (entries, ttl) = match resolved {
                Ok(resolved) => resolved,
                Err(failure) => {
                    failed = Some(failure);
                    continue;
                }
            };
            again = again.min(ttl);
            if !entries.is_empty() {
                return Ok(Answer {
                    entries,
                    malformed: 0,
                    again,
                });
            }
        }
        match failed {
            // Nothing is known of the addresses, so there may be some.
            Some(failure) => Err(failure),
            None => Ok(Answer {
                entries: Vec::new(),
                malformed: 0,
                again,
            }),
        }
    }

    /// Resolves the targets of one priority. Those without an answer are left out while others have
    /// one.
    async fn resolve(&self, targets: &[Target]) -> Result<(Vec<Entry>, Duration), Failure> {
        let heaviest = targets
            .iter()
            .map(|target| target.weight)
            .max()
            .unwrap_or(0);
        let asked = targets
            .iter()
            .map(|target| addresses(&self.resolver, target.host.clone()));
        let mut entries = Vec::new();
        let (mut again, mut failed) = (Duration::MAX, None);
        for (target, found) in targets.iter().zip(join_all(asked).await) {
            let (found, ttl) = match found {
                Ok(found) => found,
                Err(failure) => {
                    failed = Some(failure);
                    continue;
                }
            };
            again = again.min(ttl);
            entries.extend(found.into_iter().map(|address| Entry {
                authority: Some(format!("{}:{}", target.host, target.port).into()),
                weight: weight(target.weight, heaviest),
                ..Entry::new(SocketAddr::new(address, target.port).to_string())
            }));
        }
        match failed {
            Some(failure) if entries.is_empty() => Err(failure),
            _ => Ok((entries, again)),
        }
    }
}

impl Source for Srv {
    fn ask(&mut self) -> BoxFuture<'_, Result<Answer, Failure>> {
        self.find().boxed()
    }
}

/// Returns the targets of each priority, the lowest first. A target of `.` says that there is none.
fn by_priority(records: &[RData]) -> BTreeMap<u16, Vec<Target>> {
    let mut priorities: BTreeMap<u16, Vec<Target>> = BTreeMap::new();
    for record in records.iter().take(RECORDS_MAX) {
        if let RData::SRV(srv) = record
            && !srv.target.is_root()
            && srv.port > 0
        {
            let host = srv.target.to_ascii();
            priorities.entry(srv.priority).or_default().push(Target {
                weight: srv.weight,
                port: srv.port,
                host: host.strip_suffix('.').unwrap_or(&host).into(),
            });
        }
    }
    priorities
}

/// Takes a weight of 0 to 65535 to ours. 0 is "rarely" beside others, and not "never".
fn weight(weight: u16, heaviest: u16) -> u16 {
    if heaviest == 0 {
        return 1;
    }
    let scaled = u32::from(weight) * u32::from(WEIGHT_MAX) / u32::from(heaviest);
    u16::try_from(scaled).unwrap_or(WEIGHT_MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weights_keep_their_ratio_and_zero_is_rare() {
        let scaled = |weights: [u16; 3]| {
            let heaviest = weights.into_iter().max().unwrap();
            weights.map(|one| weight(one, heaviest))
        };
        assert_eq!(scaled([0, 0, 0]), [1, 1, 1]);
        assert_eq!(scaled([10, 20, 0]), [500, 1000, 1]);
        assert_eq!(scaled([65_535, 1, 655]), [1000, 1, 9]);
    }
}

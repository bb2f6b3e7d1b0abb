//! Turns in which handshakes are begun: so many at once, and of these a share for each address.

use dashmap::DashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// An address has one of so many parts of all turns, and one turn at least.
const PARTS: usize = 4;

/// The turns of one listener; clients wait in the order in which they came.
#[derive(Debug)]
pub struct Turns {
    all: Semaphore,
    /// Of one address.
    share: usize,
    /// Addresses that have a turn or wait for one.
    by_address: DashMap<IpAddr, Arc<Semaphore>>,
}

/// One turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _own: Option<(OwnedSemaphorePermit, Share<'a>)>,
}

/// A part in the share of an address, which is forgotten with the last one.
#[derive(Debug)]
struct Share<'a> {
    turns: &'a Turns,
    address: IpAddr,
    semaphore: Arc<Semaphore>,
}

impl Turns {
    pub fn new(all: usize) -> Self {
        Self {
            all: Semaphore::new(all),
            share: (all / PARTS).max(1),
            by_address: DashMap::new(),
        }
    }

    /// Waits for a turn. `None` has no share: a load balancer, whose clients are many.
    pub async fn take(&self, address: Option<IpAddr>) -> Turn<'_> {
        let own = match address {
            Some(address) => self.share_of(address).take().await,
            None => None,
        };
        Turn {
            // An error: the semaphore was closed, which it never is.
            _all: self.all.acquire().await.ok(),
            _own: own,
        }
    }

    fn share_of(&self, address: IpAddr) -> Share<'_> {
        let semaphore = self.by_address.entry(address);
        let semaphore = semaphore.or_insert_with(|| Arc::new(Semaphore::new(self.share)));
        Share {
            turns: self,
            address,
            semaphore: semaphore.clone(),
        }
    }
}

impl<'a> Share<'a> {
    async fn take(self) -> Option<(OwnedSemaphorePermit, Share<'a>)> {
        let permit = self.semaphore.clone().acquire_owned().await.ok()?;
        Some((permit, self))
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        // The map has one, and this is the other.
        let last = |_: &IpAddr, semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) <= 2;
        self.turns.by_address.remove_if(&self.address, last);
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use futures::FutureExt;
    use std::net::IpAddr;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let turns = Turns::new(8);
        let take = |last| turns.take(Some(address(last))).now_or_never();
        let held: Vec<_> = [1, 1, 1].map(take).into();
        assert!(held[0].is_some() && held[1].is_some());
        assert!(held[2].is_none(), "a quarter of eight is two");
        assert!(take(2).is_some(), "others have theirs");
        drop(held);
        assert!(take(1).is_some());
        assert!(turns.by_address.is_empty(), "forgotten");
        let all: Vec<_> = (0..8).map(|_| turns.take(None).now_or_never()).collect();
        assert!(all.iter().all(Option::is_some), "balancers have no share");
        assert!(take(3).is_none() && turns.by_address.is_empty());
        assert_eq!(Turns::new(1).share, 1);
    }
}

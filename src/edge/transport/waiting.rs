//! Connections that have not asked for anything yet. Where a listener has no room left, one of them
//! gives way to the next client: the one that waits longest, of the address that has most of them.

use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Connections that are on their way out at once, and still count; beyond them nothing gives way.
const LEAVING_MAX: usize = 128;

/// The waiting connections of one listener. Never more entries than open connections.
#[derive(Debug, Default)]
pub struct Room(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    /// The next ticket: lower ones wait longer.
    next: u64,
    by_address: HashMap<IpAddr, BTreeMap<u64, oneshot::Sender<()>>>,
    /// All addresses, the one whose first connection gives way next at the end.
    ranks: BTreeSet<Rank>,
    /// Connections that were told to give way, and have not ended yet.
    leaving: usize,
}

/// How many connections of an address wait, and the ticket of the first one.
type Rank = (usize, Reverse<u64>, IpAddr);

/// A connection's place among those that wait, until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    room: Arc<Room>,
    address: IpAddr,
    ticket: u64,
    told: oneshot::Receiver<()>,
}

impl Room {
    /// Takes in a connection from this address, or network of addresses.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Waiting {
        let (tell, told) = oneshot::channel();
        let mut queues = self.0.lock();
        let ticket = queues.next;
        queues.next += 1;
        queues.change(address, |queue| queue.insert(ticket, tell));
        Waiting {
            room: self.clone(),
            address,
            ticket,
            told,
        }
    }

    /// Tells one connection to give way. Returns whether there is one.
    pub fn make_way(&self) -> bool {
        let mut queues = self.0.lock();
        let Some(&(_, _, address)) = queues.ranks.last() else {
            return false;
        };
        if queues.leaving >= LEAVING_MAX {
            return false;
        }
        let first = queues.change(address, BTreeMap::pop_first);
        queues.leaving += 1;
        first.is_some_and(|(_, tell)| tell.send(()).is_ok())
    }
}

impl Queues {
    /// Changes the queue of an address, and its rank with it.
    fn change<T>(
        &mut self,
        address: IpAddr,
        change: impl FnOnce(&mut BTreeMap<u64, oneshot::Sender<()>>) -> T,
    ) -> T {
        let queue = self.by_address.entry(address).or_default();
        if let Some(rank) = rank(address, queue) {
            self.ranks.remove(&rank);
        }
        let result = change(queue);
        match rank(address, queue) {
            Some(rank) => _ = self.ranks.insert(rank),
            None => _ = self.by_address.remove(&address),
        }
        result
    }
}

fn rank(address: IpAddr, queue: &BTreeMap<u64, oneshot::Sender<()>>) -> Option<Rank> {
    let (first, _) = queue.first_key_value()?;
    Some((queue.len(), Reverse(*first), address))
}

impl Waiting {
    /// Returns once this connection must give way to another one.
    pub async fn gives_way(&mut self) {
        if (&mut self.told).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queues = self.room.0.lock();
        let own = queues.change(self.address, |queue| queue.remove(&self.ticket));
        if own.is_none() {
            queues.leaving -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAVING_MAX, Room, Waiting};
    use futures::FutureExt;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn told(waiting: &mut Waiting) -> bool {
        waiting.gives_way().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_most_crowded_address_gives_way() {
        let room = Arc::<Room>::default();
        assert!(!room.make_way(), "there is none");
        let mut places: Vec<_> = [1, 2, 2, 3, 2, 3]
            .map(|last| Some(room.enter(address(last))))
            .into();
        // Address 2 has three; then 2 and 3 have two each, and the older one is of 2; and so on.
        // Among equals it is the oldest of all.
        for expected in [1, 2, 3, 0, 4, 5] {
            assert!(room.make_way());
            let mut told = places
                .iter_mut()
                .map(|place| place.as_mut().is_some_and(told));
            let at = told.position(|told| told).unwrap();
            assert_eq!(at, expected);
            places[at] = None;
        }
        assert!(!room.make_way(), "all have gone");
    }

    #[test]
    fn those_on_their_way_out_are_bounded() {
        let room = Arc::<Room>::default();
        let mut places: Vec<_> = (0..LEAVING_MAX + 2)
            .map(|_| room.enter(address(1)))
            .collect();
        for _ in 0..LEAVING_MAX {
            assert!(room.make_way());
        }
        assert!(!room.make_way(), "no more at once");
        drop(places.remove(0));
        assert!(room.make_way());
        drop(places);
        let queues = room.0.lock();
        assert!(queues.by_address.is_empty() && queues.ranks.is_empty());
        assert_eq!(queues.leaving, 0);
    }
}

//! Idle connections, by what they were made with.
//!
//! The pool of pingora starts a task for each connection that is put back, and each reuse waits
//! until that task has run. Here, no task belongs to a connection: the one that is taken is looked
//! at, and the others are looked at now and then. The reactor takes note of what a socket has to
//! say in any case, so that a look at a quiet one costs no call of the system.

use futures::FutureExt;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::unconstrained;

/// Idle connections; the ones that were used last are taken first, so that others become too old
/// when less of them are needed.
#[derive(Debug)]
pub struct Pool<S> {
    shelves: Mutex<Shelves<S>>,
    max: usize,
}

#[derive(Debug)]
struct Shelves<S> {
    by_key: FxHashMap<u64, VecDeque<Idle<S>>>,
    count: usize,
}

#[derive(Debug)]
struct Idle<S> {
    stream: S,
    until: Instant,
}

impl<S: AsyncRead + Unpin> Pool<S> {
    /// Keeps so many connections at most.
    pub fn new(max: usize) -> Self {
        let shelves = Shelves {
            by_key: FxHashMap::default(),
            count: 0,
        };
        Self {
            shelves: Mutex::new(shelves),
            max,
        }
    }

    /// Puts a connection back, for so long. Where the pool is full, the oldest connection of the
    /// longest shelf is closed.
    pub fn put(&self, key: u64, stream: S, idle: Duration, now: Instant) {
        let Some(until) = now.checked_add(idle) else {
            return;
        };
        let mut shelves = self.shelves.lock();
        let evicted = match shelves.count >= self.max {
            true => shelves.evict(),
            false => None,
        };
        if shelves.count < self.max {
            shelves.count += 1;
            let shelf = shelves.by_key.entry(key).or_default();
            shelf.push_back(Idle { stream, until });
        }
        drop(shelves);
        // Closed outside of the lock.
        drop(evicted);
    }

    /// Takes the connection that was used last, quiet or not.
    pub fn take(&self, key: u64, now: Instant) -> Option<S> {
        let mut shelves = self.shelves.lock();
        let idle = shelves.by_key.get_mut(&key)?.pop_back()?;
        shelves.count -= 1;
        drop(shelves);
        // The others are older; the next sweep closes them.
        (idle.until > now).then_some(idle.stream)
    }

    /// Closes connections that are too old, that have ended, or that have something to say.
    pub fn sweep(&self, now: Instant) {
        let mut closed = Vec::new();
        let mut shelves = self.shelves.lock();
        let Shelves { by_key, count } = &mut *shelves;
        by_key.retain(|_, shelf| {
            for _ in 0..shelf.len() {
                let Some(mut idle) = shelf.pop_front() else {
                    break;
                };
                match idle.until > now && is_quiet(&mut idle.stream) {
                    true => shelf.push_back(idle),
                    false => closed.push(idle),
                }
            }
            !shelf.is_empty()
        });
        *count -= closed.len();
        drop(shelves);
    }

    /// Returns how many connections are idle.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shelves.lock().count
    }
}

impl<S> Shelves<S> {
    /// Only a full pool pays for the search.
    fn evict(&mut self) -> Option<Idle<S>> {
        let longest = self.by_key.values_mut().max_by_key(|shelf| shelf.len())?;
        let idle = longest.pop_front()?;
        self.count -= 1;
        Some(idle)
    }
}

/// Whether a connection is open and has nothing to read, as far as the reactor knows. What it would
/// have to say was not asked for, and would be taken for the answer to the next request.
pub fn is_quiet<S: AsyncRead + Unpin>(stream: &mut S) -> bool {
    let mut byte = [0; 1];
    let look = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)));
    // A task that has used its share up would be told that there is nothing.
    unconstrained(look).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const IDLE: Duration = Duration::from_mins(1);

    fn pair() -> (DuplexStream, DuplexStream) {
        duplex(16)
    }

    #[tokio::test]
    async fn the_connection_used_last_is_taken_first() {
        let pool = Pool::new(8);
        let now = Instant::now();
        let (first, mut first_far) = pair();
        let (second, _second_far) = pair();
        pool.put(1, first, IDLE, now);
        pool.put(1, second, IDLE, now);
        assert!(pool.take(2, now).is_none());
        let mut taken = pool.take(1, now).unwrap();
        first_far.write_all(b"x").await.unwrap();
        assert!(super::is_quiet(&mut taken), "it is the second one");
        assert!(!super::is_quiet(&mut pool.take(1, now).unwrap()));
        assert!(pool.take(1, now).is_none());
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn an_old_connection_is_not_taken() {
        let pool = Pool::new(8);
        let now = Instant::now();
        let (near, _far) = pair();
        pool.put(1, near, IDLE, now);
        assert!(pool.take(1, now + IDLE).is_none());
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn a_sweep_closes_what_is_old_closed_or_not_quiet() {
        let pool = Pool::new(1000);
        let now = Instant::now();
        let mut kept = Vec::new();
        for _ in 0..200 {
            let (near, far) = pair();
            kept.push(far);
            pool.put(1, near, IDLE, now);
            // More than a task may poll in one turn.
            let (ended, _) = pair();
            pool.put(1, ended, IDLE, now);
        }
        let (talks, mut far) = pair();
        far.write_all(b"x").await.unwrap();
        pool.put(2, talks, IDLE, now);
        let (old, _old_far) = pair();
        pool.put(3, old, IDLE / 2, now);
        pool.sweep(now + IDLE / 2);
        assert_eq!(pool.len(), kept.len());
        assert_eq!(pool.shelves.lock().by_key.len(), 1);
        pool.sweep(now + IDLE);
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn a_full_pool_gives_up_the_oldest_of_the_longest_shelf() {
        let pool = Pool::new(3);
        let now = Instant::now();
        let mut far = Vec::new();
        for key in [1, 2, 2, 3] {
            let (near, other) = pair();
            far.push(other);
            pool.put(key, near, IDLE, now);
        }
        assert_eq!(pool.len(), 3);
        let ended: Vec<_> = far.iter_mut().map(|far| !super::is_quiet(far)).collect();
        assert_eq!(ended, [false, true, false, false]);
        let none = Pool::new(0);
        none.put(1, pair().0, IDLE, now);
        assert_eq!(none.len(), 0);
    }
}

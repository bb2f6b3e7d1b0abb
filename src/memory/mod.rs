//! Work that leaves much behind, and giving its memory back.
//!
//! Reading a configuration takes several times the memory of what is made of it. The allocator keeps
//! what was freed with the thread that asked for it, until that thread happens to need more: one that
//! serves may not for hours. So such work has a thread of its own, and what is free once that has ended
//! goes back to the system at once.

use std::cell::Cell;
use std::thread::{Builder, scope};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// Runs long work on a thread that ends with it, in the caller's runtime if there is one. The caller waits;
/// tasks that wait for its thread move to another. `None`: it panicked, or there is no thread to be had.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    let thread = Builder::new().name("tyrian-apart".to_owned());
    let runtime = Handle::try_current().ok();
    let work = || {
        let _tasks = runtime.as_ref().map(Handle::enter);
        work()
    };
    block_in_place(|| {
        let done = scope(|scope| match thread.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().ok(),
            Err(error) => {
                tracing::error!(%error, "no thread to be had");
                None
            }
        });
        give_back();
        done
    })
}

/// Connections after whose ends a thread gives back what it has free, and the shortest time between
/// two such times.
const ENDS: u32 = 256;
const PAUSE: Duration = Duration::from_secs(5);

thread_local! {
    static ENDED: Cell<(u32, Option<Instant>)> = const { Cell::new((0, None)) };
}

/// Notes that a connection has ended on this thread. After a burst of them, the thread gives back
/// what they have left free, which the allocator would keep for the next burst.
pub fn connection_ended() {
    let (ended, last) = ENDED.get();
    ENDED.set((ended + 1, last));
    if ended + 1 < ENDS || last.is_some_and(|last| last.elapsed() < PAUSE) {
        return;
    }
    ENDED.set((0, Some(Instant::now())));
    give_back();
}

/// Gives the system what the allocator has free.
#[cfg(not(feature = "heap-profiles"))]
#[expect(
    unsafe_code,
    reason = "the allocator's crate has no safe function for it"
)]
fn give_back() {
    // SAFETY: `mi_collect` takes a flag by value and returns nothing. It works on the heap of the calling
    // thread, which no other one touches but by atomics, and on the arenas, which are guarded. It moves no
    // block and frees none that is in use; where there is no heap, it returns at once
    // (`mi_theap_collect_ex`). What it would call besides, a function for deferred frees, nobody registers.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The other allocator gives back by itself, on a thread of its own: `.cargo/config.toml`.
#[cfg(feature = "heap-profiles")]
const fn give_back() {}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn what_is_done_apart_comes_back_and_a_panic_stays_there() {
        let borrowed = [1, 2];
        assert_eq!(apart(|| borrowed.len()), Some(2));
        let lost: Option<()> = apart(|| std::panic::resume_unwind(Box::new(())));
        assert_eq!(lost, None);
    }
}

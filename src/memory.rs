//! Work that leaves much behind, and giving its memory back.
//!
//! Reading a configuration takes several times the memory of what is made of it. The allocator keeps
//! what was freed with the thread that asked for it, until that thread happens to need more: one that
//! serves may not for hours. So such work has a thread of its own, and what is free once that has ended
//! goes back to the system at once.

use std::thread::{Builder, scope};

/// Runs long work on a thread that ends with it, while the caller waits: never where a request would wait
/// as well. `None`: it panicked, or there is no thread to be had.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    let thread = Builder::new().name("tyrian-apart".to_owned());
    let done = scope(|scope| match thread.spawn_scoped(scope, work) {
        Ok(thread) => thread.join().ok(),
        Err(error) => {
            tracing::error!(%error, "no thread to be had");
            None
        }
    });
    give_back();
    done
}

/// Gives the system what the allocator has free.
#[cfg(not(feature = "heap-profiles"))]
#[expect(
    unsafe_code,
    reason = "the allocator's crate has no safe function for it"
)]
fn give_back() {
    // SAFETY: `mi_collect` takes a flag by value and returns nothing. It may be called at any time and
    // from any thread, whether this allocator is the global one or not, and touches only memory that is
    // free (mimalloc's documentation, and its source: it begins by looking whether there is a heap).
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

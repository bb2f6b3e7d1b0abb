//! The allocator, as Rust asks for one.
//!
//! The allocator's own crate asks for an alignment with each block. Most have it anyway, and those whose
//! size is no power of two take a longer way for it. And where memory may always be refused, whatever is
//! boxed stays on the stack until there is a box, and is copied whole then: 13 kB with each request, the
//! proxy core's future.

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};

/// Alignment that every block has that is large enough for it (`MI_MAX_ALIGN_SIZE`).
const ALIGNED: usize = 16;
/// Without so few bytes no process goes on. Whoever asks for more may be told that there are none.
const VITAL: usize = 64 * 1024;

/// mimalloc.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

/// Whether a block of this size has this alignment anyway.
const fn fits(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

/// Ends the process where there is no memory at all. Inlined, so that a box of known size is known to be
/// had.
#[inline]
fn vital(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() && size <= VITAL {
        std::process::abort();
    }
    block
}

// SAFETY: mimalloc's blocks are apart from each other, stay where they are until they are freed, and are
// of the size that was asked for or larger; any thread may free them. Where `fits` says so, they have the
// alignment without being asked: blocks of 16 bytes and more begin at multiples of 16
// (`_mi_page_malloc_zero` asserts it), smaller ones at multiples of a word, which is their size. Else they
// are asked for it, by functions that take any power of two. What `mi_malloc` and `mi_malloc_aligned` gave
// may be passed to `mi_free`, `mi_realloc` and `mi_realloc_aligned` alike. `mi_realloc` keeps the alignment
// of what `fits` in its new size: where it moves, the new block is like any other; where it does not, the
// old one had it. Nothing here unwinds: mimalloc is C, and `abort` ends the process.
#[expect(unsafe_code, reason = "there is no other way to be an allocator")]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: both take any size, the second any power of two, which `Layout` guarantees.
        let block = unsafe {
            match fits(size, align) {
                true => mi_malloc(size),
                false => mi_malloc_aligned(size, align),
            }
        };
        vital(block.cast(), size)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        let block = unsafe {
            match fits(size, align) {
                true => mi_zalloc(size),
                false => mi_zalloc_aligned(size, align),
            }
        };
        vital(block.cast(), size)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller's block came from here, and nobody uses it any more.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the caller's block came from here; sizes and alignments as in `alloc`.
        let block = unsafe {
            match fits(size, align) {
                true => mi_realloc(block.cast(), size),
                false => mi_realloc_aligned(block.cast(), size, align),
            }
        };
        vital(block.cast(), size)
    }
}

#[cfg(test)]
mod tests {
    use super::Allocator;
    use std::alloc::{GlobalAlloc, Layout};

    #[test]
    #[expect(unsafe_code, reason = "an allocator is asked for memory so")]
    fn blocks_are_as_large_and_as_aligned_as_asked_and_keep_what_is_in_them() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in [1, 3, 8, 12, 16, 24, 40, 520, 1032, 13_400, 70_008] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: `size` is not 0; each block is used by its size, and freed once with its layout.
                unsafe {
                    let zeroed = Allocator.alloc_zeroed(layout);
                    let block = Allocator.alloc(layout);
                    for block in [zeroed, block] {
                        assert_eq!(block.align_offset(align), 0, "{size} {align}");
                    }
                    let zeros = std::slice::from_raw_parts(zeroed, size);
                    assert!(zeros.iter().all(|byte| *byte == 0), "{size} {align}");
                    Allocator.dealloc(zeroed, layout);
                    block.write_bytes(7, size);
                    let larger = Allocator.realloc(block, layout, size + 1001);
                    assert_eq!(larger.align_offset(align), 0, "{size} {align}");
                    let kept = std::slice::from_raw_parts(larger, size);
                    assert!(kept.iter().all(|byte| *byte == 7), "{size} {align}");
                    let layout = Layout::from_size_align(size + 1001, align).unwrap();
                    let smaller = Allocator.realloc(larger, layout, 1);
                    assert_eq!(smaller.align_offset(align), 0, "{size} {align}");
                    let layout = Layout::from_size_align(1, align).unwrap();
                    Allocator.dealloc(smaller, layout);
                }
            }
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "an allocator is asked for memory so")]
    fn more_than_there_is_is_refused() {
        let layout = Layout::from_size_align(isize::MAX as usize - 7, 8).unwrap();
        // SAFETY: the size is not 0, and there is nothing to free.
        assert!(unsafe { Allocator.alloc(layout) }.is_null());
    }
}

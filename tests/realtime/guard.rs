//! An allocator that forbids allocation to a thread while it plays the audio callback.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Guarded;

thread_local! {
    static FORBIDDEN: Cell<bool> = const { Cell::new(false) };
    static BROKEN: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    // During the end of a thread the cell may be gone: nobody plays a callback then.
    let forbidden = FORBIDDEN.try_with(Cell::get).unwrap_or(false);
    if forbidden {
        BROKEN.with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: everything is passed on to the system's allocator as it came; the counting touches only constant-initialised
// thread-locals, which allocate nothing themselves.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Runs `callback` and tells how often it allocated, grew or freed memory.
pub fn allocations_in(callback: impl FnOnce()) -> u64 {
    let before = BROKEN.with(Cell::get);
    FORBIDDEN.with(|flag| flag.set(true));
    callback();
    FORBIDDEN.with(|flag| flag.set(false));
    BROKEN.with(Cell::get) - before
}

#[test]
fn the_guard_sees_an_allocation_and_a_drop() {
    assert_eq!(allocations_in(|| drop(std::hint::black_box(vec![1_u8]))), 2);
    assert_eq!(allocations_in(|| {}), 0);
}

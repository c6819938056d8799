//! The `bellwire` program, and its allocator.

use mimalloc::MiMalloc;

/// A storm of reconnects must leave no lasting mark on the memory (`load-tests/README.md`, 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> std::process::ExitCode {
    give_memory_back();
    bellwire::cli::run(std::env::args_os())
}

/// Pages go back to the system as soon as they are free, and none is a huge one: with those a connection, which is
/// small and comes and goes, would hold 20 KiB instead of 13.
fn give_memory_back() {
    #[expect(unsafe_code, reason = "the allocator's options have no safe interface")]
    // SAFETY: sets an integer, before any other thread is there.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
    // A system that cannot do that does without.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

//! The `bellwire` program.

/// A storm of reconnects must leave no lasting mark on the memory (`load-tests/README.md`, 20).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bellwire::cli::run(std::env::args_os())
}

//! The `bellwire` program.

fn main() -> std::process::ExitCode {
    bellwire::cli::run(std::env::args_os())
}

//! The `bellwire` program.

fn main() {}

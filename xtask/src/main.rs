//! The project's own commands: `cargo xtask demo`, `test` and `ebpf`.

fn main() {}

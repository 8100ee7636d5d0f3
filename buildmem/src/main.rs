//! The `build-mem` command.

fn main() {}

//! How fast this machine is.

use std::env;

/// How many times slower than a real machine this one is: an emulated one says so. The workloads hold their memory for
/// so much longer, too.
pub fn slowness() -> u32 {
    let slowness = env::var("BUILD_MEM_TESTS_SLOWNESS").ok();
    slowness
        .and_then(|slowness| slowness.parse().ok())
        .unwrap_or(1)
}

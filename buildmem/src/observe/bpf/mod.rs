//! What the kernel tells of the build's processes: eBPF programs follow fork, exec and exit, and nothing is
//! looked for in `/proc`. `buildmem-ebpf` has the programs; `cargo xtask ebpf` builds them.

pub mod attach;
pub mod decode;
mod missed;
pub mod offsets;

pub use attach::{LostCount, Tracker, TrackerConfig};
pub use decode::CgroupLeaf;

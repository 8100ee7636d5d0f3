//! What the kernel tells of the build's processes: eBPF programs follow fork, exec and exit, and nothing is
//! looked for in `/proc`. `buildmem-ebpf` has the programs; `cargo xtask ebpf` builds them.

pub mod attach;
pub mod decode;
mod kernel_btf;
mod missed;
pub mod offsets;

pub use attach::{
    CPU_CLOCK, LostCount, RELEASE_FUNCTION, Tracker, TrackerConfig, TriedHook, is_needed, try_hooks,
};
pub use decode::CgroupLeaf;

/// Where a cgroup's high-water mark is read on kernels that have no file for it.
pub const WATERMARK: &str = "mem_cgroup.memory.watermark";

//! What is read from the system: processes by eBPF or from /proc, the build's cgroup, the host. Readers take
//! the root folder of what they read as a parameter, so that tests can give them one of their own. Only the
//! sampler, which keeps when it last read what, and the trackers remember anything.

pub mod bpf;
pub mod cgroup;
pub mod host;
pub mod poll;
pub mod proc;
pub mod sampler;
pub mod tracker;

//! What is read from the system: processes by eBPF and from /proc, the build's cgroup, the host. Readers take
//! the root folder of what they read as a parameter, so that tests can give them one of their own. Only the
//! sampler keeps anything: when it last read what.

pub mod bpf;
pub mod cgroup;
pub mod host;
pub mod proc;
pub mod sampler;

//! What is read from the system: processes, the build's cgroup, the host. Readers take the root folder of what
//! they read as a parameter, so that tests can give them one of their own. No policy, and nothing is kept.

pub mod cgroup;
pub mod host;
pub mod proc;

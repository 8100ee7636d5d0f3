//! The real `build-mem`, from its command line to its files, with builds of known shape.
//!
//! What people read is snapshot-tested elsewhere: here it is the result line, the files and the exit codes.
//! Each test has a folder of its own, so they may run side by side, next to whatever else the machine does.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "../support/page_cache.rs"]
mod page_cache;
#[path = "../support/slowness.rs"]
mod slowness;
#[path = "../support/mod.rs"]
mod support;
mod tool;

mod advise;
mod compare;
mod exits;
mod faults;
mod fit;
mod host;
mod hostile;
mod limits;
mod machine;
mod memory;
mod outputs;
mod polling;
mod processes;
mod projects;
mod series;
mod signals;
mod stages;
mod tui;
mod users;
mod wrong_input;

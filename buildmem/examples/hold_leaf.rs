//! For the tests: makes a build's cgroup with a `sleep` in it, tells both, and waits to be killed.
//!
//! Not one of the workloads: those are small, and this has the whole library in it.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use buildmem::observe::cgroup::{Hierarchy, Leaf};

fn main() -> Result<(), Box<dyn Error>> {
    let leaf = Leaf::create(&Hierarchy::detect(Path::new("/proc"))?)?;
    let mut left = Command::new("sleep")
        .arg("1000")
        .stdout(Stdio::null())
        .spawn()?;
    fs::write(leaf.dir().join("cgroup.procs"), left.id().to_string())?;
    println!("leaf: {}", leaf.dir().display());
    println!("left: {}", left.id());
    left.wait()?;
    Ok(())
}

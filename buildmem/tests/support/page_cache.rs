//! A file whose pages nobody has been charged for.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

/// Writes a file of so many MiB, and has the kernel give up its pages, so that whoever reads it is charged.
pub fn write_uncached(path: &Path, mib: usize) {
    let mut file = File::create(path).unwrap();
    let block = vec![7; 1 << 20];
    for _ in 0..mib {
        file.write_all(&block).unwrap();
    }
    // Only clean pages are given up, and not those that a CPU has just put on its own list.
    file.sync_all().unwrap();
    for _ in 0..100 {
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        if cached(path) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!(
        "{} bytes of {} stay in the page cache",
        cached(path),
        path.display()
    );
}

/// Bytes of the file in the page cache, fincore(1).
pub fn cached(path: &Path) -> u64 {
    let arguments = ["--bytes", "--noheadings", "--output", "RES"];
    let output = Command::new("fincore")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

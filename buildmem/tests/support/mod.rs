//! What several test files need.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program of `examples/workload.rs`, built if need be: cargo builds examples only when it tests everything.
///
/// `BUILD_MEM_WORKLOAD` names it where there is no cargo, as in a virtual machine.
pub fn workload() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = env::var_os("BUILD_MEM_WORKLOAD") {
            return PathBuf::from(program);
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "buildmem",
                "--example",
                "workload",
                "--target-dir",
            ])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "the workload does not build");
        target.join("debug/examples/workload")
    })
}

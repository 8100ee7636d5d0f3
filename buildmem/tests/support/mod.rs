//! What several test files need.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program of `examples/NAME.rs`, built if need be: cargo builds examples only when it tests everything.
///
/// `BUILD_MEM_EXAMPLES` is their folder where there is no cargo, as in a virtual machine.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if let Some(folder) = env::var_os("BUILD_MEM_EXAMPLES") {
            return PathBuf::from(folder);
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "buildmem", "--examples"])
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "the examples do not build");
        target.join("debug/examples")
    });
    folder.join(name)
}

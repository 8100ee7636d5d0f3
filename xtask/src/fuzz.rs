//! `cargo xtask fuzz`: what reads bytes of others, with bytes that libFuzzer makes up.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::project_root;
use crate::run::{execute, has};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The one target to run; else all, one after the other: the files of `fuzz/fuzz_targets`
    target: Option<String>,
    /// How long each runs at most
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
    /// How many executions each has at most
    #[arg(long, default_value_t = 10_000_000)]
    executions: u64,
}

/// Runs the targets. What is found is kept in `target/fuzz/corpus`; `fuzz/corpus` is read only.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments {
        target,
        seconds,
        executions,
    } = arguments;
    ensure!(
        has("cargo-fuzz"),
        "this needs cargo-fuzz: cargo install --locked cargo-fuzz"
    );
    let root = project_root()?;
    let targets = match target {
        Some(target) => vec![target.clone()],
        None => all_targets()?,
    };
    for target in targets {
        let found = root.join("target/fuzz/corpus").join(&target);
        let kept = root.join("fuzz/corpus").join(&target);
        fs::create_dir_all(&found).with_context(|| format!("cannot make `{}`", found.display()))?;
        println!("fuzzing {target}");
        let mut command = Command::new("cargo");
        command
            // cargo-fuzz passes flags that are for nightly only; this lets the stable compiler take them.
            .env("RUSTC_BOOTSTRAP", "1")
            // Our code is safe: no address sanitizer.
            .args(["fuzz", "run", "--sanitizer", "none"])
            .args(["--target-dir", "target/fuzz"])
            .arg(&target)
            .args([found, kept])
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-runs={executions}"))
            // Whoever takes longer or more holds up a `report`.
            .args(["-timeout=25", "-rss_limit_mb=1500", "-max_len=8192"])
            .arg("-print_final_stats=1")
            .current_dir(root);
        execute(&mut command)?;
    }
    Ok(())
}

fn all_targets() -> anyhow::Result<Vec<String>> {
    let folder = project_root()?.join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        targets.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    targets.sort();
    Ok(targets)
}

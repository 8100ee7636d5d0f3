//! The project's own commands: `cargo xtask --help`.

mod bench;
mod demo;
mod dist;
mod ebpf;
mod fuzz;
mod run;
mod static_binary;
mod table;
mod test;
mod vm;

use std::path::Path;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build build-mem, and measure a real build with it: its own
    Demo,
    /// Measure what build-mem costs and how well it sees, against the same builds without it
    Bench(bench::Arguments),
    /// Run all tests, installing what they need
    Test(test::Arguments),
    /// Run the end-to-end tests on other kernels, in virtual machines
    Vm(vm::Arguments),
    /// Make what is released: a static binary, its archive, a Debian package, manual pages, completions
    Dist(dist::Arguments),
    /// Fuzz what reads recordings, records, configs and /proc
    Fuzz(fuzz::Arguments),
    /// Build the eBPF programs into the object that build-mem embeds
    Ebpf(ebpf::Arguments),
}

fn main() -> anyhow::Result<()> {
    run::heed_signals()?;
    match Cli::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Demo => demo::run(),
        Command::Dist(arguments) => dist::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Vm(arguments) => vm::run(&arguments),
        Command::Ebpf(arguments) => ebpf::run(&arguments),
    }
}

/// The folder of the checkout.
fn project_root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask's manifest is not in a folder of the project")
}

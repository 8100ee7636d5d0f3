//! The builds that are measured, made ready in a scratch folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::run::execute;

/// The workloads.
pub const NAMES: [&str; 7] = ["storm", "touch", "spike", "node", "c", "cargo", "next"];

/// A build, ready to be run again and again.
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub what: String,
    /// Where it is run.
    pub folder: PathBuf,
    /// What is run.
    pub command: Vec<OsString>,
    /// What its processes hold at its peak, in bytes, where that is known beforehand.
    pub truth: Option<u64>,
    /// What is removed before each run, so that the build is cold.
    outputs: Vec<PathBuf>,
}

/// The C sources: Lua's, as the crate `lua-src` brings them.
const LUA_CRATE: &str = "lua-src";
const LUA_CRATE_VERSION: &str = "=551.1.0";

/// Numbers that are not whole take 8 bytes each: 128 arrays of 8 MiB. They are there for half a second.
const NODE_HEAP: &str = "const kept = []; \
    for (let i = 0; i < 128; i++) kept.push(new Array(1 << 20).fill(i + 0.5)); \
    setTimeout(() => process.exit(kept.length === 128 ? 0 : 1), 500);";

const MAKEFILE: &str = "\
liblua.a: $(patsubst %.c,%.o,$(wildcard *.c))
\t$(AR) rcs $@ $^
%.o: %.c
\t$(CC) -O2 -DLUA_USE_LINUX -c -o $@ $<
";

impl Workload {
    /// Makes a workload ready.
    pub fn prepare(name: &str, root: &Path, scratch: &Path, quick: bool) -> anyhow::Result<Self> {
        let folder = scratch.join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        let workload = root.join("target/release/examples/workload");
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let of_example = |name: &'static str, what: String, arguments: &[&str], truth| {
            let command =
                std::iter::once(workload.clone().into_os_string()).chain(words(arguments));
            Self {
                name,
                what,
                folder: folder.clone(),
                command: command.collect(),
                truth,
                outputs: Vec::new(),
            }
        };
        match name {
            "storm" => {
                let count = if quick { "2000" } else { "20000" };
                let what =
                    format!("{count} short processes by fork and exec, at most eight at a time");
                Ok(of_example("storm", what, &["storm", count], None))
            }
            "touch" => Ok(of_example(
                "touch",
                "one process touches 2 GiB".to_owned(),
                &["touch", "2048"],
                Some(2048 << 20),
            )),
            "spike" => Ok(of_example(
                "spike",
                "one process touches 500 MiB, and gives them back after 5 ms".to_owned(),
                &["spike", "500", "5"],
                Some(500 << 20),
            )),
            "node" => Ok(Self {
                name: "node",
                what: "node with 1 GiB of heap, for half a second".to_owned(),
                folder,
                command: words(&["node", "--max-old-space-size=2048", "-e", NODE_HEAP]),
                truth: None,
                outputs: Vec::new(),
            }),
            "c" => {
                let folder = lua(&folder)?;
                Ok(Self {
                    name: "c",
                    what: format!(
                        "`make -j2` of Lua's C sources (crate {LUA_CRATE} {LUA_CRATE_VERSION})"
                    ),
                    command: words(&["make", "-j2"]),
                    truth: None,
                    outputs: Vec::new(),
                    folder,
                })
            }
            "cargo" => {
                let target = folder.join("target");
                let cargo = env!("CARGO");
                let mut command =
                    words(&[cargo, "build", "--offline", "--quiet", "--package", "xtask"]);
                command.extend([
                    "--manifest-path".into(),
                    root.join("Cargo.toml").into(),
                    "--target-dir".into(),
                    target.clone().into(),
                ]);
                Ok(Self {
                    name: "cargo",
                    what: "`cargo build` of this project's xtask".to_owned(),
                    folder,
                    command,
                    truth: None,
                    outputs: vec![target],
                })
            }
            "next" => next(root, scratch),
            _ => bail!(
                "there is no workload `{name}`; there are {}",
                NAMES.join(", ")
            ),
        }
    }

    /// Removes what the last run left, so that the next one is cold.
    pub fn clean(&self) -> anyhow::Result<()> {
        if self.name == "c" {
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|end| end == "o" || end == "a") {
                    fs::remove_file(path)?;
                }
            }
        }
        for output in &self.outputs {
            if output.is_dir() {
                fs::remove_dir_all(output)
                    .with_context(|| format!("cannot remove `{}`", output.display()))?;
            } else if output.exists() {
                fs::remove_file(output)?;
            }
        }
        Ok(())
    }
}

/// Lua's sources with a makefile, by way of cargo's registry.
fn lua(folder: &Path) -> anyhow::Result<PathBuf> {
    let sources = folder.join("vendor").join(LUA_CRATE).join("lua-5.4.9");
    if !sources.exists() {
        let manifest = format!(
            "[package]\nname = \"lua\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\n{LUA_CRATE} = \"{LUA_CRATE_VERSION}\"\n"
        );
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::write(folder.join("src/lib.rs"), "")?;
        eprintln!("c: fetching Lua's sources");
        execute(
            Command::new(env!("CARGO"))
                .args(["vendor", "--quiet"])
                .current_dir(folder),
        )?;
    }
    fs::write(sources.join("Makefile"), MAKEFILE)
        .with_context(|| format!("the crate {LUA_CRATE} has no `{}`", sources.display()))?;
    Ok(sources)
}

/// A copy of the example monorepo with its packages installed.
fn next(root: &Path, scratch: &Path) -> anyhow::Result<Workload> {
    let folder = scratch.join("nextjs-monorepo");
    if !folder.join("node_modules").exists() {
        eprintln!("next: installing packages (npm ci)");
        let example = root.join("examples/nextjs-monorepo");
        // What git knows is the example; the rest is what a build or an install left there.
        execute(
            Command::new("sh")
                .args(["-c", "git ls-files -z | tar --create --null --files-from=- | tar --extract --directory \"$0\""])
                .arg({
                    fs::create_dir_all(&folder)?;
                    &folder
                })
                .current_dir(example),
        )?;
        execute(
            Command::new("npm")
                .args(["ci", "--silent"])
                .current_dir(&folder),
        )?;
    }
    let outputs = [
        "server/.next",
        "server/tsconfig.tsbuildinfo",
        "server/public/elevation.wasm",
        "packages/units/dist",
        "packages/trails/dist",
        ".nx",
    ];
    Ok(Workload {
        name: "next",
        what: "examples/nextjs-monorepo, cold: npm, nx, tsc, next".to_owned(),
        truth: None,
        outputs: outputs.iter().map(|output| folder.join(output)).collect(),
        command: ["npm", "run", "build"].map(OsString::from).to_vec(),
        folder,
    })
}

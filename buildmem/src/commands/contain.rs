//! `build-mem run --image`: the same run, started in a container.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Gid, Uid, geteuid};

use crate::cli::{ContainerPrivileges, RunArgs, RuntimeArg, TrackerArg};
use crate::container::{Container, DEFAULT_IMAGE, Privileges, Runtime};
use crate::launch::credentials::{Credentials, Environment, Invoker};
use crate::launch::elevate;
use crate::observe::host;
use crate::problem::Problem;

/// The image to run in, where one was asked for.
pub fn image(args: &RunArgs) -> Option<&str> {
    let default = args.container.then_some(DEFAULT_IMAGE);
    args.image.as_deref().or(default)
}

/// Becomes the program that runs the container; what that prints is what the run inside prints, and so is its exit code.
///
/// # Errors
///
/// When it cannot be executed, or would not find what is asked for.
pub fn run(args: &RunArgs, image: &str, environment: &Environment) -> Result<Infallible, Problem> {
    for (option, path) in [
        ("--out-dir", Some(args.out_dir.as_path())),
        ("--config", args.config.as_deref()),
    ] {
        if let Some(path) = path.filter(|path| !stays_inside(path)) {
            return Err(Problem::new(format!(
                "`{option} {}` cannot be reached in the container",
                path.display()
            ))
            .because("only this folder is mounted in it")
            .help("give a path inside of this folder, from here"));
        }
    }
    let path = environment.get(OsStr::new("PATH"));
    let (runtime, program) = find(args.runtime, path.map(OsString::as_os_str))?;
    if args.tracker == TrackerArg::Ebpf && !runtime.is_within_reach(environment) {
        elevate::through_sudo(environment, !args.quiet && !args.json_only)?;
    }
    let mut user = Invoker::resolve(args.user.as_deref(), environment)?.credentials;
    if runtime == Runtime::Podman && !geteuid().is_root() {
        // In a container of a user's own podman, root is that user.
        user = Credentials {
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            groups: vec![Gid::ROOT],
        };
    }
    let project = env::current_dir()
        .map_err(|error| Problem::new("cannot tell the current folder").because(error))?;
    let ours = env::current_exe()
        .map_err(|error| Problem::new("cannot find build-mem's own program").because(error))?;
    let typed: Vec<OsString> = env::args_os().skip(1).collect();
    let mut container = Container {
        image,
        privileges: match (args.container_privileges, args.tracker) {
            (ContainerPrivileges::Full, _) => Privileges::Full,
            (ContainerPrivileges::Least, TrackerArg::Ebpf) => Privileges::Least,
            (ContainerPrivileges::Least, TrackerArg::Proc) => Privileges::NoEbpf,
        },
        maps_are_locked_memory: is_before_5_11(&host::kernel_release()),
        memory: args.memory,
        swap: args.swap.unwrap_or_default(),
        program: &ours,
        project: &project,
        user: &user,
        on_terminal: io::stdin().is_terminal() && io::stdout().is_terminal(),
        arguments: &typed,
    };
    pull(&program, image)?;
    if container.privileges == Privileges::Least && !works(&program, &container)? {
        container.privileges = Privileges::Older;
    }
    let id = create(&program, &container)?;
    let error = Command::new(&program)
        .args(["start", "--attach", "--interactive", &id])
        .exec();
    Err(cannot_execute(&program, &error))
}

fn is_before_5_11(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 11),
        _ => false,
    }
}

fn cannot_execute(program: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("cannot execute `{}`", program.display())).because(error)
}

/// Has the image fetched, unless it is there. How far that is can be seen on stderr.
fn pull(program: &Path, image: &str) -> Result<(), Problem> {
    let failed = |error: io::Error| cannot_execute(program, &error);
    let is_there = Command::new(program)
        .args(["image", "inspect", "--format", "{{.Id}}", image])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(failed)?;
    if is_there.success() {
        return Ok(());
    }
    let pulled = Command::new(program)
        .args(["pull", image])
        .stdin(Stdio::null())
        // What a run prints there is for programs.
        .stdout(io::stderr())
        .status()
        .map_err(failed)?;
    if pulled.success() {
        return Ok(());
    }
    Err(Problem::new(format!("there is no image `{image}`"))
        .because(format!("`{} pull` failed", program.display()))
        .help(
            "what it says is above; `docker images` and `podman images` list those that are here",
        ))
}

/// Whether eBPF works in a container with these privileges: neither the runtime's nor the kernel's version tells.
fn works(program: &Path, container: &Container) -> Result<bool, Problem> {
    let output = call(program, container.to_probe()?)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        log::info!("with {:?}: {}", container.privileges, said.trim());
    }
    Ok(output.status.success())
}

/// Makes the container, and gives its name.
fn create(program: &Path, container: &Container) -> Result<String, Problem> {
    let output = call(program, container.to_create()?)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&output.stderr);
    if !output.status.success() {
        return Err(Problem::new("cannot make the container")
            .because(said)
            .help("what is said of it is the runtime's own: correct that, or choose another with `--runtime`"));
    }
    if !said.is_empty() {
        log::warn!("{}: {said}", program.display());
    }
    Ok(text(&output.stdout))
}

fn call(program: &Path, words: Vec<OsString>) -> Result<Output, Problem> {
    log::info!("running {} {words:?}", program.display());
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_execute(program, &error))
}

/// The runtime that was asked for, else the first that is installed.
fn find(asked: Option<RuntimeArg>, path: Option<&OsStr>) -> Result<(Runtime, PathBuf), Problem> {
    let candidates: &[Runtime] = match asked {
        Some(RuntimeArg::Docker) => &[Runtime::Docker],
        Some(RuntimeArg::Podman) => &[Runtime::Podman],
        None => &[Runtime::Docker, Runtime::Podman],
    };
    let mut found = candidates
        .iter()
        .filter_map(|runtime| Some((*runtime, elevate::find(runtime.program(), path)?)));
    found.next().ok_or_else(|| {
        let names: Vec<&str> = candidates.iter().map(|runtime| runtime.program()).collect();
        Problem::new(format!("there is no {}", names.join(" and no ")))
            .because("none is in the PATH")
            .help("install one, such as by `apt install podman`, or leave out `--image`")
    })
}

/// Whether a path leads to a place below this folder, as far as its words tell.
fn stays_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_that_locks_maps_is_known_by_its_release() {
        assert!(is_before_5_11("5.10.0-32-cloud-amd64"));
        assert!(is_before_5_11("4.19"));
        for release in ["5.11.0", "6.1.0-50-amd64", "7.2.13+deb14-amd64", ""] {
            assert!(!is_before_5_11(release), "{release}");
        }
    }

    #[test]
    fn only_what_is_mounted_can_be_reached() {
        assert!(stays_inside(Path::new(".build-mem")));
        assert!(stays_inside(Path::new("./out/x")));
        assert!(!stays_inside(Path::new("../out")));
        assert!(!stays_inside(Path::new("/tmp/out")));
    }
}

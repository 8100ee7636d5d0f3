//! Started without the rights that eBPF needs: build-mem runs itself through sudo, where that can work.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{geteuid, getpgrp};
use rustix::termios::tcgetpgrp;

use super::credentials::Environment;
use crate::problem::Problem;

/// Becomes `sudo build-mem …` with our arguments, if sudo needs no password, or has a terminal to ask for it. Else it
/// returns, and what fails for want of rights tells so.
///
/// sudo gets `environment`, ours: there the run below it finds the build's.
///
/// # Errors
///
/// When sudo cannot be executed.
pub fn through_sudo(environment: &Environment, tell: bool) -> Result<(), Problem> {
    let ours = env::current_exe()
        .map_err(|error| Problem::new("cannot find build-mem's own program").because(error))?;
    // Root has all that sudo can give. And where sudo has called us, to go round would change nothing.
    if geteuid().is_root() || was_called_by_sudo(environment, &ours) {
        return Ok(());
    }
    let path = environment.get(OsStr::new("PATH"));
    let Some(sudo) = find("sudo", path.map(OsString::as_os_str)) else {
        return Ok(());
    };
    if !asks_for_no_password(&sudo) && !is_in_front_of_a_terminal() {
        return Ok(());
    }
    if tell {
        // A stderr that takes nothing must not be in the way.
        let _ = writeln!(
            io::stderr(),
            "build-mem: eBPF needs root: running build-mem through sudo; the build runs as you"
        );
    }
    let error = Command::new(&sudo)
        .arg("--")
        .arg(ours)
        .args(env::args_os().skip(1))
        .env_clear()
        .envs(environment)
        .exec();
    Err(Problem::new(format!("cannot execute `{}`", sudo.display())).because(error))
}

/// Whether this program is what sudo was asked to run. Below a `sudo -u dev bash`, it is not.
fn was_called_by_sudo(environment: &Environment, ours: &Path) -> bool {
    let Some(command) = environment.get(OsStr::new("SUDO_COMMAND")) else {
        return false;
    };
    // The program and its arguments, joined by spaces: sudo(8).
    let arguments = command.as_bytes().strip_prefix(ours.as_os_str().as_bytes());
    arguments.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// Where a program is that we may run as root, of the folders of `path`.
pub fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        // A relative one is the project's, which others write.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|program| program.is_file() && (!geteuid().is_root() || is_roots(program)))
}

/// Whether nobody but root, and who root has put into the file's group, decides what is at this path. sudo may be
/// configured to keep the caller's PATH.
fn is_roots(program: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    [Some(program), program.parent()]
        .into_iter()
        .flatten()
        .all(|path| {
            path.metadata()
                .is_ok_and(|it| it.uid() == 0 && it.mode() & OTHERS_WRITE == 0)
        })
}

fn asks_for_no_password(sudo: &Path) -> bool {
    let status = Command::new(sudo)
        .args(["--non-interactive", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Whether somebody can be asked: sudo does so at the terminal of the session, wherever stdin comes from. In the
/// background it would be stopped, and wait for ever.
fn is_in_front_of_a_terminal() -> bool {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|front| front == getpgrp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sudo_that_was_asked_for_this_program_has_called_it() {
        let called_by = |command: Option<&str>| {
            let environment = command
                .map(|command| ("SUDO_COMMAND".into(), command.into()))
                .into_iter()
                .collect();
            was_called_by_sudo(&environment, Path::new("/opt/build-mem"))
        };
        assert!(called_by(Some("/opt/build-mem run -- make")));
        assert!(called_by(Some("/opt/build-mem")));
        assert!(!called_by(Some("/opt/build-mem-old run")));
        assert!(!called_by(Some("/bin/bash")));
        assert!(!called_by(None));
    }

    #[test]
    fn a_sudo_in_a_relative_folder_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let sudo = folder.path().join("sudo");
        std::fs::write(&sudo, "").unwrap();
        let path = env::join_paths([Path::new("."), Path::new(""), folder.path()]).unwrap();
        assert_eq!(find("sudo", Some(&path)), Some(sudo));
        assert_eq!(find("sudo", Some(OsStr::new(".:/nonexistent"))), None);
        assert_eq!(find("sudo", None), None);
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn root_takes_no_program_that_others_can_replace() {
        use std::os::unix::fs::{PermissionsExt as _, chown};

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker");
        std::fs::write(&program, "").unwrap();
        let found = || find("docker", Some(folder.path().as_os_str())).is_some();
        assert!(found());
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&program, 0o777);
        assert!(!found());
        mode(&program, 0o755);
        mode(folder.path(), 0o777);
        assert!(!found());
        mode(folder.path(), 0o755);
        chown(&program, Some(54_321), None).unwrap();
        assert!(!found());
    }
}

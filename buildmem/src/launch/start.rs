//! Starting the build: its cgroup, its credentials, its descriptors, and which step failed when one did.
//!
//! The child is made by fork(2), never vfork(2) or posix_spawn(3): with these it would begin in our address
//! space, and the kernel would fold our high-water RSS into its own. std takes fork where a `pre_exec` hook is
//! set. The build stays in our process group and session, so that the terminal treats both as one job.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, chdir, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::credentials::{CredentialStep, Credentials};
use super::output::ChildStdio;
use super::privileges;
use super::signals::is_ignored;
use crate::event::ExitStatus;
use crate::ids::Tgid;
use crate::problem::{Problem, ProblemKind};

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildCommand {
    /// A program, looked up in the build's `PATH`, and its arguments.
    Argv(Vec<OsString>),
    /// A line for `bash -lc`.
    Shell(String),
}

impl BuildCommand {
    /// The words that are executed.
    pub fn argv(&self) -> Vec<OsString> {
        match self {
            Self::Argv(argv) => argv.clone(),
            Self::Shell(line) => vec!["bash".into(), "-lc".into(), line.into()],
        }
    }
}

/// Everything that the build's process is made from. Its stdin is ours unless it has its own, and descriptors that we inherited
/// without close-on-exec, such as make's job server, reach it as they would have without us.
#[derive(Debug)]
pub struct BuildSpec {
    /// What is run.
    pub command: BuildCommand,
    /// Where; ours when absent.
    pub cwd: Option<PathBuf>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Who it runs as: without any capability, unless it is root.
    pub credentials: Credentials,
    /// We share its container: it gets no capability, of its own or of a file, that a container's root does not have by
    /// default, and where the container runs out of memory, one of its processes goes before we do.
    pub confined: bool,
    /// An open `cgroup.procs` of the cgroup that it joins before it gives up its rights.
    pub cgroup_procs: Option<OwnedFd>,
    /// The signals that it has blocked: [`SignalStream::inherited_mask`](super::signals::SignalStream).
    pub signal_mask: SigSet,
    /// Its output streams.
    pub stdio: ChildStdio,
}

/// The build's own process.
#[derive(Debug)]
pub struct RunningBuild {
    child: Child,
    pidfd: OwnedFd,
    tgid: Tgid,
    /// A second descriptor of it, registered with the runtime by the first wait, and for good: the session waits
    /// anew many times a second.
    ended: Option<AsyncFd<OwnedFd>>,
}

impl RunningBuild {
    /// A child of ours that has executed its program.
    pub(super) fn of(child: Child) -> Result<Self, Problem> {
        let tgid = Tgid(child.id());
        let pidfd = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|errno| {
                Problem::new("cannot wait for the build")
                    .because(format!("pidfd_open: {errno}"))
                    .help("build-mem needs Linux 5.10 or newer; a sandbox may have forbidden the call")
            });
        match pidfd {
            Ok(pidfd) => Ok(Self {
                child,
                pidfd,
                tgid,
                ended: None,
            }),
            Err(problem) => {
                let mut child = child;
                // A build that nobody waits for must not run on.
                let _ = child.kill();
                let _ = child.wait();
                Err(problem)
            }
        }
    }

    /// Its number.
    pub const fn tgid(&self) -> Tgid {
        self.tgid
    }

    /// Sends it a signal. When it has ended, nothing happens: the number is never another process's.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for processes that have ended and are ours only because whoever forked them has ended before. It is up to
    /// the first process of a PID namespace, which we may be in a container.
    pub fn reap_others(&self) {
        let ended = || {
            waitid(
                Id::All,
                WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT,
            )
        };
        // The build's own end is told by `wait`.
        while let Some(pid) = ended().ok().and_then(|status| status.pid())
            && pid.as_raw().cast_unsigned() != self.tgid.0
            && waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_ok()
        {}
    }

    /// Waits for its end. May be dropped before it is ready, and called again. Needs a tokio runtime.
    pub async fn wait(&mut self) -> Result<ExitStatus, Problem> {
        let failed = |error: io::Error| Problem::new("cannot wait for the build").because(error);
        let ended = if let Some(ended) = &self.ended {
            ended
        } else {
            let pidfd = self.pidfd.try_clone().map_err(failed)?;
            // SAFETY: the descriptor is owned by the `AsyncFd`, and stays open, and the same, as long as that.
            let ended = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
                .map_err(|error| failed(error.into()))?;
            self.ended.insert(ended)
        };
        loop {
            if let Some(status) = self.child.try_wait().map_err(failed)? {
                return Ok(ExitStatus::from_wait_status(status.into_raw()));
            }
            // Readable when the last thread has ended: pidfd_open(2).
            ended.readable().await.map_err(failed)?.clear_ready();
        }
    }
}

/// Starts the build. Returns when it has executed its program, or the step that failed.
///
/// The descriptors of `spec` are closed in this process when it returns, so that the end of the output is seen.
pub fn start(spec: BuildSpec) -> Result<RunningBuild, Problem> {
    let BuildSpec {
        command,
        cwd,
        env,
        credentials,
        confined,
        cgroup_procs,
        signal_mask,
        stdio,
    } = spec;
    let argv = command.argv();
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Problem::new("there is no command to run")
            .help("give the build's command after `--`, or with `--build-cmd`"));
    };
    become_a_parent()?;

    let failed_to_prepare =
        |error: io::Error| Problem::new("cannot start the build").because(error);
    let (mut failed_step, child_side) = io::pipe().map_err(failed_to_prepare)?;
    let c_cwd = cwd
        .as_deref()
        .map(|cwd| CString::new(cwd.as_os_str().as_bytes()))
        .transpose()
        .map_err(|error| failed_to_prepare(error.into()))?;
    let its_credentials = credentials.clone();

    let ChildStdio {
        stdin,
        stdout,
        stderr,
    } = stdio;
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env_clear()
        .envs(env)
        .stdin(stdin.map_or_else(Stdio::inherit, Stdio::from))
        .stdout(stdout)
        .stderr(stderr);
    if let Some(cwd) = cwd.as_deref().filter(|cwd| cwd.is_absolute()) {
        process.env("PWD", cwd);
    }
    let in_child = move || {
        let outcome = prepare_child(
            cgroup_procs.as_ref(),
            &signal_mask,
            &its_credentials,
            confined,
            c_cwd.as_deref(),
        );
        let (step, result) = match outcome {
            Ok(()) => (Step::Exec, Ok(())),
            Err((step, errno)) => (step, Err(io::Error::from(errno))),
        };
        // Should this fail, the parent has the errno, without the step.
        let _ = rustix::io::write(&child_side, &[step as u8]);
        result
    };
    // SAFETY: between fork and exec the closure makes system calls only, through rustix and sigprocmask(2):
    // all async-signal-safe. It allocates nothing and takes no lock; what it uses was made before the fork.
    unsafe { process.pre_exec(in_child) };

    let spawned = process.spawn();
    // Closes our copies of the child's descriptors, and the writing end of the pipe.
    drop(process);
    let child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let mut step = [0];
            let step = match failed_step.read_exact(&mut step) {
                Ok(()) => Step::from_byte(step[0]),
                Err(_) => Step::Fork,
            };
            return Err(explain(
                step,
                &error,
                program,
                &command,
                cwd.as_deref(),
                &credentials,
            ));
        }
    };

    RunningBuild::of(child)
}

/// What happens between fork and exec, as the byte that the child reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Fork = 0,
    JoinCgroup,
    SignalMask,
    Groups,
    Group,
    User,
    Capabilities,
    WorkingDirectory,
    Exec,
}

impl Step {
    fn from_byte(byte: u8) -> Self {
        [
            Self::JoinCgroup,
            Self::SignalMask,
            Self::Groups,
            Self::Group,
            Self::User,
            Self::Capabilities,
            Self::WorkingDirectory,
            Self::Exec,
        ]
        .into_iter()
        .find(|step| *step as u8 == byte)
        .unwrap_or(Self::Fork)
    }
}

impl From<CredentialStep> for Step {
    fn from(step: CredentialStep) -> Self {
        match step {
            CredentialStep::Groups => Self::Groups,
            CredentialStep::Group => Self::Group,
            CredentialStep::User => Self::User,
            CredentialStep::Capabilities => Self::Capabilities,
        }
    }
}

/// Runs in the forked child, see the SAFETY comment of its caller. std has emptied the signal mask and set
/// SIGPIPE, which Rust's runtime ignores in us, to its default before. Handlers go with exec; what the caller
/// ignores, the build ignores.
fn prepare_child(
    cgroup_procs: Option<&OwnedFd>,
    signal_mask: &SigSet,
    credentials: &Credentials,
    confined: bool,
    cwd: Option<&std::ffi::CStr>,
) -> Result<(), (Step, Errno)> {
    if let Some(procs) = cgroup_procs {
        // 0 is the writer: cgroups(7).
        privileges::with_held_back(|| rustix::io::write(procs, b"0"))
            .map_err(|errno| (Step::JoinCgroup, errno))?;
    }
    signal_mask
        .thread_set_mask()
        .map_err(|errno| (Step::SignalMask, Errno::from_raw_os_error(errno as i32)))?;
    if confined {
        go_first_when_out_of_memory();
        privileges::keep_a_containers().map_err(|errno| (Step::Capabilities, errno))?;
    }
    credentials
        .take_on()
        .map_err(|(step, errno)| (step.into(), errno))?;
    // As the user: root may not be let into a folder on NFS.
    if let Some(cwd) = cwd {
        chdir(cwd).map_err(|errno| (Step::WorkingDirectory, errno))?;
    }
    Ok(())
}

/// Half of what the container may have is added to what the out-of-memory killer takes each process of the build for;
/// which one of them it chooses remains the same: proc_pid_oom_score_adj(5).
fn go_first_when_out_of_memory() {
    // Should this fail, so be it: to lose the report is less than to lose the build.
    let file = open(
        c"/proc/self/oom_score_adj",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let _ = file.and_then(|file| rustix::io::write(file, b"500"));
}

/// A process that was started with SIGCHLD ignored can't learn how its children ended: wait(2).
/// The build has the default then too.
pub(super) fn become_a_parent() -> Result<(), Problem> {
    let failed = |error: io::Error| Problem::new("cannot reset SIGCHLD").because(error);
    if !is_ignored(Signal::SIGCHLD).map_err(failed)? {
        return Ok(());
    }
    // SAFETY: sets the default disposition; no handler is installed, and none is replaced.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .map_err(|errno| failed(errno.into()))?;
    Ok(())
}

fn explain(
    step: Step,
    error: &io::Error,
    program: &OsStr,
    command: &BuildCommand,
    cwd: Option<&Path>,
    credentials: &Credentials,
) -> Problem {
    let user = credentials.uid.as_raw();
    let what = match step {
        Step::Fork => "cannot make a process for the build".to_owned(),
        Step::JoinCgroup => "cannot move the build into its cgroup".to_owned(),
        Step::SignalMask => "cannot set the build's signal mask".to_owned(),
        Step::Groups => format!("cannot give the build the groups of user {user}"),
        Step::Group => format!(
            "cannot give the build the group {}",
            credentials.gid.as_raw()
        ),
        Step::User => format!("cannot run the build as user {user}"),
        Step::Capabilities => "cannot take the capabilities from the build".to_owned(),
        Step::WorkingDirectory => format!(
            "cannot enter `{}` as user {user}",
            cwd.unwrap_or(Path::new(".")).display()
        ),
        Step::Exec => return explain_exec(error, program, command),
    };
    Problem::new(what).because(error)
}

/// Looks the program up in the build's PATH, so that nothing is cleared or replaced for a build that cannot
/// start. What only the kernel can tell, such as a missing interpreter, is told by [`start`].
///
/// To be called with the rights of the build's user.
pub fn find_program(command: &BuildCommand, env: &[(OsString, OsString)]) -> Result<(), Problem> {
    let argv = command.argv();
    let Some(program) = argv.first() else {
        return Ok(());
    };
    let path = env
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, path)| path);
    // Without a PATH, execvp(3) has one of its own.
    let (Some(path), false) = (path, program.as_bytes().contains(&b'/')) else {
        return match fs::metadata(program) {
            Err(error) if program.as_bytes().contains(&b'/') => {
                Err(explain_exec(&error, program, command))
            }
            Ok(metadata) if metadata.is_dir() => {
                Err(explain_exec(&Errno::ISDIR.into(), program, command))
            }
            Err(_) | Ok(_) => Ok(()),
        };
    };
    if std::env::split_paths(path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    let error = Errno::NOENT.into();
    Err(explain_exec(&error, program, command))
}

fn explain_exec(error: &io::Error, program: &OsStr, command: &BuildCommand) -> Problem {
    let shown = program.display();
    let problem = Problem::new(format!("cannot execute `{shown}`")).because(error);
    match (error.kind(), command) {
        (io::ErrorKind::NotFound, BuildCommand::Shell(_)) => problem
            .kind(ProblemKind::NotFound)
            .help("`--build-cmd` needs bash; without it give the command after `--`"),
        (io::ErrorKind::NotFound, BuildCommand::Argv(_)) => {
            // With a slash the name is a path, and not looked up.
            let help = if program.as_bytes().contains(&b'/') && Path::new(program).exists() {
                "the file is there: the interpreter that its first line names, or its loader, is not"
            } else {
                "is it in the PATH of the build? for a line of shell use `--build-cmd`"
            };
            problem.kind(ProblemKind::NotFound).help(help)
        }
        (io::ErrorKind::PermissionDenied, _) => problem
            .kind(ProblemKind::NotExecutable)
            .help("`chmod +x` makes a file executable"),
        // ENOEXEC, EISDIR, ELOOP, E2BIG and the like: it is there, and can't be executed.
        (_, _) => problem.kind(ProblemKind::NotExecutable),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn spec(argv: &[&str]) -> (BuildSpec, File) {
        let (reader, writer) = io::pipe().unwrap();
        let stdout = OwnedFd::from(writer);
        let spec = BuildSpec {
            command: BuildCommand::Argv(argv.iter().map(OsString::from).collect()),
            cwd: None,
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            credentials: Credentials::current().unwrap(),
            confined: false,
            cgroup_procs: None,
            signal_mask: SigSet::empty(),
            stdio: ChildStdio {
                stdin: None,
                stderr: stdout.try_clone().unwrap(),
                stdout,
            },
        };
        (spec, OwnedFd::from(reader).into())
    }

    async fn run(spec: BuildSpec, mut output: File) -> (ExitStatus, String) {
        let mut build = start(spec).unwrap();
        let status = build.wait().await.unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        (status, text)
    }

    fn problem(spec: BuildSpec) -> Problem {
        start(spec).expect_err("it must not start")
    }

    #[tokio::test]
    async fn the_exit_code_and_the_signal_are_told() {
        let (spec_of_code, output) = spec(&["sh", "-c", "exit 7"]);
        assert_eq!(run(spec_of_code, output).await.0, ExitStatus::Code(7));
        let (spec_of_signal, output) = spec(&["sh", "-c", "kill -KILL $$"]);
        assert_eq!(run(spec_of_signal, output).await.0, ExitStatus::Signal(9));
    }

    #[tokio::test]
    async fn the_environment_is_the_given_one() {
        let (mut spec, output) = spec(&["env"]);
        spec.env.push(("A".into(), "b".into()));
        assert_eq!(run(spec, output).await.1, "A=b\nPATH=/usr/bin:/bin\n");
    }

    #[tokio::test]
    async fn the_program_is_looked_up_in_its_own_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("only-here");
        fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let (mut spec, output) = spec(&["only-here"]);
        spec.env = vec![("PATH".into(), folder.path().into())];
        assert_eq!(run(spec, output).await.1, "found\n");
    }

    #[tokio::test]
    async fn a_shell_line_runs_in_bash() {
        let (mut spec, output) = spec(&[]);
        // Without a profile that prints.
        spec.env.push(("HOME".into(), "/nonexistent".into()));
        spec.command = BuildCommand::Shell("[[ a == a ]] && echo \"$0\"".into());
        assert_eq!(run(spec, output).await.1, "bash\n");
    }

    #[tokio::test]
    async fn the_working_directory_is_the_given_one() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().canonicalize().unwrap();
        let (mut spec, output) = spec(&["sh", "-c", "echo $PWD; pwd -P"]);
        spec.cwd = Some(cwd.clone());
        let expected = format!("{0}\n{0}\n", cwd.display());
        assert_eq!(run(spec, output).await.1, expected);
    }

    #[tokio::test]
    async fn it_inherits_no_descriptor_of_ours() {
        let ours = tempfile::NamedTempFile::new().unwrap();
        let procs = tempfile::NamedTempFile::new().unwrap();
        let (mut spec, output) = spec(&["find", "/proc/self/fd/", "-printf", "%l\\n"]);
        spec.cgroup_procs = Some(procs.reopen().unwrap().into());
        let (_, text) = run(spec, output).await;
        for file in [ours.path(), procs.path()] {
            assert!(!text.contains(file.to_str().unwrap()), "{text}");
        }
        // Its stdout and stderr; not the pipe that tells the failed step.
        assert_eq!(
            text.matches("pipe:").count(),
            2 + inherited_pipes(),
            "{text}"
        );
    }

    /// Pipes that the test runner gave us and that any child of ours has: at most our stdin, and such as make's
    /// job server.
    fn inherited_pipes() -> usize {
        let is_pipe = |fd: &str| {
            fs::read_link(format!("/proc/self/fd/{fd}"))
                .is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"pipe:"))
        };
        let kept_on_exec = |fd: &str| {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            flags.is_some_and(|flags| {
                let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
                flags & OFlags::CLOEXEC.bits() == 0
            })
        };
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter(|fd| fd != "1" && fd != "2" && is_pipe(fd) && kept_on_exec(fd))
            .count()
    }

    #[tokio::test]
    async fn it_has_the_given_mask_and_ignores_no_sigpipe() {
        let (mut spec, output) = spec(&["grep", "^Sig[BI]", "/proc/self/status"]);
        spec.signal_mask.add(Signal::SIGUSR1);
        let (_, text) = run(spec, output).await;
        let mask = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk"), 1 << (Signal::SIGUSR1 as u64 - 1));
        assert_eq!(mask("SigIgn") & (1 << (Signal::SIGPIPE as u64 - 1)), 0);
    }

    #[tokio::test]
    async fn it_stays_in_our_process_group_and_session() {
        let (spec, output) = spec(&["sh", "-c", "cut -d ' ' -f 5,6 /proc/self/stat"]);
        let (_, text) = run(spec, output).await;
        // nix: either is 0 where the leader is outside our PID namespace.
        let group = nix::unistd::getpgrp();
        let session = nix::unistd::getsid(None).unwrap();
        assert_eq!(text, format!("{group} {session}\n"));
    }

    #[tokio::test]
    async fn it_gets_our_signals() {
        let (spec, _output) = spec(&["sleep", "30"]);
        let mut build = start(spec).unwrap();
        build.signal(Signal::SIGTERM).unwrap();
        assert_eq!(build.wait().await.unwrap(), ExitStatus::Signal(15));
        build.signal(Signal::SIGTERM).unwrap();
    }

    #[test]
    fn a_missing_command_is_not_found() {
        for command in ["no-such-command-here", "/no/such/command"] {
            let (spec, _output) = spec(&[command]);
            assert_eq!(problem(spec).kind, ProblemKind::NotFound);
        }
    }

    #[test]
    fn a_program_is_found_where_the_build_will_find_it() {
        let find = |program: &str| {
            let command = BuildCommand::Argv(vec![program.into()]);
            let env = [("PATH".into(), "/usr/bin:/bin".into())];
            find_program(&command, &env).map_err(|problem| problem.kind)
        };
        assert_eq!(find("sh"), Ok(()));
        assert_eq!(find("/bin/sh"), Ok(()));
        assert_eq!(find("no-such-command-here"), Err(ProblemKind::NotFound));
        assert_eq!(find("/no/such/command"), Err(ProblemKind::NotFound));
    }

    #[test]
    fn a_missing_interpreter_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let (spec, _output) = spec(&[script.to_str().unwrap()]);
        let problem = problem(spec);
        assert_eq!(problem.kind, ProblemKind::NotFound);
        assert!(problem.help.unwrap().contains("interpreter"));
    }

    #[test]
    fn a_file_without_the_right_or_a_folder_is_not_executable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.as_path(), folder.path()] {
            let (spec, _output) = spec(&[path.to_str().unwrap()]);
            assert_eq!(problem(spec).kind, ProblemKind::NotExecutable);
        }
    }

    #[test]
    fn the_step_that_failed_is_told() {
        let (mut spec_of_cwd, _output) = spec(&["true"]);
        spec_of_cwd.cwd = Some("/no/such/folder".into());
        let told = problem(spec_of_cwd);
        assert_eq!(told.kind, ProblemKind::Tool);
        assert!(
            told.what.contains("cannot enter `/no/such/folder`"),
            "{told}"
        );

        let (mut spec_of_cgroup, _output) = spec(&["true"]);
        let full = File::options().write(true).open("/dev/full").unwrap();
        spec_of_cgroup.cgroup_procs = Some(full.into());
        let told = problem(spec_of_cgroup);
        assert!(told.what.contains("cgroup"), "{told}");
        assert!(told.cause.unwrap().contains("os error 28"));
    }

    #[tokio::test]
    async fn it_writes_itself_into_the_cgroup() {
        let procs = tempfile::NamedTempFile::new().unwrap();
        let (mut spec, output) = spec(&["true"]);
        spec.cgroup_procs = Some(procs.reopen().unwrap().into());
        run(spec, output).await;
        assert_eq!(fs::read_to_string(procs.path()).unwrap(), "0");
    }

    #[tokio::test]
    #[ignore = "needs root: cargo xtask test"]
    async fn it_has_the_users_ids_and_no_capability() {
        let (mut spec, output) = spec(&[
            "grep",
            "-E",
            "^(Uid|Gid|Groups|Cap|NoNewPrivs)",
            "/proc/self/status",
        ]);
        let id = |raw| rustix::process::Gid::from_raw(raw);
        spec.credentials = Credentials {
            uid: rustix::process::Uid::from_raw(54_321),
            gid: id(65533),
            groups: vec![id(65533), id(65532)],
        };
        let (_, text) = run(spec, output).await;
        let words = |name: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().skip(1).map(str::to_owned).collect()
        };
        assert_eq!(words("Uid:"), ["54321"; 4]);
        assert_eq!(words("Gid:"), ["65533"; 4]);
        assert_eq!(words("Groups:"), ["65532", "65533"]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(words(set), ["0000000000000000"], "{set}");
        }
        // sudo inside the build must keep working.
        assert_eq!(words("NoNewPrivs:"), ["0"]);
        let bounding = |status: &str| {
            let line = status.lines().find(|line| line.starts_with("CapBnd:"));
            line.map(str::to_owned)
        };
        assert_eq!(
            bounding(&text),
            bounding(&fs::read_to_string("/proc/self/status").unwrap())
        );
    }
}

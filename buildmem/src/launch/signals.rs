//! Signals that ask build-mem to end while a build runs. They are the build's: it decides what to do with
//! them, and build-mem ends after it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::unix::AsyncFd;

use super::start::RunningBuild;
use crate::problem::Problem;

/// The signals that are the build's.
const FORWARDED: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Comes with a write beyond RLIMIT_FSIZE, and would end build-mem before it has told how the build ended. Blocked for
/// good, it leaves the write with an error like others: setrlimit(2).
const TOO_LARGE: Signal = Signal::SIGXFSZ;

/// A signal that reached build-mem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedSignal {
    /// Which one.
    pub signal: Signal,
    /// The terminal sent it (Ctrl-C, Ctrl-\, a lost line), or the screen of `--tui` did in its place: then the
    /// build has it as well, which is in the same foreground process group.
    pub from_terminal: bool,
}

impl ForwardedSignal {
    fn from_info(info: &libc::signalfd_siginfo) -> Option<Self> {
        let signal = FORWARDED
            .into_iter()
            .find(|signal| u32::try_from(*signal as i32) == Ok(info.ssi_signo))?;
        Some(Self {
            signal,
            from_terminal: info.ssi_code == libc::SI_KERNEL || info.ssi_pid == std::process::id(),
        })
    }

    /// Passes it on, unless the build has it already. A build that has ended is no error.
    ///
    /// A kill(2) of the whole process group can't be told from one of this process: then the build gets the
    /// signal twice.
    pub fn forward(self, build: &RunningBuild) -> Result<(), Problem> {
        if self.from_terminal {
            return Ok(());
        }
        build.signal(self.signal).map_err(|error| {
            Problem::new(format!("cannot send {} to the build", self.signal)).because(error)
        })
    }
}

/// The signals as they come. While this lives, they don't end this process, however many come.
///
/// A signal that was ignored when build-mem started stays ignored, here and in the build: nohup(1) is asked
/// for in this way.
#[derive(Debug)]
pub struct SignalStream {
    fd: AsyncFd<SignalReader>,
    inherited_mask: SigSet,
}

impl SignalStream {
    /// Blocks the signals in this thread and those that it makes from now on, so this comes before all threads
    /// but those that block them themselves. Needs a tokio runtime.
    pub fn new() -> Result<Self, Problem> {
        let failed = |error: io::Error| Problem::new("cannot receive signals").because(error);
        let mut set = SigSet::empty();
        for signal in FORWARDED {
            if !is_ignored(signal).map_err(failed)? {
                set.add(signal);
            }
        }
        let inherited_mask = SigSet::thread_get_mask().map_err(|errno| failed(errno.into()))?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(|errno| failed(errno.into()))?;
        // SAFETY: `SignalReader` owns its descriptor, never changes it, and closes it when dropped.
        let fd = unsafe { AsyncFd::register(SignalReader(signals)) }
            .map_err(|error| failed(error.into()))?;
        let mut blocked = set;
        blocked.add(TOO_LARGE);
        blocked
            .thread_block()
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self { fd, inherited_mask })
    }

    /// The signal mask that build-mem was started with: the build's.
    pub const fn inherited_mask(&self) -> &SigSet {
        &self.inherited_mask
    }

    /// The next signal. May be dropped before it is ready: none is lost by that.
    pub async fn next(&self) -> Result<ForwardedSignal, Problem> {
        let failed = |error: io::Error| Problem::new("cannot receive a signal").because(error);
        loop {
            let mut ready = self.fd.readable().await.map_err(failed)?;
            let Ok(read) = ready.try_io(|fd| fd.get_ref().read()) else {
                continue;
            };
            let info = read.map_err(failed)?;
            if let Some(signal) = ForwardedSignal::from_info(&info) {
                return Ok(signal);
            }
        }
    }

    /// A signal that has come already, without waiting for one: when the build has ended too, nobody has told
    /// which of the two was first.
    pub fn pending(&self) -> Option<ForwardedSignal> {
        while let Ok(info) = self.fd.get_ref().read() {
            if let Some(signal) = ForwardedSignal::from_info(&info) {
                return Some(signal);
            }
        }
        None
    }
}

impl Drop for SignalStream {
    fn drop(&mut self) {
        // What came after the build's end must not end this process before it has told the result.
        while self.pending().is_some() {}
        let mut mask = self.inherited_mask;
        mask.add(TOO_LARGE);
        // The mask was valid when it was read, so this can't fail.
        let _ = mask.thread_set_mask();
    }
}

/// A signalfd for tokio: nix has `AsFd` only, and tells "nothing there" from an error by `None`.
#[derive(Debug)]
struct SignalReader(SignalFd);

impl SignalReader {
    fn read(&self) -> io::Result<libc::signalfd_siginfo> {
        self.0
            .read_signal()?
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl AsRawFd for SignalReader {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Whether this process ignores `signal`.
pub(super) fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action sigaction(2) changes nothing; `action` is ours, and large enough.
    let result = unsafe { libc::sigaction(signal as i32, ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction(2) succeeded, so it has filled `action` in.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use rustix::process::{Pid, ioctl_tiocsctty, kill_process, setsid};
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    use super::super::credentials::Credentials;
    use super::super::output::ChildStdio;
    use super::super::start::{BuildCommand, BuildSpec, start};
    use super::*;
    use crate::event::ExitStatus;

    const IN_CHILD: &str = "BUILD_MEM_TEST_IN_CHILD";

    /// The tests' process must not get these signals: so each test is run again in a process of its own, the
    /// leader of a session with a terminal. It starts with the signals blocked, for the test harness's threads.
    fn again_in_child(name: &str) -> (std::process::Child, BufReader<File>) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg(format!("launch::signals::tests::{name}"))
            .env(IN_CHILD, "1")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let mut forwarded = SigSet::empty();
        forwarded.extend(FORWARDED);
        let new_session = move || {
            forwarded.thread_set_mask()?;
            setsid()?;
            ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        };
        // SAFETY: system calls only, all async-signal-safe.
        unsafe { command.pre_exec(new_session) };
        let child = command.spawn().unwrap();
        (child, BufReader::new(master.into()))
    }

    /// Reads until each of `words` was in a line.
    fn wait_for(terminal: &mut BufReader<File>, words: &[&str]) {
        let mut text = String::new();
        while !words.iter().all(|word| text.contains(word)) {
            let read = terminal.read_line(&mut text).unwrap_or(0);
            assert_ne!(read, 0, "no {words:?} in {text}");
        }
    }

    fn start_build(script: &str) -> RunningBuild {
        let copy =
            |fd: std::os::fd::BorrowedFd<'_>| -> OwnedFd { fd.try_clone_to_owned().unwrap() };
        start(BuildSpec {
            command: BuildCommand::Argv(vec!["bash".into(), "-c".into(), script.into()]),
            cwd: None,
            confined: false,
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            credentials: Credentials::current().unwrap(),
            cgroup_procs: None,
            signal_mask: SigSet::empty(),
            stdio: ChildStdio {
                stdin: None,
                stdout: copy(rustix::stdio::stdout()),
                stderr: copy(rustix::stdio::stderr()),
            },
        })
        .unwrap()
    }

    /// Counts SIGINT and SIGTERM, and exits with 10 × the first + the second when it gets SIGHUP.
    const COUNTER: &str = "int=0 term=0; trap 'int=$((int+1)); echo INT' INT; \
        trap 'term=$((term+1)); echo TERM' TERM; trap 'exit $((10*int+term))' HUP; \
        echo ready; while :; do sleep 0.02; done";

    #[tokio::test]
    async fn the_build_gets_each_signal_once_and_we_survive() {
        if std::env::var_os(IN_CHILD).is_some() {
            let signals = SignalStream::new().unwrap();
            let mut build = start_build(COUNTER);
            let mut seen = Vec::new();
            let status = loop {
                tokio::select! {
                    signal = signals.next() => {
                        let signal = signal.unwrap();
                        signal.forward(&build).unwrap();
                        seen.push((signal.signal, signal.from_terminal));
                        println!("seen");
                    }
                    status = build.wait() => break status.unwrap(),
                }
            };
            let expected = [
                (Signal::SIGINT, true),
                (Signal::SIGTERM, false),
                (Signal::SIGINT, true),
                (Signal::SIGHUP, false),
            ];
            assert_eq!(seen, expected);
            assert_eq!(status, ExitStatus::Code(21));
            return;
        }
        let (mut child, mut terminal) =
            again_in_child("the_build_gets_each_signal_once_and_we_survive");
        let pid = Pid::from_child(&child);
        let ctrl_c =
            |terminal: &mut BufReader<File>| terminal.get_mut().write_all(b"\x03").unwrap();
        wait_for(&mut terminal, &["ready\r\n"]);
        ctrl_c(&mut terminal);
        wait_for(&mut terminal, &["INT\r\n", "seen\r\n"]);
        kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_for(&mut terminal, &["TERM\r\n", "seen\r\n"]);
        ctrl_c(&mut terminal);
        wait_for(&mut terminal, &["INT\r\n", "seen\r\n"]);
        kill_process(pid, rustix::process::Signal::HUP).unwrap();
        wait_for(&mut terminal, &["test result: ok. 1 passed"]);
        assert!(child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn an_ignored_signal_stays_ignored_in_us_and_in_the_build() {
        if std::env::var_os(IN_CHILD).is_some() {
            // SAFETY: SIG_IGN is no handler, so nothing of ours runs in a signal's context.
            unsafe {
                nix::sys::signal::signal(Signal::SIGHUP, nix::sys::signal::SigHandler::SigIgn)
            }
            .unwrap();
            let signals = SignalStream::new().unwrap();
            // As the children of nohup(1).
            let mut build = start_build("kill -HUP $$; kill -HUP $PPID; exit 5");
            let status = tokio::select! {
                signal = signals.next() => panic!("{signal:?}"),
                status = build.wait() => status.unwrap(),
            };
            assert_eq!(status, ExitStatus::Code(5));
            return;
        }
        let (mut child, mut terminal) =
            again_in_child("an_ignored_signal_stays_ignored_in_us_and_in_the_build");
        wait_for(&mut terminal, &["test result: ok. 1 passed"]);
        assert!(child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn the_mask_is_given_back_but_for_files_that_grow_too_large() {
        let before = SigSet::thread_get_mask().unwrap();
        let signals = SignalStream::new().unwrap();
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGINT));
        assert_eq!(signals.inherited_mask(), &before);
        drop(signals);
        let mut after = before;
        after.add(TOO_LARGE);
        assert_eq!(SigSet::thread_get_mask().unwrap(), after);
    }
}

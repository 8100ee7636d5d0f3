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

/// A signal that reached build-mem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedSignal {
    /// Which one.
    pub signal: Signal,
    /// The terminal sent it (Ctrl-C, Ctrl-\, a lost line): then the kernel has sent it to the build as well,
    /// which is in the same foreground process group.
    pub from_terminal: bool,
}

impl ForwardedSignal {
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
        set.thread_block().map_err(|errno| failed(errno.into()))?;
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
            let Some(signal) = FORWARDED
                .into_iter()
                .find(|signal| u32::try_from(*signal as i32) == Ok(info.ssi_signo))
            else {
                continue;
            };
            return Ok(ForwardedSignal {
                signal,
                from_terminal: info.ssi_code == libc::SI_KERNEL,
            });
        }
    }
}

impl Drop for SignalStream {
    fn drop(&mut self) {
        // The mask was valid when it was read, so this can't fail.
        let _ = self.inherited_mask.thread_set_mask();
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

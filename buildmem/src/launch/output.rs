//! The build's output: through to where it would have gone without us, and into the log, byte by byte.
//!
//! Where a stream of ours is a terminal the build gets a pseudo-terminal, so that it colours and buffers as it
//! would. That is not its controlling terminal: Ctrl-C, `/dev/tty` and stdin are the user's own. Any other
//! stream is a pipe. Where both of our streams are the same file the build gets one for both, which keeps their
//! order.
//!
//! Each stream has a thread, and not a place in the event loop: our stdout and stderr are shared with the
//! caller, so they can't be made non-blocking, and a terminal that was stopped with Ctrl-S, or a pager that
//! waits, must hold up the build as it would without us, but not the measurement.
//!
//! A destination that fails is given up, once and with a note; the other one still gets everything. The build
//! is never ended by that: the measurement of a build that was cut short is worth nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{OFlags, fchown, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::kill_current_process_group;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::credentials::Credentials;
use super::terminal::{Terminal, same_file, write_all};
use super::tui::Pane;
use crate::event::Note;
use crate::problem::Problem;

/// What a pipe holds: no read can return more.
const CHUNK: usize = 64 * 1024;

/// How long after the build's end a process that it left may be silent before we stop listening to it.
const SILENCE: Duration = Duration::from_millis(200);

/// How long we wait for it in all if it never is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much we take from it if it never pauses. More than a pipe can hold by default, pipe(7): what the build
/// itself wrote is always taken.
const TAKEN_AFTER_END: usize = 16 * 1024 * 1024;

/// Where the output goes besides the log.
#[derive(Clone, Debug)]
pub enum Forward {
    /// To our own stdout and stderr.
    Passthrough,
    /// Nowhere: `--json-only`.
    LogOnly,
    /// To the screen of `--tui`, in which the build has a terminal for both streams and no stdin.
    Screen(Arc<Pane>),
}

/// The build's ends of its output streams.
#[derive(Debug)]
pub struct ChildStdio {
    /// Its stdin; ours when absent.
    pub stdin: Option<OwnedFd>,
    /// Its stdout.
    pub stdout: OwnedFd,
    /// Its stderr.
    pub stderr: OwnedFd,
}

/// Our own output streams.
#[derive(Debug)]
pub struct OurStdio {
    /// Our stdout.
    pub stdout: OwnedFd,
    /// Our stderr.
    pub stderr: OwnedFd,
}

impl OurStdio {
    /// Those of this process.
    pub fn of_this_process() -> Result<Self, Problem> {
        let copy = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map_err(|error| Problem::new("cannot copy our own output streams").because(error))
        };
        Ok(Self {
            stdout: copy(rustix::stdio::stdout())?,
            stderr: copy(rustix::stdio::stderr())?,
        })
    }
}

/// The build's output on its way.
#[derive(Debug)]
pub struct Output {
    streams: Vec<JoinHandle<Option<Note>>>,
    build_ended: Arc<OwnedFd>,
    log: Arc<Log>,
    /// The last line on our stdout has no end yet.
    stdout_is_open: Arc<AtomicBool>,
    /// Tasks that copy the window's size. They end with this set.
    window_sizes: JoinSet<()>,
}

impl Output {
    /// Makes the streams and begins to forward. `terminal` is our stderr; `owner` is who the build runs as, so
    /// that it can open `/dev/stdout`. Needs a tokio runtime, which copies changes of the window's size.
    pub fn open(
        forward: &Forward,
        ours: OurStdio,
        terminal: &Arc<Terminal>,
        log: File,
        owner: &Credentials,
    ) -> Result<(Self, ChildStdio), Problem> {
        Self::try_open(forward, ours, terminal, log, owner)
            .map_err(|error| Problem::new("cannot make the build's output streams").because(error))
    }

    fn try_open(
        forward: &Forward,
        ours: OurStdio,
        terminal: &Arc<Terminal>,
        log: File,
        owner: &Credentials,
    ) -> io::Result<(Self, ChildStdio)> {
        let mut output = Self {
            streams: Vec::new(),
            build_ended: Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?),
            log: Arc::new(Log::new(log)),
            stdout_is_open: Arc::default(),
            window_sizes: JoinSet::new(),
        };
        let OurStdio { stdout, stderr } = ours;
        // The keys are the screen's.
        let stdin = match forward {
            Forward::Screen(_) => Some(File::open("/dev/null")?.into()),
            Forward::Passthrough | Forward::LogOnly => None,
        };
        let ends = if stdin.is_some() || same_file(stdout.as_fd(), stderr.as_fd()) {
            let both = output.add("output", forward, stdout, terminal, owner)?;
            ChildStdio {
                stdin,
                stderr: both.try_clone()?,
                stdout: both,
            }
        } else {
            ChildStdio {
                stdin,
                stdout: output.add("stdout", forward, stdout, terminal, owner)?,
                stderr: output.add("stderr", forward, stderr, terminal, owner)?,
            }
        };
        Ok((output, ends))
    }

    /// Whether the build's last line on our stdout has no end, now and later: what we write there begins with one.
    pub fn stdout_line_is_open(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stdout_is_open)
    }

    /// Call it when the build's own process has ended. Forwards what it wrote, and what its children still
    /// write until they are silent for a moment; then closes the streams, whoever holds them. Returns what a
    /// reader must know.
    ///
    /// While our own stdout is stopped (Ctrl-S, a pager) this waits, as the build would have. It may be dropped
    /// then, on a signal; the runtime must be ended with `shutdown_background`, since a thread still waits.
    pub async fn drain_after_exit(self) -> Vec<Note> {
        let Self {
            streams,
            build_ended,
            log,
            stdout_is_open: _,
            window_sizes,
        } = self;
        drop(window_sizes);
        let mut notes = Vec::new();
        // Stays readable from now on, for all streams.
        if let Err(errno) = rustix::io::write(&build_ended, &1u64.to_ne_bytes()) {
            // Without the word the streams would wait for everyone who holds them, perhaps for ever.
            notes.push(note(
                "build output",
                format!("its end may be missing: {errno}"),
            ));
            return notes;
        }
        let joined = tokio::task::spawn_blocking(move || {
            streams
                .into_iter()
                .filter_map(|stream| {
                    stream.join().unwrap_or_else(|_| {
                        Some(note("build output", "the forwarding of a stream panicked"))
                    })
                })
                .collect::<Vec<_>>()
        });
        match joined.await {
            Ok(found) => notes.extend(found),
            Err(error) => notes.push(note("build output", error.to_string())),
        }
        notes.extend(log.into_note());
        notes
    }

    /// Adds the stream that goes to `ours`, and returns the build's end of it.
    fn add(
        &mut self,
        name: &'static str,
        forward: &Forward,
        ours: OwnedFd,
        terminal: &Arc<Terminal>,
        owner: &Credentials,
    ) -> io::Result<OwnedFd> {
        let (source, theirs) = if let Forward::Screen(pane) = forward {
            let (master, slave) = open_pty(pane.size())?;
            pane.attach(master.try_clone()?);
            (master, slave)
        } else if isatty(&ours) {
            let (master, slave) = open_pty(tcgetwinsize(&ours)?)?;
            let changes = signal(SignalKind::window_change())?;
            self.window_sizes.spawn(follow_window_size(
                changes,
                ours.try_clone()?,
                master.try_clone()?,
            ));
            (master, slave)
        } else {
            let (reader, writer) = io::pipe()?;
            (reader.into(), writer.into())
        };
        if owner.differ_from_ours() {
            // Else `/dev/stdout` can't be opened. The group stays: a terminal's may write to it.
            fchown(&theirs, Some(owner.uid), None)?;
        }
        fcntl_setfl(&source, fcntl_getfl(&source)? | OFlags::NONBLOCK)?;
        let destination = match forward {
            Forward::LogOnly => Destination::None,
            Forward::Screen(pane) => Destination::Screen(Arc::clone(pane)),
            Forward::Passthrough if terminal.is_same_file(ours.as_fd()) => {
                Destination::Terminal(Arc::clone(terminal))
            }
            Forward::Passthrough => Destination::File(ours),
        };
        let line_is_open = if name == "stderr" {
            Arc::default()
        } else {
            Arc::clone(&self.stdout_is_open)
        };
        let stream = Stream {
            name,
            source,
            destination,
            log: Arc::clone(&self.log),
            build_ended: Arc::clone(&self.build_ended),
            line_is_open,
        };
        let thread = spawn_without_signals(name, STACK, move || stream.run())?;
        self.streams.push(thread);
        Ok(theirs)
    }
}

/// A pseudo-terminal of this size that passes all bytes on unchanged: the terminal behind it does to
/// them what it does without us.
fn open_pty(size: Winsize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    // Not by its path: in a container /dev/pts may be another instance.
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let mut attributes = tcgetattr(&slave)?;
    attributes.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &attributes)?;
    tcsetwinsize(&master, size)?;
    Ok((master, slave))
}

/// Copies the size of `from` to the build's pseudo-terminal whenever it changes.
async fn follow_window_size(mut changes: tokio::signal::unix::Signal, from: OwnedFd, to: OwnedFd) {
    while changes.recv().await.is_some() {
        let (Ok(new), Ok(old)) = (tcgetwinsize(&from), tcgetwinsize(&to)) else {
            continue;
        };
        if new != old && tcsetwinsize(&to, new).is_ok() {
            // The build has had the real terminal's signal already, and may have read the old size. Ours
            // comes back to us too, and finds nothing changed.
            let _ = kill_current_process_group(rustix::process::Signal::WINCH);
        }
    }
}

/// Runs something in a thread that gets none of the signals that are for the process.
pub(super) fn spawn_without_signals<T: Send + 'static>(
    name: &str,
    stack_size: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut mask = SigSet::all();
    // A background job that writes to a terminal with `stty tostop` must be stopped.
    mask.remove(Signal::SIGTTOU);
    let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(stack_size)
        .spawn(run);
    before.thread_set_mask()?;
    thread
}

/// What the thread of a stream needs.
const STACK: usize = 128 * 1024;

enum Destination {
    None,
    Screen(Arc<Pane>),
    Terminal(Arc<Terminal>),
    File(OwnedFd),
}

impl Destination {
    /// Whether what is written there may stay on our stdout.
    const fn is_ours(&self) -> bool {
        match self {
            Self::None | Self::Screen(_) => false,
            Self::Terminal(_) | Self::File(_) => true,
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Screen(pane) => {
                pane.write(bytes);
                Ok(())
            }
            Self::Terminal(terminal) => terminal.write(bytes),
            Self::File(file) => write_all(file.as_fd(), &[bytes]),
        }
    }
}

/// One stream from the build.
struct Stream {
    name: &'static str,
    /// A pipe's reading end, or a pseudo-terminal's master. Non-blocking.
    source: OwnedFd,
    destination: Destination,
    log: Arc<Log>,
    /// Readable when the build has ended.
    build_ended: Arc<OwnedFd>,
    /// Whether its last byte was no newline, as far as it goes to a file of ours.
    line_is_open: Arc<AtomicBool>,
}

impl Stream {
    fn run(mut self) -> Option<Note> {
        let mut buffer = vec![0; CHUNK];
        let mut trouble = None;
        let mut after_end = None;
        loop {
            match rustix::io::read(&self.source, &mut buffer) {
                // A pseudo-terminal that nobody holds any more: EIO, pty(7).
                Ok(0) | Err(Errno::IO) => return trouble,
                Ok(length) => {
                    let chunk = &buffer[..length];
                    // The log first: it is whole even while the terminal is stopped.
                    self.log.write(chunk);
                    if let Err(error) = self.destination.write(chunk) {
                        self.destination = Destination::None;
                        trouble = Some(self.unwritable(&error));
                    }
                    let is_open = !chunk.ends_with(b"\n") && self.destination.is_ours();
                    self.line_is_open.store(is_open, Ordering::Relaxed);
                    if let Some(AfterEnd { taken, .. }) = &mut after_end {
                        *taken += length;
                    }
                }
                Err(Errno::AGAIN) => {
                    if let Err(errno) = self.wait(&mut after_end) {
                        return Some(self.broken(errno));
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Some(self.broken(errno)),
            }
            if after_end.as_ref().is_some_and(AfterEnd::is_enough) {
                return trouble.or_else(|| Some(self.still_held()));
            }
        }
    }

    /// Waits until there may be something to read.
    fn wait(&self, after_end: &mut Option<AfterEnd>) -> Result<(), Errno> {
        let source = PollFd::new(&self.source, PollFlags::IN);
        let Some(after_end) = after_end else {
            let mut fds = [source, PollFd::new(&self.build_ended, PollFlags::IN)];
            ignore_interrupt(poll(&mut fds, None))?;
            if !fds[1].revents().is_empty() {
                *after_end = Some(AfterEnd::default());
            }
            return Ok(());
        };
        let silence = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(SILENCE.subsec_nanos()),
        };
        let began = Instant::now();
        let ready = ignore_interrupt(poll(&mut [source], Some(&silence)))?;
        after_end.waited += began.elapsed();
        after_end.silent = ready == Some(0);
        Ok(())
    }

    fn unwritable(&self, error: &io::Error) -> Note {
        let name = self.name;
        note(
            "build output",
            format!("our {name} could not be written ({error}): the rest is only in the log"),
        )
    }

    fn still_held(&self) -> Note {
        let name = self.name;
        note(
            "build output",
            format!(
                "a process that the build left running still holds its {name}: what it writes after the build \
                 is lost"
            ),
        )
    }

    fn broken(&self, errno: Errno) -> Note {
        note(
            "build output",
            format!(
                "the build's {} could not be read ({errno}): the rest is lost",
                self.name
            ),
        )
    }
}

/// What was heard since the build's own process has ended.
#[derive(Default)]
struct AfterEnd {
    /// Time spent waiting for more; writing it, perhaps to a pager, doesn't count.
    waited: Duration,
    taken: usize,
    silent: bool,
}

impl AfterEnd {
    fn is_enough(&self) -> bool {
        self.silent || self.waited >= PATIENCE || self.taken >= TAKEN_AFTER_END
    }
}

/// How many are ready, or nothing when a signal came first.
fn ignore_interrupt(polled: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match polled {
        Ok(ready) => Ok(Some(ready)),
        Err(Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The log file, written by all streams, each chunk whole.
#[derive(Debug)]
struct Log(Mutex<LogState>);

#[derive(Debug)]
enum LogState {
    Open(File),
    Failed(io::Error),
}

impl Log {
    fn new(file: File) -> Self {
        Self(Mutex::new(LogState::Open(file)))
    }

    fn write(&self, chunk: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let LogState::Open(file) = &*state
            && let Err(error) = write_all(file.as_fd(), &[chunk])
        {
            *state = LogState::Failed(error);
        }
    }

    fn into_note(self: Arc<Self>) -> Option<Note> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            LogState::Open(_) => None,
            LogState::Failed(error) => Some(note(
                "build log",
                format!("it could not be written ({error}): the rest of the output is not in it"),
            )),
        }
    }
}

fn note(what: &str, why: impl Into<String>) -> Note {
    Note {
        what: what.to_owned(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::process::Command;

    use rustix::termios::Winsize;

    use super::super::start::{BuildCommand, BuildSpec, start};
    use super::super::terminal::StatusLine;
    use super::*;

    /// Our output streams as a caller made them, and what the caller sees of them.
    struct World {
        output: Output,
        stdio: ChildStdio,
        log: File,
    }

    fn open(forward: &Forward, stdout: OwnedFd, stderr: OwnedFd) -> World {
        let log = tempfile::tempfile().unwrap();
        let terminal = Arc::new(Terminal::new(
            stderr.try_clone().unwrap(),
            stdout.as_fd(),
            Some("xterm".as_ref()),
            StatusLine::Auto,
        ));
        let owner = Credentials::current().unwrap();
        let ours = OurStdio { stdout, stderr };
        let (output, stdio) =
            Output::open(forward, ours, &terminal, log.try_clone().unwrap(), &owner).unwrap();
        World { output, stdio, log }
    }

    fn pipe() -> (File, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        (OwnedFd::from(reader).into(), writer.into())
    }

    fn text_of(mut log: File) -> String {
        let mut text = String::new();
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        text
    }

    fn run(script: &str, stdio: ChildStdio) {
        let ChildStdio {
            stdin: _,
            stdout,
            stderr,
        } = stdio;
        let status = Command::new("sh")
            .args(["-c", script])
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn read_all(mut file: File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn pipes_pass_both_streams_on_and_log_them() {
        let (seen_out, out) = pipe();
        let (seen_err, err) = pipe();
        let World { output, stdio, log } = open(&Forward::Passthrough, out, err);
        run(
            "echo a; echo b >&2; test -t 1 && echo a terminal; true",
            stdio,
        );
        assert_eq!(output.drain_after_exit().await, []);
        assert_eq!(read_all(seen_out), "a\n");
        assert_eq!(read_all(seen_err), "b\n");
        let mut lines: Vec<_> = text_of(log).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["a", "b"]);
    }

    #[tokio::test]
    async fn one_file_for_both_streams_keeps_their_order() {
        let (seen, both) = pipe();
        let again = both.try_clone().unwrap();
        let World { output, stdio, log } = open(&Forward::Passthrough, both, again);
        let script = "for i in 0 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done";
        run(script, stdio);
        assert_eq!(output.drain_after_exit().await, []);
        let expected = (0..10).fold(String::new(), |text, i| {
            text + &format!("out {i}\nerr {i}\n")
        });
        assert_eq!(read_all(seen), expected);
        assert_eq!(text_of(log), expected);
    }

    #[tokio::test]
    async fn log_only_shows_nothing() {
        let (seen_out, out) = pipe();
        let (seen_err, err) = pipe();
        let World { output, stdio, log } = open(&Forward::LogOnly, out, err);
        run("echo a; echo b >&2", stdio);
        assert_eq!(output.drain_after_exit().await, []);
        assert_eq!(read_all(seen_out) + &read_all(seen_err), "");
        assert_eq!(text_of(log).len(), 4);
    }

    #[tokio::test]
    async fn all_bytes_arrive_through_a_slow_reader() {
        let (mut seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        let World { output, stdio, log } = open(&Forward::Passthrough, out, err);
        let reader = thread::spawn(move || {
            let mut total = 0;
            let mut buffer = vec![0; 10_000];
            loop {
                match seen_out.read(&mut buffer).unwrap() {
                    0 => return total,
                    length => total += length,
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        run("head -c 3000000 /dev/zero", stdio);
        assert_eq!(output.drain_after_exit().await, []);
        assert_eq!(reader.join().unwrap(), 3_000_000);
        assert_eq!(log.metadata().unwrap().len(), 3_000_000);
    }

    #[tokio::test]
    async fn a_closed_stdout_is_noted_once_and_the_log_goes_on() {
        let (seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        drop(seen_out);
        let World { output, stdio, log } = open(&Forward::Passthrough, out, err);
        run("echo 1; sleep 0.1; echo 2; sleep 0.1; echo 3", stdio);
        let notes = output.drain_after_exit().await;
        assert_eq!(notes.len(), 1);
        assert!(notes[0].why.contains("our stdout"), "{notes:?}");
        assert_eq!(text_of(log), "1\n2\n3\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_noted_once_and_the_output_goes_on() {
        let (seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        let terminal = Arc::new(Terminal::new(
            err.try_clone().unwrap(),
            out.as_fd(),
            None,
            StatusLine::Off,
        ));
        let ours = OurStdio {
            stdout: out,
            stderr: err,
        };
        let full = File::options().write(true).open("/dev/full").unwrap();
        let owner = Credentials::current().unwrap();
        let (output, stdio) =
            Output::open(&Forward::Passthrough, ours, &terminal, full, &owner).unwrap();
        run("echo 1; sleep 0.1; echo 2", stdio);
        let notes = output.drain_after_exit().await;
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].what, "build log");
        assert_eq!(read_all(seen_out), "1\n2\n");
    }

    #[tokio::test]
    async fn a_daemon_that_holds_the_output_is_not_waited_for() {
        let (seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        let World {
            output,
            stdio,
            log: _,
        } = open(&Forward::Passthrough, out, err);
        run("sleep 30 & echo done", stdio);
        let began = Instant::now();
        let notes = output.drain_after_exit().await;
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(notes.len(), 2);
        assert!(notes[0].why.contains("left running"), "{notes:?}");
        assert_eq!(read_all(seen_out), "done\n");
    }

    #[tokio::test]
    async fn a_daemon_that_never_pauses_is_not_waited_for() {
        let (mut seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        let World {
            output,
            stdio,
            log: _,
        } = open(&Forward::Passthrough, out, err);
        let reader = thread::spawn(move || io::copy(&mut seen_out, &mut io::sink()).unwrap());
        run("yes 2>/dev/null & echo done", stdio);
        let notes = output.drain_after_exit().await;
        assert!(notes[0].why.contains("left running"), "{notes:?}");
        // `yes` has met a closed pipe, else this would not end.
        assert!(reader.join().unwrap() > 5);
    }

    #[tokio::test]
    async fn a_terminal_for_both_streams_stays_one_with_its_size() {
        let (emulator, terminal) = open_pty_of_size(33, 111);
        let again = terminal.try_clone().unwrap();
        let World { output, stdio, log } = open(&Forward::Passthrough, terminal, again);
        let script = "test -t 1 && test -t 2 && stty size <&1; echo err >&2; printf 'a\\r\\tb\\n'";
        run(script, stdio);
        assert_eq!(output.drain_after_exit().await, []);
        let expected = "33 111\nerr\na\r\tb\n";
        assert_eq!(text_of(log), expected);
        assert_eq!(read_available(emulator), expected);
    }

    #[tokio::test]
    async fn the_builds_terminal_follows_the_windows_size() {
        let (emulator, terminal) = open_pty_of_size(24, 80);
        let again = terminal.try_clone().unwrap();
        let World {
            output,
            stdio,
            log: _,
        } = open(&Forward::Passthrough, terminal, again);
        tcsetwinsize(&emulator, size(50, 132)).unwrap();
        // This terminal is not the tests' controlling one: the signal is ours to send.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::WINCH)
            .unwrap();
        for _ in 0..100 {
            if tcgetwinsize(&stdio.stdout).unwrap().ws_col == 132 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let now = tcgetwinsize(&stdio.stdout).unwrap();
        assert_eq!((now.ws_row, now.ws_col), (50, 132));
        drop(stdio);
        output.drain_after_exit().await;
    }

    #[tokio::test]
    async fn on_the_screen_the_build_has_a_terminal_of_the_panes_size_and_no_stdin() {
        let (seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        let pane = Arc::new(Pane::with_size(size(7, 60)));
        let World { output, stdio, log } = open(&Forward::Screen(Arc::clone(&pane)), out, err);
        assert!(stdio.stdin.is_some());
        run(
            "test -t 1 && test -t 2 && stty size <&1; printf '\\033[31mred\\n' >&2",
            stdio,
        );
        assert_eq!(output.drain_after_exit().await, []);
        // Nothing goes to our own streams, the log has it as it was written, and the pane as it looks.
        assert_eq!(read_all(seen_out), "");
        assert_eq!(text_of(log), "7 60\n\x1b[31mred\n");
        assert_eq!(pane.text(), "7 60\nred");
    }

    #[tokio::test]
    async fn a_stream_that_was_left_non_blocking_loses_nothing() {
        let (seen_out, out) = pipe();
        let (_seen_err, err) = pipe();
        fcntl_setfl(&out, fcntl_getfl(&out).unwrap() | OFlags::NONBLOCK).unwrap();
        let World {
            output,
            stdio,
            log: _,
        } = open(&Forward::Passthrough, out, err);
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            read_all(seen_out).len()
        });
        run("head -c 300000 /dev/zero", stdio);
        assert_eq!(output.drain_after_exit().await, []);
        assert_eq!(reader.join().unwrap(), 300_000);
    }

    #[tokio::test]
    #[ignore = "needs root: cargo xtask test"]
    async fn the_builds_user_can_open_its_streams_by_name() {
        let owner = Credentials {
            uid: rustix::process::Uid::from_raw(54_321),
            gid: rustix::process::Gid::from_raw(54_321),
            groups: Vec::new(),
        };
        let (emulator, terminal) = open_pty_of_size(24, 80);
        let (seen_err, err) = pipe();
        let screen = Arc::new(Terminal::new(
            err.try_clone().unwrap(),
            terminal.as_fd(),
            None,
            StatusLine::Off,
        ));
        let ours = OurStdio {
            stdout: terminal,
            stderr: err,
        };
        let log = tempfile::tempfile().unwrap();
        let (output, stdio) =
            Output::open(&Forward::Passthrough, ours, &screen, log, &owner).unwrap();
        let script = "echo a > /dev/stdout; echo b > /dev/stderr";
        let mut build = start(BuildSpec {
            command: BuildCommand::Argv(["sh", "-c", script].map(Into::into).to_vec()),
            cwd: Some("/".into()),
            confined: false,
            env: Vec::new(),
            credentials: owner,
            cgroup_procs: None,
            signal_mask: SigSet::empty(),
            stdio,
        })
        .unwrap();
        assert!(build.wait().await.unwrap().is_success());
        output.drain_after_exit().await;
        drop(screen);
        assert_eq!(read_available(emulator), "a\n");
        assert_eq!(read_all(seen_err), "b\n");
    }

    /// An emulator's end, and the terminal that we have for stdout; in raw mode, so that bytes compare.
    fn open_pty_of_size(rows: u16, columns: u16) -> (File, OwnedFd) {
        let (master, slave) = open_pty(size(rows, columns)).unwrap();
        (master.into(), slave)
    }

    fn size(rows: u16, columns: u16) -> Winsize {
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        }
    }

    fn read_available(mut emulator: File) -> String {
        emulator.flush().unwrap();
        let mut buffer = vec![0; 4096];
        let length = emulator.read(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

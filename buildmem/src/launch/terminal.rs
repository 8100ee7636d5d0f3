//! The place where people look: our stderr, with the live status line at its bottom when it is a terminal.
//!
//! The line never mixes with the build's output. It is drawn only where the last byte written was a newline,
//! and erased before the next one. Whoever writes to stderr while a build runs goes through here.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, writev};
use rustix::termios::{isatty, tcgetwinsize};

/// Back to the first column, and erase to the end of the line: ECMA-48 CR, EL.
const ERASE: &[u8] = b"\r\x1b[K";

/// Whether there may be a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// Where the terminal can show one.
    Auto,
    /// Never: `-q`, `--json-only`.
    Off,
}

/// Our stderr while a build runs. Shared by those who write to it.
#[derive(Debug)]
pub struct Terminal {
    out: OwnedFd,
    can_draw: bool,
    screen: Mutex<Screen>,
}

#[derive(Debug)]
struct Screen {
    /// The last byte written was a newline, or nothing was written yet.
    at_line_start: bool,
    drawn: bool,
    text: String,
}

impl Terminal {
    /// For our `stderr`. `term` is the variable `TERM`.
    ///
    /// There is no status line where our `stdout` is a pipe: what reads it, such as `tee`, may write to the same
    /// terminal, and we would not know where.
    pub fn new(
        stderr: OwnedFd,
        stdout: BorrowedFd<'_>,
        term: Option<&OsStr>,
        status_line: StatusLine,
    ) -> Self {
        let can_draw = status_line == StatusLine::Auto
            && knows_codes(term)
            && isatty(&stderr)
            && !is_pipe(stdout);
        Self {
            out: stderr,
            can_draw,
            screen: Mutex::new(Screen {
                at_line_start: true,
                drawn: false,
                text: String::new(),
            }),
        }
    }

    /// Whether a status line can be seen: else its text needs not be made.
    pub const fn shows_status(&self) -> bool {
        self.can_draw
    }

    /// Sets the text of the status line and draws it, where the build has left the cursor at the start of a
    /// line. Never waits: when the terminal is stopped or busy the line stays as it is until the next call.
    pub fn set_status(&self, text: &str) {
        if !self.can_draw {
            return;
        }
        // Held while the build's output is written, which may take as long as it likes.
        let Some(mut screen) = self.try_lock() else {
            return;
        };
        let is_shown = if text.is_empty() {
            !screen.drawn
        } else {
            screen.drawn && screen.text == text
        };
        text.clone_into(&mut screen.text);
        if !is_shown
            && screen.at_line_start
            && self.accepts_now()
            && in_foreground(self.out.as_fd())
        {
            let line = self.line(&screen.text);
            // A terminal that can't be written is found by the next output.
            if write_all(self.out.as_fd(), &[ERASE, line.as_bytes()]).is_ok() {
                screen.drawn = !line.is_empty();
            }
        }
    }

    /// Writes output, and the status line behind it if that ends with a newline.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(&last) = bytes.last() else {
            return Ok(());
        };
        let mut screen = self.lock();
        let erase: &[u8] = if screen.drawn { ERASE } else { b"" };
        let at_line_start = last == b'\n';
        let line = if self.can_draw
            && at_line_start
            && !screen.text.is_empty()
            && in_foreground(self.out.as_fd())
        {
            self.line(&screen.text)
        } else {
            String::new()
        };
        // One call, so that the line doesn't flicker.
        let written = write_all(self.out.as_fd(), &[erase, bytes, line.as_bytes()]);
        screen.drawn = written.is_ok() && !line.is_empty();
        screen.at_line_start = at_line_start;
        written
    }

    /// Erases the status line for good; from here on the caller may write to stderr by itself.
    ///
    /// Returns whether the cursor is at the start of a line. If not, the build's last line has no newline, or
    /// it is still being written to a stderr that takes nothing.
    pub fn finish(&self) -> bool {
        let Some(mut screen) = self.try_lock() else {
            return false;
        };
        screen.text.clear();
        if screen.drawn {
            screen.drawn = false;
            // Nothing more is to be drawn here, whether this succeeds or not.
            let _ = write_all(self.out.as_fd(), &[ERASE]);
        }
        screen.at_line_start
    }

    /// Whether `other` is what we write to.
    pub fn is_same_file(&self, other: BorrowedFd<'_>) -> bool {
        same_file(self.out.as_fd(), other)
    }

    fn lock(&self) -> MutexGuard<'_, Screen> {
        // A writer that panicked has left at worst a wrong idea of the cursor.
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing while somebody waits for a stderr that takes nothing.
    fn try_lock(&self) -> Option<MutexGuard<'_, Screen>> {
        match self.screen.try_lock() {
            Ok(screen) => Some(screen),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The line as it fits: the last column stays free, since a terminal that wraps there can't be erased.
    fn line(&self, text: &str) -> String {
        let columns = match tcgetwinsize(&self.out) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            Ok(_) | Err(_) => 80,
        };
        text.chars()
            // One byte, one column: anything else may be wider, or a control code.
            .map(|c| {
                if c == ' ' || c.is_ascii_graphic() {
                    c
                } else {
                    '?'
                }
            })
            .take(columns - 1)
            .collect()
    }

    fn accepts_now(&self) -> bool {
        let mut fds = [PollFd::new(&self.out, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).is_ok()
            && fds[0].revents().contains(PollFlags::OUT)
    }
}

/// Whether a terminal with this `TERM` knows control codes.
pub(super) fn knows_codes(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether our job has the terminal. A job in the background would draw into the shell's prompt. In a PID
/// namespace that its group's leader is outside of, a group's number is 0, which nix gives and rustix can't.
pub(super) fn in_foreground(terminal: BorrowedFd<'_>) -> bool {
    match tcgetpgrp(terminal) {
        Ok(group) => group == getpgrp(),
        // Not our controlling terminal: there are no jobs on it.
        Err(_) => true,
    }
}

/// Whether both are the same file, device, pipe or socket.
pub(super) fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    match (fstat(a), fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino, a.st_rdev) == (b.st_dev, b.st_ino, b.st_rdev),
        (Ok(_) | Err(_), _) => false,
    }
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Fifo | FileType::Socket
        )
    })
}

/// Writes all of `parts`, in one call where the file takes that much. A file that was left non-blocking by
/// whoever shares it with us is waited for.
pub(super) fn write_all(fd: BorrowedFd<'_>, parts: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| IoSlice::new(part))
        .collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match writev(fd, left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::{Duration, Instant};

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    use super::*;

    /// What a person sees: knows CR, LF, EL and printable ASCII, which is all that we write ourselves.
    struct Emulator {
        master: File,
        rows: Vec<Vec<u8>>,
        column: usize,
    }

    impl Emulator {
        fn new(columns: u16) -> (Self, OwnedFd) {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let master = openpt(flags).unwrap();
            unlockpt(&master).unwrap();
            let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
            let size = Winsize {
                ws_row: 24,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            tcsetwinsize(&master, size).unwrap();
            fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
            let emulator = Self {
                master: master.into(),
                rows: vec![Vec::new()],
                column: 0,
            };
            (emulator, slave)
        }

        fn screen(&mut self) -> String {
            let mut bytes = Vec::new();
            // All has been written, so this ends with EAGAIN.
            let _ = self.master.read_to_end(&mut bytes);
            let mut rest = bytes.as_slice();
            while let Some((&byte, after)) = rest.split_first() {
                rest = after;
                let row = self.rows.last_mut().unwrap();
                match byte {
                    b'\r' => self.column = 0,
                    b'\n' => self.rows.push(Vec::new()),
                    0x1b => {
                        rest = rest.strip_prefix(b"[K").unwrap();
                        row.truncate(self.column);
                    }
                    byte => {
                        assert!(byte == b' ' || byte.is_ascii_graphic(), "{byte}");
                        row.resize(row.len().max(self.column + 1), b' ');
                        row[self.column] = byte;
                        self.column += 1;
                    }
                }
            }
            let rows: Vec<_> = self
                .rows
                .iter()
                .map(|row| String::from_utf8_lossy(row))
                .collect();
            rows.join("\n")
        }
    }

    fn terminal_of(slave: &OwnedFd, term: &str, status_line: StatusLine) -> Terminal {
        let stderr = slave.try_clone().unwrap();
        Terminal::new(stderr, slave.as_fd(), Some(term.as_ref()), status_line)
    }

    #[test]
    fn the_status_line_stays_below_the_output() {
        let (mut emulator, slave) = Emulator::new(80);
        let terminal = terminal_of(&slave, "xterm", StatusLine::Auto);
        assert!(terminal.shows_status());
        terminal.set_status("1 MiB");
        assert_eq!(emulator.screen(), "1 MiB");
        terminal.write(b"one\n").unwrap();
        assert_eq!(emulator.screen(), "one\n1 MiB");
        terminal.set_status("2");
        assert_eq!(emulator.screen(), "one\n2");
        terminal.write(b"two\nthr").unwrap();
        assert_eq!(emulator.screen(), "one\ntwo\nthr");
        terminal.set_status("3 MiB");
        assert_eq!(emulator.screen(), "one\ntwo\nthr");
        terminal.write(b"ee").unwrap();
        terminal.write(b"\n").unwrap();
        assert_eq!(emulator.screen(), "one\ntwo\nthree\n3 MiB");
        assert!(terminal.finish());
        assert_eq!(emulator.screen(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_last_line_without_a_newline_is_told_and_left_alone() {
        let (mut emulator, slave) = Emulator::new(80);
        let terminal = terminal_of(&slave, "xterm", StatusLine::Auto);
        terminal.set_status("status");
        terminal.write(b"no newline").unwrap();
        assert!(!terminal.finish());
        assert_eq!(emulator.screen(), "no newline");
    }

    #[test]
    fn the_line_fits_and_holds_no_control_code() {
        let (mut emulator, slave) = Emulator::new(10);
        let terminal = terminal_of(&slave, "xterm", StatusLine::Auto);
        terminal.set_status("a\x1b[2J\nü23456789");
        assert_eq!(emulator.screen(), "a?[2J??23");
        terminal.set_status("");
        assert_eq!(emulator.screen(), "");
    }

    #[test]
    fn there_is_none_where_it_cannot_be_shown_or_is_not_wanted() {
        let (mut emulator, slave) = Emulator::new(80);
        let (_reader, pipe) = io::pipe().unwrap();
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        let xterm = Some(OsStr::new("xterm"));
        let terminals = [
            terminal_of(&slave, "dumb", StatusLine::Auto),
            terminal_of(&slave, "", StatusLine::Auto),
            terminal_of(&slave, "xterm", StatusLine::Off),
            Terminal::new(copy(&slave), slave.as_fd(), None, StatusLine::Auto),
            // What reads the pipe may write to this terminal.
            Terminal::new(copy(&slave), pipe.as_fd(), xterm, StatusLine::Auto),
            Terminal::new(
                pipe.try_clone().unwrap().into(),
                slave.as_fd(),
                xterm,
                StatusLine::Auto,
            ),
        ];
        for terminal in terminals {
            assert!(!terminal.shows_status());
            terminal.set_status("status");
            terminal.finish();
        }
        assert_eq!(emulator.screen(), "");
    }

    #[test]
    fn a_stopped_terminal_does_not_hold_up_who_sets_the_status() {
        let (emulator, slave) = Emulator::new(80);
        let terminal = terminal_of(&slave, "xterm", StatusLine::Auto);
        let began = Instant::now();
        std::thread::scope(|scope| {
            // More than the terminal takes: nobody reads it.
            scope.spawn(|| terminal.write(&vec![b'x'; 100_000]));
            std::thread::sleep(Duration::from_millis(100));
            terminal.set_status("status");
            assert!(began.elapsed() < Duration::from_secs(2));
            drop(emulator);
        });
    }
}

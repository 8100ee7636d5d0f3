//! The screen of `run --tui` on the user's terminal: taken for it, drawn by a thread of its own, and given back however
//! build-mem ends, but by SIGKILL.
//!
//! The thread waits for the terminal and for keys, and nobody waits for it: a terminal that takes nothing holds up
//! neither the build nor the measurement. Signals that keys make (Ctrl-C, Ctrl-\) stay the terminal's business, which
//! sends them to the build as well.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::style::force_color_output;
use ratatui::layout::Rect;
use ratatui::{Terminal as Cells, TerminalOptions, Viewport};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize, tcgetattr,
    tcgetwinsize, tcsetattr, tcsetwinsize,
};
use vt100::Parser;

use super::output::spawn_without_signals;
use super::terminal::{in_foreground, knows_codes, write_all};
use crate::export::live::{Areas, Choices, Key, Keys, Titles, areas, draw, last_lines};
use crate::export::text::Palette;
use crate::live::{LiveView, SortOrder};
use crate::problem::Problem;

/// How often the screen is drawn at the most, but for keys.
const FRAME: Duration = Duration::from_millis(200);

/// A pause so long means that we were stopped, and somebody else may have had the terminal.
const STOPPED: Duration = Duration::from_secs(2);

/// How long the thread is waited for at the end: it may wait for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it takes at the most until a signal to ourselves has stopped us.
const SIGNAL_ARRIVES: Duration = Duration::from_millis(100);

/// Lines of the build's output that can be scrolled back to.
const SCROLLBACK: usize = 500;

/// Of the output between two frames, so much is looked at: as much as can be scrolled back to, at some 130 bytes a line.
const LOOKED_AT: usize = 64 * 1024;

/// What the drawing thread needs: the cells of a large screen are on the heap.
const STACK: usize = 512 * 1024;

/// The alternate screen, empty, without a cursor: xterm's DECSET 1049, ECMA-48 ED, DECTCEM.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[2J\x1b[?25l";

/// Back: no style, a cursor, the screen as it was.
const LEAVE: &[u8] = b"\x1b[m\x1b[?25h\x1b[?1049l";

/// A terminal shows what is between these at once, if it knows them: DEC private mode 2026.
const BEGIN: &[u8] = b"\x1b[?2026h";

/// The end of it.
const END: &[u8] = b"\x1b[?2026l";

/// What must be given back to the terminal. In a static, since a panic may be anyone's.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// Messages to stderr while the screen is there.
static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Taken {
    /// Where it is drawn.
    out: OwnedFd,
    /// Where keys come from.
    keys: OwnedFd,
    before: Termios,
}

/// The screen. It is left when this is dropped.
#[derive(Debug)]
pub struct Tui {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    pane: Arc<Pane>,
    colored: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A view is wanted.
    due: AtomicBool,
    ends: AtomicBool,
    /// Readable when the thread has something to do.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    view: Option<LiveView>,
    order: SortOrder,
}

/// The terminal that the build has. What is written there is only kept until the next frame, so that however much it is, it
/// holds up the build no more than a pipe, and costs little.
pub struct Pane {
    inner: Mutex<Inside>,
    pending: Mutex<Pending>,
}

/// The end of what was written since the last frame.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Something before it was left out.
    is_cut: bool,
}

struct Inside {
    parser: Parser,
    /// The build's pseudo-terminal, once there is one.
    master: Option<OwnedFd>,
}

impl std::fmt::Debug for Pane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.size();
        write!(f, "Pane({} × {})", size.ws_col, size.ws_row)
    }
}

/// Finds out whether there can be a screen, before anything is done.
pub fn check(term: Option<&std::ffi::OsStr>) -> Result<(), Problem> {
    let streams = [
        ("stdin", io::stdin().is_terminal()),
        ("stdout", io::stdout().is_terminal()),
        ("stderr", io::stderr().is_terminal()),
    ];
    let cause = match streams.into_iter().find(|(_, is_terminal)| !is_terminal) {
        Some((name, _)) => format!("our {name} is not a terminal"),
        None if !knows_codes(term) => "the terminal knows no control codes, says `TERM`".to_owned(),
        None => return Ok(()),
    };
    Err(Problem::new("cannot show the screen of `--tui`")
        .because(cause)
        .help("leave `--tui` out: the status line and the summary need no such terminal"))
}

impl Tui {
    /// Takes the terminal. From here on until it is left nobody else may write there.
    pub fn enter(titles: Titles, palette: Palette) -> Result<Self, Problem> {
        Self::try_enter(titles, palette)
            .map_err(|error| Problem::new("cannot show the screen of `--tui`").because(error))
    }

    fn try_enter(titles: Titles, palette: Palette) -> io::Result<Self> {
        let out = rustix::stdio::stderr().try_clone_to_owned()?;
        let keys = rustix::stdio::stdin().try_clone_to_owned()?;
        let pane = Arc::new(Pane::new(areas(screen_of(out.as_fd()), false)));
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            due: AtomicBool::new(true),
            ends: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC)?,
        });
        let mut tui = Self {
            shared: Arc::clone(&shared),
            thread: None,
            pane: Arc::clone(&pane),
            colored: palette.has_colors(),
        };
        // It is we who decide on colours.
        force_color_output(true);
        leave_on_panic();
        take(Taken {
            before: tcgetattr(&keys)?,
            out: out.try_clone()?,
            keys: keys.try_clone()?,
        })?;
        let painter = Painter::new(out, keys, shared, pane, titles, palette)?;
        let run = move || painter.run();
        tui.thread = Some(spawn_without_signals("tui", STACK, run)?);
        Ok(tui)
    }

    /// The build's terminal.
    pub fn pane(&self) -> Arc<Pane> {
        Arc::clone(&self.pane)
    }

    /// In which order processes are wanted, where a view is wanted at all.
    pub fn wants(&self) -> Option<SortOrder> {
        let is_due = self.shared.due.swap(false, Ordering::Relaxed);
        is_due.then(|| lock(&self.shared.state).order)
    }

    /// Shows a view, some time soon.
    pub fn show(&self, view: LiveView) {
        lock(&self.shared.state).view = Some(view);
    }

    /// Gives the terminal back. Returns the last lines of the build's output.
    pub fn leave(mut self) -> Vec<String> {
        self.end();
        self.pane.take_in();
        last_lines(lock(&self.pane.inner).parser.screen(), self.colored)
    }

    fn end(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // Without the word, it finds out with its next frame.
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        let until = Instant::now() + PATIENCE;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        give_back();
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        self.end();
    }
}

impl Pane {
    fn new(areas: Areas) -> Self {
        Self::of(size_of(areas.output))
    }

    fn of((rows, columns): (NonZeroU16, NonZeroU16)) -> Self {
        Self {
            inner: Mutex::new(Inside {
                parser: Parser::new(rows, columns, SCROLLBACK),
                master: None,
            }),
            pending: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_size(size: Winsize) -> Self {
        Self::of(size_of(Rect::new(0, 0, size.ws_col, size.ws_row)))
    }

    /// What can be read on it.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.take_in();
        lock(&self.inner).parser.screen().contents()
    }

    /// Its size, for the build's pseudo-terminal.
    pub fn size(&self) -> Winsize {
        winsize(lock(&self.inner).parser.screen().size())
    }

    /// The pseudo-terminal that is told of new sizes.
    pub fn attach(&self, master: OwnedFd) {
        lock(&self.inner).master = Some(master);
    }

    /// Takes in what the build wrote.
    pub fn write(&self, bytes: &[u8]) {
        lock(&self.pending).add(bytes);
    }

    /// Puts what was written on the terminal, and tells whether anything was. The build's pseudo-terminal passes on line
    /// feeds as they are, for the one behind it to go to the start of the line.
    fn take_in(&self) -> bool {
        let Pending { bytes, is_cut } = std::mem::take(&mut *lock(&self.pending));
        let mut inner = lock(&self.inner);
        if is_cut {
            // Nobody knows in which style what is left begins.
            inner.parser.process(b"\x1b[m");
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    inner.parser.process(line);
                    inner.parser.process(b"\r\n");
                }
                None => inner.parser.process(line),
            }
        }
        !bytes.is_empty()
    }

    /// Gives it a new size, and tells the build.
    fn resize(&self, area: Rect) {
        let mut inner = lock(&self.inner);
        let (rows, columns) = size_of(area);
        if inner.parser.screen().size() == (rows, columns) {
            return;
        }
        inner.parser.set_size(rows, columns);
        if let Some(master) = &inner.master
            && tcsetwinsize(master, winsize((rows, columns))).is_ok()
        {
            // It is not the build's controlling terminal, so nobody else tells.
            let _ = kill_current_process_group(Signal::WINCH);
        }
    }
}

impl Pending {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Not with every byte that is too many.
        if self.bytes.len() > 2 * LOOKED_AT {
            let start = self.bytes.len() - LOOKED_AT;
            let line = self.bytes[start..].iter().position(|byte| *byte == b'\n');
            self.bytes.drain(..start + line.map_or(0, |end| end + 1));
            self.is_cut = true;
        }
    }
}

/// Who draws, and reads keys.
struct Painter {
    cells: Cells<CrosstermBackend<BufWriter<File>>>,
    out: OwnedFd,
    /// Absent when there are no more.
    keys: Option<OwnedFd>,
    parser: Keys,
    shared: Arc<Shared>,
    pane: Arc<Pane>,
    titles: Titles,
    palette: Palette,
    choices: Choices,
    view: Option<LiveView>,
}

impl Painter {
    fn new(
        out: OwnedFd,
        keys: OwnedFd,
        shared: Arc<Shared>,
        pane: Arc<Pane>,
        titles: Titles,
        palette: Palette,
    ) -> io::Result<Self> {
        let writer = BufWriter::with_capacity(64 * 1024, File::from(out.try_clone()?));
        let viewport = Viewport::Fixed(screen_of(out.as_fd()));
        Ok(Self {
            cells: Cells::with_options(
                CrosstermBackend::new(writer),
                TerminalOptions { viewport },
            )?,
            out,
            keys: Some(keys),
            parser: Keys::default(),
            shared,
            pane,
            titles,
            palette,
            choices: Choices::default(),
            view: None,
        })
    }

    /// Until the end, or until the terminal is gone.
    fn run(mut self) {
        let mut next_frame = Instant::now();
        let mut last = Instant::now();
        while !self.shared.ends.load(Ordering::Relaxed) {
            let pressed = self.wait(next_frame.saturating_duration_since(Instant::now()));
            if last.elapsed() > STOPPED && self.take_again().is_err() {
                return;
            }
            last = Instant::now();
            let keys = pressed.unwrap_or_else(|_| {
                // The terminal is gone; the build goes on as it may.
                self.keys = None;
                Vec::new()
            });
            let pressed = !keys.is_empty();
            for key in keys {
                if self.press(key).is_err() {
                    return;
                }
            }
            if pressed || Instant::now() >= next_frame {
                next_frame = Instant::now() + FRAME;
                let changed = self.takes_view() | self.pane.take_in();
                if (changed || pressed || self.has_new_size())
                    && in_foreground(self.out.as_fd())
                    && self.draw().is_err()
                {
                    return;
                }
            }
        }
    }

    /// Waits for keys, or for the end of so much time.
    fn wait(&mut self, time: Duration) -> io::Result<Vec<Key>> {
        let timeout = Timespec::try_from(time).ok();
        let wake = PollFd::new(&self.shared.wake, PollFlags::IN);
        // In the background they are the shell's.
        let keys = self.keys.as_ref();
        let Some(keys) = keys.filter(|keys| in_foreground(keys.as_fd())) else {
            return match poll(&mut [wake], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => Ok(Vec::new()),
                Err(errno) => Err(errno.into()),
            };
        };
        let mut fds = [PollFd::new(keys, PollFlags::IN), wake];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].revents().is_empty() {
            return Ok(Vec::new());
        }
        let mut buffer = [0; 256];
        match rustix::io::read(keys, &mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(self.parser.read(&buffer[..length])),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn press(&mut self, key: Key) -> io::Result<()> {
        if key == Key::Suspend {
            return self.suspend();
        }
        if self.choices.press(key) {
            // As the terminal does for Ctrl-C. It comes to us, too, and `signals` knows that the build has it.
            kill_current_process_group(Signal::INT)?;
        }
        lock(&self.shared.state).order = self.choices.order;
        Ok(())
    }

    /// Takes over a view, if there is a new one, and asks for the next.
    fn takes_view(&mut self) -> bool {
        self.shared.due.store(true, Ordering::Relaxed);
        let view = lock(&self.shared.state).view.take();
        let is_new = view.is_some();
        self.view = view.or_else(|| self.view.take());
        is_new
    }

    fn has_new_size(&mut self) -> bool {
        screen_of(self.out.as_fd()) != self.cells.get_frame().area()
    }

    fn draw(&mut self) -> io::Result<()> {
        let screen = screen_of(self.out.as_fd());
        if screen != self.cells.get_frame().area() {
            self.cells.resize(screen)?;
        }
        self.pane.resize(areas(screen, self.choices.zoomed).output);
        let Self {
            cells,
            pane,
            titles,
            palette,
            choices,
            view: Some(view),
            ..
        } = self
        else {
            return Ok(());
        };
        cells.backend_mut().write_all(BEGIN)?;
        cells.draw(|frame| {
            let mut inner = lock(&pane.inner);
            let screen = inner.parser.screen_mut();
            choices.clamp(view.processes.len(), screen.scrollback_len());
            screen.set_scrollback(choices.back);
            draw(view, titles, choices, palette, inner.parser.screen(), frame);
            // What is written meanwhile must not be written there.
            inner.parser.screen_mut().set_scrollback(0);
        })?;
        cells.backend_mut().write_all(END)?;
        Write::flush(cells.backend_mut())
    }

    /// Ctrl-Z: the build stops, and we with it, as without this screen. Goes on with `fg`.
    fn suspend(&mut self) -> io::Result<()> {
        if let Some(taken) = &*lock(&TAKEN) {
            taken.leave();
        }
        kill_current_process_group(Signal::TSTP)?;
        std::thread::sleep(SIGNAL_ARRIVES);
        self.take_again()
    }

    /// Takes the terminal after somebody else has had it.
    fn take_again(&mut self) -> io::Result<()> {
        if let Some(taken) = &*lock(&TAKEN) {
            taken.enter()?;
        }
        // Draws everything anew.
        self.cells.resize(screen_of(self.out.as_fd()))
    }
}

impl Taken {
    /// Keys come one by one and are not shown; those that make signals still do, but for Ctrl-Z, which is ours.
    fn enter(&self) -> io::Result<()> {
        let mut termios = self.before.clone();
        termios.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        termios.input_modes -= InputModes::IXON;
        termios.special_codes[SpecialCodeIndex::VMIN] = 1;
        termios.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Disabled: _POSIX_VDISABLE.
        termios.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(&self.keys, OptionalActions::Now, &termios)?;
        write_all(self.out.as_fd(), &[ENTER])
    }

    fn leave(&self) {
        // Whoever has closed the terminal needs nothing back.
        let _ = write_all(self.out.as_fd(), &[LEAVE]);
        let _ = tcsetattr(&self.keys, OptionalActions::Now, &self.before);
    }
}

fn take(taken: Taken) -> io::Result<()> {
    let entered = taken.enter();
    *lock(&TAKEN) = Some(taken);
    if entered.is_err() {
        give_back();
    }
    entered
}

/// Gives the terminal back, if it is taken, and tells what there was to tell meanwhile.
fn give_back() {
    let Some(taken) = lock(&TAKEN).take() else {
        return;
    };
    taken.leave();
    let held = std::mem::take(&mut *lock(&HELD));
    let _ = write_all(taken.out.as_fd(), &[&held]);
}

/// A panic's message would be lost with the screen, and so would the terminal's modes.
fn leave_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            previous(panic);
        }));
    });
}

/// Where messages go: to stderr, but while there is a screen they wait for its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if lock(&TAKEN).is_some() {
            lock(&HELD).extend_from_slice(bytes);
            Ok(bytes.len())
        } else {
            io::stderr().write(bytes)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// No screen is larger, whatever a terminal says: each cell takes room.
const LARGEST: (u16, u16) = (1000, 500);

/// The screen's size as the terminal tells it; that of the oldest where it does not.
fn screen_of(terminal: BorrowedFd<'_>) -> Rect {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Rect::new(0, 0, size.ws_col.min(LARGEST.0), size.ws_row.min(LARGEST.1))
        }
        Ok(_) | Err(_) => Rect::new(0, 0, 80, 24),
    }
}

/// Rows and columns. A terminal has one at the least.
fn size_of(area: Rect) -> (NonZeroU16, NonZeroU16) {
    let at_least_one = |size| NonZeroU16::new(size).unwrap_or(NonZeroU16::MIN);
    (at_least_one(area.height), at_least_one(area.width))
}

fn winsize((rows, columns): (NonZeroU16, NonZeroU16)) -> Winsize {
    Winsize {
        ws_row: rows.get(),
        ws_col: columns.get(),
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has left at worst half a screen.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use rustix::process::{ioctl_tiocsctty, setsid};
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    use super::*;

    const IN_CHILD: &str = "BUILD_MEM_TEST_TUI_IN_CHILD";

    #[test]
    fn after_a_panic_the_terminal_is_as_it_was_and_shows_why() {
        if std::env::var_os(IN_CHILD).is_some() {
            let titles = Titles {
                label: "x".into(),
                command: "true".into(),
            };
            let _tui = Tui::enter(titles, Palette::plain()).unwrap();
            let _ = writeln!(Messages, "a message");
            panic!("on purpose");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--nocapture"])
            .arg("launch::tui::tests::after_a_panic_the_terminal_is_as_it_was_and_shows_why")
            .env(IN_CHILD, "1")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream());
        let lead = || {
            setsid()?;
            ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        };
        // SAFETY: both are system calls, and nothing else is done between fork and exec.
        unsafe { command.pre_exec(lead) };
        let mut child = command.spawn().unwrap();
        let mut screen = File::from(master);
        let reader = std::thread::spawn(move || {
            let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                shown.extend_from_slice(&buffer[..length]);
            }
            String::from_utf8_lossy(&shown).into_owned()
        });
        assert!(!child.wait().unwrap().success());
        let after = tcgetattr(&slave).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
        assert_eq!(after.input_modes, before.input_modes);
        drop(slave);
        drop(command);
        let shown = reader.join().unwrap();
        let entered = shown.find("\x1b[?1049h").unwrap();
        let left = shown.rfind("\x1b[?1049l").unwrap();
        let message = shown.find("a message").unwrap();
        let panicked = shown.find("on purpose").unwrap();
        assert!(
            entered < left && left < message && message < panicked,
            "{shown:?}"
        );
    }

    #[test]
    fn of_a_flood_of_output_the_end_is_looked_at_and_no_more_is_kept() {
        let pane = Pane::with_size(winsize(size_of(Rect::new(0, 0, 40, 3))));
        for line in 0..200_000 {
            pane.write(format!("\x1b[31mline {line}\n").as_bytes());
            assert!(lock(&pane.pending).bytes.len() <= 2 * LOOKED_AT);
        }
        pane.write(b"end");
        assert_eq!(pane.text(), "line 199998\nline 199999\nend");
        let scrollback = lock(&pane.inner).parser.screen().scrollback_len();
        assert_eq!(scrollback, SCROLLBACK);
    }

    #[test]
    fn a_pane_survives_whatever_is_written_and_any_change_of_its_size() {
        let pane = Pane::with_size(winsize((NonZeroU16::MIN, NonZeroU16::MIN)));
        let mut random = 1u64;
        for round in 0..2000u16 {
            let bytes: Vec<u8> = (0..100)
                .map(|_| {
                    // An xorshift generator; of its bytes, some are those that begin and end sequences.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    match random % 6 {
                        0 => 0x1b,
                        1 => {
                            b"[]?;mHJKABCDrhlL\n\r\t\x08"[usize::from(random.to_le_bytes()[1]) % 20]
                        }
                        2 => b"0123456789"[usize::from(random.to_le_bytes()[1]) % 10],
                        _ => random.to_le_bytes()[7],
                    }
                })
                .collect();
            pane.write(&bytes);
            pane.take_in();
            let (rows, columns) = (round * 7 % 40, round * 13 % 150);
            pane.resize(Rect::new(0, 0, columns, rows));
            let mut inner = lock(&pane.inner);
            inner.parser.screen_mut().set_scrollback(usize::from(round));
            let _ = last_lines(inner.parser.screen(), true);
            inner.parser.screen_mut().set_scrollback(0);
        }
    }
}

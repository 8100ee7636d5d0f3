//! The screen of `run --tui` on a real terminal: what it shows, what keys do, and that the terminal is given back.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use buildmem::report::{Report, Verdict};
use nix::sys::signal::{Signal, kill};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use crate::slowness::slowness;
use crate::tool::{BUILD_MEM, Project, nix_pid, workload};

const STAGES: &str = r#"
[[stage]]
name = "holding"
match = "workload hold"
[[stage]]
name = "never"
match = "nothing has this name"
"#;

/// A terminal of which build-mem is the session's leader.
struct OnTerminal {
    child: Child,
    master: File,
    /// Keeps the terminal there after the last program has closed it.
    slave: OwnedFd,
    screen: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
}

fn size(rows: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
    (
        NonZeroU16::new(rows).unwrap(),
        NonZeroU16::new(columns).unwrap(),
    )
}

fn winsize(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl OnTerminal {
    fn start(project: &Project, option: &str, script: &str) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, winsize(40, 120)).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", BUILD_MEM])
            .args(["run", option, "--label", "x", "--", "sh", "-c", script])
            .arg(workload())
            .current_dir(project.dir())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("SUDO_USER")
            .env_remove("SUDO_UID")
            .env_remove("SUDO_GID")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        let (rows, columns) = size(40, 120);
        let screen = Arc::new(Mutex::new(Parser::new(rows, columns, 2000)));
        let master = File::from(master);
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO when nobody has the terminal any more.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().process(&buffer[..length]);
            }
        });
        Self {
            child,
            master,
            slave,
            screen,
            reader: Some(reader),
        }
    }

    fn shown(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn is_alternate(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// Waits until all of these are on the screen at once.
    fn wait_for(&self, what: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(30) * slowness();
        while !what.iter().all(|what| self.shown().contains(what)) {
            assert!(
                Instant::now() < deadline,
                "{what:?} never came:\n{}",
                self.shown()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// build-mem, which `setsid` waits for.
    fn build_mem(&self) -> u32 {
        let pid = self.child.id();
        let of_process =
            |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        // It forks only where it must.
        match of_process("comm").trim() {
            "setsid" => of_process(&format!("task/{pid}/children"))
                .trim()
                .parse()
                .unwrap(),
            _ => pid,
        }
    }

    /// Waits for the end, and sees that the terminal is as it was.
    fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(30) * slowness();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "no end:\n{}", self.shown());
            thread::sleep(Duration::from_millis(10));
        };
        let modes = tcgetattr(&self.slave).unwrap();
        assert!(
            modes
                .local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG),
            "the terminal's modes are not as they were"
        );
        let screen = Arc::clone(&self.screen);
        let reader = self.reader.take().unwrap();
        // The reader ends when nobody has the terminal.
        drop(self);
        reader.join().unwrap();
        let mut parser = screen.lock().unwrap();
        let screen = parser.screen_mut();
        assert!(!screen.alternate_screen(), "the screen was not left");
        assert!(!screen.hide_cursor(), "the cursor stays hidden");
        let mut shown = String::new();
        let page = usize::from(screen.size().0.get());
        for back in (0..=screen.scrollback_len()).rev().step_by(page) {
            screen.set_scrollback(back);
            shown += &screen.contents();
        }
        screen.set_scrollback(0);
        shown += &screen.contents();
        assert!(shown.contains("[BUILD-MEM RESULT] {"), "{shown}");
        (status, shown)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn report_of(project: &Project) -> Report {
    serde_json::from_str(&project.read(".build-mem/result-x.json")).unwrap()
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_screen_shows_the_build_and_its_output_and_ends_with_it() {
    let project = Project::new();
    project.write("build-mem.toml", STAGES);
    let script = r#"printf 'first\n\033[31mred\033[0m line\n'
        test -t 1 && test -t 2 && ! test -t 0 && echo on a terminal
        stty size <&1
        trap 'stty size <&1' WINCH
        "$0" hold 60 2500 & wait $!
        while kill -0 $! 2>/dev/null; do wait $!; done
        printf 'no newline at the end'"#;
    let mut on = OnTerminal::start(&project, "--tui", script);
    on.wait_for(&["first", "red line", "on a terminal", "13 120"]);
    assert!(on.is_alternate());
    on.wait_for(&[
        "holding",
        "runs",
        "never",
        "waits",
        "workload hold 60",
        "MiB",
        "% of a core",
    ]);
    {
        let parser = on.screen.lock().unwrap();
        let (row, column) = (0..40)
            .find_map(|row| {
                let text = parser.screen().contents_between(row, 0, row, 119);
                text.starts_with("red line").then_some((row, 0))
            })
            .unwrap();
        let color = parser.screen().cell(row, column).unwrap().fgcolor();
        assert_eq!(color, vt100::Color::Idx(1));
    }
    on.press(b"?");
    on.wait_for(&["interrupt the build"]);
    on.press(b"?\x1b[C");
    on.wait_for(&["RSS ▾"]);
    // The terminal becomes smaller, and so does the build's.
    {
        let (rows, columns) = size(30, 100);
        on.screen.lock().unwrap().set_size(rows, columns);
        tcsetwinsize(&on.master, winsize(30, 100)).unwrap();
    }
    on.wait_for(&["9 100"]);
    let (status, shown) = on.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("Peak memory"), "{shown}");
    let report = report_of(&project);
    assert_eq!(report.verdict, Verdict::Pass);
    let log = project.read(".build-mem/build-x.log");
    let start = "first\n\x1b[31mred\x1b[0m line\non a terminal\n13 120\n";
    assert!(log.starts_with(start), "{log:?}");
    // The terminal's own signal may come before ours, with the size as it was.
    let end = log[start.len()..].trim_start_matches("13 120\n");
    assert_eq!(end, "9 100\nno newline at the end");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_key_interrupts_the_build_once_as_ctrl_c_does_and_the_screen_is_left() {
    for key in [b"q", b"\x03"] {
        let project = Project::new();
        let build =
            r"trap 'echo interrupted >> count' INT; echo rea''dy; sleep 20; sleep 0.3; exit 130";
        let mut on = OnTerminal::start(&project, "--tui", build);
        on.wait_for(&["ready"]);
        // `sleep` must be there, so that the signal reaches it.
        thread::sleep(Duration::from_millis(300));
        on.press(key);
        let (status, shown) = on.end();
        assert_eq!(status.code(), Some(130), "{shown}");
        assert_eq!(project.read("count"), "interrupted\n");
        let report = report_of(&project);
        assert_eq!(report.verdict, Verdict::Interrupted);
        assert!(report.duration_s < 15.0);
        // What the screen took with it.
        assert!(shown.contains("ready"), "{shown}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_screen_is_left_when_build_mem_is_told_to_end_and_when_the_build_is_killed() {
    let project = Project::new();
    let build = "echo $$ > started; echo rea''dy; exec sleep 20";
    let on = OnTerminal::start(&project, "--tui", build);
    on.wait_for(&["ready"]);
    kill(nix_pid(on.build_mem()), Signal::SIGTERM).unwrap();
    let (status, shown) = on.end();
    assert_eq!(status.code(), Some(143), "{shown}");
    assert_eq!(report_of(&project).verdict, Verdict::Interrupted);

    let project = Project::new();
    let on = OnTerminal::start(&project, "--tui", build);
    on.wait_for(&["ready"]);
    let build: u32 = project.read("started").trim().parse().unwrap();
    kill(nix_pid(build), Signal::SIGKILL).unwrap();
    let (status, shown) = on.end();
    assert_eq!(status.code(), Some(137), "{shown}");
    assert_eq!(report_of(&project).verdict, Verdict::BuildKilled);
    assert!(shown.contains("the end of the build's output"), "{shown}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn without_the_screen_the_build_has_a_terminal_too_and_keeps_its_colours_and_progress() {
    let project = Project::new();
    let script = r"test -t 1 && test -t 2 && stty size <&1
        printf '\033[32mgreen\033[0m\n'
        printf 'half' >&2; sleep 0.5; printf '\r\033[Kwhole\n' >&2; sleep 1.5";
    let on = OnTerminal::start(&project, "--skip-clear", script);
    on.wait_for(&["40 120", "green", "half"]);
    on.wait_for(&["whole\nbuild-mem 0:0"]);
    assert!(!on.is_alternate());
    let (status, shown) = on.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    // The summary has the command line, and what is in it.
    assert!(
        !shown.lines().any(|line| line.starts_with("half")),
        "{shown}"
    );
    let log = project.read(".build-mem/build-x.log");
    assert_eq!(log, "40 120\n\x1b[32mgreen\x1b[0m\nhalf\r\x1b[Kwhole\n");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn without_a_terminal_there_is_one_error_and_nothing_is_done() {
    let project = Project::new();
    let ran = project.ran(["run", "--tui", "--", "touch", "built"]);
    assert_eq!(ran.code(), 125);
    insta::assert_snapshot!(ran.stderr(), @r"
    error: cannot show the screen of `--tui`
    cause: our stdin is not a terminal
     help: leave `--tui` out: the status line and the summary need no such terminal
    ");
    assert!(project.contents().is_empty(), "{:?}", project.contents());
    let ran = project.ran(["run", "--tui", "--quiet", "--", "touch", "built"]);
    assert_eq!(ran.code(), 125);
    assert!(
        ran.stderr().contains("cannot be used with"),
        "{}",
        ran.stderr()
    );
}

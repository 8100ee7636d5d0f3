//! Signals are the build's: it is asked to end, and the measurement is complete. What outlives the build, and what
//! is left when build-mem itself is killed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use buildmem::report::{Report, Verdict};
use nix::sys::signal::{Signal, kill, killpg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::tool::{
    BUILD_MEM, LeftBehind, Project, Ran, Running, is_alive, leaves_of, nix_pid, workload,
};

const HOLD: &str = r#"echo $$ > started; exec "$0" hold 20 30000"#;

/// A build that stays until it is told to end, in a process group of its own.
fn holding(project: &Project) -> Running {
    let mut command = project.tool(["run", "--label", "x", "--", "sh", "-c", HOLD]);
    let mut running = Running::start(command.arg(workload()).process_group(0));
    running.wait_for(&project.path("started"));
    running
}

fn assert_interrupted(project: &Project, ran: &Ran, signal: Signal) {
    assert_eq!(ran.code(), 128 + signal as i32, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert_eq!(report.exit.signal, Some(signal as i32));
    assert!(report.headline.complete);
    assert_eq!(report.processes.forks, report.processes.exits);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
    assert_eq!(
        serde_json::from_str::<Report>(&project.read(".build-mem/result-x.json")).unwrap(),
        report
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_signal_to_build_mem_ends_the_build_and_the_result_is_complete() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let project = Project::new();
        let running = holding(&project);
        running.signal(signal);
        assert_interrupted(&project, &running.end(), signal);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_signal_to_the_whole_process_group_interrupts_even_when_the_build_ends_first() {
    // Which of the two build-mem looks at first is a matter of chance: several times.
    for _ in 0..5 {
        let project = Project::new();
        let running = holding(&project);
        let build: u32 = project.read("started").trim().parse().unwrap();
        // Stopped, build-mem finds the signal and the build's end at the same time.
        running.signal(Signal::SIGSTOP);
        killpg(nix_pid(running.pid()), Signal::SIGINT).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_alive(build) {
            assert!(Instant::now() < deadline, "the build goes on");
            thread::sleep(Duration::from_millis(2));
        }
        running.signal(Signal::SIGCONT);
        assert_interrupted(&project, &running.end(), Signal::SIGINT);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn ctrl_c_in_a_terminal_interrupts_the_build_once() {
    let project = Project::new();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = || {
        Stdio::from(
            File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap(),
        )
    };
    let build =
        r"trap 'echo interrupted >> count' INT; echo $$ > started; sleep 20; sleep 0.3; exit 130";
    let child = Command::new("setsid")
        .args([
            "--ctty", "--wait", BUILD_MEM, "run", "--label", "x", "--", "sh", "-c", build,
        ])
        .current_dir(project.dir())
        .stdin(slave())
        .stdout(slave())
        .stderr(slave())
        .spawn()
        .unwrap();
    let mut child = LeftBehindChild(child);
    let mut terminal = File::from(master);
    let mut screen = terminal.try_clone().unwrap();
    let shown = thread::spawn(move || {
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        // EIO when the last one that has the terminal open is gone.
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !project.path("started").exists() {
        assert!(Instant::now() < deadline, "the build does not start");
        thread::sleep(Duration::from_millis(5));
    }
    // `sleep` must be there, so that the signal reaches it.
    thread::sleep(Duration::from_millis(200));
    terminal.write_all(b"\x03").unwrap();
    let status = child.0.wait().unwrap();
    let shown = shown.join().unwrap();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert_eq!(project.read("count"), "interrupted\n");
    assert!(shown.contains("[BUILD-MEM RESULT] {"), "{shown}");
    let report: Report = serde_json::from_str(&project.read(".build-mem/result-x.json")).unwrap();
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert!(report.duration_s < 15.0);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_signal_ends_the_wait_for_a_stdout_that_takes_nothing_and_the_result_is_there() {
    let project = Project::new();
    // More than our stdout takes, and no more than the build's takes besides.
    let script = "head -c 100000 /dev/zero; echo $$ > written";
    let child = project
        .tool(["run", "--label", "x", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = LeftBehindChild(child);
    let wait_until = |what: &str, mut is_so: Box<dyn FnMut() -> bool + '_>| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} never came");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let written = project.path("written");
    let build = || {
        fs::read_to_string(&written)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    wait_until(
        "the build's end",
        Box::new(|| build().is_some_and(|build| !is_alive(build))),
    );
    thread::sleep(Duration::from_millis(300));
    let result = project.path(".build-mem/result-x.json");
    assert!(!result.exists(), "it does not wait");

    let interrupt = |child: &LeftBehindChild| kill(nix_pid(child.0.id()), Signal::SIGINT).unwrap();
    interrupt(&child);
    let report = || serde_json::from_slice::<Report>(&fs::read(&result).ok()?).ok();
    wait_until("the result", Box::new(|| report().is_some()));
    let report = report().unwrap();
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(
        report.notes.iter().any(|note| note.what == "build output"),
        "{:?}",
        report.notes
    );
    // It waits with the result line now.
    wait_until(
        "the end",
        Box::new(|| {
            interrupt(&child);
            child.0.try_wait().unwrap().is_some()
        }),
    );
}

struct LeftBehindChild(std::process::Child);

impl Drop for LeftBehindChild {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn after_a_kill_of_build_mem_the_recording_is_readable_and_the_next_run_removes_the_cgroup() {
    let project = Project::new();
    let running = holding(&project);
    // What is older than a second has been handed to the system.
    thread::sleep(Duration::from_millis(2500));
    let pid = running.pid();
    running.signal(Signal::SIGKILL);
    let killed = running.end();
    assert_eq!(killed.status.code(), None);
    let build: u32 = project.read("started").trim().parse().unwrap();
    let _build = LeftBehind(build);

    let recording = ".build-mem/recording-x.jsonl";
    let told = project.ran(["report", recording, "--format", "json"]);
    assert_eq!(told.code(), 0, "{}", told.stderr());
    let report: Report = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(report.verdict, Verdict::Incomplete);
    assert_eq!((report.exit.code, report.exit.signal), (None, None));
    assert!(!report.headline.complete);
    assert_eq!((report.processes.forks, report.processes.exits), (1, 0));
    assert!(report.profiler.samples >= 5, "{:?}", report.profiler);
    let held = report.peak.unwrap().pss_bytes >> 20;
    assert!((20..25).contains(&held), "{held} MiB");
    let listed = project.ran(["list"]);
    assert!(
        listed.stdout().contains("incomplete"),
        "{}",
        listed.stdout()
    );

    let next = project.ran(["run", "--label", "next", "--", "true"]);
    assert_eq!(next.code(), 0, "{}", next.stderr());
    assert_eq!(leaves_of(pid), [] as [PathBuf; 0]);
    assert!(
        is_alive(build),
        "what is left of the build is moved, not ended"
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_daemon_that_a_build_leaves_is_told_and_does_not_hold_up_the_end() {
    let project = Project::new();
    let ran = project.measured_script(r#"echo made; "$0" double-fork 20000"#);
    let report = ran.report();
    let [daemon] = report.processes.left_running.as_slice() else {
        panic!("{:?}", report.processes)
    };
    let _end = LeftBehind(daemon.pid);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    assert!(report.duration_s < 3.0, "{}", report.duration_s);
    assert!(daemon.command.ends_with("double-fork 20000"), "{daemon:?}");
    assert!(daemon.peak_rss_bytes.is_some_and(|bytes| bytes > 0));
    assert!(is_alive(daemon.pid), "it is not build-mem's to end");
    assert!(
        fs::read_link(format!("/proc/{}/fd/1", daemon.pid))
            .is_ok_and(|out| out.to_string_lossy().starts_with("pipe:")),
        "it holds the build's stdout"
    );
    // Shell, workload, session leader and daemon.
    assert_eq!((report.processes.forks, report.processes.exits), (4, 3));
    assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
}

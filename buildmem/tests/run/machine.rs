//! What changes for the whole machine while a build is measured: how many process numbers there are, the clock, suspend. For a
//! machine of their own only: `cargo xtask vm` boots one, and they fail on every other.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use buildmem::command_line::CommandLine;
use buildmem::event::EventKind;
use buildmem::ids::Tgid;
use buildmem::report::{Report, Verdict};
use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::slowness::slowness;
use crate::tool::{Project, Ran, Running, workload};

/// A build that says when it has begun, and then holds 30 MiB for so long, times the machine's slowness.
const HOLDS_FOR_MS: u64 = 3000;

fn assert_own_machine() {
    assert!(
        env::var_os("BUILD_MEM_TESTS_OWN_MACHINE").is_some(),
        "this changes the machine: `cargo xtask vm`"
    );
}

/// Measures that build; `meanwhile` is done while it holds its memory.
fn measured_while(project: &Project, meanwhile: impl FnOnce()) -> (Ran, Duration) {
    let script = format!(r#"echo x > started; "$0" hold 30 {HOLDS_FOR_MS}; exit 3"#);
    let mut tool = project.tool(["run", "--label", "x", "--", "sh", "-c", &script]);
    let before = boot_time();
    let mut running = Running::start(tool.arg(workload()));
    running.wait_for(&project.path("started"));
    thread::sleep(Duration::from_millis(300) * slowness());
    meanwhile();
    let ran = running.end();
    (ran, boot_time().saturating_sub(before))
}

fn boot_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap()
}

/// The build was measured as ever: its end, its peak, and a timeline that does not go back.
fn assert_measured(project: &Project, ran: &Ran) -> Report {
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::BuildFailed);
    assert!(report.headline.complete, "{:?}", report.notes);
    assert_eq!((report.processes.forks, report.processes.exits), (2, 2));
    let peak = report.peak.as_ref().unwrap();
    assert!((30..40).contains(&(peak.pss_bytes >> 20)), "{peak:?}");
    let (_, rows) = project.timeline("x");
    let times: Vec<f64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.iter().all(|at| *at <= report.duration_s), "{times:?}");
    report
}

/// The clock of the machine, set right at the end of the test.
struct Clock {
    /// What it showed, and the time since boot then.
    right: (Timespec, Duration),
}

impl Clock {
    fn keep() -> Self {
        Self {
            right: (clock_gettime(ClockId::Realtime), boot_time()),
        }
    }

    fn set_wrong_by(&self, seconds: i64) {
        let (right, then) = self.right;
        let since = boot_time().saturating_sub(then);
        let tv_sec = right.tv_sec + seconds + i64::try_from(since.as_secs()).unwrap();
        clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: 0 }).unwrap();
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set_wrong_by(0);
    }
}

#[test]
#[ignore = "needs a machine of its own: cargo xtask vm"]
fn a_clock_that_is_set_to_and_fro_moves_no_figure() {
    const DAY: i64 = 24 * 60 * 60;
    assert_own_machine();
    let project = Project::new();
    let clock = Clock::keep();
    let before = Timestamp::now();
    let (ran, took) = measured_while(&project, || {
        for days in [1, -2, 400] {
            clock.set_wrong_by(days * DAY);
            thread::sleep(Duration::from_millis(300) * slowness());
        }
    });
    drop(clock);
    let report = assert_measured(&project, &ran);
    let held = (Duration::from_millis(HOLDS_FOR_MS) * slowness()).as_secs_f64();
    assert!(
        (held..=took.as_secs_f64()).contains(&report.duration_s),
        "{} s of {took:?}",
        report.duration_s
    );
    // There were samples at every time of the clock.
    let (_, rows) = project.timeline("x");
    assert!(rows.len() > 5, "{rows:?}");
    // It was right then.
    let started: Timestamp = report.started_at.parse().unwrap();
    let late = started.duration_since(before).as_secs();
    assert!(
        (-1..60 * i64::from(slowness())).contains(&late),
        "{report:?}"
    );
}

/// Suspends the machine, which wakes up by its own clock after so many seconds.
fn suspend(seconds: u64) {
    let alarm = Path::new("/sys/class/rtc/rtc0/wakealarm");
    fs::write(alarm, "0").unwrap();
    fs::write(alarm, format!("+{seconds}")).unwrap();
    fs::write("/sys/power/state", "mem").unwrap();
}

#[test]
#[ignore = "needs a machine of its own: cargo xtask vm"]
fn a_machine_that_is_suspended_meanwhile_goes_on_measuring() {
    const SLEEP_S: u64 = 8;
    assert_own_machine();
    let project = Project::new();
    let asleep = || {
        let monotonic = Instant::now();
        let boot = boot_time();
        suspend(SLEEP_S);
        boot_time()
            .saturating_sub(boot)
            .saturating_sub(monotonic.elapsed())
    };
    let mut slept = Duration::ZERO;
    let (ran, took) = measured_while(&project, || slept = asleep());
    assert!(
        slept.as_secs() >= SLEEP_S / 2,
        "it slept for {slept:?} only"
    );
    let report = assert_measured(&project, &ran);
    // The time asleep is part of the build's.
    let held = (Duration::from_millis(HOLDS_FOR_MS) * slowness() + slept).as_secs_f64();
    assert!(
        (held..=took.as_secs_f64()).contains(&report.duration_s),
        "{} s of {took:?}, {slept:?} asleep",
        report.duration_s
    );
    // Samples before and after.
    let (_, rows) = project.timeline("x");
    let times: Vec<f64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    let gap = times
        .windows(2)
        .position(|pair| pair[1] - pair[0] >= slept.as_secs_f64() * 0.9);
    let gap = gap.unwrap_or_else(|| panic!("no gap in {times:?}"));
    assert!(gap > 1 && times.len() - gap > 3, "{times:?}");
}

/// How many process numbers there are, as before at the end of the test.
struct PidMax(String);

impl PidMax {
    const FILE: &'static str = "/proc/sys/kernel/pid_max";

    fn lowered_to(most: u32) -> Self {
        let before = fs::read_to_string(Self::FILE).unwrap();
        fs::write(Self::FILE, most.to_string()).unwrap();
        Self(before)
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, &self.0);
    }
}

#[test]
#[ignore = "needs a machine of its own: cargo xtask vm"]
fn numbers_that_are_used_again_and_again_are_another_process_each_time() {
    assert_own_machine();
    let project = Project::new();
    // Once all were given out, those from 300 on are again: each of them at least three times.
    let (numbers, processes) = (600, 1500);
    let ran = {
        let _lowered = PidMax::lowered_to(numbers);
        let script =
            format!(r#"i=0; while [ $i -lt {processes} ]; do "$0" nothing $i; i=$((i + 1)); done"#);
        project.measured_script(&script)
    };
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.profiler.events_lost, 0);
    assert!(report.headline.complete);
    // The shell, too.
    let all = processes + 1;
    assert_eq!(
        (
            report.processes.forks,
            report.processes.execs,
            report.processes.exits
        ),
        (all, all, all)
    );
    assert_eq!(report.processes.left_running, []);
    assert!(report.processes.peak_live <= 3, "{:?}", report.processes);

    // Each has the command that it was given, between its own fork and its own end.
    let mut live: BTreeMap<Tgid, Vec<CommandLine>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut ended = Vec::new();
    for event in project.events("x") {
        match event {
            EventKind::Forked { child, .. } => {
                assert_eq!(live.insert(child, Vec::new()), None, "{child} is in use");
                used.insert(child);
            }
            EventKind::Execed { tgid, argv, .. } => live.get_mut(&tgid).unwrap().push(argv),
            EventKind::Exited { tgid, .. } => ended.push(live.remove(&tgid).unwrap()),
            _ => {}
        }
    }
    assert!(live.is_empty(), "{live:?}");
    assert!(
        used.len() <= usize::try_from(numbers).unwrap(),
        "{} numbers",
        used.len()
    );
    // The shell ends last.
    ended.pop();
    let program = workload().to_str().unwrap();
    let expected: Vec<_> = (0..processes)
        .map(|index| {
            vec![CommandLine::from_args([
                program,
                "nothing",
                &index.to_string(),
            ])]
        })
        .collect();
    assert!(ended == expected, "{ended:?}");
}

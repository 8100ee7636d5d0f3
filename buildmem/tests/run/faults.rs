//! What goes wrong on the machine while a build is measured: build-mem is stopped, killed, or one of very many. What is lost
//! is told, and nothing else is. `docs/reliability.md` is the list of all that was tried.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use buildmem::event::EventKind;
use buildmem::ids::Tgid;
use buildmem::report::{Report, Verdict};
use buildmem_common::TRACKED_CAPACITY;
use nix::sys::signal::Signal;

use crate::slowness::slowness;
use crate::tool::{BUILD_MEM, LeftBehind, Project, Ran, Running, leaves_of, workload};

/// Waits for the moment, goes on when it is let, and ends with a process of known size.
const ENDS_WITH_A_HOLD: &str =
    r#"; echo x > over; while [ ! -e go ]; do sleep 0.05; done; "$0" hold 30 1500; exit 3"#;

/// Fills the ring buffer of 2 MiB in no time, with command lines of 16 KiB.
const FILLS_THE_BUFFER: &str = r#"long=x; while [ ${#long} -lt 16000 ]; do long=$long$long; done; i=0; while [ $i -lt 300 ]; do "$0" nothing $long; i=$((i + 1)); done"#;

/// Measures a script during which build-mem is stopped until it is `over`, and `then` is done.
fn stopped_during(project: &Project, script: &str, then: impl FnOnce()) -> Ran {
    let script = format!("echo x > started; sleep 0.3; {script}{ENDS_WITH_A_HOLD}");
    let mut tool = project.tool(["run", "--label", "x", "--", "sh", "-c", &script]);
    let mut running = Running::start(tool.arg(workload()));
    running.wait_for(&project.path("started"));
    running.signal(Signal::SIGSTOP);
    wait_for(&project.path("over"));
    then();
    running.signal(Signal::SIGCONT);
    project.write("go", "");
    running.end()
}

/// Waits until something is in a file, whatever build-mem does meanwhile.
fn wait_for(file: &Path) {
    let deadline = Instant::now() + Duration::from_mins(1) * slowness();
    while fs::read(file).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "{} never came", file.display());
        thread::sleep(Duration::from_millis(5));
    }
}

/// The process that came last is there with what it held, and the build ended as it did.
fn assert_end_was_seen(report: &Report) {
    assert_eq!(report.exit.code, Some(3));
    assert_eq!(report.verdict, Verdict::BuildFailed);
    let last = report
        .processes
        .top
        .iter()
        .find(|process| process.command.ends_with("hold 30 1500"))
        .unwrap();
    assert_eq!(last.exit.code, Some(0));
    assert!((30..40).contains(&(last.peak_rss_bytes >> 20)), "{last:?}");
    let peak = report.peak.as_ref().unwrap();
    assert!((30..40).contains(&(peak.pss_bytes >> 20)), "{peak:?}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_happens_while_build_mem_is_stopped_for_ten_seconds_is_told_afterwards() {
    let project = Project::new();
    // As many as the ring buffer holds.
    let storm = 1500;
    let ran = stopped_during(&project, &format!(r#""$0" storm {storm}"#), || {
        thread::sleep(Duration::from_secs(10));
    });
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.profiler.events_lost, 0);
    assert!(report.headline.complete && report.duration_s > 10.0);
    assert_eq!(report.processes.forks, report.processes.exits);
    let class = |name: &str| {
        let classes = &report.processes.classes;
        classes
            .iter()
            .find(|class| class.command_class == name)
            .unwrap_or_else(|| panic!("no `{name}` in {classes:?}"))
            .count
    };
    // Those of the storm, itself, and the one that holds.
    assert_eq!(class("workload"), storm + 2);
    assert_eq!(report.processes.left_running, []);
    assert_end_was_seen(&report);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_overrun_of_the_ring_buffer_is_counted_and_what_comes_after_it_is_right() {
    let project = Project::new();
    let storm = times("BUILD_MEM_TESTS_STORM", 2000) / u64::from(slowness());
    let long = 300;
    let script = format!(r#"{FILLS_THE_BUFFER}; "$0" storm {storm}"#);
    let ran = stopped_during(&project, &script, || ());
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    let report = ran.report();
    assert!(report.profiler.events_lost > 0, "nothing was lost");
    assert!(!report.headline.complete);
    // What the kernel counts by itself does not pass through the buffer.
    assert!(report.headline.bytes.is_some_and(|bytes| bytes > 30 << 20));
    assert_end_was_seen(&report);
    // Three records of each: fork, exec and exit.
    let told = report.processes.forks + report.processes.execs + report.processes.exits;
    assert!(
        told + report.profiler.events_lost >= 3 * (long + storm),
        "{told} and {}",
        report.profiler.events_lost
    );
    // Whose end was lost is not there any more.
    assert_eq!(report.processes.left_running, []);
    assert!(
        ran.stderr()
            .contains(&report.profiler.events_lost.to_string()),
        "{}",
        ran.stderr()
    );
    assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
}

/// Ends what it is handed.
struct Another(Child);

impl Drop for Another {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts another program with this number, which is free. Numbers go up, from the last one that was given out.
fn start_under(number: u32) -> Another {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
        let another = Another(Command::new("sleep").arg("60").spawn().unwrap());
        if another.0.id() == number {
            return another;
        }
        assert!(Instant::now() < deadline, "{number} is never free");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_program_that_has_the_number_of_a_process_whose_end_was_lost_is_not_taken_for_it() {
    let project = Project::new();
    // It begins while there is room, and ends when 1000 forks and ends have taken the last of it.
    let script = format!(
        r#""$0" hold 1 60000 & victim=$!; echo $victim > victim; {FILLS_THE_BUFFER}; "$0" never-exec 1000; kill $victim; wait $victim"#
    );
    let mut another = None;
    let ran = stopped_during(&project, &script, || {
        let victim = project.read("victim").trim().parse().unwrap();
        another = Some(start_under(victim));
    });
    let another = another.unwrap();
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    let report = ran.report();
    assert!(report.profiler.events_lost > 0, "nothing was lost");
    assert_end_was_seen(&report);
    // Its fork was seen, and its end was not.
    let victim = Tgid(another.0.id());
    let of_victim: Vec<bool> = project
        .events("x")
        .iter()
        .filter_map(|event| match event {
            EventKind::Forked { child, .. } if *child == victim => Some(true),
            EventKind::Exited { tgid, .. } if *tgid == victim => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(of_victim, [true]);
    assert_eq!(report.processes.left_running, []);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_output_folder_that_is_read_only_is_refused_before_the_build() {
    let project = Project::new();
    let script = format!(
        "mkdir .build-mem; mount -t tmpfs -o ro none .build-mem; exec {BUILD_MEM} run --label x -- touch {}",
        project.path("built").display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .current_dir(project.dir());
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    assert!(
        ran.stderr().contains("Read-only file system"),
        "{}",
        ran.stderr()
    );
    assert!(!project.path("built").exists());
    assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn more_processes_at_once_than_can_be_tracked_make_the_result_incomplete() {
    let project = Project::new();
    let crowd = u64::from(TRACKED_CAPACITY) + 616;
    let ran = project.measured_script(&format!(r#""$0" crowd {crowd}; "$0" hold 30 500; exit 3"#));
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    assert!(ran.stdout().starts_with(&format!("{crowd}\n")));
    let report = ran.report();
    // Besides the crowd's children there are the shell and itself; later, the one that holds.
    let tracked = u64::from(TRACKED_CAPACITY) - 2;
    assert_eq!(report.profiler.events_lost, crowd - tracked);
    assert!(!report.headline.complete);
    let all = 3 + tracked;
    assert_eq!((report.processes.forks, report.processes.exits), (all, all));
    assert_eq!(report.processes.peak_live, u64::from(TRACKED_CAPACITY));
    assert_eq!(report.processes.left_running, []);
    assert!(
        ran.stderr().contains("too many were alive at once"),
        "{}",
        ran.stderr()
    );
}

/// How often something is tried: a few times, unless this variable says otherwise.
fn times(variable: &str, few: u64) -> u64 {
    env::var(variable).map_or(few, |times| times.parse().unwrap())
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_kill_at_any_moment_leaves_a_readable_recording_and_the_next_run_cleans_up() {
    let project = Project::new();
    let kills = times("BUILD_MEM_TESTS_KILLS", 10);
    let mut killed = Vec::new();
    for index in 0..kills {
        let label = format!("k{index}");
        let script = format!(r#"echo $$ > started-{index}; exec "$0" storm 1000000"#);
        let mut tool = project.tool(["run", "--label", &label, "--", "sh", "-c", &script]);
        let mut running = Running::start(tool.arg(workload()));
        let started = project.path(&format!("started-{index}"));
        running.wait_for(&started);
        let build: u32 = fs::read_to_string(started).unwrap().trim().parse().unwrap();
        let build = LeftBehind(build);
        // Up to 1.5 s, past a flush; spread evenly, whatever their number is.
        thread::sleep(Duration::from_millis(index * 618 % 1500));
        running.signal(Signal::SIGKILL);
        // It has our stderr, too.
        drop(build);
        let ran = running.end();
        assert_eq!(ran.status.code(), None);
        killed.push(ran.pid);

        let told = project.ran(["report", &label, "--format", "json"]);
        assert_eq!(told.code(), 0, "{label}: {}", told.stderr());
        let report: Report = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(report.verdict, Verdict::Incomplete, "{label}");
        assert!(!report.headline.complete);
    }
    let listed = project.ran(["list"]).stdout();
    assert_eq!(
        listed.matches(" incomplete ").count() as u64,
        kills,
        "{listed}"
    );
    let next = project.ran(["run", "--label", "next", "--", "true"]);
    assert_eq!(next.code(), 0, "{}", next.stderr());
    for pid in killed {
        assert_eq!(leaves_of(pid), [] as [PathBuf; 0]);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn very_many_runs_at_once_in_one_folder_measure_their_own_build() {
    let project = Project::new();
    let runs = times("BUILD_MEM_TESTS_RUNS", 30);
    let running: Vec<Running> = (0..runs)
        .map(|index| {
            let label = format!("r{index}");
            let script = format!("echo r{index}; exit {}", index % 100);
            Running::start(&mut project.tool(["run", "--label", &label, "--", "sh", "-c", &script]))
        })
        .collect();
    for (index, running) in (0..).zip(running) {
        let ran = running.end();
        assert_eq!(ran.code(), index % 100, "{}", ran.stderr());
        let label = format!("r{index}");
        let report = ran.report();
        assert_eq!(report.label, label);
        assert!(report.headline.complete, "{label}: {:?}", report.notes);
        assert_eq!(report.exit.code, Some(index % 100));
        assert_eq!((report.processes.forks, report.processes.exits), (1, 1));
        assert_eq!(
            report.command[2],
            format!("echo r{index}; exit {}", index % 100)
        );
        assert_eq!(
            project.read(&format!(".build-mem/build-{label}.log")),
            format!("{label}\n")
        );
        let file = project.read(&format!(".build-mem/result-{label}.json"));
        assert_eq!(serde_json::from_str::<Report>(&file).unwrap(), report);
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
    }
    assert_eq!(
        project.ran(["list"]).stdout().lines().count() as u64,
        runs + 1
    );
}

//! The real eBPF programs against processes of known shape. They need privilege, and fail without it.
//!
//! Each test has a tracker of its own, so they may run side by side, next to whatever else the machine does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/slowness.rs"]
mod slowness;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use buildmem::command_line::CommandLine;
use buildmem::event::{EventKind, ExitStatus};
use buildmem::ids::Tgid;
use buildmem::observe::bpf::{CgroupLeaf, LostCount, Tracker, TrackerConfig};
use buildmem::reading::Reading;
use buildmem::units::ByteSize;
use buildmem_common::{ARGV_CAPACITY, TRACKED_CAPACITY};
use slowness::slowness;

fn workload() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| support::example("workload"))
}

/// A process as its events tell it.
#[derive(Clone, Debug)]
struct Process {
    tgid: Tgid,
    parent: Tgid,
    shared_mm: bool,
    execs: Vec<CommandLine>,
    ended_images: Vec<Reading<ByteSize>>,
    left_for: Vec<String>,
    oom_killed: bool,
    exit: Option<(ExitStatus, Reading<ByteSize>)>,
}

impl Process {
    fn status(&self) -> ExitStatus {
        self.exit.as_ref().expect("the process exited").0
    }

    /// The high-water mark in MiB.
    #[expect(clippy::cast_precision_loss, reason = "a figure to compare")]
    fn peak(&self) -> f64 {
        match &self.exit.as_ref().expect("the process exited").1 {
            Reading::Known { value, .. } => value.bytes() as f64 / f64::from(1 << 20),
            Reading::Missing(why) => panic!("no high-water mark: {why}"),
        }
    }

    /// Checks that the last image has a few MiB, below an inherited maximum that is not its own.
    fn assert_small_after_a_large_image(&self) {
        assert!(self.peak() < 8.0, "{self:?}");
    }

    fn peak_is_missing(&self) -> bool {
        self.exit
            .as_ref()
            .is_some_and(|(_, peak)| peak.value().is_none())
    }
}

/// What was seen of a command and its descendants.
struct Seen {
    root: Tgid,
    processes: Vec<Process>,
    lost: Vec<LostCount>,
    stdout: String,
}

impl Seen {
    fn root(&self) -> &Process {
        &self.processes[0]
    }

    fn children(&self) -> &[Process] {
        &self.processes[1..]
    }

    fn only_child(&self) -> &Process {
        match self.children() {
            [child] => child,
            other => panic!("not one child, but {other:#?}"),
        }
    }

    /// What was lost for certain. What may have been is caught by comparing with the workload's count.
    fn surely_lost(&self) -> Vec<LostCount> {
        let mut lost = self.lost.clone();
        lost.retain(|lost| !lost.at_most);
        lost
    }

    /// What the workload counted itself.
    fn counted(&self) -> usize {
        self.stdout.trim().parse().expect("the workload's count")
    }
}

fn config() -> TrackerConfig {
    TrackerConfig {
        page_size: rustix::param::page_size() as u64,
        diagnostics: false,
        tracked_capacity: TRACKED_CAPACITY,
    }
}

fn start_tracker() -> Tracker {
    start_tracker_with(config())
}

fn start_tracker_with(config: TrackerConfig) -> Tracker {
    Tracker::start(config).unwrap_or_else(|problem| panic!("{problem}; {:?}", problem.help))
}

/// Runs a command to its end and that of everything that it left behind.
fn watch(command: &mut Command) -> Seen {
    watch_with(start_tracker(), command)
}

fn watch_with(mut tracker: Tracker, command: &mut Command) -> Seen {
    let mut processes: Vec<Process> = Vec::new();
    tracker.arm().unwrap();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    tracker.disarm().unwrap();
    let root = Tgid(child.id());
    let mut last_event = Instant::now();
    loop {
        tracker.drain(
            |_| None,
            |event| {
                last_event = Instant::now();
                apply(&mut processes, event.event);
            },
        );
        let all_ended = !processes.is_empty() && processes.iter().all(|p| p.exit.is_some());
        if all_ended && child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(
            last_event.elapsed() < Duration::from_secs(30),
            "nothing happens any more, {:?} were lost: {processes:#?}",
            tracker.lost().unwrap()
        );
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    Seen {
        root,
        processes,
        lost: tracker.lost().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
    }
}

fn apply(processes: &mut Vec<Process>, event: EventKind) {
    fn find(processes: &mut [Process], tgid: Tgid) -> &mut Process {
        processes
            .iter_mut()
            .rfind(|process| process.tgid == tgid)
            .unwrap_or_else(|| panic!("an event of {tgid}, which nobody forked"))
    }
    match event {
        EventKind::Forked {
            parent,
            child,
            shares_mm,
        } => processes.push(Process {
            tgid: child,
            parent,
            shared_mm: shares_mm,
            execs: Vec::new(),
            ended_images: Vec::new(),
            left_for: Vec::new(),
            oom_killed: false,
            exit: None,
        }),
        EventKind::Execed {
            tgid,
            argv,
            ended_image,
        } => {
            let process = find(processes, tgid);
            process.execs.push(argv);
            process.ended_images.push(ended_image);
        }
        EventKind::Exited {
            tgid,
            status,
            rss_high_water,
        } => {
            let process = find(processes, tgid);
            assert!(process.exit.is_none(), "{tgid} exited twice");
            let status = status.expect("eBPF sees how a process ends");
            process.exit = Some((status, rss_high_water));
        }
        EventKind::CgroupLeft { tgid, cgroup } => find(processes, tgid).left_for.push(cgroup),
        EventKind::OomKilled { tgid } => find(processes, tgid).oom_killed = true,
        other => panic!("an event that the programs do not tell: {other:?}"),
    }
}

/// A workload's command.
fn run(arguments: &[&str]) -> Command {
    let mut command = Command::new(workload());
    command.args(arguments);
    command
}

fn assert_near(measured: f64, expected: f64, tolerance: f64) {
    assert!(
        (measured - expected).abs() <= expected * tolerance,
        "{measured:.2} MiB is not {expected:.2} MiB within {:.0} %",
        tolerance * 100.0
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_storm_of_ten_thousand_short_processes_is_seen_completely() {
    let storm = 10_000 / slowness() as usize;
    let seen = watch(&mut run(&["storm", &storm.to_string()]));
    assert_eq!(seen.surely_lost(), []);
    assert_eq!(seen.counted(), storm);
    assert_eq!(seen.children().len(), storm);
    for child in seen.children() {
        assert_eq!(child.parent, seen.root);
        assert_eq!(child.execs.len(), 1);
        assert_eq!(child.status(), ExitStatus::Code(0));
        assert!(child.peak() < 8.0, "{child:?}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn children_that_never_exec_are_seen_with_their_codes() {
    let seen = watch(&mut run(&["never-exec", "300"]));
    assert_eq!(seen.surely_lost(), []);
    assert_eq!(seen.counted(), 300);
    assert_eq!(seen.children().len(), 300);
    for (index, child) in seen.children().iter().enumerate() {
        assert_eq!(child.execs, []);
        assert!(!child.shared_mm);
        let code = i32::try_from(index % 100).unwrap();
        assert_eq!(child.status(), ExitStatus::Code(code));
        // Of a copy that touches next to nothing, kernels that count by CPU may have stored no page.
        assert!(child.peak_is_missing() || child.peak() < 8.0, "{child:?}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_for_which_there_is_no_room_is_counted_and_the_others_are_right() {
    let tracker = start_tracker_with(TrackerConfig {
        tracked_capacity: 64,
        ..config()
    });
    // The shell and the crowd are two of the 64. When the crowd has ended, there is room again.
    let program = workload().to_str().unwrap();
    let script = r#""$0" crowd 200; "$0" never-exec 50; exit 9"#;
    let seen = watch_with(tracker, Command::new("sh").args(["-c", script, program]));
    assert_eq!(seen.stdout, "200\n50\n");
    let [lost] = seen.surely_lost()[..] else {
        panic!("{:?}", seen.lost);
    };
    assert!(lost.source.starts_with("processes with their descendants"));
    assert_eq!(lost.count, 200 - 62);
    assert_eq!(seen.root().status(), ExitStatus::Code(9));
    let [crowd, others] = [0, 1].map(|index| {
        let workloads = seen
            .children()
            .iter()
            .filter(|child| !child.execs.is_empty());
        workloads.clone().nth(index).unwrap().tgid
    });
    for (parent, count) in [(crowd, 62), (others, 50)] {
        let children = seen
            .children()
            .iter()
            .filter(|child| child.parent == parent);
        let codes: Vec<ExitStatus> = children.map(Process::status).collect();
        // Those that came first.
        let expected: Vec<ExitStatus> = (0..count).map(ExitStatus::Code).collect();
        assert_eq!(codes, expected);
    }
    assert_eq!(seen.processes.len(), 1 + 2 + 62 + 50);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn processes_started_by_vfork_are_seen_with_memory_of_their_own() {
    let seen = watch(&mut run(&["vfork-exec", "500"]));
    assert_eq!(seen.surely_lost(), []);
    assert_eq!(seen.counted(), 500);
    assert_eq!(seen.children().len(), 500);
    for child in seen.children() {
        assert!(child.shared_mm);
        assert_eq!(child.execs.len(), 1);
        assert_eq!(child.ended_images[0].value(), None);
        child.assert_small_after_a_large_image();
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_failed_exec_after_vfork_leaves_a_process_without_memory() {
    let seen = watch(&mut run(&["vfork-fail", "20"]));
    assert_eq!(seen.surely_lost(), []);
    assert_eq!(seen.counted(), 20);
    assert_eq!(seen.children().len(), 20);
    for child in seen.children() {
        assert_eq!(child.execs, []);
        assert_eq!(child.status(), ExitStatus::Code(127));
        assert!(child.peak_is_missing());
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_peak_of_a_process_that_exits_at_once_is_exact() {
    // What the program itself needs is in both.
    let less = watch(&mut run(&["touch", "100"])).root().peak();
    let more = watch(&mut run(&["touch", "400"])).root().peak();
    assert_near(more - less, 300.0, 0.01);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_peak_is_the_highest_moment_and_not_the_last() {
    let touched = watch(&mut run(&["touch", "200"])).root().peak();
    let shrunk = watch(&mut run(&["shrink", "200", "50"])).root().peak();
    assert_near(shrunk, touched, 0.01);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_small_child_of_a_fat_parent_has_its_own_few_mebibytes() {
    for how in ["fork", "vfork"] {
        let seen = watch(&mut run(&["fat-parent", "400", how, "/bin/true"]));
        assert!(seen.root().peak() > 400.0, "{how}");
        let child = seen.only_child();
        child.assert_small_after_a_large_image();
        assert_eq!(child.shared_mm, how == "vfork");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn each_image_of_a_process_has_its_own_peak() {
    let program = workload().to_str().unwrap();
    let seen = watch(&mut run(&[
        "replace", "100", program, "replace", "200", program, "touch", "2",
    ]));
    let [root] = seen.processes.as_slice() else {
        panic!("{:#?}", seen.processes);
    };
    assert_eq!(root.execs.len(), 3);
    // The first exec ends the test's own image, which was shared.
    assert_eq!(root.ended_images[0].value(), None);
    for (image, mib) in [(1, 100), (2, 200)] {
        let peak = root.ended_images[image].value().unwrap();
        assert!(*peak > ByteSize::from_mib(mib), "{peak}");
        assert!(*peak < ByteSize::from_mib(mib + 8), "{peak}");
    }
    root.assert_small_after_a_large_image();
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn children_that_share_memory_each_show_what_they_could_reach() {
    let seen = watch(&mut run(&["shared-children", "4", "60", "50"]));
    assert_eq!(seen.children().len(), 4);
    for child in seen.children() {
        assert!((60.0..68.0).contains(&child.peak()), "{child:?}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn threads_are_not_processes() {
    let seen = watch(&mut run(&["threads", "100"]));
    assert_eq!(seen.processes.len(), 1);
    assert_eq!(seen.root().status(), ExitStatus::Code(0));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_exec_by_a_thread_keeps_the_process() {
    let program = workload().to_str().unwrap();
    let seen = watch(&mut run(&["thread-exec", program, "touch", "30"]));
    assert_eq!(seen.processes.len(), 1);
    let root = seen.root();
    assert_eq!(
        root.execs[1],
        CommandLine::from_args([program, "touch", "30"])
    );
    assert_eq!(root.status(), ExitStatus::Code(0));
    assert!((30.0..38.0).contains(&root.peak()), "{}", root.peak());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_daemon_that_left_session_and_parent_is_followed_to_its_end() {
    let seen = watch(&mut run(&["double-fork", "100"]));
    let [root, middle, daemon] = seen.processes.as_slice() else {
        panic!("{:#?}", seen.processes);
    };
    assert_eq!(middle.parent, root.tgid);
    assert_eq!(daemon.parent, middle.tgid);
    assert_eq!(daemon.status(), ExitStatus::Code(7));
}

/// The status that the programs read is what wait(2) tells this process.
#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_exit_status_is_what_wait_tells() {
    use std::os::unix::process::ExitStatusExt as _;

    for arguments in [
        &["nothing"][..],
        &["thread-exit", "42"],
        &["thread-kill"],
        &["leader-first", "group", "5"],
        &["leader-first", "alone", "5"],
        &["kill", "15"],
        &["kill", "6"],
        &["no such workload"],
    ] {
        let quiet = || {
            let mut command = run(arguments);
            command.stderr(Stdio::null());
            command
        };
        let waited = quiet().status().unwrap().into_raw();
        let seen = watch(&mut quiet());
        assert_eq!(seen.processes.len(), 1);
        let status = seen.root().status();
        assert_eq!(
            status,
            ExitStatus::from_wait_status(waited),
            "{arguments:?}"
        );
        match arguments {
            ["thread-exit", _] => assert_eq!(status, ExitStatus::Code(42)),
            ["thread-kill"] => assert_eq!(status, ExitStatus::Signal(9)),
            ["leader-first", "group", _] => assert_eq!(status, ExitStatus::Code(5)),
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn command_lines_are_exact() {
    let odd: [&[u8]; 6] = [b"nothing", b"", b"a\nb", b"\xff\xfe", b"--flag= x", b""];
    let long = vec![b'x'; ARGV_CAPACITY - 1000];
    let mut arguments: Vec<&[u8]> = odd.to_vec();
    arguments.push(&long);
    let mut command = Command::new(workload());
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    let seen = watch(&mut command);
    let program = workload().as_os_str().as_bytes();
    let expected = [program].into_iter().chain(arguments).map(<[u8]>::to_vec);
    assert_eq!(seen.surely_lost(), []);
    assert_eq!(seen.root().execs, [CommandLine::from_args(expected)]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_command_line_that_is_too_long_is_exact_up_to_its_cut() {
    let long = "0123456789".repeat(10_000);
    // At and around the capacity, and far beyond.
    let program = workload().to_str().unwrap();
    let fixed = program.len() + "nothing".len() + 3;
    for length in [
        ARGV_CAPACITY - fixed - 1,
        ARGV_CAPACITY - fixed,
        ARGV_CAPACITY - fixed + 1,
        100_000,
    ] {
        let argument = &long[..length];
        let seen = watch(&mut run(&["nothing", argument]));
        let whole = format!("{program}\0nothing\0{argument}\0").into_bytes();
        let kept = &whole[..whole.len().min(ARGV_CAPACITY)];
        let expected = CommandLine::from_kernel(kept, whole.len() as u64);
        assert_eq!(expected.cut_from.is_some(), whole.len() > ARGV_CAPACITY);
        assert_eq!(seen.root().execs, [expected]);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_number_that_is_used_again_is_another_process() {
    let seen = watch(&mut run(&["reuse-pid"]));
    let [_, first, second] = seen.processes.as_slice() else {
        panic!("{:#?}", seen.processes);
    };
    assert_eq!(first.tgid, second.tgid);
    assert_eq!(first.status(), ExitStatus::Code(1));
    assert_eq!(second.status(), ExitStatus::Code(2));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn processes_outside_the_build_are_not_reported() {
    let mut tracker = start_tracker();
    // Disarmed: not even the profiler's own children are the build's.
    assert!(
        run(&["never-exec", "50"])
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    tracker.arm().unwrap();
    // Armed: another thread of the profiler is not the one that starts the build.
    thread::spawn(|| {
        run(&["never-exec", "50"])
            .stdout(Stdio::null())
            .status()
            .unwrap()
    })
    .join()
    .unwrap();
    let mut events = Vec::new();
    tracker.drain(|_| None, |event| events.push(event));
    assert_eq!(events, []);

    let mut noise = run(&["never-exec", "1000"]);
    let noise = thread::spawn(move || noise.stdout(Stdio::null()).status().unwrap());
    let seen = watch_with(tracker, &mut run(&["never-exec", "20"]));
    noise.join().unwrap();
    assert_eq!(seen.processes.len(), 21);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_that_leaves_the_builds_cgroup_is_told() {
    let (root, hierarchy_id) = memory_hierarchy();
    let name = format!("build-mem-test-{}", std::process::id());
    let folders = [
        root.join(&name),
        root.join(&name).join("below"),
        root.join(format!("{name}-elsewhere")),
    ];
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    let procs = folders.each_ref().map(|folder| folder.join("cgroup.procs"));
    let mut tracker = start_tracker();
    tracker.set_leaf(CgroupLeaf {
        hierarchy_id,
        cgroup_id: fs::metadata(&folders[0]).unwrap().ino(),
        path: None,
    });
    let seen = watch_with(
        tracker,
        Command::new(workload()).arg("move-to").args(&procs),
    );
    for folder in folders.iter().rev() {
        fs::remove_dir(folder).unwrap();
    }
    let left = &seen.root().left_for;
    assert!(
        left.len() == 1 && left[0].ends_with(&format!("/{name}-elsewhere")),
        "{left:?}"
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_that_the_out_of_memory_killer_chose_is_told() {
    let (root, _) = memory_hierarchy();
    let folder = root.join(format!("build-mem-oom-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let limit = ["memory.max", "memory.limit_in_bytes"]
        .into_iter()
        .find(|file| fs::write(folder.join(file), "50M").is_ok());
    // With swap, the process would be slow instead of dead.
    for file in ["memory.swap.max", "memory.memsw.limit_in_bytes"] {
        let _ = fs::write(folder.join(file), "50M");
    }
    let program = workload().to_str().unwrap();
    let procs = folder.join("cgroup.procs");
    let seen = watch(&mut run(&[
        "move-and-become",
        procs.to_str().unwrap(),
        program,
        "touch",
        "200",
    ]));
    // The process can be a zombie of the cgroup for a moment.
    while fs::remove_dir(&folder).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(limit.is_some(), "no memory limit could be set");
    assert!(seen.root().oom_killed);
    assert_eq!(seen.root().status(), ExitStatus::Signal(9));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_programs_tell_what_they_do_when_asked() {
    struct Lines(Mutex<Vec<String>>);

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }

        fn log(&self, record: &log::Record) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().unwrap().push(line);
        }

        fn flush(&self) {}
    }

    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let mut tracker = start_tracker_with(TrackerConfig {
        diagnostics: true,
        ..config()
    });
    let long = "x".repeat(ARGV_CAPACITY);
    tracker.arm().unwrap();
    let mut child = run(&["nothing", &long]).spawn().unwrap();
    tracker.disarm().unwrap();
    child.wait().unwrap();
    tracker.flush_diagnostics();

    let lines = LINES.0.lock().unwrap();
    let pid = child.id();
    let own = std::process::id();
    for expected in [
        format!("TRACE process {own} forked {pid}"),
        format!("TRACE process {pid} called exec"),
        format!("TRACE process {pid} exited with wait status 0"),
    ] {
        assert!(lines.contains(&expected), "no `{expected}` in {lines:#?}");
    }
    let cut = format!("of which {ARGV_CAPACITY} are kept");
    assert!(lines.iter().any(|line| line.ends_with(&cut)), "{lines:#?}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn without_privilege_the_problem_says_what_to_do() {
    // Capabilities belong to a thread, capabilities(7).
    let problem = thread::spawn(|| {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).unwrap();
        Tracker::start(config()).err()
    })
    .join()
    .unwrap();
    let help = problem.unwrap().help.unwrap();
    assert_eq!(
        help,
        "whatever starts build-mem, such as a unit with `CapabilityBoundingSet=`, withholds some of CAP_BPF, \
         CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_OVERRIDE: allow them"
    );
}

/// The folder of this process's memory cgroup, and its hierarchy's number.
fn memory_hierarchy() -> (PathBuf, u32) {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            panic!("{line}");
        };
        let mount = if controllers.split(',').any(|name| name == "memory") {
            "/sys/fs/cgroup/memory"
        } else if id == "0" && fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap() {
            "/sys/fs/cgroup"
        } else {
            continue;
        };
        let folder = PathBuf::from(format!("{mount}{path}"));
        return (folder, id.parse().unwrap());
    }
    panic!("no memory cgroup in {cgroups}");
}

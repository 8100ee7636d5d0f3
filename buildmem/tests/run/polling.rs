//! `--tracker proc`, as a user without any privilege: also of whoever runs these tests, unless that is root.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use buildmem::event::{EventKind, ExitStatus, Note};
use buildmem::ids::Tgid;
use buildmem::report::{Report, Verdict};
use nix::sys::signal::Signal;

use crate::tool::{BUILD_MEM, LeftBehind, Project, Ran, Running, is_alive, mib, workload};

const NOBODY: u32 = 65534;

/// A project of a user who may do nothing, with programs that this user can reach.
struct Unprivileged {
    project: Project,
    programs: Project,
}

impl Unprivileged {
    fn new() -> Self {
        let (project, programs) = (Project::new(), Project::new());
        // The build's own folder may be closed to others.
        for (name, program) in [("build-mem", BUILD_MEM.as_ref()), ("workload", workload())] {
            fs::copy(program, programs.path(name)).unwrap();
        }
        fs::set_permissions(programs.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(project.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { project, programs }
    }

    /// `WRAPPER… build-mem ARGUMENTS…`, as that user.
    fn tool(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let program = self.programs.path("build-mem");
        let words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
        let words: Vec<&OsStr> = words.chain(arguments.iter().map(OsStr::new)).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.project.dir())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Measures a script of `sh -c`, in which `$0` is the workload. That shell outlives all it runs.
    fn measured(&self, options: &[&str], script: &str) -> Ran {
        Running::start(&mut self.measuring(&[], options, script)).end()
    }

    fn measuring(&self, wrapper: &[&str], options: &[&str], script: &str) -> Command {
        let run = ["run", "--tracker", "proc", "--label", "x"];
        let script = format!("{script}\nexit $?");
        let arguments = [&run, options, &["--", "sh", "-c", &script]].concat();
        let mut command = self.tool(wrapper, &arguments);
        command.arg(self.programs.path("workload"));
        command
    }
}

const RULES: &str =
    "[[stage]]\nname = 'large'\nmatch = 'hold 60'\n[[stage]]\nname = 'small'\nmatch = 'hold 30'\n";

#[test]
fn without_privileges_what_lives_long_enough_is_seen_and_the_result_says_that_the_rest_is_not() {
    let user = Unprivileged::new();
    user.project.write("build-mem.toml", RULES);
    let script = r#""$0" hold 60 500 && sh -c '"$0" hold 30 400; exit 4' "$0"; true"#;
    let ran = user.measured(&[], script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.profiler.tracker, "proc");
    assert_eq!(
        (report.verdict, report.headline.complete),
        (Verdict::Pass, false)
    );
    let why = |what: &str| report.notes.iter().any(|note| note.what == what);
    assert!(why("processes"), "{:?}", report.notes);
    assert!(
        ran.stderr()
            .contains("seen by `proc`: short ones may have been missed")
    );

    for (size, stage, lived_s) in [(60.0, "large", 0.5), (30.0, "small", 0.4)] {
        let mut of_stage = report.processes.top.iter().filter(|top| top.stage == stage);
        let process = of_stage
            .find(|top| top.command.contains("workload hold"))
            .unwrap_or_else(|| panic!("{stage}: {:?}", report.processes));
        let peak = mib(process.peak_rss_bytes);
        assert!((size..size + 6.0).contains(&peak), "{stage}: {peak} MiB");
        let lived = process.ended_s.unwrap() - process.started_s;
        assert!((lived_s - 0.1..lived_s + 2.0).contains(&lived), "{lived} s");
    }
    let peak = report.peak.as_ref().unwrap();
    let held = mib(peak.pss_bytes);
    assert!((60.0..70.0).contains(&held), "{held} MiB");

    // Who forked whom: build-mem the script, that one the large workload and the inner shell, which forked the small one.
    let mut forks = Vec::new();
    let mut lines = Vec::new();
    for event in user.project.events("x") {
        match event {
            EventKind::Forked { parent, child, .. } => forks.push((parent, child)),
            EventKind::Execed { tgid, argv, .. } => lines.push((tgid, argv.joined())),
            _ => {}
        }
    }
    let who = |runs: &str| {
        let found = lines.iter().find(|(_, line)| line.ends_with(runs));
        found.unwrap_or_else(|| panic!("no {runs} in {lines:?}")).0
    };
    let parent = |child: Tgid| forks.iter().find(|(_, forked)| *forked == child).unwrap().0;
    let (large, small) = (who("hold 60 500"), who("hold 30 400"));
    assert_eq!(parent(parent(large)), Tgid(ran.pid));
    assert_eq!(parent(parent(small)), parent(large));

    let told = user
        .tool(&[], &["report", "x", "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Report>(&told.stdout).unwrap(),
        report
    );
}

#[test]
fn the_builds_own_exit_code_passes_through_and_strict_does_not_trust_a_poller() {
    for (script, options, code, exit) in [
        ("true", &["-q"][..], 0, (Some(0), None)),
        ("exit 3", &["-q"], 3, (Some(3), None)),
        ("kill -TERM $$", &["-q"], 143, (None, Some(15))),
        ("sleep 0.2; kill -KILL $$", &["-q"], 137, (None, Some(9))),
        ("true", &["-q", "--strict"], 123, (Some(0), None)),
    ] {
        let ran = Unprivileged::new().measured(options, script);
        assert_eq!(ran.code(), code, "{script}: {}", ran.stderr());
        let report = ran.report();
        assert_eq!((report.exit.code, report.exit.signal), exit, "{script}");
        let shell = &report.processes.top;
        assert!(shell.iter().all(|top| top.ended_s.is_some()), "{shell:?}");
    }
}

#[test]
fn orphans_are_followed_and_asked_for_their_status_and_a_daemon_is_told() {
    let user = Unprivileged::new();
    let script = r#"(sh -c 'sleep 0.5; exit 7' &) ; (sh -c 'kill -KILL $$' &) ; "$0" double-fork 20000; sleep 0.8"#;
    let ran = user.measured(&["-q"], script);
    let report = ran.report();
    let [daemon] = report.processes.left_running.as_slice() else {
        panic!("{:?}", report.processes)
    };
    let _end = LeftBehind(daemon.pid);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    assert!(daemon.command.ends_with("double-fork 20000"), "{daemon:?}");
    assert!(daemon.peak_rss_bytes.is_some_and(|bytes| bytes > 0));
    assert!(is_alive(daemon.pid), "it is not build-mem's to end");
    let statuses: Vec<ExitStatus> = user
        .project
        .events("x")
        .into_iter()
        .filter_map(|event| match event {
            EventKind::Exited { status, .. } => status,
            _ => None,
        })
        .collect();
    for expected in [ExitStatus::Code(7), ExitStatus::Signal(9)] {
        assert!(statuses.contains(&expected), "{statuses:?}");
    }
}

#[test]
fn what_build_mem_was_started_with_is_no_part_of_the_build() {
    let user = Unprivileged::new();
    // The shell becomes build-mem, and its child is build-mem's then.
    let wrapper = [
        "sh",
        "-c",
        r#"sleep 21 > /dev/null 2>&1 & echo $!; exec "$0" "$@""#,
    ];
    let ran = Running::start(&mut user.measuring(&wrapper, &["-q"], "sleep 0.3")).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let stdout = ran.stdout();
    let before: u32 = stdout.lines().next().unwrap().parse().unwrap();
    let _end = LeftBehind(before);
    assert!(is_alive(before));
    let report = ran.report();
    assert_eq!(report.processes.left_running, []);
    let recorded = user.project.read(".build-mem/recording-x.jsonl");
    assert!(recorded.contains(r#"["sleep","0.3"]"#) && !recorded.contains(r#"["sleep","21"]"#));
}

#[test]
fn a_signal_to_build_mem_ends_the_build_and_the_result_is_there() {
    let user = Unprivileged::new();
    // One process: a shell may lose the signal for a program that it is just starting.
    let script = r#"echo $$ > started; exec "$0" hold 20 30000"#;
    let mut command = user.measuring(&[], &["-q"], script);
    let mut running = Running::start(command.process_group(0));
    running.wait_for(&user.project.path("started"));
    // As Ctrl-C does: to all of the group.
    nix::sys::signal::killpg(crate::tool::nix_pid(running.pid()), Signal::SIGINT).unwrap();
    let ran = running.end();
    assert_eq!(ran.code(), 130, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert_eq!(report.exit.signal, Some(2));
    assert_eq!(report.processes.left_running, []);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
}

#[test]
fn who_may_not_load_ebpf_programs_is_told_of_the_poller_and_gets_it_only_when_asked_for() {
    let user = Unprivileged::new();
    let ran = Running::start(&mut user.tool(&[], &["run", "--", "true"])).end();
    assert_eq!(ran.code(), 125);
    assert!(
        ran.stderr().contains("`--tracker proc`"),
        "{}",
        ran.stderr()
    );
    assert!(!user.project.path(".build-mem").exists());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn as_root_the_poller_has_the_kernels_headline_and_is_still_not_complete() {
    let project = Project::new();
    let script = r#""$0" hold 80 500; exit $?"#;
    let run = [
        "run",
        "--tracker",
        "proc",
        "--label",
        "x",
        "--strict",
        "--",
        "sh",
        "-c",
        script,
    ];
    let ran = Running::start(project.tool(run).arg(workload())).end();
    assert_eq!(ran.code(), 123, "{}", ran.stderr());
    let report = ran.report();
    assert!(!report.headline.complete);
    let text = ran.stderr();
    if let Some(headline) = report.headline.bytes.map(mib) {
        assert!((80.0..100.0).contains(&headline), "{headline} MiB");
        assert!(text.contains("not known to be complete"), "{text}");
    } else {
        // Before Linux 5.19 only eBPF can read it on cgroup v2.
        let why =
            |note: &Note| note.what == "headline.bytes" && note.why.contains("no memory.peak");
        assert!(report.notes.iter().any(why), "{:?}", report.notes);
    }
    let top = &report.processes.top[0];
    assert!(top.command.ends_with("hold 80 500"), "{top:?}");
    assert!((80.0..86.0).contains(&mib(top.peak_rss_bytes)), "{top:?}");
    assert_eq!(
        crate::tool::leaves_of(ran.pid),
        [] as [std::path::PathBuf; 0]
    );
}

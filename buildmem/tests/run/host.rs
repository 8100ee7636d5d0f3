//! What needs a whole host: systemd as its first process, docker and podman that may do everything, which `cargo xtask vm --kernel host` has.

mod units;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use buildmem::report::{Report, Verdict};
use nix::sys::signal::Signal;

use crate::tool::{BUILD_MEM, LeftBehind, MIB, Project, Ran, Running, is_alive, workload};

/// The image that the host's start has given to both.
const IMAGE: &str = "build-mem-test";

/// Neither root nor whoever runs the tests.
const USER: u32 = 65534;

/// What a build in a container of these must not have, of capabilities(7): CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON and
/// CAP_BPF.
const OURS_ALONE: u64 = 1 << 19 | 1 << 21 | 1 << 38 | 1 << 39;

/// A project that the user of the build can write, with the workload in it: a container sees nothing else.
fn project() -> Project {
    let project = Project::new();
    fs::copy(workload(), project.path("workload")).unwrap();
    std::os::unix::fs::chown(project.dir(), Some(USER), Some(USER)).unwrap();
    project
}

fn in_container(project: &Project, options: &[&str], script: &str) -> Ran {
    let mut tool = project.tool(["run", "--label", "x", "--image", IMAGE]);
    tool.args(options).args(["--", "sh", "-c", script]);
    Running::start(&mut tool).end()
}

/// What a build has written that ran `grep Cap /proc/self/status`, by name.
fn capabilities(project: &Project, file: &str) -> Vec<(String, u64)> {
    let text = project.read(file);
    let line = |line: &str| {
        let (name, set) = line.split_once(":\t").unwrap();
        (name.to_owned(), u64::from_str_radix(set, 16).unwrap())
    };
    text.lines().map(line).collect()
}

fn assert_complete(report: &Report) {
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(report.profiler.events_lost, 0);
    assert_eq!(report.processes.forks, report.processes.exits);
    assert!(report.headline.complete, "{:?}", report.headline);
    assert_eq!(report.headline.source.as_deref(), Some("memory.peak"));
}

/// 150 MiB at once, and 41 processes: a shell, two of the workload, and 38 more.
fn measures_a_build(options: &[&str]) {
    let project = project();
    let script = "grep Cap /proc/self/status > capabilities; id -u > user
        ./workload hold 100 3000 & ./workload hold 50 3000; wait
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36; do
            /bin/true
        done";
    let ran = in_container(
        &project,
        &[options, &["--user", &USER.to_string()]].concat(),
        script,
    );
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_complete(&report);
    assert_eq!(report.processes.forks, 41);
    assert_eq!(report.host.image.as_deref(), Some(IMAGE));
    let peak = report.headline.bytes.unwrap();
    // build-mem is in it, too, and what it maps has been read for this container.
    assert!((150 * MIB..190 * MIB).contains(&peak), "{peak}");
    let held = report.peak.unwrap().pss_bytes;
    assert!((149 * MIB..156 * MIB).contains(&held), "{held}");

    assert_eq!(project.read("user").trim(), USER.to_string());
    for (name, set) in capabilities(&project, "capabilities") {
        let allowed = if name == "CapBnd" { !OURS_ALONE } else { 0 };
        assert_eq!(set & !allowed, 0, "{name}: {set:x}");
    }
    for file in ["user", ".build-mem", ".build-mem/result-x.json"] {
        assert_eq!(fs::metadata(project.path(file)).unwrap().uid(), USER);
    }
}

/// The build is root, as it is where nobody else has called.
fn leaves_root_what_it_has(options: &[&str]) {
    let project = project();
    let script = "grep Cap /proc/self/status > capabilities; chown 5:5 workload; mkdir -p /a/b";
    let ran = in_container(&project, options, script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    for (name, set) in capabilities(&project, "capabilities") {
        assert_eq!(set & OURS_ALONE, 0, "{name}: {set:x}");
    }
    assert_eq!(fs::metadata(project.path("workload")).unwrap().uid(), 5);
}

fn is_kept_to_a_ceiling(options: &[&str]) {
    let project = project();
    let options = [options, &["--memory", "120m"]].concat();
    let ran = in_container(&project, &options, "./workload touch 300; exit $?");
    assert_eq!(ran.code(), 137, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::OutOfMemory);
    assert_eq!(report.headline.limit_bytes, Some(120 * MIB));
    assert!(report.headline.saturated);
    let [victim] = report.oom.victims.as_slice() else {
        panic!("{:?}", report.oom)
    };
    assert!(victim.command.ends_with(" touch 300"), "{victim:?}");
}

/// The words by which others run build-mem in a container with these options.
fn inside(project: &Project, runtime: &str, options: &[&str]) -> Command {
    let folder = project.dir().display();
    let mut command = Command::new(runtime);
    command
        .args(["run", "--rm", &format!("--volume={folder}:{folder}")])
        .arg(format!("--volume={BUILD_MEM}:/usr/local/bin/build-mem:ro"))
        .arg(format!("--workdir={folder}"))
        .args(options)
        .arg(IMAGE);
    command
}

fn assert_measured_inside(ran: &Ran) -> Report {
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_complete(&report);
    assert_eq!(report.processes.forks, 2);
    let peak = report.headline.bytes.unwrap();
    assert!((80 * MIB..120 * MIB).contains(&peak), "{peak}");
    report
}

/// Where there are other processes, here a shell, or the cgroup file system is read-only, the container's cgroup stands in
/// for the build's.
fn falls_back_inside(runtime: &str, options: &[&str]) {
    let project = project();
    let script = "build-mem run --label x -- sh -c './workload hold 80 1000; exit $?'; exit $?";
    let mut command = inside(&project, runtime, options);
    let ran = Running::start(command.args(["sh", "-c", script])).end();
    let report = assert_measured_inside(&ran);
    let why = report.notes.iter().find(|note| note.what == "headline");
    assert!(why.unwrap().why.contains("no cgroup of its own"), "{why:?}");
}

/// Where build-mem is alone in the container, it can step aside, and the build has a cgroup of its own.
fn steps_aside_inside(runtime: &str) {
    let project = project();
    let mut command = inside(&project, runtime, &["--privileged"]);
    command.args(["build-mem", "run", "--label", "x", "--", "sh", "-c"]);
    let ran = Running::start(command.arg("./workload hold 80 1000; exit $?")).end();
    let report = assert_measured_inside(&ran);
    let why = report.notes.iter().find(|note| note.what == "headline");
    assert_eq!(why, None);
    assert!(report.headline.bytes.unwrap() < 90 * MIB);
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn a_user_with_a_delegated_cgroup_has_a_headline_without_root() {
    let project = project();
    let ran = Running::start(
        Command::new("systemd-run")
            .args(["--quiet", "--wait", "--pipe", "--property=Delegate=yes"])
            .arg(format!("--working-directory={}", project.dir().display()))
            .args([format!("--uid={USER}"), format!("--gid={USER}")])
            .args([BUILD_MEM, "run", "--tracker", "proc", "--label", "x", "--"])
            .args(["sh", "-c", "./workload hold 80 1000; exit $?"]),
    )
    .end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let headline = ran.report().headline;
    assert_eq!(
        headline.source.as_deref(),
        Some("memory.peak"),
        "{}",
        ran.stderr()
    );
    let peak = headline.bytes.unwrap();
    assert!((80 * MIB..90 * MIB).contains(&peak), "{peak}");
}

/// The scopes of systemd's that are ours.
fn scopes() -> String {
    let units = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "build-mem-*",
    ];
    let output = Command::new("systemctl").args(units).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn systemd_has_a_scope_for_the_build_until_its_end() {
    let project = Project::new();
    let ran = project
        .measured_script(r#"systemctl list-units --plain 'build-mem-*' > units; "$0" hold 60 500"#);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_complete(&report);
    let cgroup = report.headline.cgroup.unwrap();
    let [slice, scope, leaf] = cgroup
        .trim_start_matches('/')
        .split('/')
        .collect::<Vec<_>>()[..]
    else {
        panic!("{cgroup}");
    };
    assert_eq!(slice, "system.slice");
    assert!(
        scope.strip_suffix(".scope").is_some() && leaf.starts_with("build-mem-"),
        "{cgroup}"
    );
    let units = project.read("units");
    assert!(
        units.contains(scope) && units.contains("running"),
        "{units}"
    );
    assert_eq!(scopes(), "");
    assert!(
        !std::path::Path::new("/sys/fs/cgroup")
            .join(slice)
            .join(scope)
            .exists()
    );
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn systemd_leaves_the_leaf_alone_when_it_begins_anew() {
    let project = Project::new();
    let script = r#""$0" hold 60 1000; systemctl daemon-reload; systemctl daemon-reexec
        systemctl set-property --runtime system.slice MemoryHigh=2G; "$0" hold 90 1000"#;
    let ran = project.measured_script(script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_complete(&report);
    let peak = report.headline.bytes.unwrap();
    assert!((90 * MIB..110 * MIB).contains(&peak), "{peak}");
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn a_scope_of_a_killed_run_goes_with_its_last_process() {
    let project = Project::new();
    let mut killed = Running::start(&mut project.tool([
        "run",
        "--label",
        "killed",
        "--",
        "sh",
        "-c",
        "sleep 600 & echo $! > pid; wait",
    ]));
    killed.wait_for(&project.path("pid"));
    let left: u32 = project.read("pid").trim().parse().unwrap();
    let _left = LeftBehind(left);
    killed.signal(Signal::SIGKILL);
    drop(killed);
    assert!(scopes().contains(".scope"), "{}", scopes());
    assert!(is_alive(left));
    // The next run takes what is left out of the leaf, and systemd takes the scope.
    let ran = project.measured(["true"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(is_alive(left));
    assert_eq!(scopes(), "");
}

macro_rules! with_each {
    ($($name:ident: $test:ident($($argument:expr),*);)*) => {
        $(
            #[test]
            #[ignore = "needs docker and podman on a whole host: cargo xtask vm --kernel host"]
            fn $name() {
                $test($($argument),*);
            }
        )*
    };
}

with_each! {
    docker_measures_a_build: measures_a_build(&["--runtime", "docker"]);
    docker_with_everything_measures_a_build:
        measures_a_build(&["--runtime", "docker", "--container-privileges", "full"]);
    podman_measures_a_build: measures_a_build(&["--runtime", "podman"]);
    podman_with_everything_measures_a_build:
        measures_a_build(&["--runtime", "podman", "--container-privileges", "full"]);
    docker_leaves_root_what_it_has: leaves_root_what_it_has(&["--runtime", "docker"]);
    docker_with_everything_leaves_root_what_it_has:
        leaves_root_what_it_has(&["--runtime", "docker", "--container-privileges", "full"]);
    podman_leaves_root_what_it_has: leaves_root_what_it_has(&["--runtime", "podman"]);
    docker_keeps_a_build_to_a_ceiling: is_kept_to_a_ceiling(&["--runtime", "docker"]);
    podman_keeps_a_build_to_a_ceiling: is_kept_to_a_ceiling(&["--runtime", "podman"]);
    inside_a_privileged_container_of_docker: falls_back_inside("docker", &["--privileged"]);
    inside_a_privileged_container_of_podman: falls_back_inside("podman", &["--privileged"]);
    alone_in_a_privileged_container_of_docker: steps_aside_inside("docker");
    alone_in_a_privileged_container_of_podman: steps_aside_inside("podman");
    inside_a_container_of_docker_with_the_least:
        falls_back_inside("docker", &["--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"]);
    inside_a_container_of_podman_with_the_least:
        falls_back_inside("podman", &["--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"]);
}

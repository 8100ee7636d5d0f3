//! build-mem in units of systemd's: what bounds them, what stops them, and where the leaf is. On cgroup v2 and on a hybrid host.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use buildmem::report::{Report, Verdict};

use super::scopes;
use crate::slowness::slowness;
use crate::tool::{BUILD_MEM, LeftBehind, MIB, Project, Ran, Running, is_alive, workload};

/// A service, stopped at the latest with its test.
struct Service<'a> {
    name: String,
    project: &'a Project,
    command: Command,
}

impl<'a> Service<'a> {
    /// One of this name, with these options, that runs a program in the project and ends with it.
    fn new(project: &'a Project, name: &str, options: &[&str]) -> Self {
        let mut command = Command::new("systemd-run");
        command
            .args(["--quiet", "--wait", "--pipe", "--collect"])
            .arg(format!("--unit={name}"))
            .arg(format!("--working-directory={}", project.dir().display()))
            .args(options);
        let name = format!("{name}.service");
        Self {
            name,
            project,
            command,
        }
    }

    /// The same, started by another program within it.
    fn under(mut self, wrapper: &[&str]) -> Self {
        self.command.args(wrapper);
        self
    }

    /// Has build-mem measure a script in which `$1` is the workload.
    fn measure(&mut self, script: &str) -> Running {
        // In a file: in words of its own systemd would take `$$` for `$`.
        self.project.write("script", script);
        self.command
            .args([BUILD_MEM, "run", "--label", "x", "--", "sh", "script"])
            .arg(workload());
        Running::start(&mut self.command)
    }

    /// Runs a script in which `$1` is the workload, and `$2` is build-mem.
    fn run(&mut self, script: &str) -> Ran {
        self.project.write("script", script);
        self.command.args(["sh", "script"]);
        self.command.arg(workload()).arg(BUILD_MEM);
        Running::start(&mut self.command).end()
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // It has ended already, in a test that passes.
        let mut stop = Command::new("systemctl");
        let _ = stop
            .args(["stop", &self.name])
            .stderr(Stdio::null())
            .status();
    }
}

fn systemctl(arguments: &[&str]) {
    let status = Command::new("systemctl").args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// Where the leaf was, and of which version the memory controller is.
fn cgroup(report: &Report) -> (String, Option<u8>) {
    let cgroup = report.headline.cgroup.clone().unwrap();
    (cgroup, report.host.cgroup_version)
}

/// Whether the memory controller is on v1, beside v2.
fn is_hybrid() -> bool {
    Path::new("/sys/fs/cgroup/unified").exists()
}

fn assert_held(report: &Report, mib: u64) {
    let source = match report.host.cgroup_version {
        Some(1) => "memory.max_usage_in_bytes",
        _ => "memory.peak",
    };
    assert_eq!(report.headline.source.as_deref(), Some(source));
    let peak = report.headline.bytes.unwrap();
    assert!((mib * MIB..(mib + 20) * MIB).contains(&peak), "{peak}");
}

/// systemd removes a scope a moment after its last process has ended.
fn assert_no_scope() {
    let deadline = Instant::now() + Duration::from_secs(5) * slowness();
    while !scopes().is_empty() {
        assert!(Instant::now() < deadline, "{}", scopes());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn what_systemd_does_to_all_units_leaves_the_build_in_its_leaf() {
    let project = Project::new();
    let script = r#""$1" hold 60 1000
        systemctl daemon-reload
        systemctl daemon-reexec
        systemctl set-property --runtime measured-anew.service MemoryHigh=1G CPUWeight=50
        grep -e :memory: -e ^0:: /proc/self/cgroup > cgroups
        "$1" hold 90 1000; exit $?"#;
    let mut service = Service::new(&project, "measured-anew", &[]);
    let ran = service.measure(script).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::Pass);
    assert_held(&report, 90);
    let (cgroup, version) = cgroup(&report);
    let cgroups = project.read("cgroups");
    assert!(cgroups.contains(&format!(":{cgroup}\n")), "{cgroups}");
    // On v1 any cgroup may have children: the leaf is in our own.
    let place = match version {
        Some(1) => "/system.slice/measured-anew.service/build-mem-",
        _ => "/system.slice/build-mem-",
    };
    assert!(cgroup.starts_with(place), "{cgroup}");
    assert_eq!(cgroup.contains(".scope/"), version == Some(2), "{cgroup}");
    assert_no_scope();
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn what_bounds_a_services_memory_bounds_the_build_that_it_measures() {
    let project = Project::new();
    let mut service = Service::new(&project, "measured-bounds", &["--property=MemoryMax=120M"]);
    let ran = service.measure(r#""$1" touch 300; exit $?"#).end();
    let report = ran.report();
    assert_eq!(report.verdict, Verdict::OutOfMemory, "{}", ran.stderr());
    assert_eq!(report.headline.limit_bytes, Some(120 * MIB));
    assert!(report.headline.saturated);
    assert_no_scope();
}

/// systemd gives a scope a bound of its own, by default.
#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn a_build_may_have_as_many_tasks_as_the_service_that_measures_it() {
    for (allowed, expected) in [("70", "70"), ("infinity", "max")] {
        let project = Project::new();
        let allowed = format!("--property=TasksMax={allowed}");
        let mut service = Service::new(&project, "measured-tasks", &[&allowed]);
        // A controller of v1 has another hierarchy, in which the build is where the service is.
        let script = r#"for dir in /sys/fs/cgroup/"$(sed -n s/^0:://p /proc/self/cgroup)"/.. \
                /sys/fs/cgroup/pids/"$(sed -n s/^.*:pids://p /proc/self/cgroup)"; do
                cat "$dir/pids.max" 2> missing && exit
            done > tasks"#;
        let ran = service.measure(script).end();
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        assert_eq!(project.read("tasks").trim(), expected);
    }
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn a_build_ends_with_the_service_that_measures_it_and_the_result_is_there() {
    let project = Project::new();
    let mut service = Service::new(&project, "measured-stop", &[]);
    let script = r#"echo $$ > pid.part; "$1" hold 60 600000 & sleep 1; mv pid.part pid; wait"#;
    let mut running = service.measure(script);
    running.wait_for(&project.path("pid"));
    let shell: u32 = project.read("pid").trim().parse().unwrap();
    let _shell = LeftBehind(shell);
    systemctl(&["stop", "measured-stop.service"]);
    assert!(!is_alive(shell));
    let ran = running.end();
    let report = ran.report();
    assert_held(&report, 60);
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert_no_scope();
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn a_service_that_is_begun_anew_has_a_build_and_a_scope_anew() {
    const NAME: &str = "measured-again.service";
    let project = Project::new();
    project.write("script", r#"echo $$ >> pids; "$1" hold 60 600000; exit $?"#);
    let unit = Path::new("/run/systemd/system").join(NAME);
    let (folder, workload) = (project.dir().display(), workload().display());
    let text = format!(
        "[Service]\nWorkingDirectory={folder}\n\
         ExecStart={BUILD_MEM} run --force --label x -- sh script {workload}\n"
    );
    fs::write(&unit, text).unwrap();
    let builds_begun = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(20) * slowness();
        loop {
            let text = fs::read_to_string(project.path("pids")).unwrap_or_default();
            let pids: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
            if pids.len() == count {
                return pids;
            }
            assert!(Instant::now() < deadline, "{pids:?}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    systemctl(&["daemon-reload"]);
    systemctl(&["start", NAME]);
    let [first] = builds_begun(1)[..] else {
        unreachable!()
    };
    let scope_of_first = scopes();
    systemctl(&["restart", NAME]);
    let pids = builds_begun(2);
    assert!(!is_alive(first) && is_alive(pids[1]));
    let scope_of_second = scopes();
    let expected = usize::from(!is_hybrid());
    assert_eq!(
        scope_of_second.lines().count(),
        expected,
        "{scope_of_second}"
    );
    assert!(is_hybrid() || scope_of_first != scope_of_second);
    systemctl(&["stop", NAME]);
    fs::remove_file(&unit).unwrap();
    systemctl(&["daemon-reload"]);
    assert!(!is_alive(pids[1]));
    assert_no_scope();
}

/// Below a unit that manages others, as `user@1000.service` does the terminals of a desktop, systemd knows no slice.
#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn the_slices_of_another_systemd_are_passed_over() {
    let project = Project::new();
    let options = ["--slice=measured.slice", "--property=Delegate=yes"];
    let mut service = Service::new(&project, "measured-manager", &options);
    let script = r#"for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
            own="$root/measured.slice/measured-manager.service"
            [ ! -d "$own" ] || break
        done
        mkdir -p "$own/app.slice/terminal.scope"
        echo $$ > "$own/app.slice/terminal.scope/cgroup.procs"
        "$2" run --label x -- "$1" hold 60 500; exit $?"#;
    let ran = service.run(script);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_held(&report, 60);
    let (cgroup, version) = cgroup(&report);
    let place = match version {
        Some(1) => "/measured.slice/measured-manager.service/app.slice/terminal.scope/build-mem-",
        _ => "/measured.slice/build-mem-",
    };
    assert!(cgroup.starts_with(place), "{cgroup}");
    assert_no_scope();
}

/// There the number of a process is not the one by which systemd knows it. The leaf is made without it then, in a slice that
/// is systemd's.
#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn from_another_pid_namespace_systemd_is_not_asked_and_leaves_the_leaf_alone() {
    let project = Project::new();
    let wrapper = ["unshare", "--pid", "--fork", "--mount-proc"];
    let mut service = Service::new(&project, "measured-pids", &[]).under(&wrapper);
    let script = r#""$1" hold 60 500; echo > begun
        until [ -e go ]; do sleep 0.2; done
        "$1" hold 90 1000; exit $?"#;
    let mut running = service.measure(script);
    running.wait_for(&project.path("begun"));
    assert_eq!(scopes(), "");
    systemctl(&["daemon-reload"]);
    systemctl(&["daemon-reexec"]);
    let property = ["set-property", "--runtime", "system.slice"];
    systemctl(&[&property[..], &["MemoryHigh=2G", "CPUWeight=50"]].concat());
    project.write("go", "");
    let ran = running.end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_held(&report, 90);
    assert!(!cgroup(&report).0.contains(".scope"), "{report:?}");
}

/// systemd mounts cgroup v2 with `nsdelegate`: who is in a cgroup namespace can change nothing of its root.
#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --kernel host"]
fn in_a_cgroup_namespace_what_is_outside_is_left_alone() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let is_delegated = |line: &str| line.contains(" cgroup2 ") && line.contains("nsdelegate");
    assert!(mounts.lines().any(is_delegated), "{mounts}");
    let project = Project::new();
    let wrapper = ["unshare", "--cgroup", "--mount"];
    let mut service = Service::new(&project, "measured-namespace", &[]).under(&wrapper);
    let mount = if is_hybrid() {
        "umount --lazy /sys/fs/cgroup/memory && mount -t cgroup -o memory memory /sys/fs/cgroup/memory"
    } else {
        "umount --lazy /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    };
    let ran = service.run(&format!(
        r#"{mount} && "$2" run --label x -- "$1" hold 60 500; exit $?"#
    ));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_held(&report, 60);
    let is_shared = report
        .notes
        .iter()
        .any(|note| note.why.contains("no cgroup of its own"));
    // On v1 the leaf is a child of the namespace's root.
    assert_eq!(
        is_shared,
        report.host.cgroup_version == Some(2),
        "{:?}",
        report.notes
    );
    assert_no_scope();
}

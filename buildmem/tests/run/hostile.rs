//! A hostile project folder, and a hostile build: nothing outside of the folder is touched, no right is had that was not
//! there before, and how the build ended is told. `docs/security.md` names the tests that hold each of its lines.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::time::Duration;

use buildmem::report::Verdict;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::slowness::slowness;
use crate::tool::{Project, Ran, Running, leaves_of, workload};

/// Who writes in the folder beside root.
const NOBODY: u32 = 65534;

/// A project of nobody's, beside a file of root's.
struct Folder {
    project: Project,
    outside: Project,
}

const SECRET: &str = "root's own";

impl Folder {
    fn new() -> Self {
        let outside = Project::new();
        outside.write("file", SECRET);
        fs::set_permissions(outside.path("file"), fs::Permissions::from_mode(0o600)).unwrap();
        let project = Project::new();
        chown(project.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        Self { project, outside }
    }

    fn target(&self) -> PathBuf {
        self.outside.path("file")
    }

    /// As sudo calls it for nobody.
    fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        let mut tool = self.project.tool(["run", "--label", "x"]);
        tool.args(options).arg("--").args(command);
        tool.env("SUDO_UID", NOBODY.to_string())
            .env("SUDO_GID", NOBODY.to_string())
            .env("SUDO_USER", "nobody");
        let ran = Running::start(&mut tool).end();
        assert!(ran.took < Duration::from_secs(20) * slowness());
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
        self.assert_outside_untouched();
        ran
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(self.outside.read("file"), SECRET);
        let names: Vec<_> = fs::read_dir(self.outside.dir()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let metadata = fs::metadata(self.target()).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_output_folder_that_is_a_link_is_refused() {
    let folder = Folder::new();
    symlink(folder.outside.dir(), folder.project.path(".build-mem")).unwrap();
    let ran = folder.run(&[], &["true"]);
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    assert!(ran.stderr().contains("`.build-mem`"), "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn output_files_that_are_links_are_replaced_and_not_written_through() {
    for hard in [false, true] {
        let folder = Folder::new();
        fs::create_dir(folder.project.path(".build-mem")).unwrap();
        for name in [
            ".gitignore",
            "build-x.log",
            "recording-x.jsonl",
            "result-x.json",
            "timeline-x.csv",
        ] {
            let name = folder.project.path(".build-mem").join(name);
            if hard {
                fs::hard_link(folder.target(), name).unwrap();
            } else {
                symlink(folder.target(), name).unwrap();
            }
        }
        let refused = folder.run(&[], &["true"]);
        assert_eq!(refused.code(), 125, "{}", refused.stderr());
        let ran = folder.run(&["--force"], &["true"]);
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        let result = folder.project.path(".build-mem/result-x.json");
        let metadata = fs::symlink_metadata(result).unwrap();
        assert!(metadata.is_file() && metadata.uid() == NOBODY && metadata.nlink() == 1);
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_is_no_file_holds_nothing_up() {
    let folder = Folder::new();
    fs::create_dir(folder.project.path(".build-mem")).unwrap();
    let fifo = |name: &str| mkfifo(&folder.project.path(name), Mode::from_bits_truncate(0o666));
    fifo(".build-mem/recording-x.jsonl").unwrap();
    fifo("fifo.toml").unwrap();
    symlink("/dev/zero", folder.project.path("zero.toml")).unwrap();
    symlink(folder.target(), folder.project.path("secret.toml")).unwrap();
    folder.project.write("huge.toml", &"# \n".repeat(1 << 20));
    folder.project.write(
        "regex.toml",
        "[[stage]]\nname = 'a'\nmatch = '((a{1000}){1000}){1000}'\n",
    );
    for (config, told) in [
        ("fifo.toml", "not a regular file"),
        ("zero.toml", "not a regular file"),
        // Read as the user, who may not.
        ("secret.toml", "ermission denied"),
        ("huge.toml", "more than"),
        ("regex.toml", "it takes more than"),
    ] {
        let ran = folder.run(&["--config", config], &["true"]);
        assert_eq!(ran.code(), 125, "{config}: {}", ran.stderr());
        assert!(ran.stderr().contains(told), "{config}: {}", ran.stderr());
    }
    let ran = folder.run(&["--force"], &["true"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_rule_that_backtracks_elsewhere_takes_no_time() {
    let folder = Folder::new();
    folder.project.write(
        "build-mem.toml",
        "[[stage]]\nname = 'a'\nmatch = '^(a+)+$|(x*x*)*y'\n",
    );
    let long = "a".repeat(10_000) + "!";
    let ran = folder.run(&[], &["sh", "-c", "true; exit 0", &long]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_is_to_be_cleared_is_never_outside() {
    let folder = Folder::new();
    symlink(folder.outside.dir(), folder.project.path("link")).unwrap();
    for (path, code) in [
        ("link/file", 125),
        ("../outside", 125),
        ("/etc", 125),
        // The link itself is the project's.
        ("link", 0),
    ] {
        let config = format!("[clear]\npaths = ['{path}']\n");
        folder.project.write("build-mem.toml", &config);
        let ran = folder.run(&["--force"], &["true"]);
        assert_eq!(ran.code(), code, "{path}: {}", ran.stderr());
    }
    assert!(fs::symlink_metadata(folder.project.path("link")).is_err());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_full_disk_costs_the_files_and_not_the_builds_outcome() {
    let folder = Folder::new();
    // A disk that only this run sees.
    let script = format!(
        "mkdir .build-mem; mount -t tmpfs -o size=256k full .build-mem; exec {} run --label x -- sh -c \
         'head -c 1000000 /dev/zero; echo after; exit 7'",
        crate::tool::BUILD_MEM
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .current_dir(folder.project.dir());
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 7, "{}", ran.stderr());
    let stdout = String::from_utf8_lossy(&ran.stdout);
    assert!(stdout.contains("after\n"), "the output went on");
    let line = stdout.lines().last().unwrap();
    assert!(line.starts_with("[BUILD-MEM RESULT] "));
    assert!(line.contains("\"verdict\":\"build-failed\""));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_closes_its_streams_ends_with_its_own_code() {
    let folder = Folder::new();
    let ran = folder.run(&[], &["sh", "-c", "exec <&- >&- 2>&-; sleep 0.1; exit 9"]);
    assert_eq!(ran.code(), 9, "{}", ran.stderr());
    assert_eq!(ran.report().verdict, Verdict::BuildFailed);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_is_called_by_what_it_was_executed_with() {
    let folder = Folder::new();
    let program = workload().to_str().unwrap();
    let ran = folder.run(&[], &[program, "retitle", "60"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    let top = &report.processes.top[0].command;
    assert!(top.ends_with("workload retitle 60"), "{top}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_forks_until_it_may_not_is_measured() {
    let folder = Folder::new();
    // Bounded by itself, and by the limit of processes of a user that has no others.
    let script =
        "ulimit -u 60; i=0; while [ $i -lt 200 ]; do sleep 1 & i=$((i + 1)); done; wait; exit 5";
    let ran = folder.run(&[], &["bash", "-c", script]);
    assert_ne!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.profiler.events_lost, 0);
    assert!(
        (10..=60).contains(&report.processes.peak_live),
        "{:?}",
        report.processes.peak_live
    );
    assert_eq!(report.processes.forks, report.processes.exits);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_of_a_user_cannot_signal_build_mem_and_roots_interrupts_it() {
    let folder = Folder::new();
    let script = "for signal in TERM KILL STOP; do kill -$signal $PPID && exit 66; done; exit 0";
    let ran = folder.run(&[], &["bash", "-c", script]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(ran.report().verdict, Verdict::Pass);
    let project = Project::new();
    let ran = project.measured(["bash", "-c", "kill -TERM $PPID; sleep 30; exit 0"]);
    assert_eq!(ran.code(), 128 + 15, "{}", ran.stderr());
    assert_eq!(ran.report().verdict, Verdict::Interrupted);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_a_build_calls_itself_does_not_reach_the_terminal_as_commands() {
    let folder = Folder::new();
    let title = "\u{1b}]0;owned\u{7}\u{1b}[31mred\r\n\u{202e}";
    let ran = folder.run(
        &["--color", "never"],
        &["sh", "-c", "sleep 0.3; exit 0", title],
    );
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let is_for_terminals = |c| matches!(c, '\u{1b}' | '\u{7}' | '\u{202e}');
    assert!(!ran.stderr().contains(is_for_terminals), "{}", ran.stderr());
    // The line for programs: JSON, in which the last of them is a character like others.
    assert!(!ran.stdout().contains(['\u{1b}', '\u{7}']));
    let mut report = folder.project.tool(["report", "x", "--color", "never"]);
    let shown = Running::start(&mut report).end().stdout();
    assert!(!shown.contains(is_for_terminals), "{shown:?}");
}

//! A hostile project folder, and a hostile build: nothing outside of the folder is touched, no right is had that was not
//! there before, and how the build ended is told. `docs/security.md` names the tests that hold each of its lines.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
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

    fn make_out_dir(&self) -> PathBuf {
        let path = self.project.path(".build-mem");
        fs::create_dir(&path).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        path
    }

    /// As sudo calls it for nobody.
    fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        self.run_with(options, command, |_| {})
    }

    fn run_with(&self, options: &[&str], command: &[&str], set: impl Fn(&mut Command)) -> Ran {
        let mut tool = self.tool(&["run", "--label", "x"]);
        tool.args(options).arg("--").args(command);
        set(&mut tool);
        let ran = Running::start(&mut tool).end();
        assert!(ran.took < Duration::from_secs(20) * slowness());
        assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0]);
        self.assert_outside_untouched();
        ran
    }

    fn tool(&self, arguments: &[&str]) -> Command {
        let mut tool = self.project.tool(arguments);
        tool.env("SUDO_UID", NOBODY.to_string())
            .env("SUDO_GID", NOBODY.to_string())
            .env("SUDO_USER", "nobody");
        tool
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
        folder.make_out_dir();
        for name in [
            ".gitignore",
            "build-x.log",
            "recording-x.jsonl",
            "report-x.html",
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
fn a_report_is_written_as_the_user_and_over_nothing_but_a_file() {
    let folder = Folder::new();
    let ran = folder.run(&[], &["true"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    symlink(folder.target(), folder.project.path("link")).unwrap();
    let report = |file: PathBuf| {
        let mut tool = folder.tool(&["report", "x", "--format", "markdown", "-o"]);
        Running::start(tool.arg(file)).end()
    };
    let mine = folder.project.path("report.md");
    for _ in 0..2 {
        let written = report(mine.clone());
        assert_eq!(written.code(), 0, "{}", written.stderr());
        let metadata = fs::metadata(&mine).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (NOBODY, 0o644));
    }
    for file in [
        folder.project.path("link"),
        folder.target(),
        folder.outside.path("new"),
        PathBuf::from("/dev/null"),
    ] {
        let refused = report(file);
        assert_eq!(refused.code(), 125, "{}", refused.stderr());
        assert!(refused.stderr().contains("cannot write"));
        folder.assert_outside_untouched();
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_is_no_file_holds_nothing_up() {
    let folder = Folder::new();
    folder.make_out_dir();
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
    let mut command = Command::new("unshare");
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
    // The limit counts all processes of a user: one that has no others, in another run of these tests either.
    let user = 100_000 + std::process::id();
    chown(folder.project.dir(), Some(user), Some(user)).unwrap();
    let set = |tool: &mut Command| {
        tool.env("SUDO_UID", user.to_string())
            .env("SUDO_GID", user.to_string())
            .env_remove("SUDO_USER");
    };
    // Bounded by itself, too.
    let script =
        "ulimit -u 60; i=0; while [ $i -lt 200 ]; do sleep 1 & i=$((i + 1)); done; wait; exit 5";
    let ran = folder.run_with(&[], &["bash", "-c", script], set);
    assert_ne!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    assert_eq!(report.profiler.events_lost, 0);
    assert!(
        (10..=60).contains(&report.processes.peak_live),
        "{:?}",
        report.processes.peak_live
    );
    // bash may give up, with children that still sleep.
    let left = report.processes.left_running.len() as u64;
    assert_eq!(report.processes.forks, report.processes.exits + left);
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

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_output_folder_beyond_a_link_is_the_users_matter_and_not_roots() {
    let folder = Folder::new();
    symlink(folder.outside.dir(), folder.project.path("link")).unwrap();
    let ran = folder.run(&["--out-dir", "link/made"], &["true"]);
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    assert!(
        ran.stderr().contains("ermission denied"),
        "{}",
        ran.stderr()
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_folder_of_roots_under_the_output_folders_name_stays_roots() {
    let folder = Folder::new();
    let roots = folder.project.path(".build-mem");
    fs::create_dir(&roots).unwrap();
    fs::write(roots.join("result-x.json"), SECRET).unwrap();
    for options in [&[] as &[&str], &["--force"]] {
        let ran = folder.run(options, &["true"]);
        assert_eq!(ran.code(), 125, "{}", ran.stderr());
    }
    assert_eq!(fs::metadata(&roots).unwrap().uid(), 0);
    let names: Vec<_> = fs::read_dir(&roots).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(
        fs::read_to_string(roots.join("result-x.json")).unwrap(),
        SECRET
    );
}

/// Swaps the project with a link to another folder of the same user, again and again.
#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_project_that_is_replaced_by_a_link_is_cleared_itself_or_not_at_all() {
    let above = Project::new();
    let (project, aside, other) = (
        above.path("project"),
        above.path("aside"),
        above.path("other"),
    );
    for folder in [above.dir(), &project, &other] {
        fs::create_dir_all(folder.join("dist")).unwrap();
        chown(folder, Some(NOBODY), None).unwrap();
        chown(folder.join("dist"), Some(NOBODY), None).unwrap();
    }
    fs::write(
        project.join("build-mem.toml"),
        "[clear]\npaths = ['dist']\n",
    )
    .unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fs::rename(&project, &aside).unwrap();
                symlink(&other, &project).unwrap();
                thread::sleep(Duration::from_micros(300));
                fs::remove_file(&project).unwrap();
                fs::rename(&aside, &project).unwrap();
                thread::sleep(Duration::from_micros(300));
            }
        });
        let mut cleared = 0;
        for _ in 0..40 {
            // Whatever it is called at the moment: the folder that a shell is in.
            let script = format!(
                "until [ -e build-mem.toml ]; do cd {}; done; exec {} run --force --label x -- true",
                project.display(),
                crate::tool::BUILD_MEM
            );
            let mut command = Command::new("sh");
            command
                .args(["-c", &script])
                .env("SUDO_UID", NOBODY.to_string())
                .env("SUDO_GID", NOBODY.to_string());
            let ran = Running::start(&mut command).end();
            cleared += usize::from(ran.code() == 0);
            if !other.join("dist").exists() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(other.join("dist").exists(), "another folder was cleared");
        assert!(cleared > 0, "no run went through");
    });
    assert!(!project.join("dist").exists());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn nothing_in_the_path_and_no_variable_is_executed_by_root() {
    let folder = Folder::new();
    // Whoever is executed leaves a file of its user's.
    let trap = "#!/bin/sh\n: > ran-$(/usr/bin/id -u)-$$\nexit 0\n";
    for name in [
        "busctl",
        "cat",
        "docker",
        "env",
        "podman",
        "sh",
        "sudo",
        "systemctl",
    ] {
        let path = folder.project.write(name, trap);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        chown(&path, Some(NOBODY), None).unwrap();
    }
    folder
        .project
        .write("env.sh", ": > ran-$(/usr/bin/id -u)-$$\n");
    let hostile = |tool: &mut Command| {
        let path = format!("{}:/usr/bin:/bin", folder.project.dir().display());
        tool.env("PATH", path)
            .env("BASH_ENV", "./env.sh")
            .env("ENV", "./env.sh");
    };
    let ran_by = || -> Vec<u32> {
        let names = fs::read_dir(folder.project.dir()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter_map(|name| name.strip_prefix("ran-")?.split('-').next()?.parse().ok())
            .collect()
    };
    let mut doctor = folder.project.tool(["doctor"]);
    hostile(&mut doctor);
    Running::start(&mut doctor).end();
    let in_a_container = folder.run_with(&["--container"], &["true"], hostile);
    assert_eq!(in_a_container.code(), 125, "{}", in_a_container.stderr());
    assert_eq!(ran_by(), [] as [u32; 0]);
    // The build's own are the build's: it has this environment, and its user's rights.
    let ran = folder.run_with(&[], &["bash", "-c", "cat; exit 0"], hostile);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert_eq!(ran_by(), [NOBODY, NOBODY]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_set_user_id_program_of_roots_in_a_build_is_measured_like_others() {
    let folder = Folder::new();
    let program = folder.project.path("as-root");
    fs::copy(workload(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let ran = folder.run(&[], &["./as-root", "hold", "60", "700"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    let pss = report.peak.unwrap().pss_bytes >> 20;
    assert!((60..80).contains(&pss), "{pss} MiB");
    // What is written about it has no more rights than before.
    for entry in fs::read_dir(folder.project.path(".build-mem")).unwrap() {
        let metadata = entry.unwrap().metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (NOBODY, 0o644));
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_kills_build_mem_goes_on_and_leaves_a_readable_recording() {
    let folder = Folder::new();
    // Not called by sudo: the build is root's, and may do that.
    let mut tool = folder
        .project
        .tool(["run", "--label", "x", "--", "bash", "-c"]);
    tool.arg("sleep 2.5; kill -KILL $PPID; sleep 0.5; echo went on > after");
    let killed = Running::start(&mut tool).end();
    assert_eq!(killed.status.code(), None);
    for _ in 0..200 * slowness() {
        if fs::read(folder.project.path("after")).is_ok_and(|text| !text.is_empty()) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(folder.project.read("after"), "went on\n");
    let told = folder.project.ran(["report", "x", "--format", "json"]);
    assert_eq!(told.code(), 0, "{}", told.stderr());
    assert!(
        told.stdout().contains("\"verdict\": \"incomplete\""),
        "{}",
        told.stdout()
    );
    let next = folder.project.ran(["run", "--label", "next", "--", "true"]);
    assert_eq!(next.code(), 0, "{}", next.stderr());
    assert_eq!(leaves_of(killed.pid), [] as [PathBuf; 0]);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_limit_on_the_size_of_files_costs_the_files_and_not_the_outcome() {
    let folder = Folder::new();
    let script = format!(
        "ulimit -f 100; {} run --label x -- bash -c 'head -c 1000000 /dev/zero; exit 6' > out",
        crate::tool::BUILD_MEM
    );
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .current_dir(folder.project.dir());
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 6, "{}", ran.stderr());
    assert!(ran.stderr().contains("File too large"), "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn giant_arguments_and_line_breaks_stay_in_their_fields() {
    let folder = Folder::new();
    let giant = "x".repeat(120_000);
    let many = vec!["a\n,\"b\r\n"; 3000];
    let mut command = vec!["sh", "-c", "sleep 0.4; exit 0", &giant];
    command.extend(&many);
    let ran = folder.run(&[], &command);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    // One line, which is JSON.
    assert_eq!(ran.report().command.len(), command.len());
    assert!(ran.stderr().len() < 20_000, "{} bytes", ran.stderr().len());
    let (columns, rows) = folder.project.timeline("x");
    assert!(rows.iter().all(|row| row.len() == columns.len()));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn marks_that_a_build_forges_are_names_and_nothing_else() {
    let folder = Folder::new();
    // What would break a line, a path or a terminal; and then more of them than anybody could read.
    let script = format!(
        "{} stage $'\\e]0;owned\\a,\"\\n../../x' -- sleep 0.4\n\
         for ((i = 1; i <= 1200; i++)); do exec -a build-mem true stage \"s$i\" -- x & wait $!; done\n\
         exit 0",
        crate::tool::BUILD_MEM
    );
    let ran = folder.run(&["--color", "never"], &["bash", "-c", &script]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let is_for_terminals = |c| matches!(c, '\u{1b}' | '\u{7}');
    assert!(!ran.stderr().contains(is_for_terminals), "{}", ran.stderr());
    let stages = ran.report().stages;
    let has = |name: &str| stages.iter().any(|stage| stage.name == name);
    assert!(has("\u{1b}]0;owned\u{7},\"\n../../x") && has("s7") && has("(more marks)"));
    assert!(!has("s1200"));
    let (columns, rows) = folder.project.timeline("x");
    assert!(rows.iter().all(|row| row.len() == columns.len()));
}

#[test]
fn names_and_lines_of_files_do_not_reach_the_terminal_as_commands() {
    let folder = Folder::new();
    let is_for_terminals = |c| matches!(c, '\u{1b}' | '\u{7}');
    folder
        .project
        .write("build-mem.toml", "[stage]\u{1b}]0;owned\u{7}\nname = 1\n");
    let refused = folder
        .project
        .ran(["run", "--tracker", "proc", "--", "true"]);
    assert_eq!(refused.code(), 125);
    assert!(refused.stderr().contains("owned"), "{}", refused.stderr());
    assert!(
        !refused.stderr().contains(is_for_terminals),
        "{}",
        refused.stderr()
    );
    folder
        .project
        .write(".build-mem/recording-\u{1b}[2J\u{7}\n.jsonl", "{}\n");
    let listed = folder.project.ran(["list"]);
    assert!(listed.stdout().contains("[2J"), "{}", listed.stdout());
    assert!(
        !listed.stdout().contains(is_for_terminals),
        "{}",
        listed.stdout()
    );
    let reported = folder.project.ran(["report", "--config", "build-mem.toml"]);
    assert!(
        !reported.stderr().contains(is_for_terminals),
        "{}",
        reported.stderr()
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_set_user_id_build_mem_does_nothing() {
    let folder = Folder::new();
    let program = folder.project.path("build-mem");
    fs::copy(crate::tool::BUILD_MEM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let secret = folder.target();
    let secret = secret.to_str().unwrap();
    for arguments in [
        &[
            "run",
            "--container",
            "--inside",
            "0:0",
            "--",
            "touch",
            "made",
        ] as &[_],
        &["run", "--user", "root", "--", "touch", "made"],
        &["report", secret],
        &["init"],
    ] {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(folder.project.dir())
            .uid(NOBODY);
        let ran = Running::start(&mut command).end();
        assert_eq!(ran.code(), 125, "{arguments:?}: {}", ran.stderr());
        assert!(ran.stderr().contains("set-user-ID"), "{}", ran.stderr());
    }
    let names = fs::read_dir(folder.project.dir()).unwrap();
    assert_eq!(names.count(), 1);
}

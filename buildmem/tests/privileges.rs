//! How build-mem comes by its rights on a real system: through the real sudo(8), and by capabilities of its file,
//! setcap(8); and that the build has none of them.
//!
//! The users and the rules of sudo exist in a mount namespace alone: nothing of the machine is changed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "support/slowness.rs"]
mod slowness;
#[path = "support/mod.rs"]
mod support;
#[path = "run/tool.rs"]
#[expect(dead_code, reason = "shared with the tests of `run`")]
mod tool;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tool::{BUILD_MEM, Project, Ran, Running};

/// The user of these tests, who is in two groups.
const USER: u32 = 61_187;
const GROUP: u32 = 61_188;
const SECOND_GROUP: u32 = 61_189;

/// What a build can tell of itself.
const WHO: &str = "grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|SigBlk)' /proc/self/status; ls -l /proc/self/fd; env; \
                   echo mine > made; sleep 0.4";

const ALL_CAPABILITIES_EMPTY: &str = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                                      CapEff:\t0000000000000000\n";

/// A project of the user's, in which there is a build-mem of its own.
struct Home {
    project: Project,
    tool: PathBuf,
}

impl Home {
    fn new() -> Self {
        let project = Project::new();
        let tool = project.path("build-mem");
        fs::copy(BUILD_MEM, &tool).unwrap();
        project.write("work/.keep", "");
        for folder in [project.dir().to_owned(), project.path("work")] {
            chown(&folder, Some(USER), Some(GROUP)).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        }
        Self { project, tool }
    }

    /// build-mem as the user, without any right, where the user and what it may do with sudo (a line of sudoers(5)
    /// behind its name) are known.
    fn as_user(&self, sudoers: &str, arguments: &[&str]) -> Command {
        let files = [
            (
                "passwd",
                format!(
                    "root:x:0:0:root:/root:/bin/sh\nada:*:{USER}:{GROUP}::{}:/bin/sh\n",
                    self.project.dir().display()
                ),
            ),
            (
                "group",
                format!("root:x:0:\nada:x:{GROUP}:\nbuilders:x:{SECOND_GROUP}:ada\n"),
            ),
            (
                "sudoers",
                format!(
                    "Defaults env_reset, secure_path=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n{sudoers}\n"
                ),
            ),
        ];
        let mounts = files.map(|(name, content)| {
            let file = self.project.write(name, &content);
            let mode = if name == "sudoers" { 0o440 } else { 0o644 };
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            format!("mount --bind '{}' /etc/{name}", file.display())
        });
        let script = format!(
            "{} && exec setpriv --reuid {USER} --regid {GROUP} --groups {GROUP},{SECOND_GROUP} \"$@\"",
            mounts.join(" && ")
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(&self.tool)
            .args(arguments)
            .current_dir(self.project.path("work"))
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.project.path("bin").display()),
            )
            .env("HOME", self.project.dir())
            .env("USER", "ada")
            // sudo and the C library's secure mode each take one of these away.
            .env("NVM_DIR", "/somewhere")
            .env("TMPDIR", "/var/tmp");
        command
    }

    fn measure(&self, sudoers: &str, command: &[&str]) -> Ran {
        let mut arguments = vec!["run", "-q", "--label", "x", "--"];
        arguments.extend(command);
        Running::start(&mut self.as_user(sudoers, &arguments)).end()
    }

    /// Everything that was made belongs to the user, and the measurement is whole.
    fn check(&self, ran: &Ran) {
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        let stdout = ran.stdout();
        let has = |line: &str| {
            assert!(stdout.contains(line), "no {line:?} in {stdout}");
        };
        has(&format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n"));
        has(&format!("Gid:\t{GROUP}\t{GROUP}\t{GROUP}\t{GROUP}\n"));
        has(&format!("Groups:\t{GROUP} {SECOND_GROUP} \n"));
        has("SigBlk:\t0000000000000000\n");
        has(ALL_CAPABILITIES_EMPTY);
        has("CapAmb:\t0000000000000000\n");
        has(&format!("HOME={}\n", self.project.dir().display()));
        has(&format!(
            "PATH={}:/usr/bin:/bin\n",
            self.project.path("bin").display()
        ));
        has("USER=ada\n");
        has("NVM_DIR=/somewhere\n");
        has("TMPDIR=/var/tmp\n");
        assert!(!stdout.contains("SUDO_"), "{stdout}");
        // Not one that it would not have without build-mem.
        let descriptors: Vec<&str> = stdout.lines().filter_map(descriptor).collect();
        let inherited = descriptors_of_our_children();
        assert!(descriptors.len() >= 4, "{stdout}");
        for descriptor in descriptors {
            assert!(
                inherited.iter().any(|one| one == descriptor),
                "{descriptor}: {stdout}"
            );
        }

        let work = self.project.path("work");
        let mut made = vec![work.join("made"), work.join(".build-mem")];
        made.extend(files_in(&work.join(".build-mem")));
        assert_eq!(made.len(), 8, "{made:?}");
        for path in made {
            let of = fs::metadata(&path).unwrap();
            assert_eq!((of.uid(), of.gid()), (USER, GROUP), "{}", path.display());
        }
        let report = ran.report();
        assert!(report.headline.complete, "{:?}", report.notes);
        assert!(report.headline.bytes.is_some(), "{:?}", report.notes);
        // The peak may come when one has just begun, and was not read yet.
        let read = report.peak.unwrap().processes;
        assert!(
            read.iter().any(|process| process.pss_bytes.is_some()),
            "{read:?}"
        );
        assert!(
            report.notes.iter().all(|note| !note.what.contains("pss")),
            "{:?}",
            report.notes
        );
    }
}

/// The number in a line of `ls -l /proc/self/fd`.
fn descriptor(line: &str) -> Option<&str> {
    line.split_once(" -> ")?.0.split_whitespace().last()
}

/// Whoever runs the tests may hand some on.
fn descriptors_of_our_children() -> Vec<String> {
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines()
        .filter_map(descriptor)
        .map(str::to_owned)
        .collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

const NO_PASSWORD: &str = "ada ALL=(ALL) NOPASSWD: ALL";

#[test]
#[ignore = "needs root, eBPF and sudo: cargo xtask test"]
fn through_sudo_the_build_is_the_users_with_its_whole_environment() {
    for pty in ["Defaults !use_pty", "Defaults use_pty"] {
        let home = Home::new();
        let ran = home.measure(&format!("{pty}\n{NO_PASSWORD}"), &["sh", "-c", WHO]);
        home.check(&ran);
    }
}

#[test]
#[ignore = "needs root and sudo: cargo xtask test"]
fn one_line_tells_of_sudo_and_without_it_the_alternatives_are_told() {
    let home = Home::new();
    let arguments = ["run", "--label", "x", "--", "true"];
    let ran = Running::start(&mut home.as_user(NO_PASSWORD, &arguments)).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let lines = ran.stderr().matches("through sudo").count();
    assert_eq!(lines, 1, "{}", ran.stderr());

    // A password is wanted, and nobody is there to give it.
    let arguments = ["run", "--label", "y", "--", "true"];
    let mut command = home.as_user("ada ALL=(ALL) ALL", &arguments);
    let ran = Running::start(command.stdin(Stdio::null())).end();
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    for told in ["sudo build-mem", "sudo setcap", "--tracker proc"] {
        assert!(ran.stderr().contains(told), "no {told} in {}", ran.stderr());
    }
}

#[test]
#[ignore = "needs root, eBPF, sudo and setcap: cargo xtask test"]
fn what_doctor_says_of_capabilities_works_and_is_not_the_builds() {
    let home = Home::new();
    let doctor = || {
        let ran = Running::start(&mut home.as_user("", &["doctor", "--json"])).end();
        let found: Value = serde_json::from_slice(&ran.stdout).unwrap();
        (ran.code(), found)
    };
    let (code, found) = doctor();
    assert_eq!((code, &found["complete"]), (1, &Value::Bool(false)));
    let row = row(&found, "capabilities");
    assert_eq!(row["status"], "failed");
    let mend = row["mend"].as_str().unwrap();
    let command = mend
        .split('`')
        .find(|part| part.starts_with("sudo setcap "))
        .unwrap_or_else(|| panic!("no setcap in {mend}"));
    let command = command.strip_prefix("sudo ").unwrap();
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");

    let (code, found) = doctor();
    assert_eq!(code, 0, "{found:#}");
    let ran = home.measure("", &["sh", "-c", WHO]);
    home.check(&ran);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn capabilities_that_its_caller_hands_on_are_not_the_builds() {
    let home = Home::new();
    let handed_on = "-all,+bpf,+perfmon,+sys_ptrace,+dac_override";
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &USER.to_string(), "--regid", &GROUP.to_string()])
        .arg("--clear-groups")
        .args(["--inh-caps", handed_on, "--ambient-caps", handed_on])
        .arg(&home.tool)
        .args(["run", "-q", "--label", "x", "--", "sh", "-c", WHO])
        .current_dir(home.project.path("work"));
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let stdout = ran.stdout();
    assert!(stdout.contains(ALL_CAPABILITIES_EMPTY), "{stdout}");
    assert!(stdout.contains("CapAmb:\t0000000000000000\n"), "{stdout}");
    assert!(ran.report().headline.complete);
}

#[test]
#[ignore = "needs root and setcap: cargo xtask test"]
fn the_capabilities_of_its_file_do_not_open_what_the_user_may_not() {
    let home = Home::new();
    let set = Command::new("setcap")
        .arg("cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_override+ep")
        .arg(&home.tool)
        .status();
    assert!(set.unwrap().success());
    let secret = home.project.write("secret", "password");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let locked = home.project.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, Permissions::from_mode(0o700)).unwrap();
    let out = locked.join("out");
    let (secret, out) = (secret.to_str().unwrap(), out.to_str().unwrap());
    for arguments in [
        &["run", "--config", secret, "--", "true"][..],
        &["run", "--out-dir", out, "--", "true"],
        &["run", "--", "cat", secret],
        &["report", "--config", secret],
        &["report", secret],
        &["list", "--out-dir", locked.to_str().unwrap()],
        &["stage", "x", "--", "cat", secret],
    ] {
        let ran = Running::start(&mut home.as_user("", arguments)).end();
        assert_ne!(ran.code(), 0, "{arguments:?}");
        let shown = ran.stdout() + &ran.stderr();
        assert!(shown.contains("ermission denied"), "{arguments:?}: {shown}");
        assert!(!shown.contains("password"), "{arguments:?}: {shown}");
    }
    assert!(files_in(&locked).is_empty());
}

fn row<'found>(found: &'found Value, mechanism: &str) -> &'found Value {
    let rows = found["capabilities"].as_array().unwrap();
    rows.iter()
        .find(|row| row["mechanism"] == mechanism)
        .unwrap_or_else(|| panic!("no row {mechanism}"))
}

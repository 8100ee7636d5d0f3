//! The build runs as whoever called sudo, and what build-mem leaves is theirs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::tool::{BUILD_MEM, Project, Running};

/// A user with no rights of its own.
const NOBODY: u32 = 65534;

const WHO: &str = r#"id -u; id -g; id -G; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status
echo "sudo=${SUDO_UID-none}"; echo mine > made; sleep 0.4"#;

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_build_runs_as_the_user_who_called_sudo_without_any_capability() {
    let project = Project::new();
    chown(project.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = project.tool(["run", "-q", "--label", "x", "--", "sh", "-c", WHO]);
    command
        .env("SUDO_UID", NOBODY.to_string())
        .env("SUDO_GID", NOBODY.to_string())
        .env("SUDO_USER", "nobody");
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let stdout = ran.stdout();
    let lines: Vec<&str> = stdout.lines().take(6).collect();
    assert_eq!(
        lines,
        [
            "65534",
            "65534",
            "65534",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t0",
            "sudo=none"
        ]
    );
    let made = fs::metadata(project.path("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY));
    let folder = project.path(".build-mem");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let of = entry.metadata().unwrap();
        assert_eq!((of.uid(), of.gid()), (NOBODY, NOBODY), "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        ".gitignore",
        "build-x.log",
        "recording-x.jsonl",
        "report-x.html",
        "result-x.json",
        "timeline-x.csv",
    ];
    assert_eq!(names, expected);
    assert_eq!(fs::metadata(&folder).unwrap().uid(), NOBODY);
    let report = ran.report();
    assert!(report.headline.complete);
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

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_the_user_may_not_remove_is_not_cleared_and_the_failed_run_leaves_nothing() {
    let project = Project::new();
    project.write("build-mem.toml", "[clear]\npaths = ['roots']\n");
    project.write("roots/file", "kept");
    chown(project.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = project.tool(["run", "--label", "x", "--", "sh", "-c", "true"]);
    command
        .env("SUDO_UID", NOBODY.to_string())
        .env("SUDO_GID", NOBODY.to_string())
        .env("SUDO_USER", "nobody");
    let ran = Running::start(&mut command).end();
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    assert!(ran.stderr().contains("roots"), "{}", ran.stderr());
    assert_eq!(project.read("roots/file"), "kept");
    let left: Vec<_> = fs::read_dir(project.path(".build-mem"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, [".gitignore"]);
}

/// A stand-in for sudo, which writes down how it was called.
const SUDO: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ "$1" = --non-interactive ] && exit "$(cat "$(dirname "$0")/password")"
exit 0
"#;

#[test]
#[ignore = "needs root, to be somebody without its rights: cargo xtask test"]
fn without_rights_it_goes_through_a_sudo_that_needs_no_password() {
    // The test's own folders may be out of reach for others.
    let project = Project::new();
    let tool = project.path("build-mem");
    fs::copy(BUILD_MEM, &tool).unwrap();
    let sudo = project.write("bin/sudo", SUDO);
    for folder in [project.dir(), &project.path("bin")] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&sudo, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
    let run = |password: &str, called_by_sudo: bool| {
        project.write("bin/password", password);
        let _ = fs::remove_file(project.path("bin/calls"));
        let mut command = Command::new(&tool);
        command
            .args(["run", "--label", "x", "--", "true"])
            .current_dir(project.dir())
            .env("PATH", &path)
            .uid(NOBODY)
            .gid(NOBODY);
        if called_by_sudo {
            command.env(
                "SUDO_COMMAND",
                format!("{} run --label x -- true", tool.display()),
            );
        } else {
            command.env_remove("SUDO_COMMAND");
        }
        let ran = Running::start(&mut command).end();
        let calls = fs::read_to_string(project.path("bin/calls")).unwrap_or_default();
        (ran, calls)
    };
    let (ran, calls) = run("0", false);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let tool = tool.display();
    let expected = format!("--non-interactive true\n-- {tool} run --label x -- true\n");
    assert_eq!(calls, expected);
    assert!(ran.stderr().contains("through sudo"), "{}", ran.stderr());

    // It wants a password, and there is no terminal to ask for it.
    let (ran, calls) = run("1", false);
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    assert_eq!(calls, "--non-interactive true\n");
    for told in ["sudo build-mem", "--tracker proc"] {
        assert!(ran.stderr().contains(told), "no {told} in {}", ran.stderr());
    }

    // Nor does it go round in circles.
    let (ran, calls) = run("0", true);
    assert_eq!((ran.code(), calls.as_str()), (125, ""), "{}", ran.stderr());
}

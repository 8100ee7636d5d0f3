//! The build runs as whoever called sudo, and what build-mem leaves is theirs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};

use crate::tool::{Project, Running};

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

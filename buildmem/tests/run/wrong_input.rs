//! Wrong input: one clear message, exit code 125, and nothing has happened.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::{env, fs};

use crate::tool::{BUILD_MEM, Project, Ran, Running, leaves_of};

const NOBODY: u32 = 65534;

/// One message for people in the form that all have, and nothing else.
fn assert_told(case: &str, ran: &Ran, told: &str) {
    assert_eq!(ran.code(), 125, "{case}: {}", ran.stderr());
    assert_eq!(ran.stdout(), "", "{case}");
    let stderr = ran.stderr();
    assert!(stderr.starts_with("error: "), "{case}: {stderr}");
    let messages = stderr.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(messages.count(), 1, "{case}: {stderr}");
    assert!(stderr.contains(told), "{case}: {stderr}");
    assert!(!stderr.contains("panicked"), "{case}: {stderr}");
    assert_eq!(leaves_of(ran.pid), [] as [PathBuf; 0], "{case}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn wrong_input_is_told_once_and_nothing_is_deleted_or_overwritten() {
    let project = Project::new();
    // No `[build] command`.
    project.write("build-mem.toml", "[clear]\npaths = ['out']\n");
    project.write(
        "bad-regex.toml",
        "[clear]\npaths = ['out']\n[[stage]]\nname = 'a'\nmatch = '('\n",
    );
    project.write(
        "bad-class.toml",
        "[[class]]\nname = 'a'\nmatch = 'x'\n[[class]]\nname = 'a'\nmatch = 'y'\n",
    );
    project.write("bad-key.toml", "[clear]\npath = ['out']\n");
    project.write("bad-syntax.toml", "[clear\n");
    project.write("outside.toml", "[clear]\npaths = ['out', '../outside']\n");
    project.write("itself.toml", "[clear]\npaths = ['out', '.']\n");
    project.write("a-file", "not a folder");
    project.write("broken.jsonl", "not a recording\n");
    project.write("empty.jsonl", "");
    let old = project.ran(["run", "--label", "old", "--", "true"]);
    assert_eq!(old.code(), 0, "{}", old.stderr());
    project.write("out/file", "an earlier build's");
    let before = project.contents();
    for (arguments, told) in [
        ("run", "there is no build command"),
        ("run --build-cmd=", "the build command is empty"),
        ("run --config no-such.toml -- true", "`no-such.toml`"),
        ("run --config out -- true", "`out`"),
        ("run --config bad-regex.toml -- true", "line 5, column 9"),
        ("run --config bad-key.toml -- true", "unknown field `path`"),
        ("run --config bad-syntax.toml -- true", "line 1"),
        ("run --config outside.toml -- true", "`../outside`"),
        ("run --config itself.toml -- true", "`.`"),
        (
            "run --config bad-class.toml -- true",
            "the class `a` is there twice",
        ),
        ("advise old", "--memory"),
        ("advise --memory 8q old", "`8q` is not a size"),
        (
            "advise --memory 8g no-such",
            "there is no recording `no-such`",
        ),
        ("advise --memory 8g ./broken.jsonl", "`./broken.jsonl`"),
        (
            "advise --memory 8g --config bad-regex.toml old",
            "line 5, column 9",
        ),
        ("run --interval-ms 0 -- true", "--interval-ms"),
        ("run --interval-ms 60001 -- true", "--interval-ms"),
        ("run --interval-ms soon -- true", "--interval-ms"),
        ("run --label ../../x -- true", "`../../x` cannot be a label"),
        ("run --label old -- true", "there is a run `old` already"),
        (
            "run --user no-such-user-here -- true",
            "`no-such-user-here`",
        ),
        ("run --out-dir a-file -- true", "`a-file`"),
        ("run --out-dir no-such/folder -- true", "`no-such/folder`"),
        ("run --build-cmd true -- true", "cannot be used with"),
        ("run --image a --container -- true", "cannot be used with"),
        ("run --runtime docker -- true", "--image"),
        ("run --image a --out-dir ../x -- true", "`--out-dir ../x`"),
        ("run --image a --config /etc/x -- true", "`--config /etc/x`"),
        ("run --frobnicate -- true", "--frobnicate"),
        ("run true", "true"),
        ("frobnicate", "frobnicate"),
        ("--frobnicate", "--frobnicate"),
        (
            "report no-such-label",
            "there is no recording `no-such-label`",
        ),
        ("report ../../x", "`../../x`"),
        ("report broken.jsonl", "`broken.jsonl`"),
        ("report empty.jsonl", "`empty.jsonl`"),
        ("report old --config bad-regex.toml", "line 5, column 9"),
        ("report old --format yaml", "yaml"),
        ("report --out-dir no-such", "`no-such`"),
        ("list --out-dir no-such", "`no-such`"),
        ("stage (other) -- true", "`(other)`"),
        ("stage docs", "<CMD>"),
        ("completions tcl", "tcl"),
    ] {
        let ran = project.ran(arguments.split(' '));
        assert_told(arguments, &ran, told);
        assert!(project.contents() == before, "{arguments}: files changed");
    }
}

#[test]
fn without_privileges_the_message_says_what_to_do_and_nothing_is_deleted() {
    let project = Project::new();
    project.write("build-mem.toml", "[clear]\npaths = ['out']\n");
    project.write("out/file", "an earlier build's");
    let mut command = project.tool(["run", "--", "true"]);
    let copy;
    if rustix::process::geteuid().is_root() {
        for path in ["", "out", "out/file"] {
            chown(project.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        // The build's own folder may be closed to others.
        copy = Project::new();
        let program = copy.path("build-mem");
        fs::copy(BUILD_MEM, &program).unwrap();
        fs::set_permissions(copy.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        command = std::process::Command::new(program);
        command
            .args(["run", "--", "true"])
            .current_dir(project.dir())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .uid(NOBODY)
            .gid(NOBODY);
    }
    let before = project.contents();
    let ran = Running::start(&mut command).end();
    assert_told(
        "no privileges",
        &ran,
        "error: cannot load the eBPF programs\ncause: ",
    );
    assert!(ran.stderr().contains("\n help: "), "{}", ran.stderr());
    assert!(ran.stderr().contains("sudo"), "{}", ran.stderr());
    assert!(project.contents() == before, "files changed");
}

//! A project's config: clearing before the build, verifying after it, and `init`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::tool::{Project, Running};

const CONFIG: &str = "[build]\ncommand = 'ls out stale > seen 2>&1; mkdir -p out && echo made > out/artifact'\n\
    [clear]\npaths = ['out', 'stale', 'link', 'not-there']\n\
    [verify]\nartifacts = ['out/artifact']\n";

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_cold_build_finds_nothing_of_the_last_one_and_a_warm_one_does() {
    let project = Project::new();
    project.write("build-mem.toml", CONFIG);
    let populate = || {
        project.write("out/deep/old", "old");
        project.write("stale", "stale");
    };
    populate();
    project.write("kept/by-the-link", "kept");
    symlink("kept", project.path("link")).unwrap();

    let warm = project.ran(["run", "--skip-clear"]);
    assert_eq!(warm.code(), 0, "{}", warm.stderr());
    assert!(
        project.read("seen").contains("deep"),
        "{}",
        project.read("seen")
    );
    assert!(project.path("link").is_symlink());

    populate();
    let cold = project.ran(["run", "--label", "cold"]);
    assert_eq!(cold.code(), 0, "{}", cold.stderr());
    assert!(
        !project.read("seen").contains("deep"),
        "{}",
        project.read("seen")
    );
    assert!(!project.path("out/deep").exists() && !project.path("stale").exists());
    assert!(!project.path("link").is_symlink());
    assert_eq!(project.read("kept/by-the-link"), "kept");
    let checks: Vec<_> = cold
        .report()
        .verify
        .into_iter()
        .map(|check| (check.path, check.ok))
        .collect();
    assert_eq!(
        checks,
        [("exit status".into(), true), ("out/artifact".into(), true)]
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn an_earlier_run_is_replaced_with_force() {
    let project = Project::new();
    assert_eq!(project.measured(["true"]).code(), 0);
    let ran = project.ran(["run", "--label", "x", "--force", "--", "sh", "-c", "exit 5"]);
    assert_eq!(ran.code(), 5, "{}", ran.stderr());
    assert!(
        project
            .read(".build-mem/result-x.json")
            .contains(r#""verdict": "build-failed""#)
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_cannot_start_replaces_no_earlier_run() {
    let project = Project::new();
    assert_eq!(project.measured(["true"]).code(), 0);
    let script = project.write("script", "#!/no/such/interpreter\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let before = project.contents();
    let ran = project.ran(["run", "--label", "x", "--force", "--", "./script"]);
    assert_eq!(ran.code(), 127, "{}", ran.stderr());
    assert!(project.contents() == before, "{}", ran.stderr());
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_run_that_is_under_way_is_not_replaced() {
    let project = Project::new();
    let script = "echo > started; while [ ! -e end ]; do sleep 0.02; done";
    let mut running =
        Running::start(&mut project.tool(["run", "--label", "x", "--", "sh", "-c", script]));
    running.wait_for(&project.path("started"));
    let other = project.ran(["run", "--label", "x", "--force", "--", "true"]);
    assert_eq!(other.code(), 125);
    assert!(other.stderr().contains("just now"), "{}", other.stderr());
    project.write("end", "");
    let ran = running.end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(ran.report().headline.complete);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_init_writes_is_used_by_the_next_run_and_is_not_overwritten() {
    for (file, content) in [
        ("Makefile", "all:\n\ttrue\n"),
        ("Cargo.toml", "[package]\nname = 'x'\n"),
        ("package.json", r#"{"scripts": {"build": "true"}}"#),
        ("server/package.json", r#"{"dependencies": {"next": "16"}}"#),
        ("nothing-known", ""),
    ] {
        let project = Project::new();
        project.write(file, content);
        let ran = project.ran(["init"]);
        assert_eq!(ran.code(), 0, "{file}: {}", ran.stderr());
        let written = project.read("build-mem.toml");

        let used = project.ran(["run", "--label", "x", "--", "true"]);
        // The preset has an artifact that `true` does not make.
        let code = if file.starts_with("server") { 121 } else { 0 };
        assert_eq!(used.code(), code, "{file}: {}", used.stderr());

        project.write("build-mem.toml", "# mine\n");
        let refused = project.ran(["init"]);
        assert_eq!(refused.code(), 125, "{file}");
        assert!(
            refused.stderr().starts_with("error: "),
            "{}",
            refused.stderr()
        );
        assert_eq!(project.read("build-mem.toml"), "# mine\n");
        assert_eq!(project.ran(["init", "--force"]).code(), 0);
        assert_eq!(project.read("build-mem.toml"), written);
    }
}

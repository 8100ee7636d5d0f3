//! The example monorepo, measured for real: npm, nx, tsc and next, in a copy of `examples/nextjs-monorepo`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its project fails"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Copies the example without what a build or an install left in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["node_modules", ".next", ".nx", ".build-mem", "dist"]
            .iter()
            .any(|left| name == *left)
        {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn names(values: &Value) -> Vec<&str> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["name"].as_str().unwrap())
        .collect()
}

#[test]
#[ignore = "needs root, eBPF, npm and its registry: cargo xtask test"]
fn the_example_monorepo_has_its_three_stages_and_every_process_is_seen() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nextjs-monorepo");
    let temp = tempfile::tempdir().unwrap();
    let project = temp.path().join("nextjs-monorepo");
    copy(&example, &project);
    let installed = Command::new("npm")
        .arg("ci")
        .current_dir(&project)
        .status()
        .unwrap();
    assert!(installed.success(), "`npm ci` failed: {installed}");

    let output = Command::new(env!("CARGO_BIN_EXE_build-mem"))
        .args(["run", "--json-only", "--strict", "--label", "example"])
        // With its daemon, nx has others do a part, and more of them.
        .env("NX_DAEMON", "false")
        .current_dir(&project)
        .output()
        .unwrap();
    let log = fs::read_to_string(project.join(".build-mem/build-example.log")).unwrap_or_default();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{messages}\n{log}",
        output.status
    );

    let result = fs::read(project.join(".build-mem/result-example.json")).unwrap();
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert_eq!(result["verdict"], "pass");
    let stages = names(&result["stages"]);
    assert_eq!(
        stages,
        ["assemblyscript", "build-deps", "next-build", "(other)"]
    );
    for stage in result["stages"].as_array().unwrap() {
        assert!(stage["peak_pss_bytes"].as_u64().unwrap() > 0, "{stage}");
    }
    let verified = |check: &&Value| check["path"] == "server/.next/BUILD_ID" && check["ok"] == true;
    assert!(
        result["verify"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| verified(&check))
    );

    // Every process was seen from its fork to its end.
    let processes = &result["processes"];
    assert_eq!(result["profiler"]["events_lost"], 0);
    assert_eq!(processes["forks"], processes["exits"]);
    // What npm, nx, tsc and next make; besides, there is what a login shell's profile makes.
    let by_stage: Vec<u64> = result["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["processes"].as_u64().unwrap())
        .collect();
    assert_eq!(by_stage[..3], [6, 16, 4]);
    assert!(
        processes["forks"].as_u64().unwrap() >= 26 + 3,
        "{by_stage:?}"
    );
    assert_eq!(result["headline"]["complete"], true);

    // next's build holds most of the peak, and what the processes hold explains what the cgroup held.
    assert_eq!(result["peak"]["stages"][0]["name"], "next-build");
    let usage = result["peak"]["cgroup_bytes"].as_f64().unwrap();
    let unattributed = result["peak"]["composition"]["unattributed"]
        .as_f64()
        .unwrap();
    // Positive by a process that is just ending, whose memory is still charged.
    assert!(
        unattributed.abs() < 0.10 * usage,
        "{unattributed} of {usage} is unattributed"
    );
}

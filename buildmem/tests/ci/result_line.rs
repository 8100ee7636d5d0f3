//! The lines of `docs/ci.md` for those who parse logs.

use crate::page::blocks;
use crate::service::{Job, User};

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_result_is_found_in_a_log() {
    let mut job = Job::new(User::Root);
    job.set("BUILD_MEM", env!("CARGO_BIN_EXE_build-mem"));
    // As GitHub keeps logs: with times.
    let log = r#""$BUILD_MEM" run --label ci -- npm run build 2>&1 | sed 's/^/2026-11-25T21:00:00.0000000Z /' > job.log"#;
    job.succeed(&["bash", "-c", log]);
    let lines = blocks("## The result line", "sh");
    assert_eq!(lines.len(), 2);
    let by_jq = job.succeed(&["sh", "-c", &lines[0]]);
    let by_jq: serde_json::Value = serde_json::from_str(&by_jq).unwrap();
    assert_eq!(by_jq["verdict"], "pass");
    assert_eq!(by_jq["complete"], true);
    assert!(by_jq["stages"].is_array());
    let bytes = by_jq["peak"].as_u64().unwrap();
    assert!(bytes > 160 << 20, "{by_jq}");
    let by_sed = job.succeed(&["sh", "-c", &lines[1]]);
    assert_eq!(by_sed, format!("{bytes}\n"));
}

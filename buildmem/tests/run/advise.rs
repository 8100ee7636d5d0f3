//! `advise`: what it says of a build of known shape, and that so many jobs really fit.

use serde_json::Value;

use crate::tool::{MIB, Project, workload};

/// Called as make is: `$1` jobs of 60 MiB at once, 4 in all.
const MAKE: &str = r#"
for i in 1 2 3 4; do
    "$2" hold 60 500 &
    [ $((i % $1)) = 0 ] && wait
done
wait
exit 0
"#;

const RULES: &str = "[[class]]\nname = 'holders'\nmatch = ' hold '\n";

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn as_many_jobs_as_are_advised_fit_and_more_do_not() {
    let project = Project::new();
    project.write("make", MAKE);
    project.write("build-mem.toml", RULES);
    let workload = workload().to_str().unwrap();
    let run = |label: &str, jobs: &str, limit: Option<&str>| {
        let mut arguments = vec!["run", "--label", label];
        arguments.extend(limit.iter().flat_map(|limit| ["--memory", limit]));
        arguments.extend(["--", "sh", "./make", jobs, workload]);
        let ran = project.ran(arguments);
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        ran.report()
    };
    let one_at_a_time = run("x", "1", None);
    let class = &one_at_a_time.processes.classes[0];
    assert_eq!(class.command_class, "holders", "{class:?}");
    assert_eq!((class.count, class.peak_concurrency), (4, 1), "{class:?}");
    assert_eq!(one_at_a_time.jobs.len(), 1);

    let ran = project.ran(["advise", "x", "--memory", "155MiB", "--format", "json"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let advice: Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(advice["schema"], "build-mem/advice/1");
    assert_eq!(advice["answer"], "fits");
    let pool = &advice["pools"][0];
    assert_eq!(
        (&pool["tool"], &pool["jobs"]),
        (&"make".into(), &4.into()),
        "{pool}"
    );
    assert_eq!(pool["largest_class"], "holders");
    let largest = pool["largest_bytes"].as_u64().unwrap() / MIB;
    assert!((60..66).contains(&largest), "{pool}");
    assert_eq!(pool["worst"]["jobs"], 2, "{pool}");
    assert_eq!(pool["lines"][0]["text"], "make -j2");

    let kills = |jobs: &str| run(jobs, jobs, Some("155MiB")).oom.kills;
    assert_eq!(kills("2"), Some(0));
    assert!(kills("4") > Some(0));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn other_rules_for_classes_are_applied_without_building() {
    let project = Project::new();
    project.write("build-mem.toml", RULES);
    project.write(
        "other.toml",
        "[[class]]\nname = 'others'\nmatch = ' hold '\n",
    );
    project.measured_script(r#""$0" hold 20 100; "$0" hold 20 100"#);
    let largest = |arguments: &[&str]| {
        let ran = project.ran([&["report", "x", "--format", "json"], arguments].concat());
        let report: Value = serde_json::from_str(&ran.stdout()).unwrap();
        report["processes"]["classes"][0]["command_class"].clone()
    };
    assert_eq!(largest(&[]), "holders");
    assert_eq!(largest(&["--config", "other.toml"]), "others");
}

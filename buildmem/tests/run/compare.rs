//! `compare` and `budget`, of builds of known difference.

use serde_json::Value;

use crate::tool::{MIB, Project, Ran, workload};

/// Measures a build that holds so much memory. Its command is always the same.
fn measured(project: &Project, label: &str, mib: u64) -> Ran {
    let program = workload().display();
    let script = format!("{program} hold {mib} 300 && echo {mib}{mib} > artifact\nexit $?\n");
    project.write("build", &script);
    project.ran(["run", "--label", label, "--", "sh", "./build"])
}

fn passed(project: &Project, label: &str, mib: u64) {
    let ran = measured(project, label, mib);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout()).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr()))
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_difference_of_known_size_is_found_whatever_names_the_runs() {
    let project = Project::new();
    project.write("build-mem.toml", "[verify]\nartifacts = ['artifact']\n");
    for run in 1..=4 {
        passed(&project, &format!("a.{run}"), 60);
    }
    for run in 1..=4 {
        passed(&project, &format!("b.{run}"), 100);
    }
    let series = r#"{"schema":"build-mem/series/1","label":"b","command":[],"runs":["b.1","b.2","b.3","b.4"],"warmup":0}"#;
    project.write(".build-mem/series-b.json", series);

    let ran = project.ran(["compare", "a.1,a.2,a.3,a.4", "b", "--format", "json"]);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let comparison = json(&ran);
    assert_eq!(comparison["schema"], "build-mem/comparison/1");
    assert_eq!(comparison["refusals"], Value::Array(Vec::new()));
    for figure in ["headline", "without_cache"] {
        let change = &comparison[figure];
        assert_eq!(change["finding"], "grew", "{change}");
        let by = change["difference"].as_u64().unwrap() / MIB;
        assert!((38..=42).contains(&by), "{change}");
        assert!(change["p"].as_f64().unwrap() < 0.03, "{change}");
    }
    let classes = comparison["classes"].as_array().unwrap();
    let holder = &classes[0];
    assert_eq!(holder["command_class"], "workload", "{holder}");
    assert!(
        holder["peak_rss"]["difference"].as_u64().unwrap() / MIB >= 38,
        "{holder}"
    );
    let artifact = &comparison["artifacts"][0];
    assert_eq!(artifact["path"], "artifact");
    assert_eq!(artifact["size"]["difference"], 2, "{artifact}");

    // A series is one measurement: the last but one is a single run, which was smaller.
    let last_two = json(&project.ran(["compare", "--format", "json"]));
    assert_eq!(last_two["base"]["name"], "a.4");
    assert_eq!(last_two["new"]["name"], "b");
    assert_eq!(last_two["new"]["runs"].as_array().unwrap().len(), 4);
    assert_eq!(last_two["headline"]["finding"], "grew");
    let file = ".build-mem/recording-a.1.jsonl";
    let alone = json(&project.ran(["compare", file, "b.1", "--format", "json"]));
    assert_eq!(alone["headline"]["finding"], "noise-unknown");

    let code = |arguments: &[&str]| {
        let ran = project.ran([&["compare"], arguments].concat());
        assert!(ran.stdout().contains("Peak memory"), "{}", ran.stderr());
        ran.code()
    };
    let (few, many) = ("a.1,a.2,a.3,a.4", "b");
    assert_eq!(code(&[few, many, "--fail-above", "2%"]), 122);
    assert_eq!(code(&[few, many, "--fail-above", "20MiB"]), 122);
    assert_eq!(code(&[few, many, "--fail-above", "50MiB"]), 0);
    assert_eq!(code(&[many, few, "--fail-above", "2%"]), 0);
    assert_eq!(code(&["a.1,a.2", "a.3,a.4", "--fail-above", "5%"]), 0);
    assert_eq!(code(&["a.1", "b.1", "--fail-above", "2%"]), 122);
    assert_eq!(code(&[few, many, "--format", "markdown"]), 0);
    let page = project
        .ran(["compare", few, many, "--format", "html"])
        .stdout();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert_eq!(page.matches("<path class=\"line").count(), 2);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_cannot_be_compared_is_refused_with_every_reason() {
    let project = Project::new();
    passed(&project, "good", 20);
    project.write("other", "exit 3\n");
    let failed = project.ran(["run", "--label", "bad", "--", "sh", "./other"]);
    assert_eq!(failed.code(), 3);

    let refused = project.ran(["compare", "good", "bad"]);
    assert_eq!(refused.code(), 125);
    assert_eq!(refused.stdout(), "");
    let told = refused.stderr();
    for reason in [
        "error: cannot compare `good` with `bad`",
        "the verdict of `bad` is build-failed",
        "the commands differ: `sh ./build` in `good`, `sh ./other` in `bad`",
        "--force",
    ] {
        assert!(told.contains(reason), "no {reason:?} in {told}");
    }
    let forced = project.ran(["compare", "good", "bad", "--force"]);
    assert_eq!(forced.code(), 0, "{}", forced.stderr());
    assert!(
        forced.stdout().contains("! the verdict of `bad`"),
        "{}",
        forced.stdout()
    );

    let nobody = project.ran(["compare", "good", "nobody"]);
    assert_eq!(nobody.code(), 125);
    assert!(
        nobody.stderr().contains("there is no recording `nobody`"),
        "{}",
        nobody.stderr()
    );
    let alone = Project::new();
    passed(&alone, "only", 5);
    let one = alone.ran(["compare"]);
    assert_eq!(one.code(), 125);
    assert!(
        one.stderr().contains("it takes two measurements"),
        "{}",
        one.stderr()
    );
}

const BUDGETS: &str = "\
[budget]             # looked over by everybody
peak = \"1GiB\"

[budget.classes]
workload = \"40MiB\" # of the largest
absent = '1MiB'
";

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn budgets_of_a_config_are_checked_and_follow_the_runs_when_asked() {
    let project = Project::new();
    project.write("build-mem.toml", BUDGETS);
    let over = measured(&project, "x.1", 60);
    assert_eq!(over.code(), 122, "{}", over.stderr());
    let report = over.report();
    assert_eq!(report.verdict.word(), "over-budget");
    assert_eq!(report.budget.unwrap().exceeded_by_bytes, Some(0));
    let told: Vec<_> = (report.budgets.iter())
        .map(|budget| {
            (
                budget.name.as_str(),
                budget.exceeded_by_bytes.unwrap() / MIB,
            )
        })
        .collect();
    assert_eq!(told[0], ("absent", 0));
    assert!(
        told[1].0 == "workload" && (20..24).contains(&told[1].1),
        "{told:?}"
    );
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.what == "budgets.class.absent")
    );
    assert!(
        over.stderr()
            .contains("is the budget of class workload: exceeded by"),
        "{}",
        over.stderr()
    );
    // The recording holds the budgets, too.
    let again = project.ran(["report", "x.1", "--format", "json"]).stdout();
    assert_eq!(again, project.read(".build-mem/result-x.1.json"));

    let given = project.ran([
        "run", "--label", "given", "--budget", "30MiB", "--", "sh", "./build",
    ]);
    assert_eq!(given.report().budget.unwrap().bytes, 30 * MIB);

    measured(&project, "x.2", 60);
    let runs = "x.1,x.2";
    let shown = project.ran(["budget", runs]);
    assert_eq!(shown.code(), 0, "{}", shown.stderr());
    assert_eq!(project.read("build-mem.toml"), BUDGETS);
    assert_eq!(project.ran(["budget", runs, "--check"]).code(), 122);

    let updated = project.ran(["budget", runs, "--update"]);
    assert_eq!(updated.code(), 0, "{}", updated.stderr());
    let config = project.read("build-mem.toml");
    assert!(
        config.starts_with("[budget]             # looked over by everybody\npeak = \""),
        "{config}"
    );
    assert!(
        config.contains("MiB\" # of the largest\nabsent = '1MiB'\n"),
        "{config}"
    );
    assert!(!config.contains("40MiB"), "{config}");
    project.write("build-mem.toml", &config.replace("absent = '1MiB'\n", ""));
    assert_eq!(project.ran(["budget", runs, "--check"]).code(), 0);
    passed(&project, "x.3", 60);

    let none = Project::new();
    passed(&none, "x", 5);
    assert_eq!(none.ran(["budget", "--check"]).code(), 125);
    assert_eq!(none.ran(["budget", "--update"]).code(), 0);
    assert!(none.read("build-mem.toml").contains("[budget]\npeak = \""));
}

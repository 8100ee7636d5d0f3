//! The recipes of `docs/ci.md`, as each service would execute them.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::page::{blocks, root, scripts, variables, yaml};
use crate::service::{Job, User, releases};

/// Gives a job the variables of a recipe; releases are fetched from here instead.
fn set_variables(job: &mut Job, of_recipe: &[(String, String)]) {
    for (name, value) in of_recipe {
        job.set(name, value);
    }
    let version = of_recipe.iter().find(|(name, _)| name == "VERSION");
    let (_, version) = version.unwrap_or_else(|| panic!("no VERSION in {of_recipe:?}"));
    job.set("RELEASES", releases(version));
}

fn is_measured(job: &Job, label: &str) {
    let result: Value =
        serde_json::from_str(&job.read(&format!(".build-mem/result-{label}.json"))).unwrap();
    assert_eq!(result["verdict"], "pass");
    assert_eq!(result["headline"]["complete"], true);
    assert_eq!(result["profiler"]["tracker"], "ebpf");
    assert!(
        result["headline"]["bytes"].as_u64().unwrap() > 160 << 20,
        "{result}"
    );
    assert_eq!(job.read("built"), "x");
}

/// Executes the steps of a workflow of GitHub Actions, each in a shell of its own.
fn github(heading: &str, user: User) -> Job {
    let workflow = yaml(heading);
    let mut job = Job::new(user);
    set_variables(&mut job, &variables(&workflow["env"]));
    let temp = job.temp();
    job.set("RUNNER_TEMP", temp.to_str().unwrap());
    job.set("GITHUB_ACTIONS", "true");
    let path = job.set_file("GITHUB_PATH");
    job.set_file("GITHUB_STEP_SUMMARY");
    let mut steps = 0;
    for step in workflow["jobs"]["memory"]["steps"].as_array().unwrap() {
        let Some(script) = step["run"].as_str() else {
            assert!(step["uses"].is_string(), "neither run nor uses: {step}");
            continue;
        };
        // What a step writes there comes before PATH for those that follow.
        let mut folders: Vec<String> = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        folders.reverse();
        folders.push("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned());
        job.set("PATH", folders.join(":"));
        let output = job.run(&["bash", "-e", "-c", script]);
        assert!(output.status.success(), "{script}: {output:?}");
        steps += 1;
    }
    assert!(steps > 2, "{steps} steps of a shell");
    job
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn github_on_a_runner_with_sudo() {
    let job = github("### Without the action", User::Sudoer);
    is_measured(&job, "ci");
    let result: Value = serde_json::from_str(&job.read(".build-mem/result-ci.json")).unwrap();
    assert_eq!(result["label"], "ci");
    let summary = fs::read_to_string(job.temp().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(
        summary.contains("MiB") && summary.contains("node build.js"),
        "{summary}"
    );
    // What the build wrote is the runner's, not root's.
    let owner = job.succeed(&[
        "stat",
        "--format=%U",
        "built",
        ".build-mem/recording-ci.jsonl",
    ]);
    assert_eq!(owner, "nobody\nnobody\n");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn github_in_a_container() {
    let job = github("### In a container", User::Root);
    is_measured(&job, "ci");
    let summary = fs::read_to_string(job.temp().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.contains("node build.js"), "{summary}");
}

/// Executes the job of `.gitlab-ci.yml`: all its lines in one shell, then those of `after_script` in another.
fn gitlab(job: &Job) -> Output {
    let recipe = yaml("## GitLab");
    // A variable may name others.
    let variables: Vec<String> = variables(&recipe["memory"]["variables"])
        .iter()
        .filter(|(name, _)| name != "RELEASES")
        .map(|(name, value)| format!("export {name}=\"{value}\"\n"))
        .collect();
    let variables = variables.concat();
    let shell = |part: &str| {
        let lines = scripts(&recipe["memory"][part]).join("\n");
        job.run(&[
            "bash",
            "-c",
            &format!("set -eo pipefail\n{variables}{lines}"),
        ])
    };
    let output = shell("script");
    let after = shell("after_script");
    assert!(after.status.success(), "{after:?}");
    output
}

fn gitlab_job() -> Job {
    let recipe = yaml("## GitLab");
    let mut job = Job::new(User::Root);
    set_variables(&mut job, &variables(&recipe["memory"]["variables"]));
    let project = job.project();
    job.set("CI_PROJECT_DIR", project.to_str().unwrap());
    job.set("CI_DEFAULT_BRANCH", "main");
    job
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn gitlab_keeps_a_baseline_of_the_default_branch_and_fails_on_a_regression() {
    let mut job = gitlab_job();
    job.set("CI_COMMIT_BRANCH", "main");
    let output = gitlab(&job);
    assert!(output.status.success(), "{output:?}");
    is_measured(&job, "ci");
    assert!(job.read("metrics.txt").ends_with("# EOF\n"));

    job.set("CI_COMMIT_BRANCH", "bigger");
    let baseline = job.read(".build-mem/baseline/recording.jsonl");
    job.write("grown", "");
    let output = gitlab(&job);
    assert_eq!(output.status.code(), Some(122), "{output:?}");
    assert_eq!(job.read(".build-mem/baseline/recording.jsonl"), baseline);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn jenkins() {
    let [pipeline] = blocks("## Jenkins", "groovy").try_into().unwrap();
    let (_, script) = pipeline.split_once("sh '''").unwrap();
    let (script, _) = script.split_once("'''").unwrap();
    let (_, environment) = pipeline.split_once("environment {").unwrap();
    let (environment, _) = environment.split_once('}').unwrap();
    let of_recipe: Vec<(String, String)> = environment
        .lines()
        .filter_map(|line| line.trim().split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect();
    let mut job = Job::new(User::Root);
    set_variables(&mut job, &of_recipe);
    job.set("BUILD_NUMBER", "17");
    let output = job.run(&["sh", "-xe", "-c", script]);
    assert!(output.status.success(), "{output:?}");
    is_measured(&job, "17");
}

#[test]
fn the_workflow_with_the_action_gives_inputs_that_it_has() {
    let workflow = yaml("### The action");
    let action: Value = serde_saphyr::from_str(
        &fs::read_to_string(root().join(".github/actions/build-mem/action.yml")).unwrap(),
    )
    .unwrap();
    let steps = workflow["jobs"]["memory"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["with"].is_object()).unwrap();
    let (place, _) = step["uses"].as_str().unwrap().split_once('@').unwrap();
    assert_eq!(place, "build-mem/build-mem/.github/actions/build-mem");
    let inputs = action["inputs"].as_object().unwrap();
    for name in step["with"].as_object().unwrap().keys() {
        assert!(
            inputs.contains_key(name),
            "the action has no input `{name}`"
        );
    }
    // And the page has all of them in its table.
    let page = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    for name in inputs.keys() {
        assert!(
            page.contains(&format!("\n| `{name}` |")),
            "docs/ci.md lacks the input `{name}`"
        );
    }
}

//! The composite action: its own steps, with the variables that `action.yml` gives them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::page::root;
use crate::service::{Job, User, releases};

const FOLDER: &str = ".github/actions/build-mem";

/// What a step of the action can name in `${{ … }}`.
type Known = BTreeMap<String, String>;

/// What came of the action's steps.
struct Outcome {
    /// Exit code of the last one.
    code: i32,
    /// What it printed, where GitHub reads commands from.
    stdout: String,
    stderr: String,
    /// Outputs of `measure`.
    outputs: BTreeMap<String, String>,
    /// The job's summary.
    summary: String,
}

impl Outcome {
    fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// Fails unless the job ended so.
    fn ended(self, code: i32, verdict: &str, comparison: &str) -> Self {
        let seen = (self.code, self.output("verdict"), self.output("comparison"));
        assert_eq!(
            seen,
            (code, verdict, comparison),
            "{}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

fn action() -> Value {
    let text = fs::read_to_string(root().join(FOLDER).join("action.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Runs the action in a job, on a branch, with inputs that differ from its defaults.
fn act(job: &mut Job, branch: &str, inputs: &[(&str, &str)]) -> Outcome {
    let action = action();
    let mut known = Known::new();
    for (name, input) in action["inputs"].as_object().unwrap() {
        let default = input["default"].as_str().unwrap_or_default();
        known.insert(format!("inputs.{name}"), default.to_owned());
    }
    for (name, value) in inputs {
        let before = known.insert(format!("inputs.{name}"), (*value).to_owned());
        assert!(before.is_some(), "the action has no input `{name}`");
    }
    known.insert(
        "github.event.repository.default_branch".to_owned(),
        "main".to_owned(),
    );
    // For whom the checkout is out of reach.
    let folder = job.temp().join("action");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(
        root().join(FOLDER).join("build-mem.sh"),
        folder.join("build-mem.sh"),
    )
    .unwrap();
    job.set("GITHUB_ACTION_PATH", folder.to_str().unwrap());
    job.set("RUNNER_TEMP", job.temp().to_str().unwrap());
    job.set("GITHUB_REF", format!("refs/heads/{branch}"));
    let summary = job.set_file("GITHUB_STEP_SUMMARY");
    let mut outcome = None;
    for step in action["runs"]["steps"].as_array().unwrap() {
        let Some(script) = step["run"].as_str() else {
            continue;
        };
        let variables = step["env"].as_object().unwrap();
        for (name, value) in variables {
            job.set(name, expanded(value.as_str().unwrap(), &known));
        }
        let outputs = job.set_file("GITHUB_OUTPUT");
        let output = job.run(&[
            "bash",
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            "-c",
            script,
        ]);
        let outputs: BTreeMap<String, String> = fs::read_to_string(outputs)
            .unwrap()
            .lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let id = step["id"].as_str().unwrap();
        let of_step = |(name, value): (&String, &String)| {
            (format!("steps.{id}.outputs.{name}"), value.clone())
        };
        known.extend(outputs.iter().map(of_step));
        let ended = outcome.insert(Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            outputs,
            summary: fs::read_to_string(&summary).unwrap(),
        });
        if ended.code != 0 {
            break;
        }
    }
    outcome.unwrap()
}

/// A value of `action.yml`: text, or the name of a value.
fn expanded(value: &str, known: &Known) -> String {
    let Some(name) = value
        .strip_prefix("${{ ")
        .and_then(|rest| rest.strip_suffix(" }}"))
    else {
        return value.to_owned();
    };
    known
        .get(name)
        .unwrap_or_else(|| panic!("`{name}` is not known here"))
        .clone()
}

/// A job with a release to fetch, and the inputs that fetch it.
fn job(user: User) -> (Job, [(&'static str, String); 2]) {
    let version = env!("CARGO_PKG_VERSION");
    let fetch = [
        ("version", version.to_owned()),
        ("releases", releases(version)),
    ];
    (Job::new(user), fetch)
}

fn with<'a>(
    fetch: &'a [(&'static str, String)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let fetch = fetch.iter().map(|(name, value)| (*name, value.as_str()));
    fetch.chain(more.iter().copied()).collect()
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_first_run_is_the_baseline_and_a_regression_fails_and_is_not() {
    let (mut job, fetch) = job(User::Sudoer);
    let inputs = with(&fetch, &[("fail-above", "10%"), ("budget", "6GiB")]);
    let first = act(&mut job, "topic", &inputs).ended(0, "pass", "none");
    assert_eq!(first.output("store"), "true");
    let peak: u64 = first.output("peak-bytes").parse().unwrap();
    assert!(peak > 160 << 20, "{peak}");
    assert!(first.summary.contains("node build.js"), "{}", first.summary);
    let result: Value =
        serde_json::from_str(&fs::read_to_string(first.output("result")).unwrap()).unwrap();
    assert_eq!(result["headline"]["bytes"], peak);
    let baseline = job.read(".build-mem/baseline/recording-ci.jsonl");

    let same = act(&mut job, "topic", &inputs).ended(0, "pass", "passed");
    // Only the default branch replaces a baseline.
    assert_eq!(same.output("store"), "");

    job.write("grown", "");
    for branch in ["topic", "main"] {
        let grown = act(&mut job, branch, &inputs).ended(122, "pass", "regression");
        assert_eq!(grown.output("store"), "");
        assert!(
            grown.summary.contains("**Regression**"),
            "{}",
            grown.summary
        );
        assert!(
            grown.stdout.contains("::error title=build-mem::"),
            "{}",
            grown.stdout
        );
        assert_eq!(job.read(".build-mem/baseline/recording-ci.jsonl"), baseline);
    }

    // Under another key the cache has none: so a larger need is accepted.
    fs::remove_dir_all(job.project().join(".build-mem/baseline")).unwrap();
    let accepted = act(&mut job, "main", &inputs).ended(0, "pass", "none");
    assert_eq!(accepted.output("store"), "true");
    // Nothing of it is git's business.
    assert_eq!(job.read(".build-mem/.gitignore"), "*\n");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn runs_that_cannot_be_compared_warn_and_do_not_fail() {
    let (mut job, fetch) = job(User::Root);
    let inputs = with(&fetch, &[("fail-above", "10%")]);
    act(&mut job, "main", &inputs).ended(0, "pass", "none");
    job.write("grown", "");
    let other = with(
        &fetch,
        &[("fail-above", "10%"), ("command", "node build.js && true")],
    );
    let refused = act(&mut job, "main", &other).ended(0, "pass", "refused");
    assert!(
        refused.stdout.contains("::warning title=build-mem::"),
        "{}",
        refused.stdout
    );
    assert!(
        refused.summary.contains("Not compared"),
        "{}",
        refused.summary
    );
    // And is what the next one is compared with.
    assert_eq!(refused.output("store"), "true");
    act(&mut job, "main", &other).ended(0, "pass", "passed");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_over_its_budget_fails_and_is_no_baseline() {
    let (mut job, fetch) = job(User::Root);
    let over = act(&mut job, "main", &with(&fetch, &[("budget", "1MiB")])).ended(
        122,
        "over-budget",
        "none",
    );
    assert_eq!(over.output("store"), "");
    assert!(
        over.stdout.contains(
            "::error title=build-mem::the build needed more memory than its budget of 1MiB"
        ),
        "{}",
        over.stdout
    );
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_build_that_fails_has_its_own_exit_code_and_its_report() {
    let (mut job, fetch) = job(User::Root);
    let failed = act(
        &mut job,
        "main",
        &with(
            &fetch,
            &[
                ("command", "echo 'a \"b\"'; exit 3"),
                ("options", "--strict --label 'my build'"),
            ],
        ),
    );
    // The label is given twice, which build-mem refuses.
    assert_eq!(failed.code, 125, "{}", failed.stderr);
    assert!(
        failed
            .stdout
            .contains("::error title=build-mem::the build was not measured"),
        "{}",
        failed.stdout
    );

    let failed = act(
        &mut job,
        "main",
        &with(
            &fetch,
            &[
                ("command", "echo 'a \"b\"'; exit 3"),
                ("options", "--strict"),
                ("label", "mine"),
            ],
        ),
    );
    let failed = failed.ended(3, "build-failed", "none");
    assert_eq!(failed.output("store"), "");
    assert!(failed.stdout.contains("a \"b\"\n"), "{}", failed.stdout);
    assert!(failed.summary.contains("exit 3"), "{}", failed.summary);
}

#[test]
#[ignore = "needs root, as the other steps do: cargo xtask test"]
fn a_release_that_is_not_what_its_sums_say_is_not_run() {
    let (mut job, fetch) = job(User::Root);
    let version = env!("CARGO_PKG_VERSION");
    let place = job.temp().join(format!("v{version}"));
    fs::create_dir(&place).unwrap();
    let there = fetch[1].1.strip_prefix("file://").unwrap();
    let copied = Command::new("cp")
        .arg(format!("{there}/v{version}/SHA256SUMS"))
        .arg(&place)
        .status()
        .unwrap();
    assert!(copied.success());
    fs::write(
        place.join(format!("build-mem-{version}-x86_64-linux.tar.gz")),
        "another",
    )
    .unwrap();
    let releases = format!("file://{}", job.temp().display());
    let refused = act(
        &mut job,
        "main",
        &[("version", version), ("releases", &releases)],
    );
    assert_eq!(refused.code, 125, "{}", refused.stderr);
    assert!(
        refused.stdout.contains("is not what its SHA256SUMS says"),
        "{}",
        refused.stdout
    );

    let missing = act(&mut job, "main", &[("binary", "./not-there")]);
    assert_eq!(missing.code, 125, "{}", missing.stderr);
    assert!(
        missing.summary.contains("build-mem is not there"),
        "{}",
        missing.summary
    );
}

#[test]
#[ignore = "needs shellcheck: cargo xtask test"]
fn shellcheck_has_nothing_to_say_of_its_script() {
    let script = root().join(FOLDER).join("build-mem.sh");
    let checked = Command::new("shellcheck").arg(script).output();
    let checked = checked.expect("shellcheck is installed: cargo xtask test does it");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

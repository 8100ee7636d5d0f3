//! What a project says about its build: `build-mem.toml`, read from its text; the presets for projects without
//! one; and the text that `build-mem init` begins one with. Which file is read is a command's business.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::budgets::Budgets;
use crate::problem::Problem;
use crate::stage_rule::StageRule;
use crate::stages::{self, MOST_RULES, OTHER};
use crate::units::ByteSize;

/// The name of the config file in the project's folder.
pub const FILE_NAME: &str = "build-mem.toml";

/// What a project says about its build. Without a config file, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[build] command`: run by `bash -lc`.
    pub build_command: Option<String>,
    /// `[clear] paths`: what is removed before a cold build. As written; whether they are inside the project is
    /// for whoever removes them to see.
    pub clear_paths: Vec<String>,
    /// `[verify] artifacts`: what must exist after the build and not be empty.
    pub verify_artifacts: Vec<String>,
    /// `[budget]`: what the build, its stages and classes of processes are to stay within.
    pub budgets: Budgets,
    /// `[[stage]]`: the highest precedence first. Empty: stages are found automatically.
    pub stages: Vec<StageRule>,
    /// `[[class]]`: the highest precedence first. Processes that none matches are grouped by what they run.
    pub classes: Vec<StageRule>,
}

/// The file's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    build: BuildTable,
    #[serde(default)]
    clear: ClearTable,
    #[serde(default)]
    verify: VerifyTable,
    #[serde(default)]
    budget: BudgetTable,
    #[serde(default)]
    stage: Vec<RuleTable>,
    #[serde(default)]
    class: Vec<RuleTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildTable {
    command: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearTable {
    #[serde(default)]
    paths: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyTable {
    #[serde(default)]
    artifacts: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetTable {
    peak: Option<Spanned<String>>,
    #[serde(default)]
    stages: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    classes: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    name: Spanned<String>,
    #[serde(rename = "match")]
    matches: Spanned<String>,
}

impl Config {
    /// Reads the text of a config file; `file` is its name for errors.
    ///
    /// # Errors
    ///
    /// With line, column and the line itself: for what is not TOML, an unknown key, a value of another type, an
    /// empty text, an expression that does not compile, and a stage name that is reserved or used twice.
    pub fn parse(text: &str, file: &str) -> Result<Self, Problem> {
        let source = Source { text, file };
        let File {
            build,
            clear,
            verify,
            budget,
            stage,
            class,
        } = toml::from_str(text)
            .map_err(|error| source.problem(error.span().as_ref(), error.message()))?;
        let BuildTable { command } = build;
        let ClearTable { paths } = clear;
        let VerifyTable { artifacts } = verify;
        let not_empty = |what: &str, value: Spanned<String>| {
            if value.get_ref().trim().is_empty() {
                return Err(source.problem(Some(&value.span()), &format!("{what} is empty")));
            }
            Ok(value.into_inner())
        };
        Ok(Self {
            build_command: command
                .map(|command| not_empty("the command", command))
                .transpose()?,
            clear_paths: paths
                .into_iter()
                .map(|path| not_empty("a path", path))
                .collect::<Result<_, _>>()?,
            verify_artifacts: artifacts
                .into_iter()
                .map(|artifact| not_empty("an artifact", artifact))
                .collect::<Result<_, _>>()?,
            budgets: budgets(&source, budget)?,
            stages: rules(&source, stage, Named::Stage)?,
            classes: rules(&source, class, Named::Class)?,
        })
    }
}

/// Sizes are texts with a unit, which a reader cannot take for another.
fn budgets(source: &Source<'_>, table: BudgetTable) -> Result<Budgets, Problem> {
    let BudgetTable {
        peak,
        stages,
        classes,
    } = table;
    let size = |text: Spanned<String>| {
        let refuse = |why: &str| source.problem(Some(&text.span()), why);
        match text.get_ref().parse() {
            Ok(ByteSize::ZERO) => Err(refuse("a budget of nothing: remove the line to have none")),
            Ok(size) => Ok(size),
            Err(error) => Err(refuse(&error.to_string())),
        }
    };
    let sizes = |table: BTreeMap<String, Spanned<String>>| {
        let sized = table
            .into_iter()
            .map(|(name, text)| Ok((name, size(text)?)));
        sized.collect::<Result<BTreeMap<_, _>, Problem>>()
    };
    Ok(Budgets {
        peak: peak.map(size).transpose()?,
        stages: sizes(stages)?,
        classes: sizes(classes)?,
    })
}

/// What rules name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Stage,
    Class,
}

impl Named {
    const fn one(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Class => "class",
        }
    }

    const fn all(self) -> &'static str {
        match self {
            Self::Stage => "stages",
            Self::Class => "classes",
        }
    }
}

fn rules(
    source: &Source<'_>,
    tables: Vec<RuleTable>,
    named: Named,
) -> Result<Vec<StageRule>, Problem> {
    let (one, all) = (named.one(), named.all());
    if let Some(first_too_many) = tables.get(MOST_RULES) {
        let why = format!("there are more than {MOST_RULES} {all}");
        return Err(source.problem(Some(&first_too_many.name.span()), &why));
    }
    let mut rules: Vec<StageRule> = Vec::with_capacity(tables.len());
    for RuleTable { name, matches } in tables {
        let refuse_name = |why: &str| Err(source.problem(Some(&name.span()), why));
        let text = name.get_ref();
        if text.trim().is_empty() {
            return refuse_name(&format!("a {one}'s name is empty"));
        }
        if text.chars().any(char::is_control) {
            return refuse_name(&format!("a {one}'s name holds a control character"));
        }
        if named == Named::Stage && text == OTHER {
            return refuse_name("the name `(other)` is reserved for processes that no rule covers");
        }
        if rules.iter().any(|rule| rule.name == *text) {
            return refuse_name(&format!(
                "the {one} `{text}` is there twice: join its expressions with `|`"
            ));
        }
        let refuse_match = |why: &str| Err(source.problem(Some(&matches.span()), why));
        if matches.get_ref().is_empty() {
            return refuse_match("an empty expression matches every process");
        }
        if let Err(error) = stages::compile([matches.get_ref().as_str()]) {
            return refuse_match(&format!(
                "`{}` is not a regular expression: {}",
                matches.get_ref(),
                reason(&error)
            ));
        }
        rules.push(StageRule {
            name: name.into_inner(),
            pattern: matches.into_inner(),
        });
    }
    if let Err(error) = stages::compile(rules.iter().map(|rule| rule.pattern.as_str())) {
        let why = format!("the expressions of all {all}: {}", reason(&error));
        return Err(source.problem(None, &why));
    }
    Ok(rules)
}

/// What is wrong with an expression, on one line: `regex` draws it on several.
fn reason(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(limit) = error {
        return format!("compiled it takes more than {} KiB", limit / 1024);
    }
    let text = error.to_string();
    match text.lines().last() {
        Some(last) => last.trim_start_matches("error: ").to_owned(),
        None => text,
    }
}

/// A config's text, to say where in it something is wrong.
struct Source<'text> {
    text: &'text str,
    file: &'text str,
}

impl Source<'_> {
    fn problem(&self, span: Option<&Range<usize>>, why: &str) -> Problem {
        let file = self.file;
        let why = why.trim_end().replace('\n', ", ");
        let Some(&Range { start, end: _ }) = span else {
            return Problem::new(format!("cannot use `{file}`")).because(why);
        };
        // What is wrong at the very end is shown at the end of the last line with text.
        let text = self.text.trim_end();
        let before = text.get(..start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let shown = text[line_start..].lines().next().unwrap_or_default().trim();
        let why = match shown {
            "[stage]" => "a stage is begun by two brackets: `[[stage]]`",
            "[class]" => "a class is begun by two brackets: `[[class]]`",
            _ => &why,
        };
        Problem::new(format!("cannot use `{file}`"))
            .because(format!("line {line}, column {column}, `{shown}`: {why}"))
            .help(format!(
                "correct that line; `build-mem init` writes an example of `{FILE_NAME}`"
            ))
    }
}

/// A config for projects of a known kind that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// A JavaScript monorepo whose `server` is built by next.
    NextjsMonorepo,
}

/// In the order of precedence: npm's root shell matches none of them by itself.
const NEXTJS_MONOREPO: &str = r#"[clear]
paths = ["server/.next", "server/tsconfig.tsbuildinfo"]

[verify]
artifacts = ["server/.next/BUILD_ID"]

[[stage]]                      # order is precedence, highest first
name = "next-build"
match = 'next(\.js)? build'    # regular expression over the command line
[[stage]]
name = "build-deps"
match = 'nx build-deps'
[[stage]]
name = "assemblyscript"
match = 'build-assemblyscript'
"#;

impl Preset {
    /// Its name, as the summary shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextjsMonorepo => "nextjs-monorepo",
        }
    }

    /// What it stands for, in the form of a config file.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NextjsMonorepo => NEXTJS_MONOREPO,
        }
    }

    /// What it stands for.
    ///
    /// # Errors
    ///
    /// None: the texts are tested to be right.
    pub fn config(self) -> Result<Config, Problem> {
        Config::parse(self.text(), self.name())
    }
}

/// The preset for a project without a config, by the text of its `server/package.json`: one that depends on
/// `next`. A text that is not JSON depends on nothing.
pub fn detect_preset(server_package_json: Option<&str>) -> Option<Preset> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Package {
        #[serde(default)]
        dependencies: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        dev_dependencies: serde_json::Map<String, serde_json::Value>,
    }
    let package: Package = serde_json::from_str(server_package_json?).ok()?;
    (package.dependencies.contains_key("next") || package.dev_dependencies.contains_key("next"))
        .then_some(Preset::NextjsMonorepo)
}

/// What `build-mem init` finds in a project's folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProjectFacts<'text> {
    /// The names of the files in it.
    pub files: &'text [&'text str],
    /// The text of `package.json`.
    pub package_json: Option<&'text str>,
    /// The text of `server/package.json`.
    pub server_package_json: Option<&'text str>,
}

/// How a kind of project is built, for a new config file.
struct Recipe {
    kind: &'static str,
    command: &'static str,
    clear: &'static [&'static str],
    artifacts: &'static [&'static str],
    stages: &'static [(&'static str, &'static str)],
    advice: &'static [&'static str],
}

const NO_RECIPE: Recipe = Recipe {
    kind: "no build system that build-mem knows",
    command: "",
    clear: &[],
    artifacts: &[],
    stages: &[],
    advice: &[],
};

const COMPILER_STAGES: &[(&str, &str)] = &[
    ("link", r"^(\S*/)?(collect2|ld|ld\.\w+|lld|mold)( |$)"),
    ("compile", r"^(\S*/)?(cc1|cc1plus|clang|clang\+\+)( |$)"),
];

const CLASSES_IN_TEMPLATE: &str = r"
# Processes are grouped by what they run, such as `cc1` or `tsc`. A rule gives those that it matches a name of its own.
# [[class]]
# name = 'linkers'
# match = '^(\S*/)?(collect2|ld|lld|mold)( |$)'

# What the build is to stay within: `run` exits with 122 where it does not. `build-mem budget --update` writes this from
# recorded runs.
# [budget]
# peak = '6GiB'
";

/// The text of a new config file that fits the project: commented, and right as it is.
pub fn template(facts: &ProjectFacts<'_>) -> String {
    if let Some(preset) = detect_preset(facts.server_package_json) {
        return format!(
            "# build-mem: how this project is built and measured. Found: `server/package.json` depends on next.\n\
             # These are the settings that build-mem uses for such a project without this file, too.\n\n\
             [build]\ncommand = \"npm run build\"      # run by `bash -lc`\n\n{}{CLASSES_IN_TEMPLATE}",
            preset.text()
        );
    }
    render(&recipe(facts))
}

fn recipe(facts: &ProjectFacts<'_>) -> Recipe {
    let has = |name: &str| facts.files.contains(&name);
    let with_build_script = facts.package_json.is_some_and(has_build_script);
    if with_build_script {
        let command = match () {
            () if has("pnpm-lock.yaml") => "pnpm run build",
            () if has("yarn.lock") => "yarn run build",
            () if has("bun.lock") || has("bun.lockb") => "bun run build",
            () => "npm run build",
        };
        return Recipe {
            kind: "`package.json` with a build script",
            command,
            advice: &[
                "A task runner's cache, such as nx's or turbo's, makes a build warm: clear it, or name it below.",
            ],
            ..NO_RECIPE
        };
    }
    if has("Cargo.toml") {
        return Recipe {
            kind: "`Cargo.toml`",
            command: "cargo build --release",
            clear: &["target"],
            stages: &[
                ("build-scripts", "build-script-build"),
                (
                    "link",
                    r"^(\S*/)?(collect2|ld|ld\.\w+|rust-lld|lld|mold)( |$)",
                ),
                ("rustc", r"^(\S*/)?rustc( |$)"),
            ],
            ..NO_RECIPE
        };
    }
    if has("CMakeLists.txt") {
        return Recipe {
            kind: "`CMakeLists.txt`",
            command: "cmake -S . -B build && cmake --build build --parallel",
            clear: &["build"],
            stages: COMPILER_STAGES,
            ..NO_RECIPE
        };
    }
    if has("Makefile") || has("GNUmakefile") || has("makefile") {
        return Recipe {
            kind: "a makefile",
            command: "make -j$(nproc)",
            stages: COMPILER_STAGES,
            advice: &["For a cold build, name what make writes below, or run `make clean` first."],
            ..NO_RECIPE
        };
    }
    if has("configure") {
        return Recipe {
            kind: "`configure`",
            command: "./configure && make -j$(nproc)",
            stages: COMPILER_STAGES,
            ..NO_RECIPE
        };
    }
    if has("gradlew") {
        return Recipe {
            kind: "`gradlew`",
            command: "./gradlew --no-daemon build",
            clear: &["build"],
            advice: &[
                "Without --no-daemon a daemon that runs already would build outside of the measurement.",
            ],
            ..NO_RECIPE
        };
    }
    if has("pom.xml") {
        return Recipe {
            kind: "`pom.xml`",
            command: "mvn --batch-mode package",
            clear: &["target"],
            ..NO_RECIPE
        };
    }
    if has("go.mod") {
        return Recipe {
            kind: "`go.mod`",
            command: "go build ./...",
            stages: &[
                ("link", r"^(\S*/)?link( |$)"),
                ("compile", r"^(\S*/)?(compile|cgo|asm)( |$)"),
            ],
            advice: &[
                "Go's build cache makes a build warm; it is outside of the project: go clean -cache",
            ],
            ..NO_RECIPE
        };
    }
    NO_RECIPE
}

fn has_build_script(package_json: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(package_json)
        .is_ok_and(|package| package["scripts"]["build"].is_string())
}

fn render(recipe: &Recipe) -> String {
    let Recipe {
        kind,
        command,
        clear,
        artifacts,
        stages,
        advice,
    } = recipe;
    let mut text = format!("# build-mem: how this project is built and measured. Found: {kind}.\n");
    for line in *advice {
        let _ = writeln!(text, "# {line}");
    }
    text.push_str("\n[build]\n");
    let _ = match *command {
        "" => writeln!(
            text,
            "# command = \"./build.sh\"   # run by `bash -lc`; or give it each time: build-mem run -- ./build.sh"
        ),
        command => writeln!(text, "command = \"{command}\"   # run by `bash -lc`"),
    };
    text.push_str("\n[clear]                        # removed before each run, for a cold build; only inside the project\n");
    push_list(&mut text, "paths", clear);
    text.push_str(
        "\n[verify]                       # must exist after the build, and not be empty\n",
    );
    push_list(&mut text, "artifacts", artifacts);
    text.push_str(
        "\n# A process belongs to the stage of its nearest self-or-ancestor that a rule matches. Order is precedence,\n\
         # highest first; `match` is a regular expression over the command line.\n",
    );
    if stages.is_empty() {
        text.push_str(
            "# Without rules, stages are found by themselves.\n\
             # [[stage]]\n# name = \"bundle\"\n# match = 'webpack|vite build'\n",
        );
    }
    for (name, matches) in *stages {
        let _ = writeln!(text, "[[stage]]\nname = \"{name}\"\nmatch = '{matches}'");
    }
    text.push_str(CLASSES_IN_TEMPLATE);
    text
}

fn push_list(text: &mut String, key: &str, values: &[&str]) {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    let _ = writeln!(text, "{key} = [{}]", quoted.join(", "));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Config, Problem> {
        Config::parse(text, FILE_NAME)
    }

    /// What is said about a config that cannot be used.
    fn refusal(text: &str) -> String {
        let problem = parse(text).unwrap_err();
        assert!(problem.help.is_some());
        problem.to_string()
    }

    fn names(config: &Config) -> Vec<&str> {
        config
            .stages
            .iter()
            .map(|rule| rule.name.as_str())
            .collect()
    }

    #[test]
    fn every_key_is_read_and_rules_keep_their_order() {
        let config = parse(
            "[build]\ncommand = \"make -j8\"\n[clear]\npaths = [\"out\", \"a/b\"]\n[verify]\n\
             artifacts = [\"out/x\"]\n[[stage]]\nname = \"z\"\nmatch = 'cc1(plus)?'\n[[stage]]\nname = \"a\"\nmatch = 'ld '\n",
        )
        .unwrap();
        assert_eq!(config.build_command.as_deref(), Some("make -j8"));
        assert_eq!(config.clear_paths, ["out", "a/b"]);
        assert_eq!(config.verify_artifacts, ["out/x"]);
        assert_eq!(names(&config), ["z", "a"]);
        assert_eq!(config.stages[0].pattern, "cc1(plus)?");
    }

    #[test]
    fn budgets_are_sizes_with_a_unit_of_what_they_name() {
        let config = parse(
            "[budget]\npeak = \"6GiB\"\n[budget.stages]\nnext-build = '3g'\n[budget.classes]\n'node x.js' = '600MiB'\n",
        )
        .unwrap();
        let Budgets {
            peak,
            stages,
            classes,
        } = config.budgets;
        assert_eq!(peak, Some(ByteSize::from_mib(6 * 1024)));
        assert_eq!(stages["next-build"], ByteSize::from_mib(3 * 1024));
        assert_eq!(classes["node x.js"], ByteSize::from_mib(600));
        let wrong = refusal("[budget]\npeak = \"6 gigs\"\n");
        assert!(
            wrong.contains("line 2, column 8") && wrong.contains("is not a size"),
            "{wrong}"
        );
        assert!(refusal("[budget]\npeak = '0'\n").contains("a budget of nothing"));
        assert!(refusal("[budget]\npeek = '1g'\n").contains("unknown field `peek`"));
        assert!(refusal("[budget]\npeak = 6\n").contains("line 2"));
    }

    #[test]
    fn an_empty_config_says_nothing() {
        let config = parse("").unwrap();
        assert!(config.build_command.is_none() && config.stages.is_empty());
        assert!(config.clear_paths.is_empty() && config.verify_artifacts.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        insta::assert_snapshot!(refusal("[build]\ncomand = \"make\"\n"), @r#"cannot use `build-mem.toml`: line 2, column 1, `comand = "make"`: unknown field `comand`, expected `command`"#);
        insta::assert_snapshot!(refusal("[biuld]\ncommand = \"make\"\n"), @"cannot use `build-mem.toml`: line 1, column 2, `[biuld]`: unknown field `biuld`, expected one of `build`, `clear`, `verify`, `budget`, `stage`, `class`");
        insta::assert_snapshot!(refusal("[clear]\npaths = \"out\"\n"), @r#"cannot use `build-mem.toml`: line 2, column 9, `paths = "out"`: invalid type: string "out", expected a sequence"#);
        insta::assert_snapshot!(refusal("[build]\ncommand = \"make\n"), @r#"cannot use `build-mem.toml`: line 2, column 16, `command = "make`: invalid basic string, expected `"`"#);
        insta::assert_snapshot!(refusal("[build]\ncommand = \" \"\n"), @r#"cannot use `build-mem.toml`: line 2, column 11, `command = " "`: the command is empty"#);
        insta::assert_snapshot!(refusal("[clear]\npaths = [\"out\", \"\"]\n"), @r#"cannot use `build-mem.toml`: line 2, column 17, `paths = ["out", ""]`: a path is empty"#);
        insta::assert_snapshot!(refusal("[[stage]]\nname = \"x\"\n"), @"cannot use `build-mem.toml`: line 1, column 1, `[[stage]]`: missing field `match`");
        insta::assert_snapshot!(refusal("[stage]\nname = \"x\"\nmatch = 'y'\n"), @"cannot use `build-mem.toml`: line 1, column 1, `[stage]`: a stage is begun by two brackets: `[[stage]]`");
        insta::assert_snapshot!(refusal("[build]\ncommand = "), @"cannot use `build-mem.toml`: line 2, column 10, `command =`: string values must be quoted, expected literal string");
    }

    #[test]
    fn a_rule_that_cannot_work_is_refused() {
        let rule = |name: &str, matches: &str| {
            format!("[[stage]]\nname = \"{name}\"\nmatch = '{matches}'\n")
        };
        insta::assert_snapshot!(refusal(&rule("next-build", "next(\\.js build")), @r"cannot use `build-mem.toml`: line 3, column 9, `match = 'next(\.js build'`: `next(\.js build` is not a regular expression: unclosed group");
        insta::assert_snapshot!(refusal(&rule("large", "(\\w{1000}){1000}")), @r"cannot use `build-mem.toml`: line 3, column 9, `match = '(\w{1000}){1000}'`: `(\w{1000}){1000}` is not a regular expression: compiled it takes more than 1024 KiB");
        insta::assert_snapshot!(refusal(&rule("backwards", "(a)\\1")), @r"cannot use `build-mem.toml`: line 3, column 9, `match = '(a)\1'`: `(a)\1` is not a regular expression: backreferences are not supported");
        insta::assert_snapshot!(refusal(&rule("all", "")), @"cannot use `build-mem.toml`: line 3, column 9, `match = ''`: an empty expression matches every process");
        insta::assert_snapshot!(refusal(&rule(" ", "x")), @r#"cannot use `build-mem.toml`: line 2, column 8, `name = " "`: a stage's name is empty"#);
        insta::assert_snapshot!(refusal(&rule("two\\nlines", "x")), @r#"cannot use `build-mem.toml`: line 2, column 8, `name = "two\nlines"`: a stage's name holds a control character"#);
        insta::assert_snapshot!(refusal(&rule("(other)", "x")), @r#"cannot use `build-mem.toml`: line 2, column 8, `name = "(other)"`: the name `(other)` is reserved for processes that no rule covers"#);
        insta::assert_snapshot!(refusal(&(rule("x", "x") + &rule("y", "y") + &rule("x", "z"))), @r#"cannot use `build-mem.toml`: line 8, column 8, `name = "x"`: the stage `x` is there twice: join its expressions with `|`"#);
    }

    #[test]
    fn a_class_is_read_and_refused_as_a_stage_is() {
        let rule = |name: &str, matches: &str| {
            format!("[[class]]\nname = \"{name}\"\nmatch = '{matches}'\n")
        };
        let config = parse(&(rule("c", "cc1") + &rule("(other)", "x"))).unwrap();
        let classes: Vec<_> = (config.classes.iter())
            .map(|rule| (rule.name.as_str(), rule.pattern.as_str()))
            .collect();
        assert_eq!(classes, [("c", "cc1"), ("(other)", "x")]);
        assert!(config.stages.is_empty());
        insta::assert_snapshot!(refusal(&rule("c", "(")), @"cannot use `build-mem.toml`: line 3, column 9, `match = '('`: `(` is not a regular expression: unclosed group");
        insta::assert_snapshot!(refusal(&rule("c", "")), @"cannot use `build-mem.toml`: line 3, column 9, `match = ''`: an empty expression matches every process");
        insta::assert_snapshot!(refusal(&rule("", "x")), @r#"cannot use `build-mem.toml`: line 2, column 8, `name = ""`: a class's name is empty"#);
        insta::assert_snapshot!(refusal(&(rule("x", "x") + &rule("x", "y"))), @r#"cannot use `build-mem.toml`: line 5, column 8, `name = "x"`: the class `x` is there twice: join its expressions with `|`"#);
        insta::assert_snapshot!(refusal("[class]\nname = \"x\"\nmatch = 'y'\n"), @"cannot use `build-mem.toml`: line 1, column 1, `[class]`: a class is begun by two brackets: `[[class]]`");
        let many: String = (0..=MOST_RULES)
            .map(|n| rule(&format!("c{n}"), "x"))
            .collect();
        let refusal = refusal(&many);
        assert!(
            refusal.ends_with("there are more than 200 classes"),
            "{refusal}"
        );
    }

    #[test]
    fn the_preset_is_that_of_the_specification() {
        let config = Preset::NextjsMonorepo.config().unwrap();
        assert_eq!(config.build_command, None);
        assert_eq!(
            config.clear_paths,
            ["server/.next", "server/tsconfig.tsbuildinfo"]
        );
        assert_eq!(config.verify_artifacts, ["server/.next/BUILD_ID"]);
        let rules: Vec<_> = config
            .stages
            .iter()
            .map(|rule| (rule.name.as_str(), rule.pattern.as_str()))
            .collect();
        assert_eq!(
            rules,
            [
                ("next-build", r"next(\.js)? build"),
                ("build-deps", "nx build-deps"),
                ("assemblyscript", "build-assemblyscript"),
            ]
        );
    }

    #[test]
    fn the_preset_is_for_a_server_that_depends_on_next() {
        let found = Some(Preset::NextjsMonorepo);
        assert_eq!(
            detect_preset(Some(r#"{"dependencies": {"next": "16.0.0"}}"#)),
            found
        );
        assert_eq!(
            detect_preset(Some(r#"{"devDependencies": {"next": "^16"}}"#)),
            found
        );
        assert_eq!(
            detect_preset(Some(r#"{"dependencies": {"next-auth": "4"}}"#)),
            None
        );
        assert_eq!(
            detect_preset(Some(r#"{"peerDependencies": {"next": "4"}}"#)),
            None
        );
        for odd in [
            "",
            "[]",
            "{",
            r#"{"dependencies": []}"#,
            r#"{"dependencies": null}"#,
        ] {
            assert_eq!(detect_preset(Some(odd)), None, "{odd}");
        }
        assert_eq!(detect_preset(None), None);
    }

    const WITH_SCRIPT: Option<&str> = Some(r#"{"scripts": {"build": "tsc"}}"#);

    #[test]
    fn rules_are_bounded_in_number_and_in_all() {
        let config = |count: usize, pattern: &str| {
            let stage = |i| format!("[[stage]]\nname = 's{i}'\nmatch = '{pattern}'\n");
            (0..count).map(stage).collect::<String>()
        };
        assert_eq!(parse(&config(200, "a")).unwrap().stages.len(), 200);
        let told = |text: &str| parse(text).unwrap_err().cause.unwrap();
        assert!(told(&config(201, "a")).contains("line 602, column 8"));
        let each_is_good = config(60, "[a-z]{900}");
        assert!(told(&each_is_good).contains("more than 1024 KiB"));
    }

    #[test]
    fn every_template_is_a_config_with_the_projects_command() {
        let command = |files: &[&str], package_json: Option<&str>| {
            let facts = ProjectFacts {
                files,
                package_json,
                server_package_json: None,
            };
            let text = template(&facts);
            let config = parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
            config.build_command.unwrap_or_default()
        };
        assert_eq!(command(&["package.json"], WITH_SCRIPT), "npm run build");
        assert_eq!(command(&["pnpm-lock.yaml"], WITH_SCRIPT), "pnpm run build");
        assert_eq!(command(&["yarn.lock"], WITH_SCRIPT), "yarn run build");
        assert_eq!(command(&["bun.lock"], WITH_SCRIPT), "bun run build");
        assert_eq!(command(&["Cargo.toml"], None), "cargo build --release");
        assert_eq!(
            command(&["CMakeLists.txt", "Makefile"], None),
            "cmake -S . -B build && cmake --build build --parallel"
        );
        assert_eq!(command(&["configure", "Makefile"], None), "make -j$(nproc)");
        assert_eq!(
            command(&["configure"], None),
            "./configure && make -j$(nproc)"
        );
        assert_eq!(
            command(&["gradlew", "build.gradle.kts"], None),
            "./gradlew --no-daemon build"
        );
        assert_eq!(command(&["pom.xml"], None), "mvn --batch-mode package");
        assert_eq!(command(&["go.mod"], None), "go build ./...");
        assert_eq!(command(&["README"], None), "");
        // A package without a build script is not what is built.
        assert_eq!(
            command(&["package.json", "Cargo.toml"], Some(r#"{"scripts": {}}"#)),
            "cargo build --release"
        );
        assert_eq!(command(&["package.json"], Some("{")), "");
    }

    #[test]
    fn the_template_of_a_preset_is_the_preset_with_its_command() {
        let facts = ProjectFacts {
            files: &["package.json"],
            package_json: WITH_SCRIPT,
            server_package_json: Some(r#"{"dependencies": {"next": "16"}}"#),
        };
        let config = parse(&template(&facts)).unwrap();
        assert_eq!(config.build_command.as_deref(), Some("npm run build"));
        assert_eq!(
            names(&config),
            ["next-build", "build-deps", "assemblyscript"]
        );
        assert_eq!(
            config.clear_paths,
            ["server/.next", "server/tsconfig.tsbuildinfo"]
        );
    }

    #[test]
    fn a_template_explains_itself() {
        let facts = ProjectFacts {
            files: &["Cargo.toml"],
            ..ProjectFacts::default()
        };
        insta::assert_snapshot!(template(&facts), @r#"
        # build-mem: how this project is built and measured. Found: `Cargo.toml`.

        [build]
        command = "cargo build --release"   # run by `bash -lc`

        [clear]                        # removed before each run, for a cold build; only inside the project
        paths = ["target"]

        [verify]                       # must exist after the build, and not be empty
        artifacts = []

        # A process belongs to the stage of its nearest self-or-ancestor that a rule matches. Order is precedence,
        # highest first; `match` is a regular expression over the command line.
        [[stage]]
        name = "build-scripts"
        match = 'build-script-build'
        [[stage]]
        name = "link"
        match = '^(\S*/)?(collect2|ld|ld\.\w+|rust-lld|lld|mold)( |$)'
        [[stage]]
        name = "rustc"
        match = '^(\S*/)?rustc( |$)'

        # Processes are grouped by what they run, such as `cc1` or `tsc`. A rule gives those that it matches a name of its own.
        # [[class]]
        # name = 'linkers'
        # match = '^(\S*/)?(collect2|ld|lld|mold)( |$)'

        # What the build is to stay within: `run` exits with 122 where it does not. `build-mem budget --update` writes this from
        # recorded runs.
        # [budget]
        # peak = '6GiB'
        "#);
        insta::assert_snapshot!(template(&ProjectFacts::default()), @r#"
        # build-mem: how this project is built and measured. Found: no build system that build-mem knows.

        [build]
        # command = "./build.sh"   # run by `bash -lc`; or give it each time: build-mem run -- ./build.sh

        [clear]                        # removed before each run, for a cold build; only inside the project
        paths = []

        [verify]                       # must exist after the build, and not be empty
        artifacts = []

        # A process belongs to the stage of its nearest self-or-ancestor that a rule matches. Order is precedence,
        # highest first; `match` is a regular expression over the command line.
        # Without rules, stages are found by themselves.
        # [[stage]]
        # name = "bundle"
        # match = 'webpack|vite build'

        # Processes are grouped by what they run, such as `cc1` or `tsc`. A rule gives those that it matches a name of its own.
        # [[class]]
        # name = 'linkers'
        # match = '^(\S*/)?(collect2|ld|lld|mold)( |$)'

        # What the build is to stay within: `run` exits with 122 where it does not. `build-mem budget --update` writes this from
        # recorded runs.
        # [budget]
        # peak = '6GiB'
        "#);
    }

    #[test]
    fn the_stages_of_the_templates_know_their_tools() {
        let stage = |file: &str, command_line: &str| {
            let facts = ProjectFacts {
                files: &[file],
                ..ProjectFacts::default()
            };
            let config = parse(&template(&facts)).unwrap();
            let rule = config.stages.into_iter().find(|rule| {
                stages::compile([rule.pattern.as_str()])
                    .unwrap()
                    .is_match(command_line)
            });
            rule.map_or(OTHER.to_owned(), |rule| rule.name)
        };
        assert_eq!(
            stage(
                "Makefile",
                "/usr/lib/gcc/x86_64-linux-gnu/14/cc1plus -quiet a.cc"
            ),
            "compile"
        );
        assert_eq!(stage("Makefile", "/usr/bin/ld -plugin x"), "link");
        assert_eq!(stage("Makefile", "ld.gold a.o"), "link");
        assert_eq!(stage("Makefile", "make -C /src/ld all"), "(other)");
        assert_eq!(
            stage("Cargo.toml", "/home/u/.rustup/bin/rustc --crate-name syn"),
            "rustc"
        );
        assert_eq!(
            stage(
                "Cargo.toml",
                "/p/target/release/build/x-12/build-script-build"
            ),
            "build-scripts"
        );
        assert_eq!(
            stage("go.mod", "/usr/lib/go/pkg/tool/linux_amd64/compile -o x"),
            "compile"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(
            text in "(\\[build\\]|\\[\\[stage\\]\\]|name = |match = |paths = |\"[a-z(é]{0,3}\"|'[)x]'|\\[|\\]|\n|é| ){0,12}",
        ) {
            let _ = parse(&text);
        }

        #[test]
        fn any_package_is_looked_at_without_panic(text in "[{}\"a-z:,\\[\\] ]{0,40}") {
            detect_preset(Some(&text));
            has_build_script(&text);
        }
    }
}

//! What a host can measure, for people and for programs: `build-mem doctor`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::diagnosis::{Capabilities, Capability, SCHEMA, Status};

/// A table with colours, wrapped to `width`; whoever owns the terminal strips them where they are not wanted. What is
/// to be copied is not wrapped.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_text(
    capabilities: &Capabilities,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows = &capabilities.capabilities;
    let label_width = rows
        .iter()
        .map(|row| row.mechanism.label().chars().count())
        .max()
        .unwrap_or(0);
    let table = Table { label_width, width };
    let mut above = None;
    for row in rows {
        table.write_row(row, above, out)?;
        above = Some(row);
    }
    let gaps: Vec<&str> = capabilities
        .gaps()
        .filter(|row| row.status != Status::Untried)
        .map(|row| row.mechanism.label())
        .collect();
    let bold = Style::new().bold();
    if capabilities.complete() {
        writeln!(out, "\n{bold}A run here is measured completely.{bold:#}")
    } else {
        writeln!(
            out,
            "\n{bold}A run here is not measured completely{bold:#}, for want of: {}.",
            gaps.join(", ")
        )
    }
}

/// Where its columns are.
struct Table {
    label_width: usize,
    width: usize,
}

impl Table {
    /// Mark, name, what was found; below that, where something is missing, the cost and what mends it.
    fn write_row(
        &self,
        row: &Capability,
        above: Option<&Capability>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Capability {
            mechanism,
            status,
            detail,
            cost,
            mend,
        } = row;
        let (mark, style) = mark(*status);
        let label = mechanism.label();
        let padding = self.label_width;
        write!(out, "{style}{mark}{style:#} {label:padding$}  ")?;
        let is_repeated = *status != Status::Ok
            && above.is_some_and(|above| {
                (&above.status, &above.detail, &above.cost, &above.mend)
                    == (status, detail, cost, mend)
            });
        if is_repeated {
            return writeln!(out, "as above");
        }
        self.write_wrapped(detail, 0, out)?;
        let faint = Style::new().dimmed();
        let indent = self.indent();
        if let Some(cost) = cost {
            write!(out, "{:indent$}{faint}costs{faint:#}  ", "")?;
            self.write_wrapped(cost, COSTS_WIDTH, out)?;
        }
        if let Some(mend) = mend {
            writeln!(out, "{:indent$}{faint}mend{faint:#}   {mend}", "")?;
        }
        Ok(())
    }

    /// Where the text of a row begins.
    const fn indent(&self) -> usize {
        self.label_width + 4
    }

    /// Writes what begins at the indent and `further` columns, where the cursor is.
    fn write_wrapped(&self, text: &str, further: usize, out: &mut dyn Write) -> io::Result<()> {
        let indent = self.indent() + further;
        // Narrower, it would be one word a line.
        let columns = self.width.saturating_sub(indent).max(40);
        let options =
            textwrap::Options::new(columns).word_splitter(textwrap::WordSplitter::NoHyphenation);
        let lines = textwrap::wrap(text, options);
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                write!(out, "{:indent$}", "")?;
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

/// Columns of `costs` with what follows.
const COSTS_WIDTH: usize = 7;

/// The same as JSON, with `schema` and `complete`, and for each row its name and whether a complete run needs it.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_json(capabilities: &Capabilities, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: &'a str,
        complete: bool,
        kernel: &'a str,
        container_hints: &'a [String],
        cgroup_version: Option<u8>,
        capabilities: Vec<Row<'a>>,
    }
    #[derive(Serialize)]
    struct Row<'a> {
        label: &'a str,
        needed: bool,
        #[serde(flatten)]
        capability: &'a Capability,
    }
    let Capabilities {
        kernel,
        container_hints,
        cgroup_version,
        capabilities: rows,
    } = capabilities;
    let rows = rows.iter().map(|capability| Row {
        label: capability.mechanism.label(),
        needed: capability.mechanism.is_needed(),
        capability,
    });
    let document = Document {
        schema: SCHEMA,
        complete: capabilities.complete(),
        kernel,
        container_hints,
        cgroup_version: *cgroup_version,
        capabilities: rows.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

/// A sign for the eye, and its colour.
fn mark(status: Status) -> (char, Style) {
    let (mark, colour) = match status {
        Status::Ok => ('✓', AnsiColor::Green),
        Status::Limited => ('!', AnsiColor::Yellow),
        Status::Failed => ('✗', AnsiColor::Red),
        Status::Untried => ('–', AnsiColor::Yellow),
    };
    (mark, colour.on_default().bold())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Mechanism;

    fn text(capabilities: &Capabilities, width: usize) -> String {
        let mut out = Vec::new();
        write_text(capabilities, width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn plain(capabilities: &Capabilities, width: usize) -> String {
        anstream::adapter::strip_str(&text(capabilities, width)).to_string()
    }

    fn complete() -> Capabilities {
        Capabilities {
            kernel: "6.12.107-amd64".to_owned(),
            container_hints: Vec::new(),
            cgroup_version: Some(2),
            capabilities: vec![
                Capability::ok(Mechanism::Kernel, "Linux 6.12.107-amd64, x86_64"),
                Capability::ok(Mechanism::Ebpf, "maps and programs can be loaded"),
                Capability::ok(Mechanism::ForkHook, "`sched_process_fork`"),
                Capability::ok(
                    Mechanism::BuildCgroup,
                    "a leaf can be made in `/sys/fs/cgroup/user.slice`",
                ),
                Capability::ok(Mechanism::Headline, "`memory.peak`, page cache included"),
                Capability::limited(
                    Mechanism::BuildUser,
                    "root: no other user called sudo",
                    "files that the build writes belong to root",
                ),
            ],
        }
    }

    fn lacking() -> Capabilities {
        let untried = "there are no programs to attach";
        Capabilities {
            kernel: "5.10.0-30-amd64".to_owned(),
            container_hints: vec!["/.dockerenv".to_owned()],
            cgroup_version: None,
            capabilities: vec![
                Capability::ok(Mechanism::Container, "yes: `/.dockerenv`"),
                Capability::failed(
                    Mechanism::Ebpf,
                    "cannot load the eBPF programs: operation not permitted (os error 1)",
                    "no process is seen; `run --tracker proc` polls, and misses short ones",
                )
                .mend("run with sudo; or let whoever may execute build-mem measure: `sudo setcap cap_bpf+ep /x/build-mem`".to_owned()),
                Capability::untried(Mechanism::ForkHook, untried),
                Capability::untried(Mechanism::ExecHook, untried),
                Capability::untried(Mechanism::Headline, "there is no cgroup to try it with")
                    .costing("no headline"),
                Capability::limited(
                    Mechanism::Pss,
                    "of our own user's processes only",
                    "RSS of the others",
                ),
            ],
        }
    }

    #[test]
    fn a_complete_host_is_shown_as_one() {
        insta::assert_snapshot!(plain(&complete(), 100), @r"
        ✓ kernel             Linux 6.12.107-amd64, x86_64
        ✓ eBPF               maps and programs can be loaded
        ✓ hook: fork         `sched_process_fork`
        ✓ cgroup delegation  a leaf can be made in `/sys/fs/cgroup/user.slice`
        ✓ memory.peak        `memory.peak`, page cache included
        ! build's user       root: no other user called sudo
                             costs  files that the build writes belong to root

        A run here is measured completely.
        ");
    }

    #[test]
    fn what_is_missing_is_shown_with_its_cost_and_what_mends_it() {
        insta::assert_snapshot!(plain(&lacking(), 72), @r"
        ✓ container    yes: `/.dockerenv`
        ✗ eBPF         cannot load the eBPF programs: operation not permitted
                       (os error 1)
                       costs  no process is seen; `run --tracker proc` polls,
                              and misses short ones
                       mend   run with sudo; or let whoever may execute build-mem measure: `sudo setcap cap_bpf+ep /x/build-mem`
        – hook: fork   there are no programs to attach
        – hook: exec   as above
        – memory.peak  there is no cgroup to try it with
                       costs  no headline
        ! PSS          of our own user's processes only
                       costs  RSS of the others

        A run here is not measured completely, for want of: eBPF, PSS.
        ");
    }

    #[test]
    fn the_marks_are_coloured() {
        let text = text(&lacking(), 100);
        assert!(text.contains("\u{1b}[1m\u{1b}[31m✗\u{1b}[0m"), "{text:?}");
        assert!(text.contains("\u{1b}[33m!\u{1b}[0m"), "{text:?}");
    }

    #[test]
    fn programs_get_the_same_rows() {
        let mut out = Vec::new();
        write_json(&lacking(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {
          "schema": "build-mem/doctor/1",
          "complete": false,
          "kernel": "5.10.0-30-amd64",
          "container_hints": [
            "/.dockerenv"
          ],
          "cgroup_version": null,
          "capabilities": [
            {
              "label": "container",
              "needed": false,
              "mechanism": "container",
              "status": "ok",
              "detail": "yes: `/.dockerenv`",
              "cost": null,
              "mend": null
            },
            {
              "label": "eBPF",
              "needed": true,
              "mechanism": "ebpf",
              "status": "failed",
              "detail": "cannot load the eBPF programs: operation not permitted (os error 1)",
              "cost": "no process is seen; `run --tracker proc` polls, and misses short ones",
              "mend": "run with sudo; or let whoever may execute build-mem measure: `sudo setcap cap_bpf+ep /x/build-mem`"
            },
            {
              "label": "hook: fork",
              "needed": true,
              "mechanism": "fork_hook",
              "status": "untried",
              "detail": "there are no programs to attach",
              "cost": null,
              "mend": null
            },
            {
              "label": "hook: exec",
              "needed": true,
              "mechanism": "exec_hook",
              "status": "untried",
              "detail": "there are no programs to attach",
              "cost": null,
              "mend": null
            },
            {
              "label": "memory.peak",
              "needed": true,
              "mechanism": "headline",
              "status": "untried",
              "detail": "there is no cgroup to try it with",
              "cost": "no headline",
              "mend": null
            },
            {
              "label": "PSS",
              "needed": true,
              "mechanism": "pss",
              "status": "limited",
              "detail": "of our own user's processes only",
              "cost": "RSS of the others",
              "mend": null
            }
          ]
        }
        "#);
    }
}

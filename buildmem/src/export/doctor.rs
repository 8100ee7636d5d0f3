//! What a host can measure, for people and for programs: `build-mem doctor`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::diagnosis::{Capabilities, Capability, SCHEMA, Status};

/// Aligned text with colours; whoever owns the terminal strips them where they are not wanted.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_text(capabilities: &Capabilities, out: &mut dyn Write) -> io::Result<()> {
    let Capabilities {
        kernel,
        container_hints,
        cgroup_version,
        capabilities: lines,
    } = capabilities;
    let cgroup = match cgroup_version {
        Some(version) => format!("cgroup v{version}"),
        None => "no cgroup".to_owned(),
    };
    write!(out, "Linux {kernel}, {cgroup}")?;
    if !container_hints.is_empty() {
        write!(out, ", in a container (`{}`)", container_hints.join("`, `"))?;
    }
    writeln!(out, "\n")?;

    let label_width = lines
        .iter()
        .map(|line| line.mechanism.label().chars().count())
        .max()
        .unwrap_or(0);
    let status_width = Status::Limited.word().len();
    for line in lines {
        let Capability {
            mechanism,
            status,
            detail,
            cost,
            help,
        } = line;
        let (style, word) = (style(*status), status.word());
        let padding = " ".repeat(status_width - word.len());
        write!(
            out,
            "{:label_width$}  {style}{word}{style:#}{padding}  {detail}",
            mechanism.label()
        )?;
        if let Some(cost) = cost {
            write!(out, " → {cost}")?;
        }
        writeln!(out)?;
        if let Some(help) = help {
            let indent = label_width + status_width + 4;
            writeln!(out, "{:indent$}help: {help}", "")?;
        }
    }

    let gaps: Vec<&str> = capabilities
        .gaps()
        .map(|line| line.mechanism.label())
        .collect();
    if gaps.is_empty() {
        writeln!(out, "\nA run here is measured completely.")
    } else {
        writeln!(
            out,
            "\nA run here is not measured completely: {}.",
            gaps.join(", ")
        )
    }
}

/// The same as JSON, with `schema` and `complete`.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn write_json(capabilities: &Capabilities, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: &'a str,
        complete: bool,
        #[serde(flatten)]
        capabilities: &'a Capabilities,
    }
    let document = Document {
        schema: SCHEMA,
        complete: capabilities.complete(),
        capabilities,
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn style(status: Status) -> Style {
    let colour = match status {
        Status::Yes => AnsiColor::Green,
        Status::Limited => AnsiColor::Yellow,
        Status::No => AnsiColor::Red,
    };
    colour.on_default().bold()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Mechanism;

    fn text(capabilities: &Capabilities) -> String {
        let mut out = Vec::new();
        write_text(capabilities, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn plain(capabilities: &Capabilities) -> String {
        anstream::adapter::strip_str(&text(capabilities)).to_string()
    }

    fn complete() -> Capabilities {
        Capabilities {
            kernel: "6.12.107-amd64".to_owned(),
            container_hints: Vec::new(),
            cgroup_version: Some(2),
            capabilities: vec![
                Capability::yes(
                    Mechanism::Privileges,
                    "uid 0 with CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE",
                ),
                Capability::yes(Mechanism::KernelTypes, "`/sys/kernel/btf/vmlinux`"),
                Capability::yes(
                    Mechanism::ProcessEvents,
                    "fork, exec and exit of every process",
                ),
                Capability::yes(
                    Mechanism::BuildCgroup,
                    "cgroup v2, below `/sys/fs/cgroup/user.slice`",
                ),
                Capability::yes(Mechanism::Headline, "memory.peak, page cache included"),
                Capability::yes(
                    Mechanism::Composition,
                    "memory.stat: anon, file, shmem, kernel",
                ),
                Capability::yes(Mechanism::Pss, "`smaps_rollup`"),
                Capability::yes(Mechanism::BuildUser, "`dev`, who called sudo"),
            ],
        }
    }

    fn lacking() -> Capabilities {
        Capabilities {
            kernel: "5.10.0-30-amd64".to_owned(),
            container_hints: vec!["/.dockerenv".to_owned()],
            cgroup_version: None,
            capabilities: vec![
                Capability::no(
                    Mechanism::ProcessEvents,
                    "cannot load the eBPF programs: operation not permitted (os error 1)",
                    "no process is seen",
                )
                .help("run with sudo: `sudo build-mem doctor`".to_owned()),
                Capability::no(
                    Mechanism::Headline,
                    "no cgroup to read it of",
                    "no headline",
                ),
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
        insta::assert_snapshot!(plain(&complete()), @r"
        Linux 6.12.107-amd64, cgroup v2

        privileges            yes      uid 0 with CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE
        kernel types (BTF)    yes      `/sys/kernel/btf/vmlinux`
        eBPF process events   yes      fork, exec and exit of every process
        cgroup for the build  yes      cgroup v2, below `/sys/fs/cgroup/user.slice`
        headline              yes      memory.peak, page cache included
        composition           yes      memory.stat: anon, file, shmem, kernel
        PSS                   yes      `smaps_rollup`
        build's user          yes      `dev`, who called sudo

        A run here is measured completely.
        ");
    }

    #[test]
    fn what_is_missing_is_shown_with_cost_and_help() {
        insta::assert_snapshot!(plain(&lacking()), @r"
        Linux 5.10.0-30-amd64, no cgroup, in a container (`/.dockerenv`)

        eBPF process events  no       cannot load the eBPF programs: operation not permitted (os error 1) → no process is seen
                                      help: run with sudo: `sudo build-mem doctor`
        headline             no       no cgroup to read it of → no headline
        PSS                  limited  of our own user's processes only → RSS of the others

        A run here is not measured completely: eBPF process events, headline, PSS.
        ");
    }

    #[test]
    fn the_status_is_coloured() {
        let text = text(&lacking());
        assert!(text.contains("\u{1b}[1m\u{1b}[31mno\u{1b}[0m"), "{text:?}");
        assert!(text.contains("\u{1b}[33mlimited\u{1b}[0m"), "{text:?}");
    }

    #[test]
    fn programs_get_the_same() {
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
              "mechanism": "process_events",
              "status": "no",
              "detail": "cannot load the eBPF programs: operation not permitted (os error 1)",
              "cost": "no process is seen",
              "help": "run with sudo: `sudo build-mem doctor`"
            },
            {
              "mechanism": "headline",
              "status": "no",
              "detail": "no cgroup to read it of",
              "cost": "no headline",
              "help": null
            },
            {
              "mechanism": "pss",
              "status": "limited",
              "detail": "of our own user's processes only",
              "cost": "RSS of the others",
              "help": null
            }
          ]
        }
        "#);
    }
}

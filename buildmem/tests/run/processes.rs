//! Every process is seen, however short it lives, and with its exact command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use buildmem::event::EventKind;
use buildmem::ids::Tgid;
use buildmem_common::ARGV_CAPACITY;

use crate::slowness::slowness;
use crate::tool::{BUILD_MEM, Project, Running, workload};

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn every_process_of_a_storm_is_counted_in_the_result_and_in_the_recording() {
    let project = Project::new();
    let storm = 10_000 / u64::from(slowness());
    let ran = project.measured_script(&format!(
        r#""$0" storm {storm} && "$0" never-exec 300 && "$0" vfork-exec 500"#
    ));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    assert!(
        ran.stdout().starts_with(&format!("{storm}\n300\n500\n")),
        "what the workload counted"
    );
    let report = ran.report();
    // The shell and its three children, besides what these made.
    let (forks, execs) = (4 + storm + 300 + 500, 4 + storm + 500);
    assert_eq!(report.profiler.events_lost, 0);
    assert_eq!(
        (
            report.processes.forks,
            report.processes.execs,
            report.processes.exits
        ),
        (forks, execs, forks)
    );
    assert!(report.headline.complete);
    assert_eq!(report.processes.left_running, []);
    let of_classes: u64 = report
        .processes
        .classes
        .iter()
        .map(|class| class.count)
        .sum();
    assert_eq!(of_classes, forks);

    let (mut forked, mut execed, mut exited) = (0, 0, 0);
    for event in project.events("x") {
        match event {
            EventKind::Forked { .. } => forked += 1,
            EventKind::Execed { .. } => execed += 1,
            EventKind::Exited { .. } => exited += 1,
            _ => {}
        }
    }
    assert_eq!((forked, execed, exited), (forks, execs, forks));
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn odd_and_very_long_arguments_are_recorded_exactly_and_break_no_format() {
    let long = "x".repeat(100 * 1024);
    let odd: [&OsStr; 7] = [
        OsStr::new(""),
        OsStr::new("a\nb\r\n"),
        OsStr::new(r#""quoted", 'twice'"#),
        OsStr::new("a,b;c\td"),
        OsStr::from_bytes(b"\xff\xfe\x80"),
        OsStr::new("\u{1f600}\u{1b}[31m"),
        OsStr::new(&long),
    ];
    let mut command: Vec<OsString> =
        vec![workload().into(), "hold".into(), "60".into(), "400".into()];
    command.extend(odd.iter().map(OsString::from));
    let stage = "na,me \"q\"\nsecond";
    let mut marked: Vec<OsString> =
        vec![BUILD_MEM.into(), "stage".into(), stage.into(), "--".into()];
    marked.extend(command.iter().cloned());

    let project = Project::new();
    let ran = project.measured(&marked);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let report = ran.report();
    let process = &report.processes.top[0];
    assert!(process.command.starts_with(&*workload().to_string_lossy()));
    assert!(process.command_lossy);
    assert_eq!(process.stage, stage);

    let (columns, rows) = project.timeline("x");
    assert!(columns.contains(&format!("pss:{stage}")), "{columns:?}");
    assert!(rows.len() > 1);
    assert!(rows.iter().any(|row| row[1] == stage));

    let recorded = project
        .events("x")
        .into_iter()
        .find_map(|event| match event {
            EventKind::Execed { argv, .. }
                if argv.args[0].0 == workload().as_os_str().as_bytes() =>
            {
                Some(argv)
            }
            _ => None,
        });
    let recorded = recorded.expect("the exec of the workload");
    // As the kernel keeps it: each argument ended by NUL.
    let whole: Vec<u8> = command
        .iter()
        .flat_map(|argument| [argument.as_bytes(), b"\0"].concat())
        .collect();
    let kept: Vec<&[u8]> = recorded.args.iter().map(|arg| arg.0.as_slice()).collect();
    assert_eq!(recorded.cut_from, Some(whole.len() as u64));
    assert!(kept.join(&0) == whole[..ARGV_CAPACITY], "the first 16 KiB");
}

/// As in most containers and CI jobs: the numbers of processes are the namespace's own, and the leader of our
/// process group is outside of it.
#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn in_a_pid_namespace_its_own_numbers_are_shown() {
    let project = Project::new();
    let script = "cut -d ' ' -f 1,4,5,6 /proc/self/stat; exit $?";
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
    let run = ["run", "--label", "x", "--", "sh", "-c", script];
    let ran = Running::start(&mut project.tool_under(unshare, run)).end();
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let line = ran.stdout();
    let numbers: Vec<u32> = line
        .lines()
        .next()
        .unwrap()
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    let [cut, shell, group, session] = numbers[..] else {
        panic!("{line}");
    };
    assert_eq!((group, session), (0, 0));
    let execed: Vec<_> = project
        .events("x")
        .into_iter()
        .filter_map(|event| match event {
            EventKind::Execed { tgid, .. } => Some(tgid),
            _ => None,
        })
        .collect();
    assert_eq!(execed, [Tgid(shell), Tgid(cut)]);
}

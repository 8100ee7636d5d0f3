//! Reports for the tests of every format: what real builds give, and what no build should.

use std::collections::BTreeMap;

use crate::event::{Note, VerifyCheck};
use crate::report::{
    Composition, Escaped, Exit, Headline, Host, JobPool, JobTool, LeftRunning, Oom, OomVictim,
    Peak, Pressure, ProcessAtPeak, ProcessClass, Processes, Profiler, Report, SCHEMA, Stage,
    StageAtPeak, TopProcess, Verdict, WithoutCache,
};
use crate::units::ByteSize;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// All of them, by name.
pub(super) fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("monorepo", monorepo()),
        ("c_build", c_build()),
        ("failed", failed()),
        ("out_of_memory", out_of_memory()),
        ("interrupted", interrupted()),
        ("incomplete", incomplete()),
        ("escaped", escaped()),
        ("hostile", hostile()),
        ("tiny", tiny()),
        ("missed", missed()),
    ]
}

/// npm, nx and next in a monorepo; a daemon is left running.
pub(crate) fn monorepo() -> Report {
    let mut shell = at_peak(4182, "(other)", ROOT_SCRIPT, 310 * KIB, 1730 * KIB, 38.9);
    shell.command_lossy = true;
    Report {
        schema: SCHEMA.to_owned(),
        label: "monorepo".to_owned(),
        started_at: "2026-03-02T09:14:07Z".to_owned(),
        duration_s: 40.617,
        command: words(&["bash", "-lc", "npm run build"]),
        cwd: "/src/monorepo".to_owned(),
        verdict: Verdict::Pass,
        budget: None,
        budgets: Vec::new(),
        exit: code(0),
        headline: Headline {
            bytes: Some(1516 * MIB),
            source: Some("memory.peak".to_owned()),
            highest_sampled_bytes: Some(1509 * MIB),
            without_cache: Some(WithoutCache {
                bytes: 1232 * MIB,
                at_s: 38.914,
                source: "highest sample of memory.current less the files in memory.stat".to_owned(),
            }),
            cgroup: Some("/user.slice/build-mem-4100-1a2b".to_owned()),
            complete: true,
            saturated: false,
            limit_bytes: None,
            escaped: Vec::new(),
        },
        peak: Some(Peak {
            at_s: 38.914,
            cgroup_bytes: Some(1509 * MIB),
            capture: Some(0.9953),
            pss_bytes: 1262 * MIB,
            pss_read_bytes: 1201 * MIB,
            rss_bytes: 1354 * MIB,
            composition: Some(Composition {
                anon: 1213 * MIB,
                file_mapped: 41 * MIB,
                file_unmapped: 243 * MIB,
                shmem: 0,
                kernel: Some(19 * MIB),
                charged_elsewhere: 15 * MIB,
                unattributed: 0,
            }),
            stages: vec![
                held("next-build", 1180 * MIB),
                held("build-deps", 55 * MIB),
                held("(other)", 27 * MIB),
            ],
            processes: vec![
                at_peak(4511, "next-build", NEXT, 868 * MIB, 901 * MIB, 30.4),
                at_peak(4587, "next-build", TSC, 261 * MIB, 288 * MIB, 10.95),
                at_peak(4302, "build-deps", NX_DAEMON, 55 * MIB, 99 * MIB, 33.1),
                at_peak(4602, "next-build", JEST, 51 * MIB, 78 * MIB, 0.61),
                at_peak(4171, "(other)", "npm run build", 26 * MIB, 57 * MIB, 38.9),
                shell,
            ],
        }),
        stages: vec![
            stage("assemblyscript", 0.448, 3.752, 8, 354 * MIB, 2.61, 0.0),
            stage(
                "build-deps",
                4.351,
                36.266,
                40,
                306 * MIB,
                7.02,
                55.0 / 1262.0,
            ),
            stage(
                "next-build",
                8.548,
                31.052,
                4,
                1180 * MIB,
                38.914,
                1180.0 / 1262.0,
            ),
            stage("(other)", 0.0, 40.617, 6, 71 * MIB, 0.31, 27.0 / 1262.0),
        ],
        jobs: vec![pool(
            JobTool::Nx,
            3,
            "tsc",
            &[487 * MIB, 181 * MIB, 160 * MIB],
        )],
        processes: Processes {
            forks: 58,
            execs: 71,
            exits: 57,
            peak_live: 14,
            top: vec![
                top(
                    4511,
                    "next-build",
                    NEXT,
                    1034 * MIB,
                    8.548,
                    Some(39.6),
                    code(0),
                ),
                top(
                    4587,
                    "next-build",
                    TSC,
                    487 * MIB,
                    27.96,
                    Some(38.97),
                    code(0),
                ),
                top(
                    4602,
                    "next-build",
                    JEST,
                    312 * MIB,
                    38.3,
                    Some(39.51),
                    signal(2),
                ),
                top(
                    4231,
                    "assemblyscript",
                    ASC,
                    280 * MIB,
                    0.911,
                    Some(4.2),
                    code(0),
                ),
                top(
                    4388,
                    "build-deps",
                    TSC_DEPS,
                    160 * MIB,
                    6.1,
                    Some(7.4),
                    code(0),
                ),
                top(
                    4302,
                    "build-deps",
                    NX_DAEMON,
                    99 * MIB,
                    5.8,
                    None,
                    ended_unseen(),
                ),
            ],
            classes: vec![
                class("node next", 1, Some(1034 * MIB), Some(1034 * MIB)),
                class("node tsc", 4, Some(487 * MIB), Some(160 * MIB)),
                class("git", 24, Some(4 * MIB), Some(3 * MIB)),
            ],
            left_running: vec![LeftRunning {
                pid: 4302,
                command: NX_DAEMON.to_owned(),
                stage: "build-deps".to_owned(),
                peak_rss_bytes: Some(99 * MIB),
            }],
        },
        oom: Oom {
            kills: Some(0),
            victims: Vec::new(),
        },
        pressure: Pressure {
            swap_peak_bytes: Some(0),
            stalled_some_s: Some(0.0),
            stalled_full_s: Some(0.0),
            events: Some(BTreeMap::new()),
            major_faults: Some(0),
            refaults_file: Some(0),
            refaults_anon: Some(0),
        },
        verify: vec![
            check("exit status", true, "0"),
            check("server/.next/BUILD_ID", true, "21 B"),
            check("server/.next/*.json", true, "11 parse as JSON"),
        ],
        profiler: profiler(271, 0.122, 9 * MIB + 220 * KIB),
        host: host(2),
        notes: vec![
            note(
                "stages[].peak_cgroup_bytes",
                "stages overlapped: the kernel's mark was not reset",
            ),
            note(
                "processes.left_running",
                "nx's daemon stays for three hours after the build, and is charged to its cgroup; \
                 `nx daemon --stop` ends it",
            ),
        ],
    }
}

/// A make of many short compilers, without stages; the same sources' page cache is most of it.
pub(crate) fn c_build() -> Report {
    let compilers = (0..11_u32).map(|index| {
        let command = format!("{CC1}{index}.c -quiet -O2 -o /tmp/cc{index}.s");
        at_peak(
            9000 + index,
            "(other)",
            &command,
            (31 - u64::from(index)) * MIB,
            40 * MIB,
            0.213,
        )
    });
    Report {
        label: "c-sed".to_owned(),
        duration_s: 26.4,
        command: words(&["make", "-j8"]),
        headline: Headline {
            bytes: Some(402 * MIB),
            source: Some("memory.peak".to_owned()),
            highest_sampled_bytes: Some(391 * MIB),
            without_cache: None,
            limit_bytes: Some(8 * GIB),
            ..monorepo().headline
        },
        peak: Some(Peak {
            at_s: 17.25,
            cgroup_bytes: Some(391 * MIB),
            capture: None,
            pss_bytes: 286 * MIB,
            pss_read_bytes: 97 * MIB,
            rss_bytes: 440 * MIB,
            composition: Some(Composition {
                anon: 202 * MIB,
                file_mapped: 12 * MIB,
                file_unmapped: 161 * MIB,
                shmem: 0,
                kernel: None,
                charged_elsewhere: 54 * MIB,
                unattributed: -2 * MIB.cast_signed(),
            }),
            stages: vec![held("(other)", 286 * MIB)],
            processes: compilers.collect(),
        }),
        stages: vec![stage("(other)", 0.0, 26.4, 5157, 286 * MIB, 17.25, 1.0)],
        jobs: vec![pool(JobTool::Make, 1555, "cc1", &[70 * MIB, 69 * MIB])],
        processes: Processes {
            forks: 5157,
            execs: 4355,
            exits: 5157,
            peak_live: 13,
            top: vec![
                top(
                    8713,
                    "(other)",
                    "ranlib libsed.a",
                    158 * MIB,
                    24.81,
                    Some(24.86),
                    code(0),
                ),
                top(8711, "(other)", AR, 157 * MIB, 24.71, Some(24.8), code(0)),
                top(8411, "(other)", CC1, 67 * MIB, 14.22, Some(17.09), code(0)),
            ],
            classes: vec![class("cc1", 1555, Some(67 * MIB), Some(38 * MIB))],
            left_running: Vec::new(),
        },
        verify: vec![check("exit status", true, "0")],
        notes: Vec::new(),
        ..monorepo()
    }
}

/// The compiler found an error; one stage was never reached.
pub(super) fn failed() -> Report {
    let report = monorepo();
    Report {
        label: "failed".to_owned(),
        duration_s: 7.912,
        verdict: Verdict::BuildFailed,
        budget: None,
        exit: code(2),
        headline: Headline {
            bytes: Some(571 * MIB),
            highest_sampled_bytes: Some(566 * MIB),
            without_cache: None,
            ..report.headline
        },
        peak: Some(Peak {
            at_s: 2.61,
            cgroup_bytes: Some(566 * MIB),
            capture: None,
            pss_bytes: 379 * MIB,
            pss_read_bytes: 379 * MIB,
            rss_bytes: 601 * MIB,
            composition: Some(Composition {
                anon: 341 * MIB,
                file_mapped: 29 * MIB,
                file_unmapped: 161 * MIB,
                shmem: 3 * MIB,
                kernel: Some(14 * MIB),
                charged_elsewhere: 0,
                unattributed: 9 * MIB.cast_signed(),
            }),
            stages: vec![held("assemblyscript", 354 * MIB), held("(other)", 25 * MIB)],
            processes: vec![
                at_peak(4231, "assemblyscript", ASC, 262 * MIB, 279 * MIB, 1.7),
                at_peak(
                    4222,
                    "assemblyscript",
                    "node /src/monorepo/node_modules/.bin/asc --target \
                    release",
                    92 * MIB,
                    131 * MIB,
                    1.9,
                ),
                at_peak(4171, "(other)", "npm run build", 25 * MIB, 57 * MIB, 2.6),
            ],
        }),
        stages: vec![
            stage(
                "assemblyscript",
                0.448,
                3.752,
                8,
                354 * MIB,
                2.61,
                354.0 / 379.0,
            ),
            stage("build-deps", 4.351, 3.5, 38, 306 * MIB, 7.02, 0.0),
            stage("(other)", 0.0, 7.912, 6, 71 * MIB, 0.31, 25.0 / 379.0),
        ],
        jobs: Vec::new(),
        processes: Processes {
            forks: 52,
            exits: 52,
            top: vec![
                top(
                    4231,
                    "assemblyscript",
                    ASC,
                    280 * MIB,
                    0.911,
                    Some(4.2),
                    code(0),
                ),
                top(
                    4388,
                    "build-deps",
                    TSC_DEPS,
                    160 * MIB,
                    6.1,
                    Some(7.4),
                    code(2),
                ),
            ],
            left_running: Vec::new(),
            ..report.processes
        },
        verify: vec![
            check("exit status", false, "2"),
            check("server/.next/BUILD_ID", false, "does not exist"),
        ],
        notes: Vec::new(),
        ..report
    }
}

/// The limit was reached, and the kernel chose a process.
pub(super) fn out_of_memory() -> Report {
    let report = monorepo();
    Report {
        label: "limited".to_owned(),
        duration_s: 29.3,
        verdict: Verdict::BuildFailed,
        budget: None,
        exit: code(137),
        headline: Headline {
            bytes: Some(GIB),
            highest_sampled_bytes: Some(1023 * MIB),
            without_cache: None,
            saturated: true,
            limit_bytes: Some(GIB),
            ..report.headline
        },
        peak: Some(Peak {
            at_s: 28.71,
            cgroup_bytes: Some(1023 * MIB),
            capture: None,
            pss_bytes: 991 * MIB,
            pss_read_bytes: 850 * MIB,
            rss_bytes: 1066 * MIB,
            composition: Some(Composition {
                anon: 979 * MIB,
                file_mapped: 12 * MIB,
                file_unmapped: 11 * MIB,
                shmem: 0,
                kernel: Some(19 * MIB),
                charged_elsewhere: 0,
                unattributed: 2 * MIB.cast_signed(),
            }),
            stages: vec![held("next-build", 964 * MIB), held("(other)", 27 * MIB)],
            processes: vec![
                at_peak(4511, "next-build", NEXT, 823 * MIB, 850 * MIB, 20.1),
                at_peak(4587, "next-build", TSC, 141 * MIB, 160 * MIB, 0.75),
                at_peak(4171, "(other)", "npm run build", 27 * MIB, 56 * MIB, 28.7),
            ],
        }),
        stages: vec![
            stage("assemblyscript", 0.448, 3.752, 8, 354 * MIB, 2.61, 0.0),
            stage("build-deps", 4.351, 4.05, 40, 306 * MIB, 7.02, 0.0),
            stage(
                "next-build",
                8.548,
                20.6,
                3,
                964 * MIB,
                28.71,
                964.0 / 991.0,
            ),
            stage("(other)", 0.0, 29.3, 6, 71 * MIB, 0.31, 27.0 / 991.0),
        ],
        jobs: Vec::new(),
        processes: Processes {
            top: vec![
                top(
                    4511,
                    "next-build",
                    NEXT,
                    861 * MIB,
                    8.548,
                    Some(29.1),
                    signal(9),
                ),
                top(
                    4231,
                    "assemblyscript",
                    ASC,
                    280 * MIB,
                    0.911,
                    Some(4.2),
                    code(0),
                ),
            ],
            left_running: Vec::new(),
            ..report.processes
        },
        pressure: Pressure {
            swap_peak_bytes: Some(12 * MIB),
            stalled_some_s: Some(4.25),
            stalled_full_s: Some(1.5),
            events: Some([("max".to_owned(), 31), ("oom_kill".to_owned(), 1)].into()),
            major_faults: Some(812),
            refaults_file: Some(5120),
            refaults_anon: None,
        },
        oom: Oom {
            kills: Some(1),
            victims: vec![OomVictim {
                pid: 4511,
                command: NEXT.to_owned(),
                stage: "next-build".to_owned(),
            }],
        },
        verify: vec![check("exit status", false, "137")],
        notes: Vec::new(),
        ..report
    }
}

/// Ctrl-C before the first sample, on a kernel that tells little: everything that may be absent is.
pub(super) fn interrupted() -> Report {
    let report = monorepo();
    Report {
        label: "interrupted".to_owned(),
        duration_s: 0.041,
        verdict: Verdict::Interrupted,
        budget: None,
        exit: ended_unseen(),
        headline: Headline {
            bytes: None,
            source: None,
            highest_sampled_bytes: None,
            without_cache: None,
            cgroup: None,
            complete: false,
            saturated: false,
            limit_bytes: None,
            escaped: Vec::new(),
        },
        peak: None,
        stages: vec![
            Stage {
                peak_pss_bytes: None,
                peak_at_s: None,
                ..stage("assemblyscript", 0.01, 0.031, 2, 0, 0.0, 0.0)
            },
            Stage {
                peak_pss_bytes: None,
                peak_at_s: None,
                ..stage("(other)", 0.0, 0.041, 1, 0, 0.0, 0.0)
            },
        ],
        jobs: Vec::new(),
        processes: Processes {
            forks: 3,
            execs: 2,
            exits: 1,
            peak_live: 3,
            top: Vec::new(),
            classes: vec![class("npm", 3, None, None)],
            left_running: vec![LeftRunning {
                pid: 77,
                command: String::new(),
                stage: "(other)".to_owned(),
                peak_rss_bytes: None,
            }],
        },
        oom: Oom {
            kills: None,
            victims: Vec::new(),
        },
        verify: Vec::new(),
        profiler: Profiler {
            samples: 0,
            samples_triggered: 0,
            samples_put_off: 0,
            sampler_cpu_s: None,
            total_cpu_s: None,
            peak_rss_bytes: None,
            ..report.profiler
        },
        host: Host {
            cgroup_version: None,
            ..report.host
        },
        notes: vec![
            note(
                "headline",
                "no cgroup with a memory controller can be made here",
            ),
            note("peak", "the build ended before the first sample"),
        ],
        ..report
    }
}

/// build-mem itself was killed: the recording ends early, and only samples tell of the cgroup.
pub(super) fn incomplete() -> Report {
    let report = monorepo();
    Report {
        label: "incomplete".to_owned(),
        verdict: Verdict::Incomplete,
        budget: None,
        exit: ended_unseen(),
        headline: Headline {
            bytes: None,
            source: None,
            complete: false,
            ..report.headline
        },
        peak: report.peak.map(|peak| Peak {
            composition: None,
            ..peak
        }),
        verify: Vec::new(),
        profiler: Profiler {
            events_lost: 12,
            samples_put_off: 3,
            ..report.profiler
        },
        notes: vec![note("recording", "it ends before the build does")],
        ..report
    }
}

/// Processes went where the headline does not see them.
pub(super) fn escaped() -> Report {
    let report = monorepo();
    Report {
        label: "escaped".to_owned(),
        verdict: Verdict::VerificationFailed,
        budget: None,
        headline: Headline {
            complete: false,
            escaped: vec![
                Escaped {
                    cgroup: "/user.slice/user-1000.slice/snap.node.node-1f0c.scope".to_owned(),
                    processes: 31,
                    peak_bytes: Some(1300 * MIB),
                },
                Escaped {
                    cgroup: "/system.slice/x.scope".to_owned(),
                    processes: 1,
                    peak_bytes: None,
                },
            ],
            ..report.headline
        },
        stages: report
            .stages
            .into_iter()
            .map(|stage| Stage {
                peak_cgroup_bytes: Some(700 * MIB),
                ..stage
            })
            .collect(),
        verify: vec![
            check("exit status", true, "0"),
            check("server/.next/BUILD_ID", false, "is empty"),
        ],
        profiler: Profiler {
            tracker: "proc".to_owned(),
            ..report.profiler
        },
        notes: Vec::new(),
        ..report
    }
}

/// Whoever writes the commands, the stages and the paths wants to own the terminal.
pub(super) fn hostile() -> Report {
    let report = monorepo();
    let texts = hostile_texts();
    let numbered = || (1..).zip(&texts);
    let each = |make: fn(u32, &str) -> ProcessAtPeak| {
        numbered().map(|(pid, text)| make(pid, text)).collect()
    };
    Report {
        label: texts[0].clone(),
        started_at: texts[4].clone(),
        command: texts.clone(),
        cwd: texts[0].clone(),
        headline: Headline {
            source: Some(texts[0].clone()),
            cgroup: Some(texts[0].clone()),
            complete: false,
            escaped: (texts.iter())
                .map(|text| Escaped {
                    cgroup: text.clone(),
                    processes: 1,
                    peak_bytes: Some(1),
                })
                .collect(),
            ..report.headline
        },
        peak: report.peak.map(|peak| Peak {
            stages: texts.iter().map(|text| held(text, 10 * MIB)).collect(),
            processes: each(|pid, text| at_peak(pid, text, text, 10 * MIB, 11 * MIB, 0.5)),
            ..peak
        }),
        stages: (texts.iter())
            .map(|text| stage(text, 0.0, 40.0, 1, 10 * MIB, 38.9, 0.1))
            .collect(),
        jobs: Vec::new(),
        processes: Processes {
            top: numbered()
                .map(|(pid, text)| top(pid, text, text, 11 * MIB, 0.0, Some(40.0), code(0)))
                .collect(),
            classes: texts
                .iter()
                .map(|text| class(text, 2, Some(MIB), None))
                .collect(),
            left_running: numbered()
                .map(|(pid, text)| LeftRunning {
                    pid,
                    command: text.clone(),
                    stage: text.clone(),
                    peak_rss_bytes: Some(0),
                })
                .collect(),
            ..report.processes
        },
        oom: Oom {
            kills: Some(9),
            victims: numbered()
                .map(|(pid, text)| OomVictim {
                    pid,
                    command: text.clone(),
                    stage: text.clone(),
                })
                .collect(),
        },
        verify: texts.iter().map(|text| check(text, false, text)).collect(),
        profiler: Profiler {
            version: texts[0].clone(),
            kernel: texts[2].clone(),
            ..report.profiler
        },
        notes: texts.iter().map(|text| note(text, text)).collect(),
        ..report
    }
}

/// A result that build-mem would not write: figures at the ends of their ranges and beyond.
pub(super) fn odd() -> Report {
    let report = monorepo();
    Report {
        duration_s: f64::NAN,
        exit: signal(i32::MAX),
        headline: Headline {
            bytes: Some(u64::MAX),
            saturated: true,
            limit_bytes: None,
            ..report.headline
        },
        peak: Some(Peak {
            at_s: -1e300,
            cgroup_bytes: Some(0),
            capture: None,
            pss_bytes: u64::MAX,
            pss_read_bytes: 0,
            rss_bytes: u64::MAX,
            composition: Some(Composition {
                anon: u64::MAX,
                file_mapped: u64::MAX,
                file_unmapped: u64::MAX,
                shmem: u64::MAX,
                kernel: Some(u64::MAX),
                charged_elsewhere: 0,
                unattributed: i64::MIN,
            }),
            stages: vec![held("a", u64::MAX), held("b", u64::MAX)],
            processes: (0..99)
                .map(|pid| at_peak(pid, "a", "x", u64::MAX, u64::MAX, f64::INFINITY))
                .collect(),
        }),
        stages: vec![
            stage("a", 0.0, f64::INFINITY, u64::MAX, u64::MAX, -1.0, f64::NAN),
            stage("b", 0.0, -1.0, u64::MAX, u64::MAX, 1e9, 1e9),
        ],
        jobs: Vec::new(),
        processes: Processes {
            forks: u64::MAX,
            top: vec![top(
                u32::MAX,
                "a",
                "x",
                u64::MAX,
                -1.0,
                Some(-2.0),
                code(i32::MIN),
            )],
            ..report.processes
        },
        oom: Oom {
            kills: Some(u64::MAX),
            victims: Vec::new(),
        },
        profiler: Profiler {
            events_lost: u64::MAX,
            ..report.profiler
        },
        ..report
    }
}

fn hostile_texts() -> Vec<String> {
    vec![
        "sh\n-c\r\n\x1b[2J\x1b]0;title\x07 rm\t-rf \u{9b}31m\u{7f}\u{85}".to_owned(),
        format!("cc {} -o /b/{}last.o", "-DX=1 ".repeat(40), "d/".repeat(50)),
        "漢字".repeat(40),
        format!("echo 'e{}'", "\u{301}".repeat(500)),
        "echo \u{202e}desrever\u{202c} \u{2066}x\u{2069} a\u{200b}b \u{2028}\u{2029}".to_owned(),
        "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} 🇩🇪 👍🏽 ".repeat(9),
        String::new(),
        "/".repeat(300),
        "x".repeat(700),
    ]
}

/// One process, over at once.
pub(super) fn tiny() -> Report {
    let report = monorepo();
    Report {
        label: "tiny".to_owned(),
        duration_s: 0.013,
        command: words(&["true"]),
        headline: Headline {
            bytes: Some(812 * KIB),
            highest_sampled_bytes: Some(640 * KIB),
            without_cache: None,
            ..report.headline
        },
        peak: Some(Peak {
            at_s: 0.002,
            cgroup_bytes: Some(640 * KIB),
            capture: None,
            pss_bytes: 190 * KIB,
            pss_read_bytes: 190 * KIB,
            rss_bytes: 1400 * KIB,
            composition: Some(Composition {
                anon: 92 * KIB,
                file_mapped: 0,
                file_unmapped: 320 * KIB,
                shmem: 0,
                kernel: Some(130 * KIB),
                charged_elsewhere: 0,
                unattributed: 0,
            }),
            stages: vec![held("(other)", 190 * KIB)],
            processes: vec![at_peak(5, "(other)", "true", 190 * KIB, 1400 * KIB, 0.002)],
        }),
        stages: vec![stage("(other)", 0.0, 0.013, 1, 190 * KIB, 0.002, 1.0)],
        jobs: Vec::new(),
        processes: Processes {
            forks: 1,
            execs: 1,
            exits: 1,
            peak_live: 1,
            top: vec![top(
                5,
                "(other)",
                "true",
                1400 * KIB,
                0.0,
                Some(0.013),
                code(0),
            )],
            classes: vec![class("true", 1, Some(1400 * KIB), Some(1400 * KIB))],
            left_running: Vec::new(),
        },
        verify: vec![check("exit status", true, "0")],
        profiler: profiler(1, 0.0001, 9 * MIB),
        notes: Vec::new(),
        ..report
    }
}

/// Its peak fell between two samples: it was over before the second.
pub(super) fn missed() -> Report {
    let report = failed();
    Report {
        label: "missed".to_owned(),
        duration_s: 0.068,
        headline: Headline {
            bytes: Some(135 * MIB),
            highest_sampled_bytes: Some(39 * MIB),
            without_cache: None,
            ..report.headline
        },
        peak: Some(Peak {
            at_s: 0.012,
            cgroup_bytes: Some(39 * MIB),
            capture: None,
            pss_bytes: 35 * MIB,
            pss_read_bytes: 35 * MIB,
            rss_bytes: 53 * MIB,
            composition: Some(Composition {
                anon: 31 * MIB,
                file_mapped: 3 * MIB,
                file_unmapped: 2 * MIB,
                shmem: 0,
                kernel: Some(2 * MIB),
                charged_elsewhere: 0,
                unattributed: 0,
            }),
            stages: vec![held("assemblyscript", 34 * MIB), held("(other)", MIB)],
            processes: vec![
                at_peak(4222, "assemblyscript", ASC, 34 * MIB, 51 * MIB, 0.009),
                at_peak(4171, "(other)", "npm run build", MIB, 2 * MIB, 0.012),
            ],
        }),
        stages: vec![
            stage(
                "assemblyscript",
                0.003,
                0.065,
                2,
                34 * MIB,
                0.012,
                34.0 / 35.0,
            ),
            stage("(other)", 0.0, 0.068, 1, MIB, 0.012, 1.0 / 35.0),
        ],
        jobs: Vec::new(),
        processes: Processes {
            forks: 3,
            execs: 3,
            exits: 3,
            peak_live: 3,
            top: vec![
                top(
                    4231,
                    "assemblyscript",
                    ASC,
                    96 * MIB,
                    0.014,
                    Some(0.067),
                    code(2),
                ),
                top(
                    4222,
                    "assemblyscript",
                    ASC,
                    58 * MIB,
                    0.003,
                    Some(0.068),
                    code(2),
                ),
            ],
            ..report.processes
        },
        profiler: profiler(1, 0.0002, 9 * MIB),
        ..report
    }
}

const ROOT_SCRIPT: &str = "sh -c 'npm run build:assemblyscript && npx nx build-deps server && cd server \
    && NODE_OPTIONS=--max-old-space-size=8192 next build --turbo'";
const NEXT: &str = "node /src/monorepo/node_modules/.bin/next build --turbo";
const TSC: &str = "/usr/bin/node /src/monorepo/node_modules/typescript/bin/tsc --project \
    /src/monorepo/server/tsconfig.json --noEmit --declarationMap false --emitDeclarationOnly false \
    --tsBuildInfoFile /src/monorepo/server/.next/cache/.tsbuildinfo";
const TSC_DEPS: &str =
    "node /src/monorepo/node_modules/.bin/tsc -p packages/core/tsconfig.build.json";
const JEST: &str =
    "/usr/bin/node /src/monorepo/node_modules/next/dist/compiled/jest-worker/processChild.js";
const NX_DAEMON: &str =
    "/usr/bin/node /src/monorepo/node_modules/nx/dist/src/daemon/server/start.js";
const ASC: &str =
    "/usr/bin/node --enable-source-maps /src/monorepo/node_modules/.bin/asc --target release";
const CC1: &str = "/usr/lib/gcc/x86_64-linux-gnu/14/cc1 -quiet -I . -I ../lib -imultiarch \
    x86_64-linux-gnu -D HAVE_CONFIG_H -D LOCALEDIR=\"/usr/share/locale\" regex";
const AR: &str =
    "ar cr libsed.a lib/acl-errno-valid.o lib/acl-internal.o lib/get-permissions.o lib/obstack.o";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const fn code(code: i32) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
    }
}

const fn signal(signal: i32) -> Exit {
    Exit {
        code: None,
        signal: Some(signal),
    }
}

const fn ended_unseen() -> Exit {
    Exit {
        code: None,
        signal: None,
    }
}

fn held(name: &str, pss_bytes: u64) -> StageAtPeak {
    StageAtPeak {
        name: name.to_owned(),
        pss_bytes,
    }
}

fn at_peak(pid: u32, stage: &str, command: &str, pss: u64, rss: u64, age_s: f64) -> ProcessAtPeak {
    ProcessAtPeak {
        pid,
        ppid: pid.checked_sub(2),
        stage: stage.to_owned(),
        command: command.to_owned(),
        command_lossy: false,
        pss_bytes: Some(pss),
        rss_bytes: Some(rss),
        age_s,
    }
}

fn stage(
    name: &str,
    started_s: f64,
    wall_s: f64,
    processes: u64,
    peak_pss: u64,
    peak_at_s: f64,
    share_of_peak: f64,
) -> Stage {
    Stage {
        name: name.to_owned(),
        started_s,
        wall_s,
        processes,
        peak_pss_bytes: Some(peak_pss),
        peak_at_s: Some(peak_at_s),
        peak_cgroup_bytes: None,
        share_of_peak,
    }
}

fn top(
    pid: u32,
    stage: &str,
    command: &str,
    peak_rss_bytes: u64,
    started_s: f64,
    ended_s: Option<f64>,
    exit: Exit,
) -> TopProcess {
    TopProcess {
        pid,
        command: command.to_owned(),
        command_lossy: false,
        stage: stage.to_owned(),
        peak_rss_bytes,
        started_s,
        ended_s,
        exit,
    }
}

fn class(name: &str, count: u64, max: Option<u64>, p50: Option<u64>) -> ProcessClass {
    ProcessClass {
        command_class: name.to_owned(),
        count,
        peak_rss_max_bytes: max,
        peak_rss_p50_bytes: p50,
        peak_concurrency: count.min(2),
        pss_at_peak_bytes: 0,
        share_of_peak: 0.0,
    }
}

fn pool(tool: JobTool, jobs: u64, class: &str, largest: &[u64]) -> JobPool {
    JobPool {
        tool,
        jobs,
        unmeasured: 0,
        peak_concurrency: 2,
        typical_bytes: largest.last().copied(),
        largest_class: Some(class.to_owned()),
        beside_bytes: Some(120 * MIB),
        others_bytes: Some(150 * MIB),
        largest_bytes: largest.to_vec(),
    }
}

fn check(path: &str, ok: bool, detail: &str) -> VerifyCheck {
    VerifyCheck {
        path: path.to_owned(),
        ok,
        detail: detail.to_owned(),
        bytes: detail
            .parse::<ByteSize>()
            .ok()
            .filter(|_| path != "exit status")
            .map(ByteSize::bytes),
    }
}

fn note(what: &str, why: &str) -> Note {
    Note {
        what: what.to_owned(),
        why: why.to_owned(),
    }
}

fn profiler(samples: u64, sampler_cpu_s: f64, peak_rss: u64) -> Profiler {
    Profiler {
        version: "0.1.0".to_owned(),
        kernel: "6.12.107".to_owned(),
        tracker: "ebpf".to_owned(),
        interval_ms: 150,
        samples,
        samples_triggered: samples / 7,
        samples_put_off: 0,
        events_lost: 0,
        sampler_cpu_s: Some(sampler_cpu_s),
        total_cpu_s: Some(sampler_cpu_s * 1.5),
        peak_rss_bytes: Some(peak_rss),
    }
}

fn host(cpus: u64) -> Host {
    Host {
        cpus,
        memory_bytes: 16 * GIB,
        cgroup_version: Some(2),
        image: None,
    }
}

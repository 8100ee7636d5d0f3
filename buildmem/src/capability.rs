//! Finds what this host can measure: each mechanism is tried once, and the system's own reason is kept. Nothing
//! is concluded from version numbers.

mod cgroup;
mod pss;
mod surroundings;

use std::env;
use std::path::PathBuf;

use rustix::process::geteuid;

pub use crate::diagnosis::{Capabilities, Capability, Mechanism, SCHEMA, Status};
use crate::launch::privileges::suffice_for_ebpf;
use crate::observe::bpf::{CPU_CLOCK, RELEASE_FUNCTION, TriedHook, is_needed};
use crate::observe::cgroup::Hierarchy;
use crate::observe::host;
use crate::problem::Problem;

/// Where the system's file systems are.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/`.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            root: PathBuf::from("/"),
        }
    }
}

/// Where the row of the capabilities tells it.
const AS_FOR_CAPABILITIES: &str = "as for the capabilities";

const NO_SMALL_PEAKS: &str = "the peak of a process is not known where a program that it ran before, or its parent, had a higher one";
const NO_WAKE: &str = "memory is looked at every 10 ms instead: a shorter spike may be missed, and looking costs more";
const NO_EVENTS: &str = "no process is seen; `run --tracker proc` polls, and misses short ones";

/// The tracepoints that a run follows, in the order of the table.
const HOOKS: [(Mechanism, &str); 5] = [
    (Mechanism::ForkHook, "sched_process_fork"),
    (Mechanism::ExecHook, "sched_process_exec"),
    (Mechanism::ExitHook, "sched_process_exit"),
    (Mechanism::CgroupHook, "cgroup_attach_task"),
    (Mechanism::OomHook, "mark_victim"),
];

impl Capabilities {
    /// Tries everything that a run needs. `try_hooks` loads and attaches the real programs, and lets them go.
    ///
    /// Makes a cgroup beside where the build's would be, and removes it.
    pub fn detect(
        roots: &Roots,
        try_hooks: impl FnOnce() -> Result<Vec<TriedHook>, Problem>,
    ) -> Self {
        let container = env::var("container").ok();
        let container_hints = host::container_hints(&roots.root, &roots.proc, container.as_deref());
        let in_container = !container_hints.is_empty();
        let tried = try_hooks();
        let ebpf_works = tried.as_ref().is_ok_and(|hooks| {
            let needed = hooks.iter().filter(|(name, _)| is_needed(name));
            needed.clone().all(|(_, outcome)| outcome.is_ok())
        });
        let hierarchy = Hierarchy::detect(&roots.proc);
        let cgroup_version = hierarchy
            .as_ref()
            .ok()
            .map(|hierarchy| hierarchy.version.number());
        let mut capabilities = vec![
            surroundings::kernel(),
            surroundings::kernel_types(&roots.sys),
            surroundings::capabilities(&roots.proc, in_container),
            surroundings::locked_memory(tried.as_ref().err()),
            surroundings::lockdown(&roots.sys),
            surroundings::container(&container_hints),
        ];
        capabilities.extend(ebpf(tried));
        capabilities.extend(cgroup::rows(&roots.proc, hierarchy, ebpf_works));
        capabilities.push(pss::row(&roots.proc));
        capabilities.push(build_user(
            geteuid().is_root(),
            env::var("SUDO_USER").ok().as_deref(),
        ));
        Self {
            kernel: host::kernel_release(),
            container_hints,
            cgroup_version,
            capabilities,
        }
    }
}

/// What mends a refusal of eBPF.
fn mend_of(problem: &Problem) -> Option<String> {
    if suffice_for_ebpf() {
        problem.help.clone()
    } else {
        Some(AS_FOR_CAPABILITIES.to_owned())
    }
}

/// The programs as a whole, and each tracepoint.
fn ebpf(tried: Result<Vec<TriedHook>, Problem>) -> Vec<Capability> {
    let (whole, outcomes) = match tried {
        Ok(hooks) => (
            Capability::ok(Mechanism::Ebpf, "maps and programs can be loaded"),
            Some(hooks),
        ),
        Err(problem) => (
            Capability::failed(Mechanism::Ebpf, problem.to_string(), NO_EVENTS)
                .mend(mend_of(&problem)),
            None,
        ),
    };
    let hook = |(mechanism, tracepoint)| {
        let Some(outcomes) = &outcomes else {
            return Capability::untried(mechanism, "there are no programs to attach");
        };
        match outcomes.iter().find(|(name, _)| *name == tracepoint) {
            Some((_, Ok(()))) => Capability::ok(mechanism, format!("`{tracepoint}`")),
            Some((_, Err(problem))) => {
                // The row says which it is.
                let reason = problem.cause.as_ref().unwrap_or(&problem.what);
                Capability::failed(mechanism, reason, NO_EVENTS).mend(mend_of(problem))
            }
            None => Capability::untried(mechanism, format!("no program is for `{tracepoint}`")),
        }
    };
    let release = outcomes.as_deref().map_or_else(
        || Capability::untried(Mechanism::ReleaseHook, "there are no programs to attach"),
        release,
    );
    let faults = outcomes.as_deref().map_or_else(
        || Capability::untried(Mechanism::GrowthHook, "there are no programs to attach"),
        faults,
    );
    [whole]
        .into_iter()
        .chain(HOOKS.map(hook))
        .chain([release, faults])
        .collect()
}

/// What has samples taken as memory grows.
fn faults(outcomes: &[TriedHook]) -> Capability {
    let mechanism = Mechanism::GrowthHook;
    match outcomes.iter().find(|(name, _)| *name == CPU_CLOCK) {
        Some((_, Err(problem))) => {
            let reason = problem.cause.as_ref().unwrap_or(&problem.what);
            Capability::failed(mechanism, reason, NO_WAKE)
        }
        Some((_, Ok(()))) => Capability::ok(mechanism, format!("perf event `{CPU_CLOCK}`")),
        None => Capability::untried(mechanism, format!("no program is for `{CPU_CLOCK}`")),
    }
}

/// The function that stands in for the tracepoint of exit where that comes too late.
fn release(outcomes: &[TriedHook]) -> Capability {
    let mechanism = Mechanism::ReleaseHook;
    match outcomes.iter().find(|(name, _)| *name == RELEASE_FUNCTION) {
        None => Capability::ok(mechanism, "the hook of exit sees it"),
        Some((_, Ok(()))) => Capability::ok(mechanism, format!("`{RELEASE_FUNCTION}`")),
        Some((_, Err(problem))) => {
            let reason = problem.cause.as_ref().unwrap_or(&problem.what);
            Capability::failed(mechanism, reason, NO_SMALL_PEAKS)
                .mend("boot Linux 6.16 or later".to_owned())
        }
    }
}

fn build_user(is_root: bool, sudo_user: Option<&str>) -> Capability {
    let mechanism = Mechanism::BuildUser;
    match (is_root, sudo_user) {
        (false, _) => Capability::ok(mechanism, "yourself"),
        (true, Some(user)) if user != "root" => {
            Capability::ok(mechanism, format!("`{user}`, who called sudo"))
        }
        (true, _) => Capability::limited(
            mechanism,
            "root: no other user called sudo",
            "files that the build writes belong to root",
        )
        .mend("where that matters: `build-mem run --user NAME …`, or sudo as that user".to_owned()),
    }
}

/// A capability in one line, for tests.
#[cfg(test)]
fn shown(capability: &Capability) -> String {
    let Capability {
        mechanism: _,
        status,
        detail,
        cost,
        mend,
    } = capability;
    format!("{status:?}: {detail} → {cost:?} {mend:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ebpf_shown(tried: Result<Vec<TriedHook>, Problem>) -> String {
        let lines: Vec<_> = ebpf(tried)
            .iter()
            .map(|row| format!("{:?} {}", row.mechanism, shown(row)))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn each_hook_is_told_with_its_reason() {
        let problem = Problem::new("cannot attach to tracepoint `mark_victim`")
            .because("no such file or directory (os error 2)")
            .help("the kernel may be too old");
        let tried = HOOKS
            .map(|(mechanism, name)| match mechanism {
                Mechanism::OomHook => (
                    name,
                    Err(Problem {
                        what: problem.what.clone(),
                        cause: problem.cause.clone(),
                        help: problem.help.clone(),
                        kind: problem.kind,
                    }),
                ),
                _ => (name, Ok(())),
            })
            .into();
        insta::assert_snapshot!(ebpf_shown(Ok(tried)), @r#"
        Ebpf Ok: maps and programs can be loaded → None None
        ForkHook Ok: `sched_process_fork` → None None
        ExecHook Ok: `sched_process_exec` → None None
        ExitHook Ok: `sched_process_exit` → None None
        CgroupHook Ok: `cgroup_attach_task` → None None
        OomHook Failed: no such file or directory (os error 2) → Some("no process is seen; `run --tracker proc` polls, and misses short ones") Some("the kernel may be too old")
        ReleaseHook Ok: the hook of exit sees it → None None
        GrowthHook Untried: no program is for `cpu-clock` → None None
        "#);
    }

    #[test]
    fn refused_programs_are_shown_with_reason_and_what_mends_it() {
        let problem = Problem::new("cannot load the eBPF programs")
            .because("operation not permitted (os error 1)")
            .help("run with sudo");
        insta::assert_snapshot!(ebpf_shown(Err(problem)), @r#"
        Ebpf Failed: cannot load the eBPF programs: operation not permitted (os error 1) → Some("no process is seen; `run --tracker proc` polls, and misses short ones") Some("run with sudo")
        ForkHook Untried: there are no programs to attach → None None
        ExecHook Untried: there are no programs to attach → None None
        ExitHook Untried: there are no programs to attach → None None
        CgroupHook Untried: there are no programs to attach → None None
        OomHook Untried: there are no programs to attach → None None
        ReleaseHook Untried: there are no programs to attach → None None
        GrowthHook Untried: there are no programs to attach → None None
        "#);
    }

    #[test]
    fn the_build_runs_as_whoever_called_sudo() {
        insta::assert_snapshot!(shown(&build_user(true, Some("dev"))), @"Ok: `dev`, who called sudo → None None");
        insta::assert_snapshot!(shown(&build_user(true, Some("root"))), @r#"Limited: root: no other user called sudo → Some("files that the build writes belong to root") Some("where that matters: `build-mem run --user NAME …`, or sudo as that user")"#);
        insta::assert_snapshot!(shown(&build_user(false, None)), @"Ok: yourself → None None");
    }

    #[test]
    #[ignore = "needs root and a writable cgroup: cargo xtask test"]
    fn everything_is_there_for_root() {
        let every_hook = || Ok(HOOKS.map(|(_, name)| (name, Ok(()))).into());
        let found = Capabilities::detect(&Roots::default(), every_hook);
        let gaps: Vec<_> = found.gaps().collect();
        assert!(found.complete(), "{gaps:?}");
        for mechanism in [
            Mechanism::Capabilities,
            Mechanism::KernelTypes,
            Mechanism::CgroupVersion,
        ] {
            assert_eq!(found.get(mechanism).unwrap().status, Status::Ok);
        }
        let mut mechanisms: Vec<_> = found
            .capabilities
            .iter()
            .map(|row| row.mechanism.label())
            .collect();
        assert_eq!(mechanisms.len(), 22);
        mechanisms.dedup();
        assert_eq!(mechanisms.len(), 22, "one is there twice");
    }
}

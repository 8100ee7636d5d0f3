//! What a host can measure, as a plain value: found by [`capability`](crate::capability), shown by
//! [`export::doctor`](crate::export::doctor), and made by hand in tests.

use serde::Serialize;

/// The version of the value's form in JSON.
pub const SCHEMA: &str = "build-mem/doctor/1";

/// What a host can measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The kernel's release, as `uname -r` shows it.
    pub kernel: String,
    /// What says that this is a container; empty when nothing does.
    pub container_hints: Vec<String>,
    /// 1 or 2: the cgroup file system that has the memory controller; absent where neither can be used.
    pub cgroup_version: Option<u8>,
    /// What was tried, each [`Mechanism`] once, in their order.
    pub capabilities: Vec<Capability>,
}

/// One mechanism, and what came of trying it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What was tried.
    pub mechanism: Mechanism,
    /// Whether it can be used.
    pub status: Status,
    /// What was found, or the system's reason.
    pub detail: String,
    /// What a run lacks without it; absent when nothing.
    pub cost: Option<String>,
    /// What mends it, with the command; absent when nothing is to be done.
    pub mend: Option<String>,
}

/// Something that a run makes use of, or that explains why it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// The kernel's release and machine.
    Kernel,
    /// The kernel's description of its own types (BTF), by which the eBPF programs find their fields.
    KernelTypes,
    /// Those of capabilities(7) that a run makes use of.
    Capabilities,
    /// The limit of locked memory, by which eBPF maps were counted before Linux 5.11.
    LockedMemory,
    /// The kernel's lockdown mode, kernel_lockdown(7).
    Lockdown,
    /// Whether this is a container.
    Container,
    /// The eBPF object, loaded into the kernel.
    Ebpf,
    /// The tracepoint of fork.
    ForkHook,
    /// The tracepoint of exec.
    ExecHook,
    /// The tracepoint of exit.
    ExitHook,
    /// The tracepoint of a move to another cgroup.
    CgroupHook,
    /// The tracepoint of the out-of-memory killer's choice.
    OomHook,
    /// The function in which a process gives up its address space, where the tracepoint of exit comes later.
    ReleaseHook,
    /// The software perf event of a CPU's clock, by which samples follow memory.
    GrowthHook,
    /// The cgroup file system with the memory controller.
    CgroupVersion,
    /// Whether a cgroup can be made there that holds the build alone.
    BuildCgroup,
    /// That cgroup's high-water mark.
    Headline,
    /// Whether that mark can begin anew.
    PeakReset,
    /// That cgroup's memory.stat.
    Composition,
    /// Proportional set size of the build's processes.
    Pss,
    /// Pressure stall information: how long processes waited for memory.
    Pressure,
    /// Whom the build runs as.
    BuildUser,
}

impl Mechanism {
    /// Its name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::KernelTypes => "kernel types (BTF)",
            Self::Capabilities => "capabilities",
            Self::LockedMemory => "memlock",
            Self::Lockdown => "lockdown",
            Self::Container => "container",
            Self::Ebpf => "eBPF",
            Self::ForkHook => "hook: fork",
            Self::ExecHook => "hook: exec",
            Self::ExitHook => "hook: exit",
            Self::CgroupHook => "hook: cgroup move",
            Self::OomHook => "hook: out of memory",
            Self::ReleaseHook => "hook: address space",
            Self::GrowthHook => "hook: CPU clock",
            Self::CgroupVersion => "cgroup",
            Self::BuildCgroup => "cgroup delegation",
            Self::Headline => "memory.peak",
            Self::PeakReset => "memory.peak reset",
            Self::Composition => "memory.stat",
            Self::Pss => "PSS",
            Self::Pressure => "pressure (PSI)",
            Self::BuildUser => "build's user",
        }
    }

    /// Whether a complete run needs it. The others explain why one of these is missing, or concern something else
    /// than what a run measures.
    pub const fn is_needed(self) -> bool {
        match self {
            Self::Ebpf
            | Self::ForkHook
            | Self::ExecHook
            | Self::ExitHook
            | Self::CgroupHook
            | Self::OomHook
            | Self::CgroupVersion
            | Self::BuildCgroup
            | Self::Headline
            | Self::Composition
            | Self::Pss => true,
            Self::Kernel
            | Self::KernelTypes
            | Self::Capabilities
            | Self::LockedMemory
            | Self::Lockdown
            | Self::Container
            | Self::PeakReset
            | Self::ReleaseHook
            | Self::GrowthHook
            | Self::Pressure
            | Self::BuildUser => false,
        }
    }
}

/// Whether a mechanism can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It can, or nothing is in the way.
    Ok,
    /// In part.
    Limited,
    /// It cannot.
    Failed,
    /// It was not tried, since what it builds on failed.
    Untried,
}

impl Capabilities {
    /// What came of trying a mechanism; absent when it is not in the list.
    pub fn get(&self, mechanism: Mechanism) -> Option<&Capability> {
        self.capabilities
            .iter()
            .find(|capability| capability.mechanism == mechanism)
    }

    /// What a complete run needs and does not have in full.
    pub fn gaps(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|capability| {
            capability.mechanism.is_needed() && capability.status != Status::Ok
        })
    }

    /// Whether a run here measures everything that it should.
    pub fn complete(&self) -> bool {
        self.gaps().next().is_none()
    }
}

impl Capability {
    /// It can be used.
    pub fn ok(mechanism: Mechanism, detail: impl Into<String>) -> Self {
        Self {
            mechanism,
            status: Status::Ok,
            detail: detail.into(),
            cost: None,
            mend: None,
        }
    }

    /// It can be used in part, which has this cost.
    pub fn limited(
        mechanism: Mechanism,
        detail: impl Into<String>,
        cost: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Limited,
            cost: Some(cost.into()),
            ..Self::ok(mechanism, detail)
        }
    }

    /// It cannot be used, which has this cost.
    pub fn failed(
        mechanism: Mechanism,
        detail: impl Into<String>,
        cost: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Failed,
            ..Self::limited(mechanism, detail, cost)
        }
    }

    /// It was not tried, for this reason. What it costs is told where the reason is, or with
    /// [`costing`](Self::costing).
    pub fn untried(mechanism: Mechanism, detail: impl Into<String>) -> Self {
        Self {
            status: Status::Untried,
            ..Self::ok(mechanism, detail)
        }
    }

    /// With what a run lacks without it.
    #[must_use]
    pub fn costing(mut self, cost: impl Into<String>) -> Self {
        self.cost = Some(cost.into());
        self
    }

    /// With what mends it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<Option<String>>) -> Self {
        self.mend = mend.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(capabilities: Vec<Capability>) -> Capabilities {
        Capabilities {
            kernel: "6.18.0".to_owned(),
            container_hints: Vec::new(),
            cgroup_version: Some(2),
            capabilities,
        }
    }

    #[test]
    fn a_run_is_complete_when_nothing_that_it_needs_is_missing() {
        let headline = Capability::ok(Mechanism::Headline, "memory.peak");
        let user = Capability::limited(Mechanism::BuildUser, "root", "files belong to root");
        let pss = Capability::limited(Mechanism::Pss, "own processes only", "RSS for the others");
        assert!(with(vec![headline.clone(), user.clone()]).complete());
        let host = with(vec![headline, user, pss.clone()]);
        assert!(!host.complete());
        assert_eq!(host.gaps().collect::<Vec<_>>(), [&pss]);
        assert_eq!(host.get(Mechanism::Pss), Some(&pss));
        assert_eq!(host.get(Mechanism::Composition), None);
        // What was not tried is not there.
        let untried = Capability::untried(Mechanism::ForkHook, "there are no programs");
        assert!(!with(vec![untried]).complete());
    }
}

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
    /// Files that say that this is a container; empty when there are none.
    pub container_hints: Vec<String>,
    /// 1 or 2: the cgroup file system that has the memory controller; absent where neither can be used.
    pub cgroup_version: Option<u8>,
    /// What was tried, in the order in which a run needs it.
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
    /// What to do about it, with the command; absent when nothing is to be done.
    pub help: Option<String>,
}

/// Something that a run makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// The user and capabilities(7) of this process.
    Privileges,
    /// The kernel's description of its own types (BTF), by which the eBPF programs find their fields.
    KernelTypes,
    /// Fork, exec and exit of every process, through eBPF.
    ProcessEvents,
    /// A cgroup that holds the build alone.
    BuildCgroup,
    /// That cgroup's high-water mark.
    Headline,
    /// That cgroup's memory.stat.
    Composition,
    /// Proportional set size of the build's processes.
    Pss,
    /// Whom the build runs as.
    BuildUser,
}

impl Mechanism {
    /// Its name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Privileges => "privileges",
            Self::KernelTypes => "kernel types (BTF)",
            Self::ProcessEvents => "eBPF process events",
            Self::BuildCgroup => "cgroup for the build",
            Self::Headline => "headline",
            Self::Composition => "composition",
            Self::Pss => "PSS",
            Self::BuildUser => "build's user",
        }
    }

    /// Whether a complete run needs it. The others explain why one of these is missing, or concern something else
    /// than the measurement.
    pub const fn is_needed(self) -> bool {
        match self {
            Self::ProcessEvents
            | Self::BuildCgroup
            | Self::Headline
            | Self::Composition
            | Self::Pss => true,
            Self::Privileges | Self::KernelTypes | Self::BuildUser => false,
        }
    }
}

/// Whether a mechanism can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It can.
    Yes,
    /// In part.
    Limited,
    /// It cannot.
    No,
}

impl Status {
    /// As people read it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Limited => "limited",
            Self::No => "no",
        }
    }
}

impl Capabilities {
    /// What came of trying a mechanism; absent when it was not tried.
    pub fn get(&self, mechanism: Mechanism) -> Option<&Capability> {
        self.capabilities
            .iter()
            .find(|capability| capability.mechanism == mechanism)
    }

    /// What a complete run needs and does not have in full.
    pub fn gaps(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|capability| {
            capability.mechanism.is_needed() && capability.status != Status::Yes
        })
    }

    /// Whether a run here measures everything that it should.
    pub fn complete(&self) -> bool {
        self.gaps().next().is_none()
    }
}

impl Capability {
    /// It can be used.
    pub fn yes(mechanism: Mechanism, detail: impl Into<String>) -> Self {
        Self {
            mechanism,
            status: Status::Yes,
            detail: detail.into(),
            cost: None,
            help: None,
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
            ..Self::yes(mechanism, detail)
        }
    }

    /// It cannot be used, which has this cost.
    pub fn no(mechanism: Mechanism, detail: impl Into<String>, cost: impl Into<String>) -> Self {
        Self {
            status: Status::No,
            ..Self::limited(mechanism, detail, cost)
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
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
        let headline = Capability::yes(Mechanism::Headline, "memory.peak");
        let user = Capability::limited(Mechanism::BuildUser, "root", "files belong to root");
        let pss = Capability::limited(Mechanism::Pss, "own processes only", "RSS for the others");
        assert!(with(vec![headline.clone(), user.clone()]).complete());
        let host = with(vec![headline, user, pss.clone()]);
        assert!(!host.complete());
        assert_eq!(host.gaps().collect::<Vec<_>>(), [&pss]);
        assert_eq!(host.get(Mechanism::Pss), Some(&pss));
        assert_eq!(host.get(Mechanism::Composition), None);
    }
}

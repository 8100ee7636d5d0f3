//! The build's cgroup, and what it tells: tried with a leaf as a run makes it.

use std::fs;
use std::io;
use std::path::Path;

use crate::diagnosis::{Capability, Mechanism};
use crate::observe::bpf::WATERMARK;
use crate::observe::cgroup::{Hierarchy, Leaf, Version};
use crate::problem::Problem;
use crate::reading::Reading;

const NO_CGROUP: &str =
    "the build's memory cannot be told from that of others, and `--memory` cannot be had";
const SHARED_CGROUP: &str = "the container's own cgroup is measured, with build-mem and whatever else is or was in it; \
     `--memory` cannot be had";
const NO_HEADLINE: &str =
    "no headline: only the highest sampled usage, which may miss the true peak";
const NO_RESET: &str = "the kernel's mark cannot be had of a part of a run";
const NO_COMPOSITION: &str = "the peak is not told by kind of memory";
const NO_PRESSURE: &str = "how long the build waited for memory cannot be told";

/// The file system, whether a leaf can be made in it, and what the leaf shows. `ebpf_works`: a high-water mark that no
/// file shows can be read by eBPF.
pub(super) fn rows(
    proc_root: &Path,
    hierarchy: Result<Hierarchy, Problem>,
    ebpf_works: bool,
) -> [Capability; 6] {
    let without_leaf = |version: Capability, delegation: Capability| {
        let untried = |mechanism, cost: &str| {
            Capability::untried(mechanism, "there is no cgroup to try it with").costing(cost)
        };
        [
            version,
            delegation,
            untried(Mechanism::Headline, NO_HEADLINE),
            untried(Mechanism::PeakReset, NO_RESET),
            untried(Mechanism::Composition, NO_COMPOSITION),
            untried(Mechanism::Pressure, NO_PRESSURE),
        ]
    };
    let hierarchy = match hierarchy {
        Ok(hierarchy) => hierarchy,
        Err(problem) => {
            return without_leaf(
                Capability::failed(Mechanism::CgroupVersion, problem.to_string(), NO_CGROUP)
                    .mend(problem.help),
                Capability::untried(
                    Mechanism::BuildCgroup,
                    "there is no cgroup file system with the memory controller",
                ),
            );
        }
    };
    let version = Capability::ok(
        Mechanism::CgroupVersion,
        format!(
            "v{} at `{}`, ours is `{}`",
            hierarchy.version.number(),
            hierarchy.mount_point.display(),
            hierarchy.own_path
        ),
    );
    let (mut leaf, why_shared) = match Leaf::for_build(&hierarchy) {
        Ok(leaf) => leaf,
        Err(problem) => {
            let delegation =
                Capability::failed(Mechanism::BuildCgroup, problem.to_string(), NO_CGROUP)
                    .mend(problem.help);
            return without_leaf(version, delegation);
        }
    };
    let headline = headline(&leaf, ebpf_works);
    let reset = reset(&leaf);
    let composition = composition(&mut leaf);
    let pressure = match hierarchy.version {
        Version::V1 => host_pressure(&proc_root.join("pressure/memory")),
        Version::V2 => leaf_pressure(&leaf.dir().join("memory.pressure")),
    };
    [
        version,
        delegation(leaf, why_shared),
        headline,
        reset,
        composition,
        pressure,
    ]
}

fn delegation(leaf: Leaf, why_shared: Option<Problem>) -> Capability {
    let mechanism = Mechanism::BuildCgroup;
    if let Some(problem) = why_shared {
        return Capability::limited(mechanism, problem.to_string(), SHARED_CGROUP)
            .mend(problem.help);
    }
    let parent = leaf.dir().parent().map(Path::to_owned).unwrap_or_default();
    let made = format!("a leaf can be made in `{}`", parent.display());
    match leaf.remove() {
        Ok(_) => Capability::ok(mechanism, made),
        Err(problem) => Capability::limited(
            mechanism,
            format!("{made}; {problem}"),
            "cgroups of runs that have ended stay",
        )
        .mend(problem.help),
    }
}

fn headline(leaf: &Leaf, ebpf_works: bool) -> Capability {
    let mechanism = Mechanism::Headline;
    match leaf.headline(|| Reading::missing("it is tried apart")) {
        Reading::Known { value: _, source } => {
            Capability::ok(mechanism, format!("`{source}`, page cache included"))
        }
        Reading::Missing(_) if ebpf_works => Capability::ok(
            mechanism,
            format!("`{WATERMARK}`, page cache included; this kernel has no file that shows it"),
        ),
        Reading::Missing(why) => Capability::failed(mechanism, why, NO_HEADLINE)
            .mend("boot Linux 5.19 or later".to_owned()),
    }
}

fn reset(leaf: &Leaf) -> Capability {
    let mechanism = Mechanism::PeakReset;
    match leaf.reset_peak() {
        Ok(_) => Capability::ok(mechanism, "the mark can begin anew"),
        Err(error) => Capability::failed(
            mechanism,
            format!("the mark cannot begin anew: {error}"),
            NO_RESET,
        )
        .mend("boot Linux 6.12 or later".to_owned()),
    }
}

fn composition(leaf: &mut Leaf) -> Capability {
    let mechanism = Mechanism::Composition;
    match leaf.sample() {
        Ok(sample) => match sample.composition {
            Some(parts) if parts.kernel.is_some() => {
                Capability::ok(mechanism, "anon, file, shmem, kernel")
            }
            Some(_) => Capability::limited(
                mechanism,
                "anon, file, shmem; kernel memory is not told",
                "kernel memory is shown as unattributed",
            )
            .mend("boot without `cgroup.memory=nokmem`".to_owned()),
            None => Capability::failed(mechanism, "it does not tell the kinds", NO_COMPOSITION),
        },
        Err(error) => Capability::failed(
            mechanism,
            format!("cannot read `{}`: {error}", leaf.dir().display()),
            NO_COMPOSITION,
        ),
    }
}

/// Of a cgroup on v2, Documentation/accounting/psi.rst.
fn leaf_pressure(file: &Path) -> Capability {
    match read_whole(file) {
        Ok(()) => Capability::ok(Mechanism::Pressure, "`memory.pressure` of the cgroup"),
        Err(error) => no_pressure(file, &error),
    }
}

/// v1 has it for the host alone.
fn host_pressure(file: &Path) -> Capability {
    match read_whole(file) {
        Ok(()) => Capability::limited(
            Mechanism::Pressure,
            format!("`{}`, of the whole host: cgroup v1 has none", file.display()),
            "how long the build waited for memory cannot be told from how long others did",
        )
        .mend("boot with memory on cgroup v2: `systemd.unified_cgroup_hierarchy=1`, or without systemd `cgroup_no_v1=all`".to_owned()),
        Err(error) => no_pressure(file, &error),
    }
}

fn no_pressure(file: &Path, error: &io::Error) -> Capability {
    Capability::failed(
        Mechanism::Pressure,
        format!("cannot read `{}`: {error}", file.display()),
        NO_PRESSURE,
    )
    .mend("boot with `psi=1`, and a kernel built with `CONFIG_PSI=y`".to_owned())
}

/// The kernel may refuse the reading of a file that it has let us open: EOPNOTSUPP where it was booted with `psi=0`.
fn read_whole(file: &Path) -> io::Result<()> {
    fs::read(file).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;
    use crate::diagnosis::Status;

    #[test]
    fn without_a_cgroup_file_system_nothing_of_it_is_claimed() {
        let problem = Problem::new("cannot use the cgroup v2 hierarchy")
            .because("it is not mounted")
            .help("mount it: `mount -t cgroup2 none /sys/fs/cgroup`");
        let rows = rows(Path::new("/proc"), Err(problem), true);
        let lines: Vec<_> = rows.iter().map(shown).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Failed: cannot use the cgroup v2 hierarchy: it is not mounted → Some("the build's memory cannot be told from that of others, and `--memory` cannot be had") Some("mount it: `mount -t cgroup2 none /sys/fs/cgroup`")
        Untried: there is no cgroup file system with the memory controller → None None
        Untried: there is no cgroup to try it with → Some("no headline: only the highest sampled usage, which may miss the true peak") None
        Untried: there is no cgroup to try it with → Some("the kernel's mark cannot be had of a part of a run") None
        Untried: there is no cgroup to try it with → Some("the peak is not told by kind of memory") None
        Untried: there is no cgroup to try it with → Some("how long the build waited for memory cannot be told") None
        "#);
    }

    #[test]
    fn pressure_is_the_cgroups_or_the_hosts_or_missing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.pressure");
        let status = |of: fn(&Path) -> Capability| of(&file).status;
        assert_eq!(status(leaf_pressure), Status::Failed);
        assert_eq!(status(host_pressure), Status::Failed);
        fs::write(&file, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n").unwrap();
        assert_eq!(status(leaf_pressure), Status::Ok);
        assert_eq!(status(host_pressure), Status::Limited);
    }
}

//! What surrounds build-mem, and explains what it may not do: the kernel, capabilities(7), limits, lockdown, a
//! container.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use procfs::FromRead as _;
use procfs::process::Status as ProcStatus;
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use rustix::thread::CapabilitySet;

use crate::diagnosis::{Capability, Mechanism};
use crate::launch::privileges::{USED, how_to_get, suffice_for_ebpf};
use crate::observe::host;
use crate::problem::Problem;
use crate::units::ByteSize;

pub(super) fn kernel() -> Capability {
    let machine = uname().machine().to_string_lossy().into_owned();
    let detail = format!("Linux {}, {machine}", host::kernel_release());
    Capability::ok(Mechanism::Kernel, detail)
}

pub(super) fn kernel_types(sys_root: &Path) -> Capability {
    let mechanism = Mechanism::KernelTypes;
    let path = sys_root.join("kernel/btf/vmlinux");
    let mut magic = [0; 2];
    let outcome = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
    let cost = "the eBPF programs cannot find the kernel's fields: no process events";
    match outcome {
        // BTF_MAGIC of linux/btf.h, in the machine's own byte order.
        Ok(()) if u16::from_ne_bytes(magic) == 0xeb9f => {
            Capability::ok(mechanism, format!("`{}`", path.display()))
        }
        Ok(()) => Capability::failed(mechanism, format!("`{}` is not BTF", path.display()), cost),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Capability::failed(
            mechanism,
            format!("no `{}`", path.display()),
            cost,
        )
        .mend("boot a kernel built with `CONFIG_DEBUG_INFO_BTF=y`, as distributions' are; in a container, mount `/sys`".to_owned()),
        Err(error) => Capability::failed(mechanism, format!("`{}`: {error}", path.display()), cost)
            .mend("`sudo build-mem …`".to_owned()),
    }
}

/// What this process may make use of: `CapPrm` of /proc/self/status, since who is not root has them held back.
pub(super) fn capabilities(proc_root: &Path, in_container: bool) -> Capability {
    let mechanism = Mechanism::Capabilities;
    let path = proc_root.join("self/status");
    let status = match fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| ProcStatus::from_read(text.as_slice()).map_err(|error| error.to_string()))
    {
        Ok(status) => status,
        Err(error) => {
            return Capability::failed(
                mechanism,
                format!("cannot read `{}`: {error}", path.display()),
                "what is missing below cannot be explained",
            );
        }
    };
    let ours = CapabilitySet::from_bits_retain(status.capprm);
    let is_admin = ours.contains(CapabilitySet::SYS_ADMIN);
    let for_ebpf = CapabilitySet::BPF | CapabilitySet::PERFMON;
    // It stands for both.
    let stands_in = is_admin && !ours.contains(for_ebpf);
    let present = USED
        .iter()
        .filter(|(_, one)| ours.contains(*one))
        .map(|(name, _)| *name)
        .chain(stands_in.then_some("CAP_SYS_ADMIN"))
        .collect::<Vec<_>>()
        .join(", ");
    let missing = USED
        .iter()
        .filter(|(_, one)| !(ours.contains(*one) || stands_in && for_ebpf.contains(*one)))
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ");
    let uid = status.euid;
    let detail = match (present.is_empty(), missing.is_empty()) {
        (_, true) => format!("uid {uid} with {present}"),
        (true, false) => format!("uid {uid} without {missing}"),
        (false, false) => format!("uid {uid} with {present}, without {missing}"),
    };
    let mut costs = Vec::new();
    let ebpf = is_admin || ours.contains(for_ebpf);
    if !ebpf {
        costs.push("eBPF is refused");
    }
    if !ours.contains(CapabilitySet::SYS_PTRACE) {
        costs.push("the PSS of other users' processes may be refused");
    }
    if !ours.contains(CapabilitySet::DAC_OVERRIDE) && uid != 0 {
        costs.push("no cgroup can be made below one that is root's");
    }
    match costs.as_slice() {
        [] => Capability::ok(mechanism, detail),
        [_, ..] if ebpf => {
            Capability::limited(mechanism, detail, costs.join("; ")).mend(how_to_get(in_container))
        }
        [_, ..] => {
            Capability::failed(mechanism, detail, costs.join("; ")).mend(how_to_get(in_container))
        }
    }
}

/// Before Linux 5.11, eBPF maps were counted as locked memory; what they need is known by `refused`, why they could
/// not be made.
pub(super) fn locked_memory(refused: Option<&Problem>) -> Capability {
    let limit = getrlimit(Resource::Memlock).current;
    locked_memory_of(
        limit.map(ByteSize::from_bytes),
        refused.is_some(),
        suffice_for_ebpf(),
    )
}

fn locked_memory_of(limit: Option<ByteSize>, refused: bool, permitted: bool) -> Capability {
    let mechanism = Mechanism::LockedMemory;
    match (limit, refused, permitted) {
        (None, _, _) => Capability::ok(mechanism, "unlimited"),
        (Some(limit), false, _) => {
            Capability::ok(mechanism, format!("{limit}: the eBPF maps can be made"))
        }
        (Some(limit), true, true) => Capability::limited(
            mechanism,
            limit.to_string(),
            "before Linux 5.11 the eBPF maps count, and may be refused for it",
        )
        .mend("as root `ulimit -l unlimited`; in docker `--ulimit memlock=-1`; in a unit `LimitMEMLOCK=infinity`".to_owned()),
        (Some(limit), true, false) => Capability::untried(
            mechanism,
            format!("{limit}: whether the eBPF maps fit was not tried"),
        ),
    }
}

/// kernel_lockdown(7). In the mode `confidentiality`, eBPF programs may not read the kernel's memory.
pub(super) fn lockdown(sys_root: &Path) -> Capability {
    let mechanism = Mechanism::Lockdown;
    let path = sys_root.join("kernel/security/lockdown");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Capability::ok(mechanism, format!("none: there is no `{}`", path.display()));
        }
        Err(error) => {
            return Capability::untried(mechanism, format!("`{}`: {error}", path.display()));
        }
    };
    // The mode in force is in brackets: `none [integrity] confidentiality`.
    let mode = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(text.trim(), |(mode, _)| mode);
    if mode == "confidentiality" {
        return Capability::failed(
            mechanism,
            mode,
            "eBPF programs may not read the kernel's memory: no process events",
        )
        .mend(
            "boot without `lockdown=confidentiality` (`integrity` is enough for Secure Boot)"
                .to_owned(),
        );
    }
    Capability::ok(mechanism, mode)
}

/// It is in nobody's way by itself; what is missing in it has rows of its own.
pub(super) fn container(hints: &[String]) -> Capability {
    let detail = if hints.is_empty() {
        "no sign of one".to_owned()
    } else {
        format!("yes: `{}`", hints.join("`, `"))
    };
    Capability::ok(Mechanism::Container, detail)
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;
    use crate::diagnosis::Status;

    /// A `/proc/self/status` with these permitted capabilities.
    fn status(uid: u32, permitted: u64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("self")).unwrap();
        let text = format!(
            "Name:\tx\nState:\tR (running)\nTgid:\t1\nPid:\t1\nPPid:\t0\nTracerPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n\
             Gid:\t7\t7\t7\t7\nFDSize:\t64\nGroups:\t\nThreads:\t1\nSigQ:\t0/1\nSigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\n\
             SigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\nCapPrm:\t{permitted:016x}\nCapEff:\t0000000000000000\n"
        );
        fs::write(root.path().join("self/status"), text).unwrap();
        root
    }

    #[test]
    fn capabilities_are_told_by_name() {
        let told = |uid, permitted| {
            let row = capabilities(status(uid, permitted).path(), true);
            assert_eq!(row.mend.is_some(), row.status != Status::Ok);
            // What mends it depends on who runs the tests.
            shown(&row.mend(None))
        };
        let bits = |names: &[u32]| names.iter().fold(0, |set, bit| set | (1 << bit));
        let (dac_override, ptrace, admin, perfmon, bpf) = (1, 19, 21, 38, 39);
        insta::assert_snapshot!(told(0, 0x1ff_ffff_ffff), @"Ok: uid 0 with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_OVERRIDE → None None");
        insta::assert_snapshot!(told(7, bits(&[bpf, perfmon, ptrace, dac_override])), @"Ok: uid 7 with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_OVERRIDE → None None");
        insta::assert_snapshot!(told(7, bits(&[bpf, perfmon])), @r#"Limited: uid 7 with CAP_BPF, CAP_PERFMON, without CAP_SYS_PTRACE, CAP_DAC_OVERRIDE → Some("the PSS of other users' processes may be refused; no cgroup can be made below one that is root's") None"#);
        insta::assert_snapshot!(told(7, bits(&[bpf, ptrace])), @r#"Failed: uid 7 with CAP_BPF, CAP_SYS_PTRACE, without CAP_PERFMON, CAP_DAC_OVERRIDE → Some("eBPF is refused; no cgroup can be made below one that is root's") None"#);
        insta::assert_snapshot!(told(0, bits(&[admin])), @r#"Limited: uid 0 with CAP_SYS_ADMIN, without CAP_SYS_PTRACE, CAP_DAC_OVERRIDE → Some("the PSS of other users' processes may be refused") None"#);
        insta::assert_snapshot!(told(7, 0), @r#"Failed: uid 7 without CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_OVERRIDE → Some("eBPF is refused; the PSS of other users' processes may be refused; no cgroup can be made below one that is root's") None"#);
    }

    #[test]
    fn an_unreadable_status_is_said() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(capabilities(root.path(), false).status, Status::Failed);
        fs::create_dir(root.path().join("self")).unwrap();
        fs::write(root.path().join("self/status"), b"\xff\xfe").unwrap();
        assert_eq!(capabilities(root.path(), false).status, Status::Failed);
    }

    #[test]
    fn kernel_types_are_known_by_their_magic_number() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::Failed);
        assert!(kernel_types(root.path()).mend.is_some());
        let dir = root.path().join("kernel/btf");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("vmlinux"), 0xeb9f_u16.to_ne_bytes()).unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::Ok);
        fs::write(dir.join("vmlinux"), "other").unwrap();
        assert_eq!(kernel_types(root.path()).status, Status::Failed);
    }

    #[test]
    fn locked_memory_is_to_blame_only_where_maps_are_refused_to_the_permitted() {
        let limit = Some(ByteSize::from_kib(64));
        let status = |limit, refused, permitted| locked_memory_of(limit, refused, permitted).status;
        assert_eq!(status(None, true, true), Status::Ok);
        assert_eq!(status(limit, false, true), Status::Ok);
        assert_eq!(status(limit, true, true), Status::Limited);
        assert_eq!(status(limit, true, false), Status::Untried);
    }

    #[test]
    fn only_confidentiality_is_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let told = |text: &str| {
            let dir = root.path().join("kernel/security");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("lockdown"), text).unwrap();
            shown(&lockdown(root.path()))
        };
        assert_eq!(lockdown(root.path()).status, Status::Ok);
        insta::assert_snapshot!(told("[none] integrity confidentiality\n"), @"Ok: none → None None");
        insta::assert_snapshot!(told("none [integrity] confidentiality\n"), @"Ok: integrity → None None");
        insta::assert_snapshot!(told("none integrity [confidentiality]\n"), @r#"Failed: confidentiality → Some("eBPF programs may not read the kernel's memory: no process events") Some("boot without `lockdown=confidentiality` (`integrity` is enough for Secure Boot)")"#);
    }
}

//! Capabilities that a user who is not root has through build-mem's file, setcap(8).
//!
//! They are build-mem's, not the user's: were they in effect all the time, the user could have any file read with
//! `--config`, and any folder written with `--out-dir`. So they are [held back](hold_back) from the start, and
//! [in effect](with_held_back) only in the calls that need them, none of which takes a path from the user.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, dumpable_behavior, geteuid, getuid, set_dumpable_behavior,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::credentials::{Environment, parse_environment};
use crate::command_line::CommandLine;
use crate::problem::Problem;

/// What a run makes use of: CAP_BPF and CAP_PERFMON for eBPF, CAP_DAC_OVERRIDE for a cgroup below one that is root's,
/// CAP_SYS_PTRACE for the PSS of processes that are another user's or set-user-ID. A build that has none of these is
/// measured completely without it, and on some kernels (seen on 6.18) CAP_PERFMON is enough for them, too.
pub const USED: [(&str, CapabilitySet); 4] = [
    ("CAP_BPF", CapabilitySet::BPF),
    ("CAP_PERFMON", CapabilitySet::PERFMON),
    ("CAP_SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
];

static ARE_HELD_BACK: AtomicBool = AtomicBool::new(false);

/// Takes the capabilities of a process that is not root out of effect. To be called before any other thread is
/// started: they belong to a thread.
///
/// # Errors
///
/// When the kernel does not let us, which only a security module can want; and in a set-user-ID program of root's:
/// whoever may execute that would read, write and start with root's rights what only its options name.
pub fn hold_back() -> Result<(), Problem> {
    if geteuid().is_root() && !getuid().is_root() {
        return Err(
            Problem::new("build-mem does not run as a set-user-ID program")
                .because("whoever may execute it could do all that root can")
                .help(
                    "give its file capabilities in its place: `build-mem doctor` shows the command",
                ),
        );
    }
    let failed = |errno: Errno| {
        Problem::new("cannot hold the capabilities of build-mem back").because(errno)
    };
    let sets = capabilities(None).map_err(failed)?;
    if geteuid().is_root() || sets.permitted.is_empty() {
        return Ok(());
    }
    put_in_effect(sets, CapabilitySet::empty()).map_err(failed)?;
    ARE_HELD_BACK.store(true, Ordering::Relaxed);
    Ok(())
}

/// Runs `work` with the capabilities that were held back, in this thread and those that it starts. Makes only
/// system calls of its own, and may be called in a forked child.
pub fn with_held_back<T>(work: impl FnOnce() -> T) -> T {
    struct HoldBack(CapabilitySets);
    impl Drop for HoldBack {
        fn drop(&mut self) {
            // A thread may always have less.
            let _ = put_in_effect(self.0, CapabilitySet::empty());
        }
    }
    if !ARE_HELD_BACK.load(Ordering::Relaxed) {
        return work();
    }
    let Ok(sets) = capabilities(None) else {
        return work();
    };
    // Within another call of this, that one holds them back again.
    let _hold_back = sets.effective.is_empty().then(|| HoldBack(sets));
    // Where this fails, so does what needs them, and says so.
    let _ = put_in_effect(sets, sets.permitted);
    work()
}

/// The capabilities that this process can make use of.
pub fn usable() -> CapabilitySet {
    let Ok(sets) = capabilities(None) else {
        return CapabilitySet::empty();
    };
    if ARE_HELD_BACK.load(Ordering::Relaxed) {
        sets.permitted
    } else {
        sets.effective
    }
}

/// Whether this process may load eBPF programs, as far as capabilities(7) decide it: with CAP_BPF and CAP_PERFMON, or
/// with CAP_SYS_ADMIN.
pub fn suffice_for_ebpf() -> bool {
    let usable = usable();
    usable.contains(CapabilitySet::SYS_ADMIN)
        || usable.contains(CapabilitySet::BPF | CapabilitySet::PERFMON)
}

/// Gives all capabilities of the calling thread up for good, so that no program that it executes gets one. Only
/// system calls: this is for a forked child too.
pub(super) fn give_up() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
}

/// Takes the capabilities of the calling thread out of effect, for as long as it does not ask for them again.
pub(super) fn put_out_of_effect() -> Result<(), Errno> {
    put_in_effect(capabilities(None)?, CapabilitySet::empty())
}

/// What a container's root has where nobody asked for more: the capabilities that docker and podman give by default,
/// and those of them that only one gives.
const OF_A_CONTAINER: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Takes from the calling thread, and from whatever it executes, what build-mem has in a container and the build would
/// not. Only system calls: this is for a forked child.
pub(super) fn keep_a_containers() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        // Those that this kernel does not know are refused.
        if !OF_A_CONTAINER.contains(capability)
            && capability_is_in_bounding_set(capability) == Ok(true)
        {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    let sets = capabilities(None)?;
    let kept = CapabilitySets {
        effective: sets.effective & OF_A_CONTAINER,
        permitted: sets.permitted & OF_A_CONTAINER,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, kept)
}

/// How this process could come by what a run makes use of, as far as it lacks it.
///
/// Neither sudo nor setcap(8) gives what is not in the bounding set, or to a process with `no_new_privs`: then it is up
/// to whoever starts build-mem.
pub fn how_to_get(in_container: bool) -> String {
    let can_be_gained = !no_new_privs().unwrap_or(false)
        && USED
            .iter()
            .all(|(_, one)| capability_is_in_bounding_set(*one).unwrap_or(false));
    if can_be_gained && !geteuid().is_root() {
        return match setcap_command() {
            Some(command) => format!(
                "`sudo build-mem …`; or, for good and for whoever may execute it: `{command}`"
            ),
            None => "`sudo build-mem …`".to_owned(),
        };
    }
    let names = USED.map(|(name, _)| name);
    if in_container {
        // A container's root has CAP_DAC_OVERRIDE.
        let options: Vec<String> = names
            .iter()
            .filter(|name| **name != "CAP_DAC_OVERRIDE")
            .map(|name| format!("--cap-add={}", name.trim_start_matches("CAP_")))
            .collect();
        return format!(
            "start the container as root with them: `docker run --user 0 {} …`",
            options.join(" ")
        );
    }
    format!(
        "whatever starts build-mem, such as a unit with `CapabilityBoundingSet=`, withholds some of {}: allow them",
        names.join(", ")
    )
}

/// The command that gives this program the capabilities that a run uses, for good; absent where our own file cannot
/// be named.
fn setcap_command() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let names: Vec<String> = USED.iter().map(|(name, _)| name.to_lowercase()).collect();
    let words: [Vec<u8>; 4] = [
        b"sudo".to_vec(),
        b"setcap".to_vec(),
        format!("{}+ep", names.join(",")).into_bytes(),
        program.into_os_string().into_encoded_bytes(),
    ];
    Some(CommandLine::from_args(words).display())
}

/// The environment that this process was started with. `proc` is `/proc`.
///
/// From that of a program whose file has capabilities, the C library removes variables such as TMPDIR and
/// LD_LIBRARY_PATH: `AT_SECURE` in getauxval(3), ld.so(8). The kernel shows what was there at exec. Where it does not
/// let us read it, this is what the library has left.
pub fn environment_at_start(proc: &Path) -> Environment {
    let at_start = || {
        if !ARE_HELD_BACK.load(Ordering::Relaxed) {
            return None;
        }
        read_own_environ(&proc.join("self/environ")).ok()
    };
    match at_start() {
        Some(bytes) => parse_environment(&bytes),
        None => std::env::vars_os().collect(),
    }
}

/// The files in `/proc` of a program whose file has capabilities are root's, unless it is dumpable: proc(5). What
/// may be traced does not change: our capabilities keep a tracer off that has none, ptrace(2).
fn read_own_environ(path: &Path) -> io::Result<Vec<u8>> {
    let before = dumpable_behavior()?;
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let text = fs::read(path);
    if before != DumpableBehavior::Dumpable {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    text
}

fn put_in_effect(sets: CapabilitySets, effective: CapabilitySet) -> Result<(), Errno> {
    set_capabilities(None, CapabilitySets { effective, ..sets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_held_back_stays_as_it_is() {
        let before = capabilities(None).unwrap();
        let within = with_held_back(|| capabilities(None).unwrap());
        assert_eq!((within, usable()), (before, before.effective));
    }

    #[test]
    fn the_command_names_this_program_and_every_capability() {
        let command = setcap_command().unwrap();
        let program = std::env::current_exe().unwrap();
        assert_eq!(
            command,
            format!(
                "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_override+ep {}",
                program.display()
            )
        );
    }
}

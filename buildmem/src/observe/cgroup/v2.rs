//! The memory controller's files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst), and its rule that a
//! cgroup with processes gives no controller to its children.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::event::{CgroupComposition, CgroupFaults, Stalled};
use crate::units::ByteSize;

use super::{bytes, flat_keyed, keyed_value};

pub(super) const USAGE: &str = "memory.current";
pub(super) const STAT: &str = "memory.stat";
pub(super) const PEAK: &str = "memory.peak";
pub(super) const SWAP_LIMIT: &str = "memory.swap.max";
pub(super) const LIMIT: &str = "memory.max";
pub(super) const EVENTS: &str = "memory.events";
pub(super) const SWAP_PEAK: &str = "memory.swap.peak";
pub(super) const PRESSURE: &str = "memory.pressure";
const CONTROLLERS: &str = "cgroup.controllers";
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";
const TYPE: &str = "cgroup.type";
const PROCS: &str = "cgroup.procs";

/// What the cgroup and those below it hold, of memory.stat. `file` contains shmem, and `file_mapped` contains
/// mapped shmem: what is mapped beyond the file cache is taken for shmem, so `file_mapped` is an upper bound
/// where shmem is mapped. Kernel memory is `kernel` (Linux 5.18) with the network buffers, which it leaves out;
/// before that, the sum of what was told.
pub(super) fn composition(stat: &[u8]) -> Option<CgroupComposition> {
    let (mut anon, mut file, mut shmem, mut mapped) = (None, None, None, None);
    let (mut kernel, mut sock) = (None, ByteSize::ZERO);
    let mut kernel_parts: Option<ByteSize> = None;
    for (key, value) in flat_keyed(stat) {
        let value = ByteSize::from_bytes(value);
        match key {
            b"anon" => anon = Some(value),
            b"file" => file = Some(value),
            b"shmem" => shmem = Some(value),
            b"file_mapped" => mapped = Some(value),
            b"kernel" => kernel = Some(value),
            b"sock" => sock = value,
            b"kernel_stack" | b"pagetables" | b"percpu" | b"slab" => {
                kernel_parts = Some(kernel_parts.unwrap_or_default() + value);
            }
            _ => {}
        }
    }
    let (anon, file, shmem, mapped) = (anon?, file?, shmem?, mapped?);
    let file = file - shmem;
    let file_mapped = mapped.min(file);
    Some(CgroupComposition {
        anon,
        file_mapped,
        file_unmapped: file - file_mapped,
        shmem,
        kernel: kernel.or(kernel_parts).map(|kernel| kernel + sock),
    })
}

/// The limit of one cgroup, of memory.max.
pub(super) fn limit(text: &[u8]) -> Option<ByteSize> {
    // "max" is no number.
    bytes(text)
}

/// Out-of-memory kills in the cgroup and below it, of memory.events.
pub(super) fn oom_kills(text: &[u8]) -> Option<u64> {
    keyed_value(text, "oom_kill")
}

/// All of memory.events.
pub(super) fn events(text: &[u8]) -> BTreeMap<String, u64> {
    flat_keyed(text)
        .map(|(key, count)| (String::from_utf8_lossy(key).into_owned(), count))
        .collect()
}

/// How often pages had to be read, of memory.stat. Before Linux 5.9 refaults are not told apart: those of files they were.
pub(super) fn faults(stat: &[u8]) -> Option<CgroupFaults> {
    let value = |key| keyed_value(stat, key);
    Some(CgroupFaults {
        major: Some(value("pgmajfault")?),
        refaults_file: value("workingset_refault_file").or_else(|| value("workingset_refault")),
        refaults_anon: value("workingset_refault_anon"),
    })
}

/// The sums of memory.pressure: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and so for `full` (psi.rst).
pub(super) fn stalled(text: &[u8]) -> Option<Stalled> {
    let total = |kind: &str| -> Option<u64> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text
            .lines()
            .find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?
            .split(' ');
        words
            .find_map(|word| word.strip_prefix("total="))?
            .parse()
            .ok()
    };
    Some(Stalled {
        some_us: total("some")?,
        full_us: total("full")?,
    })
}

/// Where a leaf with the memory controller can be had: `own` or the nearest of its ancestors up to `top`, in
/// which the controller is given to children already, or which has no processes and lets us do so, or which is
/// the hierarchy's real root.
///
/// The controller stays given when the leaf is gone: taking it away would take it from other runs too.
///
/// # Errors
///
/// For each folder that was looked at, why not.
pub(super) fn parent_for_leaf(own: &Path, top: &Path) -> Result<PathBuf, Vec<String>> {
    let mut refusals = Vec::new();
    for candidate in own.ancestors() {
        match offer(candidate) {
            Ok(()) => return Ok(candidate.to_owned()),
            Err(why) => refusals.push(format!("`{}` {why}", candidate.display())),
        }
        if candidate == top {
            break;
        }
    }
    Err(refusals)
}

/// Makes sure that children of `candidate` get the memory controller, or says why they cannot.
fn offer(candidate: &Path) -> Result<(), String> {
    let has = |file: &str| -> Result<bool, String> {
        match fs::read_to_string(candidate.join(file)) {
            Ok(text) => Ok(text.split_whitespace().any(|word| word == "memory")),
            Err(error) => Err(format!("does not show its {file}: {error}")),
        }
    };
    // Every cgroup but the hierarchy's real root has a type. Children of a threaded one cannot hold processes.
    let is_root = match fs::read_to_string(candidate.join(TYPE)) {
        Ok(kind) if kind.trim() == "domain" => false,
        Ok(kind) => return Err(format!("is of type `{}`", kind.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(format!("does not show its {TYPE}: {error}")),
    };
    if has(SUBTREE_CONTROL)? {
        return Ok(());
    }
    if !has(CONTROLLERS)? {
        return Err("has no memory controller".to_owned());
    }
    if !is_root {
        match fs::read(candidate.join(PROCS)) {
            Ok(processes) if processes.is_empty() => {}
            Ok(_) => return Err("holds processes".to_owned()),
            Err(error) => return Err(format!("does not show its {PROCS}: {error}")),
        }
    }
    fs::write(candidate.join(SUBTREE_CONTROL), "+memory")
        .map_err(|error| format!("does not let its children have the controller: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT_OF_A_BUILD: &[u8] =
        b"anon 5000000\nfile 4000000\nkernel 600000\nkernel_stack 100\npagetables 200\n\
        sec_pagetables 0\npercpu 300\nsock 4096\nvmalloc 0\nshmem 1000000\nzswap 0\nfile_mapped 2500000\n\
        file_dirty 0\nslab_reclaimable 40\nslab_unreclaimable 60\nslab 100\npgfault 12\n";

    #[test]
    fn the_time_that_was_lost_is_the_sum_and_not_an_average() {
        let text = b"some avg10=1.53 avg60=0.10 avg300=0.00 total=204411\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let expected = Stalled {
            some_us: 204_411,
            full_us: 7,
        };
        assert_eq!(stalled(text), Some(expected));
        assert_eq!(stalled(b"some avg10=0.00 total=1\n"), None);
        assert_eq!(stalled(b""), None);
    }

    #[test]
    fn pages_that_were_read_again_are_told_by_kind_where_the_kernel_does() {
        let told = |text: &str| {
            let faults = faults(text.as_bytes())?;
            Some((faults.major?, faults.refaults_file, faults.refaults_anon))
        };
        let new =
            "workingset_refault_anon 3\nworkingset_refault_file 40\npgfault 9\npgmajfault 5\n";
        assert_eq!(told(new), Some((5, Some(40), Some(3))));
        let old = "workingset_refault 7\npgmajfault 5\n";
        assert_eq!(told(old), Some((5, Some(7), None)));
        assert_eq!(told("pgmajfault 5\n"), Some((5, None, None)));
        assert_eq!(told("workingset_refault 7\n"), None);
    }

    #[test]
    fn the_parts_do_not_overlap_and_network_buffers_are_kernel_memory() {
        let size = ByteSize::from_bytes;
        assert_eq!(
            composition(STAT_OF_A_BUILD),
            Some(CgroupComposition {
                anon: size(5_000_000),
                file_mapped: size(2_500_000),
                file_unmapped: size(500_000),
                shmem: size(1_000_000),
                kernel: Some(size(604_096)),
            })
        );
    }

    #[test]
    fn before_the_kernel_key_its_parts_are_added_up() {
        let kernel = |stat: &[u8]| composition(stat).unwrap().kernel;
        assert_eq!(
            kernel(b"anon 1\nfile 0\nkernel_stack 16384\npercpu 100\nsock 7\nshmem 0\nfile_mapped 0\nslab 1000\n"),
            Some(ByteSize::from_bytes(17_491))
        );
        assert_eq!(kernel(b"anon 1\nfile 0\nshmem 0\nfile_mapped 0\n"), None);
    }

    #[test]
    fn mapped_shmem_is_not_taken_for_file_cache() {
        let parts = composition(b"anon 0\nfile 1000\nshmem 1000\nfile_mapped 950\n").unwrap();
        assert_eq!(
            (parts.file_mapped, parts.file_unmapped),
            (ByteSize::ZERO, ByteSize::ZERO)
        );
    }

    #[test]
    fn max_is_no_limit() {
        assert_eq!(limit(b"max\n"), None);
        assert_eq!(limit(b"1073741824\n"), Some(ByteSize::from_mib(1024)));
    }

    #[test]
    fn kills_are_told_from_group_kills() {
        let text = b"low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(oom_kills(text), Some(2));
    }

    /// One cgroup's folder: type (None: the real root), controllers, subtree_control, processes.
    fn cgroup(
        dir: &Path,
        kind: Option<&str>,
        controllers: &str,
        subtree: &str,
        processes: &str,
    ) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        if let Some(kind) = kind {
            fs::write(dir.join(TYPE), format!("{kind}\n")).unwrap();
        }
        fs::write(dir.join(CONTROLLERS), format!("{controllers}\n")).unwrap();
        fs::write(dir.join(SUBTREE_CONTROL), format!("{subtree}\n")).unwrap();
        fs::write(dir.join(PROCS), processes).unwrap();
        dir.to_owned()
    }

    #[test]
    fn the_nearest_ancestor_that_gives_the_controller_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let top = cgroup(root.path(), None, "cpu memory", "memory", "1\n");
        let slice = cgroup(
            &top.join("user.slice"),
            Some("domain"),
            "cpu memory",
            "cpu memory",
            "",
        );
        let session = cgroup(
            &slice.join("session-1.scope"),
            Some("domain"),
            "cpu memory",
            "",
            "42\n",
        );
        assert_eq!(parent_for_leaf(&session, &top), Ok(slice));
    }

    #[test]
    fn a_cgroup_without_processes_is_made_to_give_it() {
        let root = tempfile::tempdir().unwrap();
        let top = cgroup(root.path(), Some("domain"), "memory pids", "", "");
        let own = cgroup(&top.join("init"), Some("domain"), "", "", "1\n7\n");
        assert_eq!(parent_for_leaf(&own, &top), Ok(top.clone()));
        assert_eq!(
            fs::read_to_string(top.join(SUBTREE_CONTROL)).unwrap(),
            "+memory"
        );
    }

    #[test]
    fn the_real_root_may_hold_processes() {
        let root = tempfile::tempdir().unwrap();
        let top = cgroup(root.path(), None, "memory", "", "1\n2\n");
        assert_eq!(parent_for_leaf(&top, &top), Ok(top.clone()));
    }

    #[test]
    fn a_containers_root_with_processes_is_refused_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let top = cgroup(root.path(), Some("domain"), "memory", "", "1\n");
        assert_eq!(
            parent_for_leaf(&top, &top),
            Err(vec![format!("`{}` holds processes", top.display())])
        );
    }

    #[test]
    fn a_threaded_cgroup_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let top = cgroup(root.path(), None, "memory", "memory", "");
        let own = cgroup(
            &top.join("db"),
            Some("domain threaded"),
            "memory",
            "memory",
            "",
        );
        assert_eq!(parent_for_leaf(&own, &top), Ok(top.clone()));
    }

    #[test]
    fn nothing_above_the_top_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        cgroup(root.path(), None, "memory", "memory", "");
        let top = cgroup(&root.path().join("box"), Some("domain"), "", "", "");
        let refusals = parent_for_leaf(&top, &top).unwrap_err();
        assert_eq!(
            refusals,
            vec![format!("`{}` has no memory controller", top.display())]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            composition(&text);
            limit(&text);
            oom_kills(&text);
            stalled(&text);
            events(&text);
            faults(&text);
        }
    }
}

//! The memory controller's files of cgroup v1 (Documentation/admin-guide/cgroup-v1/memory.rst).

use crate::event::{CgroupComposition, CgroupFaults};
use crate::units::ByteSize;

use super::{bytes, flat_keyed, keyed_value};

pub(super) const USAGE: &str = "memory.usage_in_bytes";
pub(super) const STAT: &str = "memory.stat";
pub(super) const PEAK: &str = "memory.max_usage_in_bytes";
pub(super) const SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";
pub(super) const LIMIT: &str = "memory.limit_in_bytes";
pub(super) const KERNEL: &str = "memory.kmem.usage_in_bytes";
pub(super) const OOM: &str = "memory.oom_control";
pub(super) const USE_HIERARCHY: &str = "memory.use_hierarchy";

/// Limits from here on are none: without one the file shows the largest number of pages that the counter holds,
/// which differs by page size.
const NO_LIMIT: u64 = 1 << 62;

/// What the cgroup and those below it hold, of memory.stat. The `total_` keys, since the build may make cgroups
/// of its own below the leaf. `cache` contains shmem, and `mapped_file` contains mapped shmem: what is mapped
/// beyond the file cache is taken for shmem, so `file_mapped` is an upper bound where shmem is mapped.
pub(super) fn composition(stat: &[u8], kernel: Option<ByteSize>) -> Option<CgroupComposition> {
    let (mut anon, mut cache, mut shmem, mut mapped) = (None, None, None, None);
    for (key, value) in flat_keyed(stat) {
        let field = match key {
            b"total_rss" => &mut anon,
            b"total_cache" => &mut cache,
            b"total_shmem" => &mut shmem,
            b"total_mapped_file" => &mut mapped,
            _ => continue,
        };
        *field = Some(ByteSize::from_bytes(value));
    }
    let (anon, cache, shmem, mapped) = (anon?, cache?, shmem?, mapped?);
    let file = cache - shmem;
    let file_mapped = mapped.min(file);
    Some(CgroupComposition {
        anon,
        file_mapped,
        file_unmapped: file - file_mapped,
        shmem,
        kernel,
    })
}

/// The limit of one cgroup, of memory.limit_in_bytes.
pub(super) fn limit(text: &[u8]) -> Option<ByteSize> {
    bytes(text).filter(|limit| limit.bytes() < NO_LIMIT)
}

/// The effective limit, ancestors included that a container does not see, of memory.stat.
pub(super) fn hierarchical_limit(stat: &[u8]) -> Option<ByteSize> {
    keyed_value(stat, "hierarchical_memory_limit")
        .filter(|&limit| limit < NO_LIMIT)
        .map(ByteSize::from_bytes)
}

/// Out-of-memory kills of this cgroup alone, of memory.oom_control: v1 does not count those below it.
pub(super) fn oom_kills(text: &[u8]) -> Option<u64> {
    keyed_value(text, "oom_kill")
}

/// How often pages had to be read, of memory.stat, in the cgroup and those below it. Few kernels count refaults here.
pub(super) fn faults(stat: &[u8]) -> Option<CgroupFaults> {
    let value = |key| keyed_value(stat, key);
    Some(CgroupFaults {
        major: Some(value("total_pgmajfault")?),
        refaults_file: value("total_workingset_refault_file"),
        refaults_anon: value("total_workingset_refault_anon"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT_OF_A_BUILD: &[u8] = b"cache 1000\nrss 10\nshmem 1\nmapped_file 1\n\
        hierarchical_memory_limit 4194304\nhierarchical_memsw_limit 9223372036854771712\n\
        total_cache 900000\ntotal_rss 500000\ntotal_rss_huge 0\ntotal_shmem 300000\ntotal_mapped_file 200000\n";

    #[test]
    fn the_parts_are_those_of_the_whole_subtree_and_do_not_overlap() {
        let size = ByteSize::from_bytes;
        assert_eq!(
            composition(STAT_OF_A_BUILD, Some(size(7))),
            Some(CgroupComposition {
                anon: size(500_000),
                file_mapped: size(200_000),
                file_unmapped: size(400_000),
                shmem: size(300_000),
                kernel: Some(size(7)),
            })
        );
    }

    #[test]
    fn mapped_shmem_is_not_taken_for_file_cache() {
        let parts = composition(
            b"total_cache 1000\ntotal_rss 0\ntotal_shmem 900\ntotal_mapped_file 950\n",
            None,
        )
        .unwrap();
        assert_eq!(parts.file_mapped, ByteSize::from_bytes(100));
        assert_eq!(parts.file_unmapped, ByteSize::ZERO);
    }

    #[test]
    fn a_stat_file_without_the_keys_gives_nothing() {
        assert_eq!(composition(b"", None), None);
        assert_eq!(composition(b"total_cache x\ntotal_rss\n\n 3\n", None), None);
    }

    #[test]
    fn the_counters_maximum_is_no_limit() {
        assert_eq!(limit(b"9223372036854771712\n"), None);
        assert_eq!(limit(b"9223372036854710272\n"), None);
        assert_eq!(limit(b"8589934592\n"), Some(ByteSize::from_mib(8192)));
        assert_eq!(
            hierarchical_limit(STAT_OF_A_BUILD),
            Some(ByteSize::from_mib(4))
        );
    }

    #[test]
    fn kills_are_told_from_the_other_keys_of_the_file() {
        let text = b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(oom_kills(text), Some(3));
        assert_eq!(oom_kills(b"oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[test]
    fn faults_are_those_of_the_whole_subtree() {
        let stat = b"pgmajfault 1\ntotal_pgmajfault 6\ntotal_workingset_refault_file 2\n";
        let faults = faults(stat).unwrap();
        assert_eq!((faults.major, faults.refaults_file), (Some(6), Some(2)));
        assert_eq!(faults.refaults_anon, None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            faults(&text);
            composition(&text, None);
            limit(&text);
            hierarchical_limit(&text);
            oom_kills(&text);
        }

        #[test]
        fn odd_figures_of_the_right_keys_are_read_without_panic(figures in any::<[u64; 4]>()) {
            let [cache, rss, shmem, mapped] = figures;
            let stat = format!("total_cache {cache}\ntotal_rss {rss}\ntotal_shmem {shmem}\ntotal_mapped_file {mapped}\n");
            let parts = composition(stat.as_bytes(), None).unwrap();
            prop_assert_eq!(
                parts.file_mapped + parts.file_unmapped,
                ByteSize::from_bytes(cache) - ByteSize::from_bytes(shmem)
            );
        }
    }
}

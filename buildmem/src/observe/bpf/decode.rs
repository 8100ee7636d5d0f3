//! Wire records become events. Pure and total: bytes that no program of ours sent are an error, never a panic.
//!
//! Here is decided what the kernel's figures mean, above all when a process's high-water mark is its own.
//! `signal->maxrss` (`ru_maxrss` of getrusage(2)) is not: it is inherited across exec, so that `/bin/true`
//! started by a process of 400 MiB shows 400 MiB.

use std::collections::BTreeMap;

use buildmem_common::{
    CgroupAttachRecord, ExecRecord, ExitRecord, ForkRecord, RecordHeader, flag, kind,
};
use zerocopy::FromBytes;

use crate::command_line::CommandLine;
use crate::event::{Event, EventKind, ExitStatus, VFORK};
use crate::ids::Tgid;
use crate::reading::{MM_HIGH_WATER, Reading};
use crate::units::{BootTime, ByteSize};

/// What must be known to understand a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// Bytes of a page.
    pub page_size: u64,
    /// Where the build belongs. Until it is known, moves between cgroups are not told.
    pub leaf: Option<CgroupLeaf>,
    /// The high-water mark (`mem_cgroup.memory.watermark`) of each memory cgroup in which a process of the build ended,
    /// by the inode number of its directory, as it stood then.
    pub watermarks: BTreeMap<u64, ByteSize>,
}

/// The cgroup that holds the build and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLeaf {
    /// 0 for cgroup v2; the memory hierarchy's number in `/proc/self/cgroup` for v1.
    pub hierarchy_id: u32,
    /// The inode number of its directory.
    pub cgroup_id: u64,
    /// Its path from the root of the hierarchy. [`decode`] learns it when the build moves in; what lies
    /// below it is still counted in it.
    pub path: Option<String>,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A move between cgroups that does not concern the build.
    Nothing,
    /// What happened.
    Event(Event),
    /// A process was forked, into another memory cgroup than its parent's.
    BornElsewhere {
        /// The fork.
        forked: Event,
        /// The child.
        child: Tgid,
        /// The inode number of the cgroup's directory.
        cgroup_id: u64,
    },
}

/// Why bytes from the ring buffer are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No program sends such a kind.
    #[error("a record of unknown kind {0}")]
    UnknownKind(u32),
    /// The length does not belong to the kind.
    #[error("a record of kind {kind} with {len} bytes")]
    WrongLength {
        /// Of the record; 0 where not even that could be read.
        kind: u32,
        /// What came.
        len: usize,
    },
}

/// What a record tells of.
pub fn decode(bytes: &[u8], context: &mut DecodeContext) -> Result<Decoded, DecodeError> {
    let Ok((header, _)) = RecordHeader::read_from_prefix(bytes) else {
        return Err(DecodeError::WrongLength {
            kind: 0,
            len: bytes.len(),
        });
    };
    let wrong_length = || DecodeError::WrongLength {
        kind: header.kind,
        len: bytes.len(),
    };
    let at = BootTime::from_nanos(header.boot_ns);
    let event = match header.kind {
        kind::FORK => {
            let record = ForkRecord::read_from_bytes(bytes).map_err(|_| wrong_length())?;
            let child = process(&header);
            let forked = EventKind::Forked {
                parent: visible(record.parent_pid, record.parent_tgid),
                child,
                shares_mm: header.flags & flag::SHARES_MM != 0,
            };
            if record.born_in_cgroup_id != 0 {
                return Ok(Decoded::BornElsewhere {
                    forked: Event::new(at, forked),
                    child,
                    cgroup_id: record.born_in_cgroup_id,
                });
            }
            forked
        }
        kind::EXEC => {
            let (record, argv) = ExecRecord::read_from_prefix(bytes).map_err(|_| wrong_length())?;
            if argv.len() != record.argv_len as usize {
                return Err(wrong_length());
            }
            EventKind::Execed {
                tgid: process(&header),
                argv: CommandLine::from_kernel(argv, record.argv_bytes),
                ended_image: ended_image(&record, context.page_size),
            }
        }
        kind::EXIT => {
            let record = ExitRecord::read_from_bytes(bytes).map_err(|_| wrong_length())?;
            learn_watermark(&record, context);
            EventKind::Exited {
                tgid: process(&header),
                status: Some(ExitStatus::from_wait_status(
                    record.wait_status.cast_signed(),
                )),
                rss_high_water: last_image(&record, context.page_size),
            }
        }
        kind::CGROUP_ATTACH => {
            let record = CgroupAttachRecord::read_from_bytes(bytes).map_err(|_| wrong_length())?;
            let path = record
                .path
                .get(..record.path_len as usize)
                .ok_or_else(wrong_length)?;
            let path = String::from_utf8_lossy(path).into_owned();
            match left_for(&record, path, context.leaf.as_mut()) {
                Some(cgroup) => EventKind::CgroupLeft {
                    tgid: process(&header),
                    cgroup,
                },
                None => return Ok(Decoded::Nothing),
            }
        }
        kind::OOM_VICTIM => {
            RecordHeader::read_from_bytes(bytes).map_err(|_| wrong_length())?;
            EventKind::OomKilled {
                tgid: process(&header),
            }
        }
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    Ok(Decoded::Event(Event::new(at, event)))
}

/// The mark only ever rises, so the last process that ends in a cgroup tells what it came to.
fn learn_watermark(record: &ExitRecord, context: &mut DecodeContext) {
    if record.memory_cgroup_id != 0 {
        let watermark = pages(record.memory_watermark_pages, context.page_size);
        let known = context.watermarks.entry(record.memory_cgroup_id);
        let known = known.or_default();
        *known = watermark.max(*known);
    }
}

/// `signal->maxrss`, as the source of a reading: the highest mark of all images of the process.
const SIGNAL_MAXRSS: &str = "signal->maxrss";

/// The process of a record by its number in the profiler's PID namespace. A process outside it, which the
/// programs can only meet as a parent, goes by its number in the initial one.
fn process(header: &RecordHeader) -> Tgid {
    visible(header.pid, header.tgid)
}

fn visible(pid: u32, tgid: u32) -> Tgid {
    Tgid(if pid == 0 { tgid } else { pid })
}

/// High-water mark of the image that an exec ended. Its address space is gone when the record is made, but
/// the kernel folds its mark into `signal->maxrss` just before.
fn ended_image(record: &ExecRecord, page_size: u64) -> Reading<ByteSize> {
    if record.header.flags & flag::SHARES_MM != 0 {
        return Reading::missing(VFORK);
    }
    above(
        record.signal_maxrss_pages,
        record.previous_exec_maxrss_pages,
        page_size,
    )
}

/// High-water mark of the image that the process ended with.
fn last_image(record: &ExitRecord, page_size: u64) -> Reading<ByteSize> {
    if record.header.flags & flag::SHARES_MM != 0 {
        return Reading::missing(VFORK);
    }
    // Every address space has a page: nothing means that it could not be read.
    if record.header.flags & flag::HAS_MM != 0 && record.mm_high_water_pages > 0 {
        return Reading::known(pages(record.mm_high_water_pages, page_size), MM_HIGH_WATER);
    }
    above(
        record.signal_maxrss_pages,
        record.exec_maxrss_pages,
        page_size,
    )
}

/// The mark of an image from the maximum over all images of its process: known if it raised that maximum.
fn above(maxrss: u64, inherited: u64, page_size: u64) -> Reading<ByteSize> {
    if maxrss > inherited {
        return Reading::known(pages(maxrss, page_size), SIGNAL_MAXRSS);
    }
    if inherited == 0 {
        // Since 6.2 up to 32 pages of each kind are counted by each CPU for itself, and not seen here.
        return Reading::missing(
            "the kernel had stored none when the process was reported: it had hardly any memory",
        );
    }
    Reading::missing(format!(
        "not above the {} that it inherited",
        pages(inherited, page_size)
    ))
}

const fn pages(count: u64, page_size: u64) -> ByteSize {
    ByteSize::from_bytes(count.saturating_mul(page_size))
}

/// The cgroup that a process left the leaf for. None where the move is in another hierarchy, into the leaf,
/// or to a cgroup below it, whose memory is the leaf's too.
fn left_for(
    record: &CgroupAttachRecord,
    path: String,
    leaf: Option<&mut CgroupLeaf>,
) -> Option<String> {
    let leaf = leaf?;
    if record.hierarchy_id != leaf.hierarchy_id {
        return None;
    }
    if record.cgroup_id == leaf.cgroup_id {
        leaf.path = Some(path);
        return None;
    }
    let below = leaf.path.as_ref().is_some_and(|leaf| {
        path.strip_prefix(leaf.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    });
    (!below).then_some(path)
}

#[cfg(test)]
mod tests {
    use buildmem_common::CGROUP_PATH_CAPACITY;
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    use super::*;

    fn context() -> DecodeContext {
        DecodeContext {
            page_size: 4096,
            leaf: None,
            watermarks: BTreeMap::new(),
        }
    }

    fn header(kind: u32, flags: u32) -> RecordHeader {
        RecordHeader {
            kind,
            flags,
            boot_ns: 5,
            tgid: 1000,
            pid: 10,
        }
    }

    fn decoded(bytes: &[u8]) -> EventKind {
        let Decoded::Event(event) = decode(bytes, &mut context()).unwrap() else {
            panic!("it tells of no event alone");
        };
        assert_eq!(event.at, BootTime::from_nanos(5));
        event.event
    }

    /// The peak of an exit with these figures, in pages.
    fn peak(flags: u32, mm: u64, maxrss: u64, inherited: u64) -> Reading<ByteSize> {
        let record = ExitRecord {
            header: header(kind::EXIT, flags),
            mm_high_water_pages: mm,
            signal_maxrss_pages: maxrss,
            exec_maxrss_pages: inherited,
            wait_status: 0x0300,
            reserved: 0,
            memory_cgroup_id: 0,
            memory_watermark_pages: 0,
        };
        match decoded(record.as_bytes()) {
            EventKind::Exited {
                tgid: Tgid(10),
                status: Some(ExitStatus::Code(3)),
                rss_high_water,
            } => rss_high_water,
            other => panic!("{other:?}"),
        }
    }

    fn known(pages: u64, source: &'static str) -> Reading<ByteSize> {
        Reading::known(ByteSize::from_bytes(pages * 4096), source)
    }

    #[test]
    fn the_address_spaces_own_mark_is_preferred_to_the_inherited_one() {
        let flags = flag::HAS_MM | flag::EXECED;
        assert_eq!(peak(flags, 7, 100, 100), known(7, "mm->hiwater_rss"));
    }

    #[test]
    fn without_an_address_space_the_mark_is_known_only_above_what_was_inherited() {
        assert_eq!(
            peak(flag::EXECED, 0, 101, 100),
            known(101, "signal->maxrss")
        );
        // A forked image that never called exec inherited nothing.
        assert_eq!(peak(0, 0, 3, 0), known(3, "signal->maxrss"));
        let Reading::Missing(why) = peak(flag::EXECED, 0, 25600, 25600) else {
            panic!("a mark that may be an ancestor's was taken for the process's own");
        };
        assert!(why.starts_with("not above the 100.00 MiB"), "{why}");
    }

    #[test]
    fn a_process_in_its_parents_address_space_has_no_mark() {
        for flags in [flag::SHARES_MM, flag::SHARES_MM | flag::HAS_MM] {
            assert_eq!(peak(flags, 50, 60, 0).value(), None);
        }
    }

    #[test]
    fn what_could_not_be_read_is_missing_and_not_zero() {
        assert_eq!(peak(flag::HAS_MM, 0, 0, 0).value(), None);
        assert_eq!(peak(0, 0, 0, 0).value(), None);
    }

    #[test]
    fn an_exec_tells_the_peak_of_the_image_that_it_ended() {
        let ended = |flags, maxrss, previous| {
            let record = ExecRecord {
                header: header(kind::EXEC, flags),
                signal_maxrss_pages: maxrss,
                previous_exec_maxrss_pages: previous,
                argv_bytes: 5,
                argv_len: 5,
                reserved: 0,
            };
            let bytes = [record.as_bytes(), b"cc\0-c"].concat();
            match decoded(&bytes) {
                EventKind::Execed {
                    tgid: Tgid(10),
                    argv,
                    ended_image,
                } => {
                    assert_eq!(argv, CommandLine::from_args(["cc", "-c"]));
                    ended_image
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ended(0, 9, 0), known(9, "signal->maxrss"));
        assert_eq!(ended(flag::EXECED, 9, 8), known(9, "signal->maxrss"));
        assert_eq!(ended(flag::EXECED, 9, 9).value(), None);
        assert_eq!(ended(flag::SHARES_MM, 9, 0).value(), None);
    }

    #[test]
    fn a_process_outside_the_pid_namespace_goes_by_its_first_number() {
        let record = ForkRecord {
            header: header(kind::FORK, flag::SHARES_MM),
            parent_tgid: 77,
            parent_pid: 0,
            born_in_cgroup_id: 0,
        };
        let expected = EventKind::Forked {
            parent: Tgid(77),
            child: Tgid(10),
            shares_mm: true,
        };
        assert_eq!(decoded(record.as_bytes()), expected);
    }

    #[test]
    fn a_process_that_is_born_in_another_cgroup_is_told() {
        let record = ForkRecord {
            header: header(kind::FORK, 0),
            parent_tgid: 1,
            parent_pid: 1,
            born_in_cgroup_id: 99,
        };
        let Decoded::BornElsewhere {
            forked,
            child: Tgid(10),
            cgroup_id: 99,
        } = decode(record.as_bytes(), &mut context()).unwrap()
        else {
            panic!("it is not told");
        };
        assert_eq!(forked.at, BootTime::from_nanos(5));
    }

    #[test]
    fn a_cgroups_watermark_is_the_highest_that_a_process_of_it_ended_with() {
        let mut context = context();
        for (memory_cgroup_id, memory_watermark_pages) in [(7, 100), (8, 900), (7, 200), (7, 150)] {
            let record = ExitRecord {
                header: header(kind::EXIT, 0),
                mm_high_water_pages: 0,
                signal_maxrss_pages: 0,
                exec_maxrss_pages: 0,
                wait_status: 0,
                reserved: 0,
                memory_cgroup_id,
                memory_watermark_pages,
            };
            decode(record.as_bytes(), &mut context).unwrap();
        }
        let expected = ByteSize::from_bytes(200 * 4096);
        assert_eq!(context.watermarks.get(&7), Some(&expected));
    }

    fn attach(hierarchy_id: u32, cgroup_id: u64, text: &str) -> CgroupAttachRecord {
        let mut path = [0; CGROUP_PATH_CAPACITY];
        path[..text.len()].copy_from_slice(text.as_bytes());
        CgroupAttachRecord {
            header: header(kind::CGROUP_ATTACH, 0),
            cgroup_id,
            hierarchy_id,
            path_len: u32::try_from(text.len()).unwrap(),
            path,
        }
    }

    #[test]
    fn only_a_move_out_of_the_leaf_is_told() {
        let mut context = context();
        let left_for = |record: CgroupAttachRecord, context: &mut DecodeContext| match decode(
            record.as_bytes(),
            context,
        )
        .unwrap()
        {
            Decoded::Nothing => None,
            Decoded::Event(Event {
                event: EventKind::CgroupLeft { cgroup, .. },
                ..
            }) => Some(cgroup),
            other => panic!("{other:?}"),
        };
        assert_eq!(left_for(attach(4, 1, "/a"), &mut context), None);
        context.leaf = Some(CgroupLeaf {
            hierarchy_id: 4,
            cgroup_id: 2,
            path: None,
        });
        assert_eq!(left_for(attach(4, 2, "/leaf"), &mut context), None);
        assert_eq!(
            left_for(attach(5, 3, "/other/hierarchy"), &mut context),
            None
        );
        assert_eq!(left_for(attach(4, 3, "/leaf/below"), &mut context), None);
        for elsewhere in ["/leaf2", "/", "/scope"] {
            let left = left_for(attach(4, 3, elsewhere), &mut context);
            assert_eq!(left.as_deref(), Some(elsewhere));
        }
    }

    #[test]
    fn a_record_of_the_wrong_length_is_an_error() {
        let fork = header(kind::FORK, 0);
        let wrong = Err(DecodeError::WrongLength { kind: 1, len: 24 });
        assert_eq!(decode(fork.as_bytes(), &mut context()), wrong);
        let unknown = header(99, 0);
        let wrong = Err(DecodeError::UnknownKind(99));
        assert_eq!(decode(unknown.as_bytes(), &mut context()), wrong);
        let mut path = attach(0, 0, "");
        path.path_len = 257;
        assert!(decode(path.as_bytes(), &mut context()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            kind in 0_u32..8,
            rest in prop::collection::vec(any::<u8>(), 0..400),
            page_size in any::<u64>(),
        ) {
            let mut bytes = kind.to_ne_bytes().to_vec();
            bytes.extend(rest);
            let leaf = Some(CgroupLeaf { hierarchy_id: 0, cgroup_id: 0, path: Some(String::new()) });
            let mut context = DecodeContext { page_size, leaf, watermarks: BTreeMap::new() };
            for len in [bytes.len(), 24, 32, 40, 48, 56, 72, 3] {
                let _ = decode(&bytes[..len.min(bytes.len())], &mut context);
            }
        }
    }
}

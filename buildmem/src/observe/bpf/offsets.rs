//! Where the running kernel keeps the fields that the eBPF programs read, from its own description of its
//! types: BTF (Documentation/bpf/btf.rst). Pure: bytes in, offsets out; no input makes it panic.
//!
//! aya parses BTF too, but keeps it to itself, takes 100 ms, and needs more memory than all of build-mem.
//! What is needed here is a dozen types, which are found by their names in one pass over the records.

use buildmem_common::Offsets;

/// Why the offsets could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffsetsError {
    /// The bytes are not BTF of a little-endian kernel, or end early.
    #[error("the kernel's type information is not valid BTF")]
    Invalid,
    /// The kernel has no such type or field.
    #[error("the kernel's type information does not have `{0}`")]
    Missing(String),
}

/// Finds every offset in the BTF of a kernel, as in `/sys/kernel/btf/vmlinux`.
pub fn find_offsets(bytes: &[u8]) -> Result<Offsets, OffsetsError> {
    let btf = Btf::parse(bytes)?;
    let task = btf.structure("task_struct")?;
    let signal = btf.structure("signal_struct")?;
    let mm = btf.structure("mm_struct")?;
    let pid = btf.structure("pid")?;
    let upid = btf.structure("upid")?;
    let cgroup = btf.structure("cgroup")?;
    let counters = resident_counters(&btf, &mm)?;
    let namespace = btf.structure("pid_namespace")?.member("ns")?;
    let memory = memory_controller(&btf)?;

    Ok(Offsets {
        task_pid: task.offset("pid")?,
        task_tgid: task.offset("tgid")?,
        task_mm: task.offset("mm")?,
        task_signal: task.offset("signal")?,
        task_group_leader: task.offset("group_leader")?,
        task_thread_pid: task.offset("thread_pid")?,
        task_exit_code: task.offset("exit_code")?,
        task_start_boottime: task.offset("start_boottime")?,
        task_cgroups: task.offset("cgroups")?,
        css_set_memory: memory.css_set_slot,
        css_cgroup: memory.css_cgroup,
        css_memory_watermark: memory.watermark,
        css_memory_usage: memory.usage,
        signal_live: signal.offset("live")?,
        signal_maxrss: signal.offset("maxrss")?,
        signal_flags: signal.offset("flags")?,
        signal_group_exit_code: signal.offset("group_exit_code")?,
        mm_hiwater_rss: mm.offset("hiwater_rss")?,
        mm_rss_stat: counters.first,
        mm_rss_stride: counters.stride,
        mm_arg_start: mm.offset("arg_start")?,
        mm_arg_end: mm.offset("arg_end")?,
        pid_level: pid.offset("level")?,
        pid_numbers: pid.offset("numbers")?,
        upid_size: upid.record.size_or_type,
        upid_nr: upid.offset("nr")?,
        upid_ns: upid.offset("ns")?,
        pid_namespace_inum: sum(
            namespace.offset,
            btf.structure_of(&namespace, "ns_common")?.offset("inum")?,
        )?,
        cgroup_kn: cgroup.offset("kn")?,
        cgroup_root: cgroup.offset("root")?,
        kernfs_node_id: btf.structure("kernfs_node")?.offset("id")?,
        cgroup_root_hierarchy_id: btf.structure("cgroup_root")?.offset("hierarchy_id")?,
        exit_tells_group_dead: u32::from(btf.parameters("sched_process_exit")?.len() > 1),
        victim_is_task: u32::from(btf.first_parameter_is_pointer("mark_victim")?),
    })
}

/// The number that the BTF of a kernel gives to a function.
pub fn function_id(bytes: &[u8], name: &str) -> Result<u32, OffsetsError> {
    let btf = Btf::parse(bytes)?;
    for (index, start) in (0..).zip(&btf.starts) {
        let record = btf.record_at(*start as usize)?;
        if record.kind == kind::FUNC && btf.is_named(&record, name) {
            // The numbers begin with 1: 0 is void.
            return Ok(index + 1);
        }
    }
    Err(OffsetsError::Missing(name.to_owned()))
}

/// BTF in which nothing but this function has a name, and this number.
pub fn btf_of_function(id: u32, name: &str) -> Vec<u8> {
    let nameless = [0, kind::FWD << 24, 0];
    let function = [1, kind::FUNC << 24, 0];
    let before = std::iter::repeat_n(nameless, id.saturating_sub(1) as usize);
    let types: Vec<u8> = before
        .chain([function])
        .flatten()
        .flat_map(u32::to_le_bytes)
        .collect();
    let strings = [b"\0", name.as_bytes(), b"\0"].concat();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // struct btf_header: magic, version 1, no flags; its length; where the two sections are from its end on.
    let mut bytes = [&MAGIC[..], &[1, 0]].concat();
    for word in [24, 0, len(&types), len(&types), len(&strings)] {
        bytes.extend(u32::to_le_bytes(word));
    }
    [bytes, types, strings].concat()
}

/// Where an address space's counts of resident pages are.
struct ResidentCounters {
    /// Offset of the first kind's count in `mm_struct`.
    first: u32,
    /// From one kind's count to the next.
    stride: u32,
}

/// `mm_struct.rss_stat`: an array of per-CPU counters since Linux 6.2, a structure with an array of atomics
/// before.
fn resident_counters(btf: &Btf, mm: &Structure) -> Result<ResidentCounters, OffsetsError> {
    let rss_stat = mm.member("rss_stat")?;
    if btf.resolve(rss_stat.type_id)?.kind == kind::ARRAY {
        let counter = btf.structure("percpu_counter")?;
        Ok(ResidentCounters {
            first: sum(rss_stat.offset, counter.offset("count")?)?,
            stride: counter.record.size_or_type,
        })
    } else {
        let counts = btf.structure_of(&rss_stat, "mm_rss_stat")?;
        Ok(ResidentCounters {
            first: sum(rss_stat.offset, counts.offset("count")?)?,
            stride: ATOMIC_LONG_SIZE,
        })
    }
}

/// Where the memory controller's part of a cgroup is; all 0 where the kernel was built without it.
#[derive(Default)]
struct MemoryController {
    /// From the `css_set`.
    css_set_slot: u32,
    /// From the `cgroup_subsys_state`.
    css_cgroup: u32,
    /// The high-water mark of what is charged, from the `cgroup_subsys_state` on.
    watermark: u32,
    /// What is charged, likewise.
    usage: u32,
}

fn memory_controller(btf: &Btf) -> Result<MemoryController, OffsetsError> {
    let Ok(group) = btf.structure("mem_cgroup") else {
        return Ok(MemoryController::default());
    };
    // `css_set.subsys` is an array of pointers, with a place for each controller.
    let slot = btf.enumerator("cgroup_subsys_id", "memory_cgrp_id")?;
    let counter = group.member("memory")?;
    let pages = btf.structure_of(&counter, "page_counter")?;
    let css = group.offset("css")?;
    let from_css = |field: &str| {
        sum(counter.offset, pages.offset(field)?)?
            .checked_sub(css)
            .ok_or(OffsetsError::Invalid)
    };
    Ok(MemoryController {
        css_set_slot: sum(
            btf.structure("css_set")?.offset("subsys")?,
            slot.checked_mul(POINTER_SIZE)
                .ok_or(OffsetsError::Invalid)?,
        )?,
        css_cgroup: btf.structure("cgroup_subsys_state")?.offset("cgroup")?,
        watermark: from_css("watermark")?,
        usage: from_css("usage")?,
    })
}

/// Size of a pointer on the 64-bit kernels that are supported.
const POINTER_SIZE: u32 = 8;

/// Size of an `atomic_long_t` on the 64-bit kernels that eBPF's ring buffer needs anyway.
const ATOMIC_LONG_SIZE: u32 = 8;

/// Kinds of records, `BTF_KIND_*` of include/uapi/linux/btf.h.
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// First two bytes of BTF from a little-endian machine.
const MAGIC: [u8; 2] = [0x9f, 0xeb];

/// Longest chain of typedefs and qualifiers, and most anonymous structures in one structure, that are
/// followed: far above what compilers write, and an end for input that goes in circles.
const MOST_STEPS: usize = 256;

/// The types of a kernel.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each record begins in `types`. Its index is the type's number less one: number 0 is void and
    /// has no record.
    starts: Vec<u32>,
    /// Where the records of [`NAMED`] begin.
    named: Vec<u32>,
}

/// The types that are found by their names, a tracepoint's in the form that [`Btf::parameters`] tells of.
const NAMED: [&str; 15] = [
    "task_struct",
    "signal_struct",
    "mm_struct",
    "pid",
    "upid",
    "cgroup",
    "percpu_counter",
    "pid_namespace",
    "mem_cgroup",
    "css_set",
    "cgroup_subsys_state",
    "cgroup_subsys_id",
    "kernfs_node",
    "cgroup_root",
    TRACEPOINT,
];

/// What the types of tracepoints begin with.
const TRACEPOINT: &str = "btf_trace_";

/// One type's record.
#[derive(Clone, Copy)]
struct Record<'a> {
    /// Where its name begins among the strings; 0 for none.
    name: u32,
    kind: u32,
    /// For a structure: the upper bits of its members' offsets are sizes of bit fields.
    has_bit_fields: bool,
    /// Size in bytes, or the number of the type that is pointed to or renamed.
    size_or_type: u32,
    /// Members, parameters and the like.
    body: &'a [u8],
}

/// A structure or union with the name it is told by in errors.
struct Structure<'a> {
    btf: &'a Btf<'a>,
    name: &'a str,
    record: Record<'a>,
}

/// A field: where it is, and its type.
struct Member {
    offset: u32,
    type_id: u32,
}

impl<'a> Btf<'a> {
    /// Finds where each record begins.
    fn parse(bytes: &'a [u8]) -> Result<Self, OffsetsError> {
        if bytes.get(..2) != Some(&MAGIC) {
            return Err(OffsetsError::Invalid);
        }
        // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len.
        let header_len = word(bytes, 4)?;
        let section = |offset: usize, len: usize| {
            let start = header_len as usize + word(bytes, offset)? as usize;
            let end = start + word(bytes, len)? as usize;
            bytes.get(start..end).ok_or(OffsetsError::Invalid)
        };
        let mut btf = Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
            starts: Vec::new(),
            named: Vec::new(),
        };
        // Kernels have 30 to 40 bytes a type; a little too much is better than moving the table.
        btf.starts.reserve_exact(btf.types.len() / 28);
        let mut start = 0;
        while start < btf.types.len() {
            let record = btf.record_at(start)?;
            // Sections are shorter than 4 GiB: their lengths are u32.
            let index = u32::try_from(start).map_err(|_| OffsetsError::Invalid)?;
            btf.starts.push(index);
            let can_be_named = matches!(record.kind, kind::STRUCT | kind::ENUM | kind::TYPEDEF);
            if can_be_named && NAMED.iter().any(|name| btf.name_begins(&record, name)) {
                btf.named.push(index);
            }
            start += RECORD_HEAD + record.body.len();
        }
        Ok(btf)
    }

    fn record_at(&self, start: usize) -> Result<Record<'a>, OffsetsError> {
        let info = word(self.types, start + 4)?;
        let kind = (info >> 24) & 0x1f;
        let count = (info & 0xffff) as usize;
        let body_len = match kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION => MEMBER_SIZE * count,
            kind::DATASEC | kind::ENUM64 => 12 * count,
            kind::ENUM => ENUMERATOR_SIZE * count,
            kind::FUNC_PROTO => PARAMETER_SIZE * count,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            // A kind that is newer than this program: where the next record begins is not known.
            _ => return Err(OffsetsError::Invalid),
        };
        let body = start + RECORD_HEAD;
        Ok(Record {
            name: word(self.types, start)?,
            kind,
            has_bit_fields: info >> 31 == 1,
            size_or_type: word(self.types, start + 8)?,
            body: self
                .types
                .get(body..body + body_len)
                .ok_or(OffsetsError::Invalid)?,
        })
    }

    fn record(&self, type_id: u32) -> Result<Record<'a>, OffsetsError> {
        let index = (type_id as usize)
            .checked_sub(1)
            .ok_or(OffsetsError::Invalid)?;
        let start = self.starts.get(index).ok_or(OffsetsError::Invalid)?;
        self.record_at(*start as usize)
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, type_id: u32) -> Result<Record<'a>, OffsetsError> {
        let mut record = self.record(type_id)?;
        for _ in 0..MOST_STEPS {
            match record.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    record = self.record(record.size_or_type)?;
                }
                _ => return Ok(record),
            }
        }
        Err(OffsetsError::Invalid)
    }

    fn is_named(&self, record: &Record, name: &str) -> bool {
        self.strings
            .get(record.name as usize..)
            .and_then(|text| text.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    fn name_begins(&self, record: &Record, with: &str) -> bool {
        self.strings
            .get(record.name as usize..)
            .is_some_and(|text| text.starts_with(with.as_bytes()))
    }

    /// The first type of this kind and name, one of [`NAMED`], that satisfies `accept`.
    fn find(
        &self,
        kind: u32,
        name: &str,
        accept: impl Fn(&Record) -> bool,
    ) -> Result<Record<'a>, OffsetsError> {
        for start in &self.named {
            let record = self.record_at(*start as usize)?;
            if record.kind == kind && self.is_named(&record, name) && accept(&record) {
                return Ok(record);
            }
        }
        Err(OffsetsError::Missing(name.to_owned()))
    }

    /// The value of a name in an enumeration.
    fn enumerator(&self, enumeration: &str, name: &str) -> Result<u32, OffsetsError> {
        let record = self.find(kind::ENUM, enumeration, |record| !record.body.is_empty())?;
        for enumerator in record.body.chunks_exact(ENUMERATOR_SIZE) {
            let name_start = word(enumerator, 0)?;
            if self.is_named(
                &Record {
                    name: name_start,
                    ..record
                },
                name,
            ) {
                return word(enumerator, 4);
            }
        }
        Err(OffsetsError::Missing(format!("{enumeration}.{name}")))
    }

    /// The structure of this name; an empty one of the same name is somebody else's.
    fn structure(&'a self, name: &'a str) -> Result<Structure<'a>, OffsetsError> {
        let record = self.find(kind::STRUCT, name, |record| !record.body.is_empty())?;
        Ok(Structure {
            btf: self,
            name,
            record,
        })
    }

    /// The structure that a field is; `name` is for errors.
    fn structure_of(
        &'a self,
        member: &Member,
        name: &'a str,
    ) -> Result<Structure<'a>, OffsetsError> {
        Ok(Structure {
            btf: self,
            name,
            record: self.resolve(member.type_id)?,
        })
    }

    /// The types of a raw tracepoint's arguments.
    ///
    /// `typedef void (*btf_trace_<name>)(void *, …)` stands in BTF for each tracepoint.
    fn parameters(&self, tracepoint: &str) -> Result<Vec<u32>, OffsetsError> {
        let name = format!("{TRACEPOINT}{tracepoint}");
        let typedef = self.find(kind::TYPEDEF, &name, |_| true)?;
        let pointer = self.resolve(typedef.size_or_type)?;
        let function = self.resolve(pointer.size_or_type)?;
        if pointer.kind != kind::PTR || function.kind != kind::FUNC_PROTO {
            return Err(OffsetsError::Missing(name));
        }
        // A parameter is its name and its type. The first one is the tracepoint's own data.
        function
            .body
            .chunks_exact(PARAMETER_SIZE)
            .skip(1)
            .map(|parameter| word(parameter, 4))
            .collect()
    }

    fn first_parameter_is_pointer(&self, tracepoint: &str) -> Result<bool, OffsetsError> {
        match self.parameters(tracepoint)?.first() {
            Some(type_id) => Ok(self.resolve(*type_id)?.kind == kind::PTR),
            None => Err(OffsetsError::Missing(format!("btf_trace_{tracepoint}"))),
        }
    }
}

impl Structure<'_> {
    fn offset(&self, field: &str) -> Result<u32, OffsetsError> {
        Ok(self.member(field)?.offset)
    }

    /// The field of this name, looked for in anonymous structures and unions too.
    fn member(&self, field: &str) -> Result<Member, OffsetsError> {
        let missing = || OffsetsError::Missing(format!("{}.{field}", self.name));
        let mut to_search = vec![(self.record, 0_u32)];
        for _ in 0..MOST_STEPS {
            let (record, base) = to_search.pop().ok_or_else(missing)?;
            if to_search.len() > MOST_STEPS {
                break;
            }
            if !matches!(record.kind, kind::STRUCT | kind::UNION) {
                continue;
            }
            for member in record.body.chunks_exact(MEMBER_SIZE) {
                let name = word(member, 0)?;
                let type_id = word(member, 4)?;
                let mut bits = word(member, 8)?;
                if record.has_bit_fields {
                    bits &= 0x00ff_ffff;
                }
                let offset = sum(base, bits / 8)?;
                if name == 0 {
                    to_search.push((self.btf.resolve(type_id)?, offset));
                } else if self.btf.is_named(&Record { name, ..record }, field) {
                    return Ok(Member { offset, type_id });
                }
            }
        }
        Err(missing())
    }
}

/// Bytes of a record before its body: name, info, size or type.
const RECORD_HEAD: usize = 12;
/// Bytes of a structure's member: name, type, offset in bits.
const MEMBER_SIZE: usize = 12;
/// Bytes of an enumeration's name: name, value.
const ENUMERATOR_SIZE: usize = 8;
/// Bytes of a function's parameter: name, type.
const PARAMETER_SIZE: usize = 8;

fn sum(offset: u32, further: u32) -> Result<u32, OffsetsError> {
    offset.checked_add(further).ok_or(OffsetsError::Invalid)
}

/// The little-endian word at `offset`.
fn word(bytes: &[u8], offset: usize) -> Result<u32, OffsetsError> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(OffsetsError::Invalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// BTF put together by hand.
    #[derive(Default)]
    struct Writer {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Writer {
        fn new() -> Self {
            Self {
                strings: vec![0],
                ..Self::default()
            }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let start = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            start
        }

        fn words(&mut self, words: &[u32]) {
            self.types
                .extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }

        /// Adds a record, and gives its number.
        fn record(&mut self, name: &str, kind: u32, count: usize, last: u32, body: &[u32]) -> u32 {
            let name = self.string(name);
            let count = u32::try_from(count).unwrap();
            self.words(&[name, kind << 24 | count, last]);
            self.words(body);
            self.count += 1;
            self.count
        }

        /// Adds a structure of members with name, type and offset in bytes.
        fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
            let body: Vec<u32> = members
                .iter()
                .flat_map(|(name, type_id, offset)| [self.string(name), *type_id, offset * 8])
                .collect();
            self.record(name, kind::STRUCT, members.len(), size, &body)
        }

        /// Adds a tracepoint whose arguments have these types.
        fn tracepoint(&mut self, name: &str, arguments: &[u32]) {
            let body: Vec<u32> = [0]
                .iter()
                .chain(arguments)
                .flat_map(|id| [0, *id])
                .collect();
            let function = self.record("", kind::FUNC_PROTO, arguments.len() + 1, 0, &body);
            let pointer = self.record("", kind::PTR, 0, function, &[]);
            self.record(&format!("btf_trace_{name}"), kind::TYPEDEF, 0, pointer, &[]);
        }

        fn finish(self) -> Vec<u8> {
            let types = u32::try_from(self.types.len()).unwrap();
            let strings = u32::try_from(self.strings.len()).unwrap();
            let mut bytes = vec![0x9f, 0xeb, 1, 0];
            for word in [24, 0, types, types, strings] {
                bytes.extend(u32::to_le_bytes(word));
            }
            bytes.extend(self.types);
            bytes.extend(self.strings);
            bytes
        }
    }

    /// A kernel in small. Before 6.2 and 6.16 `old`, with the other form of what has changed.
    fn kernel(old: bool) -> Vec<u8> {
        let mut btf = Writer::new();
        let int = btf.record("int", kind::INT, 0, 4, &[32]);
        // Somebody's empty structure of the same name.
        btf.structure("pid", 0, &[]);
        let task = btf.structure(
            "task_struct",
            100,
            &[
                ("pid", int, 4),
                ("tgid", int, 8),
                ("mm", int, 16),
                ("signal", int, 24),
                ("group_leader", int, 32),
                ("thread_pid", int, 40),
                ("exit_code", int, 48),
                ("start_boottime", int, 56),
                ("cgroups", int, 64),
            ],
        );
        let task = btf.record("", kind::PTR, 0, task, &[]);
        btf.structure(
            "signal_struct",
            100,
            &[
                ("live", int, 4),
                ("maxrss", int, 8),
                ("flags", int, 16),
                ("group_exit_code", int, 20),
            ],
        );
        let counters = if old {
            let counts = btf.record("", kind::ARRAY, 0, 0, &[int, int, 4]);
            btf.structure("mm_rss_stat", 32, &[("count", counts, 0)])
        } else {
            let counter =
                btf.structure("percpu_counter", 40, &[("lock", int, 0), ("count", int, 8)]);
            btf.record("", kind::ARRAY, 0, 0, &[counter, int, 4])
        };
        let inner = btf.structure(
            "",
            90,
            &[
                ("hiwater_rss", int, 10),
                ("rss_stat", counters, 30),
                ("arg_start", int, 70),
                ("arg_end", int, 78),
            ],
        );
        btf.structure("mm_struct", 200, &[("", inner, 100)]);
        btf.structure("upid", 16, &[("nr", int, 0), ("ns", int, 8)]);
        btf.structure("pid", 112, &[("level", int, 4), ("numbers", int, 96)]);
        let common = btf.structure("ns_common", 24, &[("inum", int, 16)]);
        let common = btf.record("ns_common_t", kind::TYPEDEF, 0, common, &[]);
        btf.structure("pid_namespace", 200, &[("ns", common, 120)]);
        btf.structure("cgroup", 200, &[("kn", int, 64), ("root", int, 72)]);
        btf.structure("css_set", 200, &[("subsys", int, 8)]);
        btf.structure("cgroup_subsys_state", 100, &[("cgroup", int, 0)]);
        let counter = btf.structure(
            "page_counter",
            100,
            &[("usage", int, 0), ("watermark", int, 32)],
        );
        btf.structure(
            "mem_cgroup",
            1000,
            &[("css", int, 16), ("memory", counter, 200)],
        );
        let names = ["cpuset_cgrp_id", "memory_cgrp_id"].map(|name| btf.string(name));
        btf.record(
            "cgroup_subsys_id",
            kind::ENUM,
            2,
            4,
            &[names[0], 0, names[1], 4],
        );
        btf.structure("kernfs_node", 200, &[("id", int, 88)]);
        btf.structure("cgroup_root", 200, &[("hierarchy_id", int, 8)]);
        if old {
            btf.tracepoint("sched_process_exit", &[task]);
            btf.tracepoint("mark_victim", &[int]);
        } else {
            btf.tracepoint("sched_process_exit", &[task, int]);
            btf.tracepoint("mark_victim", &[task, int]);
        }
        btf.finish()
    }

    #[test]
    fn every_offset_is_found_in_both_forms() {
        let new = find_offsets(&kernel(false)).unwrap();
        assert_eq!(new.task_group_leader, 32);
        assert_eq!(new.mm_hiwater_rss, 110);
        assert_eq!((new.mm_rss_stat, new.mm_rss_stride), (138, 40));
        assert_eq!((new.pid_numbers, new.upid_size, new.upid_ns), (96, 16, 8));
        assert_eq!(new.pid_namespace_inum, 136);
        assert_eq!((new.exit_tells_group_dead, new.victim_is_task), (1, 1));
        assert_eq!((new.css_set_memory, new.css_memory_watermark), (40, 216));
        assert_eq!(new.css_memory_usage, 184);

        let old = find_offsets(&kernel(true)).unwrap();
        assert_eq!((old.mm_rss_stat, old.mm_rss_stride), (130, 8));
        assert_eq!((old.exit_tells_group_dead, old.victim_is_task), (0, 0));
    }

    #[test]
    fn what_the_kernel_does_not_have_is_named() {
        let mut btf = Writer::new();
        btf.structure("task_struct", 8, &[("pid", 1, 0)]);
        for name in ["signal_struct", "mm_struct", "pid", "upid", "cgroup"] {
            btf.structure(name, 8, &[("x", 1, 0)]);
        }
        let missing = OffsetsError::Missing("mm_struct.rss_stat".to_owned());
        assert_eq!(find_offsets(&btf.finish()), Err(missing));
        let missing = OffsetsError::Missing("task_struct".to_owned());
        assert_eq!(find_offsets(&Writer::new().finish()), Err(missing));
    }

    #[test]
    fn a_function_alone_keeps_its_number() {
        for id in [1, 2, 1000] {
            let bytes = btf_of_function(id, "exit_mm_release");
            assert_eq!(function_id(&bytes, "exit_mm_release"), Ok(id));
            assert!(function_id(&bytes, "exit_mm").is_err());
        }
    }

    #[test]
    fn types_that_go_in_circles_come_to_an_end() {
        let mut btf = Writer::new();
        // An anonymous structure within itself, and a typedef of itself.
        btf.structure("", 8, &[("", 1, 0), ("", 1, 0)]);
        btf.structure("task_struct", 8, &[("", 1, 0)]);
        btf.record("loop", kind::TYPEDEF, 0, 3, &[]);
        let bytes = btf.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert!(btf.structure("task_struct").unwrap().offset("pid").is_err());
        assert!(btf.resolve(3).is_err());
    }

    #[test]
    fn the_running_kernel_has_every_offset() {
        let Ok(btf) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        let offsets = find_offsets(&btf).unwrap();
        assert_eq!(offsets.task_tgid, offsets.task_pid + 4);
        assert_eq!((offsets.signal_live, offsets.upid_nr), (4, 0));
        assert!(offsets.mm_arg_end > offsets.mm_arg_start);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            cut in 0_usize..4000,
            changes in prop::collection::vec((0_usize..4000, any::<u8>()), 0..8),
        ) {
            let mut bytes = kernel(cut % 2 == 0);
            for (position, byte) in changes {
                let len = bytes.len();
                bytes[position % len] = byte;
            }
            let _ = find_offsets(&bytes);
            let _ = find_offsets(&bytes[..cut.min(bytes.len())]);
        }
    }
}

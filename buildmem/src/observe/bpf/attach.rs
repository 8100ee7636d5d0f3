//! Loads the eBPF programs, attaches them, and reads what they send. The only place that names aya.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::thread;

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::fentry::FEntryLink;
use aya::programs::perf_event::{
    PerfEventConfig, PerfEventLink, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::{FEntry, PerfEvent, ProgramError, RawTracePoint};
use aya::util::online_cpus;
use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use aya_log::EbpfLogger;
use buildmem_common::{GrowthGate, GrowthRecord, Offsets, lost};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chroot;
use rustix::process::{Resource, getrlimit};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::WATERMARK;
use super::decode::{CgroupLeaf, DecodeContext, Decoded, decode};
use super::kernel_btf::{KERNEL_BTF, KernelBtf};
use super::missed::skipped_runs;
use super::offsets::{btf_of_function, find_offsets, function_id};
use crate::event::{Event, EventKind};
use crate::growth::Gate;
use crate::launch::privileges::{how_to_get, suffice_for_ebpf, with_held_back};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::units::ByteSize;

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct TrackerConfig {
    /// Bytes of a page.
    pub page_size: u64,
    /// Let the programs log what they do through the `log` crate, level `trace` and above. Without it their
    /// log statements are not even part of what the kernel runs.
    pub diagnostics: bool,
    /// Most processes tracked at the same time, [`TRACKED_CAPACITY`](buildmem_common::TRACKED_CAPACITY) but in tests.
    pub tracked_capacity: u32,
}

/// eBPF programs at work: they follow the processes of the build, which are those that the armed thread
/// forks, and all of their descendants.
///
/// Readable (epoll) when there is something to [`drain`](Self::drain). When it is dropped, the programs are
/// detached.
pub struct Tracker {
    records: RingBuf<MapData>,
    seed: Array<MapData, u32>,
    lost: PerCpuArray<MapData, u64>,
    /// One entry a hook, with its copies.
    programs: Vec<Vec<Program>>,
    /// Detaches its program when dropped. Absent where that is not needed, or cannot be had.
    _release: Option<FEntryLink>,
    /// Absent where the kernel gives no CPU clock.
    growth: Option<GrowthWatch>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    context: DecodeContext,
    undecodable: u64,
}

/// Something that could not be observed, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostCount {
    /// What, for people.
    pub source: &'static str,
    /// How often.
    pub count: u64,
    /// The count is an upper bound: it may be that nothing was lost.
    pub at_most: bool,
}

impl Tracker {
    /// Loads and attaches the programs. Nothing is followed until [`arm`](Self::arm).
    pub fn start(config: TrackerConfig) -> Result<Self, Problem> {
        with_held_back(|| Self::start_as_we_are(config))
    }

    fn start_as_we_are(config: TrackerConfig) -> Result<Self, Problem> {
        let Loaded {
            mut ebpf,
            release_id,
        } = load(config)?;
        let release = release_id.and_then(|id| match attach_release(&mut ebpf, id) {
            Ok(link) => Some(link),
            Err(problem) => {
                // Then peaks are told as far as `signal->maxrss` shows them.
                log::info!("{problem}");
                None
            }
        });
        let programs = HOOKS
            .iter()
            .map(|hook| attach(&mut ebpf, hook))
            .collect::<Result<_, _>>()?;
        let growth = GrowthWatch::start(&mut ebpf)
            // Then the usage is looked at by the clock.
            .inspect_err(|problem| log::info!("{problem}"))
            .ok();
        let logger = if config.diagnostics {
            EbpfLogger::init(&mut ebpf).ok()
        } else {
            None
        };
        Ok(Self {
            records: map(&mut ebpf, "RECORDS")?,
            seed: map(&mut ebpf, "SEED")?,
            lost: map(&mut ebpf, "LOST")?,
            programs,
            _release: release,
            growth,
            logger,
            context: DecodeContext {
                page_size: config.page_size,
                leaf: None,
                watermarks: BTreeMap::new(),
            },
            undecodable: 0,
        })
    }

    /// From now on, what the *calling thread* forks belongs to the build. Between this and
    /// [`disarm`](Self::disarm) it must fork nothing else.
    pub fn arm(&mut self) -> Result<(), Problem> {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.set_seed(thread.cast_unsigned())
    }

    /// From now on, nothing that the profiler forks belongs to the build.
    pub fn disarm(&mut self) -> Result<(), Problem> {
        self.set_seed(0)
    }

    /// Tells where the build belongs: a process that is moved out of it is an event.
    pub fn set_leaf(&mut self, leaf: CgroupLeaf) {
        self.context.leaf = Some(leaf);
    }

    /// Hands everything that happened since the last call to `sink`, in the order in which it happened.
    ///
    /// A process can be born in another cgroup than its parent's; `path_of` finds that one by the inode number of its
    /// directory, and says nothing of one that belongs to the build.
    pub fn drain(&mut self, path_of: impl Fn(u64) -> Option<String>, mut sink: impl FnMut(Event)) {
        while let Some(record) = self.records.next() {
            match decode(&record, &mut self.context) {
                Ok(Decoded::Event(event)) => sink(event),
                Ok(Decoded::Nothing) => {}
                Ok(Decoded::BornElsewhere {
                    forked,
                    child,
                    cgroup_id,
                }) => {
                    let at = forked.at;
                    sink(forked);
                    if let Some(cgroup) = path_of(cgroup_id) {
                        let tgid = child;
                        sink(Event::new(at, EventKind::CgroupLeft { tgid, cgroup }));
                    }
                }
                Err(error) => {
                    log::warn!("the eBPF programs sent {error}");
                    self.undecodable += 1;
                }
            }
        }
    }

    /// Everything that could not be observed until now; empty when nothing was lost.
    pub fn lost(&self) -> Result<Vec<LostCount>, Problem> {
        let mut counts = Vec::new();
        for (slot, source) in [
            (lost::RING_FULL, "events, because the ring buffer was full"),
            (
                lost::TRACKED_FULL,
                "processes with their descendants, because too many were alive at once",
            ),
            (
                lost::ARGV_UNREADABLE,
                "command lines, because they were not in memory",
            ),
        ] {
            let per_cpu = with_held_back(|| self.lost.get(&slot, 0)).map_err(|error| {
                Problem::new("cannot read what the eBPF programs lost").because(error)
            })?;
            counts.push(LostCount {
                source,
                count: per_cpu.iter().sum(),
                at_most: false,
            });
        }
        counts.push(LostCount {
            source: "events, because their records could not be understood",
            count: self.undecodable,
            at_most: false,
        });
        counts.push(LostCount {
            source: "events, because the kernel skipped each of the copies of an eBPF program at some time, though hardly \
                     all of them at once",
            count: self.skipped()?,
            at_most: true,
        });
        counts.retain(|lost| lost.count > 0);
        Ok(counts)
    }

    /// The high-water mark of the cgroup with this inode number as the kernel's memory controller keeps it, which
    /// kernels show as `memory.peak` since Linux 5.19; as it stood when the last process of the build ended there.
    pub fn watermark(&self, cgroup_id: u64) -> Reading<ByteSize> {
        match self.context.watermarks.get(&cgroup_id) {
            Some(watermark) => Reading::known(*watermark, WATERMARK),
            None => Reading::missing("no process of the build has ended in that cgroup"),
        }
    }

    /// Readable when [`grown`](Self::grown) has something to tell; absent where it never has.
    pub fn growth_fd(&self) -> Option<BorrowedFd<'_>> {
        self.growth.as_ref().map(|growth| growth.woken.as_fd())
    }

    /// Asks to be woken once, when the build has touched memory and its cgroup's usage has passed the gate.
    pub fn watch_growth(&mut self, gate: Gate) -> Result<(), Problem> {
        let (Some(growth), Some(leaf)) = (&mut self.growth, &self.context.leaf) else {
            return Ok(());
        };
        let pages = |size: ByteSize| size.bytes() / self.context.page_size;
        growth.set(GrowthGate {
            armed: 1,
            cgroup_id: leaf.cgroup_id,
            high_pages: pages(gate.high),
            low_pages: pages(gate.low),
            regrowth_divisor: gate.regrowth_divisor,
            least_regrowth_pages: pages(gate.least_regrowth),
        })
    }

    /// The lowest usage before the growth that has passed the gate, if it has.
    pub fn grown(&mut self) -> Option<ByteSize> {
        let low_pages = self.growth.as_mut()?.take()?;
        Some(ByteSize::from_bytes(low_pages * self.context.page_size))
    }

    /// Hands what the programs logged to the logger of the `log` crate.
    pub fn flush_diagnostics(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// How many events may be lost because every copy of a program was skipped: no more than the least of their
    /// counts, each of which includes the times that another copy stepped in.
    fn skipped(&self) -> Result<u64, Problem> {
        let mut skipped = 0;
        for copies in &self.programs {
            let counts = copies
                .iter()
                .map(|program| with_held_back(|| skipped_runs(program.fd.as_fd())))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| {
                    Problem::new("cannot read how often an eBPF program was skipped").because(error)
                })?;
            skipped += counts.into_iter().min().unwrap_or_default();
        }
        Ok(skipped)
    }

    fn set_seed(&mut self, thread: u32) -> Result<(), Problem> {
        with_held_back(|| self.seed.set(0, thread, 0)).map_err(|error| {
            Problem::new("cannot tell the eBPF programs which process to follow").because(error)
        })
    }
}

/// The clock of every CPU, for the program that looks how far the build's memory has grown.
struct GrowthWatch {
    gate: Array<MapData, [u64; GATE_WORDS]>,
    woken: RingBuf<MapData>,
    /// One a CPU. Detach the program when dropped.
    _links: Vec<PerfEventLink>,
}

/// [`GrowthGate`] as aya hands it over.
const GATE_WORDS: usize = size_of::<GrowthGate>() / size_of::<u64>();

/// The software perf event that it is.
pub const CPU_CLOCK: &str = "cpu-clock";

/// How often the program looks on each CPU, in nanoseconds. Told of page faults instead, of every 128th even, it took a program
/// that only touches memory 7 % longer (Linux 6.18): the kernel counts each fault as soon as anybody asks for some.
const TICK_NS: u64 = 2_000_000;

/// What the program is called that looks.
const GROWTH_PROGRAM: &str = "memory_looked_at";

impl GrowthWatch {
    fn start(ebpf: &mut Ebpf) -> Result<Self, Problem> {
        let explain = |error: ProgramError| explain("have a CPU clock", &error);
        let program: &mut PerfEvent = ebpf
            .program_mut(GROWTH_PROGRAM)
            .ok_or_else(|| not_in_object(GROWTH_PROGRAM))?
            .try_into()
            .map_err(explain)?;
        loaded(program.load()).map_err(explain)?;
        let cpus = online_cpus().map_err(|(file, error)| {
            Problem::new(format!("cannot read `{file}`")).because(error)
        })?;
        let links = cpus.into_iter().map(|cpu| {
            let link = program.attach(
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                PerfEventScope::AllProcessesOneCpu { cpu },
                SamplePolicy::Period(TICK_NS),
                false,
            );
            program.take_link(link.map_err(explain)?).map_err(explain)
        });
        let links = links.collect::<Result<_, _>>()?;
        Ok(Self {
            gate: map(ebpf, "GROWTH_GATE")?,
            woken: map(ebpf, "GROWTH")?,
            _links: links,
        })
    }

    fn set(&mut self, gate: GrowthGate) -> Result<(), Problem> {
        let words: [u64; GATE_WORDS] = zerocopy::transmute!(gate);
        with_held_back(|| self.gate.set(0, words, 0)).map_err(|error| {
            Problem::new("cannot tell the eBPF programs what growth is worth a look").because(error)
        })
    }

    /// The lowest usage of the last time that the gate was passed.
    fn take(&mut self) -> Option<u64> {
        let mut low_pages = None;
        while let Some(record) = self.woken.next() {
            low_pages = GrowthRecord::read_from_bytes(&record)
                .ok()
                .map(|record| record.low_pages);
        }
        low_pages
    }
}

/// Whether nothing is followed without this hook.
pub fn is_needed(hook: &str) -> bool {
    hook != RELEASE_FUNCTION && hook != CPU_CLOCK
}

/// A tracepoint or function, and what came of attaching to it.
pub type TriedHook = (&'static str, Result<(), Problem>);

/// Does what [`Tracker::start`] does, tracepoint by tracepoint, and lets each go at once. [`RELEASE_FUNCTION`] is among
/// them where it is needed, and [`CPU_CLOCK`].
///
/// # Errors
///
/// When there is nothing to attach: the programs cannot be loaded.
pub fn try_hooks(config: TrackerConfig) -> Result<Vec<TriedHook>, Problem> {
    with_held_back(|| {
        let Loaded {
            mut ebpf,
            release_id,
        } = load(config)?;
        let tracepoints = HOOKS.iter().map(|hook| {
            let outcome = attach(&mut ebpf, hook).map(drop);
            (hook.tracepoint, outcome)
        });
        let mut tried: Vec<TriedHook> = tracepoints.collect();
        if let Some(id) = release_id {
            tried.push((RELEASE_FUNCTION, attach_release(&mut ebpf, id).map(drop)));
        }
        tried.push((CPU_CLOCK, GrowthWatch::start(&mut ebpf).map(drop)));
        Ok(tried)
    })
}

impl AsFd for Tracker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }
}

impl AsRawFd for Tracker {
    fn as_raw_fd(&self) -> RawFd {
        self.records.as_raw_fd()
    }
}

/// What `cargo xtask ebpf` built from `buildmem-ebpf/`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("buildmem.bpf.o");

/// The programs of [`OBJECT`] by their tracepoints. Fork comes last: it is what brings work to the others.
const HOOKS: [Hook; 5] = [
    Hook {
        tracepoint: "sched_process_exit",
        copies: &["process_exited", "process_exited_2", "process_exited_3"],
    },
    Hook {
        tracepoint: "sched_process_exec",
        copies: &["process_execed", "process_execed_2", "process_execed_3"],
    },
    Hook {
        tracepoint: "cgroup_attach_task",
        copies: &["cgroup_attached"],
    },
    Hook {
        tracepoint: "mark_victim",
        copies: &["oom_victim"],
    },
    Hook {
        tracepoint: "sched_process_fork",
        copies: &["process_forked", "process_forked_2", "process_forked_3"],
    },
];

/// So many threads load the programs: more have little left to gain.
const LOADERS: usize = 2;

/// Where a process gives up its address space. It is needed only where the tracepoint of exit comes later.
pub const RELEASE_FUNCTION: &str = "exit_mm_release";

struct Hook {
    tracepoint: &'static str,
    /// Programs that do the same: where the kernel skips one, the next one steps in.
    copies: &'static [&'static str],
}

/// A program in the kernel.
struct Program {
    fd: OwnedFd,
    /// Detaches it when dropped.
    _link: RawTracePointLink,
}

/// What this kernel's BTF tells.
struct KernelTypes {
    offsets: Offsets,
    /// Its number of [`RELEASE_FUNCTION`], where that is needed and there.
    release_id: Option<u32>,
}

fn running_kernels_types() -> Result<KernelTypes, Problem> {
    const HELP: &str =
        "use a kernel from 5.10 on with CONFIG_DEBUG_INFO_BTF=y, which distributions ship";
    let what = "cannot follow processes with eBPF";
    let btf = KernelBtf::open().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Problem::new(what)
            .because(format!(
                "this kernel does not describe its types: there is no `{KERNEL_BTF}`"
            ))
            .help(HELP),
        _ => Problem::new(format!("cannot read `{KERNEL_BTF}`")).because(error),
    })?;
    let offsets =
        find_offsets(&btf).map_err(|error| Problem::new(what).because(error).help(HELP))?;
    // The same kernels, from 6.16 on, that keep the address space until then.
    let release_id = if offsets.exit_tells_group_dead == 0 {
        function_id(&btf, RELEASE_FUNCTION)
            .inspect_err(|error| log::info!("{error}"))
            .ok()
    } else {
        None
    };
    Ok(KernelTypes {
        offsets,
        release_id,
    })
}

/// The inode number of the PID namespace whose numbers `/proc` shows.
fn pid_namespace() -> Result<u32, Problem> {
    const PATH: &str = "/proc/self/ns/pid";
    let problem = || Problem::new(format!("cannot read `{PATH}`"));
    let metadata = fs::metadata(PATH).map_err(|error| problem().because(error))?;
    // The kernel keeps it in an unsigned int (`ns_common.inum`).
    u32::try_from(metadata.ino()).map_err(|error| problem().because(error))
}

/// The programs, ready to be attached.
struct Loaded {
    ebpf: Ebpf,
    release_id: Option<u32>,
}

/// Creates the maps, and prepares the programs for this kernel.
fn load(config: TrackerConfig) -> Result<Loaded, Problem> {
    let KernelTypes {
        offsets,
        release_id,
    } = running_kernels_types()?;
    let namespace = pid_namespace()?;
    let log_level = if config.diagnostics {
        aya_log::Level::Trace as u8
    } else {
        0
    };
    let mut loader = loader_without_kernel_btf();
    loader
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("PROFILER_PID_NAMESPACE", &namespace, true)
        .override_global(aya_log::LEVEL, &log_level, true);
    // A page is the least that a ring buffer takes.
    let page = u32::try_from(config.page_size).unwrap_or(4096);
    // One record at a time.
    loader.map_max_entries("GROWTH", page);
    loader.map_max_entries("TRACKED", config.tracked_capacity);
    if !config.diagnostics {
        // Nothing is ever written there.
        loader.map_max_entries("AYA_LOGS", page);
    }
    let mut ebpf = loader
        .load(OBJECT)
        .map_err(|error| explain("load the eBPF programs", &error))?;
    load_side_by_side(&mut ebpf);
    Ok(Loaded { ebpf, release_id })
}

/// Has the kernel verify the programs, which takes it most of the time that loading takes, on more CPUs than one. What
/// it refuses is left to be told by who attaches the program.
fn load_side_by_side(ebpf: &mut Ebpf) {
    let programs = Mutex::new(ebpf.programs_mut());
    let load_some = || {
        loop {
            let next = programs.lock().ok().and_then(|mut left| left.next());
            let _ = match next {
                None => return,
                Some((_, aya::programs::Program::RawTracePoint(program))) => program.load(),
                Some((_, aya::programs::Program::PerfEvent(program))) => program.load(),
                // It is not needed everywhere, and takes what is known of the kernel's function.
                Some(_) => Ok(()),
            };
        }
    };
    thread::scope(|scope| {
        for _ in 1..LOADERS {
            // They have the capabilities that are in effect here.
            scope.spawn(load_some);
        }
        load_some();
    });
}

/// Passes over that a program was loaded before.
fn loaded(outcome: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match outcome {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        outcome => outcome,
    }
}

/// A loader that did not parse the BTF of the whole kernel.
///
/// `EbpfLoader::new` (aya 0.14) always does, and goes on without if it cannot find the file. It takes 100 ms
/// and 20 MiB for it, more than all of build-mem needs, and our programs have no relocations against the
/// kernel's types. So it is called by a thread whose root folder is `/sys`, in which there is no second `/sys`.
/// That needs CAP_SYS_CHROOT; without it the loader only costs more.
fn loader_without_kernel_btf() -> EbpfLoader<'static> {
    let loader = thread::spawn(|| {
        let _ = unshare(CloneFlags::CLONE_FS).and_then(|()| chroot("/sys"));
        EbpfLoader::new()
    });
    loader.join().unwrap_or_default()
}

fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<Vec<Program>, Problem> {
    hook.copies
        .iter()
        .map(|name| attach_program(ebpf, name, hook.tracepoint))
        .collect()
}

fn attach_program(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<Program, Problem> {
    let step = format!("attach to tracepoint `{tracepoint}`");
    let explain = |error: ProgramError| explain(&step, &error);
    let program: &mut RawTracePoint = ebpf
        .program_mut(name)
        .ok_or_else(|| not_in_object(name))?
        .try_into()
        .map_err(explain)?;
    loaded(program.load()).map_err(explain)?;
    let link = program.attach(tracepoint).map_err(explain)?;
    let link = program.take_link(link).map_err(explain)?;
    let fd = program
        .fd()
        .map_err(explain)?
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Problem::new("cannot keep an eBPF program").because(error))?;
    Ok(Program { fd, _link: link })
}

/// Attaches to [`RELEASE_FUNCTION`], which has this number. aya looks it up by its name in BTF that it has parsed, which
/// takes as much as is told above: so it gets some in which there is nothing else.
fn attach_release(ebpf: &mut Ebpf, id: u32) -> Result<FEntryLink, Problem> {
    let name = "address_space_left";
    let step = format!("attach to function `{RELEASE_FUNCTION}`");
    let explain = |error: ProgramError| explain(&step, &error);
    let btf = Btf::parse(&btf_of_function(id, RELEASE_FUNCTION), Endianness::Little)
        .map_err(|error| explain(error.into()))?;
    let program: &mut FEntry = ebpf
        .program_mut(name)
        .ok_or_else(|| not_in_object(name))?
        .try_into()
        .map_err(explain)?;
    program.load(RELEASE_FUNCTION, &btf).map_err(explain)?;
    let link = program.attach().map_err(explain)?;
    program.take_link(link).map_err(explain)
}

/// Takes a map out of the loaded object.
fn map<M>(ebpf: &mut Ebpf, name: &str) -> Result<M, Problem>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| not_in_object(name))?;
    map.try_into()
        .map_err(|error| explain(&format!("use the eBPF map `{name}`"), &error))
}

fn not_in_object(name: &str) -> Problem {
    Problem::new(format!("build-mem's eBPF object has no `{name}`"))
        .help("this is a bug: build-mem and its object do not belong together, see `cargo xtask ebpf --check`")
}

/// What an error of aya's means for the user.
fn explain(step: &str, error: &(dyn Error + 'static)) -> Problem {
    let what = format!("cannot {step}");
    match system_error(error).and_then(io::Error::raw_os_error) {
        Some(nix::libc::EPERM | nix::libc::EACCES) => not_permitted(what, error),
        Some(nix::libc::EINVAL | nix::libc::ENOSYS | nix::libc::ENOENT) => Problem::new(what)
            .because(chain(error))
            .help("the kernel may be too old or built without eBPF: Linux 5.10 or later is needed"),
        _ => Problem::new(what).because(chain(error)),
    }
}

/// eBPF needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, in the *initial* user namespace (capabilities(7)),
/// and before Linux 5.11 also room under RLIMIT_MEMLOCK.
fn not_permitted(what: String, error: &(dyn Error + 'static)) -> Problem {
    let problem = Problem::new(what).because(chain(error));
    if !suffice_for_ebpf() {
        return problem.help(how_to_get(false));
    }
    if !is_initial_user_namespace() {
        return problem.help(
            "eBPF is not lent to user namespaces (rootless containers): run as the host's root",
        );
    }
    if getrlimit(Resource::Memlock).current.is_some() {
        return problem.help(
            "before Linux 5.11 eBPF maps count as locked memory: `ulimit -l unlimited`, in docker `--ulimit memlock=-1`",
        );
    }
    problem.help("a security policy (seccomp, lockdown) may forbid bpf(2): `build-mem doctor` tells what is tried")
}

/// Whether user IDs are the host's own: user_namespaces(7).
fn is_initial_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// The error of the system call below an error of aya's.
fn system_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error with its causes, each told once: some of aya's errors repeat theirs.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    // What aya says of a program that was refused before it was looked at.
    let text = text.trim_end();
    text.strip_suffix("Verifier output:")
        .unwrap_or(text)
        .trim_end_matches(['.', ' '])
        .to_owned()
}

/// An error, what caused it, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

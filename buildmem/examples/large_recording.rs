//! Writes the recording of a large build to stdout: `large_recording PROCESSES`. For each of its sources, `make -j8` has a
//! shell start `gcc`, which starts `cc1` and `as`; samples come as they would. Figures follow from a process's place, so
//! that the same recording comes each time.

use std::env;
use std::error::Error;
use std::io::{self, BufWriter, Write as _};

use buildmem::command_line::{Arg, CommandLine};
use buildmem::event::{
    CgroupComposition, CgroupSample, Event, EventKind, ExitStatus, ProcessSample, ProfilerCost,
    PssSample, VFORK,
};
use buildmem::ids::Tgid;
use buildmem::reading::{MM_HIGH_WATER, Reading};
use buildmem::recording::{FORMAT, Header, RecordingWriter};
use buildmem::units::{BootTime, ByteSize};

/// Sources that are compiled at the same time.
const JOBS: u64 = 8;
/// Processes that a source takes.
const OF_A_SOURCE: u64 = 4;
/// Nanoseconds from one event to the next.
const STEP: u64 = 500_000;
/// Events from one sample to the next.
const SAMPLED_EVERY: u64 = 200;
const MAKE: Tgid = Tgid(2);

type Outcome = Result<(), Box<dyn Error>>;

struct Recording<W: io::Write> {
    writer: RecordingWriter<W>,
    now: u64,
    events: u64,
    /// The compilers of the sources under way.
    live: Vec<Tgid>,
}

fn main() -> Outcome {
    let processes: u64 = env::args().nth(1).ok_or("how many processes?")?.parse()?;
    let output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut recording = Recording {
        writer: RecordingWriter::begin(output, &header())?,
        now: 1_000_000_000,
        events: 0,
        live: Vec::new(),
    };
    let shell = Tgid(1);
    recording.add(EventKind::Forked {
        parent: shell,
        child: MAKE,
        shares_mm: false,
    })?;
    recording.add(EventKind::BuildStarted { tgid: MAKE })?;
    recording.exec(MAKE, &["make", "-j8"])?;
    let sources = processes.saturating_sub(1) / OF_A_SOURCE;
    let mut source = 0;
    while source < sources {
        let batch = source..(source + JOBS).min(sources);
        for source in batch.clone() {
            recording.begin(source)?;
        }
        for source in batch.clone() {
            recording.end(source)?;
        }
        source = batch.end;
    }
    recording.exit(MAKE, 6)?;
    let status = ExitStatus::Code(0);
    recording.add(EventKind::BuildEnded { status })?;
    recording.add(EventKind::HeadlineRead {
        bytes: known(ByteSize::from_mib(520), "memory.peak"),
        limit: None,
        oom_kills: Some(0),
    })?;
    recording.add(EventKind::MeasurementEnded(ProfilerCost {
        sampler_cpu_s: 1.0,
        total_cpu_s: 2.0,
        peak_rss: ByteSize::from_mib(11),
        samples: recording.events / SAMPLED_EVERY,
        samples_triggered: 0,
        samples_put_off: 0,
    }))?;
    recording.writer.into_inner().flush()?;
    Ok(())
}

impl<W: io::Write> Recording<W> {
    fn begin(&mut self, source: u64) -> Outcome {
        let [shell, driver, compiler, _] = numbers(source);
        let object = format!("build/module-{:03}/source-{source}.o", source % 500);
        let file = format!("src/module-{:03}/source-{source}.c", source % 500);
        let line = format!("gcc -O2 -g -Wall -Iinclude -DNDEBUG -c -o {object} {file}");
        self.fork(MAKE, shell, true)?;
        self.exec(shell, &["/bin/sh", "-c", &line])?;
        self.fork(shell, driver, false)?;
        self.exec(driver, &line.split(' ').collect::<Vec<_>>())?;
        self.fork(driver, compiler, true)?;
        let cc1 = "/usr/libexec/gcc/x86_64-linux-gnu/14/cc1";
        self.exec(
            compiler,
            &[
                cc1,
                "-quiet",
                "-I",
                "include",
                "-D",
                "NDEBUG",
                &file,
                "-quiet",
                "-dumpbase",
                &file,
                "-mtune=generic",
                "-march=x86-64",
                "-g",
                "-O2",
                "-Wall",
                "-o",
                "/tmp/cc.s",
            ],
        )?;
        self.live.push(compiler);
        Ok(())
    }

    fn end(&mut self, source: u64) -> Outcome {
        let [shell, driver, compiler, assembler] = numbers(source);
        self.live.retain(|live| *live != compiler);
        self.exit(compiler, 20 + source % 45)?;
        self.fork(driver, assembler, true)?;
        let object = format!("build/module-{:03}/source-{source}.o", source % 500);
        self.exec(
            assembler,
            &["as", "-I", "include", "--64", "-o", &object, "/tmp/cc.s"],
        )?;
        self.exit(assembler, 8)?;
        self.exit(driver, 4)?;
        self.exit(shell, 2)
    }

    fn fork(&mut self, parent: Tgid, child: Tgid, shares_mm: bool) -> Outcome {
        self.add(EventKind::Forked {
            parent,
            child,
            shares_mm,
        })
    }

    fn exec(&mut self, tgid: Tgid, words: &[&str]) -> Outcome {
        let argv = CommandLine::from_args(words.iter().copied());
        let ended_image = Reading::missing(VFORK);
        self.add(EventKind::Execed {
            tgid,
            argv,
            ended_image,
        })
    }

    fn exit(&mut self, tgid: Tgid, mib: u64) -> Outcome {
        self.add(EventKind::Exited {
            tgid,
            status: Some(ExitStatus::Code(0)),
            rss_high_water: known(ByteSize::from_mib(mib), MM_HIGH_WATER),
        })
    }

    fn add(&mut self, kind: EventKind) -> Outcome {
        self.now += STEP;
        self.events += 1;
        self.writer
            .write(&Event::new(BootTime::from_nanos(self.now), kind))?;
        if self.events.is_multiple_of(SAMPLED_EVERY) {
            let sample = sample(&self.live);
            self.writer
                .write(&Event::new(BootTime::from_nanos(self.now), sample))?;
        }
        Ok(())
    }
}

/// The kernel's numbers of a source's processes, which come around.
fn numbers(source: u64) -> [Tgid; 4] {
    let first = 10 + (source * OF_A_SOURCE) % 4_000_000;
    let number = |place: u64| Tgid(u32::try_from(first + place).unwrap_or(u32::MAX));
    [0, 1, 2, 3].map(number)
}

fn sample(live: &[Tgid]) -> EventKind {
    let processes: Vec<ProcessSample> = live
        .iter()
        .map(|tgid| {
            let rss = ByteSize::from_mib(20 + u64::from(tgid.0 / 4) % 45);
            let pss = PssSample {
                total: ByteSize::from_bytes(rss.bytes() / 8 * 7),
                file: Some(ByteSize::from_mib(2)),
                shmem: ByteSize::ZERO,
                rss,
            };
            ProcessSample {
                tgid: *tgid,
                rss,
                anon: Some(ByteSize::from_bytes(rss.bytes() / 4 * 3)),
                pss: Some(pss),
            }
        })
        .collect();
    let anon: ByteSize = processes.iter().filter_map(|process| process.anon).sum();
    let parts = CgroupComposition {
        anon,
        file_mapped: ByteSize::from_mib(30),
        file_unmapped: ByteSize::from_mib(90),
        shmem: ByteSize::ZERO,
        kernel: Some(ByteSize::from_mib(12)),
    };
    EventKind::Sampled {
        cgroup: Some(CgroupSample {
            usage: anon + ByteSize::from_mib(132),
            composition: Some(parts),
        }),
        processes,
    }
}

fn known(size: ByteSize, source: &'static str) -> Reading<ByteSize> {
    Reading::known(size, source)
}

fn header() -> Header {
    Header {
        format: FORMAT.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        label: "large".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        started: BootTime::from_nanos(1_000_000_000),
        command: vec![Arg(b"make".to_vec()), Arg(b"-j8".to_vec())],
        cwd: "/project".into(),
        tracker: "ebpf".into(),
        interval_ms: 150,
        kernel: "6.18".into(),
        cpus: 8,
        memory: ByteSize::from_mib(16 << 10),
        cgroup_version: Some(2),
        cgroup: Some("/build-mem".into()),
        stages: Vec::new(),
        classes: Vec::new(),
        budget: None,
        preset: None,
        image: None,
    }
}

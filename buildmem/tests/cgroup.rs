//! The build's leaf in the real cgroup file system, with workloads of known size.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "support/page_cache.rs"]
mod page_cache;
mod support;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use buildmem::event::{CgroupComposition, CgroupSample};
use buildmem::ids::Tgid;
use buildmem::observe::cgroup::{Hierarchy, Leaf};
use buildmem::reading::Reading;
use buildmem::units::ByteSize;
use page_cache::{cached, write_uncached};

fn hierarchy() -> Hierarchy {
    Hierarchy::detect(Path::new("/proc")).unwrap()
}

fn leaf() -> Leaf {
    Leaf::create(&hierarchy()).unwrap()
}

/// A command that moves into the leaf before it becomes what it is.
fn within(leaf: &Leaf, command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("echo 0 > \"$1\" && exec {command}"))
        .arg("sh")
        .arg(leaf.dir().join("cgroup.procs"))
        .stdout(Stdio::piped());
    shell
}

/// A process that is killed at the latest at the end of its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn tgid(&self) -> Tgid {
        Tgid(self.0.id())
    }

    fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that is removed at the end of its test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success());
}

fn composition(sample: &CgroupSample) -> CgroupComposition {
    sample.composition.unwrap()
}

/// Waits for a state of the leaf: the kernel folds its per-CPU counts into memory.stat up to two seconds late.
fn sample_until(leaf: &mut Leaf, reached: impl Fn(&CgroupSample) -> bool) -> CgroupSample {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let sample = leaf.sample().unwrap();
        if reached(&sample) || Instant::now() > deadline {
            return sample;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn assert_near(found: ByteSize, expected: ByteSize, percent: u64) {
    let difference = found.signed_difference(expected).unsigned_abs();
    assert!(
        difference <= expected.bytes() * percent / 100,
        "{found} is not within {percent} % of {expected}"
    );
}

/// A kernel that does not show the mark says so.
#[track_caller]
fn assert_peak_near(leaf: &Leaf, peak: Reading<ByteSize>, expected: ByteSize, percent: u64) {
    let file = leaf.hierarchy().version.headline_file();
    match peak {
        Reading::Known { value, source } => {
            assert_near(value, expected, percent);
            assert_eq!(source, file);
        }
        Reading::Missing(why) => {
            assert!(!leaf.dir().join(file).exists(), "{why}");
            assert!(why.starts_with("this kernel shows no memory.peak"), "{why}");
        }
    }
}

#[track_caller]
fn assert_headline_near(leaf: &Leaf, expected: ByteSize, percent: u64) {
    assert_peak_near(
        leaf,
        leaf.headline(|| Reading::missing("no other source")),
        expected,
        percent,
    );
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn anonymous_memory_is_the_headline_and_anon() {
    let mut leaf = leaf();
    // Fills one buffer, and waits in write(2) as long as nobody reads.
    let mut dd = Running::start(&mut within(
        &leaf,
        "dd if=/dev/zero bs=200M count=1 status=none",
    ));
    let mut output = dd.stdout();
    output.read_exact(&mut [0]).unwrap();
    assert_eq!(leaf.processes().unwrap(), [dd.tgid()]);

    let size = ByteSize::from_mib(200);
    let sample = sample_until(&mut leaf, |sample| composition(sample).anon >= size);
    assert_near(sample.usage, size, 2);
    assert_near(composition(&sample).anon, size, 2);

    io::copy(&mut output, &mut io::sink()).unwrap();
    dd.0.wait().unwrap();
    assert_headline_near(&leaf, size, 2);
    assert_eq!(leaf.oom_kills(), Some(0));
    assert_eq!(leaf.remove().unwrap(), []);
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn a_file_in_tmpfs_is_shmem() {
    let mut leaf = leaf();
    let file = Scratch(PathBuf::from(format!(
        "/dev/shm/build-mem-test-{}",
        std::process::id()
    )));
    let mut dd = within(
        &leaf,
        "dd if=/dev/zero of=\"$2\" bs=1M count=150 status=none",
    );
    run(dd.arg(&file.0));

    let size = ByteSize::from_mib(150);
    let sample = sample_until(&mut leaf, |sample| composition(sample).shmem >= size);
    assert_near(composition(&sample).shmem, size, 2);
    assert!(composition(&sample).file_unmapped < ByteSize::from_mib(5));
    assert!(composition(&sample).anon < ByteSize::from_mib(5));
    assert_headline_near(&leaf, size, 3);
    leaf.remove().unwrap();
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn a_file_that_is_read_is_unmapped_file_cache() {
    let mut leaf = leaf();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("read-{}", std::process::id()));
    let scratch = Scratch(path);
    write_uncached(&scratch.0, 300);
    run(within(&leaf, "cat \"$2\"")
        .arg(&scratch.0)
        .stdout(Stdio::null()));

    let size = ByteSize::from_mib(300);
    // The kernel may take page cache back at any time: what is there, it tells by another way too.
    let there = || ByteSize::from_bytes(cached(&scratch.0));
    let sample = sample_until(&mut leaf, |sample| {
        composition(sample).file_unmapped >= there()
    });
    assert_near(composition(&sample).file_unmapped, there(), 2);
    assert_near(there(), size, 5);
    assert!(composition(&sample).shmem < ByteSize::from_mib(5));
    assert_headline_near(&leaf, size, 3);
    leaf.remove().unwrap();
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn the_leaf_goes_though_processes_stay() {
    let leaf = leaf();
    let dir = leaf.dir().to_owned();
    // A cgroup that the build made for itself, and one below that.
    let deeper = dir.join("own/deeper");
    fs::create_dir_all(&deeper).unwrap();
    let daemon = Running::start(&mut within(&leaf, "sleep 1000"));
    let mut enter = Command::new("sh");
    enter.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec sleep 1000"]);
    let nested = Running::start(enter.arg(&deeper));
    let mut inside = [daemon.tgid(), nested.tgid()];
    inside.sort_unstable();
    let deadline = Instant::now() + Duration::from_secs(5);
    while leaf.processes().unwrap() != inside {
        assert!(Instant::now() < deadline, "{:?}", leaf.processes());
        thread::sleep(Duration::from_millis(5));
    }

    assert_eq!(leaf.remove().unwrap(), inside);
    assert!(!dir.exists());
    let Hierarchy { id, own_path, .. } = hierarchy();
    for process in inside {
        let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        assert!(
            cgroups
                .lines()
                .any(|line| line.starts_with(&format!("{id}:"))
                    && line.ends_with(&format!(":{own_path}"))),
            "{process} is in {cgroups}"
        );
    }
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn a_leaf_that_is_dropped_goes_too() {
    let leaf = leaf();
    let dir = leaf.dir().to_owned();
    assert!(dir.exists());
    drop(leaf);
    assert!(!dir.exists());
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn two_runs_have_leaves_and_figures_of_their_own() {
    let (mut small, mut large) = (leaf(), leaf());
    assert_ne!(small.dir(), large.dir());
    assert_ne!(small.id(), large.id());
    let fill = |leaf: &Leaf, size: &str| {
        let command = format!("dd if=/dev/zero of=/dev/null bs={size} count=1 status=none");
        Running::start(&mut within(leaf, &command))
    };
    let (mut one, mut other) = (fill(&small, "20M"), fill(&large, "60M"));
    one.0.wait().unwrap();
    other.0.wait().unwrap();
    assert_headline_near(&small, ByteSize::from_mib(20), 10);
    assert_headline_near(&large, ByteSize::from_mib(60), 5);
    // What they hold now is their own.
    assert!(small.sample().unwrap().usage < ByteSize::from_mib(10));
    assert!(large.sample().unwrap().usage < ByteSize::from_mib(10));
    small.remove().unwrap();
    large.remove().unwrap();
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn the_leaf_of_a_killed_run_is_cleaned_and_that_of_a_live_one_is_kept() {
    let live = leaf();
    let mut other =
        Running::start(Command::new(support::example("hold_leaf")).stdout(Stdio::piped()));
    let mut lines = BufReader::new(other.stdout()).lines();
    let mut told = |what: &str| -> String {
        lines
            .find_map(|line| Some(line.unwrap().strip_prefix(what)?.to_owned()))
            .unwrap()
    };
    let dir = PathBuf::from(told("leaf: "));
    let left = Tgid(told("left: ").parse().unwrap());

    Leaf::clean_leftovers(live.hierarchy()).unwrap();
    assert!(dir.exists(), "a live run's leaf was taken away");

    other.0.kill().unwrap();
    other.0.wait().unwrap();
    assert!(dir.exists());
    let cleaned = Leaf::clean_leftovers(live.hierarchy()).unwrap();
    assert!(!dir.exists());
    assert!(live.dir().exists(), "our own leaf was taken away");
    let path = live.hierarchy().path_of(&dir).unwrap();
    let leftover = cleaned.iter().find(|found| found.path == path).unwrap();
    assert_eq!(*leftover.outcome.as_ref().unwrap(), [left]);
    let left = nix::unistd::Pid::from_raw(left.0.cast_signed());
    nix::sys::signal::kill(left, nix::sys::signal::Signal::SIGKILL).unwrap();
    live.remove().unwrap();
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn where_an_escaped_process_went_has_a_peak_too() {
    let (leaf, elsewhere) = (leaf(), leaf());
    let command = "dd if=/dev/zero of=/dev/null bs=30M count=1 status=none";
    run(&mut within(&elsewhere, command));
    let peak = leaf.hierarchy().peak_of(&elsewhere.path_in_hierarchy());
    assert_peak_near(&elsewhere, peak, ByteSize::from_mib(30), 7);
}

#[test]
#[ignore = "needs root and a writable cgroup: cargo xtask test"]
fn a_sample_costs_microseconds() {
    let mut leaf = leaf();
    // The least of several rounds: other work on the machine only adds to it.
    let batch = 100;
    let least = (0..50)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..batch {
                leaf.sample().unwrap();
            }
            started.elapsed() / batch
        })
        .min()
        .unwrap();
    println!("one sample of the cgroup: {least:?}");
    assert!(least < Duration::from_millis(1), "{least:?}");
}

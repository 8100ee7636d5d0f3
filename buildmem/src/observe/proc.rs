//! Readers of one process's files in /proc: resident, proportional and high-water set size, and for the tracker that
//! polls its status, children and command line. Called for hundreds of processes many times a second, hence by scanning
//! bytes in one kept buffer: the `procfs` crate's types are maps of strings.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, openat, statat};
use rustix::io::{Errno, read};
use rustix::param::clock_ticks_per_second;

use crate::command_line::CommandLine;
use crate::event::PssSample;
use crate::ids::Tgid;
use crate::units::{BootTime, ByteSize};

/// Reads the files of processes. A process that is gone gives an error that [`is_gone`] tells from others.
#[derive(Debug)]
pub struct ProcReader {
    root: OwnedFd,
    page_size: u64,
    path: Vec<u8>,
    buffer: Vec<u8>,
}

/// What a process has resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// All of it.
    pub rss: ByteSize,
    /// Anonymous memory: what is neither of a file nor shared memory.
    pub anon: ByteSize,
}

/// A process as `/proc/<tgid>/stat` shows it, proc_pid_stat(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The program's name as the kernel keeps it: at most 15 bytes, and for the process itself to change.
    pub name: Vec<u8>,
    /// Who waits for its end: who forked it or, when that one has ended, the nearest subreaper.
    pub parent: Tgid,
    /// Its last thread has ended, and its parent has not asked for its status yet.
    pub ended: bool,
    /// It has one thread.
    pub single_threaded: bool,
    /// When it was forked, in clock ticks since boot. With the number it says who it is: a number is reused.
    pub started_ticks: u64,
    /// What it runs.
    pub image: ImageMark,
    /// How it ended as waitpid(2) tells it, once it has `ended`. 0, too, where reading that is not permitted.
    pub wait_status: i32,
}

/// What tells a program from the next one in the same process, and a forked copy from what it executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageMark {
    /// `startcode`, `endcode` and `startstack`. A fork copies them; exec chooses them anew, at random unless address space
    /// randomization is off, and no title that a program gives itself changes them.
    Layout([u64; 3]),
    /// Reading them needs ptrace access: the program is setuid, say, or of another user.
    NotPermitted,
    /// There is none (any more): it is ending, or is of the kernel.
    None,
}

impl Stat {
    /// When it was forked, down to the clock tick.
    pub fn started(&self) -> BootTime {
        let nanos_per_tick = 1_000_000_000 / clock_ticks_per_second().max(1);
        BootTime::from_nanos(self.started_ticks.saturating_mul(nanos_per_tick))
    }
}

/// How much of a command line is read: as much as the eBPF programs copy.
const COMMAND_LINE_CAPACITY: usize = buildmem_common::ARGV_CAPACITY;

/// Whether a read failed because the process is gone, or is a zombie, or is of the kernel: it has no memory.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

impl ProcReader {
    /// Reads below `proc_root`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be opened.
    pub fn new(proc_root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: File::open(proc_root)?.into(),
            page_size: procfs::page_size(),
            path: Vec::with_capacity(64),
            buffer: vec![0; 4096],
        })
    }

    /// Resident set size: `resident` of `/proc/<tgid>/statm`, and what of it is not `shared`, proc_pid_statm(5).
    /// Constant time, some 2 µs. From Linux 6.2 to where the kernel sums its per-CPU counters, it may miss some
    /// tens of pages a CPU.
    ///
    /// # Errors
    ///
    /// See [`is_gone`]; `InvalidData` for a text of another form.
    pub fn resident(&mut self, tgid: Tgid) -> io::Result<Resident> {
        let page_size = self.page_size;
        let text = self.read(tgid, "statm")?;
        let mut fields = text
            .split(u8::is_ascii_whitespace)
            .map(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
        let pages = |count: u64| ByteSize::from_bytes(count.saturating_mul(page_size));
        match (fields.next(), fields.next(), fields.next()) {
            (Some(Some(0)), Some(Some(_)), Some(Some(_))) => Err(gone()),
            (Some(Some(_)), Some(Some(resident)), Some(Some(shared))) => Ok(Resident {
                rss: pages(resident),
                anon: pages(resident).saturating_sub(pages(shared)),
            }),
            _ => Err(odd("statm")),
        }
    }

    /// Proportional set size: `Rss`, `Pss`, `Pss_File` and `Pss_Shmem` of `/proc/<tgid>/smaps_rollup`, proc_pid_smaps(5). Walks the
    /// page tables: some 4 ms a GiB, and the process's own mmap calls wait meanwhile. Needs ptrace access.
    ///
    /// # Errors
    ///
    /// See [`is_gone`]; `InvalidData` for a text of another form.
    pub fn pss(&mut self, tgid: Tgid) -> io::Result<PssSample> {
        let text = self.read(tgid, "smaps_rollup")?;
        let (mut rss, mut total, mut file, mut shmem) = (None, None, None, None);
        for line in text.split(|&byte| byte == b'\n') {
            for (key, field) in [
                (&b"Rss:"[..], &mut rss),
                (b"Pss:", &mut total),
                (b"Pss_File:", &mut file),
                (b"Pss_Shmem:", &mut shmem),
            ] {
                if line.starts_with(key) {
                    *field = kib(line);
                }
            }
        }
        match (rss, total, shmem) {
            (Some(rss), Some(total), Some(shmem)) => Ok(PssSample {
                total,
                file,
                shmem,
                rss,
            }),
            _ => Err(odd("smaps_rollup")),
        }
    }

    /// High-water resident set size of the program that the process runs now: `VmHWM` of `/proc/<tgid>/status`,
    /// proc_pid_status(5). Starts anew at exec, unlike `ru_maxrss`.
    ///
    /// # Errors
    ///
    /// See [`is_gone`]; `InvalidData` for a text of another form.
    pub fn high_water(&mut self, tgid: Tgid) -> io::Result<ByteSize> {
        let text = self.read(tgid, "status")?;
        let mut lines = text.split(|&byte| byte == b'\n');
        match lines.clone().find(|line| line.starts_with(b"VmHWM:")) {
            Some(line) => kib(line).ok_or_else(|| odd("status")),
            // A zombie shows everything but its memory.
            None if lines.any(|line| line.starts_with(b"State:")) => Err(gone()),
            None => Err(odd("status")),
        }
    }

    /// What is told of a process in one line. Constant time but for the threads, whose CPU time is summed: some 8 µs.
    ///
    /// # Errors
    ///
    /// See [`is_gone`]; `InvalidData` for a text of another form.
    pub fn stat(&mut self, tgid: Tgid) -> io::Result<Stat> {
        let text = self.read(tgid, "stat")?;
        parse_stat(text).ok_or_else(|| odd("stat"))
    }

    /// Adds the children of all threads of a process to `found`: `/proc/<tgid>/task/<tid>/children`, proc_tid_children(5).
    /// One may be left out while others of them end; it is there the next time.
    ///
    /// # Errors
    ///
    /// See [`is_gone`], also where the kernel was built without `CONFIG_PROC_CHILDREN`.
    pub fn children(
        &mut self,
        tgid: Tgid,
        single_threaded: bool,
        found: &mut Vec<Tgid>,
    ) -> io::Result<()> {
        if single_threaded {
            return self.children_of_thread(tgid, tgid, found);
        }
        for thread in self.numbers_in(&format!("{tgid}/task"))? {
            match self.children_of_thread(tgid, thread, found) {
                // A thread that has just ended has given its children to another.
                Err(error) if is_gone(&error) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// All processes that `/proc` shows.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn processes(&self) -> io::Result<Vec<Tgid>> {
        self.numbers_in(".")
    }

    /// The command line as it is now: `/proc/<tgid>/cmdline`, proc_pid_cmdline(5). A program may have written another
    /// over the one that it was given. Empty for a process that is ending or has ended.
    ///
    /// # Errors
    ///
    /// See [`is_gone`].
    pub fn command_line(&mut self, tgid: Tgid) -> io::Result<CommandLine> {
        let file = self.open(tgid, "cmdline")?;
        self.buffer
            .resize(self.buffer.len().max(2 * COMMAND_LINE_CAPACITY), 0);
        let (kept, rest) = self.buffer.split_at_mut(COMMAND_LINE_CAPACITY);
        let (mut whole, mut length) = (0_u64, 0);
        loop {
            // What does not fit is only counted.
            let room = if length < kept.len() {
                &mut kept[length..]
            } else {
                &mut *rest
            };
            match read(&file, room) {
                Ok(0) => break,
                Ok(more) => {
                    whole += more as u64;
                    length = (length + more).min(COMMAND_LINE_CAPACITY);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(CommandLine::from_kernel(&kept[..length], whole))
    }

    /// The user that a process runs as: the owner of its folder, which for a process that has ended is always that.
    ///
    /// # Errors
    ///
    /// See [`is_gone`].
    pub fn user(&self, tgid: Tgid) -> io::Result<u32> {
        let stat = statat(
            &self.root,
            tgid.to_string(),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )?;
        Ok(stat.st_uid)
    }

    fn children_of_thread(
        &mut self,
        tgid: Tgid,
        thread: Tgid,
        found: &mut Vec<Tgid>,
    ) -> io::Result<()> {
        let text = self.read_any(tgid, &format!("task/{thread}/children"))?;
        found.extend(text.split(|&byte| byte == b' ').filter_map(number));
        Ok(())
    }

    /// The entries of a folder that are numbers of processes or threads.
    fn numbers_in(&self, folder: &str) -> io::Result<Vec<Tgid>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.root, folder, flags, Mode::empty())?;
        let mut numbers = Vec::new();
        for entry in Dir::new(folder)? {
            numbers.extend(number(entry?.file_name().to_bytes()));
        }
        Ok(numbers)
    }

    fn open(&mut self, tgid: Tgid, file: &str) -> io::Result<OwnedFd> {
        self.path.clear();
        write!(self.path, "{tgid}/{file}\0")?;
        let path = CStr::from_bytes_with_nul(&self.path).map_err(io::Error::other)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(openat(&self.root, path, flags, Mode::empty())?)
    }

    /// The text of a file of a process that is never empty.
    fn read(&mut self, tgid: Tgid, file: &str) -> io::Result<&[u8]> {
        match self.read_any(tgid, file)? {
            [] => Err(gone()),
            text => Ok(text),
        }
    }

    /// The text of a file of a process. Nothing is allocated once the buffer is large enough.
    fn read_any(&mut self, tgid: Tgid, file: &str) -> io::Result<&[u8]> {
        let file = self.open(tgid, file)?;
        let mut length = 0;
        // These files give all that fits in one read: only a full buffer needs another.
        loop {
            match read(&file, &mut self.buffer[length..]) {
                Ok(more) => length += more,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if length < self.buffer.len() {
                break;
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        Ok(&self.buffer[..length])
    }
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name may hold anything, also `) `: the last parenthesis ends it.
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let name = text.get(open + 1..close)?.to_vec();
    let mut fields = [0_i128; 53];
    let mut state = b' ';
    // The manual counts from 1; the state is the third.
    let words = text.get(close + 1..)?.split(u8::is_ascii_whitespace);
    for (index, word) in (3..53).zip(words.filter(|word| !word.is_empty())) {
        if index == 3 {
            state = *word.first()?;
        } else {
            fields[index] = std::str::from_utf8(word).ok()?.parse().ok()?;
        }
    }
    let unsigned = |index: usize| u64::try_from(fields[index]).ok();
    let started_ticks = unsigned(22)?;
    let layout = [unsigned(26)?, unsigned(27)?, unsigned(28)?];
    let threads = unsigned(20)?;
    Some(Stat {
        name,
        parent: Tgid(u32::try_from(fields[4]).ok()?),
        // The first thread may end before the others.
        ended: matches!(state, b'Z' | b'X') && threads <= 1,
        single_threaded: threads == 1,
        started_ticks,
        image: match layout {
            [0, _, _] => ImageMark::None,
            [_, _, 0] => ImageMark::NotPermitted,
            layout => ImageMark::Layout(layout),
        },
        wait_status: i32::try_from(fields[52]).ok()?,
    })
}

fn number(text: &[u8]) -> Option<Tgid> {
    std::str::from_utf8(text).ok()?.parse().ok().map(Tgid)
}

/// The value of `Key:      123 kB`.
fn kib(line: &[u8]) -> Option<ByteSize> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, value) = line.split_once(':')?;
    let value = value.trim().strip_suffix("kB")?.trim_end();
    value.parse().ok().map(ByteSize::from_kib)
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn odd(file: &'static str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{file} is not of the form that proc(5) gives"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    const PROCESS: Tgid = Tgid(42);

    /// A reader of a `/proc` with one process that has one file.
    fn reader(file: &str, text: impl AsRef<[u8]>) -> (tempfile::TempDir, ProcReader) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join(PROCESS.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(file), text).unwrap();
        let reader = ProcReader::new(root.path()).unwrap();
        (root, reader)
    }

    const ROLLUP: &str = "55d0c0a00000-7ffd9a7f2000 ---p 00000000 00:00 0                          [rollup]\n\
        Rss:                5120 kB\nPss:                3100 kB\nPss_Dirty:           400 kB\n\
        Pss_Anon:           2000 kB\nPss_File:            100 kB\nPss_Shmem:          1000 kB\n\
        Shared_Clean:        900 kB\nSwapPss:               0 kB\nLocked:                0 kB\n";

    #[test]
    fn rss_is_the_second_field_of_statm_in_pages() {
        let (_root, mut reader) = reader("statm", "2000 512 300 10 0 900 0\n");
        let expected = Resident {
            rss: ByteSize::from_bytes(512 * procfs::page_size()),
            anon: ByteSize::from_bytes(212 * procfs::page_size()),
        };
        assert_eq!(reader.resident(PROCESS).unwrap(), expected);
        assert_eq!(reader.resident(PROCESS).unwrap(), expected);
    }

    #[test]
    fn pss_and_its_parts_are_read() {
        let (_root, mut reader) = reader("smaps_rollup", ROLLUP);
        assert_eq!(
            reader.pss(PROCESS).unwrap(),
            PssSample {
                total: ByteSize::from_kib(3100),
                file: Some(ByteSize::from_kib(100)),
                shmem: ByteSize::from_kib(1000),
                rss: ByteSize::from_kib(5120),
            }
        );
    }

    #[test]
    fn a_stat_is_read_whatever_the_process_is_called() {
        let line = "42 (a) b (c) S 7 7 7 0 -1 4194304 98 0 2 0 0 -1 0 0 20 0 3 0 4352585 3133440 389 18446744073709551615 \
            94423924154368 94423924174249 140727762018144 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94423924190256 94423924191872 \
            94424715923456 140727762021061 140727762021081 140727762021081 140727762022379 9\n";
        let (_root, mut reader) = reader("stat", line);
        let expected = Stat {
            name: b"a) b (c".to_vec(),
            parent: Tgid(7),
            ended: false,
            single_threaded: false,
            started_ticks: 4_352_585,
            image: ImageMark::Layout([94_423_924_154_368, 94_423_924_174_249, 140_727_762_018_144]),
            wait_status: 9,
        };
        let read = reader.stat(PROCESS).unwrap();
        assert_eq!(read, expected);
        let tick = 1_000_000_000 / clock_ticks_per_second();
        assert_eq!(read.started().nanos(), 4_352_585 * tick);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_has_not() {
        let stat = |state: char, threads: u64| {
            let line = format!(
                "42 (x) {state} 7 7 7 0 0 0 0 0 0 0 0 0 0 0 0 0 {threads} 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            );
            reader("stat", line)
                .1
                .stat(PROCESS)
                .map(|stat| (stat.ended, stat.image))
        };
        assert_eq!(stat('Z', 1).unwrap(), (true, ImageMark::None));
        assert_eq!(stat('Z', 2).unwrap(), (false, ImageMark::None));
        assert_eq!(stat('R', 1).unwrap(), (false, ImageMark::None));
    }

    #[test]
    fn a_command_line_longer_than_what_is_kept_is_cut_and_its_length_known() {
        let whole = format!("cc\0{}\0", "x".repeat(5 * COMMAND_LINE_CAPACITY));
        let (root, mut reader) = reader("cmdline", &whole);
        let read = reader.command_line(PROCESS).unwrap();
        let kept: usize = read.args.iter().map(|arg| arg.0.len() + 1).sum();
        assert_eq!(read.cut_from, Some(whole.len() as u64));
        assert_eq!(kept - 1, COMMAND_LINE_CAPACITY);
        fs::write(root.path().join("42/cmdline"), "cc\0\0-c\0").unwrap();
        let read = reader.command_line(PROCESS).unwrap();
        assert_eq!(read, CommandLine::from_args(["cc", "", "-c"]));
    }

    #[test]
    fn the_children_of_every_thread_are_listed() {
        let (root, mut reader) = reader("stat", "");
        for (thread, children) in [(42, "50 51 "), (43, ""), (44, "60 ")] {
            let dir = root.path().join(format!("42/task/{thread}"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("children"), children).unwrap();
        }
        let mut found = Vec::new();
        reader.children(PROCESS, true, &mut found).unwrap();
        assert_eq!(found, [Tgid(50), Tgid(51)]);
        found.clear();
        reader.children(PROCESS, false, &mut found).unwrap();
        found.sort_unstable();
        assert_eq!(found, [Tgid(50), Tgid(51), Tgid(60)]);
        assert_eq!(reader.processes().unwrap(), [PROCESS]);
    }

    #[test]
    fn the_high_water_mark_is_read_behind_a_long_list_of_groups() {
        let groups = "1000 ".repeat(4000);
        let text = format!(
            "Name:\tcc1\nState:\tR (running)\nGroups:\t{groups}\nVmHWM:\t   70400 kB\nVmRSS:\t1 kB\n"
        );
        let (_root, mut reader) = reader("status", text);
        assert_eq!(
            reader.high_water(PROCESS).unwrap(),
            ByteSize::from_kib(70_400)
        );
    }

    #[test]
    fn a_process_without_memory_is_gone() {
        let gone = |file: &str, text: &str| {
            let (_root, mut reader) = reader(file, text);
            match file {
                "statm" => is_gone(&reader.resident(PROCESS).unwrap_err()),
                "smaps_rollup" => is_gone(&reader.pss(PROCESS).unwrap_err()),
                _ => is_gone(&reader.high_water(PROCESS).unwrap_err()),
            }
        };
        assert!(gone("statm", "0 0 0 0 0 0 0\n"));
        assert!(gone("statm", ""));
        assert!(gone("smaps_rollup", ""));
        assert!(gone("status", "Name:\tcc1\nState:\tZ (zombie)\n"));
        let (_root, mut reader) = reader("other", "");
        assert!(is_gone(&reader.resident(PROCESS).unwrap_err()));
        assert!(is_gone(&reader.pss(Tgid(43)).unwrap_err()));
        assert!(is_gone(&Errno::SRCH.into()));
    }

    #[test]
    fn garbage_is_an_error_and_not_a_process_that_is_gone() {
        let invalid =
            |error: io::Error| error.kind() == io::ErrorKind::InvalidData && !is_gone(&error);
        for text in ["x", "12", "12 x", "-1 -1", "\u{fffd}"] {
            let (_root, mut reader) = reader("statm", text);
            assert!(invalid(reader.resident(PROCESS).unwrap_err()), "{text:?}");
        }
        for text in [
            "Pss: 12 kB\n",
            "Pss: 12 MB\nPss_Shmem: 0 kB\n",
            "Pss:\nPss_Shmem:\n",
        ] {
            let (_root, mut reader) = reader("smaps_rollup", text);
            assert!(invalid(reader.pss(PROCESS).unwrap_err()), "{text:?}");
        }
        for text in ["x", "State:\tR\nVmHWM:\tmuch kB\n"] {
            let (_root, mut reader) = reader("status", text);
            assert!(invalid(reader.high_water(PROCESS).unwrap_err()), "{text:?}");
        }
    }

    #[test]
    fn a_real_zombie_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let zombie = Tgid(child.id());
        let mut reader = ProcReader::new(Path::new("/proc")).unwrap();
        while !reader.stat(zombie).unwrap().ended {
            std::thread::yield_now();
        }
        // ESRCH of the kernel's, or no text.
        assert!(is_gone(&reader.pss(zombie).unwrap_err()));
        assert!(is_gone(&reader.resident(zombie).unwrap_err()));
        assert!(is_gone(&reader.high_water(zombie).unwrap_err()));
        child.wait().unwrap();
        assert!(is_gone(&reader.pss(zombie).unwrap_err()));
    }

    #[test]
    fn what_may_not_be_read_is_an_error_and_not_a_process_that_is_gone() {
        use std::os::unix::fs::PermissionsExt as _;

        let (root, mut reader) = reader("smaps_rollup", ROLLUP);
        let folder = root.path().join(PROCESS.to_string());
        let file = folder.join("smaps_rollup");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        // Root may read all: not so with another user's id for files, which is this thread's alone.
        let user = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
        let refused = reader.pss(PROCESS).unwrap_err();
        nix::unistd::setfsuid(user);
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(!is_gone(&refused));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let odd = reader.pss(PROCESS).unwrap_err();
        assert_eq!(odd.raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
        assert!(!is_gone(&odd));
    }

    #[test]
    fn our_own_process_has_memory() {
        let mut reader = ProcReader::new(Path::new("/proc")).unwrap();
        let own = Tgid(std::process::id());
        let rss = reader.resident(own).unwrap().rss;
        let pss = reader.pss(own).unwrap();
        let high_water = reader.high_water(own).unwrap();
        assert!(rss > ByteSize::from_kib(500) && rss < ByteSize::from_mib(1000));
        assert!(pss.total > ByteSize::ZERO && pss.total <= high_water);
    }

    #[test]
    #[ignore = "measures time: cargo xtask test"]
    fn a_read_costs_microseconds() {
        let mut reader = ProcReader::new(Path::new("/proc")).unwrap();
        let own = Tgid(std::process::id());
        // The least of several rounds: other work on the machine only adds to it.
        let mut cost = |name: &str, read: &mut dyn FnMut(&mut ProcReader)| {
            let batch = 100;
            let least = (0..20).map(|_| {
                let started = Instant::now();
                for _ in 0..batch {
                    read(&mut reader);
                }
                started.elapsed() / batch
            });
            let least = least.min().unwrap();
            println!("{name}: {least:?}");
            least
        };
        let rss = cost("statm", &mut |reader| {
            reader.resident(own).unwrap();
        });
        cost("status", &mut |reader| {
            reader.high_water(own).unwrap();
        });
        cost("smaps_rollup", &mut |reader| {
            reader.pss(own).unwrap();
        });
        assert!(rss.as_micros() < 100, "{rss:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let (root, mut reader) = reader("statm", &text);
            for file in ["status", "smaps_rollup"] {
                fs::write(root.path().join(PROCESS.to_string()).join(file), &text).unwrap();
            }
            let _ = (reader.resident(PROCESS), reader.pss(PROCESS), reader.high_water(PROCESS));
        }

        #[test]
        fn any_line_of_a_rollup_is_read_without_panic(line in "Pss(_Shmem)?:[ 0-9kBx]{0,30}") {
            kib(line.as_bytes());
        }
    }
}

//! The output folder of a project, and the files of a run in it. build-mem starts as root in a folder that
//! others write, so nothing here follows a symbolic link, and everything is made with the rights of the invoking user.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::launch::credentials::Invoker;
use crate::problem::Problem;

/// The longest label, so that every file name fits the file system's 255 bytes.
const LONGEST_LABEL: usize = 100;

/// No file is read whole that is larger: whoever writes in the folder must not have us take all memory.
const LARGEST_READ: u64 = 64 << 20;

/// An open output folder.
#[derive(Debug)]
pub struct OutDir {
    dir: OwnedFd,
    path: PathBuf,
    /// Who changes it; absent for reading only.
    writer: Option<Invoker>,
}

/// The kinds of files of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFile {
    /// The build's output.
    Log,
    /// The recording.
    Recording,
    /// The result.
    Result,
    /// Memory over time.
    Timeline,
    /// The page to look at.
    Html,
    /// What several runs have in common.
    Series,
    /// The search for the smallest limit.
    Fit,
}

impl RunFile {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Log,
        Self::Recording,
        Self::Result,
        Self::Timeline,
        Self::Html,
        Self::Series,
        Self::Fit,
    ];

    /// The file's name for this label.
    pub fn name(self, label: &str) -> String {
        match self {
            Self::Log => format!("build-{label}.log"),
            Self::Recording => format!("recording-{label}.jsonl"),
            Self::Result => format!("result-{label}.json"),
            Self::Timeline => format!("timeline-{label}.csv"),
            Self::Html => format!("report-{label}.html"),
            Self::Series => format!("series-{label}.json"),
            Self::Fit => format!("fit-{label}.json"),
        }
    }
}

/// Whether a label can be part of a file name and of a command line.
pub fn check_label(label: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let good = !label.is_empty()
        && label.len() <= LONGEST_LABEL
        && label.chars().all(plain)
        && !label.starts_with(['.', '-']);
    if good {
        return Ok(());
    }
    Err(Problem::new(format!("`{}` cannot be a label", label.escape_debug()))
        .because(format!(
            "a label has 1 to {LONGEST_LABEL} letters, digits, `.`, `_`, `-`, `+`, and begins with none of `.-`"
        ))
        .help("choose another: `--label before-upgrade`"))
}

impl OutDir {
    /// Opens the folder, making it where it is missing, for a run. All that is done in it is done as `writer`: whoever
    /// else writes around here cannot have root make, replace or give away a file.
    pub fn create(path: &Path, writer: &Invoker) -> Result<Self, Problem> {
        let cannot = |what: &str, error: io::Error| {
            Problem::new(format!(
                "cannot {what} the output folder `{}`",
                path.display()
            ))
            .because(error)
            .help("choose another one with `--out-dir`")
        };
        let dir = writer.act_as(|| {
            match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(cannot("make", errno.into())),
            }
            open_dir(path).map_err(|error| cannot("open", error))
        })?;
        let out_dir = Self {
            dir,
            path: path.to_owned(),
            writer: Some(writer.clone()),
        };
        out_dir
            .ignore_in_git()
            .map_err(|error| cannot("write to", error))?;
        Ok(out_dir)
    }

    /// Opens a folder that is there, for reading.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let dir = open_dir(path).map_err(|error| {
            Problem::new(format!("cannot open the output folder `{}`", path.display()))
                .because(error)
                .help("measure a build first: `sudo build-mem run -- CMD`, or name the folder with `--out-dir`")
        })?;
        Ok(Self {
            dir,
            path: path.to_owned(),
            writer: None,
        })
    }

    /// Where a run's file is, for people.
    pub fn path_of(&self, file: RunFile, label: &str) -> PathBuf {
        self.path.join(file.name(label))
    }

    /// Whether a run of this label is there.
    pub fn has(&self, label: &str) -> bool {
        RunFile::ALL.into_iter().any(|file| {
            rustix::fs::statat(&self.dir, file.name(label), AtFlags::SYMLINK_NOFOLLOW).is_ok()
        })
    }

    /// Whether the run of this label is being made just now, by another build-mem.
    pub fn is_under_way(&self, label: &str) -> bool {
        self.open_file(RunFile::Recording, label)
            .is_ok_and(|recording| {
                flock(&recording, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
            })
    }

    /// Begins a run. With `replace` it takes the label from the run that has it, if there is one.
    pub fn begin_run<'run>(
        &'run self,
        label: &'run str,
        replace: bool,
    ) -> io::Result<NewRun<'run>> {
        let mut run = NewRun {
            out_dir: self,
            label,
            made: Vec::new(),
            set_aside: Vec::new(),
        };
        for file in RunFile::ALL.into_iter().filter(|_| replace) {
            match self.rename(&file.name(label), &set_aside_name(file, label)) {
                Ok(()) => run.set_aside.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(run)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.as_writer(|| Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?))
    }

    fn as_writer<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match &self.writer {
            Some(writer) => writer
                .act_as(|| Ok(work()))
                .unwrap_or_else(|problem| Err(io::Error::other(problem))),
            None => work(),
        }
    }

    /// Removes one file of a run, if it is there.
    pub fn remove_file(&self, file: RunFile, label: &str) -> io::Result<()> {
        self.unlink(&file.name(label))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.as_writer(
            || match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
        )
    }

    /// Makes a new file of a run. Fails where the name is taken.
    pub fn create_file(&self, file: RunFile, label: &str) -> io::Result<File> {
        self.create_new(&file.name(label))
    }

    /// Writes a file anew, so that whoever reads it finds the old content or the new one, whenever we are killed.
    pub fn replace_file(&self, file: RunFile, label: &str, content: &[u8]) -> io::Result<()> {
        let aside = format!(".new-{}", file.name(label));
        self.unlink(&aside)?;
        let written = self
            .create_new(&aside)
            .and_then(|mut new| {
                io::Write::write_all(&mut new, content)?;
                new.sync_data()
            })
            .and_then(|()| self.rename(&aside, &file.name(label)));
        if written.is_err() {
            // It is of no use to anybody.
            let _ = self.unlink(&aside);
        }
        written
    }

    /// Reads a file of a run, of at most `LARGEST_READ`.
    pub fn read_file(&self, file: RunFile, label: &str) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut limited = io::Read::take(self.open_file(file, label)?, LARGEST_READ + 1);
        io::Read::read_to_end(&mut limited, &mut content)?;
        if content.len() as u64 > LARGEST_READ {
            return Err(io::Error::other(format!(
                "it has more than {LARGEST_READ} bytes"
            )));
        }
        Ok(content)
    }

    /// What tells a file from the one that takes its place: its number, and when it was written. Absent where it is not
    /// there.
    pub fn stamp(&self, file: RunFile, label: &str) -> Option<(u64, i64, u64)> {
        let stat =
            rustix::fs::statat(&self.dir, file.name(label), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_ino, stat.st_mtime, stat.st_mtime_nsec))
    }

    /// Opens a file of a run for reading. Whatever else has its name is refused.
    pub fn open_file(&self, file: RunFile, label: &str) -> io::Result<File> {
        // Should it be a FIFO, opening it must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, file.name(label), flags, Mode::empty())?;
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(file)
    }

    /// The labels of the recordings, the oldest first.
    pub fn labels(&self) -> io::Result<Vec<String>> {
        self.labels_of(RunFile::Recording)
    }

    /// The labels of all that have such a file, the oldest first.
    pub fn labels_of(&self, file: RunFile) -> io::Result<Vec<String>> {
        // No label is empty, and none has a NUL.
        let pattern = file.name("\0");
        let (before, after) = pattern.split_once('\0').unwrap_or_default();
        let mut labels = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(label) = name
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
            else {
                continue;
            };
            let stat = rustix::fs::statat(&self.dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            labels.push(((stat.st_mtime, stat.st_mtime_nsec), label.to_owned()));
        }
        labels.sort();
        Ok(labels.into_iter().map(|(_, label)| label).collect())
    }

    /// The measurements are nobody's source code.
    fn ignore_in_git(&self) -> io::Result<()> {
        match self.create_new(".gitignore") {
            Ok(mut file) => io::Write::write_all(&mut file, b"*\n"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn create_new(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        self.as_writer(|| Ok(rustix::fs::openat(&self.dir, name, flags, mode)?.into()))
    }
}

/// The files of a run whose build has not started yet. Unless it is [started](NewRun::started), they go with this,
/// and the run whose label it took has it again.
#[derive(Debug)]
pub struct NewRun<'run> {
    out_dir: &'run OutDir,
    label: &'run str,
    made: Vec<RunFile>,
    set_aside: Vec<RunFile>,
}

impl NewRun<'_> {
    /// Makes a file of the run. The recording is locked as long as it is open: the run is under way.
    pub fn create_file(&mut self, file: RunFile) -> io::Result<File> {
        let created = self.out_dir.create_file(file, self.label)?;
        self.made.push(file);
        if file == RunFile::Recording {
            flock(&created, FlockOperation::NonBlockingLockExclusive)?;
        }
        Ok(created)
    }

    /// The build has started: from now on this is the run of its label.
    pub fn started(mut self) -> io::Result<()> {
        self.made.clear();
        std::mem::take(&mut self.set_aside)
            .into_iter()
            .try_for_each(|file| self.out_dir.unlink(&set_aside_name(file, self.label)))
    }
}

impl Drop for NewRun<'_> {
    fn drop(&mut self) {
        // The reason why there is no new run is told already.
        for file in &self.made {
            let _ = self.out_dir.remove_file(*file, self.label);
        }
        for file in &self.set_aside {
            let aside = set_aside_name(*file, self.label);
            let _ = self.out_dir.rename(&aside, &file.name(self.label));
        }
    }
}

/// The name of a file whose label another run has taken, until that run's build has started.
fn set_aside_name(file: RunFile, label: &str) -> String {
    format!(".replaced-{}", file.name(label))
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{Read, Write};

    use super::*;

    fn create(path: &Path) -> Result<OutDir, Problem> {
        OutDir::create(path, &Invoker::resolve(None, &HashMap::new()).unwrap())
    }

    #[test]
    fn a_label_cannot_leave_the_folder() {
        for wrong in [
            "",
            "../../x",
            "a/b",
            ".hidden",
            "-x",
            "a b",
            "a\n",
            &"x".repeat(101),
        ] {
            assert!(
                check_label(wrong).is_err(),
                "{wrong:?} was taken for a label"
            );
        }
        for good in ["before", "20260101T000000Z", "v1.2_x-y+z"] {
            assert!(check_label(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_run_is_never_overwritten_and_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("out");
        let out = create(&path).unwrap();
        assert!(!out.has("a"));
        out.create_file(RunFile::Recording, "a")
            .unwrap()
            .write_all(b"x")
            .unwrap();
        assert!(out.has("a"));
        let again = out.create_file(RunFile::Recording, "a").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let mut text = String::new();
        let reader = OutDir::open(&path).unwrap();
        reader
            .open_file(RunFile::Recording, "a")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "x");
        assert_eq!(reader.labels().unwrap(), ["a"]);
        out.remove_file(RunFile::Recording, "a").unwrap();
        assert!(!out.has("a"));
        assert_eq!(
            std::fs::read_to_string(path.join(".gitignore")).unwrap(),
            "*\n"
        );
    }

    #[test]
    fn a_run_that_does_not_start_leaves_the_one_whose_label_it_took() {
        let temp = tempfile::tempdir().unwrap();
        let out = create(temp.path()).unwrap();
        let content = || std::fs::read_to_string(temp.path().join("recording-a.jsonl")).unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(temp.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        std::fs::write(temp.path().join("recording-a.jsonl"), "old").unwrap();
        std::fs::write(temp.path().join("result-a.json"), "old").unwrap();
        let before = names();

        let mut run = out.begin_run("a", false).unwrap();
        let taken = run.create_file(RunFile::Recording).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        drop(run);
        assert_eq!((names(), content().as_str()), (before.clone(), "old"));

        let mut run = out.begin_run("a", true).unwrap();
        let mut recording = run.create_file(RunFile::Recording).unwrap();
        run.create_file(RunFile::Log).unwrap();
        recording.write_all(b"new").unwrap();
        assert!(out.is_under_way("a"));
        drop((run, recording));
        assert!(!out.is_under_way("a"));
        assert_eq!((names(), content().as_str()), (before, "old"));

        let mut run = out.begin_run("a", true).unwrap();
        let mut recording = run.create_file(RunFile::Recording).unwrap();
        run.started().unwrap();
        recording.write_all(b"new").unwrap();
        assert_eq!(content(), "new");
        assert_eq!(names(), [".gitignore", "recording-a.jsonl"]);
    }

    #[test]
    fn links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (real, link) = (temp.path().join("real"), temp.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(create(&link).is_err());
        let victim = temp.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let out = create(&real).unwrap();
        std::os::unix::fs::symlink(&victim, real.join("build-a.log")).unwrap();
        assert!(out.create_file(RunFile::Log, "a").is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}

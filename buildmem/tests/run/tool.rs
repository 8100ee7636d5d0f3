//! build-mem in a folder of its own, and what came of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use buildmem::event::EventKind;
use buildmem::observe::cgroup::Hierarchy;
use buildmem::recording::RecordingReader;
use buildmem::report::Report;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::slowness::slowness;
use crate::support;

/// The workload's program, all of it in the page cache: no build is charged for reading it.
pub fn workload() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = support::example("workload");
        drop(fs::read(&program).unwrap());
        program
    })
}

pub const BUILD_MEM: &str = env!("CARGO_BIN_EXE_build-mem");

/// No run here takes that long.
fn patience() -> Duration {
    Duration::from_mins(1) * slowness()
}

/// A folder in which builds are measured.
pub struct Project(TempDir);

impl Project {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `build-mem ARGUMENTS…`, not called by sudo.
    pub fn tool<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.tool_under([], arguments)
    }

    /// The same, started by another program: `WRAPPER… build-mem ARGUMENTS…`.
    pub fn tool_under<A: AsRef<OsStr>>(
        &self,
        wrapper: impl IntoIterator<Item = &'static str>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut words = wrapper.into_iter().chain([BUILD_MEM]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(arguments).current_dir(self.dir());
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_HOME", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `build-mem ARGUMENTS…` to its end.
    pub fn ran<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Running::start(&mut self.tool(arguments)).end()
    }

    /// Measures a command under the label `x`.
    pub fn measured<A: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = A>) -> Ran {
        let mut tool = self.tool(["run", "--label", "x", "--"]);
        Running::start(tool.args(command)).end()
    }

    /// Measures a script of `sh -c`, in which `$0` is the workload. That shell outlives all it runs.
    pub fn measured_script(&self, script: &str) -> Ran {
        let script = format!("{script}\nexit $?");
        self.measured([
            "sh".as_ref(),
            "-c".as_ref(),
            script.as_ref(),
            workload().as_os_str(),
        ])
    }

    /// The recorded events of a run.
    pub fn events(&self, label: &str) -> Vec<EventKind> {
        let mut reader = self.recording(label);
        std::iter::from_fn(|| reader.next_event().unwrap())
            .map(|event| event.event)
            .collect()
    }

    fn recording(&self, label: &str) -> RecordingReader<BufReader<File>> {
        let path = self.path(&format!(".build-mem/recording-{label}.jsonl"));
        RecordingReader::open(BufReader::new(File::open(path).unwrap())).unwrap()
    }

    /// The timeline of a run as the csv crate reads it: the columns' names, and the rows.
    pub fn timeline(&self, label: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let path = self.path(&format!(".build-mem/timeline-{label}.csv"));
        let mut reader = csv::Reader::from_path(path).unwrap();
        let fields = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let columns = fields(reader.headers().unwrap());
        let rows = reader.records().map(|row| fields(&row.unwrap())).collect();
        (columns, rows)
    }

    /// Everything in the folder: path, owner, content.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    found.push((path, Vec::new()));
                } else {
                    let content = fs::read(&path).unwrap();
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }
}

/// build-mem under way. Ended at the latest with its test.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// build-mem after its end.
pub struct Ran {
    pub pid: u32,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub took: Duration,
}

impl Running {
    /// Starts it, with its streams captured.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(nix_pid(self.pid()), signal).unwrap();
    }

    /// Waits until something is in a file.
    pub fn wait_for(&mut self, file: &Path) {
        let deadline = Instant::now() + patience();
        while fs::read(file).unwrap_or_default().is_empty() {
            assert!(Instant::now() < deadline, "{} never came", file.display());
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "build-mem ended before {} came",
                file.display()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn end(mut self) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < patience(), "build-mem does not end");
            thread::sleep(Duration::from_millis(2));
        };
        let took = started.elapsed();
        Ran {
            pid: self.pid(),
            status,
            stdout: self.stdout.take().unwrap().join().unwrap(),
            stderr: self.stderr.take().unwrap().join().unwrap(),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// As a shell shows it.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by signal {:?}", self.status.signal()))
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The result line's content.
    pub fn report(&self) -> Report {
        let stdout = self.stdout();
        let lines: Vec<&str> = stdout
            .lines()
            .filter_map(|line| line.strip_prefix("[BUILD-MEM RESULT] "))
            .collect();
        let [line] = lines.as_slice() else {
            panic!(
                "not one result line in {stdout:?}, stderr: {}",
                self.stderr()
            )
        };
        serde_json::from_str(line).unwrap()
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

pub fn nix_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// Whether a process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

/// A process that a build left, ended with its test.
pub struct LeftBehind(pub u32);

impl Drop for LeftBehind {
    fn drop(&mut self) {
        let _ = kill(nix_pid(self.0), Signal::SIGKILL);
    }
}

/// The cgroups that this build-mem made and that are still there, wherever it may make them.
pub fn leaves_of(pid: u32) -> Vec<PathBuf> {
    let hierarchy = Hierarchy::detect(Path::new("/proc")).unwrap();
    let prefix = format!("build-mem-{pid}-");
    hierarchy
        .own_dir
        .ancestors()
        .take_while(|dir| dir.starts_with(&hierarchy.mount_point))
        .flat_map(|dir| fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

pub const MIB: u64 = 1 << 20;

/// A size in MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure to compare")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

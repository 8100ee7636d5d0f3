//! What a CI service does around the steps of a job: a folder with the project, a release to download, variables, a user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Who runs the steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// As in most containers.
    Root,
    /// A user who may call sudo without a password, as on GitHub's machines.
    Sudoer,
}

/// `nobody`, who may be lent what a runner's user may.
const SUDOER: u32 = 65534;

/// An npm project whose build takes 160 MiB more when `grown` is there.
const PACKAGE: &str = r#"{"name": "p", "version": "1.0.0", "scripts": {"build": "node build.js"}}"#;
const LOCK: &str = r#"{"name": "p", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "p", "version": "1.0.0"}}}"#;
const BUILD: &str = "const fs = require('fs');
const held = Buffer.alloc((fs.existsSync('grown') ? 320 : 160) << 20, 1);
console.log('holds', held.length);
setTimeout(() => fs.writeFileSync('built', 'x'), 400);
";

/// A job: where it runs, as whom, and what it was given.
pub struct Job {
    place: TempDir,
    user: User,
    variables: Vec<(String, String)>,
}

impl Job {
    /// Checks the project out.
    pub fn new(user: User) -> Self {
        let job = Self {
            place: TempDir::new().unwrap(),
            user,
            variables: Vec::new(),
        };
        for folder in ["", "project", "home", "temp"] {
            let folder = job.place.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
            job.give(&folder);
        }
        job.write("package.json", PACKAGE);
        job.write("package-lock.json", LOCK);
        job.write("build.js", BUILD);
        job
    }

    /// The folder of the project.
    pub fn project(&self) -> PathBuf {
        self.place.path().join("project")
    }

    /// A folder for the files of the service and of the job beside the project.
    pub fn temp(&self) -> PathBuf {
        self.place.path().join("temp")
    }

    fn give(&self, path: &Path) {
        if self.user == User::Sudoer {
            chown(path, Some(SUDOER), Some(SUDOER)).unwrap();
        }
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.project().join(name);
        fs::write(&path, content).unwrap();
        self.give(&path);
    }

    /// Reads a file of the project.
    pub fn read(&self, name: &str) -> String {
        let path = self.project().join(name);
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Gives the job a variable, in place of one of the same name.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Makes an empty file of the service, of which the job is told by a variable; where it is.
    pub fn set_file(&mut self, name: &str) -> PathBuf {
        let path = self.temp().join(name);
        fs::write(&path, "").unwrap();
        self.give(&path);
        self.set(name, path.to_str().unwrap());
        path
    }

    /// Runs a program of the job, in the project. Only what a machine of its own has is around it.
    pub fn run(&self, program: &[&str]) -> Output {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "bash",
                "-ceu",
                AS_USER,
                "bash",
            ])
            .arg(match self.user {
                User::Root => "root",
                User::Sudoer => "nobody",
            })
            .args(program)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.place.path().join("home"))
            .env("LANG", "C.UTF-8")
            .env("CI", "true")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    /// The same, of a program that succeeds; what it printed on stdout.
    pub fn succeed(&self, program: &[&str]) -> String {
        let output = self.run(program);
        assert!(output.status.success(), "{program:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Becomes the user $1 and runs the rest. That the user may call sudo is known in this mount namespace only.
const AS_USER: &str = r#"
user=$1; shift
[ "$user" = root ] && exec "$@"
mount -t tmpfs -o mode=755 none /etc/sudoers.d
echo "$user ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/runner
chmod 440 /etc/sudoers.d/runner
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"
"#;

/// Where releases lie, as `curl` takes it, with a release of the given version: the program under test.
pub fn releases(version: &str) -> String {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let place = folder.path().join(format!("v{version}"));
        let script = r#"
            name=$1 program=$2
            mkdir "$name" && cp "$program" "$name/build-mem"
            tar --create --file "$name.tar.gz" --use-compress-program='gzip -1' "$name"
            rm -r "$name"
            echo "0000000000000000000000000000000000000000000000000000000000000000  another.deb" > SHA256SUMS
            sha256sum "$name.tar.gz" >> SHA256SUMS"#;
        fs::create_dir(&place).unwrap();
        let made = Command::new("sh")
            .args(["-ceu", script, "sh", &format!("build-mem-{version}-x86_64-linux")])
            .arg(env!("CARGO_BIN_EXE_build-mem"))
            .current_dir(place)
            .status()
            .unwrap();
        assert!(made.success());
        folder
    });
    assert!(
        folder.path().join(format!("v{version}")).exists(),
        "docs/ci.md names several versions"
    );
    format!("file://{}", folder.path().display())
}

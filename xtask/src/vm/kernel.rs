//! Debian's cloud kernels: fetched with the machine's own apt, through a configuration beside the system's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::run::{execute, output};

/// A kernel that build-mem is tested on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The version, as far as it matters.
    pub version: &'static str,
    /// The suite of Debian that has it.
    suite: &'static str,
}

/// The oldest that is supported, the newest that there is, and the stable ones between them.
pub const RELEASES: [Release; 4] = [
    Release {
        version: "5.10",
        suite: "bullseye",
    },
    Release {
        version: "6.1",
        suite: "bookworm",
    },
    Release {
        version: "6.12",
        suite: "trixie",
    },
    Release {
        version: "7.2",
        suite: "sid",
    },
];

/// A kernel on this machine.
pub struct Kernel {
    /// Its image, to be booted.
    pub image: PathBuf,
    /// A folder with its modules in `lib/modules/<release>`.
    pub modules: PathBuf,
    /// `uname -r`.
    pub release: String,
}

/// What the metapackage depends on.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// Who signed the suites. It comes with Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Release {
    /// Fetches the kernel's packages, unless they are there already, and unpacks them.
    pub fn fetch(self, scratch: &Path) -> anyhow::Result<Kernel> {
        let folder = scratch.join(self.version);
        if let Ok(kernel) = find(&folder) {
            return Ok(kernel);
        }
        println!("fetching the kernel of Debian's {}", self.suite);
        let packages = folder.join("packages");
        fs::create_dir_all(&packages)
            .with_context(|| format!("cannot make `{}`", packages.display()))?;
        let apt = Apt::prepare(&folder.join("apt"), self.suite)?;
        // Newer ones have image and modules in packages of their own, beside the one with the kernel's name.
        let mut wanted = apt.dependencies(METAPACKAGE, &["linux-image-"])?;
        ensure!(
            !wanted.is_empty(),
            "`{METAPACKAGE}` of {} depends on no kernel",
            self.suite
        );
        for package in wanted.clone() {
            wanted.extend(apt.dependencies(&package, &["linux-binary-", "linux-modules-"])?);
        }
        execute(
            apt.command("apt-get")
                .args(["download", "--quiet"])
                .args(&wanted)
                .current_dir(&packages),
        )?;
        for entry in fs::read_dir(&packages)? {
            execute(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .args([entry?.path(), folder.clone()]),
            )?;
        }
        find(&folder)
    }
}

/// The kernel that is unpacked in a folder.
fn find(folder: &Path) -> anyhow::Result<Kernel> {
    // In newer packages what was in `lib` is in `usr/lib`, and the image is beside the modules.
    for all_modules in ["lib/modules", "usr/lib/modules"].map(|modules| folder.join(modules)) {
        for entry in fs::read_dir(&all_modules).into_iter().flatten() {
            let modules = entry?.path();
            let release = modules.file_name().and_then(|name| name.to_str());
            let release = release.unwrap_or_default().to_owned();
            let images = [
                folder.join("boot").join(format!("vmlinuz-{release}")),
                modules.join("vmlinuz"),
            ];
            if let Some(image) = images.into_iter().find(|image| image.exists()) {
                return Ok(Kernel {
                    image,
                    modules,
                    release,
                });
            }
        }
    }
    anyhow::bail!("no kernel with its modules in `{}`", folder.display())
}

/// apt with one suite of the machine's own mirror, and folders of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path, suite: &str) -> anyhow::Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let sources = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
        fs::write(folder.join("sources.list"), sources)?;
        let apt = Self {
            folder: folder.to_owned(),
        };
        execute(apt.command("apt-get").args(["update", "--quiet=2"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set("Dir::Etc::SourceList", &self.folder.join("sources.list"));
        set("Dir::Etc::SourceParts", Path::new("/dev/null"));
        set("Dir::State::Lists", &self.folder.join("lists"));
        set("Dir::Cache", &self.folder.join("cache"));
        set("APT::Sandbox::User", Path::new("root"));
        set("Acquire::Languages", Path::new("none"));
        command
    }

    /// The packages with one of these prefixes that a package depends on.
    fn dependencies(&self, package: &str, prefixes: &[&str]) -> anyhow::Result<Vec<String>> {
        let text = output(self.command("apt-cache").args(["depends", package]))?;
        let names = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::trim);
        Ok(names
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(str::to_owned)
            .collect())
    }
}

/// Where this machine's apt has Debian itself from.
pub fn mirror() -> anyhow::Result<String> {
    let text = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    ]))
    .context("what is needed comes from Debian's packages, by apt")?;
    let mirror = text
        .lines()
        .find_map(|line| line.strip_prefix("Debian main "));
    let mirror = mirror.context("this machine's apt sources do not name a mirror of Debian")?;
    ensure!(
        Path::new(KEYRING).exists(),
        "`{KEYRING}` is missing: install debian-archive-keyring"
    );
    Ok(mirror.trim().to_owned())
}

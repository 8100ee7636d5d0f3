//! A whole Debian host: systemd as its first process, docker and podman, and an image for them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::{self, Binaries};
use super::kernel::{Kernel, mirror};
use crate::run::execute;

/// The suite of Debian that it is.
const SUITE: &str = "bookworm";

/// The version of that suite's kernel.
pub const KERNEL: &str = "6.1";

/// What is installed beside the smallest Debian that there is.
const PACKAGES: [&str; 10] = [
    "apparmor",
    "crun",
    "dbus",
    "docker.io",
    "iptables",
    "kmod",
    "podman",
    "sudo",
    "systemd",
    "systemd-sysv",
];

/// Units that nothing here needs, or that wait for what never appears.
const MASKED: [&str; 5] = [
    "containerd.service",
    "docker.service",
    "docker.socket",
    "podman.socket",
    "serial-getty@ttyS0.service",
];

/// What the machine runs as its first process.
pub const INIT: &str = "/sbin/init";

/// What its kernel is told for systemd to have its own cgroups on v2, and the controllers, memory's too, on v1: systemd(1).
pub const HYBRID: &str =
    "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0";

/// Makes the folder that becomes its disk.
pub fn root(binaries: &Binaries, kernel: &Kernel, scratch: &Path) -> anyhow::Result<PathBuf> {
    let root = installed(&scratch.join("host"))?;
    image::install_tests(binaries, &root)?;
    image::install_script(&root.join("tests/host"), include_str!("host.sh"))?;
    let modules = root.join("lib/modules");
    fs::create_dir_all(&modules)?;
    execute(
        Command::new("cp")
            .args(["--archive", "--no-target-directory"])
            .arg(&kernel.modules)
            .arg(modules.join(&kernel.release)),
    )?;
    execute(
        Command::new("depmod")
            .arg("--basedir")
            .arg(&root)
            .arg(&kernel.release),
    )?;
    container_image(&root.join("tests/image.tar"), scratch)?;
    Ok(root)
}

/// Debian, installed; that takes a minute, and is done once.
fn installed(folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join("root");
    if root.exists() {
        return Ok(root);
    }
    println!("installing a Debian host");
    // Whole or not at all.
    let unfinished = image::empty_folder(folder.join("unfinished"))?;
    execute(
        Command::new("debootstrap")
            .args(["--variant=minbase", SUITE])
            .arg(&unfinished)
            .arg(mirror()?)
            .stdout(File::create(folder.join("debootstrap.log"))?),
    )?;
    let log = File::create(folder.join("apt.log"))?;
    execute(
        Command::new("chroot")
            .arg(&unfinished)
            .args([
                "apt-get",
                "install",
                "--quiet=2",
                "--yes",
                "--no-install-recommends",
            ])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Packages that are installed where nothing runs have much to say.
            .stderr(log.try_clone()?)
            .stdout(log),
    )?;
    let units = unfinished.join("etc/systemd/system");
    for unit in MASKED {
        let place = units.join(unit);
        let _ = fs::remove_file(&place);
        symlink("/dev/null", place)?;
    }
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    fs::write(units.join("tests.service"), include_str!("tests.service"))?;
    symlink("../tests.service", wanted.join("tests.service"))?;
    // At its start systemd empties /tmp, where the checkout may be, and with it what is tested.
    let tmpfiles = unfinished.join("etc/tmpfiles.d");
    fs::create_dir_all(&tmpfiles)?;
    symlink("/dev/null", tmpfiles.join("tmp.conf"))?;
    // Nothing here has a network.
    fs::create_dir_all(unfinished.join("etc/containers"))?;
    fs::write(
        unfinished.join("etc/containers/containers.conf"),
        "[containers]\nnetns = \"none\"\n",
    )?;
    fs::rename(&unfinished, &root)?;
    Ok(root)
}

/// Packs an image with a few of this machine's programs.
fn container_image(place: &Path, scratch: &Path) -> anyhow::Result<()> {
    let folder = image::empty_folder(scratch.join("image"))?;
    image::furnish(&folder)?;
    execute(
        Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(place)
            .arg("--directory")
            .arg(&folder)
            .arg("."),
    )
}

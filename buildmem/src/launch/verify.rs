//! Whether the build did its work: its exit status, and the artifacts that the config says it leaves.
//!
//! Nothing outside the project is looked at, whatever symlinks the build has made: openat2(2). Run it as the
//! invoking user, with [`Invoker::act_as`](super::credentials::Invoker::act_as).

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;
use serde::de::IgnoredAny;

use crate::event::{ExitStatus, VerifyCheck};
use crate::units::ByteSize;

/// What a build must leave. Paths are relative to the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// Regular files that are there and not empty.
    pub artifacts: Vec<PathBuf>,
    /// A folder whose `*.json` files parse as JSON, as many as there are.
    pub json_manifests_in: Option<PathBuf>,
}

/// Looks at everything, and says of each expectation whether it holds. The exit status comes first.
pub fn verify(project: &Path, status: ExitStatus, expected: &Expectations) -> Vec<VerifyCheck> {
    let Expectations {
        artifacts,
        json_manifests_in,
    } = expected;
    let mut checks = vec![check_exit(status)];
    if artifacts.is_empty() && json_manifests_in.is_none() {
        return checks;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match openat(CWD, project, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(errno) => {
            checks.push(check(
                project,
                Err(format!("cannot open the project: {errno}")),
            ));
            return checks;
        }
    };
    for artifact in artifacts {
        let size = check_artifact(folder.as_fd(), artifact);
        checks.push(VerifyCheck {
            bytes: size.as_ref().ok().map(|size| size.bytes()),
            ..check(artifact, size.map(|size| size.to_string()))
        });
    }
    if let Some(manifests) = json_manifests_in {
        checks.extend(check_manifests(folder.as_fd(), manifests));
    }
    checks
}

fn check(path: &Path, outcome: Result<String, String>) -> VerifyCheck {
    let (ok, detail) = match outcome {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    VerifyCheck {
        path: path.to_string_lossy().into_owned(),
        ok,
        detail,
        bytes: None,
    }
}

fn check_exit(status: ExitStatus) -> VerifyCheck {
    let detail = match status {
        ExitStatus::Code(code) => code.to_string(),
        ExitStatus::Signal(signal) => format!("ended by signal {signal}"),
    };
    let outcome = if status.is_success() {
        Ok(detail)
    } else {
        Err(detail)
    };
    check(Path::new("exit status"), outcome)
}

fn check_artifact(project: BorrowedFd<'_>, path: &Path) -> Result<ByteSize, String> {
    let artifact = open_inside(project, path, OFlags::PATH)?;
    let size = size_of_file(&artifact)?;
    if size == ByteSize::ZERO {
        return Err("empty".to_owned());
    }
    Ok(size)
}

/// One check for all manifests while they parse, else one for each that does not. None where there is no
/// manifest: the artifacts say what must be there.
fn check_manifests(project: BorrowedFd<'_>, path: &Path) -> Vec<VerifyCheck> {
    let Ok(folder) = open_inside(project, path, OFlags::RDONLY | OFlags::DIRECTORY) else {
        return Vec::new();
    };
    let names = match json_names_in(folder.as_fd()) {
        Ok(names) => names,
        Err(errno) => return vec![check(path, Err(format!("cannot be listed: {errno}")))],
    };
    if names.is_empty() {
        return Vec::new();
    }
    let broken: Vec<_> = names
        .iter()
        .filter_map(|name| {
            let outcome = check_json(folder.as_fd(), name);
            outcome.err().map(|why| check(&path.join(name), Err(why)))
        })
        .collect();
    if broken.is_empty() {
        let detail = format!("{} parse as JSON", names.len());
        return vec![check(&path.join("*.json"), Ok(detail))];
    }
    broken
}

fn json_names_in(folder: BorrowedFd<'_>) -> Result<Vec<PathBuf>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name.extension() == Some(OsStr::new("json")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn check_json(folder: BorrowedFd<'_>, name: &Path) -> Result<(), String> {
    // Should it be a FIFO, opening it must not wait for a writer.
    let file = open_inside(folder, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
    size_of_file(&file)?;
    // Parsed as it is read, and not kept: some manifests have tens of megabytes.
    match serde_json::from_reader(BufReader::new(File::from(file))) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn open_inside(folder: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, String> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(
        folder,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
    .map_err(|errno| match errno {
        Errno::NOENT => "missing".to_owned(),
        Errno::XDEV => "leads out of the project".to_owned(),
        errno => errno.to_string(),
    })
}

fn size_of_file(file: &OwnedFd) -> Result<ByteSize, String> {
    let stat = fstat(file).map_err(|errno| errno.to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("not a regular file".to_owned());
    }
    Ok(ByteSize::from_bytes(
        u64::try_from(stat.st_size).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn of_artifact(project: &Path, path: &str) -> (bool, String) {
        let expected = Expectations {
            artifacts: vec![path.into()],
            json_manifests_in: None,
        };
        let mut checks = verify(project, ExitStatus::Code(0), &expected);
        assert_eq!(checks.len(), 2);
        let check = checks.remove(1);
        assert_eq!(check.path, path);
        assert_eq!(check.bytes, check.ok.then_some(5));
        (check.ok, check.detail)
    }

    fn of_manifests(project: &Path) -> Vec<(String, bool, String)> {
        let expected = Expectations {
            artifacts: Vec::new(),
            json_manifests_in: Some("out".into()),
        };
        verify(project, ExitStatus::Code(0), &expected)
            .into_iter()
            .skip(1)
            .map(|check| (check.path, check.ok, check.detail))
            .collect()
    }

    #[test]
    fn the_exit_status_is_the_first_check() {
        let check = |status| {
            let checks = verify(Path::new("/"), status, &Expectations::default());
            assert_eq!(checks.len(), 1);
            (checks[0].ok, checks[0].detail.clone())
        };
        assert_eq!(check(ExitStatus::Code(0)), (true, "0".to_owned()));
        assert_eq!(check(ExitStatus::Code(2)), (false, "2".to_owned()));
        let killed = (false, "ended by signal 9".to_owned());
        assert_eq!(check(ExitStatus::Signal(9)), killed);
    }

    #[test]
    fn artifacts_are_files_in_the_project_that_are_not_empty() {
        let project = tempfile::tempdir().unwrap();
        let at = |name: &str| project.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/full"), "12345").unwrap();
        fs::write(at("empty"), "").unwrap();
        symlink("folder/full", at("link")).unwrap();
        symlink("/etc/passwd", at("out")).unwrap();
        symlink("../../../../../../etc/passwd", at("up")).unwrap();
        let cases = [
            ("folder/full", true, "5 B"),
            ("link", true, "5 B"),
            ("empty", false, "empty"),
            ("folder", false, "not a regular file"),
            ("missing", false, "missing"),
            ("out", false, "leads out of the project"),
            ("up", false, "leads out of the project"),
            ("../x", false, "leads out of the project"),
            ("/etc/passwd", false, "leads out of the project"),
        ];
        for (path, ok, detail) in cases {
            assert_eq!(
                of_artifact(project.path(), path),
                (ok, detail.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn manifests_must_parse() {
        let project = tempfile::tempdir().unwrap();
        assert_eq!(of_manifests(project.path()), []);
        let out = project.path().join("out");
        fs::create_dir(&out).unwrap();
        assert_eq!(of_manifests(project.path()), []);
        fs::write(out.join("a.json"), "{\"a\": [1, 2]}\n").unwrap();
        fs::write(out.join("b.json"), "null").unwrap();
        fs::write(out.join("c.js"), "not JSON").unwrap();
        let all = ("out/*.json".to_owned(), true, "2 parse as JSON".to_owned());
        assert_eq!(of_manifests(project.path()), [all]);
        fs::write(out.join("b.json"), "{\"a\": ").unwrap();
        rustix::fs::mkfifoat(CWD, out.join("fifo.json"), Mode::RUSR).unwrap();
        let broken = of_manifests(project.path());
        assert_eq!(broken.len(), 2);
        assert!(broken[0].2.starts_with("not JSON: EOF"), "{broken:?}");
        assert_eq!(broken[1].2, "not a regular file");
    }
}

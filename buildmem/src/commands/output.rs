//! A file that the user asked for: it is there as a whole, or as it was.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::launch::credentials::Invoker;
use crate::problem::Problem;

/// Writes the file with the rights of whoever called us, in place of the regular file of that name if there is one.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), Problem> {
    let environment = std::env::vars_os().collect();
    let invoker = Invoker::resolve(None, &environment)?;
    invoker.act_as(|| {
        replace(path, content).map_err(|error| {
            Problem::new(format!("cannot write `{}`", path.display())).because(error)
        })
    })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(io::Error::other("what is there is not a regular file"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let Some(name) = path.file_name() else {
        return Err(io::Error::other("it has no file name"));
    };
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(name);
    new_name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(new_name);
    // Nobody else's file, and no link: it is made here.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&new)?;
    file.write_all(content)
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| {
            // The reason is told; a part of the file would be taken for the whole.
            let _ = fs::remove_file(&new);
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.md");
        for content in ["longer than the next", "short"] {
            write_file(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_a_regular_file_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "mine").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for path in [link.as_path(), folder.path(), Path::new("/dev/null")] {
            let problem = write_file(path, b"new").unwrap_err().to_string();
            assert!(problem.contains("cannot write"), "{problem}");
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_named_so_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["missing/report.md", &"x".repeat(250)] {
            assert!(write_file(&folder.path().join(name), b"new").is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

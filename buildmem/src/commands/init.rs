//! `build-mem init`: writes a commented build-mem.toml for the project in this folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use crate::cli::InitArgs;
use crate::config::{FILE_NAME, ProjectFacts, template};
use crate::launch::credentials::Invoker;
use crate::problem::Problem;

/// Writes the config.
pub fn run(args: &InitArgs) -> Result<u8, Problem> {
    let environment = std::env::vars_os().collect();
    let invoker = Invoker::resolve(None, &environment)?;
    invoker.act_as(|| write(args.force))?;
    // It is there, whether anybody hears of it or not.
    let _ = writeln!(
        io::stderr(),
        "Wrote `{FILE_NAME}`: look it over, then `sudo build-mem run`."
    );
    Ok(0)
}

fn write(force: bool) -> Result<(), Problem> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Problem::new(format!("there is a `{FILE_NAME}` already"))
            .help("replace it with `build-mem init --force`"),
        _ => Problem::new(format!("cannot write `{FILE_NAME}`")).because(error),
    };
    let files: Vec<String> = fs::read_dir(".")
        .map_err(cannot)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let package_json = fs::read_to_string("package.json").ok();
    let server_package_json = fs::read_to_string("server/package.json").ok();
    let text = template(&ProjectFacts {
        files: &files,
        package_json: package_json.as_deref(),
        server_package_json: server_package_json.as_deref(),
    });
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.write(true).open(FILE_NAME).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)
}

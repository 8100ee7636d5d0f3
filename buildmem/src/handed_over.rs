//! Commands that hand work to a process that is not the build's: a daemon, or another machine. No tracker can follow
//! that work, since nothing of it descends from the build.

use std::collections::BTreeSet;

use crate::command_line::CommandLine;
use crate::event::Note;

/// Programs that are only the client of something else, by name, and what does their work.
const CLIENTS: [(&str, &str); 13] = [
    ("bazel", "its server"),
    ("bazelisk", "bazel's server"),
    ("buck2", "its daemon"),
    ("buildctl", "buildkitd"),
    ("buildx", "buildkitd"),
    ("distcc", "other machines"),
    ("docker", "dockerd"),
    ("docker-compose", "dockerd"),
    ("icecc", "other machines"),
    ("nerdctl", "containerd"),
    ("pump", "other machines"),
    ("sccache", "its server"),
    ("systemd-run", "systemd"),
];

/// Clients and servers that are scripts or Java classes, by what their arguments end in.
const BY_ARGUMENT: [Daemon; 3] = [
    Daemon {
        client: &["/nx/dist/bin/nx.js", "/nx/bin/nx.js", "/.bin/nx"],
        server: &["/daemon/server/start.js"],
        name: "nx",
        what: "its daemon",
    },
    Daemon {
        client: &[
            "org.gradle.wrapper.GradleWrapperMain",
            "org.gradle.launcher.GradleMain",
            "/gradle-wrapper.jar",
        ],
        server: &["org.gradle.launcher.daemon.bootstrap.GradleDaemon"],
        name: "gradle",
        what: "its daemon",
    },
    Daemon {
        client: &["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"],
        server: &["org.jetbrains.kotlin.daemon.KotlinCompileDaemon"],
        name: "kotlin",
        what: "its daemon",
    },
];

struct Daemon {
    client: &'static [&'static str],
    /// Where the build itself starts it, its work is seen.
    server: &'static [&'static str],
    name: &'static str,
    what: &'static str,
}

/// The clients of a build, as far as they are known.
#[derive(Debug, Default)]
pub struct HandedOver {
    clients: BTreeSet<(&'static str, &'static str)>,
    /// Names of those whose server the build started.
    servers: BTreeSet<&'static str>,
}

impl HandedOver {
    /// Takes in a command.
    pub fn saw(&mut self, command: &CommandLine) {
        let program = command.program();
        if let Ok(index) = CLIENTS.binary_search_by_key(&&*program, |(client, _)| client) {
            self.clients.insert(CLIENTS[index]);
        }
        for daemon in &BY_ARGUMENT {
            let has = |ends: &[&str]| {
                // A client's script is among the first arguments, a Java class behind the options of its machine.
                command.args.iter().any(|argument| {
                    let argument = argument.0.as_slice();
                    ends.iter().any(|end| argument.ends_with(end.as_bytes()))
                })
            };
            if has(daemon.server) {
                self.servers.insert(daemon.name);
            } else if has(daemon.client) {
                self.clients.insert((daemon.name, daemon.what));
            }
        }
    }

    /// What a reader must know of it.
    pub fn notes(&self) -> impl Iterator<Item = Note> {
        let unseen = self
            .clients
            .iter()
            .filter(|(name, _)| !self.servers.contains(name));
        unseen.map(|(name, what)| Note {
            what: "headline.bytes".to_owned(),
            why: format!(
                "the build ran `{name}`, which has {what} do work: where that was running before the build, its memory is \
                 not in these figures"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(commands: &[&[&str]]) -> Vec<String> {
        let mut handed_over = HandedOver::default();
        for command in commands {
            handed_over.saw(&CommandLine::from_args(command.iter().copied()));
        }
        let name = |note: Note| note.why.split('`').nth(1).map(str::to_owned);
        handed_over.notes().filter_map(name).collect()
    }

    #[test]
    fn clients_are_told_once_each() {
        let docker: &[&str] = &["/usr/bin/docker", "build", "."];
        assert_eq!(
            names(&[docker, docker, &["sccache", "rustc"]]),
            ["docker", "sccache"]
        );
        assert_eq!(
            names(&[&["dockerd"], &["sh", "-c", "docker build ."], &["cc"]]),
            [""; 0]
        );
    }

    #[test]
    fn a_daemon_that_the_build_started_is_seen() {
        let client: &[&str] = &["node", "/p/node_modules/.bin/nx", "build"];
        let server: &[&str] = &["node", "/p/node_modules/nx/dist/src/daemon/server/start.js"];
        assert_eq!(names(&[client]), ["nx"]);
        assert_eq!(names(&[client, server]), [""; 0]);
        let gradle: &[&str] = &[
            "java",
            "-Xmx64m",
            "org.gradle.wrapper.GradleWrapperMain",
            "build",
        ];
        assert_eq!(names(&[gradle]), ["gradle"]);
    }

    #[test]
    fn the_clients_are_in_order() {
        assert!(CLIENTS.is_sorted());
    }
}

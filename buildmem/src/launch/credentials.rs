//! Who the build runs as, and the environment that this user had before sudo.
//!
//! build-mem needs root to observe; the build must not notice. Its process is dropped to the invoking user in
//! `start`; files are opened as that user with [`Invoker::act_as`].

use std::collections::HashMap;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use nix::errno::Errno;
use nix::unistd;
use procfs::FromRead;
use procfs::process::Stat;
use rustix::fs::{fchown, fstat};
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::privileges;
use crate::event::Note;
use crate::problem::Problem;

/// Variables that sudo adds to the environment, sudo(8). Others that begin with `SUDO_`, such as
/// `SUDO_ASKPASS`, are the user's own.
const ADDED_BY_SUDO: [&str; 6] = [
    "SUDO_COMMAND",
    "SUDO_GID",
    "SUDO_HOME",
    "SUDO_TTY",
    "SUDO_UID",
    "SUDO_USER",
];

/// Variables that sudo sets to those of root, or of sudoers' `secure_path`.
const REWRITTEN_BY_SUDO: [&str; 6] = ["HOME", "LOGNAME", "MAIL", "PATH", "SHELL", "USER"];

/// The ids that decide what a process may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

impl Credentials {
    /// Those of this process.
    pub fn current() -> Result<Self, Problem> {
        let groups = getgroups().map_err(|errno| {
            Problem::new("cannot read the supplementary groups of this process").because(errno)
        })?;
        Ok(Self {
            uid: geteuid(),
            gid: getegid(),
            groups,
        })
    }

    /// Whether a process of ours must change its ids to have these. The groups don't count: a user's groups in
    /// the user database differ from those of a session that is older than the last change.
    pub fn differ_from_ours(&self) -> bool {
        self.uid != geteuid()
    }

    /// Gives these credentials to the calling thread for good, and unless they are root's, takes its capabilities.
    /// Only system calls, one each, in the order in which the right to make them is lost: this is for a forked child.
    pub(super) fn take_on(&self) -> Result<(), (CredentialStep, rustix::io::Errno)> {
        if self.differ_from_ours() {
            set_thread_groups(&self.groups).map_err(|errno| (CredentialStep::Groups, errno))?;
            set_thread_res_gid(self.gid, self.gid, self.gid)
                .map_err(|errno| (CredentialStep::Group, errno))?;
            set_thread_res_uid(self.uid, self.uid, self.uid)
                .map_err(|errno| (CredentialStep::User, errno))?;
        }
        if self.uid.is_root() {
            return Ok(());
        }
        // setresuid(2) from root has dropped all but the inheritable set, unless the caller's securebits say
        // otherwise; and whoever started us may have given us ambient ones: capabilities(7).
        privileges::give_up().map_err(|errno| (CredentialStep::Capabilities, errno))
    }

    /// Gives the calling thread what these credentials may do with files, and keeps root's real and saved ids: whoever
    /// has these credentials, too, could else send SIGKILL to the thread, and end the process, kill(2).
    fn take_on_for_files(&self) -> Result<(), (CredentialStep, rustix::io::Errno)> {
        set_thread_groups(&self.groups).map_err(|errno| (CredentialStep::Groups, errno))?;
        set_thread_res_gid(None, self.gid, None).map_err(|errno| (CredentialStep::Group, errno))?;
        set_thread_res_uid(None, self.uid, None).map_err(|errno| (CredentialStep::User, errno))?;
        if self.uid.is_root() {
            return Ok(());
        }
        // The kernel has done so, unless securebits say otherwise: capabilities(7).
        privileges::put_out_of_effect().map_err(|errno| (CredentialStep::Capabilities, errno))
    }
}

/// `UID:GID[,GID…]`: the group, and then the supplementary ones.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid.as_raw(), self.gid.as_raw())?;
        let others = self.groups.iter().filter(|group| **group != self.gid);
        others
            .into_iter()
            .try_for_each(|group| write!(f, ",{}", group.as_raw()))
    }
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |word: &str| -> Result<u32, Self::Err> {
            // The largest one stands for "none" in system calls.
            word.parse()
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| format!("`{word}` is not the number of a user or group"))
        };
        let (uid, groups) = text.split_once(':').ok_or("it has no `:`")?;
        let groups: Vec<Gid> = groups
            .split(',')
            .map(|word| number(word).map(Gid::from_raw))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            uid: Uid::from_raw(number(uid)?),
            gid: groups[0],
            groups,
        })
    }
}

/// What of [`Credentials::take_on`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialStep {
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Group,
    /// setresuid(2).
    User,
    /// capset(2) or prctl(2).
    Capabilities,
}

/// The user that the build runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoker {
    /// Its ids.
    pub credentials: Credentials,
    /// Its name; absent for an id that the user database doesn't know, as is usual in containers.
    pub name: Option<String>,
    /// Its home folder; absent where neither the user database nor sudo tells.
    pub home: Option<PathBuf>,
    /// Its login shell.
    pub shell: Option<PathBuf>,
}

impl Invoker {
    /// The user given by `--user`, else the one who called sudo, else the one that we are.
    pub fn resolve(user: Option<&str>, environment: &Environment) -> Result<Self, Problem> {
        match choose(user, environment, Ids::ours()) {
            Choice::Named(name) => Self::named(name),
            Choice::Sudo { uid, gid } => {
                let mut invoker = Self::by_id(uid, gid)?;
                let text = |name: &str| environment.get(OsStr::new(name)).cloned();
                invoker.name = invoker
                    .name
                    .or_else(|| text("SUDO_USER").and_then(|name| name.into_string().ok()));
                invoker.home = invoker
                    .home
                    .or_else(|| text("SUDO_HOME").map(PathBuf::from));
                Ok(invoker)
            }
            Choice::Current => Self::current(),
        }
    }

    /// The user with these ids, in a container: its image need not know of it.
    pub fn inside(credentials: Credentials) -> Result<Self, Problem> {
        if credentials.uid == geteuid() {
            return Self::current();
        }
        let user = user_by_id(credentials.uid)?;
        let mut invoker = Self::from_entry(credentials, user);
        // Root's would be another's, and programs keep their caches at home.
        invoker.home = invoker.home.or_else(|| Some(PathBuf::from("/tmp")));
        Ok(invoker)
    }

    /// Runs `work` with this user's rights, so that it can reach and make only what the user can: in a thread
    /// of its own that takes on the credentials, since on Linux these belong to a thread. Where we are this
    /// user already, it runs in this thread. It must execute nothing: its real and saved ids are still root's.
    pub fn act_as<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send,
    ) -> Result<T, Problem> {
        if !self.credentials.differ_from_ours() {
            return work();
        }
        let failed = |cause: String| {
            Problem::new(format!("cannot act as user {}", self.label())).because(cause)
        };
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("as-user".to_owned())
                .spawn_scoped(scope, || {
                    self.credentials
                        .take_on_for_files()
                        .map_err(|(step, errno)| failed(format!("{step:?}: {errno}")))?;
                    work()
                })
                .map_err(|error| failed(error.to_string()))?;
            worker
                .join()
                .unwrap_or_else(|_| Err(failed("its thread panicked".to_owned())))
        })
    }

    /// Makes an open file of ours this user's, where we are root and it is another's.
    pub fn own(&self, file: impl AsFd) -> Result<(), Problem> {
        let Credentials {
            uid,
            gid,
            groups: _,
        } = self.credentials;
        let file = file.as_fd();
        let give = || {
            let now = fstat(file)?;
            if !geteuid().is_root() || (now.st_uid, now.st_gid) == (uid.as_raw(), gid.as_raw()) {
                return Ok(());
            }
            fchown(file, Some(uid), Some(gid))
        };
        give().map_err(|errno| {
            Problem::new(format!("cannot give a file to user {}", self.label())).because(errno)
        })
    }

    /// The environment for the build: `ours`, without what sudo did to it as far as that can be known. `call`
    /// is how sudo was called, from [`SudoCall::find`].
    pub fn restored_environment(
        &self,
        ours: &Environment,
        call: Option<&SudoCall>,
    ) -> RestoredEnvironment {
        if !self.credentials.differ_from_ours() {
            return RestoredEnvironment {
                variables: sorted(ours.clone()),
                note: None,
            };
        }
        let called_by = ours
            .get(OsStr::new("SUDO_UID"))
            .and_then(|uid| uid.to_str()?.parse().ok());
        let by_this_user = called_by == Some(self.credentials.uid.as_raw());
        match call.filter(|_| by_this_user) {
            Some(call) => RestoredEnvironment {
                variables: sorted(call.merged_with(ours)),
                note: None,
            },
            None => RestoredEnvironment {
                variables: sorted(self.guessed_environment(ours)),
                note: called_by.map(|_| Note {
                    what: "environment".to_owned(),
                    why: "the environment before sudo could not be read: the build's `PATH` is sudo's, and \
                          variables that sudo removed are not set"
                        .to_owned(),
                }),
            },
        }
    }

    /// The variables of `ours`, with this user's in the place of root's.
    fn guessed_environment(&self, ours: &Environment) -> Environment {
        let mut restored = ours.clone();
        for name in ADDED_BY_SUDO {
            restored.remove(OsStr::new(name));
        }
        let root = unistd::User::from_uid(unistd::Uid::from_raw(0))
            .ok()
            .flatten();
        let mut set = |name: &str, value: Option<&OsStr>| {
            if let Some(value) = value {
                restored.insert(name.into(), value.to_owned());
            }
        };
        let name = self.name.as_deref().map(OsStr::new);
        set("USER", name);
        set("LOGNAME", name);
        // A value that is not root's has come through sudo from the user, who may have another than the
        // database says.
        let is_roots = |name: &str, roots: Option<&Path>| match ours.get(OsStr::new(name)) {
            Some(value) => roots.is_some_and(|roots| roots.as_os_str() == value),
            None => true,
        };
        if is_roots("HOME", root.as_ref().map(|root| root.dir.as_path())) {
            set("HOME", self.home.as_deref().map(Path::as_os_str));
        }
        if is_roots("SHELL", root.as_ref().map(|root| root.shell.as_path())) {
            set("SHELL", self.shell.as_deref().map(Path::as_os_str));
        }
        if let (Some(mail), Some(name)) = (ours.get(OsStr::new("MAIL")), name)
            && Path::new(mail).file_name() == Some(OsStr::new("root"))
        {
            set(
                "MAIL",
                Some(Path::new(mail).with_file_name(name).as_os_str()),
            );
        }
        restored
    }

    /// The name, or the number where there is none: for messages.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("`{name}`"),
            None => self.credentials.uid.as_raw().to_string(),
        }
    }

    fn current() -> Result<Self, Problem> {
        let credentials = Credentials::current()?;
        let user = user_by_id(credentials.uid)?;
        Ok(Self::from_entry(credentials, user))
    }

    fn named(name: &str) -> Result<Self, Problem> {
        let mut user = unistd::User::from_name(name).map_err(|errno| {
            Problem::new(format!("cannot look up user `{name}`")).because(errno)
        })?;
        if user.is_none()
            && let Ok(uid) = name.parse::<u32>()
        {
            user = user_by_id(Uid::from_raw(uid))?;
        }
        let Some(user) = user else {
            return Err(Problem::new(format!("there is no user `{name}`"))
                .help("`getent passwd` lists the users of this host"));
        };
        if user.uid.as_raw() == geteuid().as_raw() {
            return Self::current();
        }
        if !geteuid().is_root() {
            return Err(
                Problem::new(format!("cannot run the build as user `{name}`"))
                    .because("only root can run a command as another user")
                    .help("run build-mem with sudo, or leave out `--user`"),
            );
        }
        let gid = Gid::from_raw(user.gid.as_raw());
        let credentials = Credentials {
            uid: Uid::from_raw(user.uid.as_raw()),
            gid,
            groups: groups_of(&user.name, gid)?,
        };
        Ok(Self::from_entry(credentials, Some(user)))
    }

    fn by_id(uid: Uid, gid: Option<Gid>) -> Result<Self, Problem> {
        if uid == geteuid() {
            return Self::current();
        }
        let user = user_by_id(uid)?;
        let from_database = user.as_ref().map(|user| Gid::from_raw(user.gid.as_raw()));
        let Some(gid) = gid.or(from_database) else {
            return Err(
                Problem::new(format!("cannot find the group of user {}", uid.as_raw()))
                    .because("the user is not in the user database and SUDO_GID is not set")
                    .help("name the build's user: `--user NAME`"),
            );
        };
        let groups = match &user {
            Some(user) => groups_of(&user.name, gid)?,
            None => vec![gid],
        };
        Ok(Self::from_entry(Credentials { uid, gid, groups }, user))
    }

    fn from_entry(credentials: Credentials, user: Option<unistd::User>) -> Self {
        let (name, home, shell) = match user {
            Some(user) => (Some(user.name), Some(user.dir), Some(user.shell)),
            None => (None, None, None),
        };
        Self {
            credentials,
            name,
            home: home.filter(|home| !home.as_os_str().is_empty()),
            shell: shell.filter(|shell| !shell.as_os_str().is_empty()),
        }
    }
}

/// Environment variables by name.
pub type Environment = HashMap<OsString, OsString>;

/// The environment for the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredEnvironment {
    /// All of it, by name.
    pub variables: Vec<(OsString, OsString)>,
    /// What is not as it was before sudo.
    pub note: Option<Note>,
}

/// How the sudo above us was called: it keeps the user's environment, which it did not pass on, in its own
/// memory for as long as we run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SudoCall {
    arguments: Vec<OsString>,
    environment: Environment,
}

impl SudoCall {
    /// Looks for it among the ancestors of this process. `proc` is `/proc`. Needs root; absent where there is
    /// none, or where it may not be read.
    pub fn find(proc: &Path) -> Option<Self> {
        let parent = rustix::process::getppid()?.as_raw_nonzero().get();
        Self::find_from(proc, parent)
    }

    fn find_from(proc: &Path, mut pid: i32) -> Option<Self> {
        // A parent is older than its child, but numbers are reused: a loop is thinkable while we look.
        for _ in 0..64 {
            let folder = proc.join(pid.to_string());
            let stat = Stat::from_file(folder.join("stat")).ok()?;
            if stat.comm == "sudo" {
                return Some(Self {
                    arguments: strings_of(&fs::read(folder.join("cmdline")).ok()?),
                    environment: parse_environment(&fs::read(folder.join("environ")).ok()?),
                });
            }
            pid = stat.ppid;
        }
        None
    }

    /// What sudo was given, and what was set since: `sudo NAME=value build-mem …`, `sudo env …`, a root shell.
    fn merged_with(&self, ours: &Environment) -> Environment {
        let mut merged = self.environment.clone();
        for (name, value) in ours {
            let is_one_of = |names: &[&str]| names.iter().any(|one| *one == name);
            let is_sudos = is_one_of(&ADDED_BY_SUDO)
                || (is_one_of(&REWRITTEN_BY_SUDO) && !self.sets_by_argument(name));
            if !is_sudos {
                merged.insert(name.clone(), value.clone());
            }
        }
        merged
    }

    fn sets_by_argument(&self, name: &OsStr) -> bool {
        self.arguments.iter().any(|argument| {
            let rest = argument.as_bytes().strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"="))
        })
    }
}

/// The strings in a file such as `/proc/<pid>/environ`: each ends with a NUL byte.
fn strings_of(bytes: &[u8]) -> Vec<OsString> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|string| !string.is_empty())
        .map(|string| OsStr::from_bytes(string).to_owned())
        .collect()
}

/// The variables in a file such as `/proc/<pid>/environ`. What has no `=` is none.
pub(super) fn parse_environment(bytes: &[u8]) -> Environment {
    strings_of(bytes)
        .iter()
        .filter_map(|variable| variable_of(variable))
        .collect()
}

fn variable_of(text: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = text.as_bytes();
    let equals = bytes.iter().position(|byte| *byte == b'=')?;
    let part = |bytes| OsStr::from_bytes(bytes).to_owned();
    Some((part(&bytes[..equals]), part(&bytes[equals + 1..])))
}

#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    Named(&'a str),
    Sudo { uid: Uid, gid: Option<Gid> },
    Current,
}

#[derive(Clone, Copy)]
struct Ids {
    real: Uid,
    effective: Uid,
}

impl Ids {
    fn ours() -> Self {
        Self {
            real: getuid(),
            effective: geteuid(),
        }
    }
}

fn choose<'a>(user: Option<&'a str>, environment: &Environment, ids: Ids) -> Choice<'a> {
    let number = |name: &str| -> Option<u32> {
        let number = environment.get(OsStr::new(name))?.to_str()?.parse().ok()?;
        // (uid_t)-1 means "leave it" to setresuid(2): not a user.
        (number != u32::MAX).then_some(number)
    };
    // In a set-user-ID program the environment is the caller's own word, and the caller is the real user.
    if ids.effective.is_root() && !ids.real.is_root() {
        return Choice::Sudo {
            uid: ids.real,
            gid: Some(rustix::process::getgid()),
        };
    }
    if let Some(name) = user {
        return Choice::Named(name);
    }
    match number("SUDO_UID") {
        Some(uid) if ids.effective.is_root() => Choice::Sudo {
            uid: Uid::from_raw(uid),
            gid: number("SUDO_GID").map(Gid::from_raw),
        },
        Some(_) | None => Choice::Current,
    }
}

fn user_by_id(uid: Uid) -> Result<Option<unistd::User>, Problem> {
    match unistd::User::from_uid(unistd::Uid::from_raw(uid.as_raw())) {
        // Not found, in the words of getpwuid(3); an image may have no user database at all.
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        found => found.map_err(|errno| {
            Problem::new(format!("cannot look up user {}", uid.as_raw())).because(errno)
        }),
    }
}

fn groups_of(name: &str, gid: Gid) -> Result<Vec<Gid>, Problem> {
    let failed = |cause: String| {
        Problem::new(format!("cannot look up the groups of user `{name}`")).because(cause)
    };
    let c_name = CString::new(name).map_err(|error| failed(error.to_string()))?;
    let groups = unistd::getgrouplist(&c_name, unistd::Gid::from_raw(gid.as_raw()))
        .map_err(|errno| failed(errno.to_string()))?;
    Ok(groups
        .into_iter()
        .map(|group| Gid::from_raw(group.as_raw()))
        .collect())
}

fn sorted(environment: Environment) -> Vec<(OsString, OsString)> {
    let mut list: Vec<_> = environment.into_iter().collect();
    list.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    list
}

#[cfg(test)]
mod tests {
    use rustix::fs::fstat;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect()
    }

    fn ids(real: u32, effective: u32) -> Ids {
        Ids {
            real: Uid::from_raw(real),
            effective: Uid::from_raw(effective),
        }
    }

    /// Someone that no test runs as.
    fn someone() -> Invoker {
        Invoker {
            credentials: Credentials {
                uid: Uid::from_raw(54_321),
                gid: Gid::from_raw(54_322),
                groups: vec![Gid::from_raw(54_322)],
            },
            name: Some("ada".to_owned()),
            home: Some("/home/ada".into()),
            shell: Some("/bin/zsh".into()),
        }
    }

    fn text_of(environment: Environment) -> Vec<String> {
        sorted(environment)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    #[test]
    fn sudos_word_counts_for_root_only() {
        let sudo = environment(&[("SUDO_UID", "1000"), ("SUDO_GID", "1001")]);
        let caller = Choice::Sudo {
            uid: Uid::from_raw(1000),
            gid: Some(Gid::from_raw(1001)),
        };
        assert_eq!(choose(None, &sudo, ids(0, 0)), caller);
        assert_eq!(choose(None, &sudo, ids(7, 7)), Choice::Current);
        assert_eq!(choose(None, &environment(&[]), ids(0, 0)), Choice::Current);
        assert_eq!(choose(Some("ada"), &sudo, ids(0, 0)), Choice::Named("ada"));
    }

    #[test]
    fn a_number_that_is_none_is_not_believed() {
        for odd in ["", "x", "-1", "4294967295", "99999999999", "10 "] {
            let sudo = environment(&[("SUDO_UID", odd)]);
            assert_eq!(choose(None, &sudo, ids(0, 0)), Choice::Current, "{odd}");
        }
    }

    #[test]
    fn a_set_user_id_program_acts_for_its_caller_whatever_the_environment_says() {
        let sudo = environment(&[("SUDO_UID", "0")]);
        let Choice::Sudo { uid, gid: _ } = choose(Some("root"), &sudo, ids(1000, 0)) else {
            panic!("it believed the environment");
        };
        assert_eq!(uid, Uid::from_raw(1000));
    }

    #[test]
    fn an_unknown_user_is_refused() {
        let problem = Invoker::resolve(Some("no-such-user"), &environment(&[])).unwrap_err();
        assert_eq!(problem.what, "there is no user `no-such-user`");
    }

    #[test]
    fn without_a_change_of_user_the_environment_is_ours() {
        let invoker = Invoker::resolve(None, &environment(&[])).unwrap();
        let ours = environment(&[("SUDO_ASKPASS", "/x"), ("HOME", "/odd")]);
        let restored = invoker.restored_environment(&ours, None);
        assert_eq!(restored.variables, sorted(ours));
        assert_eq!(restored.note, None);
    }

    #[test]
    fn without_sudos_own_environment_roots_values_become_the_users() {
        let ours = environment(&[
            ("HOME", "/root"),
            ("LANG", "C"),
            ("LOGNAME", "root"),
            ("MAIL", "/var/mail/root"),
            ("PATH", "/sbin:/bin"),
            ("SHELL", "/bin/fish"),
            ("SUDO_ASKPASS", "/ask"),
            ("SUDO_COMMAND", "/bin/build-mem"),
            ("SUDO_UID", "54321"),
            ("USER", "root"),
        ]);
        assert_eq!(
            text_of(someone().guessed_environment(&ours)),
            [
                "HOME=/home/ada",
                "LANG=C",
                "LOGNAME=ada",
                "MAIL=/var/mail/ada",
                "PATH=/sbin:/bin",
                // Not root's: the user's own choice.
                "SHELL=/bin/fish",
                "SUDO_ASKPASS=/ask",
                "USER=ada",
            ]
        );
        let restored = someone().restored_environment(&ours, None);
        assert!(restored.note.unwrap().why.contains("`PATH` is sudo's"));
    }

    #[test]
    fn sudos_own_environment_is_the_users() {
        let call = SudoCall {
            arguments: ["sudo", "LOGNAME=chosen", "A=new", "build-mem"]
                .map(OsString::from)
                .to_vec(),
            environment: environment(&[
                ("A", "old"),
                ("HOME", "/home/ada"),
                ("LOGNAME", "ada"),
                ("NVM_DIR", "/home/ada/.nvm"),
                ("PATH", "/home/ada/bin:/bin"),
            ]),
        };
        let ours = environment(&[
            ("A", "new"),
            ("HOME", "/root"),
            ("LOGNAME", "chosen"),
            ("MAIL", "/var/mail/root"),
            ("PATH", "/sbin:/bin"),
            ("SUDO_UID", "54321"),
            ("SUDO_USER", "ada"),
        ]);
        let restored = someone().restored_environment(&ours, Some(&call));
        assert_eq!(restored.note, None);
        assert_eq!(
            text_of(restored.variables.into_iter().collect()),
            [
                "A=new",
                "HOME=/home/ada",
                "LOGNAME=chosen",
                "NVM_DIR=/home/ada/.nvm",
                "PATH=/home/ada/bin:/bin",
            ]
        );
    }

    #[test]
    fn another_user_does_not_get_the_callers_environment() {
        let call = SudoCall {
            arguments: Vec::new(),
            environment: environment(&[("TOKEN", "secret")]),
        };
        let ours = environment(&[("SUDO_UID", "1000")]);
        let restored = someone().restored_environment(&ours, Some(&call));
        assert!(!restored.variables.iter().any(|(name, _)| name == "TOKEN"));
    }

    #[test]
    fn sudo_is_found_among_the_ancestors() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: i32, name: &str, parent: i32| {
            let folder = proc.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            // proc_pid_stat(5), as a real one.
            let rest = "1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 1 1 18446744073709551615 1 1 1 1 1 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 1 1 1 1 1 1 0";
            fs::write(
                folder.join("stat"),
                format!("{pid} ({name}) S {parent} {rest}\n"),
            )
            .unwrap();
            folder
        };
        process(1, "init", 0);
        let sudo = process(10, "sudo", 1);
        fs::write(sudo.join("cmdline"), b"sudo\0-n\0build-mem\0").unwrap();
        fs::write(sudo.join("environ"), b"A=1=2\0odd\0B=\xff\0").unwrap();
        process(11, "sh -c (a) b", 10);
        let found = SudoCall::find_from(proc.path(), 11).unwrap();
        assert_eq!(found.arguments, ["sudo", "-n", "build-mem"]);
        assert_eq!(found.environment.len(), 2);
        assert_eq!(found.environment[OsStr::new("A")], "1=2");
        assert_eq!(SudoCall::find_from(proc.path(), 1), None);
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn acting_as_a_user_has_this_users_rights_in_one_thread_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let outcome = someone().act_as(|| {
            fs::write(path.join("file"), "").map_err(|error| Problem::new("denied").because(error))
        });
        assert!(
            outcome
                .unwrap_err()
                .to_string()
                .contains("Permission denied")
        );
        assert!(geteuid().is_root());
        let made = someone()
            .act_as(|| tempfile::tempfile().map_err(|error| Problem::new("denied").because(error)));
        assert_eq!(fstat(made.unwrap()).unwrap().st_uid, 54_321);
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn who_has_the_users_id_cannot_end_us_while_we_act_as_the_user() {
        let (tell, told) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                someone().act_as(move || {
                    tell.send(rustix::thread::gettid().as_raw_nonzero())
                        .unwrap();
                    let _ = released.recv();
                    Ok(())
                })
            });
            let thread = told.recv().unwrap();
            let mut kill = std::process::Command::new("/bin/sh");
            kill.args(["-c", "kill -0 \"$1\"", "sh", &thread.to_string()]);
            std::os::unix::process::CommandExt::uid(&mut kill, 54_321);
            let killed = kill.output().unwrap();
            drop(release);
            assert!(!killed.status.success());
            let said = String::from_utf8_lossy(&killed.stderr).to_lowercase();
            assert!(said.contains("not permitted"), "{said}");
        });
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn a_file_of_ours_becomes_the_users() {
        let file = tempfile::tempfile().unwrap();
        someone().own(&file).unwrap();
        let stat = fstat(&file).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (54_321, 54_322));
    }
}

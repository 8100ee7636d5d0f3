//! Who the build runs as, and the environment that this user had before sudo.
//!
//! build-mem needs root to observe; the build must not notice. Its process is dropped to the invoking user in
//! `start`; files are opened as that user with [`Invoker::act_as`].

use std::collections::HashMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::unistd;
use rustix::fs::{fchown, fstat};
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

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

    /// Gives these credentials to the calling thread for good. Only system calls, one each, in the order in
    /// which the right to make them is lost: this is for a forked child too.
    pub(super) fn take_on(&self) -> Result<(), (CredentialStep, rustix::io::Errno)> {
        set_thread_groups(&self.groups).map_err(|errno| (CredentialStep::Groups, errno))?;
        set_thread_res_gid(self.gid, self.gid, self.gid)
            .map_err(|errno| (CredentialStep::Group, errno))?;
        set_thread_res_uid(self.uid, self.uid, self.uid)
            .map_err(|errno| (CredentialStep::User, errno))?;
        if self.uid.is_root() {
            return Ok(());
        }
        // setresuid(2) from root has dropped all but the inheritable set, unless the caller's securebits say
        // otherwise: capabilities(7).
        clear_ambient_capability_set().map_err(|errno| (CredentialStep::Capabilities, errno))?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none).map_err(|errno| (CredentialStep::Capabilities, errno))
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
    pub fn resolve(
        user: Option<&str>,
        environment: &HashMap<OsString, OsString>,
    ) -> Result<Self, Problem> {
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

    /// Runs `work` with this user's rights, so that it can reach and make only what the user can: in a thread
    /// of its own that takes on the credentials, since on Linux these belong to a thread. Where we are this
    /// user already, it runs in this thread.
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
                        .take_on()
                        .map_err(|(step, errno)| failed(format!("{step:?}: {errno}")))?;
                    work()
                })
                .map_err(|error| failed(error.to_string()))?;
            worker
                .join()
                .unwrap_or_else(|_| Err(failed("its thread panicked".to_owned())))
        })
    }

    /// Makes an open file of ours this user's.
    pub fn own(&self, file: impl AsFd) -> Result<(), Problem> {
        give(file, &self.credentials).map_err(|error| {
            Problem::new(format!("cannot give a file to user {}", self.label())).because(error)
        })
    }

    /// The environment for the build: `ours`, without what sudo did to it as far as that can be known.
    ///
    /// What sudo removed is not in `ours`, and its `secure_path` stands in the place of the user's `PATH`.
    pub fn restored_environment(
        &self,
        ours: &HashMap<OsString, OsString>,
    ) -> Vec<(OsString, OsString)> {
        if !self.credentials.differ_from_ours() {
            return sorted(ours.clone());
        }
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
        sorted(restored)
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

/// Makes an open file `owner`'s, if we are root and it is not.
pub(super) fn give(file: impl AsFd, owner: &Credentials) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let file = file.as_fd();
    let now = fstat(file)?;
    if now.st_uid == owner.uid.as_raw() && now.st_gid == owner.gid.as_raw() {
        return Ok(());
    }
    Ok(fchown(file, Some(owner.uid), Some(owner.gid))?)
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

fn choose<'a>(
    user: Option<&'a str>,
    environment: &HashMap<OsString, OsString>,
    ids: Ids,
) -> Choice<'a> {
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
    unistd::User::from_uid(unistd::Uid::from_raw(uid.as_raw())).map_err(|errno| {
        Problem::new(format!("cannot look up user {}", uid.as_raw())).because(errno)
    })
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

fn sorted(environment: HashMap<OsString, OsString>) -> Vec<(OsString, OsString)> {
    let mut list: Vec<_> = environment.into_iter().collect();
    list.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    list
}

//! Why build-mem could not do its work: what failed, why, and what to do next. Only `main` prints one.

use std::error::Error;
use std::fmt;

/// An error for people. Lower case, no full stop, the path or command in backticks.
#[derive(Debug)]
pub struct Problem {
    /// What failed, such as "cannot read `build-mem.toml`".
    pub what: String,
    /// Why, as the system or a library told it.
    pub cause: Option<String>,
    /// What to do next.
    pub help: Option<String>,
    /// Which exit code it leads to.
    pub kind: ProblemKind,
}

/// Cases that a caller tells apart: they have exit codes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// build-mem could not do its work: bad usage, config, privileges.
    Tool,
    /// The build's command exists but cannot be executed.
    NotExecutable,
    /// The build's command was not found.
    NotFound,
}

impl Problem {
    /// A problem of build-mem's own.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            help: None,
            kind: ProblemKind::Tool,
        }
    }

    /// With the reason.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// With what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Of another kind than [`ProblemKind::Tool`].
    #[must_use]
    pub const fn kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

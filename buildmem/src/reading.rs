//! A figure that knows where it came from, or why it is not there. Zero is never "missing".

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A measured value with its source, or the reason for its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// The value was measured.
    Known {
        /// The value.
        value: T,
        /// Where it was read, such as `memory.peak`. A recording leaves out the usual one, [`MM_HIGH_WATER`].
        #[serde(default = "usual_source", skip_serializing_if = "is_usual_source")]
        source: Cow<'static, str>,
    },
    /// The value could not be measured; the text says why, for people.
    Missing(Cow<'static, str>),
}

/// The source of nearly every process's peak: its address space's own high-water mark.
pub const MM_HIGH_WATER: &str = "mm->hiwater_rss";

const fn usual_source() -> Cow<'static, str> {
    Cow::Borrowed(MM_HIGH_WATER)
}

fn is_usual_source(source: &str) -> bool {
    source == MM_HIGH_WATER
}

impl<T> Reading<T> {
    /// A value read from `source`.
    pub const fn known(value: T, source: &'static str) -> Self {
        Self::Known {
            value,
            source: Cow::Borrowed(source),
        }
    }

    /// No value, because of `why`.
    pub fn missing(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing(why.into())
    }

    /// This one, or another where it is missing. When both are, this one's reason counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Missing(_), Self::Known { .. }) => other,
            _ => self,
        }
    }

    /// Why there is no value, where there is none.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Missing(why) => Some(why),
            Self::Known { .. } => None,
        }
    }

    /// The value, where there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, source: _ } => Some(value),
            Self::Missing(_) => None,
        }
    }
}

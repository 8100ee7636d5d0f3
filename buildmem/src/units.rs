//! Quantities with their unit in the type: bytes and time since boot. Formatting for people is
//! `export::text`'s business, except for the one canonical form of a size.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The most that can be told.
    pub const MAX: Self = Self(u64::MAX);

    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB; procfs's `kB` is KiB (proc(5)).
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }

    /// So many MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1024 * 1024))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// What is left after taking `other` away, nothing at the least.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self - other`, which may be negative.
    pub const fn signed_difference(self, other: Self) -> i64 {
        self.0.cast_signed().wrapping_sub(other.0.cast_signed())
    }

    /// `self × part / whole`; nothing when there is no whole.
    #[must_use]
    pub fn scaled(self, part: Self, whole: Self) -> Self {
        let product = u128::from(self.0) * u128::from(part.0);
        let scaled = product.checked_div(u128::from(whole.0)).unwrap_or_default();
        Self(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// This part of `whole` as a fraction; 0 when there is no whole.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share for people, not for sums"
    )]
    pub fn share_of(self, whole: Self) -> f64 {
        match whole.0 {
            0 => 0.0,
            whole => self.0 as f64 / whole as f64,
        }
    }
}

impl Add for ByteSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for ByteSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for ByteSize {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl std::iter::Sum for ByteSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Add::add)
    }
}

/// As people read it: powers of 1024 with two decimals (`1.23 GiB`), whole bytes below 1 KiB.
impl fmt::Display for ByteSize {
    #[expect(clippy::cast_precision_loss, reason = "two decimals for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = UNITS[0];
        for larger in &UNITS[1..] {
            // What would round to 1024.00 of a unit is 1.00 of the next.
            if value < 1023.995 {
                break;
            }
            value /= 1024.0;
            unit = larger;
        }
        f.pad(&format!("{value:.2} {unit}"))
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a number with a unit, such as `512MiB`, `8g` or `1.5GiB`")]
pub struct ParseByteSizeError(String);

/// Reads `512m`, `8g`, `8GiB`, `1.5GiB`, `4096` (bytes). Units are powers of 1024, as docker's and systemd's are.
impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the value is checked to be positive and in range before the cast"
    )]
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseByteSizeError(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(error()),
        };
        let number: f64 = number.parse().map_err(|_| error())?;
        let bytes = number * factor as f64;
        if bytes < 0.0 || bytes > i64::MAX as f64 {
            return Err(error());
        }
        Ok(Self(bytes as u64))
    }
}

/// A moment: nanoseconds since boot, time in suspend included (CLOCK_BOOTTIME). The one clock of every source.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(u64);

impl BootTime {
    /// So many nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_two_decimals_in_powers_of_1024() {
        let shown = |bytes| ByteSize::from_bytes(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1.00 KiB");
        assert_eq!(shown(1024 * 1024 - 1), "1.00 MiB");
        assert_eq!(shown(1_610_612_736), "1.50 GiB");
    }

    #[test]
    fn sizes_are_read_in_the_units_of_docker_and_systemd() {
        let read = |text: &str| text.parse::<ByteSize>().map(ByteSize::bytes);
        assert_eq!(read("8g"), Ok(8 << 30));
        assert_eq!(read("8GiB"), Ok(8 << 30));
        assert_eq!(read("512m"), Ok(512 << 20));
        assert_eq!(read("1.5 GiB"), Ok(3 << 29));
        assert_eq!(read("4096"), Ok(4096));
        for wrong in ["", "g", "8x", "-1g", "1..5g", "1e99", "99999999t"] {
            assert!(read(wrong).is_err(), "{wrong:?} was taken for a size");
        }
    }
}

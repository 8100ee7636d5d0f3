//! The build's own cgroup: where it can be made, what it holds, and its high-water mark, on both versions of
//! the cgroup file system (cgroups(7), cgroup-v2.rst, and memory.rst for v1). The one thing that is changed in
//! the system is a fresh leaf for the build alone; other cgroups are never touched.

mod hierarchy;
mod leaf;
mod moving;
mod room;
mod scope;
mod v1;
mod v2;

pub use hierarchy::{Hierarchy, Version};
pub use leaf::{Leaf, Leftover, StageMark, SwapLimit};
pub use moving::make_ready_to_move;

use crate::units::ByteSize;

/// The pairs of a flat keyed file such as memory.stat: `key value`, one a line. A line of another form is passed over.
fn flat_keyed(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let space = line.iter().position(|&byte| byte == b' ')?;
        let (key, value) = line.split_at(space);
        Some((key, number(value)?))
    })
}

/// The value of one key of a flat keyed file.
fn keyed_value(text: &[u8], key: &str) -> Option<u64> {
    flat_keyed(text).find_map(|(found, value)| (found == key.as_bytes()).then_some(value))
}

/// A file that holds one number.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// A file that holds one number of bytes.
fn bytes(text: &[u8]) -> Option<ByteSize> {
    number(text).map(ByteSize::from_bytes)
}

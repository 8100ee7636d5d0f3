//! The kernel's description of its types, as bytes: mapped where the kernel allows it, else read.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Where it is.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The bytes of [`KERNEL_BTF`], some 5 MB.
///
/// Since Linux 6.16 the file can be mapped: then they are the kernel's own pages (which still count as resident). What is
/// read is copied, and comes a page a system call, as from all of sysfs.
pub enum KernelBtf {
    /// The kernel's pages.
    Mapped(Mapping),
    /// A copy.
    Read(Vec<u8>),
}

/// Pages that are unmapped when it is dropped.
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl KernelBtf {
    /// Opens the running kernel's.
    pub fn open() -> io::Result<Self> {
        let mut file = File::open(KERNEL_BTF)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        if let Some(mapping) = Mapping::of(&file, len) {
            return Ok(Self::Mapped(mapping));
        }
        let mut bytes = Vec::with_capacity(len);
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }
}

impl Mapping {
    fn of(file: &File, len: usize) -> Option<Self> {
        // SAFETY: a new mapping, at an address that the kernel chooses, touches no memory that is in use.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                file,
                0,
            )
        };
        let start = NonNull::new(start.ok()?.cast())?;
        Some(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and whoever borrowed it is gone.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

impl Deref for KernelBtf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: the mapping has that many readable bytes as long as it lives, and nobody writes to them: the kernel
            // does not change its BTF, and refuses to map it writable.
            Self::Mapped(Mapping { start, len }) => unsafe {
                slice::from_raw_parts(start.as_ptr(), *len)
            },
            Self::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_is_what_is_read() {
        let Ok(read) = std::fs::read(KERNEL_BTF) else {
            return;
        };
        assert_eq!(*KernelBtf::open().unwrap(), read[..]);
    }
}

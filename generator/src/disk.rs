//! What has reached the disk, and does not only stand in the memory of the kernel.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The unit of reading past the memory of the kernel, in bytes.
const PAGE: u64 = 4096;

/// The kernel wants the place for what it reads aligned like this.
#[repr(align(4096))]
struct Page([u8; PAGE as usize]);

/// Where in `file`, which `path` names, the disk first holds something else than the kernel says, between `start` and
/// `size`. `None` if that is nowhere, or can't be asked, as on a file system that has no disk.
///
/// # Errors
///
/// When `file` can't be read.
pub fn lacks(path: &Path, file: &File, start: u64, size: u64) -> io::Result<Option<u64>> {
    let direct = OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path);
    let Ok(disk) = direct else { return Ok(None) };
    let (mut there, mut here) = (Box::new(Page([0; PAGE as usize])), [0; PAGE as usize]);
    let mut position = start / PAGE * PAGE;
    while position < size {
        let length = PAGE.min(size - position) as usize;
        let Ok(read) = disk.read_at(&mut there.0, position) else { return Ok(None) };
        file.read_exact_at(&mut here[..length], position)?;
        if read < length || there.0[..length] != here[..length] {
            return Ok(Some(position));
        }
        position += PAGE;
    }
    Ok(None)
}

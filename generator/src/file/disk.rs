//! What has reached the disk, and does not only stand in the memory of the kernel.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use rustix::fs::OFlags;
use tracing::warn;

use crate::permissions::folder_of;

/// The unit of reading past the memory of the kernel, in bytes.
const PAGE: u64 = 4096;

/// The kernel wants the place for what it reads aligned like this.
#[repr(align(4096))]
struct Page([u8; PAGE as usize]);

/// Lets the `size` bytes that an earlier run left in `file`, which `path` names, reach the disk. Where that run was killed
/// while the disk failed, the kernel believes that they have, and only another place on the disk helps. As much may be
/// missing as one `write` holds, which is at most `last` bytes.
///
/// # Errors
///
/// When the file can't be read or written.
pub fn make_durable(path: &Path, file: &File, size: u64, last: u64) -> io::Result<()> {
    file.sync_all()?;
    let Some(start) = lacks(path, file, size.saturating_sub(last), size)? else { return Ok(()) };
    warn!(file = %path.display(), bytes = size - start, "the last lines have not reached the disk; writing them again");
    let mut tail = vec![0; (size - start) as usize];
    file.read_exact_at(&mut tail, start)?;
    file.set_len(start)?;
    let mut file = file;
    file.write_all(&tail)
}

/// Lets the names in the folder of `path` reach the disk: a new name is durable only when its folder is.
///
/// # Errors
///
/// When that can't be done.
pub fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}

/// Where in `file`, which `path` names, the disk first holds something else than the kernel says, between `start` and
/// `size`. `None` if that is nowhere, or can't be asked, as on a file system that has no disk.
fn lacks(path: &Path, file: &File, start: u64, size: u64) -> io::Result<Option<u64>> {
    let flags = (OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let Ok(disk) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return Ok(None) };
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

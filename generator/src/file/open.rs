//! Opening what may be written, in a folder where others may have put anything: no link is followed, nothing that exists is
//! taken for new, and only a regular file is written.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rand::TryRng;
use rand::rngs::SysRng;
use rustix::fs::{OFlags, XattrFlags, fsetxattr};
use rustix::io::Errno;

use crate::permissions;

/// The extended attribute that names a file wherever it is mounted: 32 random hex digits, set before its first byte and
/// never later.
const NAME: &str = "user.appcoup.name";

/// Opens the file at `path` for appending, and makes it if it is not there. With `durable`, a write returns when its bytes
/// have reached the disk.
///
/// # Errors
///
/// When it is no regular file or can't be opened.
pub fn to_append(path: &Path, durable: bool) -> anyhow::Result<File> {
    refuse_what_is_no_file(path)?;
    let opened = match options(durable).open(path) {
        // Not with O_CREAT where it exists: in a sticky folder the kernel refuses that for a file of somebody else.
        Err(error) if error.kind() == io::ErrorKind::NotFound => new(path, durable),
        opened => opened,
    };
    let file = opened.map_err(|error| permissions::explain(path, error))?;
    if !stat(path, &file)?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    Ok(file)
}

/// Makes the file at `path`, under which there must be nothing, not even a link, and gives it a name for life.
///
/// # Errors
///
/// When there is something, or the file can't be made.
pub fn new(path: &Path, durable: bool) -> io::Result<File> {
    let file = options(durable).create_new(true).open(path)?;
    let mut name = [0; 16];
    if SysRng.try_fill_bytes(&mut name).is_ok() {
        // Only readers behind several mounts need it, and many file systems have no attributes.
        let _ = fsetxattr(&file, NAME, format!("{:032x}", u128::from_ne_bytes(name)).as_bytes(), XattrFlags::CREATE);
    }
    Ok(file)
}

/// Opens a companion for reading and writing, if it is there. Its owner alone may read or write what [`new_companion`] made.
///
/// # Errors
///
/// When it is there, and is no regular file of one name or can't be opened.
pub fn companion(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(io::Error::other("it is not a regular file of one name"));
    }
    Ok(Some(file))
}

/// Makes a companion, under whose name there must be nothing.
///
/// # Errors
///
/// When there is something, or it can't be made.
pub fn new_companion(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// The path of a companion of `path`, such as `data.lock`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OsStr::new(suffix));
    PathBuf::from(name)
}

/// Removes `path`, if it is there.
///
/// # Errors
///
/// When that can't be done.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether `path` itself, and not what a link there leads to, is the file that `held` describes.
///
/// # Errors
///
/// When that can't be looked up.
pub fn names(path: &Path, held: &Metadata) -> anyhow::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot stat {}", path.display())),
    }
}

/// The metadata of `file`, which `path` named.
///
/// # Errors
///
/// When they can't be had.
pub fn stat(path: &Path, file: &File) -> anyhow::Result<Metadata> {
    file.metadata().with_context(|| format!("cannot stat {}", path.display()))
}

/// A look before anything is opened or made beside it: even to open a device may do something.
///
/// # Errors
///
/// When there is something at `path` that is not a regular file.
fn refuse_what_is_no_file(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path).map(|there| there.file_type()) {
        Ok(kind) if kind.is_symlink() => bail!("{} is a link; give the path that it leads to", path.display()),
        Ok(kind) if kind.is_dir() => Err(permissions::explain(path, Errno::ISDIR.into())),
        Ok(kind) if !kind.is_file() => bail!("{} is not a regular file", path.display()),
        _ => Ok(()), // what can't be looked at can't be opened either, which says more
    }
}

fn options(durable: bool) -> OpenOptions {
    let durable = if durable { OFlags::DSYNC } else { OFlags::empty() };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | durable;
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(flags.bits().cast_signed());
    options
}

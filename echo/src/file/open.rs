//! Opening a file in a folder that others write to: its links may not lead out of it, and what is no regular file may not
//! be opened.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::file::filesystem::FileSystem;
use crate::file::stamp::Stamp;
use crate::permissions::folder_of;

/// How many links may lead to a file, as many as the kernel allows.
const MOST_LINKS: u32 = 40;
/// How often a link is resolved again that is changed meanwhile.
const ATTEMPTS: u32 = 10;
/// `O_NONBLOCK`, or opening a FIFO would wait for its writer; `O_NOCTTY`, or a terminal would become ours.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Where links may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// To what is beneath the folder of the file, as those of a `ConfigMap` do. Whoever writes to the folder can then show
    /// nothing that is elsewhere.
    Beneath,
    /// Anywhere.
    Follow,
}

/// A file that is open for reading, and what holds for it as long as it is.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Where it is.
    pub system: FileSystem,
    /// When it was made, where the file system tells.
    pub born: Option<SystemTime>,
}

impl Links {
    /// The stamp of what `path` names now.
    ///
    /// # Errors
    ///
    /// When it names nothing that can be looked at, or by a link that leads where it may not.
    pub fn stamp(self, path: &Path) -> io::Result<Stamp> {
        if self == Self::Follow {
            return Stamp::of_path(path);
        }
        let named = Stamp::of_name(path)?;
        if named.is_link() { Stamp::of(beneath(path, OFlags::PATH | OFlags::CLOEXEC)?) } else { Ok(named) }
    }

    /// Opens the regular file that `path` names now, and nothing else: to open a device can do something already.
    ///
    /// # Errors
    ///
    /// When it can't be opened, is not a regular file, or is named by a link that leads where it may not.
    pub fn open(self, path: &Path) -> io::Result<Opened> {
        must_be_regular(&self.stamp(path)?)?;
        let file = match self {
            Self::Beneath => File::from(beneath(path, READ)?),
            Self::Follow => OpenOptions::new().read(true).custom_flags(READ.bits().cast_signed()).open(path)?,
        };
        must_be_regular(&Stamp::of(&file)?)?;
        Ok(Opened { system: FileSystem::of(&file)?, born: file.metadata()?.created().ok(), file })
    }
}

/// Makes sure that `stamp` is of a regular file.
///
/// # Errors
///
/// When it is not.
pub fn must_be_regular(stamp: &Stamp) -> io::Result<()> {
    if stamp.is_regular_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Opens what `path` names, if links keep it beneath its folder.
fn beneath(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let folder = openat(CWD, folder_of(path), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut attempt = 1;
    loop {
        match openat2(&folder, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if attempt < ATTEMPTS => attempt += 1,
            Err(Errno::XDEV) => return Err(leads_out()),
            // An old kernel, one that does not know these flags, or a container's filter of system calls.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => return step_by_step(folder, name, flags),
            opened => return Ok(opened?),
        }
    }
}

/// The same without `openat2`: each part of the way is opened by itself, and never through a link.
fn step_by_step(mut folder: OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let mut parts = vec![name.to_owned()];
    let mut links = 0;
    while let Some(part) = parts.pop() {
        if let Ok(target) = readlinkat(&folder, &part, Vec::new()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            parts.extend(parts_of(OsStr::from_bytes(target.to_bytes()))?);
        } else if parts.is_empty() {
            return Ok(openat(&folder, &part, flags | OFlags::NOFOLLOW, Mode::empty())?);
        } else {
            let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = openat(&folder, &part, step, Mode::empty())?;
        }
    }
    Err(Errno::NOENT.into())
}

/// The parts of a link's target, the last one first. Steps up are refused, though some lead out of nothing.
fn parts_of(target: &OsStr) -> io::Result<Vec<OsString>> {
    let mut parts = Vec::new();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::CurDir => {}
            _ => return Err(leads_out()),
        }
    }
    parts.reverse();
    Ok(parts)
}

fn leads_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it is a link that leads out of its folder, which only --follow-links allows",
    )
}

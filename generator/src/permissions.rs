//! Explaining why a path can't be opened: permissions are the commonest mistake with volumes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The folder that holds `path`.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Wraps the `error` of opening `path` for writing in a sentence that says whose the path is, who we are, and what helps.
pub fn explain(path: &Path, error: io::Error) -> anyhow::Error {
    let folder = folder_of(path);
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            // `.` would say little to somebody who mounted a volume there.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            permissions(&path, folder_of(&path))
        }
        io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
        io::ErrorKind::ReadOnlyFilesystem => format!("{} is mounted read-only", folder.display()),
        _ => String::new(),
    };
    let what = format!("cannot open {} for appending", path.display());
    let what = if hint.is_empty() { what } else { format!("{what} ({hint})") };
    anyhow::Error::new(error).context(what)
}

fn permissions(path: &Path, folder: &Path) -> String {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (name, metadata) = match fs::metadata(path) {
        Ok(metadata) => (path, metadata),
        Err(_) => match fs::metadata(folder) {
            Ok(metadata) => (folder, metadata),
            Err(_) => return format!("this process is uid {uid}, gid {gid} and can't even look into the folder"),
        },
    };
    format!(
        "{name} is of uid {owner}, gid {group}, mode {mode:04o}; this process is uid {uid}, gid {gid}: \
         run it as a user that may write there, or `chown {uid} {name}`",
        name = name.display(),
        owner = metadata.uid(),
        group = metadata.gid(),
        mode = metadata.mode() & 0o7777,
    )
}

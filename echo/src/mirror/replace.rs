//! Putting a copy that was made aside in the place of the one that is served.
//!
//! Each step is one change of a name, so that a crash leaves one of these, and the next start goes on from there:
//!
//! | there is | the next start |
//! | --- | --- |
//! | `<file>.next`, and its companion or not | gives it up: it may be half a copy |
//! | `<file>.ready` and `<file>.next.generation` | gives both their names |
//! | `<file>.ready` alone; the companion has its name already | gives it its name |

use std::fs;
use std::io;
use std::path::Path;

use anyhow::ensure;

use crate::mirror::companion::{generation_of, next_of, ready_of, remove, stamp_of};
use crate::permissions;

/// Finishes a replacement that has begun; what was made aside before that is given up.
///
/// # Errors
///
/// When a name can't be changed, or something else has the name of a complete copy.
pub fn finish(path: &Path) -> anyhow::Result<()> {
    let ready = ready_of(path);
    let Some(stamp) = stamp_of(&ready).map_err(|error| permissions::explain(&ready, error))? else {
        return give_up(path);
    };
    ensure!(stamp.is_regular_file(), "{} is not a regular file", ready.display());
    let (from, to) = (generation_of(&next_of(path)), generation_of(path));
    match fs::rename(&from, &to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(permissions::explain(&to, error)),
        _ => {} // or done already
    }
    fs::rename(&ready, path).map_err(|error| permissions::explain(path, error))?;
    give_up(path) // whatever else was begun
}

/// Removes what was made aside and is not complete.
///
/// # Errors
///
/// When it can't be removed.
pub fn give_up(path: &Path) -> anyhow::Result<()> {
    let next = next_of(path);
    for file in [&next, &generation_of(&next)] {
        remove(file).map_err(|error| permissions::explain(file, error))?;
    }
    Ok(())
}

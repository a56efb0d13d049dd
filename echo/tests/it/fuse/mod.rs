//! A folder behind FUSE, whose calls hang when a test says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Server, skip};

/// Mounts, in a namespace of its own, what only the server is to see, and becomes the server. The file system ends with it.
const MOUNT_AND_SERVE: &str = r#"
    program=$1; shift
    setpriv --pdeathsig KILL "$SHOW" real shown control "$@" &
    until [ -e shown/.there ]; do kill -0 $! && sleep 0.01 || exit 1; done
    exec "$program" --file shown/data
"#;
const SHOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fuse/show");

/// A server of `shown/data`, which is `real/data` seen through FUSE.
pub struct Shown {
    pub server: Server,
}

impl Shown {
    /// Starts a server of a file with `content`, or says why that can't be done here. The file system has these options.
    pub fn serving(content: impl AsRef<[u8]>, options: &[&str]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        fs::write(folder.path().join("real/data"), content).unwrap();
        Self::start_in(folder, options)
    }

    /// The same with the folder that another server has left.
    pub fn start_in(folder: TempDir, options: &[&str]) -> Option<Self> {
        if let Some(reason) = why_not() {
            skip(reason);
            return None;
        }
        for name in ["real/.there", "control"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir_all(folder.path().join("shown")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", MOUNT_AND_SERVE, "sh", env!("CARGO_BIN_EXE_echo")]).args(options);
        command.env("SHOW", SHOW).current_dir(folder.path());
        Some(Self { server: Server::start_by(&mut command, folder) })
    }

    /// The file behind the one that is served.
    pub fn real(&self) -> PathBuf {
        self.server.folder.path().join("real/data")
    }

    /// Puts another file in the place of the served one, in one step.
    pub fn replace(&self, content: impl AsRef<[u8]>) {
        let new = self.server.folder.path().join("real/new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.real()).unwrap();
    }

    /// Lets these operations hang from now on, and no others; they are separated by blanks.
    pub fn hang(&self, operations: &str) {
        let control = self.server.folder.path().join("control");
        fs::write(control.with_extension("new"), operations).unwrap();
        fs::rename(control.with_extension("new"), control).unwrap();
    }
}

fn why_not() -> Option<&'static str> {
    let succeeds = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|run| run.status.success())
    };
    match () {
        () if !fs::exists("/dev/fuse").unwrap_or_default() => Some("this kernel has no FUSE"),
        () if !succeeds("/usr/bin/python3", &["-c", "import fusepy"]) => Some("there is no fusepy (python3-fusepy)"),
        () if !succeeds("unshare", &["-m", "true"]) => Some("we may not mount"),
        () => None,
    }
}

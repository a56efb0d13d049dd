//! The other two programs, for tests that need them.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::client::get;
use crate::process::{Program, listening};

/// The path of another program, built here since cargo tells a package only of its own: into the same folder and with the
/// same profile as the program under test.
pub fn path(program: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_web")).parent().unwrap();
        let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "generator", "--package", "echo", "--profile", profile]);
        build.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "the other programs can't be built");
        folder.to_owned()
    });
    FOLDER.join(program)
}

/// An echo of `data` in a folder of its own.
pub struct Echo {
    program: Option<Program>,
    pub address: SocketAddr,
    pub folder: TempDir,
}

impl Echo {
    /// Starts an echo of a file that is not there yet.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (program, address) = echo(&folder, "127.0.0.1:0".parse().unwrap());
        Self { program: Some(program), address, folder }
    }

    /// Starts an echo of a file with `content`.
    pub fn serving(content: impl AsRef<[u8]>) -> Self {
        let echo = Self::start();
        echo.append(content);
        echo
    }

    /// Kills the program.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Starts it again at the same address.
    pub fn run(&mut self) {
        self.program = Some(echo(&self.folder, self.address).0);
    }

    pub fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What names the file that is served.
    pub fn generation(&self) -> String {
        get(self.address, "/readyz").json()["generation"].as_str().unwrap().to_owned()
    }

    /// Appends to the file, in one `write`.
    pub fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.file()).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Puts another file, with `content`, in the place of the served one, in one step.
    pub fn replace(&self, content: impl AsRef<[u8]>) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }
}

fn echo(folder: &TempDir, address: SocketAddr) -> (Program, SocketAddr) {
    let mut command = Command::new(path("echo"));
    command.env_clear().current_dir(folder.path()).args(["--listen", &address.to_string()]);
    listening(&mut command)
}

/// Starts a generator of the same file.
pub fn generator(folder: &TempDir, arguments: &[&str]) -> Program {
    let mut command = Command::new(path("generator"));
    Program::start(command.env_clear().current_dir(folder.path()).args(arguments))
}

//! The program under test as a child process, in a folder of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a test gives it up. Only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// So many bytes that no buffer between a server and a client who does not read takes them all.
pub const BIG: u64 = 16 << 20;

/// Waits until `condition` holds. What can be awaited otherwise should be.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Says why a test can't run here. In CI that is a failure.
pub fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "it can't run: {reason}");
    eprintln!("skipped: {reason}");
}

/// A running program whose log is collected; killed when dropped.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
}

impl Program {
    /// Starts `command`, which must log to stderr.
    pub fn start(command: &mut Command) -> Self {
        Self::start_on(command, Stdio::null())
    }

    /// Starts `command`, which must log to stderr, with something to read.
    pub fn start_on(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                all.lock().unwrap().extend([&*line, "\n"]);
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen }
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("{text:?} was not logged ({error}):\n{}", self.log()),
            }
        }
    }

    /// Waits for a line of the log that contains `text`, unless it is there already. For programs that log side by side,
    /// in any order.
    pub fn logged(&self, text: &str) -> String {
        let mut found = None;
        eventually(text, || {
            found = self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// All that was ever logged; waits until no process is left that could log more, so the program must have ended, and
    /// all that it started.
    pub fn log_to_the_end(&self) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.log(),
                Err(RecvTimeoutError::Timeout) => panic!("a process was left behind:\n{}", self.log()),
            }
        }
    }

    /// All that was logged so far.
    pub fn log(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of `data` in a folder of its own.
pub struct Server {
    pub program: Program,
    pub address: SocketAddr,
    pub folder: TempDir,
}

impl Server {
    /// Starts a server on a file that is not there yet.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), arguments)
    }

    /// Starts a server on a file with `content`.
    pub fn serving(content: impl AsRef<[u8]>) -> Self {
        Self::with(content, &[])
    }

    /// Starts a server on a file of [`BIG`] bytes.
    pub fn of_a_big_file(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let file = File::create(folder.path().join("data")).unwrap();
        file.write_all_at(b"\n", BIG - 1).unwrap();
        Self::start_in(folder, arguments)
    }

    /// The same with more arguments.
    pub fn with(content: impl AsRef<[u8]>, arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("data"), content).unwrap();
        Self::start_in(folder, arguments)
    }

    pub fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let mut command = echo(folder.path());
        command.args(arguments);
        Self::start_by(&mut command, folder)
    }

    /// Starts a server by `command`, which lacks nothing but where to listen, and whose working directory is `folder`.
    pub fn start_by(command: &mut Command, folder: TempDir) -> Self {
        // As a variable, since options have no place after a COMMAND.
        let program = Program::start(command.env("ECHO_LISTEN", "127.0.0.1:0"));
        let line = program.wait_for_log("listening on http://");
        // In JSON the address ends with a quote.
        let address = line.rsplit("http://").next().unwrap().split('"').next().unwrap().parse().unwrap();
        Self { program, address, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("data")
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

/// The program, with `folder` as its working directory and nothing of our environment.
pub fn echo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.current_dir(folder).env_clear();
    command
}

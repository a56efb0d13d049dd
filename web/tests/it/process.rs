//! The program under test, and others, as child processes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives it up. Only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `condition` holds. What can be awaited otherwise should be.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose log is collected; killed when dropped.
pub struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts `command`, which must log to stderr.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                all.lock().unwrap().extend([&*line, "\n"]);
            }
        });
        Self { child, log }
    }

    /// Waits for a line of the log that contains `text`, unless it is there already.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "{text:?} was not logged:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
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

/// A running server.
pub struct Web {
    pub program: Program,
    pub address: SocketAddr,
}

impl Web {
    /// Starts a server by `command`, which lacks nothing but where to listen.
    pub fn start(command: &mut Command) -> Self {
        let (program, address) = listening(command.env("WEB_LISTEN", "127.0.0.1:0"));
        Self { program, address }
    }
}

/// Starts a server, and waits until it says where it listens.
pub fn listening(command: &mut Command) -> (Program, SocketAddr) {
    let program = Program::start(command);
    let line = program.logged("listening on http://");
    // In JSON the address ends with a quote.
    let address = line.rsplit("http://").next().unwrap().split('"').next().unwrap().parse().unwrap();
    (program, address)
}

/// The program, with nothing of our environment.
pub fn web() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_web"));
    command.env_clear();
    command
}

/// Runs the program, which must end by itself at once; returns its status, and what it said on both streams.
pub fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

impl Program {
    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

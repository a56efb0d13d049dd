//! The generator as its users have it: the real binary in a folder of its own, killed when the test lets go of it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, kill_process, prlimit};
use tempfile::TempDir;

/// Enough for the slowest machine; a test that passes never waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// The user that has no rights, `nobody`, whom tests become where root would be refused nothing.
const NOBODY: u32 = 65534;

/// Waits until `condition` holds; `what` names what never came.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A folder in which the generators of one test run.
pub struct Folder {
    path: PathBuf,
    /// Removes the folder when the test ends.
    _guard: Option<TempDir>,
}

impl Folder {
    pub fn new() -> Self {
        // Others may look into it: some tests run the generator as another user.
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        Self { path: dir.path().to_owned(), _guard: Some(dir) }
    }

    /// A folder that exists already, and that somebody else removes.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _guard: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A generator in this folder, so that it writes `data`; `arguments` are separated by blanks.
    pub fn generator(&self, arguments: &str) -> Command {
        self.command(env!("CARGO_BIN_EXE_generator"), arguments)
    }

    /// The same as a user who does not own this folder, unless the tests are not run by root: then that user does.
    pub fn generator_of_ordinary_user(&self, arguments: &str) -> Command {
        if !geteuid().is_root() {
            return self.generator(arguments);
        }
        // The build folder may be closed to others. `cp` copies because a program that this process, full of threads
        // that spawn, had open for writing itself might still be open in one of their children, and so not start.
        let program = self.path("generator");
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_generator")).arg(&program).status().unwrap().success());
        let mut command = self.command(program, arguments);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    /// A shell in which `$0` is a generator as [`Folder::generator`] makes it, and `$@` its arguments.
    pub fn shell(&self, script: &str, arguments: &str) -> Command {
        let mut shell = self.command("sh", "");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_generator")]).args(arguments.split_whitespace());
        shell
    }

    fn command(&self, program: impl AsRef<OsStr>, arguments: &str) -> Command {
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace()).current_dir(&self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GENERATOR_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub fn start(&self, arguments: &str) -> Process {
        Process::start(&mut self.generator(arguments))
    }

    /// Starts a generator on what is, to it, a full disk: the write that would take a file past `bytes` is short, and
    /// the next one fails. Needs no privilege; [`Process::limit_files`] ends it.
    pub fn start_with_room(&self, bytes: u64, arguments: &str) -> Process {
        // The shell waits for the end of its input, so that the limit stands before the first write.
        let mut shell = self.shell(r#"read -r _; exec "$0" "$@""#, arguments);
        let mut process = Process::start(shell.stdin(Stdio::piped()));
        process.limit_files(Some(bytes));
        drop(process.child.stdin.take());
        process
    }

    pub fn run(&self, arguments: &str) -> Ended {
        self.start(arguments).wait()
    }

    /// What stands in the file; nothing if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// How many complete lines stand in the file.
    pub fn lines(&self, name: &str) -> usize {
        self.read(name).matches('\n').count()
    }

    /// The length of the file in bytes; 0 if there is none.
    pub fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |metadata| metadata.len())
    }

    pub fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().ino()
    }

    /// How many lines `generator verify` finds in the file; it must find all of them right for the seed 42.
    #[track_caller]
    pub fn right_lines(&self, name: &str) -> usize {
        let said = self.run(&format!("verify --seed 42 {name}")).succeeded();
        said.split_once(' ').and_then(|(lines, _)| lines.parse().ok()).expect("verify says how many lines are right")
    }

    /// The first lines of the sequence of the seed 42, as the generator writes them.
    pub fn sequence(&self, lines: usize) -> Vec<String> {
        self.run(&format!("--file sequence --seed 42 --interval 0s --count {lines}")).succeeded();
        let sequence = self.read("sequence");
        fs::remove_file(self.path("sequence")).unwrap();
        sequence.split_inclusive('\n').map(str::to_owned).collect()
    }
}

/// A running program.
pub struct Process {
    child: Child,
    stdout: Collected,
    /// `None` if the test reads it, or nobody.
    stderr: Option<Collected>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_log(command, Stdio::piped())
    }

    /// Starts it with `stderr`, which is collected if it is [`Stdio::piped`].
    pub fn start_with_log(command: &mut Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        command.stderr(Stdio::null()); // or `command` would hold the other end of a pipe open
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map(Collected::from);
        Self { child, stdout, stderr }
    }

    /// Lets no file grow past `bytes`; without a number, as far as it likes. Only the soft limit is set, so an ordinary
    /// user can lift it again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What the kernel tells of this process in the file `name`; nothing if it has ended.
    pub fn proc(&self, name: &str) -> String {
        fs::read_to_string(self.proc_path(name)).unwrap_or_default()
    }

    /// What the kernel tells of the descriptor with which this process has opened the file `path`: flags and position.
    pub fn descriptor(&self, path: &Path) -> Option<String> {
        let path = fs::canonicalize(path).unwrap();
        let mut open = fs::read_dir(self.proc_path("fd")).ok()?.filter_map(Result::ok);
        let descriptor = open.find(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path))?;
        Some(self.proc(&format!("fdinfo/{}", descriptor.file_name().display())))
    }

    fn proc_path(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }

    /// Whether it has come so far that SIGTERM does not simply kill it.
    pub fn catches_sigterm(&self) -> bool {
        let status = self.proc("status");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        self.stderr.as_ref().map(Collected::text).unwrap_or_default()
    }

    /// How often `words` stand in the log so far.
    pub fn logged(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        wait_until("the process ends", || !self.is_running());
        let code = self.child.wait().unwrap().code();
        Ended {
            code,
            stdout: self.stdout.whole(),
            stderr: self.stderr.as_ref().map(Collected::whole).unwrap_or_default(),
        }
    }

    /// Sends `signal` and waits for the end, which must come within a second.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> Ended {
        let asked = Instant::now();
        self.signal(signal);
        let ended = self.wait();
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "{signal:?} took {took:?}: {ended:?}");
        ended
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.child.id(), self.log());
        }
    }
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal killed it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Returns what it said on stdout; it must have exited with 0.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Returns the one line that it said on stderr; it must have exited with 1 and said nothing else.
    #[track_caller]
    pub fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!((self.stdout.as_str(), self.stderr.lines().count()), ("", 1), "{self:?}");
        self.stderr
    }
}

/// What a pipe has brought so far. A thread empties it, for a full pipe would stop its writer.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                collected.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All that the pipe brings before its writer is gone.
    fn whole(&self) -> String {
        wait_until("the pipe ends", || self.reader.is_finished());
        self.text()
    }
}

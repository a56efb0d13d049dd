//! Debian's Postgres in a temporary folder.

use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::process::{Web, eventually, web};

/// Where Debian has the server's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A server of databases; it ends when this is dropped, and with the tests, however those end.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    /// A shell that runs the server again and again, and ends it when nobody holds the shell's input any more.
    shell: Option<Child>,
}

/// A database of its own for a test.
pub struct Database {
    pub port: u16,
    pub name: String,
    /// The certificate of the server.
    pub certificate: PathBuf,
}

/// A new database of the server that the tests share; `None` where there can be none, which is said along with the name
/// of the test.
pub fn database() -> Option<Database> {
    static SHARED: LazyLock<Option<Postgres>> = LazyLock::new(Postgres::start);
    SHARED.as_ref().map(Postgres::database)
}

impl Postgres {
    /// Starts a server that nobody else uses; `None` where there can be none.
    pub fn start() -> Option<Self> {
        if !Path::new(PROGRAMS).is_dir() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            assert!(std::env::var_os("CI").is_none(), "there is no {PROGRAMS}");
            let _ = writeln!(stderr(), "skipped: {test}: there is no {PROGRAMS}");
            return None;
        }
        let folder = TempDir::new().unwrap();
        // For the certificate, which everybody may read.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if geteuid().is_root() {
            // Postgres refuses to run as root.
            let (uid, gid) = user("postgres");
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let options = ["-U", "web", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C", "-D"];
        let made = as_user(&program("initdb")).args(options).arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // One user needs a password.
        let rules = folder.path().join("data/pg_hba.conf");
        let others = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("host all guarded all scram-sha-256\n{others}")).unwrap();
        certify(folder.path());
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = Self { folder, port, shell: None };
        postgres.run();
        Some(postgres)
    }

    /// Starts the server, and waits until it takes connections.
    pub fn run(&mut self) {
        let script = "(while :; do \"$@\"; sleep 0.1; done) & loop=$!
            cat >/dev/null; kill $loop; server=$(head -n 1 \"$3/postmaster.pid\") || exit
            kill -QUIT $server; while kill -0 $server; do sleep 0.02; done";
        let mut command = as_user(Path::new("/bin/sh"));
        command.args(["-c", script, "sh"]).arg(program("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]);
        for (setting, name) in [("ssl_cert_file", "certificate.pem"), ("ssl_key_file", "key.pem")] {
            command.args(["-c", &format!("{setting}={}", self.folder.path().join(name).display())]);
        }
        command.args(["-c", "ssl=on", "-c", "log_statement=none", "-c", "shared_buffers=64MB"]);
        let log = fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        self.shell = Some(command.spawn().unwrap());
        eventually("Postgres takes connections", || psql(self.port, "postgres", "SELECT 1").is_ok());
    }

    /// Ends the server, until it is run again.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Kills the first process of the server, after which it is started again.
    pub fn crash(&self) {
        let _ = kill_process(self.postmaster(), Signal::KILL);
    }

    /// The first process of the server.
    fn postmaster(&self) -> Pid {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap()
    }

    /// A new database.
    pub fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        psql(self.port, "postgres", &format!("CREATE DATABASE {name}")).unwrap();
        Database { port: self.port, name, certificate: self.folder.path().join("certificate.pem") }
    }
}

/// Makes a certificate for this machine, and its key.
fn certify(folder: &Path) {
    let mut command = as_user(Path::new("openssl"));
    command
        .current_dir(folder)
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '));
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "certificate.pem"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Database {
    /// The program, told where this database is.
    pub fn web(&self) -> Command {
        self.web_through(self.port)
    }

    /// The same, through another port.
    pub fn web_through(&self, port: u16) -> Command {
        let mut command = web();
        command.env("db_host", "127.0.0.1").env("db_port", port.to_string());
        command.env("db_user", "web").env("db_name", &self.name);
        command
    }

    /// A running server of this database, which it has found already.
    pub fn serve(&self) -> Web {
        let server = Web::start(&mut self.web());
        server.program.logged("the database is there");
        server
    }

    /// What a statement gives: a line a row, with bars between its values.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        psql(self.port, &self.name, statement).unwrap()
    }

    /// The same, where it may fail.
    pub fn try_sql(&self, statement: &str) -> Result<String, String> {
        psql(self.port, &self.name, statement)
    }

    /// The numbers of rows of `lines`.
    pub fn count(&self) -> u64 {
        self.sql("SELECT count(*) FROM lines").parse().unwrap()
    }
}

fn psql(port: u16, database: &str, statement: &str) -> Result<String, String> {
    let mut command = Command::new(program("psql"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "web", "-d", database]);
    let output = command.args(["--no-psqlrc", "-qAtc", statement]).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned())
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}

/// A command that root runs as the user `postgres`, and others as themselves.
fn as_user(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

fn user(name: &str) -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    (number(), number())
}

/// A session that lasts.
pub struct Session {
    psql: Child,
    answers: BufReader<ChildStdout>,
}

impl Database {
    pub fn session(&self) -> Session {
        let mut command = Command::new(program("psql"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "web", "-d", &self.name]);
        command.args(["--no-psqlrc", "-qAt"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = command.spawn().unwrap();
        let answers = BufReader::new(psql.stdout.take().unwrap());
        Session { psql, answers }
    }
}

impl Session {
    /// Runs statements that give no rows, and waits until they are done.
    pub fn run(&mut self, statements: &str) {
        writeln!(self.psql.stdin.as_mut().unwrap(), "{statements} SELECT 'done';").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

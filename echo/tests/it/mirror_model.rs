//! Random actions on an upstream, on the link to it and on the mirror, against a model that remembers every file there was.
//!
//! At every step, what the mirror holds and what it serves is a prefix of one of them; once the link is sound again, it is
//! all lines of the present one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::get;
use crate::process::{Server, eventually};
use crate::upstream::{Fault, Link, Scripted};

#[derive(Debug, Clone)]
enum Action {
    /// Lines, the last one maybe torn.
    Append(String),
    /// So many lines at once.
    AppendMany(usize),
    /// The file is emptied in place.
    Empty,
    /// Another file takes the place.
    Rotate(String),
    /// The link is cut, or somebody else answers, until the next action.
    Break(Fault),
    /// The mirror is killed and started again; maybe it has lost its folder.
    Restart { is_empty: bool },
    /// Waits until the mirror has caught up, over a sound link.
    Settle,
}

fn lines() -> impl Strategy<Value = String> {
    "([0-9]{1,5}\n){0,4}[0-9]{0,3}"
}

fn fault() -> impl Strategy<Value = Fault> {
    let said = |text: &'static str| Just(Fault::Impostor(text.replace('\n', "\r\n").into_bytes()));
    prop_oneof![
        Just(Fault::Refuse),
        (0usize..2000).prop_map(Fault::CutAfter),
        (200usize..100_000).prop_map(Fault::CutAfter),
        said("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 3\n\nhi\n"),
        said("HTTP/1.1 503 Service Unavailable\nContent-Length: 0\n\n"),
        said("HTTP/1.1 200 OK\nStream-Next-Offset: 00000000000000aa_00000000000000000003\nContent-Length: 9\n\nx\n"),
        said("HTTP/1.1 416 Range Not Satisfiable\nContent-Range: bytes */99999999\nContent-Length: 0\n\n"),
        said("garbage\n\n"),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => lines().prop_map(Action::Append),
        2 => (1usize..30_000).prop_map(Action::AppendMany),
        1 => Just(Action::Empty),
        2 => lines().prop_map(Action::Rotate),
        4 => fault().prop_map(Action::Break),
        2 => any::<bool>().prop_map(|is_empty| Action::Restart { is_empty }),
        3 => Just(Action::Settle),
    ]
}

struct World {
    file: PathBuf,
    /// All that ever was in the upstream's file, a file each; the last one is the present one.
    files: Vec<Vec<u8>>,
    link: Link,
    mirror: Option<Server>,
}

impl World {
    fn new(file: PathBuf, link: Link) -> Self {
        fs::write(&file, "").unwrap();
        let mirror = Some(Server::start(&["--upstream", &link.url()]));
        Self { file, files: vec![Vec::new()], link, mirror }
    }

    fn mirror(&self) -> &Server {
        self.mirror.as_ref().unwrap()
    }

    fn append(&mut self, lines: &[u8]) {
        // No two files begin alike, as no two runs of a generator do.
        let unique = format!("file {}\n", self.files.len());
        let present = self.files.last_mut().unwrap();
        let lines = if present.is_empty() { [unique.as_bytes(), lines].concat() } else { lines.to_vec() };
        // The model first: the mirror may be quicker than we are.
        present.extend_from_slice(&lines);
        OpenOptions::new().append(true).open(&self.file).unwrap().write_all(&lines).unwrap();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Append(lines) => self.append(lines.as_bytes()),
            Action::AppendMany(count) => self.append("a line that is one of many\n".repeat(count).as_bytes()),
            Action::Empty => {
                self.files.push(Vec::new());
                OpenOptions::new().write(true).truncate(true).open(&self.file).unwrap();
            }
            Action::Rotate(lines) => {
                let new = self.file.with_extension("new");
                fs::write(&new, "").unwrap();
                fs::rename(&new, &self.file).unwrap();
                self.files.push(Vec::new());
                self.append(lines.as_bytes());
            }
            Action::Break(fault) => self.link.become_faulty(fault),
            Action::Restart { is_empty } => {
                let mut mirror = self.mirror.take().unwrap();
                mirror.program.signal(Signal::KILL);
                mirror.program.ended();
                let folder = if is_empty { TempDir::new().unwrap() } else { mirror.folder };
                self.mirror = Some(Server::start_in(folder, &["--upstream", &self.link.url()]));
            }
            Action::Settle => self.settle(),
        }
        self.check();
    }

    /// What the mirror holds and what it serves is the beginning of a file that there was.
    fn check(&self) {
        let held = fs::read(self.mirror().file()).unwrap_or_default();
        let served = get(self.mirror().address, "/data");
        let served = if served.status == 200 { served.body } else { Vec::new() };
        for bytes in [&held, &served] {
            let is_known = self.files.iter().any(|file| file.starts_with(bytes));
            assert!(is_known, "never was at the upstream: {:?}", String::from_utf8_lossy(bytes));
        }
    }

    fn settle(&self) {
        self.link.become_faulty(Fault::None);
        let present = self.files.last().unwrap();
        let whole = present.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        eventually("the mirror has caught up", || {
            self.check();
            fs::read(self.mirror().file()).is_ok_and(|held| held == present[..whole])
        });
    }
}

fn run(cases: u32, actions: usize, upstream: impl Fn(PathBuf) -> (Link, Option<Server>)) {
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    let done = runner.run(&prop::collection::vec(action(), 1..actions), |actions| {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("data");
        let (link, _upstream) = upstream(file.clone());
        let mut world = World::new(file, link);
        for action in actions {
            world.act(action);
        }
        world.settle();
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_mirror_of_an_echo_agrees_with_the_model() {
    run(8, 25, |file| {
        let folder = TempDir::new().unwrap();
        let server = Server::start_in(folder, &["--file", file.to_str().unwrap()]);
        (Link::to(server.address), Some(server))
    });
}

#[test]
fn a_mirror_of_a_plain_server_agrees_with_the_model() {
    run(4, 12, |file| (Link::to(Scripted::plain(file).address), None));
}

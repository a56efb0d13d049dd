//! Random actions on the file, and random requests, against a model that holds the file in memory.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::string::string_regex;

use crate::client::{Answer, Client};
use crate::process::Server;

/// How much of a first line names a file.
const FIRST_LINE: usize = 4096;

/// What may happen next. Places are picked when it does, so that all of a shortened list still means something.
#[derive(Debug, Clone)]
enum Action {
    /// Lines, the last one maybe torn, that maybe finish a torn one.
    Append(String),
    /// A line of so many bytes more.
    AppendLong(usize),
    Truncate(Index),
    Empty,
    /// Another file takes the place.
    Replace(String),
    ReplaceByTheSame,
    Delete,
    /// As many bytes as there are, over and over the given ones.
    Rewrite(String),
    /// Nothing but the time of the last write changes.
    SetTime {
        seconds_ago: i64,
    },
    Ask(Request),
}

#[derive(Debug, Clone)]
struct Request {
    method: &'static str,
    range: Option<Wanted>,
    conditions: Vec<(Condition, Index)>,
}

/// Positions are picked from a little more than there is.
#[derive(Debug, Clone)]
enum Wanted {
    From(Index),
    FromTo(Index, Index),
    Suffix(Index),
    /// To be answered with the whole.
    Ignored(&'static str),
}

/// A condition on one of the tags seen before, the current one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::enum_variant_names, reason = "they are the names of the headers")]
enum Condition {
    IfMatch,
    IfNoneMatch,
    IfRange,
}

use Condition::{IfMatch, IfNoneMatch, IfRange};

impl Condition {
    fn header(self) -> &'static str {
        match self {
            IfMatch => "If-Match",
            IfNoneMatch => "If-None-Match",
            IfRange => "If-Range",
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    // Few letters, so that often the same is written again.
    let text = || string_regex("([ab]{0,3}\n){0,3}[ab]{0,3}").unwrap();
    let wanted = prop_oneof![
        any::<Index>().prop_map(Wanted::From),
        any::<(Index, Index)>().prop_map(|(first, last)| Wanted::FromTo(first, last)),
        any::<Index>().prop_map(Wanted::Suffix),
        prop::sample::select(vec!["lines=0-1", "bytes=0-0,1-1", "bytes=-", "bytes=2-1", "0-1"])
            .prop_map(Wanted::Ignored),
    ];
    let condition = prop::sample::select(vec![IfMatch, IfNoneMatch, IfRange]);
    let request = (
        prop::sample::select(vec!["GET", "GET", "HEAD"]),
        prop::option::of(wanted),
        prop::collection::vec((condition, any::<Index>()), 0..3),
    );
    let ask = request.prop_map(|(method, range, conditions)| Action::Ask(Request { method, range, conditions }));
    prop_oneof![
        15 => ask,
        5 => text().prop_map(Action::Append),
        1 => (1..100_000_usize).prop_map(Action::AppendLong),
        2 => any::<Index>().prop_map(Action::Truncate),
        1 => Just(Action::Empty),
        2 => text().prop_map(Action::Replace),
        1 => Just(Action::ReplaceByTheSame),
        1 => Just(Action::Delete),
        2 => string_regex("[ab]{0,3}\n[ab\n]{0,3}").unwrap().prop_map(Action::Rewrite),
        1 => (-9..9_i64).prop_map(|seconds_ago| Action::SetTime { seconds_ago }),
    ]
}

/// What tells states of the file apart, as far as anyone can: which file it is, its first line and its length. (What is
/// rewritten in place with the same first line can't be told from what it was; the contract says so.)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    /// No complete line, in whichever file.
    Empty,
    Lines {
        file: usize,
        first: Vec<u8>,
        length: usize,
    },
}

/// The file as it should be seen, beside the real one.
struct Model {
    server: Server,
    client: Client,
    /// All the bytes, if there is a file.
    content: Option<Vec<u8>>,
    /// How many files there were before this one.
    file: usize,
    /// The former files, kept so that no new one gets the inode number of an old one within a tick of the clock.
    buried: Vec<File>,
    /// The tags seen, and what they name; in the order in which they came.
    tags: Vec<(String, State)>,
    tag_of: HashMap<State, String>,
}

impl Model {
    fn new() -> Self {
        let server = Server::start(&[]);
        let client = Client::connect(server.address);
        let tags = vec![("\"never\"".to_owned(), State::Lines { file: usize::MAX, first: Vec::new(), length: 0 })];
        Self { server, client, content: None, file: 0, buried: Vec::new(), tags, tag_of: HashMap::new() }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Append(text) => self.append(text.as_bytes()),
            Action::AppendLong(length) => {
                let mut line = vec![b'c'; length];
                line[length - 1] = b'\n';
                self.append(&line);
            }
            Action::Truncate(length) => self.truncate(|content| length.index(content.len() + 1)),
            Action::Empty => self.truncate(|_| 0),
            Action::Replace(text) => self.replace(text.into_bytes()),
            Action::ReplaceByTheSame => self.replace(self.content.clone().unwrap_or_default()),
            Action::Delete => {
                self.bury();
                let _ = fs::remove_file(self.server.file());
                self.content = None;
            }
            Action::Rewrite(text) => {
                if let (Some(file), Some(content)) = (self.open(), &mut self.content) {
                    *content = text.bytes().cycle().take(content.len()).collect();
                    file.write_all_at(content, 0).unwrap();
                }
            }
            Action::SetTime { seconds_ago } => {
                if let Some(file) = self.open() {
                    let magnitude = Duration::from_secs(seconds_ago.unsigned_abs());
                    let now = SystemTime::now();
                    file.set_modified(if seconds_ago < 0 { now + magnitude } else { now - magnitude }).unwrap();
                }
            }
            Action::Ask(request) => self.ask(&request),
        }
    }

    fn open(&self) -> Option<File> {
        OpenOptions::new().write(true).open(self.server.file()).ok()
    }

    fn append(&mut self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.server.file()).unwrap();
        file.write_all(bytes).unwrap();
        self.content.get_or_insert_default().extend_from_slice(bytes);
    }

    fn truncate(&mut self, to: impl FnOnce(&[u8]) -> usize) {
        if let (Some(file), Some(content)) = (self.open(), &mut self.content) {
            content.truncate(to(content));
            file.set_len(content.len() as u64).unwrap();
        }
    }

    fn replace(&mut self, content: Vec<u8>) {
        self.bury();
        self.server.replace(&content);
        self.content = Some(content);
    }

    fn bury(&mut self) {
        self.buried.extend(File::open(self.server.file()));
        self.file += 1;
    }

    /// The bytes to be seen.
    fn visible(&self) -> &[u8] {
        let content = self.content.as_deref().unwrap_or_default();
        &content[..content.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)]
    }

    fn state(&self) -> State {
        match self.visible().split_inclusive(|&byte| byte == b'\n').next() {
            None => State::Empty,
            Some(first) => State::Lines {
                file: self.file,
                first: first[..first.len().min(FIRST_LINE)].to_vec(),
                length: self.visible().len(),
            },
        }
    }

    /// Makes a request and checks the answer.
    fn ask(&mut self, request: &Request) {
        let (range, meant) = match &request.range {
            Some(wanted) => wanted.resolve(self.visible().len()),
            None => (None, Meant::Whole),
        };
        let (mut headers, mut holds) = (Vec::from_iter(range), HashMap::new());
        for (condition, tag) in &request.conditions {
            let (tag, state) = &self.tags[tag.index(self.tags.len())];
            // Each condition stands once; other tests try the rest.
            holds.entry(*condition).or_insert_with(|| {
                headers.push(format!("{}: {tag}", condition.header()));
                *state == self.state()
            });
        }
        let whole = 0..self.visible().len();
        let expected = match meant {
            _ if self.content.is_none() => (503, 0..0),
            _ if holds.get(&IfMatch) == Some(&false) => (412, 0..0),
            _ if holds.get(&IfNoneMatch) == Some(&true) => (304, 0..0),
            _ if request.method == "HEAD" || holds.get(&IfRange) == Some(&false) => (200, whole),
            Meant::Part(range) => (206, range),
            Meant::Nothing => (416, 0..0),
            Meant::Whole => (200, whole),
        };
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = self.client.request(request.method, "/data", &headers);
        self.check(request.method, &answer, expected);
    }

    fn check(&mut self, method: &str, answer: &Answer, (status, range): (u16, Range<usize>)) {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.cut_short, "{answer:?}");
        if let 200 | 206 | 416 = status {
            assert_eq!(answer.the("content-length"), range.len().to_string());
            let body = if method == "HEAD" { &[] } else { &self.visible()[range.clone()] };
            assert!(answer.body == body, "{answer:?}");
        }
        let length = self.visible().len();
        let content_range = match status {
            206 => Some(format!("bytes {}-{}/{length}", range.start, range.end - 1)),
            416 => Some(format!("bytes */{length}")),
            _ => None,
        };
        assert_eq!(answer.header("content-range"), content_range.as_deref());
        if let 200 | 206 | 304 = status {
            self.check_tag(answer.the("etag"));
            self.check_date(answer);
        }
        if status == 200 {
            let (_, position) = answer.the("stream-next-offset").split_once('_').unwrap();
            assert_eq!(position.parse(), Ok(length));
        }
    }

    /// A tag names one state, and a state has one tag.
    fn check_tag(&mut self, tag: &str) {
        let state = self.state();
        if let Some(known) = self.tag_of.get(&state) {
            assert_eq!(tag, known, "the same state has the same tag: {state:?}");
        } else {
            let other = self.tags.iter().find(|(seen, _)| seen == tag);
            assert_eq!(other, None, "another state has another tag: {state:?}");
            self.tags.push((tag.to_owned(), state.clone()));
            self.tag_of.insert(state, tag.to_owned());
        }
    }

    fn check_date(&self, answer: &Answer) {
        let modified = fs::metadata(self.server.file()).unwrap().modified().unwrap();
        let date = answer.date("date");
        // By the second, as HTTP has it. The answer was made before now.
        let shown = answer.the("last-modified");
        assert!(shown == fmt_http_date(modified) || modified > date, "{shown}, {modified:?}");
        assert!(answer.date("last-modified") > UNIX_EPOCH);
    }
}

/// What a range comes to.
enum Meant {
    Whole,
    Part(Range<usize>),
    Nothing,
}

impl Wanted {
    /// The header, and what it means for a file of this length.
    fn resolve(&self, length: usize) -> (Option<String>, Meant) {
        let place = |index: &Index| index.index(length + 3);
        let (header, range) = match self {
            Self::From(first) => (format!("Range: bytes={}-", place(first)), place(first)..length),
            Self::FromTo(a, b) => {
                let (first, last) = (place(a).min(place(b)), place(a).max(place(b)));
                (format!("Range: bytes={first}-{last}"), first..length.min(last + 1))
            }
            Self::Suffix(n) => (format!("Range: bytes=-{}", place(n)), length - length.min(place(n))..length),
            Self::Ignored(header) => return (Some(format!("Range: {header}")), Meant::Whole),
        };
        (Some(header), if range.is_empty() { Meant::Nothing } else { Meant::Part(range) })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_served_is_what_a_model_of_the_file_holds(actions in prop::collection::vec(action(), 1..500)) {
        let mut model = Model::new();
        for action in actions {
            model.act(action);
        }
    }
}

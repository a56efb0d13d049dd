//! Upstreams that tests have in hand: a server that says what it is told, and a link that can be cut.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// A server whose answers are made by a function from the head of each request. After an empty one, and one of HTTP/1.0,
/// the connection is closed.
pub struct Scripted {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Scripted {
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || converse(stream, &seen, &*answer));
            }
        });
        Self { address, seen }
    }

    /// A server like nginx: it knows ranges and tags, and nothing of offsets. `file` is looked at for every request.
    pub fn plain(file: PathBuf) -> Self {
        Self::start(move |head| plain(head, fs::read(&file).ok()))
    }

    pub fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(_, head)| head.clone()).collect()
    }

    /// When they came.
    pub fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().iter().map(|(time, _)| *time).collect()
    }
}

/// Answers one request after another. An error is the end of the connection, whoever made it.
fn converse(mut stream: TcpStream, seen: &Mutex<Vec<(Instant, String)>>, answer: &dyn Fn(&str) -> Vec<u8>) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(received.drain(..end + 4).collect()).unwrap();
            let answer = answer(&head);
            seen.lock().unwrap().push((Instant::now(), head));
            let is_last = answer.is_empty() || answer.starts_with(b"HTTP/1.0");
            if stream.write_all(&answer).is_err() || is_last {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The value of a header in the head of a request.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// An answer with a body, and the right length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let headers = headers.replace('\n', "\r\n");
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The same answer, with its body in chunks of so many bytes.
pub fn chunked(answer: &[u8], size: usize) -> Vec<u8> {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = answer.split_at(body);
    if body.is_empty() {
        return answer.to_vec();
    }
    let head = String::from_utf8(head.to_vec()).unwrap();
    let length = format!("Content-Length: {}", body.len());
    let mut chunked = head.replace(&length, "Transfer-Encoding: chunked").into_bytes();
    for piece in body.chunks(size) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
    }
    chunked.extend(b"0\r\n\r\n");
    chunked
}

/// The answer of a server that knows ranges and tags, and has `content`, if it has any.
pub fn plain(head: &str, content: Option<Vec<u8>>) -> Vec<u8> {
    let Some(content) = content else { return answer("404 Not Found", "", b"") };
    let length = content.len();
    let tag =
        format!("\"{length:x}-{:x}\"", content.iter().fold(0_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(*byte)));
    if header(head, "if-none-match") == Some(&tag) {
        return format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n").into_bytes();
    }
    let Some(range) = header(head, "range").and_then(|range| range.strip_prefix("bytes=")) else {
        return answer("200 OK", &format!("Accept-Ranges: bytes\nETag: {tag}\n"), &content);
    };
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(length, |last: usize| length.min(last + 1));
    if first >= length {
        return answer("416 Range Not Satisfiable", &format!("Content-Range: bytes */{length}\n"), b"");
    }
    let headers = format!("ETag: {tag}\nContent-Range: bytes {first}-{}/{length}\n", end - 1);
    answer("206 Partial Content", &headers, &content[first..end])
}

/// What a link does with the connections through it.
#[derive(Debug, Clone)]
pub enum Fault {
    None,
    /// They end at once.
    Refuse,
    /// They end after so many bytes from the server.
    CutAfter(usize),
    /// They are answered by somebody else.
    Impostor(Vec<u8>),
}

/// A link to a server.
pub struct Link {
    pub address: SocketAddr,
    state: Arc<Mutex<(Fault, Vec<TcpStream>)>>,
}

impl Link {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((Fault::None, Vec::new())));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut shared = shared.lock().unwrap();
                let fault = shared.0.clone();
                shared.1.push(client.try_clone().unwrap());
                drop(shared);
                thread::spawn(move || pass(client, server, &fault));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }

    /// Ends all connections; those that come are treated by `fault`.
    pub fn become_faulty(&self, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.0 = fault;
        for connection in state.1.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut client: TcpStream, server: SocketAddr, fault: &Fault) {
    let limit = match fault {
        Fault::Refuse => return,
        Fault::Impostor(answer) => {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer);
            return;
        }
        Fault::CutAfter(bytes) => *bytes as u64,
        Fault::None => u64::MAX,
    };
    let Ok(mut server) = TcpStream::connect(server) else { return };
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut left = limit;
    let mut buffer = [0; 4096];
    while left > 0 {
        let length = match server.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => (length as u64).min(left) as usize,
        };
        if client.write_all(&buffer[..length]).is_err() {
            break;
        }
        left -= length as u64;
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

//! A client that hides nothing of an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::process::PATIENCE;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the connection was closed before the end that the head announces.
    pub cut_short: bool,
}

impl Answer {
    /// The value of a header that came at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} came twice");
        value
    }

    /// The value of a header that must be there.
    #[track_caller]
    pub fn the(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request on a connection of its own, which ends with the answer.
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = connect(address);
    stream.write_all(head(method, target, headers).as_bytes()).unwrap();
    let _ = stream.write_all(body); // which the server may not want
    receive(stream, method == "HEAD")
}

pub fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, "GET", target, &[], b"")
}

/// Sends `line` to be stored, as JSON that this makes of it.
pub fn write(address: SocketAddr, line: &str) -> Answer {
    post(address, serde_json::json!({ "data": line }).to_string())
}

pub fn post(address: SocketAddr, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    request(address, "POST", "/write", &[&format!("Content-Length: {}", body.len())], body)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The head of a request whose answer ends the connection.
pub fn head(method: &str, target: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n")
}

/// Receives an answer, and all that follows until the connection is closed.
pub fn receive(mut stream: TcpStream, is_head: bool) -> Answer {
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received); // a reset is an end, too
    let end = received.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no whole head: {:?}", String::from_utf8_lossy(&received)));
    let body = received.split_off(end + 4);
    let head = String::from_utf8(received).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    };
    let mut answer = Answer { status, headers: lines.map(header).collect(), body, cut_short: false };
    if answer.header("transfer-encoding") == Some("chunked") {
        let (body, is_whole) = unchunk(&answer.body);
        answer.cut_short = !is_whole && !is_head;
        answer.body = body;
    } else if let Some(length) = answer.header("content-length") {
        answer.cut_short = answer.body.len() < length.parse().unwrap() && !is_head;
    }
    answer
}

/// What the chunks hold, and whether the last of them came.
fn unchunk(mut chunks: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        let chunk = &chunks[end + 2..];
        body.extend_from_slice(&chunk[..length.min(chunk.len())]);
        chunks = chunk.get(length + 2..).unwrap_or_default();
    }
    (body, false)
}

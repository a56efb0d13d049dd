//! A client that sends what it is told, byte by byte, and hides nothing of the answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::SystemTime;

use crate::process::PATIENCE;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the connection was closed before the body had the announced length.
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

    /// The value of a header that must be there, and a date.
    #[track_caller]
    pub fn date(&self, name: &str) -> SystemTime {
        httpdate::parse_http_date(self.the(name)).unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A connection that is kept open between requests.
pub struct Client {
    stream: TcpStream,
    /// Bytes received and not yet consumed.
    received: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// A connection with an answer under way, whose head is returned: the body is [`crate::process::BIG`], and left where it is.
    pub fn with_an_answer_under_way(address: SocketAddr) -> (Self, Answer) {
        let mut client = Self::connect(address);
        client.send(head("GET", "/data", &[]));
        let answer = client.answer_head();
        assert_eq!(answer.status, 200);
        (client, answer)
    }

    /// The socket itself, for what a well-behaved client does not do.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with a `Host` and the given header lines (`Name: value`), and receives the answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str]) -> Answer {
        self.send(head(method, path, headers));
        self.answer(method == "HEAD")
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    /// Receives the head of an answer: status and headers.
    pub fn answer_head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(
                self.receive() > 0,
                "closed before the end of a head: {:?}",
                String::from_utf8_lossy(&self.received)
            );
        };
        let head = String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        Answer { status, headers: lines.map(header).collect(), body: Vec::new(), cut_short: false }
    }

    /// Receives an answer whose body has an announced length, or none.
    pub fn answer(&mut self, is_head: bool) -> Answer {
        let mut answer = self.answer_head();
        if !is_head && answer.status != 304 && answer.status != 204 {
            self.answer_body(&mut answer);
        }
        answer
    }

    /// Receives the body that the head in `answer` announces.
    pub fn answer_body(&mut self, answer: &mut Answer) {
        let length = answer.the("content-length").parse().unwrap();
        while self.received.len() < length {
            if self.receive() == 0 {
                answer.cut_short = true;
                break;
            }
        }
        let length = length.min(self.received.len());
        let rest = self.received.split_off(length);
        answer.body = std::mem::replace(&mut self.received, rest);
    }

    /// Receives the body of a live answer until what came of it contains `text`; returns all of that. The framing of
    /// chunks stands between: no text that is looked for may span two of them.
    pub fn until(&mut self, text: &str) -> String {
        while !String::from_utf8_lossy(&self.received).contains(text) {
            assert!(self.receive() > 0, "closed before {text:?}: {:?}", String::from_utf8_lossy(&self.received));
        }
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    /// Receives some bytes; none at the end of the connection. A reset is an end, too.
    pub fn receive(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        let received = match self.stream.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            received => received.unwrap(),
        };
        self.received.extend_from_slice(&buffer[..received]);
        received
    }

    /// Receives until the connection is closed; returns all that came.
    pub fn rest(mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        self.received
    }
}

/// The head of a request.
pub fn head(method: &str, path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

/// One request on a connection of its own.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    Client::connect(address).request(method, path, headers)
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[])
}

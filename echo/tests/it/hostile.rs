//! Clients that mean harm. What a single limit does is in `limits`; here is what they try together, and what lies at the
//! edge of HTTP itself.

use std::env;
use std::fs::read_dir;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write, stdin};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::{Client, get, head};
use crate::proc::field;
use crate::process::{Server, eventually};

/// What is smuggled in: if it is answered, with a status that nothing else here has.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends `bytes` and returns the statuses of all answers until the connection is closed. They are sent twice, because an
/// answer may be kept and given again.
#[track_caller]
fn statuses(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let [first, again] = [(); 2].map(|()| {
        let mut client = Client::connect(server.address);
        client.send(&bytes);
        let all = String::from_utf8_lossy(&client.rest()).into_owned();
        all.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
    });
    assert_eq!(first, again, "the second time");
    first
}

fn kilobytes(server: &Server) -> u64 {
    field(server.program.pid(), "status", "VmRSS").trim_end_matches(" kB").parse().unwrap()
}

fn open_files(server: &Server) -> usize {
    read_dir(format!("/proc/{}/fd", server.program.pid())).unwrap().count()
}

#[track_caller]
fn is_unharmed(server: &Server) {
    assert_eq!(get(server.address, "/healthz").status, 200);
    assert_eq!(get(server.address, "/data").text(), "1\n22\n333\n");
    let log = server.program.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

/// A request whose end two servers could see in different places is refused, and the connection closed: what stands behind
/// it is never taken for a request.
#[test]
fn no_request_is_smuggled_in_behind_another() {
    let server = Server::serving("1\n22\n333\n");
    for (headers, body, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked\r\nContent-Length: 500", "0\r\n\r\n", 405),
        ("Content-Length: 4\r\nContent-Length: 5", "abcd", 400),
        ("Content-Length: 4, 4", "abcd", 400),
        ("Content-Length: +4", "abcd", 400),
        ("Content-Length: -1", "", 400),
        ("Content-Length: 0x4", "abcd", 400),
        ("Content-Length: 4 4", "abcd", 400),
        ("Content-Length:", "", 400),
        ("Content-Length: 18446744073709551617", "a", 400),
        ("Transfer-Encoding: identity", "", 400),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: \u{b}chunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "0\r\n\r\n", 400),
        ("Transfer-Encoding : chunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "zz\r\nx\r\n0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked", "-1\r\nx\r\n0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked", "0x1\r\nx\r\n0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked", "1\r\nxyz0\r\n\r\n", 405),
        ("Transfer-Encoding: chunked", "1\nx\n0\n\n", 405),
        ("Transfer-Encoding: chunked", "fffffffffffffffff\r\nx\r\n0\r\n\r\n", 405),
    ] {
        let request = format!("POST /data HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}{SMUGGLED}");
        assert_eq!(statuses(&server, request), [status], "{headers:?} {body:?}");
    }
    is_unharmed(&server);
}

/// Nobody wants a body, so the connection ends with the answer, and what it holds is no request.
#[test]
fn a_body_is_no_request() {
    let server = Server::serving("1\n22\n333\n");
    let length = SMUGGLED.len();
    let end = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for method in ["GET", "HEAD"] {
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            format!("Transfer-Encoding: gzip, chunked\r\n\r\n{length:x};x=y\r\n{SMUGGLED}\r\n0\r\nX: y\r\n\r\n"),
        ] {
            let request = format!("{method} /data HTTP/1.1\r\nHost: a\r\n{framed}{end}");
            assert_eq!(statuses(&server, &request), [200], "{request}");
        }
    }
    is_unharmed(&server);
}

#[test]
fn a_malformed_head_is_refused_and_nothing_behind_it_is_read() {
    let server = Server::serving("1\n22\n333\n");
    let get_data = "GET /data HTTP/1.1\r\nHost: a\r\n";
    for request in [
        &format!("{get_data}X: a\r\n folded\r\n\r\n"),
        &format!("{get_data}X : a\r\n\r\n"),
        &format!("{get_data}nonsense\r\n\r\n"),
        &format!("{get_data}: a\r\n\r\n"),
        &format!("{get_data}X: a\0b\r\n\r\n"),
        &format!("{get_data}X: a\rY: b\r\n\r\n"),
        "GET /data HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
        "GET /data HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /data HTTP/1.1\rHost: a\r\r",
        "GET /data\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  /data HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /data HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /data HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /data HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET /data http/1.1\r\nHost: a\r\n\r\n",
        "GET /data\r\n\r\n",
        "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\"T /data HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(statuses(&server, format!("{request}{SMUGGLED}")), [400], "{request:?}");
    }
    assert_eq!(statuses(&server, "\r\n".repeat(20_000)), [431]);
    assert!(statuses(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").is_empty());
    is_unharmed(&server);
}

/// RFC 9112 §2.2 lets a server take a bare LF for the end of a line. Then it has to be one everywhere.
#[test]
fn a_bare_line_feed_ends_a_line_everywhere() {
    let server = Server::serving("1\n22\n333\n");
    assert_eq!(statuses(&server, "GET /data HTTP/1.1\nHost: a\nConnection: close\n\n"), [200]);
    let request = format!("GET /data HTTP/1.1\nHost: a\nContent-Length: {}\n\n{SMUGGLED}{SMUGGLED}", SMUGGLED.len());
    assert_eq!(statuses(&server, request), [200], "what follows is a body, and no request");
}

#[test]
fn a_host_that_can_be_none_is_refused() {
    let server = Server::serving("1\n22\n333\n");
    let with = |host: &[u8]| {
        let request = [b"GET /data HTTP/1.1\r\nConnection: close\r\nHost: ", host, b"\r\n\r\n"].concat();
        statuses(&server, request)
    };
    for host in ["a", "a.example:8000", "127.0.0.1:8000", "[::1]:8000", ""] {
        assert_eq!(with(host.as_bytes()), [200], "{host}");
    }
    for host in ["a b", "a/b", "../../etc", "http://a/", "[::1", "me@a", "a:b:c", "a?b", "a#b", "a\tb"] {
        assert_eq!(with(host.as_bytes()), [400], "{host}");
    }
    assert_eq!(with(b"\xff"), [400]);
}

#[test]
fn places_that_no_file_has_are_answered_and_not_looked_for() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    let generation = client.get("/data").the("stream-next-offset").split_once('_').unwrap().0.to_owned();
    let many = "0-1,".repeat(3000);
    for (range, status) in [
        ("bytes=18446744073709551615-", 416),
        ("bytes=18446744073709551616-18446744073709551617", 416),
        ("bytes=-18446744073709551616", 206),
        ("bytes=0-99999999999999999999999999999999999", 206),
        (&format!("bytes=0-{}", "9".repeat(10_000)), 206),
        (&format!("bytes={many}5-6"), 200),
        ("bytes=0-0,0-0,0-0", 200),
        ("bytes=9223372036854775807-9223372036854775808", 416),
    ] {
        let answer = client.request("GET", "/data", &[&format!("Range: {range}")]);
        assert_eq!(answer.status, status, "{range:.60}");
        assert!(answer.body.len() <= 9);
    }
    for (query, status) in [
        (&*format!("offset={generation}_18446744073709551615"), 503),
        (&format!("offset={generation}_18446744073709551616"), 400),
        (&format!("offset={generation}_-0000000000000000001"), 400),
        (&format!("offset={generation}_00000000000000000001%00"), 400),
        ("offset=%ff%fe", 400),
        ("offset=-1&offset=now", 400),
        (&format!("offset=-1&{}", "x&".repeat(7000)), 200),
        (&format!("offset={}", "9".repeat(15_000)), 400),
        ("offset=-1&cursor=99999999999999999999999", 200),
    ] {
        assert_eq!(client.get(&format!("/data?{query}")).status, status, "{query:.60}");
    }
    is_unharmed(&server);
}

/// Nobody gets at another file by its name, whatever stands in the folder.
#[test]
fn only_the_one_file_is_served_and_no_link_beside_it() {
    let server = Server::serving("1\n22\n333\n");
    symlink("/etc/passwd", server.folder.path().join("link")).unwrap();
    symlink("/", server.folder.path().join("root")).unwrap();
    let mut client = Client::connect(server.address);
    for target in [
        "/link",
        "/root/etc/passwd",
        "/data/../link",
        "/%2e/link",
        "//a/link",
        "http://a//link",
        "http://link/../etc/passwd",
        "link",
        "/..%5clink",
        "/data\\..\\link",
        "/%c0%ae%c0%ae/link",
        "/%252e%252e/link",
    ] {
        assert_eq!(client.get(target).status, 404, "{target}");
    }
    for target in ["/data?file=link", "/data?../link", "/data#/../link"] {
        assert_eq!(client.get(target).text(), "1\n22\n333\n", "{target}");
    }
}

#[test]
fn methods_are_not_to_be_talked_into_others() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    let overrides = ["X-HTTP-Method-Override: GET", "X-Method-Override: GET", "Content-Length: 0"];
    assert_eq!(client.request("POST", "/data?_method=GET", &overrides).status, 405);
    assert_eq!(client.request("CONNECT", "a:80", &[]).status, 404);
    assert_eq!(client.request("OPTIONS", "*", &[]).status, 204, "that is the server as a whole");
    let upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
    assert_eq!(client.request("GET", "/data", &upgrade).status, 200, "there is nothing to upgrade to");
    assert_eq!(client.request(&"A".repeat(5_000), "/data", &[]).status, 405);
    let traced = client.request("TRACE", "/data", &["Cookie: secret"]);
    assert!(traced.status == 405 && !traced.text().contains("secret"));
    is_unharmed(&server);
}

/// Requests with bytes changed, doubled and left out, by a generator that gives the same ones each time.
#[test]
fn no_garbage_harms_it() {
    let server = Server::serving("1\n22\n333\n");
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let whole =
        head("GET", "/data?offset=-1&live=sse", &["Range: bytes=1-2", "If-None-Match: \"a\"", "Content-Length: 1"]);
    for _ in 0..1_000 {
        let mut request = whole.clone().into_bytes();
        for _ in 0..=random(8) {
            let at = random(request.len());
            match random(3) {
                0 => request[at] = random(256) as u8,
                1 => drop(request.drain(at..(at + random(20)).min(request.len() - 1).max(at))),
                _ => request.extend_from_within(..at),
            }
        }
        let mut stream = TcpStream::connect(server.address).unwrap();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 16]);
    }
    is_unharmed(&server);
    assert!(kilobytes(&server) < 40_000, "{} kB", kilobytes(&server));
}

/// A client that asks on and on and reads nothing is read from no more, instead of what it asks for being piled up.
#[test]
fn a_flood_of_requests_on_one_connection_is_held_back() {
    let server = Server::serving("1\n22\n333\n");
    let mut flood = Client::connect(server.address);
    flood.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let requests = head("GET", "/data", &[]).repeat(1_000);
    let mut sent = 0;
    // At most 2 GB, which is far more than any buffer takes.
    while sent < 2 << 30 {
        match flood.stream().write(&requests.as_bytes()[sent % requests.len()..]) {
            Ok(taken) => sent += taken,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error} after {sent}"),
        }
        assert_eq!(get(server.address, "/healthz").status, 200);
    }
    assert!(sent < 2 << 30, "it never stopped reading");
    is_unharmed(&server);
    assert!(kilobytes(&server) < 40_000, "{} kB", kilobytes(&server));
}

#[test]
fn of_requests_sent_by_the_thousand_none_is_lost() {
    let server = Server::serving("1\n22\n333\n");
    for lengths in [&[0][..], &[0, 1, 100, 1_000]] {
        let all: Vec<String> = (0..3_000)
            .map(|number| head("GET", "/data", &[&format!("X: {}", "x".repeat(lengths[number % lengths.len()]))]))
            .collect();
        let mut client = Client::connect(server.address);
        let mut sender = client.stream().try_clone().unwrap();
        let sending = thread::spawn(move || sender.write_all(all.concat().as_bytes()));
        for number in 0..3_000 {
            assert_eq!(client.answer(false).text(), "1\n22\n333\n", "{number}");
        }
        sending.join().unwrap().unwrap();
    }
    is_unharmed(&server);
}

/// Opens `count` connections that ask for nothing, and so may stay for 75 s; every now and then calls `between`.
fn connect_often(address: SocketAddr, count: usize, between: impl Fn()) -> Vec<TcpStream> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let mut connections = Vec::new();
    for number in 0..count {
        connections.push(TcpStream::connect(address).unwrap());
        if number % 100 == 0 {
            between();
        }
    }
    connections
}

/// Checks that `flood` keeps no probe out, that what it takes is bounded, and that all is given back.
fn outlast<F>(connections: usize, flood: impl FnOnce(&Server) -> F) {
    let server = Server::serving("1\n22\n333\n");
    get(server.address, "/healthz");
    let before = open_files(&server);
    let begun = Instant::now();
    let flood = flood(&server);
    let took = begun.elapsed();
    is_unharmed(&server);
    let (open, memory) = (open_files(&server) - before, kilobytes(&server));
    println!("{connections} connections in {took:?}: {open} open, {memory} kB");
    assert!(open <= 16_384 + 2, "{open}");
    // 10 KB each, and what a server without any needs.
    assert!(memory < 40_000 + 10 * connections as u64, "{memory} kB");
    drop(flood);
    eventually("all are let go", || open_files(&server) <= before);
    is_unharmed(&server);
}

#[test]
fn probes_are_answered_in_a_flood_of_1000_connections() {
    let probe = |address| assert_eq!(get(address, "/healthz").status, 200);
    outlast(1_000, |server| connect_often(server.address, 1_000, || probe(server.address)));
}

/// The half of them comes from another process, because one may not have so many files open.
#[test]
#[ignore = "takes 20,000 connections of the machine"]
fn probes_are_answered_in_a_flood_of_20000_connections() {
    const ACCOMPLICE: &str = "ECHO_TEST_FLOOD";
    if let Ok(address) = env::var(ACCOMPLICE) {
        let _connections = connect_often(address.parse().unwrap(), 10_000, || ());
        eprintln!("all are open");
        let _ = stdin().read(&mut [0]);
        return;
    }
    let probe = |address| assert_eq!(get(address, "/healthz").status, 200);
    outlast(20_000, |server| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "hostile::probes_are_answered_in_a_flood_of_20000_connections"]);
        command.args(["--ignored", "--nocapture"]).env(ACCOMPLICE, server.address.to_string());
        let mut accomplice =
            command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let connections = connect_often(server.address, 10_000, || probe(server.address));
        let mut said = String::new();
        BufReader::new(accomplice.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "all are open\n");
        (connections, Accomplice(accomplice))
    });
}

/// A process that ends with us.
struct Accomplice(Child);

impl Drop for Accomplice {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

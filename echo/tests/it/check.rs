//! `echo check`: the probe for images without a shell.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::thread::{self, JoinHandle};

use crate::process::{Program, Server, echo};

/// Runs `check` with further `arguments`; returns its status and what it says about a failure.
fn check(arguments: &[&str]) -> (Option<i32>, String) {
    check_by(echo("/".as_ref()).arg("check").args(arguments))
}

fn check_by(command: &mut Command) -> (Option<i32>, String) {
    let mut program = Program::start(command);
    (program.ended().code(), program.log_to_the_end())
}

/// Checks that `check` fails with one line, and returns it.
#[track_caller]
fn reason(arguments: &[&str]) -> String {
    let (status, said) = check(arguments);
    assert_eq!((status, said.lines().count()), (Some(1), 1), "{said}");
    said
}

/// A server that sends `answer` to its only client; it ends with what the client had sent.
fn server_that_answers(answer: &'static str, address: impl Into<SocketAddr>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind(address.into()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut request = [0; 4096];
        let length = client.read(&mut request).unwrap();
        client.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (address, server)
}

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_ready_server_passes() {
    let server = Server::serving("1\n");
    assert_eq!(check(&["--listen", &server.address.to_string()]), (Some(0), String::new()));
}

#[test]
fn a_server_without_its_file_fails_with_the_servers_reason() {
    let server = Server::start(&[]);
    // A server that listens everywhere can be asked on this machine.
    for ip in ["127.0.0.1", "0.0.0.0"] {
        let port = server.address.port();
        let said = reason(&["--listen", &format!("{ip}:{port}")]);
        let begins = format!("http://127.0.0.1:{port}/readyz answered 503 Service Unavailable: {{");
        assert!(said.starts_with(&begins) && said.contains("No such file or directory"), "{said}");
    }
}

#[test]
fn a_url_is_asked_instead_of_the_default() {
    let server = Server::start(&[]);
    assert_eq!(check(&[&format!("http://{}/healthz", server.address)]).0, Some(0));
    assert_eq!(check(&[&format!("http://localhost:{}/healthz", server.address.port())]).0, Some(0));
    let said = reason(&[&format!("http://{}/nothing", server.address)]);
    assert!(said.contains("answered 404 Not Found"), "{said}");
}

#[test]
fn the_request_is_a_proper_one() {
    let (address, server) = server_that_answers(OK, LOCAL);
    assert_eq!(check(&[&format!("http://{address}/a?b=c")]).0, Some(0));
    let request = server.join().unwrap().to_lowercase();
    assert!(request.starts_with("get /a?b=c http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
}

#[test]
fn the_default_is_readyz_where_the_server_listens() {
    let (address, server) = server_that_answers(OK, LOCAL);
    assert_eq!(check(&["--listen", &address.to_string()]).0, Some(0));
    assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));

    let (address, server) = server_that_answers(OK, LOCAL);
    assert_eq!(check_by(echo("/".as_ref()).arg("check").env("ECHO_LISTEN", address.to_string())).0, Some(0));
    server.join().unwrap();

    // A flag wins over a variable.
    let (address, server) = server_that_answers(OK, LOCAL);
    let mut command = echo("/".as_ref());
    command.env("ECHO_LISTEN", "127.0.0.1:1").args(["check", "--listen", &address.to_string()]);
    assert_eq!(check_by(&mut command).0, Some(0));
    server.join().unwrap();
}

#[test]
fn all_options_of_a_server_may_stand_in_the_environment() {
    let server = Server::serving("1\n");
    let mut command = echo("/".as_ref());
    command.arg("check").env("ECHO_LISTEN", server.address.to_string());
    command.env("ECHO_FILE", "data").env("ECHO_DRAIN_DELAY", "5s").env("ECHO_FRESH_WITHIN", "10s");
    assert_eq!(check_by(&mut command).0, Some(0));
}

#[test]
fn a_server_can_listen_on_ipv6_and_be_checked() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let server = Server::start(&["--listen", "[::]:0"]);
    let port = server.address.port();
    for host in ["[::1]", "127.0.0.1"] {
        assert_eq!(check(&[&format!("http://{host}:{port}/healthz")]).0, Some(0), "{host}");
    }
    let said = reason(&["--listen", &format!("[::]:{port}")]);
    assert!(said.starts_with(&format!("http://[::1]:{port}/readyz answered 503")), "{said}");
}

/// Runs a program, with arguments, on a network of its own, whose settings `script` has changed.
fn on_a_network(script: &str) -> Option<String> {
    let shell = format!("ip link set lo up && {script}");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "sh", "-c", &shell, env!("CARGO_BIN_EXE_echo")]);
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("data"), "1\n").unwrap();
    let output = unshare.current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    if said.contains("unshare:") || said.contains("Read-only") {
        eprintln!("skipped: no network of its own: {said}");
        return None;
    }
    Some(said)
}

#[test]
fn what_listens_everywhere_is_found_on_every_setting_of_the_kernel() {
    for setting in ["true", "sysctl -q net.ipv6.conf.all.disable_ipv6=1", "sysctl -q net.ipv6.bindv6only=1"] {
        for listen in ["[::]:8000", "0.0.0.0:8000", "8000"] {
            let script = format!(
                "{setting}; \"$0\" --listen {listen} & server=$!
                until \"$0\" check --listen {listen} || [ $((tries += 1)) = 50 ]; do sleep 0.1; done
                \"$0\" check http://127.0.0.1:8000/readyz; kill $server; wait"
            );
            let Some(said) = on_a_network(&script) else { return };
            assert_eq!(said.matches("/readyz answered 200").count(), 2, "{setting}, {listen}: {said}");
        }
    }
}

#[test]
fn a_link_local_address_has_a_zone() {
    let script = r#"
        ip address add fe80::1/64 dev lo nodad; mkdir copy
        "$0" --listen [fe80::1%1]:8000 & server=$!
        "$0" --listen 127.0.0.1:8001 --file copy/data --upstream http://[fe80::1%25lo]:8000/data & mirror=$!
        until "$0" check http://127.0.0.1:8001/readyz || [ $((tries += 1)) = 50 ]; do sleep 0.1; done
        "$0" check --listen [fe80::1%1]:8000; kill $server $mirror; wait"#;
    let Some(said) = on_a_network(script) else { return };
    assert_eq!(said.matches("/readyz answered 200").count(), 2, "{said}");
}

#[test]
fn nothing_that_listens_fails() {
    // The same port on another address: as long as it is taken here, nobody can have it on all.
    let taken = TcpListener::bind(SocketAddr::from(LOCAL)).unwrap();
    let url = format!("http://127.0.0.2:{}/", taken.local_addr().unwrap().port());
    assert_eq!(reason(&[&url]), format!("cannot get {url}: Connection refused (os error 111)\n"));
}

#[test]
fn only_200_passes() {
    for status in ["201 Created", "204 No Content", "302 Found", "404 Not Found", "500 Oh"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").leak();
        let (address, server) = server_that_answers(answer, LOCAL);
        let said = reason(&[&format!("http://{address}/")]);
        assert!(said.contains(&format!("answered {}", &status[..3])), "{said}");
        server.join().unwrap();
    }
}

#[test]
fn garbage_fails() {
    for garbage in ["SSH-2.0-OpenSSH_10.0\r\n", "HTTP/1.1 200", "HTTP/1.1 twohundred OK\r\n\r\n", "\0\0\0\r\n\r\n", ""]
    {
        let (address, server) = server_that_answers(garbage, LOCAL);
        let said = reason(&[&format!("http://{address}/")]);
        assert!(said.starts_with(&format!("cannot get http://{address}/: ")), "{garbage:?}: {said}");
        server.join().unwrap();
    }
}

#[test]
fn a_long_answer_is_no_reason() {
    let body = "x".repeat(100_000);
    let answer = format!("HTTP/1.1 500 Oh\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak();
    let (address, server) = server_that_answers(answer, LOCAL);
    let said = reason(&[&format!("http://{address}/")]);
    assert!(said.len() < 2000, "{} bytes", said.len());
    let _ = server.join(); // which may not get rid of all of it
}

#[test]
fn no_answer_fails_in_time() {
    let silent = TcpListener::bind(SocketAddr::from(LOCAL)).unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    assert_eq!(reason(&[&url]), format!("cannot get {url}: no answer within 4s\n"));
}

#[test]
fn what_is_no_url_of_http_is_refused() {
    for url in ["ftp://localhost/", "nonsense", "/readyz"] {
        let expected = format!("cannot get {url}: a URL that begins with http:// or https:// is expected\n");
        assert_eq!(reason(&[url]), expected);
    }
    let url = "https://localhost/";
    assert_eq!(reason(&[url]), format!("cannot get {url}: a URL that begins with http:// is expected\n"));
    reason(&["http://"]);
    reason(&["http://a b/"]);
}

#[test]
fn a_url_that_lacks_its_beginning_is_explained() {
    for url in ["localhost:8000/readyz", "127.0.0.1:8000/readyz", ""] {
        let said = reason(&[url]);
        assert!(said.contains("begins with http://"), "{said}");
    }
}

#[test]
fn a_port_that_can_not_be_is_not_taken_for_another() {
    // And certainly not for 80.
    for url in ["http://127.0.0.1:99999/", "http://127.0.0.1:/", "http://127.0.0.1:-1/"] {
        let said = reason(&[url]);
        assert!(said.contains("port") || said.contains("invalid"), "{said}");
    }
}

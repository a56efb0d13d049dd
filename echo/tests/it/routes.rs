//! Which paths there are, and which verbs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use tempfile::TempDir;

use crate::client::{Client, get};
use crate::page::link_to_the_file;
use crate::process::{Program, Server, echo};

/// Starts a server of a file with this name, which holds the name and a newline.
fn serving_as(name: &[u8]) -> Server {
    let folder = TempDir::new().unwrap();
    let name = OsStr::from_bytes(name);
    fs::write(folder.path().join(name), [name.as_bytes(), b"\n"].concat()).unwrap();
    let mut command = echo(folder.path());
    command.arg("--file").arg(name);
    Server::start_by(&mut command, folder)
}

#[test]
fn the_file_is_served_under_its_own_name_whatever_that_is() {
    let names: [&[u8]; 18] = [
        b"app.log",
        b"two words.log",
        b"100%.log",
        b"a%20b",
        b"%2e%2e",
        "größe.log".as_bytes(),
        "\u{1f980}".as_bytes(),
        b"na\xffme\xfe",
        b"{name}",
        b"{*rest}",
        b":colon",
        b"*",
        b"q?x=1#y",
        b"<b>\"a\" & 'b'`",
        b"back\\slash",
        b"new\nline",
        b"a+b;c=d,e@f$g!h~i(j)",
        b"...",
    ];
    for name in names {
        let shown = name.escape_ascii();
        let server = serving_as(name);
        let mut client = Client::connect(server.address);
        let content = [name, b"\n"].concat();

        let page = client.get("/");
        let link = link_to_the_file(page.text());
        assert_eq!(client.get(link).body, content, "{shown}: the page's link {link}");
        let encoded = name.iter().fold("/".to_owned(), |mut path, byte| {
            write!(path, "%{byte:02X}").unwrap();
            path
        });
        for path in [&encoded, &encoded.to_lowercase()] {
            assert_eq!(client.get(path).body, content, "{shown}: {path}");
        }
        // Decoded twice, this would be the file.
        assert_eq!(client.get(&encoded.replace('%', "%25")).status, 404, "{shown}");
        assert_eq!(client.get("/data").status, 404, "{shown}");
        assert_eq!(client.request("POST", link, &["Content-Length: 0"]).status, 405, "{shown}");
    }
}

/// As people type them, and `curl` sends them.
#[test]
fn a_name_need_not_be_percent_encoded() {
    for name in ["app.log", "größe.log", "a{b}", "100%", "a%20b"] {
        let server = serving_as(name.as_bytes());
        assert_eq!(get(server.address, &format!("/{name}")).text(), format!("{name}\n"));
    }
}

#[test]
fn the_folder_of_the_file_is_no_part_of_its_path() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("logs/app.log"), "1\n").unwrap();
    let server = Server::start_in(folder, &["--file", "logs/../logs//app.log"]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/app.log").text(), "1\n");
    for path in ["/logs/app.log", "/logs/", "/logs"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_name_that_is_taken_is_refused_at_start() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    for name in ["healthz", "readyz", "metrics", "./healthz", "logs/readyz"] {
        let mut program = Program::start(echo(folder.path()).args(["--listen", "127.0.0.1:0", "--file", name]));
        assert_eq!(program.ended().code(), Some(1), "{name}");
        let log = program.log_to_the_end();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(&format!("--file {name}")), "the line names the flag to change: {log}");
    }
    for name in ["Healthz", "healthz.log", "readyz/data", "index.html"] {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        let server = Server::start_in(folder, &["--file", name]);
        let path = format!("/{}", name.rsplit('/').next().unwrap());
        assert_eq!(get(server.address, &path).status, 503, "{name}");
    }
}

#[test]
fn any_other_path_is_not_found() {
    let server = Server::serving("1\n");
    fs::write(server.folder.path().join("secret"), "secret\n").unwrap();
    let mut client = Client::connect(server.address);
    for path in [
        "/nothing",
        "/secret",
        "/../secret",
        "/%2e%2e/secret",
        "/data/../secret",
        "/data/%2e%2e/secret",
        "/..%2fsecret",
        "/etc/passwd",
        "//etc/passwd",
        "/../../../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..",
        "/.",
        "/./data",
        "/../data",
        "//data",
        "/data/",
        "/data/data",
        "/data.1",
        "/data%00",
        "/data%20",
        "/data%2f",
        "/%2fdata",
        "/%252564ata",
        "/data;x",
        "/dat",
        "/Data",
        "/DATA",
        "/healthz/",
        "/healthz/data",
        "/Readyz",
        "/index.html",
        "/favicon.ico",
        "/robots.txt",
        "*",
        "/%",
        "/%zz",
        "/%ff",
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.the("content-type"), "text/plain; charset=utf-8", "{path}");
        assert!(answer.text().ends_with(".\n") && answer.text().lines().count() == 1, "{path}: {}", answer.text());
        for method in ["HEAD", "POST", "OPTIONS"] {
            let is_server = (method, path) == ("OPTIONS", "*"); // the server as a whole, and no path
            let expected = if is_server { 204 } else { 404 };
            assert_eq!(client.request(method, path, &[]).status, expected, "{method} {path}");
        }
    }
}

#[test]
fn any_verb_but_get_and_head_is_refused() {
    let server = Server::serving("1\n");
    for path in ["/data", "/%64ata", "/", "/healthz", "/readyz"] {
        for verb in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "GETS"] {
            let body = "not for you\n";
            let length = format!("Content-Length: {}", body.len());
            let mut client = Client::connect(server.address);
            client.send(crate::client::head(verb, path, &[&length, "Range: bytes=0-0", "If-None-Match: *"]) + body);
            let answer = client.answer(false);
            assert_eq!((answer.status, answer.the("cache-control")), (405, "no-store"), "{verb} {path}");
            assert_eq!(answer.the("connection"), "close", "{verb} {path}: the body is not read");
            let allowed: BTreeSet<&str> = answer.the("allow").split(',').map(str::trim).collect();
            assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "OPTIONS"]), "{verb} {path}");
            assert!(answer.text().ends_with(".\n") && answer.text().lines().count() == 1, "{}", answer.text());
        }
    }
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/data").text(), "1\n");
    fs::remove_file(server.file()).unwrap();
    let answer = client.request("DELETE", "/data", &[]);
    assert_eq!((answer.status, answer.header("retry-after")), (405, None), "a file that comes changes nothing");
}

#[test]
fn what_can_be_asked_is_told() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    for path in ["/data", "/data?offset=-1", "/", "/healthz", "/readyz", "/metrics", "/-/page.js", "*"] {
        let answer = client.request("OPTIONS", path, &[]);
        assert_eq!((answer.status, answer.the("allow")), (204, "GET, HEAD, OPTIONS"), "{path}");
        assert_eq!((answer.the("cache-control"), answer.text()), ("no-store", ""), "{path}");
    }
}

#[test]
fn answers_say_who_gives_them() {
    let served_by = |arguments: &[&str]| {
        let server = Server::with("1\n", arguments);
        let mut client = Client::connect(server.address);
        let names = ["/data", "/", "/nothing", "/healthz"]
            .map(|path| client.get(path).header("x-served-by").map(str::to_owned));
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        names[0].clone()
    };
    assert_eq!(served_by(&["--name", "echo-0.example"]).as_deref(), Some("echo-0.example"));
    assert_eq!(served_by(&["--name", "none"]), None);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(served_by(&[]).as_deref(), Some(host.trim()));
}

#[test]
fn pages_of_another_origin_may_read_if_they_are_named() {
    let server = Server::with("1\n", &["--allow-origin", "https://example.org", "--name", "me"]);
    let answer = get(server.address, "/data");
    assert_eq!(answer.the("access-control-allow-origin"), "https://example.org");
    assert_eq!((answer.the("cross-origin-resource-policy"), answer.the("vary")), ("cross-origin", "Origin"));
    assert!(answer.the("access-control-expose-headers").contains("Stream-Next-Offset"));
    let preflight = ["Origin: https://example.org", "Access-Control-Request-Method: GET"];
    let answer = Client::connect(server.address).request("OPTIONS", "/data", &preflight);
    assert_eq!((answer.status, answer.the("access-control-allow-origin")), (204, "https://example.org"));
    assert!(answer.the("access-control-allow-headers").contains("Range"));
    let closed = get(Server::serving("1\n").address, "/data");
    assert_eq!(closed.header("access-control-allow-origin"), None);
    assert_eq!(closed.the("cross-origin-resource-policy"), "same-origin");
}

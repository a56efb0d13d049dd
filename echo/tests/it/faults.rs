//! What can befall the file, between answers and in the middle of one.

use std::fmt::Write;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tempfile::TempDir;

use crate::client::{Client, get, head};
use crate::process::Server;

/// Sets the permissions of `path`, as `chmod` does.
fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn resize(server: &Server, length: u64) {
    OpenOptions::new().write(true).open(server.file()).unwrap().set_len(length).unwrap();
}

/// Serves a file that the server may not read when its mode says so. Root may read anything; so if we are root, the
/// server is somebody else.
fn serving_by_permission(content: &[u8]) -> Server {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), content).unwrap();
    if !rustix::process::geteuid().is_root() {
        return Server::start_in(folder, &[]);
    }
    chmod(folder.path(), 0o755);
    let nobody = 65534;
    // Named by our descriptor of it, which the child has until it becomes that program, because nobody else may be let
    // into the folder that the program was built in.
    let program = File::open(env!("CARGO_BIN_EXE_echo")).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.current_dir(folder.path()).env_clear().uid(nobody).gid(nobody);
    Server::start_by(&mut command, folder)
}

/// Checks that the file can't be had, and that the server says so to everyone in the right way.
#[track_caller]
pub fn is_unavailable(client: &mut Client, what: &str) {
    for headers in [&[][..], &["Range: bytes=0-"], &["If-None-Match: *"]] {
        let answer = client.request("GET", "/data", headers);
        assert_eq!((answer.status, answer.the("retry-after")), (503, "1"), "{what}");
        assert!(answer.text().ends_with(".\n") && answer.text().lines().count() == 1, "{what}: {}", answer.text());
    }
    assert_eq!(client.get("/readyz").status, 503, "{what}");
    assert_eq!(client.get("/healthz").status, 200, "{what}");
}

#[test]
fn an_unreadable_file_is_unavailable_until_it_is_readable_again() {
    let server = serving_by_permission(b"1\n");
    let mut client = Client::connect(server.address);
    let tag = client.get("/data").the("etag").to_owned();
    for (path, mode) in [(server.file(), 0o644), (server.folder.path().to_owned(), 0o755)] {
        chmod(&path, 0);
        is_unavailable(&mut client, "unreadable");
        chmod(&path, mode);
        let answer = client.get("/data");
        assert_eq!((answer.text(), answer.the("etag")), ("1\n", &*tag));
    }
}

#[test]
fn what_is_no_file_is_unavailable_until_there_is_one() {
    let server = Server::serving("1\n");
    let path = server.file();
    let mut client = Client::connect(server.address);
    let states: [(&str, &dyn Fn()); 8] = [
        ("nothing", &|| {}),
        ("a folder", &|| fs::create_dir(&path).unwrap()),
        // Nobody writes to it, and the server must not wait for that.
        ("a FIFO", &|| mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap()),
        ("a socket", &|| drop(UnixListener::bind(&path).unwrap())),
        ("a device", &|| mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 5)).unwrap()),
        ("a link to a device", &|| symlink("/dev/zero", &path).unwrap()),
        ("a link to nothing", &|| symlink("nothing", &path).unwrap()),
        ("a link to itself", &|| symlink("data", &path).unwrap()),
    ];
    for (what, state) in states {
        fs::remove_file(&path).unwrap();
        state();
        is_unavailable(&mut client, what);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        server.replace(format!("after {what}\n"));
        assert_eq!(client.get("/data").text(), format!("after {what}\n"));
    }
}

#[test]
fn the_whole_folder_may_go_and_come_back() {
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let server = Server::start(&["--file", folder.join("data").to_str().unwrap()]);
    let mut client = Client::connect(server.address);
    for content in ["1\n", "2\n"] {
        fs::write(folder.join("data"), content).unwrap();
        assert_eq!(client.get("/data").text(), content);
        fs::rename(&folder, outer.path().join(content.trim())).unwrap();
        is_unavailable(&mut client, "moved away");
        fs::create_dir(&folder).unwrap();
        is_unavailable(&mut client, "empty");
    }
    fs::rename(outer.path().join("1/data"), folder.join("data")).unwrap();
    assert_eq!(client.get("/data").text(), "1\n");
}

/// Far more than the kernel and the server hold of an answer that the client has not taken.
fn large_content() -> String {
    (0..500_000).fold(String::new(), |mut content, number| {
        writeln!(content, "{number:015}").unwrap();
        content
    })
}

/// Begins to get a file that a slow client can't have more than the beginning of.
fn begin(server: &Server, headers: &[&str]) -> Client {
    let mut client = Client::connect(server.address);
    set_socket_recv_buffer_size(client.stream(), 64 * 1024).unwrap();
    client.send(head("GET", "/data", headers));
    client
}

#[test]
fn what_befalls_a_file_in_the_middle_of_an_answer_does_not_change_it() {
    let content = large_content();
    let server = serving_by_permission(content.as_bytes());
    let torn = |server: &Server| server.append("torn");
    let events: [(&str, &dyn Fn(), u16); 6] = [
        ("finishes a line", &|| server.append("now whole\n"), 200),
        ("grows", &|| server.append(&content), 200),
        ("becomes unreadable", &|| chmod(&server.file(), 0), 503),
        ("is deleted", &|| fs::remove_file(server.file()).unwrap(), 503),
        ("is replaced", &|| server.replace("x".repeat(content.len() - 1) + "\n"), 200),
        ("is moved away", &|| fs::rename(server.file(), server.folder.path().join("data.1")).unwrap(), 503),
    ];
    for (what, event, status_after) in events {
        server.replace(&content);
        torn(&server);
        let mut client = begin(&server, &[]);
        let mut answer = client.answer_head();
        event();
        client.answer_body(&mut answer);
        assert_eq!(answer.the("content-length"), content.len().to_string());
        assert!(!answer.cut_short && answer.body == content.as_bytes(), "{what}: {} came", answer.body.len());
        // And the connection goes on.
        assert_eq!(client.request("HEAD", "/data", &[]).status, status_after, "{what}");
    }
}

#[test]
fn an_answer_whose_bytes_are_gone_is_cut_short_and_never_filled_up() {
    let content = large_content();
    let server = Server::serving(&content);
    let half = content.len() as u64 / 2;
    for (range, first) in [(&[][..], 0), (&["Range: bytes=99999-"], 99_999)] {
        let events: [(&str, &dyn Fn()); 3] = [
            ("truncated", &|| resize(&server, half)),
            ("emptied", &|| resize(&server, 0)),
            ("written anew", &|| fs::write(server.file(), "x\n").unwrap()),
        ];
        for (what, event) in events {
            server.replace(&content);
            let mut client = begin(&server, range);
            let mut answer = client.answer_head();
            event();
            client.answer_body(&mut answer);
            assert!(answer.cut_short, "{what}");
            assert!(content.as_bytes()[first..].starts_with(&answer.body), "{what}: other bytes came");
            let now = fs::read(server.file()).unwrap();
            let visible = now.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
            assert!(get(server.address, "/data").body == now[..visible], "{what}: the next answer");
        }
    }
}

#[test]
fn a_part_is_whole_when_only_what_follows_it_is_cut_off() {
    let content = large_content();
    let server = Server::serving(&content);
    let half = content.len() / 2;
    let mut client = begin(&server, &[&format!("Range: bytes=0-{}", half - 1)]);
    let mut answer = client.answer_head();
    resize(&server, half as u64);
    client.answer_body(&mut answer);
    assert_eq!((answer.status, answer.cut_short), (206, false));
    assert!(answer.body == content.as_bytes()[..half]);
    assert_eq!(client.request("HEAD", "/data", &[]).status, 200);
}

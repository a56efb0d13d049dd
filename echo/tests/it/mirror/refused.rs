//! What can never work, and is refused at once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::mirror::url;
use crate::process::{Program, Server, echo};

/// Runs what must end at once with status 1; returns what it logs.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let mut program = Program::start(echo(folder).args(arguments).env("ECHO_LISTEN", "127.0.0.1:0"));
    let status = program.ended();
    let log = program.log_to_the_end();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[test]
fn what_can_never_work_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let log = refusal(path, &["--upstream", "http://localhost:1"]);
    assert!(log.contains("--upstream (ECHO_UPSTREAM) names no file"), "{log}");
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-token-file", "missing"]);
    assert!(log.contains("cannot read the token in missing: No such file"), "{log}");
    fs::write(path.join("empty"), "\n").unwrap();
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-token-file", "empty"]);
    assert!(log.contains("empty holds no token"), "{log}");
    let log = refusal(path, &["--upstream", "https://localhost:1/data", "--upstream-ca", "empty"]);
    assert!(log.contains("empty holds no certificate"), "{log}");
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-ca", "empty"]);
    assert!(log.contains("--upstream-ca (ECHO_UPSTREAM_CA) is for a URL that begins with https://"), "{log}");
    let log = refusal(path, &["--token-file", "missing"]);
    assert!(log.contains("cannot read the token in missing"), "{log}");
}

#[test]
fn a_file_that_is_no_mirrors_is_left_alone() {
    let upstream = Server::serving("1\n");
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "precious\n").unwrap();
    fs::write(folder.path().join("data.ready"), "other\n").unwrap();
    let log = refusal(folder.path(), &["--upstream", &url(&upstream)]);
    assert!(log.contains("data has lines, and nothing tells whose they are"), "{log}");
    assert_eq!(fs::read_to_string(folder.path().join("data")).unwrap(), "precious\n");
}

#[test]
fn a_mirror_writes_through_no_link() {
    for target in ["data", "elsewhere", "/dev/null"] {
        let folder = TempDir::new().unwrap();
        symlink(target, folder.path().join("data")).unwrap();
        let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
        assert!(log.contains("data is a link, and a mirror writes through none"), "{log}");
    }
}

#[test]
fn what_can_not_be_written_is_found_out_before_there_is_anything_to_lose() {
    let folder = TempDir::new().unwrap();
    // Not even root can make a file there.
    let log = refusal(folder.path(), &["--file", "/proc/self/data", "--upstream", "http://localhost:1/data"]);
    assert!(log.contains("cannot write to /proc/self/data"), "{log}");
    fs::create_dir(folder.path().join("data.next.generation")).unwrap();
    let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
    assert!(log.contains("cannot write to data.next.generation"), "{log}");
}

#[test]
fn a_folder_that_can_not_be_written_to_is_explained() {
    if rustix::process::geteuid().is_root() {
        return; // root may write anywhere; the images run as others
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
    assert!(log.contains("mode 0555; this process is uid"), "{log}");
}

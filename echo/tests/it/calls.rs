//! System calls that fail where nothing is lost by it: as on an old kernel, or behind a container's filter.

use std::process::Command;

use tempfile::TempDir;

use crate::client::get;
use crate::process::{Server, skip};

/// Calls that only make things faster or safer may fail.
#[test]
fn a_large_file_is_whole_without_preadv2() {
    let content = "1\n".repeat(1_000_000);
    for error in ["EPERM", "ENOSYS", "EINVAL", "EIO", "EAGAIN"] {
        let Some(server) = without("preadv2", error) else { return };
        server.replace(&content);
        for _ in 0..2 {
            assert!(get(server.address, "/data").body == content.as_bytes(), "{error}");
            assert_eq!(get(server.address, "/data?offset=-1").body.len(), content.len(), "{error}");
        }
        let told = server.program.log().matches("preadv2").count();
        assert_eq!(told, usize::from(error != "EAGAIN"), "{}", server.program.log());
    }
}

/// `tests/trust/syscalls` tries all of them.
#[test]
fn what_only_helps_may_be_forbidden() {
    for call in ["prlimit64", "uname", "fstatfs", "statfs", "openat2", "statx", "setsockopt", "ioctl"] {
        for error in ["EPERM", "ENOSYS"] {
            let Some(server) = without(call, error) else { return };
            server.append("1\n22\n");
            let answer = get(server.address, "/data");
            assert_eq!((answer.status, answer.text()), (200, "1\n22\n"), "{call} {error}: {}", server.program.log());
            server.append("333\n");
            assert_eq!(get(server.address, "/data").text(), "1\n22\n333\n", "{call} {error}");
        }
    }
}

/// A server for which a system call fails, or nothing where strace can't do that.
pub fn without(call: &str, error: &str) -> Option<Server> {
    let inject = format!("inject={call}:error={error}");
    let strace = || {
        let mut strace = Command::new("strace");
        // -D: what we start, and kill, is the program, and not strace.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
        strace
    };
    if !strace().arg("true").output().is_ok_and(|run| run.status.success()) {
        skip("there is no strace that may trace here");
        return None;
    }
    let folder = TempDir::new().unwrap();
    let mut command = strace();
    command.arg(env!("CARGO_BIN_EXE_echo")).current_dir(folder.path());
    Some(Server::start_by(&mut command, folder))
}

//! System calls that old kernels, sandboxes and odd file systems refuse: what only helps may fail, and no line is lost.

use std::process::Command;

use crate::process::{Folder, Process};

/// Runs a generator with `arguments` in which `call` fails with `error`; `None` where there is no strace.
fn run_without(folder: &Folder, call: &str, error: &str, arguments: &str) -> Option<String> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace");
        return None;
    }
    let generator = folder.generator(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "trace", "-e", &format!("inject={call}:error={error}")]);
    strace.arg(generator.get_program()).args(generator.get_args()).current_dir(folder.path(""));
    let ended = Process::start(&mut strace).wait();
    assert_eq!(ended.code, Some(0), "{call} {error}: {ended:?}");
    assert!(folder.read("trace").contains("(INJECTED)"), "{call} is not called");
    Some(ended.stderr)
}

#[test]
fn what_only_helps_may_fail() {
    for call in ["flock", "fsetxattr", "lseek", "pwrite64"] {
        for error in ["EPERM", "ENOSYS", "EINVAL", "EIO"] {
            let folder = Folder::new();
            folder.write("data", "3271\n114");
            let file = if call == "fsetxattr" { "made" } else { "data" };
            let arguments = format!("--seed 42 --interval 0s --count 3 --file {file}");
            let Some(log) = run_without(&folder, call, error, &arguments) else { return };
            assert_eq!(folder.right_lines(file), if file == "data" { 4 } else { 3 }, "{call} {error}");
            let expected = usize::from(call == "flock");
            assert_eq!(log.matches("nothing keeps a second generator out").count(), expected, "{log}");
        }
    }
}

#[test]
fn a_rename_that_is_refused_costs_no_more_than_time() {
    for error in ["EPERM", "ENOSYS", "EINVAL", "EIO"] {
        let folder = Folder::new();
        let arguments = "--seed 42 --interval 0s --count 1600000";
        let Some(log) = run_without(&folder, "rename", error, arguments) else { return };
        assert_eq!(log.matches("cannot keep the count of lines").count(), 1, "{log}");
        assert_eq!(folder.right_lines("data"), 1_600_000);
        assert!(!folder.path("data.lines.new").exists());
    }
}

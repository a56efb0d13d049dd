//! What can never work ends it at start, with one clear line and a status that is not 0.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{getegid, geteuid};

use crate::process::{Ended, Folder, Process};

/// Checks that the command line was refused, by a first line that names all of `words`, and that nothing was written.
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && words.iter().all(|word| first.contains(word)), "{ended:?}");
}

#[test]
fn bad_flags_are_refused_by_name() {
    for (arguments, words) in [
        ("--frobnicate", ["--frobnicate", "unexpected"]),
        ("--interval -1s", ["--interval", "-1s"]),
        ("--interval 2", ["--interval", "'2'"]),
        ("--interval soon", ["--interval", "soon"]),
        ("--interval 2y", ["--interval", "longer than a year"]),
        ("--count 0", ["--count", "'0'"]),
        ("--count -1", ["--count", "'-1'"]),
        ("--count many", ["--count", "many"]),
        ("--seed red", ["--seed", "red"]),
        ("--max-size 5", ["--max-size", "'5'"]),
        ("--max-size 1.5MB", ["--max-size", "10MiB"]),
        ("--max-size 10XB", ["--max-size", "10MiB"]),
        ("--max-size MB", ["--max-size", "10MiB"]),
        ("--max-size 99999999999GB", ["--max-size", "10MiB"]),
        ("--max-size -1", ["--max-size", "'-1'"]),
        ("--log-format xml", ["--log-format", "xml"]),
        ("--log-level loud", ["--log-level", "loud"]),
        ("surplus", ["surplus", "unrecognized"]),
        ("check --count 3", ["--count", "unexpected"]),
        ("check --interval -1s", ["--interval", "-1s"]),
        ("verify --seed 42 --timeout -1s data", ["--timeout", "-1s"]),
        ("verify --seed 42 --lines few data", ["--lines", "few"]),
        ("verify data", ["required", "not provided"]),
    ] {
        let folder = Folder::new();
        refused(&folder.run(arguments), &words);
        assert!(!folder.path("data").exists(), "{arguments}");
    }
}

#[test]
fn bad_variables_are_refused_by_their_name() {
    for (variable, value, flag) in [
        ("GENERATOR_INTERVAL", "nonsense", "--interval"),
        ("GENERATOR_INTERVAL", "-1s", "--interval"),
        ("GENERATOR_COUNT", "0", "--count"),
        ("GENERATOR_SEED", "red", "--seed"),
        ("GENERATOR_MAX_SIZE", "5", "--max-size"),
        ("GENERATOR_SYNC", "perhaps", "--sync"),
        ("GENERATOR_LOG_FORMAT", "xml", "--log-format"),
        ("GENERATOR_LOG_LEVEL", "loud", "--log-level"),
    ] {
        let folder = Folder::new();
        let ended = Process::start(folder.generator("").env(variable, value)).wait();
        refused(&ended, &[variable, flag, value]);
        assert!(!folder.path("data").exists(), "{variable}={value}");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let folder = Folder::new();
    let said = folder.run("--file no/where/data").failed();
    assert!(said.contains("cannot open no/where/data") && said.contains("there is no folder no/where"), "{said}");
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.path("folder")).unwrap();
    mknodat(CWD, folder.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = UnixListener::bind(folder.path("socket")).unwrap();
    folder.write("file", "1\n");
    symlink("file", folder.path("link")).unwrap();
    symlink("nowhere", folder.path("dangling")).unwrap();
    for (file, words) in [
        ("folder", "cannot open folder for appending: Is a directory"),
        ("fifo", "fifo is not a regular file"),
        ("/dev/null", "/dev/null is not a regular file"),
        ("socket", "socket is not a regular file"),
        ("link", "link is a link"),
        ("dangling", "dangling is a link"),
        ("file/data", "cannot open file/data for appending: Not a directory"),
    ] {
        let said = folder.run(&format!("--file {file}")).failed();
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(folder.read("file"), "1\n");
    let left = fs::read_dir(folder.path("")).unwrap().count();
    assert_eq!(left, 6, "something was made beside them");
}

#[test]
fn an_unwritable_folder_is_named_with_its_owner_and_mode() {
    let folder = Folder::new();
    fs::create_dir(folder.path("closed")).unwrap();
    fs::set_permissions(folder.path("closed"), Permissions::from_mode(0o555)).unwrap();
    let said = Process::start(&mut folder.generator_of_ordinary_user("--file closed/data")).wait().failed();
    assert!(said.contains("cannot open closed/data"), "{said}");
    assert_owner_and_user(&said, "closed", "0555");
}

#[test]
fn an_unwritable_file_is_named_with_its_owner_and_mode() {
    let folder = Folder::new();
    folder.write("data", "1\n");
    fs::set_permissions(folder.path("data"), Permissions::from_mode(0o444)).unwrap();
    let said = Process::start(&mut folder.generator_of_ordinary_user("")).wait().failed();
    assert!(said.contains("cannot open data"), "{said}");
    assert_owner_and_user(&said, "data", "0444");
    assert_eq!(folder.read("data"), "1\n");
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.path("closed")).unwrap();
    // Its owner can list it, which is what it takes to remove it.
    fs::set_permissions(folder.path("closed"), Permissions::from_mode(0o400)).unwrap();
    let command = &mut folder.generator_of_ordinary_user("--file closed/data");
    let said = Process::start(command).wait().failed();
    assert!(said.contains("cannot open closed/data"), "{said}");
    assert_owner_and_user(&said, "closed", "0400");
}

/// The tests own `name`; as root, they run the generator as somebody else.
fn assert_owner_and_user(said: &str, name: &str, mode: &str) {
    let (owner, group) = (geteuid().as_raw(), getegid().as_raw());
    let (user, group_of_user) = if owner == 0 { (65534, 65534) } else { (owner, group) };
    assert!(said.contains(&format!("{name} is of uid {owner}, gid {group}, mode {mode}")), "{said}");
    assert!(said.contains(&format!("this process is uid {user}, gid {group_of_user}")), "{said}");
}

#[test]
fn the_probe_and_the_proof_say_what_they_cannot_read() {
    let folder = Folder::new();
    folder.write("data", "1\n");
    fs::set_permissions(folder.path("data"), Permissions::from_mode(0o000)).unwrap();
    let command = &mut folder.generator_of_ordinary_user("verify --seed 42 data");
    let said = Process::start(command).wait().failed();
    assert!(said.contains("cannot open data: Permission denied"), "{said}");
}

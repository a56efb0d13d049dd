//! A folder in which others put what they like: nothing of theirs is written, and they keep nobody out.

use std::fs::{self, File, Permissions, hard_link};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, XattrFlags, flock, getxattr, mknodat, setxattr};
use rustix::process::{Signal, geteuid};

use crate::process::{Folder, Process, wait_until};

/// The names that the generator gives to what it makes beside `data`.
const COMPANIONS: [&str; 5] = ["data.lock", "data.lines", "data.lines.new", "data.new", "data.1.new"];

/// Long enough that a count is kept, and rotated at once.
const ALL_COMPANIONS: &str = "--seed 42 --interval 0s --count 1600000";

/// Runs the generator with `plant` under the name of each companion in turn. Whether it runs or refuses to, it ends.
fn with_each_companion(plant: impl Fn(&Folder, &str)) {
    for name in COMPANIONS {
        for arguments in ["--seed 42 --interval 0s --count 30 --max-size 60", "--seed 42 --interval 0s --count 30"] {
            let folder = Folder::new();
            folder.write("victim", "precious\n");
            plant(&folder, name);
            let ended = folder.run(arguments);
            assert!(matches!(ended.code, Some(0 | 1)), "{name}: {ended:?}");
            assert_eq!(folder.read("victim"), "precious\n", "{name}");
            assert!(!folder.path("nowhere").exists(), "{name}");
        }
    }
}

#[test]
fn no_companion_is_written_through_a_link() {
    with_each_companion(|folder, name| symlink("victim", folder.path(name)).unwrap());
    with_each_companion(|folder, name| symlink("nowhere", folder.path(name)).unwrap());
    with_each_companion(|folder, name| hard_link(folder.path("victim"), folder.path(name)).unwrap());
}

#[test]
fn no_companion_that_is_a_fifo_or_a_folder_holds_it_up() {
    with_each_companion(|folder, name| {
        mknodat(CWD, folder.path(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    });
    with_each_companion(|folder, name| {
        // Unlike other tests' leftovers it can't be removed, and with `data.new` no rotation ever works.
        if !["data.new", "data.1.new"].contains(&name) {
            fs::create_dir(folder.path(name)).unwrap();
        }
    });
}

#[test]
fn a_count_is_not_kept_through_a_link() {
    let folder = Folder::new();
    folder.write("victim", "precious\n");
    symlink("victim", folder.path("data.lines")).unwrap();
    symlink("victim", folder.path("data.lines.new")).unwrap();
    folder.run(ALL_COMPANIONS).succeeded();
    assert_eq!(folder.read("victim"), "precious\n");
    assert!(fs::symlink_metadata(folder.path("data.lines")).unwrap().is_file());
}

#[test]
fn a_file_that_has_another_name_is_refused() {
    let folder = Folder::new();
    folder.write("config", "key = value\nno newline");
    hard_link(folder.path("config"), folder.path("data")).unwrap();
    let said = folder.run("--interval 0s --count 1").failed();
    assert!(said.contains("data has another name"), "{said}");
    assert_eq!(folder.read("config"), "key = value\nno newline");
    // Its own name for what is rotated is none of somebody else's.
    fs::rename(folder.path("config"), folder.path("data.1")).unwrap();
    folder.run("--interval 0s --count 1").succeeded();
}

#[test]
fn a_link_that_takes_the_place_of_the_file_is_not_followed() {
    let folder = Folder::new();
    folder.write("victim", "precious\nno newline");
    let mut generator = folder.start("--seed 42 --interval 5ms");
    wait_until("a few numbers", || folder.lines("data") >= 5);
    symlink("victim", folder.path("link")).unwrap();
    fs::rename(folder.path("link"), folder.path("data")).unwrap();
    wait_until("it notices", || generator.logged("data is a link") == 1);
    fs::remove_file(folder.path("data")).unwrap();
    wait_until("it goes on", || folder.lines("data") >= 5);
    generator.stop(Signal::TERM).succeeded();
    assert_eq!(folder.read("victim"), "precious\nno newline");
}

#[test]
fn what_it_makes_for_itself_is_for_its_user_alone() {
    let folder = Folder::new();
    folder.run(ALL_COMPANIONS).succeeded();
    for name in ["data.lock", "data.lines"] {
        assert_eq!(fs::metadata(folder.path(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn readers_that_lock_the_file_do_not_keep_its_writer_out() {
    for lock in [FlockOperation::LockShared, FlockOperation::LockExclusive] {
        let folder = Folder::new();
        folder.write("data", "");
        let reader = File::open(folder.path("data")).unwrap();
        flock(&reader, lock).unwrap();
        let mut generator = folder.start("--seed 42 --interval 1h");
        wait_until("the first number", || folder.lines("data") == 1);
        let said = folder.run("--interval 0s --count 1").failed();
        assert!(said.contains("another generator is appending to data: process"), "{said}");
        assert!(said.contains(&generator.pid().to_string()), "{said}");
        generator.stop(Signal::TERM).succeeded();
    }
}

#[test]
fn a_lock_that_was_removed_is_taken_again() {
    let folder = Folder::new();
    let mut generator = folder.start("--seed 42 --interval 10ms");
    wait_until("a few numbers", || folder.lines("data") >= 5);
    fs::remove_file(folder.path("data.lock")).unwrap();
    wait_until("it is made anew", || folder.path("data.lock").exists());
    assert!(folder.run("--interval 0s --count 1").failed().contains("another generator"));
    generator.stop(Signal::TERM).succeeded();
    folder.right_lines("data");
}

#[test]
fn a_folder_where_nothing_can_be_made_is_no_hindrance() {
    let folder = Folder::new();
    fs::create_dir(folder.path("closed")).unwrap();
    folder.write("closed/data", "");
    fs::set_permissions(folder.path("closed/data"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(folder.path("closed"), Permissions::from_mode(0o555)).unwrap();
    let arguments = "--file closed/data --seed 42 --interval 0s --count 30 --max-size 60";
    let ended = Process::start(&mut folder.generator_of_ordinary_user(arguments)).wait();
    assert_eq!(ended.stderr.matches("readers could lock this writer out").count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.matches("going on without rotating").count(), 1, "{ended:?}");
    ended.succeeded();
    assert_eq!(folder.right_lines("closed/data"), 30);
    assert_eq!(fs::read_dir(folder.path("closed")).unwrap().count(), 1);
}

/// In a sticky folder, where the kernel refuses to make a file that is there and somebody else's.
#[test]
fn another_user_goes_on_in_a_sticky_folder() {
    if !geteuid().is_root() {
        eprintln!("skipped: it takes root to become another user");
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(""), Permissions::from_mode(0o1777)).unwrap();
    folder.run("--seed 42 --interval 0s --count 5").succeeded();
    fs::set_permissions(folder.path("data"), Permissions::from_mode(0o666)).unwrap();
    let arguments = "--seed 42 --interval 0s --count 5 --max-size 20";
    let ended = Process::start(&mut folder.generator_of_ordinary_user(arguments)).wait();
    assert!(ended.stderr.contains("going on without rotating"), "{ended:?}");
    ended.succeeded();
    assert_eq!(folder.right_lines("data"), 10);
}

#[test]
fn a_file_that_is_a_mount_is_not_rotated_and_nothing_is_left() {
    let folder = Folder::new();
    folder.write("data", "");
    folder.write("mounted", "");
    let script = r#"mount --bind mounted data && exec "$0" "$@""#;
    let mut shell = folder.shell(script, "--seed 42 --interval 1ms --count 20 --max-size 20");
    let mut command = Command::new("unshare");
    command.args(["-Urm".to_owned()]).arg(shell.get_program()).args(shell.get_args());
    command.current_dir(folder.path("")).stdin(Stdio::null());
    let is_allowed = Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|run| run.status.success());
    if !is_allowed {
        eprintln!("skipped: nobody may mount here");
        return;
    }
    shell.stdin(Stdio::null());
    let ended = Process::start(&mut command).wait();
    assert_eq!(ended.stderr.matches("going on without rotating").count(), 1, "{ended:?}");
    ended.succeeded();
    assert_eq!(folder.right_lines("mounted"), 20);
    for name in ["data.1", "data.new", "data.1.new"] {
        assert!(!folder.path(name).exists(), "{name}");
    }
}

/// The attribute that names a file, where there are attributes.
fn name_of(folder: &Folder, file: &str) -> Option<String> {
    let mut value = vec![0; 100];
    let length = getxattr(folder.path(file), "user.appcoup.name", &mut value).ok()?;
    Some(String::from_utf8(value[..length].to_vec()).unwrap())
}

#[test]
fn each_file_that_it_makes_has_a_name_of_its_own_for_life() {
    let folder = Folder::new();
    folder.write("found", "");
    if setxattr(folder.path("found"), "user.test", b"1", XattrFlags::empty()).is_err() {
        eprintln!("skipped: no attributes here");
        return;
    }
    folder.run("--interval 0s --count 1").succeeded();
    let name = name_of(&folder, "data").unwrap();
    assert!(name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{name}");
    folder.run("--interval 0s --count 4 --max-size 12").succeeded();
    assert_ne!(name_of(&folder, "data").unwrap(), name);
    // Readers would see the file of another change.
    folder.run("--file found --interval 0s --count 1").succeeded();
    assert_eq!(name_of(&folder, "found"), None);
}

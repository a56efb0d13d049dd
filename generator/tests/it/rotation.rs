//! Files that may grow only so far.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use rustix::process::Signal;

use crate::process::{Folder, wait_until};

#[test]
fn a_full_file_is_renamed_and_the_next_begins_with_the_first_line() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 10").succeeded();
    let (full, inode, max) = (folder.read("data"), folder.inode("data"), folder.size("data"));

    folder.run(&format!("--seed 42 --interval 1ms --count 10 --max-size {max}")).succeeded();
    assert_eq!(folder.inode("data.1"), inode);
    assert_eq!(folder.read("data.1"), full);
    // Ten lines again, to the last byte: a file may be as long as --max-size, and no longer.
    assert_eq!(folder.read("data"), full);

    folder.run(&format!("--seed 42 --interval 0s --count 1 --max-size {max}")).succeeded();
    assert_eq!((folder.right_lines("data.1"), folder.right_lines("data")), (10, 1));
}

#[test]
fn a_file_rotates_before_the_line_that_would_not_fit() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 10").succeeded();
    let max = folder.size("data") + 1;
    folder.run(&format!("--seed 42 --interval 0s --count 1 --max-size {max}")).succeeded();
    assert_eq!((folder.right_lines("data.1"), folder.right_lines("data")), (10, 1));
}

#[test]
fn a_file_that_is_too_long_already_is_rotated_first() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 1000").succeeded();
    folder.run("--seed 42 --interval 0s --count 1 --max-size 100").succeeded();
    assert_eq!((folder.right_lines("data.1"), folder.right_lines("data")), (1000, 1));
}

#[test]
fn a_file_with_lines_takes_no_more_of_a_batch_than_fits() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 100").succeeded();
    let max = folder.size("data") + 300;
    folder.run(&format!("--seed 42 --interval 0s --count 120 --max-size {max}")).succeeded();
    assert!((max - 6..=max).contains(&folder.size("data.1")), "{} bytes of {max}", folder.size("data.1"));
    assert!(folder.right_lines("data.1") > 100 && folder.right_lines("data") > 0);
}

/// What the new file is called until it has its name may be taken, even by a link to what is somebody else's.
#[test]
fn a_link_in_the_place_of_the_new_file_is_not_followed() {
    let folder = Folder::new();
    folder.write("precious", "precious\n");
    symlink("precious", folder.path("data.new")).unwrap();
    folder.run("--seed 42 --interval 0s --count 10 --max-size 20").succeeded();
    assert_eq!(folder.read("precious"), "precious\n");
    assert!(folder.right_lines("data") > 0 && folder.right_lines("data.1") > 0);
}

/// `data.1.new`, where the second name is made, can't be removed: nothing may be lost before it can.
#[test]
fn what_was_rotated_away_stays_until_the_next_takes_its_place() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 8 --max-size 20").succeeded();
    let (before, now) = (folder.read("data.1"), folder.read("data"));
    fs::create_dir(folder.path("data.1.new")).unwrap();
    let mut generator = folder.start("--seed 42 --interval 5ms --max-size 20");
    wait_until("it can't rotate", || generator.logged("cannot replace") == 1);
    assert_eq!(folder.read("data.1"), before);
    assert!(folder.read("data").starts_with(&now));
    fs::remove_dir(folder.path("data.1.new")).unwrap();
    wait_until("it rotates", || generator.logged("rotated") > 0);
    generator.signal(Signal::TERM);
    generator.wait().succeeded();
}

/// A crash between the two steps leaves one file with two names.
#[test]
fn a_rotation_that_was_interrupted_is_taken_back() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 4").succeeded();
    fs::hard_link(folder.path("data"), folder.path("data.1")).unwrap();
    folder.write("data.new", "");
    folder.run("--seed 42 --interval 0s --count 4").succeeded();
    assert_eq!(folder.right_lines("data"), 8);
    assert!(!folder.path("data.1").exists() && !folder.path("data.new").exists());
    // Without such a trace, it is somebody's own link.
    fs::hard_link(folder.path("data"), folder.path("data.1")).unwrap();
    folder.run("--seed 42 --interval 0s --count 1").succeeded();
    assert_eq!(folder.right_lines("data.1"), 9);
}

#[test]
fn it_rotates_at_an_interval_too() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 1ms --count 60 --max-size 50").succeeded();
    assert!(folder.size("data") <= 50 && folder.size("data.1") <= 50);
    assert!(folder.right_lines("data") > 0);
    // One more line of at most 6 bytes would have been too long.
    assert!(folder.right_lines("data.1") > 0 && folder.size("data.1") > 44);
}

#[test]
fn at_every_instant_a_file_has_the_name_and_none_is_too_long() {
    let folder = Folder::new();
    let mut generator = folder.start("--seed 42 --interval 0s --count 50000 --max-size 100 --log-level off");
    wait_until("the file is there", || folder.path("data").exists());
    let mut inodes = HashSet::new();
    while generator.is_running() {
        for _ in 0..100 {
            let data = fs::metadata(folder.path("data")).expect("a file has the name");
            assert!(data.len() <= 100, "{} bytes", data.len());
            inodes.insert(data.ino());
        }
    }
    generator.wait().succeeded();
    assert!(inodes.len() > 1, "no rotation was seen");
    assert!(folder.size("data.1") <= 100);
    folder.right_lines("data");
    folder.right_lines("data.1");
}

#[test]
fn what_an_interrupted_rotation_left_is_overwritten() {
    let folder = Folder::new();
    folder.run("--seed 42 --interval 0s --count 10").succeeded();
    folder.write("data.new", "left behind\n");
    fs::hard_link(folder.path("data"), folder.path("data.1")).unwrap();
    folder.run("--seed 42 --interval 0s --count 3 --max-size 20").succeeded();
    assert_eq!(folder.right_lines("data.1"), 10);
    assert_eq!(folder.right_lines("data"), 3);
    assert!(!folder.path("data.new").exists());
}

#[test]
fn a_rotation_that_fails_is_tried_again_and_no_file_grows_too_long() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("data.1")).unwrap();
    let mut generator = folder.start("--seed 42 --interval 1ms --count 60 --max-size 50");
    wait_until("it cannot rotate", || generator.logged("cannot rotate data") == 1);
    assert!(folder.size("data") <= 50);
    fs::remove_dir(folder.path("data.1")).unwrap();
    generator.wait().succeeded();
    assert_eq!((generator.logged("retrying"), generator.logged("appending again")), (1, 1));
    assert!(folder.right_lines("data") > 0 && folder.right_lines("data.1") > 0);
}

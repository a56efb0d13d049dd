//! One writer a file.

use rustix::process::Signal;

use crate::process::{Folder, wait_until};

#[test]
fn a_second_generator_on_the_same_file_is_refused() {
    let folder = Folder::new();
    let mut first = folder.start("--seed 42 --interval 1h");
    wait_until("the first number", || folder.lines("data") == 1);

    let said = folder.run("--seed 42 --interval 0s --count 1").failed();
    assert!(said.contains("another generator is appending to data"), "{said}");
    let other_file = folder.run("--file other --interval 0s --count 1");
    other_file.succeeded();

    first.stop(Signal::TERM).succeeded();
    assert_eq!(folder.right_lines("data"), 1);
}

#[test]
fn a_refused_generator_does_not_touch_what_the_first_has_not_finished() {
    let folder = Folder::new();
    let _first = folder.start("--interval 1h");
    wait_until("the first number", || folder.lines("data") == 1);
    let torn = folder.read("data") + "12";
    folder.write("data", &torn);
    folder.run("--interval 0s --count 1").failed();
    assert_eq!(folder.read("data"), torn);
}

#[test]
fn the_lock_of_a_killed_generator_does_not_count() {
    let folder = Folder::new();
    let mut first = folder.start("--seed 42 --interval 1h");
    wait_until("the first number", || folder.lines("data") == 1);
    first.kill();
    folder.run("--seed 42 --interval 0s --count 1").succeeded();
    assert_eq!(folder.right_lines("data"), 2);
}

#[test]
fn no_second_generator_slips_in_while_the_first_rotates() {
    let folder = Folder::new();
    let mut first = folder.start("--seed 42 --interval 0s --max-size 100 --log-level warn");
    wait_until("the first rotation", || folder.path("data.1").exists());
    for _ in 0..100 {
        let said = folder.run("--interval 0s --count 1").failed();
        assert!(said.contains("another generator"), "{said}");
    }
    first.stop(Signal::TERM).succeeded();
    assert_eq!(first.log(), "");
    folder.right_lines("data");
    folder.right_lines("data.1");
}

//! What a crash leaves behind, and what the next start makes of it.

use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::process::{Folder, wait_until};

#[test]
fn an_incomplete_last_line_is_cut_off() {
    let folder = Folder::new();
    let whole = folder.sequence(10).concat();
    // Longer than the 64 KiB that are read at a time, so that the last newline is in an earlier piece.
    for torn in ["9".to_owned(), "x".repeat(70_000)] {
        folder.write("data", format!("{whole}{torn}"));
        let ended = folder.run("--seed 42 --interval 0s --count 5");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("cut off an incomplete last line"), "{ended:?}");
        assert!(ended.stderr.contains(&format!("bytes={}", torn.len())), "{ended:?}");
        assert_eq!(folder.right_lines("data"), 15);
    }
}

#[test]
fn a_file_that_is_one_incomplete_line_is_emptied() {
    let folder = Folder::new();
    folder.write("data", "123");
    folder.run("--seed 42 --interval 0s --count 5").succeeded();
    assert_eq!(folder.right_lines("data"), 5);
}

#[test]
fn a_whole_file_is_kept_and_nothing_is_said_of_it() {
    let folder = Folder::new();
    folder.write("data", "somebody's\nlines\n");
    let ended = folder.run("--interval 0s --count 1");
    assert!(!ended.stderr.contains("cut off"), "{ended:?}");
    assert!(folder.read("data").starts_with("somebody's\nlines\n"));
    assert_eq!(folder.lines("data"), 3);
}

#[test]
fn killed_200_times_at_random_moments_it_loses_and_repeats_no_line() {
    let folder = Folder::new();
    for round in 0..200 {
        let size = folder.size("data");
        let mut generator = folder.start("--seed 42 --interval 0s --log-level off");
        // Every other one dies while it starts, the rest in the midst of appending.
        if round % 2 == 0 {
            wait_until("it has appended", || folder.size("data") > size);
        }
        spin(random_up_to(Duration::from_millis(3)));
        generator.kill();
    }
    assert!(folder.right_lines("data") >= 100);
}

#[test]
fn killed_while_it_rotates_it_leaves_two_right_files() {
    let folder = Folder::new();
    for _ in 0..50 {
        let mut generator = folder.start("--seed 42 --interval 0s --max-size 100 --log-level off");
        wait_until("it has rotated", || folder.path("data.1").exists());
        spin(random_up_to(Duration::from_millis(2)));
        generator.kill();
        assert!(folder.path("data").exists());
        folder.right_lines("data");
        // A kill between the removal of the last `data.1` and the next leaves none.
        if folder.path("data.1").exists() {
            folder.right_lines("data.1");
        }
    }
    folder.run("--seed 42 --interval 0s --max-size 100 --count 100").succeeded();
    assert!(folder.right_lines("data") > 0 && folder.right_lines("data.1") > 0);
}

fn random_up_to(longest: Duration) -> Duration {
    longest.mul_f64(f64::from(SysRng.try_next_u32().unwrap()) / f64::from(u32::MAX))
}

/// Passes a time too short for the scheduler: the point is the moment, not the wait.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

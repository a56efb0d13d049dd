//! What is written: lines, each a number, as many as were asked for, and which ones with a seed.

use rustix::fs::OFlags;

use crate::process::{Folder, Process, wait_until};

/// One more than fits into one batched write, and a few batches.
const COUNTS: [usize; 4] = [1, 10_922, 10_923, 30_000];

#[test]
fn every_line_is_a_number_from_0_to_32767() {
    let folder = Folder::new();
    folder.run("--interval 0s --count 20000").succeeded();
    let data = folder.read("data");
    assert!(data.ends_with('\n'));
    for line in data.lines() {
        let number: u16 = line.parse().unwrap();
        assert!(number <= 32767 && line == number.to_string(), "{line:?}");
    }
}

#[test]
fn as_fast_as_it_goes_it_still_writes_exactly_so_many_whole_lines() {
    for count in COUNTS {
        let folder = Folder::new();
        folder.run(&format!("--interval 0s --seed 42 --count {count}")).succeeded();
        assert_eq!(folder.right_lines("data"), count);
        assert!(folder.read("data").ends_with('\n'));
    }
}

#[test]
fn with_an_interval_it_stops_after_so_many_numbers() {
    let folder = Folder::new();
    folder.run("--interval 1ms --seed 42 --count 7").succeeded();
    assert_eq!(folder.right_lines("data"), 7);
}

#[test]
fn the_count_is_of_this_run_and_not_of_the_file() {
    let folder = Folder::new();
    folder.run("--interval 0s --count 3").succeeded();
    folder.run("--interval 0s --count 3").succeeded();
    assert_eq!(folder.lines("data"), 6);
}

#[test]
fn without_a_seed_no_two_runs_are_alike() {
    let folder = Folder::new();
    folder.run("--file a --interval 0s --count 20").succeeded();
    folder.run("--file b --interval 0s --count 20").succeeded();
    assert_ne!(folder.read("a"), folder.read("b"));
}

#[test]
fn with_a_seed_two_runs_write_what_one_run_would() {
    let folder = Folder::new();
    for count in COUNTS {
        folder.run(&format!("--file two --seed 42 --interval 0s --count {count}")).succeeded();
    }
    let all: usize = COUNTS.iter().sum();
    folder.run(&format!("--file one --seed 42 --interval 0s --count {all}")).succeeded();
    assert!(folder.read("two") == folder.read("one"), "the files differ");
}

#[test]
fn with_a_seed_the_numbers_do_not_depend_on_the_pace() {
    let folder = Folder::new();
    folder.run("--file fast --seed 42 --interval 0s --count 30").succeeded();
    folder.run("--file slow --seed 42 --interval 1ms --count 30").succeeded();
    assert_eq!(folder.read("fast"), folder.read("slow"));
    folder.run("--file other --seed 43 --interval 0s --count 30").succeeded();
    assert_ne!(folder.read("fast"), folder.read("other"));
}

#[test]
fn the_file_is_there_before_the_first_number() {
    let folder = Folder::new();
    let generator = folder.start_with_room(0, "--interval 1h");
    wait_until("the first number has no room", || generator.logged("cannot append") == 1);
    assert!(folder.path("data").exists());
    assert_eq!(folder.size("data"), 0);
}

#[test]
fn sync_writes_the_same_numbers() {
    let folder = Folder::new();
    folder.run("--sync --seed 42 --interval 1ms --count 20").succeeded();
    folder.run("--sync --seed 42 --interval 0s --count 20000").succeeded();
    assert_eq!(folder.right_lines("data"), 20_020);
    folder.run("--sync --seed 42 --interval 0s --count 100 --max-size 100").succeeded();
    assert!(folder.right_lines("data") > 0 && folder.right_lines("data.1") > 0);
}

/// No test can cut the power; that the kernel was asked for durable writes is what can be seen from outside.
#[test]
fn sync_opens_the_file_for_durable_writes_and_both_append() {
    for (arguments, durable) in [("--interval 1h", false), ("--interval 1h --sync", true)] {
        let folder = Folder::new();
        let generator = folder.start(arguments);
        wait_until("the first number", || folder.lines("data") == 1);
        let flags = open_flags(&generator, &folder);
        assert!(flags.contains(OFlags::APPEND), "{flags:?}");
        assert_eq!(flags.contains(OFlags::DSYNC), durable, "{flags:?}");
    }
}

/// The flags with which the generator has opened `data`.
fn open_flags(generator: &Process, folder: &Folder) -> OFlags {
    let descriptor = generator.descriptor(&folder.path("data")).unwrap();
    let flags = descriptor.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    OFlags::from_bits_retain(u32::from_str_radix(flags.trim(), 8).unwrap())
}

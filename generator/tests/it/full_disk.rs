//! A disk without room, and with room again: nothing is torn, lost, or said twice.

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::process::{Folder, Process, wait_until};
use crate::small_disk::on_a_small_disk;

/// The beginning of the sequence of the seed 42, cut in its second line.
const TORN: &str = "3271\n114";

/// Long enough for several retries at the intervals used here; a slower machine makes fewer, and that is as well.
fn let_it_retry() {
    let begun = Instant::now();
    wait_until("several retries", || begun.elapsed() > Duration::from_millis(300));
}

/// However often it tried: once that it could not append, and once that it could again.
#[track_caller]
fn assert_said_once(generator: &Process) {
    let log = generator.log();
    assert_eq!((generator.logged("retrying"), generator.logged("appending again")), (1, 1), "{log}");
}

#[test]
fn a_torn_line_is_finished_when_there_is_room_again() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(8, "--seed 42 --interval 5ms --count 20");
    wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
    let_it_retry();
    assert_eq!(folder.read("data"), TORN);
    generator.limit_files(None);
    generator.wait().succeeded();
    assert_eq!(folder.right_lines("data"), 20);
    assert_said_once(&generator);
}

#[test]
fn a_line_of_which_nothing_fitted_is_written_when_there_is_room_again() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(5, "--seed 42 --interval 5ms --count 20");
    wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
    let_it_retry();
    assert_eq!(folder.read("data"), "3271\n");
    generator.limit_files(None);
    generator.wait().succeeded();
    assert_eq!(folder.right_lines("data"), 20);
    assert_said_once(&generator);
}

/// An operator who empties the file makes room, and leaves nothing that the torn line could be finished behind.
#[test]
fn what_is_left_to_write_is_not_written_where_it_does_not_belong() {
    for (room, moved) in [(8, false), (5, false), (8, true)] {
        let folder = Folder::new();
        let interval = if moved { "5ms" } else { "1h" };
        let seed = format!("--seed 42 --interval {interval}");
        folder.run("--seed 42 --interval 0s --count 1").succeeded();
        let mut generator = folder.start_with_room(room, &seed);
        wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
        if moved {
            fs::rename(folder.path("data"), folder.path("old")).unwrap();
        }
        let file = if moved { "old" } else { "data" };
        folder.write(file, "");
        generator.limit_files(None);
        if moved {
            wait_until("a new file is begun", || folder.size("data") > 20);
        }
        generator.signal(Signal::TERM);
        generator.wait().succeeded();
        assert_eq!(folder.read(file), "", "{room} {moved}");
    }
}

/// The lines that were still to be written go into the file that was given up, and count.
#[test]
fn no_more_lines_are_written_than_were_to_be() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(300, "--seed 42 --interval 0s --count 100");
    wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
    fs::rename(folder.path("data"), folder.path("old")).unwrap();
    generator.limit_files(None);
    generator.wait().succeeded();
    assert_eq!((folder.right_lines("old"), folder.size("data")), (100, 0));
}

#[test]
fn a_torn_batch_is_finished_when_there_is_room_again() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(100_003, "--seed 42 --interval 0s --count 30000");
    wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
    let_it_retry();
    assert_eq!(folder.size("data"), 100_003);
    generator.limit_files(None);
    generator.wait().succeeded();
    assert_eq!(folder.right_lines("data"), 30_000);
    assert_said_once(&generator);
}

#[test]
fn a_disk_that_is_full_twice_is_said_twice() {
    let folder = Folder::new();
    let generator = folder.start_with_room(8, "--seed 42 --interval 5ms");
    for times in 1..=2 {
        wait_until("the disk is full", || generator.logged("retrying") == times);
        generator.limit_files(None);
        wait_until("it goes on", || generator.logged("appending again") == times);
        generator.limit_files(Some(folder.size("data")));
    }
}

#[test]
fn a_line_torn_by_a_crash_on_a_full_disk_is_cut_off_and_written_anew() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(8, "--seed 42 --interval 5ms");
    wait_until("a line is torn", || folder.read("data") == TORN);
    generator.kill();
    folder.run("--seed 42 --interval 0s --count 9").succeeded();
    assert_eq!(folder.right_lines("data"), 10);
}

/// The end that was asked for is no failure, whatever the disk is like.
#[test]
fn it_stops_with_status_0_on_a_full_disk() {
    for interval in ["5ms", "0s"] {
        let folder = Folder::new();
        let mut generator = folder.start_with_room(8, &format!("--seed 42 --interval {interval}"));
        wait_until("the disk is full", || generator.logged("cannot append to data") == 1);
        generator.stop(Signal::TERM).succeeded();
        assert_eq!(folder.right_lines("data"), 1);
    }
}

/// Nobody may come again to finish it, and cutting it off needs no room.
#[test]
fn it_leaves_no_torn_line_when_it_stops_on_a_full_disk() {
    let folder = Folder::new();
    let mut generator = folder.start_with_room(8, "--seed 42 --interval 5ms");
    wait_until("a line is torn", || folder.read("data") == TORN);
    generator.stop(Signal::TERM);
    assert_eq!(folder.read("data"), "3271\n");
}

/// A log is often a file beside the data, and then as full as it.
#[test]
fn a_log_that_cannot_be_written_does_not_end_it() {
    let folder = Folder::new();
    let script = r#"exec "$0" "$@" 2>/dev/full"#;
    Process::start(&mut folder.shell(script, "--seed 42 --interval 1ms --count 5")).wait().succeeded();
    assert_eq!(folder.right_lines("data"), 5);
}

#[test]
fn it_waits_on_a_real_full_disk_and_finishes_when_there_is_room() {
    on_a_small_disk("full_disk::it_waits_on_a_real_full_disk_and_finishes_when_there_is_room", "size=64k", |disk| {
        disk.write("ballast", vec![0; 40 * 1024]);
        let mut generator = disk.start("--seed 42 --interval 0s --count 8000");
        wait_until("the disk is full", || generator.logged("No space left on device") == 1);
        let_it_retry();
        assert!(generator.is_running());
        disk.run("check").succeeded();

        fs::remove_file(disk.path("ballast")).unwrap();
        generator.wait().succeeded();
        assert_said_once(&generator);
        assert_eq!(disk.right_lines("data"), 8000);
    });
}

#[test]
fn it_waits_to_begin_on_a_disk_too_full_for_a_file() {
    on_a_small_disk("full_disk::it_waits_to_begin_on_a_disk_too_full_for_a_file", "nr_inodes=2", |disk| {
        disk.write("ballast", "");
        let mut generator = disk.start("--seed 42 --interval 5ms --count 5");
        wait_until("the disk is full", || generator.logged("No space left on device") == 1);
        let_it_retry();
        assert!(generator.is_running());
        let said = disk.run("check").succeeded();
        assert!(said.contains("the disk is full"), "{said}");

        fs::remove_file(disk.path("ballast")).unwrap();
        generator.wait().succeeded();
        assert_said_once(&generator);
        assert_eq!(disk.right_lines("data"), 5);
    });
}

#[test]
fn an_old_file_on_a_full_disk_is_no_reason_for_a_restart() {
    on_a_small_disk("full_disk::an_old_file_on_a_full_disk_is_no_reason_for_a_restart", "size=64k", |disk| {
        disk.write("ballast", vec![0; 60 * 1024]);
        disk.write("data", "1\n");
        File::open(disk.path("data")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let said = disk.run("check").succeeded();
        assert!(said.contains("the disk is full"), "{said}");
        fs::remove_file(disk.path("ballast")).unwrap();
        disk.run("check").failed();
    });
}

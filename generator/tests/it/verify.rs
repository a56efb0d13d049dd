//! `generator verify`, the proof that nothing was lost.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::process::{Folder, Process, wait_until};

/// Writes `lines` to `data`, and returns what verify says of it.
fn complaint_about(folder: &Folder, lines: &[String]) -> String {
    folder.write("data", lines.concat());
    folder.run("verify --seed 42 data").failed()
}

/// Where the line with this number begins.
fn offset_of(number: usize, lines: &[String]) -> usize {
    lines[..number - 1].concat().len()
}

#[test]
fn a_right_file_is_right() {
    let folder = Folder::new();
    for (count, said) in [(1, "1 line is right\n"), (3, "3 lines are right\n"), (100_000, "100000 lines are right\n")] {
        folder.write("data", folder.sequence(count).concat());
        assert_eq!(folder.run("verify --seed 42 data").succeeded(), said);
    }
    folder.write("data", "");
    assert_eq!(folder.run("verify --seed 42 data").succeeded(), "0 lines are right\n");
}

#[test]
fn another_seed_has_other_lines() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(10).concat());
    let said = folder.run("verify --seed 43 data").failed();
    assert!(said.starts_with("line 1 at byte 0 is foreign: found \"3271\""), "{said}");
}

#[test]
fn a_missing_line_is_named_by_number_and_byte_offset() {
    let folder = Folder::new();
    let mut lines = folder.sequence(10_000);
    lines.remove(6_999);
    let offset = offset_of(7_000, &lines);
    assert_eq!(complaint_about(&folder, &lines), format!("line 7000 is missing at byte {offset}\n"));
    lines.drain(..3);
    assert_eq!(complaint_about(&folder, &lines), "line 1 is missing at byte 0, and so are the 2 after it\n");
}

#[test]
fn a_repeated_line_is_named_by_number_and_byte_offset() {
    let folder = Folder::new();
    let mut lines = folder.sequence(10_000);
    lines.insert(7_000, lines[6_999].clone());
    let offset = offset_of(7_001, &lines);
    let expected = format!("line 7001 at byte {offset} is repeated: it is line 7000 again\n");
    assert_eq!(complaint_about(&folder, &lines), expected);
}

#[test]
fn a_foreign_line_is_named_by_number_and_byte_offset() {
    let folder = Folder::new();
    let right = folder.sequence(10_000);
    let expected = right[6_999].trim_end();
    let offset = offset_of(7_000, &right);
    for foreign in ["hello", "", "-1", "00007", "32768", "7 "] {
        let mut lines = right.clone();
        lines[6_999] = format!("{foreign}\n");
        let said = format!("line 7000 at byte {offset} is foreign: found {foreign:?}, expected {expected}\n");
        assert_eq!(complaint_about(&folder, &lines), said);
    }
}

#[test]
fn of_several_faults_the_first_is_named() {
    let folder = Folder::new();
    let mut lines = folder.sequence(100);
    lines[49] = "foreign\n".to_owned();
    lines[89] = "foreign\n".to_owned();
    assert!(complaint_about(&folder, &lines).starts_with("line 50 "));
}

#[test]
fn an_incomplete_last_line_is_mentioned_and_not_counted() {
    let folder = Folder::new();
    folder.write("data", "3271\n11411\n28");
    let said = folder.run("verify --seed 42 data").succeeded();
    assert_eq!(said, "2 lines are right; an incomplete last line (2 bytes) is not counted\n");
}

#[test]
fn it_follows_a_file_that_is_not_there_yet_until_it_has_the_lines() {
    let folder = Folder::new();
    let mut verify = folder.start("verify --seed 42 --lines 20 data");
    wait_until("it waits", || verify.catches_sigterm());
    folder.run("--seed 42 --interval 5ms --count 20").succeeded();
    assert_eq!(verify.wait().succeeded(), "20 lines are right\n");
}

#[test]
fn it_follows_no_further_than_the_first_wrong_line() {
    let folder = Folder::new();
    folder.write("data", "3271\nhello\n");
    let said = folder.run("verify --seed 42 --lines 1000000 data").failed();
    assert!(said.starts_with("line 2 at byte 5 is foreign"), "{said}");
}

#[test]
fn lines_that_do_not_come_in_time_are_missed() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(3).concat());
    let said = folder.run("verify --seed 42 --lines 4 --timeout 200ms data").failed();
    assert_eq!(said, "data has only 3 of 4 lines after 200ms\n");
}

#[test]
fn lines_that_are_there_need_no_time() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(3).concat());
    assert_eq!(folder.run("verify --seed 42 --lines 3 --timeout 0s data").succeeded(), "3 lines are right\n");
}

#[test]
fn without_lines_to_wait_for_the_timeout_does_not_matter() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(3).concat());
    assert_eq!(folder.run("verify --seed 42 --timeout 0s data").succeeded(), "3 lines are right\n");
}

#[test]
fn a_file_that_can_be_no_file_of_ours_is_refused() {
    let folder = Folder::new();
    let said = folder.run("verify --seed 42 nowhere").failed();
    assert!(said.contains("cannot open nowhere"), "{said}");
    let said = folder.run("verify --seed 42 .").failed();
    assert_eq!(said, ". is neither a regular file nor a pipe\n");
}

/// It has no length to stop at, and what was not read must not pass for right.
#[test]
fn a_pipe_is_read_to_its_end() {
    let folder = Folder::new();
    folder.write("right", folder.sequence(3).concat());
    folder.write("wrong", folder.sequence(3).concat() + "hello\n");
    let verify = |script, arguments: &str| Process::start(&mut folder.shell(script, arguments)).wait();
    // The second piece comes when the first has long been read.
    let script = r#"(cat right; sleep 0.3; tail -n 1 wrong) | "$0" "$@""#;
    assert!(verify(script, "verify --seed 42 /dev/stdin").failed().starts_with("line 4 at byte"));
    let script = r#"cat right | "$0" "$@""#;
    assert_eq!(verify(script, "verify --seed 42 /dev/stdin").succeeded(), "3 lines are right\n");
    let said = verify(script, "verify --seed 42 --lines 4 --timeout 200ms /dev/stdin").failed();
    assert_eq!(said, "/dev/stdin has only 3 of 4 lines after 200ms\n");
    let said = verify(r#": | "$0" "$@""#, "verify --seed 42 --timeout 200ms /dev/stdin").failed();
    assert_eq!(said, "/dev/stdin has only 0 lines after 200ms\n");
}

#[test]
fn a_signal_ends_it_even_before_anybody_writes_to_the_fifo_it_opens() {
    let folder = Folder::new();
    mknodat(CWD, folder.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut verify = folder.start("verify --seed 42 fifo");
    wait_until("it waits, or has ended", || !verify.is_running() || verify.catches_sigterm());
    if verify.is_running() {
        verify.signal(Signal::TERM);
    }
    assert_ne!(verify.wait().code, Some(0));
}

#[test]
fn a_signal_ends_the_following_and_nothing_passes_for_right() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        folder.write("data", folder.sequence(3).concat());
        let mut verify = folder.start("verify --seed 42 --lines 4 data");
        wait_until("it waits", || verify.catches_sigterm());
        let said = verify.stop(signal).failed();
        assert!(said.starts_with("ended by SIG"), "{said}");
    }
}

#[test]
fn a_file_replaced_or_truncated_while_it_is_followed_is_not_right() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(3).concat());
    let mut verify = folder.start("verify --seed 42 --lines 4 data");
    wait_until("it has read the lines", || position_in_data(&verify, &folder) == Some(folder.size("data")));
    File::options().write(true).open(folder.path("data")).unwrap().set_len(5).unwrap();
    let said = verify.wait().failed();
    assert!(said.contains("data was truncated to 5 bytes"), "{said}");

    let mut verify = folder.start("verify --seed 42 --lines 4 data");
    wait_until("it has read the line", || position_in_data(&verify, &folder) == Some(folder.size("data")));
    fs::remove_file(folder.path("data")).unwrap();
    let said = verify.wait().failed();
    assert!(said.contains("data was deleted or replaced"), "{said}");
}

/// As a generator does that was killed in the middle of a write, and started again.
#[test]
fn an_incomplete_line_may_be_cut_off_and_written_anew() {
    let folder = Folder::new();
    let lines = folder.sequence(5).concat();
    folder.write("data", &lines[..8]);
    let mut verify = folder.start("verify --seed 42 --lines 5 data");
    wait_until("it has read the torn line", || position_in_data(&verify, &folder) == Some(8));
    let mut file = File::options().append(true).open(folder.path("data")).unwrap();
    file.set_len(5).unwrap();
    wait_until("it has noticed", || position_in_data(&verify, &folder) == Some(5));
    file.write_all(&lines.as_bytes()[5..]).unwrap();
    assert_eq!(verify.wait().succeeded(), "5 lines are right\n");
}

#[test]
fn what_comes_through_a_pipe_may_take_its_time() {
    let folder = Folder::new();
    let lines = folder.sequence(5).concat();
    mknodat(CWD, folder.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut fifo = File::options().read(true).write(true).open(folder.path("fifo")).unwrap();
    fifo.write_all(&lines.as_bytes()[..8]).unwrap();
    let mut verify = folder.start("verify --seed 42 --timeout 0s fifo");
    wait_until("it has read the beginning", || rustix::io::ioctl_fionread(&fifo).unwrap() == 0);
    let began = Instant::now();
    wait_until("it has looked for more", || began.elapsed() > Duration::from_millis(200));
    fifo.write_all(&lines.as_bytes()[8..]).unwrap();
    drop(fifo);
    assert_eq!(verify.wait().succeeded(), "5 lines are right\n");
}

/// How far the process has read into `data`.
fn position_in_data(process: &Process, folder: &Folder) -> Option<u64> {
    let descriptor = process.descriptor(&folder.path("data"))?;
    descriptor.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()
}

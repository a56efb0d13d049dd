//! A log that nobody reads.

use std::io::{BufRead, BufReader, PipeReader, Write, pipe};
use std::process::{Command, Stdio};

use rustix::pipe::fcntl_getpipe_size;
use rustix::process::Signal;

use crate::process::{Folder, Process, wait_until};

/// Starts `command` with a full pipe as stderr; nobody reads what it holds.
fn start_with_full_log(command: &mut Command) -> (Process, PipeReader) {
    let (reader, mut writer) = pipe().unwrap();
    let room = fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'\n'; room]).unwrap();
    (Process::start_with_log(command, Stdio::from(writer)), reader)
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_a_line_nor_the_end() {
    let folder = Folder::new();
    let (mut generator, _log) = start_with_full_log(&mut folder.generator("--seed 42 --interval 1ms"));
    wait_until("it appends", || folder.lines("data") >= 20);
    generator.stop(Signal::TERM).succeeded();
    assert!(folder.right_lines("data") >= 20);
}

#[test]
fn lines_that_found_no_room_are_counted_when_the_log_is_read_again() {
    let folder = Folder::new();
    // Each number is a file of its own, and each rotation a line of the log.
    let (generator, log) = start_with_full_log(&mut folder.generator("--interval 0s --max-size 6"));
    wait_until("more rotations than the log holds", || writes_of(&generator) > 30_000);
    let lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut lines = lines.filter(|line| !line.is_empty()).take(60_000);
    let said = lines.find(|line| line.contains("lines were lost")).expect("the loss is reported");
    assert!(said.contains("ERROR"), "{said}");
}

/// How often the process has called `write`.
fn writes_of(process: &Process) -> u64 {
    let io = process.proc("io");
    let writes = io.lines().find_map(|line| line.strip_prefix("syscw:")).unwrap_or("0");
    writes.trim().parse().unwrap()
}

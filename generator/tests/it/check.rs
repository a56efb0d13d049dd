//! `generator check`, the liveness probe.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::process::{Ended, Folder, Process, wait_until};

const HOUR: Duration = Duration::from_hours(1);

/// A folder whose `data` was last written at `time`.
fn written_at(time: SystemTime) -> Folder {
    let folder = Folder::new();
    folder.write("data", "1\n");
    File::open(folder.path("data")).unwrap().set_modified(time).unwrap();
    folder
}

fn written_ago(age: Duration) -> Folder {
    written_at(SystemTime::now() - age)
}

#[test]
fn a_running_generator_is_alive() {
    let folder = Folder::new();
    let _generator = folder.start("--interval 1h");
    wait_until("the first number", || folder.lines("data") == 1);
    let said = folder.run("check --interval 1h").succeeded();
    assert!(said.starts_with("data was written"), "{said}");
}

#[test]
fn a_file_may_be_three_intervals_old() {
    written_ago(Duration::from_mins(179)).run("check --interval 1h").succeeded();
    let said = written_ago(Duration::from_mins(181)).run("check --interval 1h").failed();
    assert!(said.contains("data was last written") && said.contains("more than 10801s"), "{said}");
}

/// The next line of a generator that is alive has a date that is right again.
#[test]
fn a_time_in_the_future_counts_as_now_but_not_for_long() {
    written_at(SystemTime::now() + Duration::from_secs(5)).run("check").succeeded();
    let said = written_at(SystemTime::now() + HOUR).run("check").failed();
    assert!(said.contains("before the clock was set back"), "{said}");
}

/// The server of a network file system may have a clock of its own.
#[test]
fn a_time_in_the_future_does_no_harm_to_a_generator_that_says_it_is_alive() {
    let folder = Folder::new();
    let mut generator = folder.start("--interval 1h");
    let in_an_hour = || File::open(folder.path("data")).unwrap().set_modified(SystemTime::now() + HOUR).unwrap();
    wait_until("the first number", || folder.lines("data") == 1);
    in_an_hour();
    let said = folder.run("check --interval 10s").succeeded();
    assert!(said.starts_with("data was written"), "{said}");
    generator.kill();
    wait_until("it is missed", || folder.run("check --interval 0s").code == Some(1));
}

#[test]
fn a_missing_file_is_no_sign_of_life() {
    let folder = Folder::new();
    let said = folder.run("check").failed();
    assert!(said.contains("data") && said.contains("No such file"), "{said}");
    // On a file system that has no blocks to be full.
    let said = folder.run("check --file /proc/nowhere").failed();
    assert!(said.contains("/proc/nowhere") && said.contains("No such file"), "{said}");
    let said = folder.run("check --file nowhere/data").failed();
    assert!(said.contains("nowhere/data"), "{said}");
}

#[test]
fn it_looks_at_the_file_of_the_flag_or_variable() {
    let folder = written_ago(HOUR);
    folder.write("fresh", "1\n");
    folder.run("check --file fresh --interval 1h").succeeded();
    let by_variable = |file: &str| -> Ended {
        Process::start(folder.generator("check").env("GENERATOR_FILE", file).env("GENERATOR_INTERVAL", "10s")).wait()
    };
    by_variable("fresh").succeeded();
    let said = by_variable("data").failed();
    assert!(said.contains("more than 31s"), "{said}");
}

/// One set of variables configures a container, for the generator and for its probe.
#[test]
fn the_variables_that_are_not_its_own_do_not_disturb_it() {
    let folder = written_ago(Duration::ZERO);
    let mut check = folder.generator("check --interval 1h");
    let variables = [
        ("GENERATOR_COUNT", "3"),
        ("GENERATOR_SEED", "42"),
        ("GENERATOR_MAX_SIZE", "1000"),
        ("GENERATOR_SYNC", "true"),
        ("GENERATOR_LOG_FORMAT", "json"),
        ("GENERATOR_LOG_LEVEL", "warn"),
    ];
    Process::start(check.envs(variables)).wait().succeeded();
}

#[test]
fn it_writes_nothing() {
    let folder = Folder::new();
    folder.run("check").failed();
    assert!(!folder.path("data").exists());
}

//! Where a setting comes from, and what the program says of itself.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::process::{Folder, Process, wait_until};

#[test]
fn a_flag_wins_over_its_variable_and_that_over_the_default() {
    let folder = Folder::new();
    let file_of = |arguments: &str, variable: Option<&str>| {
        let mut command = folder.generator(&format!("{arguments} --interval 0s --count 1"));
        Process::start(command.envs(variable.map(|file| ("GENERATOR_FILE", file)))).wait().succeeded();
        let written: Vec<_> = ["data", "variable", "flag"].into_iter().filter(|name| folder.size(name) > 0).collect();
        fs::remove_file(folder.path(written[0])).unwrap();
        written.concat()
    };
    assert_eq!(file_of("", None), "data");
    assert_eq!(file_of("", Some("variable")), "variable");
    assert_eq!(file_of("--file flag", Some("variable")), "flag");
}

/// `check` tells the interval that it reckons with, so that no test has to take its time.
#[test]
fn the_interval_is_2s_unless_a_variable_or_flag_says_otherwise() {
    let folder = Folder::new();
    folder.write("data", "1\n");
    let long_ago = SystemTime::now() - Duration::from_hours(24);
    File::open(folder.path("data")).unwrap().set_modified(long_ago).unwrap();
    for (arguments, variable, allowed) in [
        ("check", None, "more than 7s"),
        ("check", Some("10s"), "more than 31s"),
        ("check --interval 20s", Some("10s"), "more than 61s"),
        ("check --interval 500ms", None, "more than 2.5s"),
    ] {
        let mut command = folder.generator(arguments);
        let said = Process::start(command.envs(variable.map(|value| ("GENERATOR_INTERVAL", value)))).wait().failed();
        assert!(said.contains(allowed), "{said}");
    }
}

#[test]
fn every_flag_of_a_run_has_a_variable() {
    let folder = Folder::new();
    let variables = [
        ("GENERATOR_FILE", "numbers"),
        ("GENERATOR_INTERVAL", "0s"),
        ("GENERATOR_COUNT", "10"),
        ("GENERATOR_SEED", "42"),
        ("GENERATOR_MAX_SIZE", "40"),
        ("GENERATOR_SYNC", "true"),
        ("GENERATOR_LOG_FORMAT", "json"),
        ("GENERATOR_LOG_LEVEL", "off"),
    ];
    let ended = Process::start(folder.generator("").envs(variables)).wait();
    assert_eq!(ended.stderr, "");
    ended.succeeded();
    assert_eq!(folder.right_lines("numbers") + folder.right_lines("numbers.1"), 10);
}

#[test]
fn every_flag_of_verify_has_a_variable() {
    let folder = Folder::new();
    folder.write("data", folder.sequence(3).concat());
    let verify = |lines: &str| {
        let variables = [("GENERATOR_SEED", "42"), ("GENERATOR_LINES", lines), ("GENERATOR_TIMEOUT", "100ms")];
        Process::start(folder.generator("verify data").envs(variables)).wait()
    };
    assert_eq!(verify("3").succeeded(), "3 lines are right\n");
    assert_eq!(verify("4").failed(), "data has only 3 of 4 lines after 100ms\n");
}

#[test]
fn the_log_is_text_for_people_on_stderr_alone() {
    let folder = Folder::new();
    let ended = folder.run("--interval 0s --count 3");
    assert_eq!(ended.stdout, "");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("INFO appending file=data"), "{lines:?}");
    assert!(lines[1].contains("INFO stopping after --count lines=3"), "{lines:?}");
}

#[test]
fn as_json_the_log_is_one_object_a_line() {
    let folder = Folder::new();
    folder.write("data", "torn");
    let mut generator = folder.start("--interval 1h --log-format json");
    wait_until("the first number", || folder.lines("data") == 1);
    let log = generator.stop(Signal::TERM).stderr;
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, (level, message)) in lines.iter().zip([
        ("WARN", "cut off an incomplete last line"),
        ("INFO", "appending"),
        ("INFO", "stopping on SIGTERM"),
    ]) {
        assert!(line.starts_with(r#"{"timestamp":""#) && line.ends_with('}'), "{line}");
        assert!(line.contains(&format!(r#""level":"{level}","message":"{message}""#)), "{line}");
    }
    let ended = folder.run("--file nowhere/data --log-format json").failed();
    assert!(ended.starts_with(r#"{"timestamp":""#) && ended.contains(r#""level":"ERROR""#), "{ended}");
}

#[test]
fn the_log_can_be_thinned_out() {
    let folder = Folder::new();
    folder.write("data", "torn");
    let ended = folder.run("--interval 0s --count 1 --log-level warn");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("WARN cut off"), "{ended:?}");
    assert_eq!(folder.run("--interval 0s --count 1 --log-level off").stderr, "");
}

#[test]
fn it_tells_its_version() {
    let said = Folder::new().run("--version").succeeded();
    assert_eq!(said, format!("generator {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_names_every_flag_with_its_variable_and_default() {
    let folder = Folder::new();
    let help = folder.run("--help").succeeded();
    for flag in ["file", "interval", "count", "seed", "max-size", "sync", "log-format", "log-level"] {
        let variable = format!("GENERATOR_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{flag}")) && help.contains(&variable), "{flag}: {help}");
    }
    for words in ["[default: data]", "[default: 2s]", "check", "verify", "SIGTERM"] {
        assert!(help.contains(words), "{words}: {help}");
    }
    let help = folder.run("check --help").succeeded();
    assert!(help.contains("--file") && help.contains("--interval") && help.contains("liveness"), "{help}");
    let help = folder.run("verify --help").succeeded();
    for flag in ["--seed", "--lines", "--timeout", "<FILE>"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn a_summary_fits_a_terminal_and_the_help_has_examples() {
    let folder = Folder::new();
    for arguments in ["-h", "check -h", "verify -h"] {
        let summary = folder.run(arguments).succeeded();
        let longest = summary.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?}: {summary}");
    }
    let help = folder.run("--help").succeeded();
    let examples = help.split_once("Examples:").unwrap().1;
    assert_eq!(examples.lines().filter(|line| line.trim_start().starts_with("generator ")).count(), 3, "{help}");
}

#[test]
fn an_empty_variable_is_as_unset() {
    let folder = Folder::new();
    let names = ["FILE", "INTERVAL", "COUNT", "SEED", "MAX_SIZE", "SYNC", "LOG_FORMAT", "LOG_LEVEL"];
    let empty = names.map(|name| (format!("GENERATOR_{name}"), ""));
    let mut command = folder.generator("--count 1");
    let ended = Process::start(command.envs(empty)).wait();
    assert!(ended.stderr.contains("INFO appending file=data interval=2s"), "{ended:?}");
    ended.succeeded();
    let mut command = folder.generator("verify --seed 42 --lines 1 data");
    folder.write("data", "3271\n");
    let empty = ["SEED", "LINES", "TIMEOUT"].map(|name| (format!("GENERATOR_{name}"), ""));
    Process::start(command.envs(empty)).wait().succeeded();
}

#[test]
fn a_size_may_have_a_unit() {
    for (size, bytes) in [("30", 30), ("1kB", 1000), ("1KiB", 1024), ("1 k", 1000), ("0MiB", 0), ("1ki", 1024)] {
        let folder = Folder::new();
        let mut command = folder.generator("--interval 0s --count 1000");
        let ended = Process::start(command.args(["--max-size", size])).wait();
        if bytes == 0 {
            assert_eq!(ended.code, Some(2), "{size}");
            continue;
        }
        ended.succeeded();
        assert!((bytes - 6..=bytes).contains(&folder.size("data.1")), "{size}: {}", folder.size("data.1"));
    }
}

/// The file of the example is put where the error says.
#[test]
fn a_bare_file_name_is_answered_with_what_was_meant() {
    let ended = Folder::new().run("numbers");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--file numbers"), "{ended:?}");
}

//! What can't work is refused at start: with one clear line and another status than 0.

use std::fs;
use std::net::TcpListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::get;
use crate::process::{Program, Server, echo};

/// Runs the program, in a folder with nothing but a folder `folder` and a file `file`, until it ends.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("file"), "1\n").unwrap();
    let mut command = echo(folder.path());
    let mut program =
        Program::start(command.env("ECHO_LISTEN", "127.0.0.1:0").envs(variables.to_vec()).args(arguments));
    (program.ended().code(), program.log_to_the_end())
}

/// Checks that a command line is refused by a first line with all of `words`; only hints may follow.
#[track_caller]
fn refuses(arguments: &[&str], variables: &[(&str, &str)], words: &[&str]) {
    let (status, said) = run(arguments, variables);
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && words.iter().all(|word| first.contains(word)), "{arguments:?}: {said}");
    assert_eq!(status, Some(2));
}

/// Checks that a start fails for a reason with all of `words`, and nothing else is logged.
#[track_caller]
fn fails_to_start(arguments: &[&str], words: &[&str]) {
    let (status, said) = run(arguments, &[]);
    assert_eq!((status, said.lines().count()), (Some(1), 1), "{arguments:?}: {said}");
    assert!(said.contains(" ERROR ") && words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
}

#[test]
fn unknown_arguments_are_named() {
    refuses(&["--nonsense"], &[], &["'--nonsense'"]);
    refuses(&["-x"], &[], &["'-x'"]);
    refuses(&["nonsense"], &[], &["'nonsense'"]);
    refuses(&["check", "--nonsense"], &[], &["'--nonsense'"]);
    refuses(&["check", "http://a/", "http://b/"], &[], &["'http://b/'"]);
}

#[test]
fn a_bad_duration_is_named_with_its_flag() {
    for flag in ["--drain-delay", "--drain-timeout", "--fresh-within"] {
        for value in ["-1s", "2", "soon", "", "1s1", "2years", "99999999999999999999s"] {
            refuses(&[flag, value], &[], &[flag, &format!("'{value}'")]);
        }
    }
}

#[test]
fn a_bad_address_is_named_with_its_flag() {
    for value in
        ["nonsense", "127.0.0.1", "localhost", "numbers:8000", "99999", "127.0.0.1:99999", "::1:8000", "127.0.0.1:-1"]
    {
        refuses(&["--listen", value], &[], &["--listen", &format!("'{value}'")]);
        refuses(&["check", "--listen", value], &[], &["--listen", &format!("'{value}'")]);
    }
}

#[test]
fn a_bad_number_of_connections_is_named_with_its_flag() {
    for value in ["0", "many", "99999999999"] {
        refuses(&["--max-connections", value], &[], &["--max-connections", &format!("'{value}'")]);
    }
}

#[test]
fn a_negative_number_of_connections_is_named_with_its_flag() {
    refuses(&["--max-connections", "-1"], &[], &["--max-connections", "'-1'"]);
}

#[test]
fn a_bad_form_or_level_of_the_log_is_named_with_its_flag() {
    refuses(&["--log-format", "xml"], &[], &["--log-format", "'xml'"]);
    refuses(&["--log-level", "loud"], &[], &["--log-level", "'loud'"]);
}

#[test]
fn a_bad_variable_is_named_with_its_flag() {
    for (variable, flag, value) in [
        ("ECHO_DRAIN_DELAY", "--drain-delay", "nonsense"),
        ("ECHO_DRAIN_TIMEOUT", "--drain-timeout", "nonsense"),
        ("ECHO_FRESH_WITHIN", "--fresh-within", "nonsense"),
        ("ECHO_LISTEN", "--listen", "nonsense"),
        ("ECHO_UPSTREAM", "--upstream", "nonsense"),
        ("ECHO_MAX_CONNECTIONS", "--max-connections", "0"),
        ("ECHO_MAX_LIVE", "--max-live", "0"),
        ("ECHO_NAME", "--name", "a b"),
        ("ECHO_ALLOW_ORIGIN", "--allow-origin", "nonsense"),
        ("ECHO_FOLLOW_LINKS", "--follow-links", "nonsense"),
        ("ECHO_LOG_FORMAT", "--log-format", "nonsense"),
        ("ECHO_LOG_LEVEL", "--log-level", "nonsense"),
    ] {
        refuses(&[], &[(variable, value)], &[variable, flag, &format!("'{value}'")]);
    }
    refuses(&["check"], &[("ECHO_LISTEN", "nonsense")], &["ECHO_LISTEN", "--listen"]);
}

#[test]
fn a_bad_flag_does_not_blame_the_variable() {
    let (_, said) = run(&["--listen", "nonsense"], &[("ECHO_LISTEN", "8000")]);
    assert!(!said.contains("ECHO_LISTEN"), "{said}");
    let (_, said) = run(&["--listen=nonsense"], &[("ECHO_LISTEN", "8000")]);
    assert!(!said.contains("ECHO_LISTEN"), "{said}");
}

#[test]
fn a_variable_of_no_use_is_named() {
    for variable in ["ECHO_UPSTREAM_CA", "ECHO_UPSTREAM_TOKEN_FILE"] {
        let (status, said) = run(&[], &[(variable, "file")]);
        assert_eq!(status, Some(2));
        assert!(said.contains(&format!("{variable} is set")) && said.contains("--upstream <URL>"), "{said}");
    }
}

#[test]
fn what_was_meant_is_said() {
    for (arguments, meant) in [
        (&["--port", "8080"][..], "'--listen 8080'"),
        (&["--port=8080"], "'--listen 8080'"),
        (&["-p", "8080"], "'--listen 8080'"),
        (&["check", "--port", "8080"], "'--listen 8080'"),
        (&["--host", "127.0.0.1"], "'--listen 127.0.0.1:8000'"),
        (&["--bind", "127.0.0.1"], "'--listen 127.0.0.1:8000'"),
        (&["app.log"], "'--file app.log'"),
        (&["--log-level", "debug", "app.log"], "'--file app.log'"),
    ] {
        let (status, said) = run(arguments, &[]);
        assert_eq!(status, Some(2));
        assert!(said.contains(meant) && !said.contains("'-- -"), "{arguments:?}: {said}");
    }
}

#[test]
fn bad_input_beside_a_command_is_refused_before_that_runs() {
    refuses(&["--drain-delay", "-1s", "--", "sleep", "1000"], &[], &["--drain-delay"]);
    refuses(&["nonsense", "--", "sleep", "1000"], &[], &["'nonsense'"]);
}

#[test]
fn a_missing_folder_is_named() {
    fails_to_start(&["--file", "missing/data"], &["missing: No such file or directory"]);
    fails_to_start(&["--file", "/no/such/folder/data"], &["/no/such/folder: No such file or directory"]);
    fails_to_start(&["--file", "file/data"], &["file is not a folder"]);
}

#[test]
fn a_folder_in_the_place_of_the_file_is_named() {
    for file in ["folder", "folder/", "/", ".", ".."] {
        fails_to_start(&["--file", file], &[file, "is a folder, not a file"]);
    }
}

#[test]
fn a_path_that_only_a_folder_can_have_is_refused() {
    for file in ["data/", "data/.", "missing/.."] {
        fails_to_start(&["--file", file], &[file.split('/').next().unwrap()]);
    }
}

#[test]
fn an_empty_path_is_refused() {
    refuses(&["--file", ""], &[], &["--file"]);
}

#[test]
fn a_name_that_is_another_routes_is_refused() {
    for name in ["healthz", "readyz", "metrics"] {
        fails_to_start(&["--file", name], &["--file", &format!("/{name} has another use")]);
        fails_to_start(&["--file", &format!("folder/{name}")], &["--file", &format!("/{name} has another use")]);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reason = format!("cannot listen on {address}: Address already in use");
    fails_to_start(&["--listen", &address], &[&reason, "--listen", "ECHO_LISTEN"]);
}

#[test]
fn the_address_of_another_machine_is_named() {
    fails_to_start(&["--listen", "192.0.2.1:8000"], &["cannot listen on 192.0.2.1:8000: Cannot assign"]);
}

#[test]
fn a_variable_that_names_nothing_is_named_itself() {
    for (variable, flag) in [
        ("ECHO_TOKEN_FILE", "--token-file"),
        ("ECHO_UPSTREAM_TOKEN_FILE", "--upstream-token-file"),
        ("ECHO_UPSTREAM_CA", "--upstream-ca"),
        ("ECHO_FILE", "--file"),
    ] {
        let upstream = ("ECHO_UPSTREAM", "https://numbers/data");
        let (status, said) = run(&[], &[upstream, (variable, "missing/file")]);
        assert_eq!(status, Some(1));
        assert!(said.contains(variable) && said.contains(flag) && said.contains("missing"), "{said}");
    }
}

#[test]
fn a_fifo_in_the_place_of_the_file_is_waited_out() {
    let folder = TempDir::new().unwrap();
    mknodat(CWD, folder.path().join("data"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut server = Server::start_in(folder, &[]);
    let answer = get(server.address, "/data");
    assert_eq!((answer.status, answer.the("retry-after")), (503, "1"));
    assert_eq!(get(server.address, "/healthz").status, 200);
    let answer = get(server.address, "/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("it is not a regular file"), "{}", answer.text());

    server.replace("1\n");
    assert_eq!(get(server.address, "/data").text(), "1\n");
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
}

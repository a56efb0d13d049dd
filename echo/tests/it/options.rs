//! Flags, their variables and their defaults.

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::get;
use crate::process::{Program, Server, echo};

/// Starts a server with both ways to name its file, and returns which it serves.
fn served(variable: Option<&str>, flag: Option<&str>) -> Vec<&'static str> {
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    command.envs(variable.map(|name| ("ECHO_FILE", name)));
    command.args(flag.iter().flat_map(|name| ["--file", name]));
    let server = Server::start_by(&mut command, folder);
    // A file that is served and not there is 503, anything else 404.
    ["data", "variable", "flag"]
        .into_iter()
        .filter(|name| get(server.address, &format!("/{name}")).status == 503)
        .collect()
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_the_default() {
    assert_eq!(served(None, None), ["data"]);
    assert_eq!(served(Some("variable"), None), ["variable"]);
    assert_eq!(served(Some("variable"), Some("flag")), ["flag"]);
    assert_eq!(served(None, Some("flag")), ["flag"]);
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_echo")).args(arguments).env_clear().output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_flag_has_a_variable() {
    let help = help(&["--help"]);
    // The text of an option goes on until the next begins.
    for option in help.split("\n      --").skip(1) {
        let flag = option.split_whitespace().next().unwrap();
        let variable = format!("[env: ECHO_{}=]", flag.to_uppercase().replace('-', "_"));
        assert!(option.contains(&variable), "no {variable} in the help of --{flag}");
    }
    assert!(help.contains("[env: ECHO_LISTEN=]"));
}

#[test]
fn an_empty_variable_is_as_unset() {
    let help = help(&["--help"]);
    let names = help.split("[env: ").skip(1).map(|rest| rest.split('=').next().unwrap());
    let variables: Vec<_> = names.map(|name| (name, "")).collect();
    assert!(variables.len() >= 16, "{variables:?}");
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    // The harness names the one address, to listen on.
    let mut server = Server::start_by(command.envs(variables.clone()), folder);
    server.append("1\n");
    assert_eq!(get(server.address, "/data").text(), "1\n");
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
    assert!(server.program.log_to_the_end().contains(" INFO "), "the level is the default, too");

    // Where none is named, it is the default; it may be taken, but it is known.
    let mut probe = Program::start(Command::new(env!("CARGO_BIN_EXE_echo")).arg("check").envs(variables));
    probe.ended();
    let said = probe.log_to_the_end();
    assert!(said.is_empty() || said.contains("http://127.0.0.1:8000/readyz"), "{said}");
}

#[test]
fn an_address_may_be_a_port_alone() {
    for (listen, address) in [("0", "0.0.0.0"), (":0", "0.0.0.0"), ("localhost:0", "127.0.0.1")] {
        let server = Server::start(&["--listen", listen]);
        assert_eq!(server.address.ip().to_string(), address);
        assert_eq!(get(server.address, "/healthz").status, 200);
    }
}

#[test]
fn the_help_fits_80_columns() {
    for arguments in [&["-h"][..], &["--help"], &["check", "-h"], &["check", "--help"]] {
        let help = help(arguments);
        let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 80, "{arguments:?}: {widest}");
    }
}

#[test]
fn the_long_help_has_three_examples() {
    let help = help(&["--help"]);
    let examples = help.split("Examples:\n").nth(1).unwrap();
    assert_eq!(examples.matches("\n  ./echo ").count() + 1, 3, "{examples}");
}

#[test]
fn the_help_says_which_endpoint_suits_which_probe() {
    let help = help(&["check", "--help"]);
    for words in ["/readyz", "readiness probe", "/healthz", "liveness probe"] {
        assert!(help.contains(words), "{help}");
    }
}

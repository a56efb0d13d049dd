//! Flags, their variables and their defaults.

use std::process::Command;

use tempfile::TempDir;

use crate::client::get;
use crate::process::{Server, echo};

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
fn the_help_says_which_endpoint_suits_which_probe() {
    let help = help(&["check", "--help"]);
    for words in ["/readyz", "readiness probe", "/healthz", "liveness probe"] {
        assert!(help.contains(words), "{help}");
    }
}
